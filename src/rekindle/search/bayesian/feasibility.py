"""Where trials fail: a GP on labels, as a probability that multiplies expected improvement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from rekindle.search.bayesian.fit import Priors, fit
from rekindle.search.bayesian.gp import GP
from rekindle.search.bayesian.kernel import Columns

Array = NDArray[np.float64]

#: Labels: a success and a failure; the latent function has prior mean 0, so that nothing known means near success.
_OK, _FAILED = 0.0, 1.0
_THRESHOLD = 0.5
#: Variance added to the latent one, for a boundary that is not sharp.
_SOFTNESS = 0.01
#: How much more the part of log P(success) below log(1/2) weighs: expected improvement may be tiny everywhere else.
_AVERSION = 3.0
_LOG_HALF = math.log(0.5)
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
#: Priors for labels: shorter lengthscales than the objective's, and noise for failures that have no region.
_PRIORS = Priors((0.4, 0.7), (0.3, 0.5), (0.01, 1.0), least_noise=1e-3, least_lengthscale=0.15, shared=0.0, shorter=0.7)


@dataclass(frozen=True)
class Feasibility:
    """P(success at x) = Phi((1/2 - mean) / sqrt(variance + softness)) of a GP on labels 0 (success) and 1 (failure)."""

    gp: GP

    @staticmethod
    def of(succeeded: Array, failed: Array, columns: Columns) -> Feasibility | None:
        """Fitted to the rows (n, d) that succeeded and those (m, d) that failed; None when none failed."""
        if len(failed) == 0:
            return None
        labels = np.concatenate([np.full(len(succeeded), _OK), np.full(len(failed), _FAILED)])
        return Feasibility(fit(np.vstack([succeeded, failed]), labels, columns, _PRIORS))

    def log_probability(self, x: Array) -> Array:
        """log P(success), shape (q,), at rows ``x`` (q, d)."""
        mean, variance = self.gp.predict(x)
        return np.asarray(log_ndtr((_THRESHOLD - mean) / np.sqrt(variance + _SOFTNESS)))

    def reward(self, x: Array) -> Array:
        """What is added to log expected improvement, shape (q,): log P, and more where failure is likelier than success."""
        log_p = self.log_probability(x)
        return log_p + _AVERSION * np.minimum(log_p - _LOG_HALF, 0.0)

    def reward_with_gradients(self, x: Array) -> tuple[Array, Array]:
        """The rewards (q,) at rows ``x`` (q, d), and their gradients (q, d)."""
        log_p, gradient = self.with_gradients(x)
        below = log_p < _LOG_HALF
        steeper = np.where(below, 1.0 + _AVERSION, 1.0)
        return log_p + _AVERSION * np.where(below, log_p - _LOG_HALF, 0.0), steeper[:, None] * gradient

    def with_gradients(self, x: Array) -> tuple[Array, Array]:
        """log P(success) at rows ``x`` (q, d), shape (q,), and its gradients (q, d)."""
        mean, variance, dmean, dvariance = self.gp.predict_with_gradients(x)
        deviation = np.sqrt(variance + _SOFTNESS)
        z = (_THRESHOLD - mean[:, 0]) / deviation
        value = log_ndtr(z)
        ratio = np.exp(-0.5 * z * z - _LOG_SQRT_2PI - value)
        return value, (ratio / deviation)[:, None] * -dmean[:, 0] - (0.5 * ratio * z / deviation**2)[:, None] * dvariance
