"""The seam between Bayesian search and transfer: what parents may say to a new search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.gp import GP
from rekindle.search.bayesian.targets import Targets
from rekindle.search.history import Direction, Parent
from rekindle.search.space import Configuration

Array = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """One hypothesis of how the parents bear on this search. Its model is the first of ``model``, a GP of this search's
    model values with the rows among which the incumbent is sought, or else a GP on this search's rows and the extra rows.

    ``weight`` > 0 is its share of the mixture before any evidence; each suggestion multiplies it by the density of this
    search's own values, each predicted from all others by the view's model. Expected improvement is averaged over views.
    ``x`` (m, d) and ``values`` (m,), in the objective's unit, are extra rows; the search's targets are fitted to its own values
    and these together. ``share`` is how much of the view is the parents': the greatest correlation of one's objective with this
    search's, 0 without any.
    """

    weight: float = 1.0
    model: tuple[GP, slice] | None = None
    x: Array | None = None
    values: Array | None = None
    name: str = "own"
    share: float = 0.0


@dataclass(frozen=True)
class PriorModel:
    """What parents contribute to one suggestion.

    ``initial``: what to propose at a given number of asked trials instead of what the model says; it replaces the initial
    design. ``views`` is never empty. ``candidates`` (k, d): further rows for the maximiser to start from. ``failed`` (m, d):
    rows that fail here as they failed elsewhere. ``report`` gives plain data for ``Proposal.why["parents"]`` from the weights
    of the views by name (none, when the model was not asked).
    """

    initial: Mapping[int, Configuration] = field(default_factory=dict)
    views: Sequence[View] = (View(),)
    candidates: Array | None = None
    failed: Array | None = None
    report: Callable[[Mapping[str, float]], Mapping[str, object]] = lambda views: {}


@dataclass(frozen=True)
class Context:
    """What a prior is made from: the search itself, and its own finished rows ``x`` (n, d) with their ``values`` (n,) in
    the objective's unit and ``y`` (n,) in model values. ``targets`` maps objective values to model values."""

    encoding: Encoding
    direction: Direction
    seed: int
    parents: tuple[Parent, ...]
    x: Array
    y: Array
    values: Array
    targets: Targets


#: Makes the prior of one suggestion; a pure function of its context (it may cache what it derives from parents alone).
PriorFactory = Callable[[Context], PriorModel]


def cold_start(context: Context) -> PriorModel:
    """The prior of a search without parents: nothing."""
    return PriorModel()
