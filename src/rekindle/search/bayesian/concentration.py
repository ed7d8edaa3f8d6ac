"""How close together the better results lie, and what that says of lengthscales.

The prior of lengthscales has the whole of each range in mind. A search ends up in a part of it, and there the objective may
change over shorter distances: a model that expects long ones sees one smooth valley, is soon sure of its lowest point, and
looks no closer. So every second suggestion of a search without parents is made by a model that expects lengthscales in
proportion to how far apart the better results are.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.fit import Priors
from rekindle.search.bayesian.kernel import Columns

Array = NDArray[np.float64]

#: Fewer results say nothing of where the good ones are.
_LEAST_RESULTS = 8
#: The better results are this share of all, and at least so many.
_SHARE, _LEAST_GOOD = 0.33, 8
#: Median distance of two results that lie anywhere in a range: 1 - sqrt(1/2).
_ANYWHERE = 0.29
#: No lengthscale is expected to be shorter than this share of what it would be otherwise.
_SHORTEST = 0.2


def concentrated(priors: Priors, x: Array, y: Array, columns: Columns) -> Priors:
    """``priors`` with the modes of numeric columns' lengthscales shortened by how close the better of the results at rows ``x``
    (n, d) lie; model values ``y`` (n,), of which less is better."""
    if len(x) < _LEAST_RESULTS:
        return priors
    good = x[np.argsort(y, kind="stable")[: max(_LEAST_GOOD, math.ceil(_SHARE * len(x)))]]
    return replace(priors, factors=tuple(1.0 if k else _shortened(u) for u, k in zip(good.T, columns.categories, strict=True)))


def _shortened(u: Array) -> float:
    """The factor of a column with values ``u`` (n,)."""
    first, second = np.triu_indices(len(u), 1)
    return float(np.clip(np.median(np.abs(u[first] - u[second])) / _ANYWHERE, _SHORTEST, 1.0))
