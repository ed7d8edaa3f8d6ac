"""The model of one parent's results, and its results as they would be where a new search holds some of its parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.fit import Priors, most_probable
from rekindle.search.bayesian.gp import GP, Hyperparameters
from rekindle.search.bayesian.targets import Targets
from rekindle.search.history import Direction, Parent
from rekindle.search.parent_rows import ParentRows, coordinates_of, places, rows_of

Array = NDArray[np.float64]

#: Fewer results than this are not worth a model: such a parent only names its best configurations.
MIN_ROWS = 4
#: Rows that a parent model's hyperparameters are fitted to at most.
_FIT_ROWS = 120
#: Lengthscale (in cubes) over which a parent's results fade along a parameter that it held constant.
_CONSTANT_LENGTHSCALE = 2.0
#: A parent whose model predicts less of its own results' variance than this, leave-one-out, has no say.
RELIABLE = 0.1
#: Failures are left out of a parent's model where it explains so much more of the results' variance without them.
_WORTH = 0.1
#: Priors of a parent's own model: its lengthscales are free of one another, and short ones as likely as long ones, so that
#: shuffled results are fitted as noise or not at all.
_PARENT_PRIORS = Priors(shared=0.0, shorter=1.3)


@dataclass(frozen=True)
class ParentModel:
    """One parent's objective over the new search's cube, in the parent's own standard units (less is better); ``unit`` is that
    unit in the objective's.

    ``reliability`` in [0, 1] is the share of the variance of its results that the model predicts leave-one-out. The units'
    zero is the mean of all rows, failures included.
    """

    gp: GP
    known: NDArray[np.bool_]
    reliability: float
    unit: float

    def mean(self, x: Array) -> Array:
        """The mean (q,) at rows ``x`` (q, d): along parameters that the parent lacks it is flat."""
        return self.gp.mean(np.where(self.known, x, 0.5))


def model_of(rows: ParentRows, encoding: Encoding, direction: Direction) -> ParentModel | None:
    """The model of a parent; None when it has too few results, or they are all the same.

    Failed trials count as the worst result, unless the model without them explains the results better by ``_WORTH``: then they
    failed anywhere, of other causes than their configurations, and say nothing of the objective.
    """
    succeeded = rows.succeeded
    if succeeded.sum() < MIN_ROWS:
        return None
    y = np.empty(len(rows.values))
    targets = Targets.of(rows.values[succeeded], direction)
    y[succeeded] = targets.forward(rows.values[succeeded])
    y[~succeeded] = y[succeeded].max()
    y -= y.mean()
    if not np.var(y) > 0:
        return None
    gp, explained = _fitted(rows, y, np.ones(len(y), dtype=bool), encoding)
    if not succeeded.all() and np.var(y[succeeded]) > 0:
        without, better = _fitted(rows, y, succeeded, encoding)
        gp, explained = (without, better) if better > explained + _WORTH else (gp, explained)
    return ParentModel(gp, rows.known, min(max(explained, 0.0), 1.0), targets.unit)


def _fitted(rows: ParentRows, y: Array, among: NDArray[np.bool_], encoding: Encoding) -> tuple[GP, float]:
    """A model of some of the rows, and the share of the variance of the results among them that it predicts leave-one-out."""
    x, y, results = rows.x[among], y[among], rows.succeeded[among]
    gp = GP(x, y, encoding.columns, _hyperparameters(x, rows, y, encoding))
    left_out, _ = gp.leave_one_out()
    variance = np.var(y[results]) or np.var(y)
    return gp, 1.0 - float(np.mean((y - left_out)[results] ** 2) / variance)


def _hyperparameters(x: Array, rows: ParentRows, y: Array, encoding: Encoding) -> Hyperparameters:
    subset = np.argsort(y, kind="stable")
    if len(y) > _FIT_ROWS:
        subset = subset[np.linspace(0, len(y) - 1, _FIT_ROWS).astype(np.intp)]
    hyper = most_probable(x[subset], y[subset], encoding.columns, _PARENT_PRIORS)
    constant = np.array([c.how == "constant" for c in rows.columns], dtype=bool)
    lengthscales = np.where(constant, np.maximum(hyper.lengthscales, _CONSTANT_LENGTHSCALE), hyper.lengthscales)
    return Hyperparameters(lengthscales, hyper.signal, hyper.noise)


def at_held(parent: Parent, direction: Direction) -> Parent:
    """A parent with each result moved to where its own model puts it at the values that the new search holds.

    In standard units, y + m(x at the held values) - m(x): what the model does not explain of a result stays with it. A parent
    whose model explains next to nothing stays as it is, as does a parameter whose held value it cannot place.
    """
    held = _held_places(parent)
    if not held:
        return parent
    encoding = Encoding(parent.space)
    coordinates = [coordinates_of(p, parent) for p in parent.space.parameters]
    rows = rows_of(parent, encoding, direction, coordinates=coordinates)
    model = model_of(rows, encoding, direction)
    if model is None or model.reliability < RELIABLE:
        return parent
    trials, all_x = list(parent.trials), np.column_stack(coordinates)
    known = np.flatnonzero(~np.isnan(all_x).any(axis=1))
    readable = [i for i in known if (v := trials[i][1]) is not None and math.isfinite(v)]
    x = all_x[readable]
    moved = x.copy()
    moved[:, list(held)] = list(held.values())
    targets, shift = Targets.of(rows.values[rows.succeeded], direction), model.mean(moved) - model.mean(x)
    there = targets.backward(targets.forward(np.array([trials[i][1] for i in readable])) + shift)
    for i, value in zip(readable, there, strict=True):
        trials[i] = (trials[i][0], float(value))
    return replace(parent, trials=trials)


def _held_places(parent: Parent) -> dict[int, float]:
    """Where the values that the new search holds lie in the parent's cube, by column: of those that the parent varied and that
    can be placed."""
    columns = [(j, p) for j, p in enumerate(parent.space.parameters) if p.name in parent.held and p.size != 1]
    found = {j: float(places(p, [parent.held[p.name]])[0]) for j, p in columns}
    return {j: u for j, u in found.items() if not math.isnan(u)}
