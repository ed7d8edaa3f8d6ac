"""Log expected improvement, exact far into the tail (Ament et al., NeurIPS 2023)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, ndtr

Array = NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_SQRT_HALF_PI = math.sqrt(0.5 * math.pi)


def log_h(z: Array) -> Array:
    """log(phi(z) + z Phi(z)), elementwise: the log expected improvement of a unit normal; finite for z down to -1e150.

    Above -1 directly. Below, phi(z) (1 - |z| Phi(z) / phi(z)) with the Mills ratio by erfcx; below -100 by its series
    1 - |z| m(|z|) = 1/z^2 - 3/z^4 + ...
    """
    z = np.asarray(z, dtype=np.float64)
    near = np.maximum(z, -1.0)
    direct = np.log(np.exp(-0.5 * near * near - _LOG_SQRT_2PI) + near * ndtr(near))
    middle = np.clip(z, -100.0, -1.0)
    mills = -middle * _SQRT_HALF_PI * erfcx(-middle / math.sqrt(2.0))
    tail = np.where(z < -100.0, _log_tail(np.minimum(z, -100.0)), np.log1p(-mills))
    below = np.minimum(z, -1.0)
    return np.where(z > -1.0, direct, -0.5 * below * below - _LOG_SQRT_2PI + tail)


def _log_tail(z: Array) -> Array:
    inverse = 1.0 / (z * z)
    return np.log(inverse) + np.log1p(-3.0 * inverse + 15.0 * inverse * inverse)


def log_h_slope(z: Array, log_value: Array) -> Array:
    """d log_h / dz = Phi(z) / h(z), given ``log_value`` = log_h(z); about |z| + 2 / |z| far below zero."""
    far = np.minimum(z, -100.0)
    return np.where(z < -100.0, -far - 2.0 / far, np.exp(log_ndtr(z) - log_value))


def log_expected_improvement(mean: Array, deviation: Array, best: Array | float) -> Array:
    """log E[max(best - f, 0)] for f ~ N(mean, deviation^2); minimisation; broadcasts."""
    return log_h((best - mean) / deviation) + np.log(deviation)


def log_expected_improvement_with_slopes(mean: Array, deviation: Array, best: Array | float) -> tuple[Array, Array, Array]:
    """The above with its derivatives by ``mean`` and by ``deviation``.

    d/dmean = -log_h'(z) / deviation; d/ddeviation = (1 - z log_h'(z)) / deviation.
    """
    z = (best - mean) / deviation
    value = log_h(z)
    slope = log_h_slope(z, value)
    return value + np.log(deviation), -slope / deviation, (1.0 - z * slope) / deviation


def log_sum(values: Array, axis: int = 0) -> Array:
    """log sum exp along ``axis`` of finite values; scipy's own costs more than a whole prediction here."""
    top = np.max(values, axis=axis, keepdims=True)
    return np.asarray(np.squeeze(top, axis) + np.log(np.sum(np.exp(values - top), axis=axis)))


def log_worth_of_looking(variance: Array, noise: float) -> Array:
    """log(1 - sqrt(noise / (noise + variance))): what one more look at a point is worth (augmented EI, Huang et al., 2006).

    ``variance`` > 0 is that of f, ``noise`` >= 0 that of an observation. About 0 where noise is small against variance;
    where f is known better than one look can tell, it falls with the logarithm of variance, so that a search does not
    look at one spot again and again.
    """
    q = np.sqrt(noise + variance)
    return np.asarray(np.log(variance) - np.log(q) - np.log(q + math.sqrt(noise)))


def log_worth_slope(variance: Array, noise: float) -> Array:
    """d log_worth_of_looking / d variance."""
    q = np.sqrt(noise + variance)
    return 1.0 / variance - 0.5 / (q * q) - 0.5 / (q * (q + math.sqrt(noise)))
