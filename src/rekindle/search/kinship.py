"""One Gaussian process over a new search and its parents: each parent's objective is kin to the new one, more or less.

The kernel between row a of task s and row b of task t (the new search is task 0, parent i is task i) is

    k(a, b) * rho_s * rho_t   for s != t,     k(a, b)   for s = t,     rho_0 = 1, rho_i = exp(-distance_i) in (0, 1]

(an intrinsic coregionalisation model, Bonilla et al. 2008, with the new search at the centre of a star). rho_i is the
correlation of parent i's objective with the new one at the same configuration. Parents that agree with each other are thus
near to the centre before the new search has any result; its results then move each parent nearer or farther. Distances are
fitted with the lengthscales (MAP), so a parent that the results contradict ends with no say.

Parents' values are in units of their own. Values y of the new search are u y + v in the parents' unit: v has a flat prior;
log u has a mixture of two normal ones, of which one says that the parents' raw unit is the new search's too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from rekindle.search.bayesian.gp import (
    BIAS,
    GP,
    Columns,
    Hyperparameters,
    Priors,
    by_lengthscale,
    matern,
    negative_log_likelihood,
    squared_distances,
)
from rekindle.search.bayesian.strategy import working_set

Array = NDArray[np.float64]

#: Prior of a parent's distance: mode and deviation of its logarithm. The mode is a correlation of 0.9.
_DISTANCE = (0.1, 0.7)
#: How far the new search's results may move the logarithms of what the parents' results gave: of the lengthscales and the
#: signal, of the distances, of the noise, of the lengthscale of a parameter that no parent searched.
_FREEDOM, _FREE_DISTANCE, _FREE_NOISE, _UNKNOWN = 0.4, 0.7, 1.0, 1.3
#: Rows that hyperparameters are fitted to: of the parents alone, of the parents beside the new search, of the new search.
_START_ROWS, _LENT_ROWS, _OWN_ROWS = 160, 80, 120
#: Rows of the new search that the model holds.
_KEPT_ROWS = 300
#: log u: deviation of the vague prior, least deviation of the one around the parents' raw unit, and the share of the latter.
_UNIT_VAGUE, _UNIT_KNOWN, _UNIT_SHARE = 1.0, 0.7, 0.7
_UNITS = np.linspace(-4.0, 2.5, 131)
_STEP = 2.0**-10
_BOUNDS = {"distance": (1e-3, 8.0), "signal": (0.05, 20.0), "noise": (1e-6, 4.0), "lengthscale": (0.02, 1e3)}


@dataclass(frozen=True)
class Theta:
    """Hyperparameters of the family: those of a GP, and the distance of each parent, shape (k,)."""

    hyper: Hyperparameters
    distances: Array

    @staticmethod
    def from_log(theta: Array, parents: int) -> Theta:
        """From logarithms (lengthscales..., distances..., signal, noise)."""
        d = len(theta) - parents - 2
        return Theta(Hyperparameters.from_log(np.delete(theta, np.s_[d : d + parents])), np.exp(theta[d : d + parents]))

    @property
    def log(self) -> Array:
        """The inverse of ``from_log``."""
        own = self.hyper.log
        return np.concatenate([own[:-2], np.log(self.distances), own[-2:]])


def likeness(a: Array, b: Array, distances: Array) -> Array:
    """rho_s rho_t, or 1 for the same task, of rows with memberships ``a`` (n, k) and ``b`` (q, k): 1 in a parent's column for
    its rows, all 0 for rows of the new search. Shape (n, q)."""
    apart = np.add.outer(a @ distances, b @ distances) - 2.0 * (a * distances) @ b.T
    return np.asarray(np.exp(-apart))


@dataclass(frozen=True)
class KinGP(GP):
    """A GP whose first rows are parents': ``lent`` (m, k) are their memberships; the rows after them are the new search's,
    as is what it predicts."""

    lent: Array = field(default_factory=lambda: np.zeros((0, 0)))
    distances: Array = field(default_factory=lambda: np.zeros(0))
    bias: float = BIAS

    @property
    def kinship(self) -> Array:
        """rho of each parent, shape (k,)."""
        return np.exp(-self.distances)

    def fitted(self) -> Array:
        """Posterior mean of the new search's f at all rows, parents' too."""
        own = super().fitted()
        lent = self.mean(np.clip(self.x[: len(self.lent)], 0.0, 1.0))
        return np.concatenate([lent, own[len(self.lent) :]])

    @property
    def _bias(self) -> float:
        return self.bias

    @cached_property
    def _members(self) -> Array:
        return np.vstack([self.lent, np.zeros((len(self.x) - len(self.lent), self.lent.shape[1]))])

    @cached_property
    def _likeness(self) -> Array:
        return np.exp(-self._members @ self.distances)

    def _to_rows(self, z: Array) -> tuple[Array, Array]:
        k, slope = super()._to_rows(z)
        return k * self._likeness, slope * self._likeness

    def _cross(self, x: Array) -> Array:
        k = matern(squared_distances(self._z, self._scaled(x)))[0]
        return self.hyper.signal * self._likeness[:, None] * k + self.bias

    def _covariance_of_rows(self, z: Array) -> Array:
        alike = likeness(self._members, self._members, self.distances)
        return self.hyper.signal * alike * matern(squared_distances(z, z))[0] + self.bias


@dataclass(frozen=True)
class Family:
    """The parents' rows: ``x`` (m, d) in the new search's cube, ``y`` (m,) in each parent's own standard units, ``members``
    (m, k), ``noise`` (m,) the variance of each row's noise as its own parent's model found it; ``units`` (k,) the parents'
    standard units in the objective's unit; ``priors`` of the hyperparameters that they share; ``freedom`` (d,) how far the new
    search's results may move the logarithm of each lengthscale."""

    columns: Columns
    x: Array
    y: Array
    members: Array
    noise: Array
    units: Array
    priors: Priors
    freedom: Array

    @property
    def size(self) -> int:
        """How many parents, k."""
        return len(self.units)

    @cached_property
    def start(self) -> Theta:
        """The most probable hyperparameters by the parents' rows alone."""
        d = self.columns.size
        modes, deviations = self.priors.modes(d), self.priors.deviations(d)
        mode, deviation = np.full(self.size, math.log(_DISTANCE[0])), np.full(self.size, _DISTANCE[1])
        at = np.concatenate([modes[:d], mode, modes[d:]])
        spread = np.concatenate([deviations[:d], deviation, deviations[d:]])
        return self._fit(at, spread, _some(len(self.y), _START_ROWS), np.zeros((0, d)), np.zeros(0), 30)

    @cached_property
    def alone(self) -> KinGP:
        """The model of the new search before it has any result, in the parents' units."""
        return self._model(self.start, np.zeros((0, self.columns.size)), np.zeros(0), 1.0, 0.0)

    def unit(self, x: Array, y: Array, unit: float) -> tuple[float, float]:
        """(u, v): values ``y`` (n,) of the new search at rows ``x`` are u y + v in the parents' unit. ``unit`` is the unit of
        y in that of the objective. log u is its mean given y, v the most probable given u."""
        if len(y) == 0:
            return 1.0, 0.0
        mean, _ = self.alone.predict(x)
        precision = np.linalg.inv(self.alone.covariance(x) + np.eye(len(y)) * (self.start.hyper.noise + 1e-4))
        ones = precision.sum(axis=1)
        free = precision - np.outer(ones, ones) / ones.sum()
        u = 1.0
        if len(y) > 1 and np.ptp(y) > 0:
            u = self._unit(float(y @ free @ y), float(y @ free @ mean), len(y), unit)
        return u, float(ones @ (mean - u * y) / ones.sum())

    def _unit(self, yy: float, ym: float, n: int, unit: float) -> float:
        raw = np.log(self.units)
        known, deviation = math.log(unit) - float(raw.mean()), max(_UNIT_KNOWN, float(raw.std()))
        vague = math.log(1 - _UNIT_SHARE) - 0.5 * (_UNITS / _UNIT_VAGUE) ** 2 - math.log(_UNIT_VAGUE)
        near = math.log(_UNIT_SHARE) - 0.5 * ((_UNITS - known) / deviation) ** 2 - math.log(deviation)
        u = np.exp(_UNITS)
        density = u * ym - 0.5 * u * u * yy + (n - 1) * _UNITS + np.logaddexp(vague, near)
        weight = np.exp(density - density.max())
        return math.exp(round(float(weight @ _UNITS / weight.sum()) / _STEP) * _STEP)

    def model(self, x: Array, y: Array, unit: float) -> tuple[KinGP, slice]:
        """The model of the new search's values ``y`` (n,) at rows ``x`` (n, d), in their unit, and which of its rows the
        incumbent is sought in: its own, or while it has none the parents'."""
        kept = working_set(y, _KEPT_ROWS)
        x, y = x[kept], y[kept]
        u, v = self.unit(x, y, unit)
        theta = self.start
        if len(y) > 1:
            own = working_set(y, _OWN_ROWS)
            spread = [*self.freedom, *([_FREE_DISTANCE] * self.size), _FREEDOM, _FREE_NOISE]
            lent = _some(len(self.y), _LENT_ROWS)
            theta = self._fit(theta.log, np.array(spread), lent, x[own], u * y[own] + v, 10)
        gp = self._model(theta, x, y, u, v)
        return gp, slice(len(self.y), None) if len(y) else slice(0, len(self.y))

    def _model(self, theta: Theta, x: Array, y: Array, u: float, v: float) -> KinGP:
        """The GP in the unit of ``y``."""
        hyper = Hyperparameters(theta.hyper.lengthscales, theta.hyper.signal / u**2, theta.hyper.noise / u**2)
        noise = np.concatenate([self._excess(theta.hyper.noise) / u**2, np.zeros(len(y))])
        rows, values = np.vstack([self.x, x]), np.concatenate([(self.y - v) / u, y])
        return KinGP(rows, values, self.columns, hyper, noise, self.members, theta.distances, BIAS / u**2)

    def _excess(self, noise: float) -> Array:
        return np.maximum(self.noise - noise, 0.0)

    def _fit(self, modes: Array, deviations: Array, lent: NDArray[np.intp], x: Array, y: Array, iterations: int) -> Theta:
        """MAP from log-normal priors, on parents' rows ``lent`` and own rows ``x`` with values ``y`` in the parents' units."""
        members = np.vstack([self.members[lent], np.zeros((len(x), self.size))])
        z = self.columns.features(np.vstack([self.x[lent], x]))
        values = np.concatenate([self.y[lent], y])
        noise = np.concatenate([self._excess(math.exp(modes[-1]))[lent], np.zeros(len(y))])
        kinds = ["lengthscale"] * self.columns.size + ["distance"] * self.size + ["signal", "noise"]
        bounds = [tuple(math.log(b) for b in _BOUNDS[kind]) for kind in kinds]
        low, high = np.array(bounds).T
        found = minimize(
            negative_log_posterior,
            np.clip(modes, low, high),
            (z, values, members, self.columns, modes, deviations, noise),
            "L-BFGS-B",
            jac=True,
            bounds=bounds,
            options={"maxiter": iterations, "ftol": 1e-6, "gtol": 1e-4},
        )
        best = found.x if np.isfinite(found.fun) else np.clip(modes, low, high)
        return Theta.from_log(np.round(best / _STEP) * _STEP, self.size)


def negative_log_posterior(
    theta: Array, z: Array, y: Array, members: Array, columns: Columns, modes: Array, deviations: Array, row_noise: Array
) -> tuple[float, Array]:
    """Minus log p(y | theta) - log p(theta) of the family's logarithmic hyperparameters, and its gradient."""
    t = Theta.from_log(theta, members.shape[1])
    scaled = z / t.hyper.lengthscales[columns.owner]
    k, slope = matern(squared_distances(scaled, scaled))
    np.fill_diagonal(k, 1.0)
    alike = t.hyper.signal * likeness(members, members, t.distances)
    k *= alike
    cov = k + BIAS
    cov[np.diag_indices(len(y))] += t.hyper.noise + row_noise + 1e-9
    value, g = negative_log_likelihood(cov, y)
    if g is None:
        return value, np.zeros_like(theta)
    d = columns.size
    gradient = np.empty_like(theta)
    gradient[:d] = by_lengthscale(0.5 * alike * g * slope, scaled, columns)
    gradient[-1] = 0.5 * t.hyper.noise * float(np.trace(g))
    g *= k
    apart = 2.0 * (members.T @ g.sum(axis=1) - np.einsum("ai,ab,bi->i", members, g, members, optimize=True))
    gradient[d:-2] = -0.5 * t.distances * apart
    gradient[-2] = 0.5 * float(g.sum())
    away = (theta - modes) / deviations
    return value + 0.5 * float(away @ away), gradient + away / deviations


def _some(n: int, limit: int) -> NDArray[np.intp]:
    """At most ``limit`` of ``n`` rows at even steps."""
    return np.unique(np.linspace(0, n - 1, min(n, limit)).astype(np.intp))


def family_of(
    columns: Columns,
    lent: Sequence[tuple[Array, Array, Array]],
    units: Sequence[float],
    priors: Priors,
    known: NDArray[np.bool_],
) -> Family:
    """The family of parents that lend rows (m, d), values (m,) in their standard units, and noise variances (m,), each;
    ``known`` (d,) are the columns along which some parent searched."""
    x, y, noise = (np.concatenate(parts) for parts in zip(*lent, strict=True))
    members = np.repeat(np.eye(len(lent)), [len(values) for _, values, _ in lent], axis=0)
    return Family(columns, x, y, members, noise, np.array(units), priors, np.where(known, _FREEDOM, _UNKNOWN))
