"""The initial design: the centre of the space, then a randomly shifted Sobol sequence around it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from rekindle.search.space import Categorical, Space

Array = NDArray[np.float64]

_BITS = 30
#: Part of each range over which the design is spread, around its middle: ranges are chosen around what is thought good.
_SPREAD = 0.8


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
    each parameter before one comes again, the middle one first: a category that was never tried has no say in a model."""
    covered = point.copy()
    for j, parameter in enumerate(space.parameters):
        if isinstance(parameter, Categorical):
            middle = parameter.size // 2
            order = [middle, *(c for c in rng.permutation(parameter.size) if c != middle)]
            covered[j] = (order[index % parameter.size] + 0.5) / parameter.size
    return covered


def design_point(d: int, index: int, rng: np.random.Generator) -> Array:
    """Point number ``index`` of the design, shape (d,): the centre first. ``rng`` must be the same for all of a search."""
    return np.full(d, 0.5) if index == 0 else 0.5 + _SPREAD * (sobol(d, index, 1, rng)[0] - 0.5)
