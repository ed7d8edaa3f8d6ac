"""From objective values to what the model is fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rekindle.search.history import Direction

Array = NDArray[np.float64]

#: Beyond this many deviations on the bad side, values grow with their logarithm only.
_KNEE = 1.0


@dataclass(frozen=True)
class Targets:
    """An increasing map from objective values to model values, where less is better, and back.

    ``center`` and ``scale`` are of signed values: the objective, negated when it is maximised.
    """

    sign: float
    center: float
    scale: float
    knee: float = _KNEE

    @staticmethod
    def of(values: Array, direction: Direction, knee: float = _KNEE) -> Targets:
        """Fitted to objective values (n,), n >= 1: centre at the median, scale from the spread of the better part.

        The scale is exact under multiplication by powers of two, and nothing else depends on magnitude.
        """
        sign = 1.0 if direction == "minimize" else -1.0
        signed = np.sort(sign * values)
        center = _median(signed)
        scale = _spread(signed, center)
        return Targets(sign, center, scale, knee)

    def forward(self, values: Array) -> Array:
        """Objective values to model values."""
        t = self.sign * values / self.scale - self.center / self.scale
        bad = t > self.knee
        return np.where(bad, self.knee + np.log1p(np.where(bad, t - self.knee, 0.0)), t)

    def backward(self, model: Array) -> Array:
        """Model values to objective values."""
        bad = model > self.knee
        t = np.where(bad, self.knee + np.expm1(np.minimum(np.where(bad, model - self.knee, 0.0), 700.0)), model)
        return self.sign * (t * self.scale + self.center)

    def deviation(self, model: Array, deviation: Array) -> Array:
        """Deviations of model values at ``model`` in the objective's unit, to first order."""
        return deviation * self.scale * np.exp(np.minimum(np.maximum(model - self.knee, 0.0), 700.0))


def _median(ordered: Array) -> float:
    n = len(ordered)
    low, high = float(ordered[(n - 1) // 2]), float(ordered[n // 2])
    return low + 0.5 * (high - low)


def _spread(ordered: Array, center: float) -> float:
    """The standard deviation, but with far bad values drawn in to three times the distance of the quartile; 1 if all equal."""
    top = float(np.max(np.abs(ordered - center)))
    if not top > 0.0 or not np.isfinite(1.0 / top):
        return 1.0
    unit = (ordered - center) / top
    quartile = max(float(unit[(3 * len(unit)) // 4]), -float(unit[len(unit) // 4]))
    limit = 3.0 * quartile if quartile > 0 else 1.0
    spread = float(np.sqrt(np.mean(np.minimum(unit, limit) ** 2)))
    return spread * top
