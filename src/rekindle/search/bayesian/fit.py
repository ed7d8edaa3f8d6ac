"""The most probable hyperparameters of a Gaussian process: their priors, the likelihood, and the search for the best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import minimize

from rekindle.search.bayesian.blas import single_thread
from rekindle.search.bayesian.gp import GP, JITTERS, Hyperparameters, inverse_of
from rekindle.search.bayesian.kernel import BIAS, Columns, by_lengthscale, matern, squared_distances

Array = NDArray[np.float64]

#: Fitted hyperparameters are rounded to this step of their logarithm: rounding errors of the fit end here.
_THETA_STEP = 2.0**-10


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
    #: What the mode of each lengthscale is multiplied by; empty for 1 each.
    factors: tuple[float, ...] = ()

    def modes(self, d: int) -> Array:
        """Logarithms of the modes, shape (d + 2,): where a fit starts."""
        lengthscale = self.lengthscale[0] * math.sqrt(max(d, 1))
        return np.log([*(lengthscale * f for f in self.factors or (1.0,) * d), self.signal[0], self.noise[0]])

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
    cov[np.diag_indices(n)] += hyper.noise + JITTERS[0]
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
    g = inverse_of(lower)
    alpha = g @ y
    value = 0.5 * float(y @ alpha) + float(np.sum(np.log(np.diag(lower))))
    g -= np.outer(alpha, alpha)
    return value, g
