"""Maximising an acquisition function over a mixed cube: many candidates, then local search from the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.initial import sobol

Array = NDArray[np.float64]

#: Candidates spread over the whole space, and drawn around the incumbents.
_SPREAD, _AROUND = 1024, 512
#: Starts of the local search, rounds of (continuous, discrete) moves, and L-BFGS iterations in each.
_STARTS, _ROUNDS, _ITERATIONS = 3, 2, 12
#: A discrete parameter with at most this many values is tried at each of them, a longer one at some.
_ALL_VALUES = 12


class Objective(Protocol):
    """What is maximised."""

    def __call__(self, x: Array) -> Array:
        """Values (q,) at rows ``x`` (q, d)."""
        ...

    def with_gradient(self, x: Array) -> tuple[float, Array]:
        """Value at one row (d,) and gradient (d,)."""
        ...


def maximise(
    objective: Objective, encoding: Encoding, incumbents: Array, rng: np.random.Generator, extra: Array | None = None
) -> tuple[Array, Array]:
    """Rows (k, d), best first, and their values (k,): local optima, then all candidates.

    ``incumbents`` (m, d), best first, are rows around which to look closely; ``extra`` are further candidates.
    """
    rows = candidates(encoding, incumbents, rng, extra)
    values = objective(rows)
    order = np.argsort(-values, kind="stable")
    polished = [polish(objective, encoding, rows[i], float(values[i])) for i in _spread_out(rows, order)]
    rows = np.vstack([[x for x, _ in polished], rows])
    values = np.concatenate([[v for _, v in polished], values])
    order = np.argsort(-values, kind="stable")
    return rows[order], values[order]


def candidates(encoding: Encoding, incumbents: Array, rng: np.random.Generator, extra: Array | None = None) -> Array:
    """Snapped rows: Sobol points, perturbed incumbents, and the discrete neighbours of the best incumbents."""
    d = encoding.columns.size
    parts = [sobol(d, 0, _SPREAD, rng)]
    if len(incumbents):
        parts += [_perturbed(incumbents[:5], _AROUND, rng), *(neighbours(encoding, x) for x in incumbents[:2])]
    if extra is not None:
        parts.append(extra)
    return encoding.snap(np.clip(np.vstack(parts), 0.0, 1.0))


def _perturbed(incumbents: Array, count: int, rng: np.random.Generator) -> Array:
    """Incumbents with Gaussian steps of 0.01 to 0.3 in a random subset of the coordinates."""
    d = incumbents.shape[1]
    base = incumbents[rng.integers(0, len(incumbents), count)]
    sigma = 10.0 ** rng.uniform(-2.0, -0.5, (count, 1))
    moved = rng.random((count, d)) < rng.uniform(1.0 / d, 1.0, (count, 1))
    moved[np.arange(count), rng.integers(0, d, count)] = True
    return np.asarray(base + moved * sigma * rng.standard_normal((count, d)))


def neighbours(encoding: Encoding, x: Array) -> Array:
    """Rows that differ from ``x`` (d,) in one discrete coordinate, shape (k, d)."""
    found = []
    for j in encoding.discrete:
        places = encoding.places[j]
        assert places is not None
        for place in _other_places(places, x[j], encoding.columns.categories[j] > 0):
            row = x.copy()
            row[j] = place
            found.append(row)
    return np.array(found).reshape(len(found), len(x))


def _other_places(places: Array, here: float, categorical: bool) -> Array:
    """All others if few or unordered, else those 1, 2, 4, ... steps away."""
    at = int(np.argmin(np.abs(places - here)))
    if categorical or len(places) <= _ALL_VALUES:
        return np.delete(places, at)
    steps = 2 ** np.arange(int(np.log2(len(places))) + 1)
    index = np.concatenate([at - steps, at + steps])
    return np.asarray(places[index[(index >= 0) & (index < len(places))]])


def _spread_out(rows: Array, order: NDArray[np.intp]) -> Sequence[int]:
    """Up to ``_STARTS`` of the best rows, each at least 0.05 away from those before it in some coordinate."""
    chosen: list[int] = []
    for i in order[:200]:
        if all(np.max(np.abs(rows[i] - rows[k])) > 0.05 for k in chosen):
            chosen.append(int(i))
        if len(chosen) == _STARTS:
            break
    return chosen or [int(order[0])]


def polish(objective: Objective, encoding: Encoding, x: Array, value: float) -> tuple[Array, float]:
    """Local search from row ``x`` (d,): L-BFGS in the continuous coordinates, then the best discrete neighbour, in turns."""
    for _ in range(_ROUNDS):
        moved, reached = _climb(objective, encoding, x, value)
        stepped, after = _step(objective, encoding, moved, reached)
        done = after <= reached
        x, value = stepped, after
        if done:
            break
    return x, value


def _climb(objective: Objective, encoding: Encoding, x: Array, value: float) -> tuple[Array, float]:
    free = encoding.continuous
    if len(free) == 0:
        return x, value

    def negated(u: Array) -> tuple[float, Array]:
        row = x.copy()
        row[free] = u
        f, g = objective.with_gradient(row)
        return -f, -g[free]

    found = minimize(
        negated, x[free], method="L-BFGS-B", jac=True, bounds=[(0.0, 1.0)] * len(free), options={"maxiter": _ITERATIONS}
    )
    row = x.copy()
    row[free] = found.x
    row = encoding.snap(row[None, :])
    reached = float(objective(row)[0])
    return (row[0], reached) if reached > value else (x, value)


def _step(objective: Objective, encoding: Encoding, x: Array, value: float) -> tuple[Array, float]:
    rows = neighbours(encoding, x)
    if len(rows) == 0:
        return x, value
    values = objective(rows)
    best = int(np.argmax(values))
    return (rows[best], float(values[best])) if values[best] > value else (x, value)
