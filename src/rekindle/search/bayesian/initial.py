"""The initial design: where good values are thought to lie, then a randomly shifted Sobol sequence around it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from rekindle.search.bayesian.known_names import first_category
from rekindle.search.space import Categorical, Space

Array = NDArray[np.float64]

_BITS = 30
#: Part of each range, at either end, that the design leaves out: ranges are chosen around what is thought good.
_EDGE = 0.1


def sobol(d: int, start: int, count: int, rng: np.random.Generator) -> Array:
    """Points ``start`` .. ``start + count - 1`` of a Sobol sequence in [0, 1)^d, shape (count, d), shifted by ``rng``.

    A random digital shift (exclusive or of the bits) keeps the sequence's balance and makes each point uniform.
    """
    if d == 0:
        return np.zeros((count, 0))
    size = 1 << max(start + count - 1, 1).bit_length()
    shift = rng.integers(0, 1 << _BITS, size=d, dtype=np.int64)
    return np.asarray(((_integers(d, size)[start : start + count] ^ shift) + 0.5) / float(1 << _BITS), dtype=np.float64)


@lru_cache(maxsize=32)
def _integers(d: int, size: int) -> NDArray[np.int64]:
    points = qmc.Sobol(d, scramble=False, bits=_BITS).random(size)
    return np.asarray(np.round(points * (1 << _BITS)), dtype=np.int64)


def initial_size(d: int) -> int:
    """How many points to spread over the space before the model speaks."""
    return max(4, min(d + 1, 8))


def covering(space: Space, index: int, point: Array, rng: np.random.Generator) -> Array:
    """``point`` (d,) with its categories replaced so that the points 0, 1, ... of a design go through every category of
    each parameter before one comes again, the usual one first: a category that was never tried has no say in a model."""
    covered = point.copy()
    for j, parameter in enumerate(space.parameters):
        if isinstance(parameter, Categorical):
            first = first_category(parameter, space.known_names)
            order = [first, *(c for c in rng.permutation(parameter.size) if c != first)]
            covered[j] = (order[index % parameter.size] + 0.5) / parameter.size
    return covered


def design_point(around: Sequence[float], index: int, rng: np.random.Generator) -> Array:
    """Point number ``index`` of the design, shape (d,): ``around`` itself first, then points as often below each coordinate as
    above it. ``rng`` must be the same for all of a search."""
    middle = np.array(around, dtype=np.float64)
    if index == 0:
        return middle
    away = 2.0 * (sobol(len(middle), index, 1, rng)[0] - 0.5)
    return np.asarray(middle + away * np.where(away < 0.0, middle - _EDGE, 1.0 - _EDGE - middle))
