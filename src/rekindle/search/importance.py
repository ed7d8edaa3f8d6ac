"""Which parameters matter: PED-ANOVA over a finished or running search.

Source: Watanabe, Bansal, Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces"
(IJCAI 2023). A parameter matters when its values among the best trials are distributed otherwise than among all. Both
distributions are Parzen estimates on a grid, with Scott's bandwidth and a prior, as in the authors' code; the figures are
those of Optuna's ``PedAnovaImportanceEvaluator`` (a test compares them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from rekindle.search.history import Direction, Trial
from rekindle.search.space import Categorical, Integer, Parameter, Space, resolved_scaling

#: The share of trials that count as the best, gamma' in the paper; with all trials for gamma = 1.
BEST_SHARE = 0.1
#: The fewest best trials: the estimate of their density needs some.
MIN_BEST = 5
#: Fewer trials than this say nothing.
MIN_TRIALS = 20
#: Places at which densities of numeric parameters are compared.
_GRID = 50
#: The weight of the prior, in trials.
_PRIOR = 1.0
#: How many times as many trials, drawn by chance in place of the best, show what chance alone does.
_DRAWS = 40
#: A share that people would go by, and from what on chance gives it too often for that.
_LARGE, _CHANCE = 0.1, 0.1
_SEED = 20260101


@dataclass(frozen=True)
class Importance:
    """How much a parameter matters. ``share``: of all parameters' importance, from 0 to 1. ``by_chance``: the share of random
    choices of trials that look at least as important as the best ones do, from 0 to 1; near 0 for what surely matters."""

    share: float
    by_chance: float

    @property
    def may_be_chance(self) -> bool:
        """Whether so large a share is no proof of anything: of results that are noise alone, one parameter has most."""
        return self.share >= _LARGE and self.by_chance >= _CHANCE


def importances(space: Space, trials: Sequence[Trial], direction: Direction) -> dict[str, float] | None:
    """The share of each parameter in the total importance, at least 0, adding up to 1; None for too few succeeded trials,
    or where all have the same value. All 0 where no parameter matters.

    The importance of a parameter is the Pearson divergence of p(value | among the best) from p(value | any).
    """
    found = assess(space, trials, direction)
    return None if found is None else {name: i.share for name, i in found.items()}


def assess(space: Space, trials: Sequence[Trial], direction: Direction) -> Mapping[str, Importance] | None:
    """As ``importances``, with how likely each parameter's figure comes about by chance alone. Pure: the chance is seeded."""
    done = [t for t in trials if t.value is not None]
    values = np.array([t.value for t in done], dtype=np.float64)
    if len(done) < MIN_TRIALS or values.min() == values.max():
        return None
    best = _best(values if direction == "minimize" else -values)
    grids = {p.name: _places(p, [t.configuration[p.name] for t in done]) for p in space.parameters}
    raw = {p.name: _divergence(p, *grids[p.name], best) for p in space.parameters}
    chance = np.random.default_rng(_SEED)
    draws = [chance.permutation(len(done))[: int(best.sum())] for _ in range(_DRAWS)]
    total = sum(raw.values())
    return {
        p.name: Importance(raw[p.name] / total if total > 0 else 0.0, _by_chance(p, *grids[p.name], raw[p.name], draws))
        for p in space.parameters
    }


def _best(losses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which trials, shape (n,), are among the best share; those that are as good as the last of them, too."""
    count = max(MIN_BEST, math.ceil(BEST_SHARE * len(losses)))
    return np.asarray(losses <= np.partition(losses, count - 1)[count - 1])


def _places(p: Parameter, values: Sequence[object]) -> tuple[NDArray[np.intp], int]:
    """The place of each value on the parameter's grid, shape (n,), from 0, and how many places the grid has."""
    if isinstance(p, Categorical):
        return np.array([p.index(v) for v in values], dtype=np.intp), p.size
    steps = _steps(p)
    ends = p.to_unit(p.low), p.to_unit(p.high)
    along = (np.array([p.to_unit(v) for v in values]) - ends[0]) / (ends[1] - ends[0] or 1.0)  # type: ignore[arg-type]
    # Half-way between two places belongs to the lower one.
    places = np.ceil(along * (steps - 1) - 0.5).astype(np.intp)
    return np.clip(places, 0, steps - 1), steps


def _steps(p: Parameter) -> int:
    if not isinstance(p, Integer):
        return _GRID
    if resolved_scaling(p) == "Linear":
        return min(p.size, _GRID)
    return min(math.ceil(math.log2(p.size)) + 1, _GRID)


def _by_chance(
    p: Parameter, places: NDArray[np.intp], steps: int, divergence: float, draws: Sequence[NDArray[np.intp]]
) -> float:
    if p.size == 1:
        return 1.0
    as_much = sum(1 for draw in draws if _divergence(p, places, steps, draw) >= divergence)
    return (as_much + 1) / (len(draws) + 1)


def _divergence(p: Parameter, places: NDArray[np.intp], steps: int, best: NDArray[np.bool_] | NDArray[np.intp]) -> float:
    """The mean over p(value | any) of (p(value | best) / p(value | any) - 1) squared."""
    if p.size == 1:
        return 0.0
    among_best, everywhere = (_density(p, np.bincount(at, minlength=steps)) + 1e-12 for at in (places[best], places))
    return float(np.sum(everywhere * (among_best / everywhere - 1.0) ** 2))


def _density(p: Parameter, counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Probabilities of the places of a grid, shape (steps,), from how often each was seen: a kernel for each place that was,
    weighted by that, and a broad one as the prior."""
    seen = np.flatnonzero(counts)
    weights = np.append(counts[seen], _PRIOR).astype(np.float64)
    weights /= weights.sum()
    kernels = _category_kernels(seen, len(counts)) if isinstance(p, Categorical) else _normal_kernels(seen, counts)
    return np.asarray(weights @ kernels)


def _category_kernels(seen: NDArray[np.intp], steps: int) -> NDArray[np.float64]:
    """Shape (seen + 1, steps): nearly all on the category itself; the last is the prior."""
    kernels = np.full((len(seen) + 1, steps), _PRIOR / (len(seen) + 1))
    kernels[np.arange(len(seen)), seen] += 1.0
    return np.asarray(kernels / kernels.sum(axis=1, keepdims=True))


def _normal_kernels(seen: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Shape (seen + 1, steps): normal distributions within the grid's ends; the last is the prior, as wide as the grid."""
    steps = len(counts)
    means = np.append(seen, (steps - 1) / 2.0)
    widths = np.append(np.full(len(seen), _scott(seen, counts[seen])), float(steps))
    edges = (np.arange(steps + 1) - 0.5 - means[:, None]) / widths[:, None]
    cumulated = ndtr(edges)
    mass = cumulated[:, -1:] - cumulated[:, :1]
    return np.asarray(np.diff(cumulated, axis=1) / mass)


def _scott(seen: NDArray[np.intp], weights: NDArray[np.intp]) -> float:
    """Scott's bandwidth, in places; at least what holds 90 % of a kernel within its own place."""
    total = int(weights.sum())
    mean = float(seen @ weights) / total
    deviation = math.sqrt(float((seen - mean) ** 2 @ weights) / max(1, total - 1))
    cumulated = np.cumsum(weights)
    lower = int(np.searchsorted(cumulated, total // 4, side="left"))
    upper = int(np.searchsorted(cumulated, total * 3 // 4, side="right"))
    between = float(seen[min(len(seen) - 1, upper)] - seen[lower])
    return float(max(1.059 * min(between / 1.34, deviation) * total**-0.2, 0.5 / 1.64))
