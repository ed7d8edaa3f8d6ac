"""The surrogate of one suggestion: a mixture of GPs, values for pending trials, and log expected improvement over it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.acquisition import (
    log_expected_improvement,
    log_expected_improvement_with_slopes,
    log_sum,
    log_worth_of_looking,
    log_worth_slope,
)
from rekindle.search.bayesian.feasibility import Feasibility
from rekindle.search.bayesian.gp import GP

Array = NDArray[np.float64]

#: Share of the noise that makes another look at a known spot worth less: part of what looks like noise is the objective.
_LOOK = 0.1
#: Once trials fail, log expected improvement counts in full down to this level, and hardly below it: where little is to be
#: gained, the likelier success wins.
_LOG_TRIFLE, _BELOW = -9.0, 0.05
#: So many pending trials are taken to come out as expected, more are drawn: among many whose values are known the model is sure
#: of everything near them, and the next ones clump.
_FEW = 9
#: Variance of the noise with which a value that was not observed counts as seen.
_AS_SEEN = 1e-6


@dataclass(frozen=True)
class Member:
    """One GP of the mixture; ``best`` (m,) is the incumbent of each set of values. An improvement counts as far as it goes
    beyond ``lower`` (>= 0, in model values) below the incumbent."""

    gp: GP
    weight: float
    best: Array
    lower: float = 0.0

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean (q, m) and variance (q,) of f at rows ``x``, in model values."""
        mean, variance = self.gp.predict(x)
        return mean.reshape(len(x), -1), variance

    def log_improvement(self, x: Array) -> Array:
        """Log expected improvement (q,), averaged over the sets of values."""
        mean, variance = self.predict(x)
        values = log_expected_improvement(mean, np.sqrt(variance)[:, None], self.best - self.lower)
        return log_sum(values, axis=1) - math.log(values.shape[1]) + log_worth_of_looking(variance, self._look)

    def log_improvement_with_gradients(self, x: Array) -> tuple[Array, Array]:
        """The same at rows ``x`` (q, d), and its gradients (q, d)."""
        mean, variance, dmean, dvariance = self.gp.predict_with_gradients(x)
        deviation = np.sqrt(variance)[:, None]
        values, by_mean, by_deviation = log_expected_improvement_with_slopes(mean, deviation, self.best - self.lower)
        total = log_sum(values, axis=1)
        share = np.exp(values - total[:, None])
        by_variance = 0.5 * np.sum(share * by_deviation, axis=1) / deviation[:, 0] + log_worth_slope(variance, self._look)
        gradient = ((share * by_mean)[:, None, :] @ dmean)[:, 0] + by_variance[:, None] * dvariance
        return total - math.log(values.shape[1]) + log_worth_of_looking(variance, self._look), gradient

    @property
    def _look(self) -> float:
        return _LOOK * self.gp.noise


@dataclass(frozen=True)
class Acquisition:
    """log sum_i w_i EI_i(x) + the reward of success at x: what the next trial maximises."""

    members: Sequence[Member]
    feasibility: Feasibility | None = None
    weights: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, x: Array) -> Array:
        """Values (q,) at rows ``x`` (q, d)."""
        terms = np.array([m.log_improvement(x) + math.log(m.weight) for m in self.members])
        value = log_sum(terms)
        if self.feasibility is None:
            return value
        return _flattened(value) + self.feasibility.reward(x)

    def with_gradients(self, x: Array) -> tuple[Array, Array]:
        """Values at rows ``x`` (q, d) and their gradients (q, d), zero on categorical columns."""
        found = [m.log_improvement_with_gradients(x) for m in self.members]
        terms = np.array([value + math.log(m.weight) for (value, _), m in zip(found, self.members, strict=True)])
        total = log_sum(terms)
        gradient = np.einsum("kq,kqd->qd", np.exp(terms - total), np.array([g for _, g in found]))
        if self.feasibility is None:
            return total, gradient
        reward, slope = self.feasibility.reward_with_gradients(x)
        share = np.exp(total - np.logaddexp(total, _LOG_TRIFLE)) + _BELOW * (1.0 - np.tanh(_BELOW * total) ** 2)
        return _flattened(total) + reward, share[:, None] * gradient + slope

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean (q,) and deviation (q,) of the mixture, in model values."""
        weights = np.array([m.weight for m in self.members])
        weights = weights / weights.sum()
        parts = [m.predict(x) for m in self.members]
        means = np.array([mean.mean(axis=1) for mean, _ in parts])
        spreads = np.array([mean.var(axis=1) + variance for mean, variance in parts])
        mean = weights @ means
        return mean, np.sqrt(np.maximum(weights @ (spreads + (means - mean) ** 2), 0.0))


def _flattened(value: Array) -> Array:
    return np.asarray(np.logaddexp(value, _LOG_TRIFLE) + np.tanh(_BELOW * value))


def member(
    gp: GP, weight: float, own: slice, pending: Array, fantasies: int, rng: np.random.Generator, lower: float = 0.0
) -> Member:
    """A member of the mixture that knows of pending rows (p, d): a few come out as expected, of the values of more there are
    ``fantasies`` joint draws.

    The incumbent is the best posterior mean among the GP's rows ``own`` and the pending ones, in each draw.
    """
    if len(pending):
        gp = as_expected(gp, pending) if len(pending) <= _FEW else _with_fantasies(gp, pending, fantasies, rng)
        own = slice(own.start, len(gp.x))
    fitted = gp.fitted()[own]
    return Member(gp, weight, np.min(fitted.reshape(len(fitted), -1), axis=0), lower)


def as_expected(gp: GP, x: Array) -> GP:
    """The GP after rows ``x`` (p, d) came out as it expects (a "kriging believer", Ginsbourger et al. 2010): it is sure of
    them, and its mean is everywhere what it was."""
    return gp.with_rows(x, gp.mean(x), _AS_SEEN - gp.noise)


def _with_fantasies(gp: GP, pending: Array, fantasies: int, rng: np.random.Generator) -> GP:
    mean, _ = gp.predict(pending)
    values, vectors = np.linalg.eigh(gp.covariance(pending))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    draws = rng.standard_normal((len(pending), fantasies // 2))
    return gp.with_rows(pending, mean[:, None] + root @ np.hstack([draws, -draws]), _AS_SEEN - gp.noise)
