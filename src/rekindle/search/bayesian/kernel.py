"""The kernel of Gaussian processes on the unit cube: Matern-5/2 with a lengthscale for each parameter.

For two rows a and b of the cube and the lengthscales l_j::

    r2(a, b) = sum over numeric j of (w_j(a_j) - w_j(b_j))^2 / l_j^2  +  sum over categorical j of [a_j != b_j] / l_j^2
    k(a, b)  = s2 (1 + sqrt(5) r + 5/3 r2) exp(-sqrt(5) r) + bias          (bias: a constant mean, integrated out)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SQRT5 = math.sqrt(5.0)
#: Variance of the constant mean's prior; values are standardised.
BIAS = 1.0


@dataclass(frozen=True)
class Columns:
    """What each column of the unit cube is: 0 for a number, k for a categorical parameter of k values.

    A categorical column holds cell middles (i + 1/2) / k. It becomes k indicator features, such that two different values lie
    at distance 1 from each other, or sqrt(4 / k) when there are more than four: were thirty values as strange to one another as
    two, a search would have to look at each of them.
    """

    categories: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many columns, d."""
        return len(self.categories)

    @cached_property
    def numeric(self) -> NDArray[np.intp]:
        """Indices of the numeric columns."""
        return np.array([j for j, k in enumerate(self.categories) if k == 0], dtype=np.intp)

    @cached_property
    def owner(self) -> NDArray[np.intp]:
        """For each feature the column that it comes from, shape (m,)."""
        return np.array([j for j, k in enumerate(self.categories) for _ in range(k or 1)], dtype=np.intp)

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """For each column its first feature, shape (d,)."""
        return np.searchsorted(self.owner, np.arange(self.size)).astype(np.intp)

    def features(self, x: Array) -> Array:
        """Features, shape (n, m), of rows ``x``, shape (n, d)."""
        z = np.zeros((len(x), len(self.owner)))
        z[:, self.starts[self.numeric]] = x[:, self.numeric] - 0.5
        for j, k in enumerate(self.categories):
            if k:
                place = np.clip((x[:, j] * k).astype(np.intp), 0, k - 1)
                z[np.arange(len(x)), self.starts[j] + place] = math.sqrt(0.5 * min(1.0, 4.0 / k))
        return z

    def bowl(self, x: Array) -> Array:
        """Mean over the numeric columns of (2 x_j - 1)^2, shape (n,), at rows ``x`` (n, d): 0 in the middle, 1 at the corners;
        beyond the cube's sides what it is on them."""
        if not len(self.numeric):
            return np.zeros(len(x))
        return np.asarray(np.mean((2.0 * np.clip(x[:, self.numeric], 0.0, 1.0) - 1.0) ** 2, axis=1))

    def bowl_gradients(self, x: Array) -> Array:
        """Gradients of ``bowl`` by the numeric columns, shape (n, c), at rows ``x`` (n, d) inside the cube."""
        return np.asarray(4.0 * (2.0 * x[:, self.numeric] - 1.0) / max(len(self.numeric), 1))

    def sum_by_column(self, values: Array) -> Array:
        """Sums over the features of each column: (m,) to (d,)."""
        return np.asarray(np.add.reduceat(values, self.starts)) if self.size else np.zeros(0)


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances, shape (n, q), of the rows of ``a`` (n, m) and ``b`` (q, m)."""
    # (|a|^2, 1, -2 a) . (1, |b|^2, b): one product is faster than a product and two sums of its size.
    left, right = np.ones((len(a), a.shape[1] + 2)), np.ones((len(b), b.shape[1] + 2))
    left[:, 0], right[:, 1] = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
    left[:, 2:], right[:, 2:] = -2.0 * a, b
    r2 = left @ right.T
    return np.asarray(np.maximum(r2, 0.0, out=r2))


def matern(r2: Array) -> tuple[Array, Array]:
    """Matern-5/2 correlation k at squared distances, and D = -2 dk/d(r2) = 5/3 (1 + sqrt(5) r) exp(-sqrt(5) r)."""
    root = _SQRT5 * np.sqrt(r2)
    decay = np.exp(-root)
    slope = (1.0 + root) * decay
    slope *= 5.0 / 3.0
    return decay * (1.0 + root + (5.0 / 3.0) * r2), slope


def correlation(r2: Array) -> Array:
    """The k of ``matern`` alone, bit for bit, in two thirds of the time."""
    root = np.sqrt(r2)
    root *= _SQRT5
    k = (5.0 / 3.0) * r2
    k += 1.0 + root
    np.negative(root, out=root)
    k *= np.exp(root, out=root)
    return np.asarray(k)


def correlations_with_gradients(a: Array, b: Array, columns: Columns, lengthscales: Array) -> tuple[Array, Array]:
    """Matern-5/2 correlations (q, n) of scaled features ``a`` (q, m) and ``b`` (n, m), and their gradients (q, n, c) by the
    numeric columns of the rows of ``a``."""
    k, slope = matern(squared_distances(a, b))
    features = columns.starts[columns.numeric]
    return k, slope[:, :, None] * (b[:, features] - a[:, None, features]) / lengthscales[columns.numeric]


def by_lengthscale(w: Array, scaled: Array, columns: Columns) -> Array:
    """sum_ab w_ab (z_a - z_b)^2 for the features of each column, shape (d,): ``w`` (n, n) symmetric, ``scaled`` (n, m) the
    features over their lengthscales. It takes only products with z: 2 (sum_a z_a^2 (w 1)_a - z^T w z)."""
    own, crossed = np.einsum("ij,ij,i->j", scaled, scaled, w.sum(axis=1)), np.einsum("ij,ij->j", scaled, w @ scaled)
    return columns.sum_by_column(2.0 * (own - crossed))
