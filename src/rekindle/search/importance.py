"""Which parameters matter: PED-ANOVA over a finished or running search.

Source: Watanabe, Bansal, Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces"
(IJCAI 2023). A parameter matters when its values among the best trials are distributed otherwise than among all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rekindle.search.history import Direction, Trial
from rekindle.search.space import Categorical, Parameter, Space

#: The share of trials that count as the best.
BEST_SHARE = 0.2
#: Fewer trials than this say nothing.
MIN_TRIALS = 20
#: Places in [0, 1] at which densities of numeric parameters are compared.
_GRID = 50


def importances(space: Space, trials: Sequence[Trial], direction: Direction) -> dict[str, float] | None:
    """The share of each parameter in the total importance, at least 0, adding up to 1; None for too few succeeded trials,
    or where all have the same value. All 0 where no parameter matters.

    The importance of a parameter is the Pearson divergence of p(value | among the best) from p(value | any).
    """
    done = [t for t in trials if t.value is not None]
    values = np.array([t.value for t in done], dtype=np.float64)
    if len(done) < MIN_TRIALS or np.ptp(values) == 0:
        return None
    order = np.argsort(values if direction == "minimize" else -values, kind="stable")
    best = order[: max(5, round(BEST_SHARE * len(done)))]
    raw = {p.name: _divergence(p, [p.to_unit(t.configuration[p.name]) for t in done], best) for p in space.parameters}
    total = sum(raw.values())
    return {name: value / total if total > 0 else 0.0 for name, value in raw.items()}


def _divergence(p: Parameter, units: Sequence[float], best: NDArray[np.intp]) -> float:
    """The mean over p(value | any) of (p(value | best) / p(value | any) - 1) squared."""
    if p.size == 1:
        return 0.0
    u = np.asarray(units)
    everywhere, among_best = _density(p, u), _density(p, u[best])
    ratio = among_best / everywhere
    return float(np.sum(everywhere * (ratio - 1.0) ** 2) / np.sum(everywhere))


def _density(p: Parameter, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities over categories, or a Gaussian kernel density on a grid; one pseudo-count keeps both above 0."""
    if isinstance(p, Categorical):
        places = np.minimum((u * p.size).astype(np.intp), p.size - 1)
        counts = np.bincount(places, minlength=p.size) + 1.0 / p.size
        return np.asarray(counts / counts.sum())
    width = max(0.05, 0.9 * float(np.std(u)) * len(u) ** -0.2)
    grid = (np.arange(_GRID) + 0.5) / _GRID
    kernels = np.exp(-0.5 * ((grid[:, None] - u[None, :]) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return np.asarray((kernels.sum(axis=1) + 1.0) / (len(u) + 1.0))
