"""From objective values to what the model is fitted on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rekindle.search.history import Direction

Array = NDArray[np.float64]

#: Distance from the median, in deviations, beyond which values grow with their logarithm only, on either side.
_KNEE = 1.0
_GREATEST = float(np.finfo(float).max)


@dataclass(frozen=True)
class Targets:
    """An increasing map from objective values to model values, where less is better, and back.

    With t = (signed value - center) / scale, a model value is (bend(t) - shift) / stretch, where bend is t up to one
    deviation from the median and grows as 1 + log(1 + |t| - 1) beyond: losses of training have heavy tails. ``shift`` and
    ``stretch`` make the fitted values' mean 0 and deviation 1. Signed means negated when the objective is maximised.
    """

    sign: float
    center: float
    scale: float
    shift: float = 0.0
    stretch: float = 1.0

    @staticmethod
    def of(values: Array, direction: Direction) -> Targets:
        """Fitted to objective values (n,); those of no values only know the direction. Exact under multiplication of the values
        by powers of two."""
        sign = 1.0 if direction == "minimize" else -1.0
        if len(values) == 0:
            return Targets(sign, center=0.0, scale=1.0)
        signed = np.sort(sign * np.asarray(values, dtype=np.float64))
        center = _median(signed)
        bare = Targets(sign, center, _spread(signed, center))
        bent = bare.forward(sign * signed)
        deviation = float(np.std(bent))
        return replace(bare, shift=float(np.mean(bent)), stretch=deviation if deviation > 1e-9 else 1.0)

    @property
    def unit(self) -> float:
        """The step of one model value near the median, in the objective's unit."""
        return self.scale * self.stretch

    def forward(self, values: Array) -> Array:
        """Objective values to model values."""
        with np.errstate(over="ignore"):
            t = np.clip(self.sign * values / self.scale - self.center / self.scale, -_GREATEST, _GREATEST)
        over = np.maximum(np.abs(t) - _KNEE, 0.0)
        return np.asarray((np.sign(t) * (np.minimum(np.abs(t), _KNEE) + np.log1p(over)) - self.shift) / self.stretch)

    def backward(self, model: Array) -> Array:
        """Model values to objective values."""
        bent = model * self.stretch + self.shift
        over = np.clip(np.abs(bent) - _KNEE, 0.0, 100.0)
        t = np.sign(bent) * (np.minimum(np.abs(bent), _KNEE) + np.expm1(over))
        with np.errstate(over="ignore"):
            value = self.sign * (t * self.scale + self.center)
        return np.asarray(np.clip(value, -_GREATEST, _GREATEST))

    def deviation(self, model: Array, deviation: Array) -> Array:
        """Deviations around ``model`` in the objective's unit, to first order."""
        over = np.clip(np.abs(model * self.stretch + self.shift) - _KNEE, 0.0, 100.0)
        with np.errstate(over="ignore"):
            spread = deviation * self.stretch * np.exp(over) * self.scale
        return np.asarray(np.minimum(spread, _GREATEST))


def _median(ordered: Array) -> float:
    n = len(ordered)
    return 0.5 * float(ordered[(n - 1) // 2]) + 0.5 * float(ordered[n // 2])


def _spread(ordered: Array, center: float) -> float:
    """The standard deviation around ``center``, with far bad values drawn in to three times the distance of the farther
    quartile; 1 if all are equal. Computed in units of the farthest value, then of a power of two near the farthest that is
    left, so that no square overflows or vanishes."""
    away = 0.5 * ordered - 0.5 * center
    top = float(np.max(np.abs(away)))
    if not top > 0.0 or not math.isfinite(1.0 / top):
        return 1.0
    unit = away / top
    quartile = max(float(unit[(3 * len(unit)) // 4]), -float(unit[len(unit) // 4]))
    limit = 3.0 * quartile if quartile > 0 else 1.0
    drawn = np.minimum(unit, limit)
    exponent = math.frexp(float(np.max(np.abs(drawn))))[1]
    spread = math.sqrt(float(np.mean(np.ldexp(drawn, -exponent) ** 2)))
    return min(math.ldexp(spread, exponent) * 2.0 * top, _GREATEST)
