"""Maximising an acquisition function over a mixed cube: many candidates, then local search from the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.initial import sobol

Array = NDArray[np.float64]

#: Candidates spread over the whole space, and drawn around the incumbents.
_SPREAD, _AROUND = 1024, 512
#: Starts of the local search, rounds of (continuous, discrete) moves, and evaluations of the continuous search in each.
_STARTS, _ROUNDS, _EVALUATIONS = 4, 2, 20
#: The continuous search ends when no coordinate of any row moves farther than this.
_STILL = 1e-5
#: A discrete parameter with at most this many values is tried at each of them, a longer one at some.
_ALL_VALUES = 12


class Objective(Protocol):
    """What is maximised."""

    def __call__(self, x: Array) -> Array:
        """Values (q,) at rows ``x`` (q, d)."""
        ...

    def with_gradients(self, x: Array) -> tuple[Array, Array]:
        """Values (q,) at rows ``x`` (q, d) and gradients (q, d)."""
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
    best = _spread_out(rows, order)
    polished, reached = polish(objective, encoding, rows[best], values[best])
    rows, values = np.vstack([polished, rows]), np.concatenate([reached, values])
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


def polish(objective: Objective, encoding: Encoding, x: Array, values: Array) -> tuple[Array, Array]:
    """Local searches from rows ``x`` (s, d) with their ``values`` (s,): in the continuous coordinates of all at once, then to
    each one's best discrete neighbour, in turns."""
    for _ in range(_ROUNDS):
        x, values = _climb(objective, encoding, x, values)
        stepped = [_step(objective, encoding, row, float(value)) for row, value in zip(x, values, strict=True)]
        x, after = np.array([row for row, _ in stepped]), np.array([value for _, value in stepped])
        if np.all(after <= values):
            break
        values = after
    return x, values


def _climb(objective: Objective, encoding: Encoding, x: Array, values: Array) -> tuple[Array, Array]:
    free = encoding.continuous
    if len(free) == 0:
        return x, values

    def at(u: Array) -> tuple[Array, Array]:
        rows = x.copy()
        rows[:, free] = u
        f, g = objective.with_gradients(rows)
        return f, g[:, free]

    rows = x.copy()
    rows[:, free] = ascend(at, x[:, free], _EVALUATIONS)
    rows = encoding.snap(rows)
    reached = objective(rows)
    better = reached > values
    return np.where(better[:, None], rows, x), np.where(better, reached, values)


def ascend(f: Callable[[Array], tuple[Array, Array]], x: Array, evaluations: int) -> Array:
    """Local maxima in the unit cube near rows ``x`` (s, d), all sought at once by as many calls of ``f`` as ``evaluations``.

    ``f`` gives values (s,) and gradients (s, d) at rows (s, d). Each row goes its own way by projected BFGS: coordinates that
    press against a bound are held; a step that does not rise by Armijo's rule is shortened.
    """
    s, d = x.shape
    value, slope = f(x)
    inverse = np.repeat(np.eye(d)[None], s, axis=0) * (0.1 / np.maximum(np.max(np.abs(slope), axis=1), 1e-12))[:, None, None]
    step = np.ones(s)
    for _ in range(evaluations - 1):
        direction = _direction(x, slope, inverse)
        tried = np.clip(x + step[:, None] * direction, 0.0, 1.0)
        moved = tried - x
        reached, slope_there = f(tried)
        rises = reached >= value + 1e-4 * np.einsum("sd,sd->s", slope, moved)
        _update(inverse, moved, slope - slope_there, rises)
        x, value = np.where(rises[:, None], tried, x), np.where(rises, reached, value)
        slope = np.where(rises[:, None], slope_there, slope)
        step = np.where(rises, 1.0, 0.3 * step)
        if np.all(np.max(np.abs(moved), axis=1) < _STILL):
            break
    return x


def _direction(x: Array, slope: Array, inverse: Array) -> Array:
    """Where each row goes: the quasi-Newton step in the coordinates that can move, at most a quarter of the cube long in
    any of them; the gradient's way where that step would not rise."""
    held = ((x <= 0.0) & (slope < 0.0)) | ((x >= 1.0) & (slope > 0.0))
    g = np.where(held, 0.0, slope)
    step = np.where(held, 0.0, (inverse @ g[:, :, None])[:, :, 0])
    along = np.einsum("sd,sd->s", step, g)
    step = np.where((along > 0.0)[:, None], step, g)
    return np.asarray(step / np.maximum(np.max(np.abs(step), axis=1, keepdims=True) / 0.25, 1.0))


def _update(inverse: Array, moved: Array, fall: Array, rises: NDArray[np.bool_]) -> None:
    """BFGS updates in place of the inverse Hessians (s, d, d) of minus the function, from moves (s, d) and the gradient's fall
    along them; only where the step was taken and the curvature is positive."""
    along = np.einsum("sd,sd->s", moved, fall)
    taken = rises & (along > 1e-14)
    rho = np.where(taken, 1.0 / np.where(taken, along, 1.0), 0.0)
    hy = (inverse @ fall[:, :, None])[:, :, 0]
    much = rho + rho * rho * np.einsum("sd,sd->s", fall, hy)
    cross = (rho[:, None] * hy)[:, :, None] * moved[:, None, :]
    inverse += (much[:, None] * moved)[:, :, None] * moved[:, None, :]
    inverse -= cross + cross.transpose(0, 2, 1)


def _step(objective: Objective, encoding: Encoding, x: Array, value: float) -> tuple[Array, float]:
    rows = neighbours(encoding, x)
    if len(rows) == 0:
        return x, value
    values = objective(rows)
    best = int(np.argmax(values))
    return (rows[best], float(values[best])) if values[best] > value else (x, value)
