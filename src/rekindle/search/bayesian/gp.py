"""Gaussian process regression on the unit cube: Matern-5/2 with a lengthscale for each parameter.

The kernel, for two rows a and b of the cube and the lengthscales l_j::

    r2(a, b) = sum over numeric j of (w_j(a_j) - w_j(b_j))^2 / l_j^2  +  sum over categorical j of [a_j != b_j] / l_j^2
    k(a, b)  = s2 (1 + sqrt(5) r + 5/3 r2) exp(-sqrt(5) r) + bias          (bias: a constant mean, integrated out)

The mean before any value is 0, or a bowl: 0 in the middle of the numeric columns and higher at their ends. Observations are
y = f + noise. Everything is for values near mean 0 and deviation 1: standardise first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack, solve_triangular
from scipy.optimize import minimize

from rekindle.search.bayesian.blas import single_thread

Array = NDArray[np.float64]

_SQRT5 = math.sqrt(5.0)
#: Variance of the constant mean's prior; values are standardised.
BIAS = 1.0
#: Jitters tried, relative to the signal, until the kernel matrix has a Cholesky factor.
_JITTERS = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
#: Rows predicted at once: what fits into the processor's cache is done in half the time.
_BLOCK = 192
#: Fitted hyperparameters are rounded to this step of their logarithm: rounding errors of the fit end here.
_THETA_STEP = 2.0**-10


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
class Priors:
    """Log-normal priors, each as (mode, deviation of the logarithm).

    The lengthscales' modes grow with the square root of the dimension (Hvarfner et al., ICML 2024). A factor of deviation
    ``shared`` is common to all of them, so that a few values tell of one lengthscale before they tell of each. Below the mode
    the density falls as with deviation ``shorter``: noise looks like a function of tiny lengthscales, and a parameter whose
    lengthscale is tiny cannot be learnt from the few dozen values that a search has.
    """

    lengthscale: tuple[float, float] = (0.2, 1.3)
    signal: tuple[float, float] = (0.6, 1.0)
    noise: tuple[float, float] = (0.005, 1.5)
    least_noise: float = 1e-6
    least_lengthscale: float = 0.02
    shared: float = 0.8
    shorter: float = 0.6

    def modes(self, d: int) -> Array:
        """Logarithms of the modes, shape (d + 2,): where a fit starts."""
        return np.log([self.lengthscale[0] * math.sqrt(max(d, 1))] * d + [self.signal[0], self.noise[0]])

    def deviations(self, d: int) -> Array:
        """Deviations of the logarithms, shape (d + 2,)."""
        return np.array([self.lengthscale[1]] * d + [self.signal[1], self.noise[1]])

    def bounds(self, d: int) -> list[tuple[float, float]]:
        """Bounds of the logarithms."""
        lengthscale = (math.log(self.least_lengthscale), math.log(1e3))
        return [lengthscale] * d + [(math.log(0.05), math.log(20.0)), (math.log(self.least_noise), math.log(4.0))]

    def penalty(self, theta: Array) -> tuple[float, Array]:
        """Minus the log density at ``theta`` (up to a constant), and its gradient."""
        d = len(theta) - 2
        away, deviations = theta - self.modes(d), self.deviations(d)
        gradient = away / deviations**2
        if self.shared > 0.0 and d > 0:
            # Covariance diag(own) + shared^2 1 1^T, inverted by Woodbury's identity.
            own = 1.0 / (deviations[:d] ** 2 - self.shared**2)
            gradient[:d] = own * (away[:d] - float(own @ away[:d]) / (self.shared**-2 + float(np.sum(own))))
        value = 0.5 * float(gradient @ away)
        short = np.minimum(away[:d], 0.0)
        more = np.maximum(self.shorter**-2 - deviations[:d] ** -2, 0.0)
        gradient[:d] += more * short
        return value + 0.5 * float(more @ short**2), gradient


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


def negative_log_posterior(theta: Array, z: Array, y: Array, columns: Columns, priors: Priors) -> tuple[float, Array]:
    """Minus log p(y | theta) - log p(theta), and its gradient, shape (d + 2,).

    The gradient of the first part is tr(G dK/dtheta) / 2 with the G of ``negative_log_likelihood``. For a lengthscale dK is
    s2 D * (z_a - z_b)^2 / l^2.
    """
    n = len(y)
    hyper = Hyperparameters.from_log(theta)
    scale = hyper.lengthscales[columns.owner]
    scaled = z / scale
    k, slope = matern(squared_distances(scaled, scaled))
    np.fill_diagonal(k, 1.0)
    cov = hyper.signal * k
    cov += BIAS
    cov[np.diag_indices(n)] += hyper.noise + _JITTERS[0]
    value, g = negative_log_likelihood(cov, y)
    if g is None:
        return value, np.zeros_like(theta)
    slope *= g
    slope *= 0.5 * hyper.signal
    gradient = np.empty_like(theta)
    gradient[:-2] = by_lengthscale(slope, scaled, columns)
    gradient[-2] = 0.5 * hyper.signal * float(np.einsum("ij,ij->", g, k))
    gradient[-1] = 0.5 * hyper.noise * float(np.trace(g))
    penalty, slope_of_penalty = priors.penalty(theta)
    return value + penalty, gradient + slope_of_penalty


def negative_log_likelihood(cov: Array, y: Array) -> tuple[float, Array | None]:
    """Minus log N(y; 0, cov) up to a constant, and G = cov^-1 - (cov^-1 y)(cov^-1 y)^T, twice its gradient by cov; a great
    number and None when cov (n, n) is not positive definite."""
    lower, failed = lapack.dpotrf(cov, lower=1, clean=1)
    if failed:
        return 1e10, None
    g = _inverse(lower)
    alpha = g @ y
    value = 0.5 * float(y @ alpha) + float(np.sum(np.log(np.diag(lower))))
    g -= np.outer(alpha, alpha)
    return value, g


def _inverse(lower: Array) -> Array:
    """The inverse of L L^T for a lower Cholesky factor L (n, n)."""
    if len(lower) == 0:
        # LAPACK would print a complaint.
        return lower
    inverse, _ = lapack.dpotri(lower, lower=1)
    # Above the diagonal it is zero, as the factor is.
    whole = inverse + inverse.T
    whole[np.diag_indices(len(lower))] *= 0.5
    return np.asarray(whole)


def by_lengthscale(w: Array, scaled: Array, columns: Columns) -> Array:
    """sum_ab w_ab (z_a - z_b)^2 for the features of each column, shape (d,): ``w`` (n, n) symmetric, ``scaled`` (n, m) the
    features over their lengthscales. It takes only products with z: 2 (sum_a z_a^2 (w 1)_a - z^T w z)."""
    own, crossed = np.einsum("ij,ij,i->j", scaled, scaled, w.sum(axis=1)), np.einsum("ij,ij->j", scaled, w @ scaled)
    return columns.sum_by_column(2.0 * (own - crossed))


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
        return _inverse(self._lower)

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


def fit(x: Array, y: Array, columns: Columns, priors: Priors | None = None, bowl: float = 0.0) -> GP:
    """The GP with the most probable hyperparameters for rows ``x`` (n, d) in the unit cube and values ``y`` (n,)."""
    with single_thread():
        return GP(x, y, columns, most_probable(x, y, columns, priors or Priors(), bowl), bowl=bowl)


def most_probable(x: Array, y: Array, columns: Columns, priors: Priors, bowl: float = 0.0) -> Hyperparameters:
    """The most probable hyperparameters (MAP) given rows ``x`` (n, d) and values ``y`` (n,), rounded: where L-BFGS ends that
    begins at the priors' modes, or these where it finds no number."""
    z, y, bounds = columns.features(x), y - bowl * columns.bowl(x), priors.bounds(columns.size)
    low, high = np.array(bounds).T
    start = np.clip(priors.modes(columns.size), low, high)
    options = {"maxiter": 15, "ftol": 1e-6, "gtol": 1e-4}
    rest = (z, y, columns, priors)
    found = minimize(negative_log_posterior, start, rest, "L-BFGS-B", jac=True, bounds=bounds, options=options)
    best = found.x if np.isfinite(found.fun) else start
    return Hyperparameters.from_log(np.round(best / _THETA_STEP) * _THETA_STEP)


def _cholesky(cov: Array, noise: Array | float, signal: float) -> Array:
    """Lower Cholesky factor of cov + noise on the diagonal, with as little jitter as it takes."""
    diagonal = np.diag_indices(len(cov))
    base = cov[diagonal] + noise
    for jitter in _JITTERS:
        cov[diagonal] = base + jitter * signal
        lower, failed = lapack.dpotrf(cov, lower=1, clean=1)
        if not failed:
            return np.asarray(lower)
    raise np.linalg.LinAlgError("the kernel matrix is not positive definite")
