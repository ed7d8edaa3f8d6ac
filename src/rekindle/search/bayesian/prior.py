"""The seam between Bayesian search and transfer: what parents may say to a new search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.gp import Priors
from rekindle.search.bayesian.targets import Targets
from rekindle.search.history import Direction, Parent
from rekindle.search.space import Configuration

Array = NDArray[np.float64]


class MeanFunction(Protocol):
    """A prior mean over the encoded space, in model values: less is better, near mean 0 and deviation 1."""

    def __call__(self, x: Array) -> Array:
        """The mean (n,) at rows ``x`` (n, d)."""
        ...

    def with_gradient(self, x: Array) -> tuple[float, Array]:
        """The mean at one row ``x`` (d,) and its gradient (d,)."""
        ...


@dataclass(frozen=True)
class View:
    """One hypothesis of how the parents bear on this search. The model of a view is a GP on this search's rows and the
    extra rows together, of the residuals to ``mean``.

    ``weight`` > 0 is its share of the mixture before any evidence; each suggestion multiplies it by the density of this
    search's own values, each predicted from all others by the view's model. Expected improvement is averaged over views.
    ``mean`` None is the zero mean. ``x`` (m, d) and ``values`` (m,), in the objective's unit, are extra rows, ``noise``
    their variance on top of the fitted noise; the search's targets are fitted to its own values and these together.
    ``priors`` are of the hyperparameters; None for the usual ones.
    """

    weight: float = 1.0
    mean: MeanFunction | None = None
    x: Array | None = None
    values: Array | None = None
    noise: Array | float = 0.0
    priors: Priors | None = None
    name: str = "own"


@dataclass(frozen=True)
class PriorModel:
    """What parents contribute to one suggestion.

    ``initial``: what to propose at a given number of asked trials instead of what the model says; it replaces the initial
    design. ``views`` is never empty. ``candidates`` (k, d): further rows for the maximiser to start from. ``failed`` (m, d):
    rows that fail here as they failed elsewhere. ``report`` is plain data for ``Proposal.why["parents"]``.
    """

    initial: Mapping[int, Configuration] = field(default_factory=dict)
    views: Sequence[View] = (View(),)
    candidates: Array | None = None
    failed: Array | None = None
    report: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What a prior is made from: the search itself, and its own finished rows ``x`` (n, d) with their ``values`` (n,) in
    the objective's unit and ``y`` (n,) in model values. ``targets`` maps objective values to model values; None while
    nothing has succeeded."""

    encoding: Encoding
    direction: Direction
    seed: int
    parents: tuple[Parent, ...]
    x: Array
    y: Array
    values: Array
    targets: Targets | None


#: Makes the prior of one suggestion; a pure function of its context (it may cache what it derives from parents alone).
PriorFactory = Callable[[Context], PriorModel]


def cold_start(context: Context) -> PriorModel:
    """The prior of a search without parents: nothing."""
    return PriorModel()
