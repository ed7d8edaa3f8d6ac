"""Gaussian process regression on the unit cube, with the kernel of ``kernel``.

The mean before any value is 0, or a bowl: 0 in the middle of the numeric columns and higher at their ends. Observations are
y = f + noise. Everything is for values near mean 0 and deviation 1: standardise first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack, solve_triangular

from rekindle.search.bayesian.kernel import BIAS, Columns, correlation, correlations_with_gradients, squared_distances

Array = NDArray[np.float64]

#: Jitters tried, relative to the signal, until the kernel matrix has a Cholesky factor.
JITTERS = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
#: Rows predicted at once: what fits into the processor's cache is done in half the time.
_BLOCK = 192


@dataclass(frozen=True)
class Hyperparameters:
    """What the kernel and the noise are: lengthscales (d,), signal variance, noise variance."""

    lengthscales: Array
    signal: float
    noise: float

    @staticmethod
    def from_log(theta: Array) -> Hyperparameters:
        """From (log lengthscales..., log signal, log noise), shape (d + 2,)."""
        e = np.exp(theta)
        return Hyperparameters(e[:-2], float(e[-2]), float(e[-1]))

    @property
    def log(self) -> Array:
        """The inverse of ``from_log``."""
        return np.asarray(np.log(np.concatenate([self.lengthscales, [self.signal, self.noise]])))


@dataclass(frozen=True)
class GP:
    """A Gaussian process conditioned on rows; frozen.

    ``x`` (n, d) lies in the unit cube, ``y`` is (n,) or, for several sets of values at the same rows, (n, m).
    ``row_noise`` is added to the noise variance of each row: a scalar, or (n,). ``bowl`` is the height of the prior mean at the
    corners of the numeric columns, in units of ``y``; ``bias`` the variance of the constant mean.
    """

    x: Array
    y: Array
    columns: Columns
    hyper: Hyperparameters
    row_noise: Array | float = 0.0
    bowl: float = field(default=0.0, kw_only=True)
    bias: float = field(default=BIAS, kw_only=True)
    _z: Array = field(init=False, repr=False, compare=False)
    _lower: Array = field(init=False, repr=False, compare=False)
    _alpha: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        z = self._scaled(self.x)
        lower = _cholesky(self._covariance_of_rows(z), self.hyper.noise + self.row_noise, self.hyper.signal)
        alpha = solve_triangular(lower, _plus(self.y, -self._prior_mean(self.x)), lower=True, check_finite=False)
        alpha = solve_triangular(lower, alpha, lower=True, trans=1, check_finite=False)
        for name, value in (("_z", z), ("_lower", lower), ("_alpha", alpha)):
            object.__setattr__(self, name, value)

    @property
    def noise(self) -> float:
        """Variance of the observation noise."""
        return self.hyper.noise

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean, shape (q,) or (q, m), and variance, shape (q,), of f (without noise) at rows ``x`` (q, d)."""
        if len(x) <= _BLOCK:
            return self._predict(x)
        parts = [self._predict(x[i : i + _BLOCK]) for i in range(0, len(x), _BLOCK)]
        return np.concatenate([mean for mean, _ in parts]), np.concatenate([variance for _, variance in parts])

    def _predict(self, x: Array) -> tuple[Array, Array]:
        k = self._cross(x)
        v = solve_triangular(self._lower, k, lower=True, check_finite=False)
        variance = self.hyper.signal + self.bias - np.einsum("ij,ij->j", v, v)
        return _plus(k.T @ self._alpha, self._prior_mean(x)), np.maximum(variance, 1e-12 * self.hyper.signal)

    def mean(self, x: Array) -> Array:
        """Mean (q,) or (q, m) of f at rows ``x`` (q, d)."""
        return _plus(self._cross(x).T @ self._alpha, self._prior_mean(x))

    def predict_with_gradients(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """At rows ``x`` (q, d): mean (q, m), variance (q,), d mean (q, m, d) and d variance (q, d).

        Gradients are by the numeric columns; those of categorical columns are zero.
        """
        k, dk = self._cross_with_gradients(x)
        weights = k @ self._inverse
        numeric = self.columns.numeric
        alpha = self._alpha[:, None] if self._alpha.ndim == 1 else self._alpha
        dmean, dvar = np.zeros((len(x), alpha.shape[1], x.shape[1])), np.zeros(x.shape)
        dmean[:, :, numeric] = alpha.T @ dk + self.bowl * self.columns.bowl_gradients(x)[:, None, :]
        dvar[:, numeric] = -2.0 * (weights[:, None, :] @ dk)[:, 0]
        variance = self.hyper.signal + self.bias - np.einsum("qn,qn->q", k, weights)
        return _plus(k @ alpha, self._prior_mean(x)), np.maximum(variance, 1e-12 * self.hyper.signal), dmean, dvar

    def covariance(self, x: Array) -> Array:
        """Posterior covariance of f at rows ``x``: (q, q)."""
        z = self._scaled(x)
        v = solve_triangular(self._lower, self._cross(x), lower=True, check_finite=False)
        return np.asarray(self._prior_covariance(z, x) - v.T @ v)

    def leave_one_out(self) -> tuple[Array, Array]:
        """For each row the mean and the variance of its y (with noise) given all other rows; shapes (n,), (n,).

        mean_i = y_i - (K^-1 y)_i / (K^-1)_ii, variance_i = 1 / (K^-1)_ii (Rasmussen and Williams, 5.12).
        """
        variance = 1.0 / np.diag(self._inverse)
        return self.y - self._alpha * variance, variance

    def fitted(self) -> Array:
        """Posterior mean of f at the GP's own rows, shape of ``y``: y - noise K^-1 y."""
        noise = np.broadcast_to(self.hyper.noise + self.row_noise, len(self.x))
        return np.asarray(self.y - (noise * self._alpha.T).T)

    def with_rows(self, x: Array, y: Array, row_noise: float = 0.0) -> GP:
        """The same hyperparameters with further rows ``x`` (p, d); ``y`` is (p,) or (p, m): sets of values.

        ``row_noise`` is added to the noise variance of the new rows; it may be negative, down to minus that variance.
        """
        old = self.y if y.ndim == 1 else np.repeat(self.y[:, None], y.shape[1], axis=1)
        noise = np.concatenate([np.broadcast_to(self.row_noise, len(self.x)), np.full(len(x), row_noise)])
        return replace(self, x=np.vstack([self.x, x]), y=np.concatenate([old, y]), row_noise=noise)

    @cached_property
    def _inverse(self) -> Array:
        return inverse_of(self._lower)

    def _prior_mean(self, x: Array) -> Array:
        return self.bowl * self.columns.bowl(x)

    def _scaled(self, x: Array) -> Array:
        return self.columns.features(x) / self.hyper.lengthscales[self.columns.owner]

    def _cross_with_gradients(self, x: Array) -> tuple[Array, Array]:
        """The kernel (q, n) between rows ``x`` (q, d) and the GP's rows, and its gradients (q, n, c) by the numeric columns."""
        k, dk = correlations_with_gradients(self._scaled(x), self._z, self.columns, self.hyper.lengthscales)
        return self.hyper.signal * k + self.bias, self.hyper.signal * dk

    def _cross(self, x: Array) -> Array:
        return self.hyper.signal * correlation(squared_distances(self._z, self._scaled(x))) + self.bias

    def _prior_covariance(self, z: Array, x: Array) -> Array:
        return self.hyper.signal * correlation(squared_distances(z, z)) + self.bias

    def _covariance_of_rows(self, z: Array) -> Array:
        return self._prior_covariance(z, self.x)


def _plus(values: Array, mean: Array) -> Array:
    """``values`` (n,) or (n, m) and a ``mean`` (n,) of each row."""
    return np.asarray(values + (mean if values.ndim == 1 else mean[:, None]))


def inverse_of(lower: Array) -> Array:
    """The inverse of L L^T for a lower Cholesky factor L (n, n)."""
    if len(lower) == 0:
        # LAPACK would print a complaint.
        return lower
    inverse, _ = lapack.dpotri(lower, lower=1)
    # Above the diagonal it is zero, as the factor is.
    whole = inverse + inverse.T
    whole[np.diag_indices(len(lower))] *= 0.5
    return np.asarray(whole)


def _cholesky(cov: Array, noise: Array | float, signal: float) -> Array:
    """Lower Cholesky factor of cov + noise on the diagonal, with as little jitter as it takes."""
    diagonal = np.diag_indices(len(cov))
    base = cov[diagonal] + noise
    for jitter in JITTERS:
        cov[diagonal] = base + jitter * signal
        lower, failed = lapack.dpotrf(cov, lower=1, clean=1)
        if not failed:
            return np.asarray(lower)
    raise np.linalg.LinAlgError("the kernel matrix is not positive definite")
