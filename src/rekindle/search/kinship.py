"""One Gaussian process over a new search and its parents: each parent's objective is kin to the new one, more or less.

Task 0 is the new search, parent i is task i. The kernel between row a of task s and row b of task t is

    signal * rho_s * rho_t * k(a, b)                              for s != t
    signal * k(a, b)                                              for s = t > 0, one parent's rows
    signal * (rho_0^2 * k(a, b) + (1 - rho_0^2) * own(a, b))      for s = t = 0, the new search's rows

(an intrinsic coregionalisation model, Bonilla et al. 2008, in the shape of a star). Its centre is what all tasks share;
rho_s = exp(-distance_s) in (0, 1] is the correlation of task s with it, and rho_0 rho_i that of parent i's objective with the
new one at the same configuration. k and own are Matern kernels. k has the lengthscales that the parents' results gave; those of
own are the new search's, with the usual priors: what parents do not know of may be rougher than what they do, and a new search
that has nothing in common with them (rho_0 near 0) is modelled as if it had none. Parents that agree with each other are near
to the centre before the new search has any result; its results then move each task nearer or farther (MAP).

Parents' values are in units of their own. Values y of the new search are u y + v in the parents' unit: v has a flat prior;
log u has a mixture of two normal ones, of which one says that the parents' raw unit is the new search's too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from rekindle.search.bayesian.fit import Priors, negative_log_likelihood
from rekindle.search.bayesian.gp import GP, Hyperparameters
from rekindle.search.bayesian.kernel import (
    BIAS,
    Columns,
    by_lengthscale,
    correlation,
    correlations_with_gradients,
    matern,
    squared_distances,
)
from rekindle.search.bayesian.subsets import chosen_rows, spread_set, working_set

Array = NDArray[np.float64]
T = TypeVar("T")

#: Prior of a parent's distance: mode and deviation of its logarithm. The mode is a correlation of 0.9.
_DISTANCE = (0.1, 0.7)
#: The same of the new search's own distance.
_OWN_DISTANCE = (0.1, 1.0)
#: How far the new search's results may move the logarithms of what the parents' results gave: of the signal, of the distances,
#: of the noise.
_FREE_SIGNAL, _FREE_DISTANCE, _FREE_NOISE = 0.4, 0.7, 1.0
#: Rows that hyperparameters are fitted to: of the parents alone, of the new search.
_START_ROWS, _OWN_ROWS = 160, 120
#: Rows of the parents in the fit, and in the model, beside no row of the new search, and how many stay beside many: each row of
#: the new search takes the place of one of theirs.
_FIT_ROWS, _LENT_ROWS = (80, 40), (180, 60)
#: Rows of the new search that the model holds.
_KEPT_ROWS = 300
#: Fits that are kept in memory.
_KEPT_FITS = 16
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


@dataclass(frozen=True)
class Own:
    """What the new search has to itself: its distance from the centre, and the lengthscales (d,) of its own part."""

    distance: float
    lengthscales: Array

    @property
    def shared(self) -> float:
        """The share of the variance of the new search's f that it has in common with the centre."""
        return math.exp(-2.0 * self.distance)


@dataclass(frozen=True)
class KinGP(GP):
    """A GP whose first rows are parents': ``lent`` (m, k) are their memberships; the rows after them are the new search's,
    as is what it predicts. ``own`` is the part of the new search that no parent shares."""

    lent: Array = field(default_factory=lambda: np.zeros((0, 0)))
    distances: Array = field(default_factory=lambda: np.zeros(0))
    own: Own = field(default_factory=lambda: Own(0.0, np.zeros(0)))

    @property
    def kinship(self) -> Array:
        """The correlation of each parent with the new search, shape (k,)."""
        return np.exp(-self.distances - self.own.distance)

    def fitted(self) -> Array:
        """Posterior mean of the new search's f at all rows, parents' too."""
        own = super().fitted()
        lent = self.mean(np.clip(self.x[: len(self.lent)], 0.0, 1.0))
        return np.concatenate([lent, own[len(self.lent) :]])

    @cached_property
    def _likeness(self) -> Array:
        apart = np.concatenate([self.lent @ self.distances, np.full(len(self.x) - len(self.lent), self.own.distance)])
        return np.asarray(np.exp(-apart - self.own.distance))

    @cached_property
    def _own_rows(self) -> Array:
        """Features of the new search's rows over the lengthscales of its own part."""
        return self._own_scaled(self.x[len(self.lent) :])

    def _own_scaled(self, x: Array) -> Array:
        return self.columns.features(x) / self.own.lengthscales[self.columns.owner]

    def _own_correlation(self, x: Array) -> Array:
        return (1.0 - self.own.shared) * correlation(squared_distances(self._own_rows, self._own_scaled(x)))

    def _cross_with_gradients(self, x: Array) -> tuple[Array, Array]:
        k, dk = correlations_with_gradients(self._scaled(x), self._z, self.columns, self.hyper.lengthscales)
        k, dk = k * self._likeness, dk * self._likeness[:, None]
        own, down = correlations_with_gradients(self._own_scaled(x), self._own_rows, self.columns, self.own.lengthscales)
        k[:, len(self.lent) :] += (1.0 - self.own.shared) * own
        dk[:, len(self.lent) :] += (1.0 - self.own.shared) * down
        return self.hyper.signal * k + self.bias, self.hyper.signal * dk

    def _cross(self, x: Array) -> Array:
        k = correlation(squared_distances(self._z, self._scaled(x)))
        k *= self._likeness[:, None]
        k[len(self.lent) :] += self._own_correlation(x)
        k *= self.hyper.signal
        k += self.bias
        return k

    def _prior_covariance(self, z: Array, x: Array) -> Array:
        own = self._own_scaled(x)
        k = self.own.shared * correlation(squared_distances(z, z))
        k += (1.0 - self.own.shared) * correlation(squared_distances(own, own))
        return np.asarray(self.hyper.signal * k + self.bias)

    def _covariance_of_rows(self, z: Array) -> Array:
        m = len(self.lent)
        k = correlation(squared_distances(z, z)) * likeness(self.lent, self.distances, len(z) - m, self.own.distance)
        k[m:, m:] += self._own_correlation(self.x[m:])
        return np.asarray(self.hyper.signal * k + self.bias)


def likeness(lent: Array, distances: Array, n: int = 0, own: float = 0.0) -> Array:
    """rho_s rho_t, or 1 for the same task, of rows of parents with memberships ``lent`` (m, k), 1 in the column of each row's
    parent, and ``n`` rows of the new search after them: shape (m + n, m + n). ``distances`` (k,) and ``own`` are those of the
    parents and of the new search from the centre."""
    apart = np.append(distances, own)
    between = np.exp(-np.add.outer(apart, apart))
    between[np.diag_indices(len(distances))] = 1.0
    task = np.concatenate([lent @ np.arange(len(distances)), np.full(n, len(distances))]).astype(np.intp)
    return np.asarray(between[task[:, None], task])


@dataclass(frozen=True)
class Results:
    """Results of the new search: rows ``x`` (n, d), model values ``y`` (n,), and the unit of the latter in the objective's."""

    x: Array
    y: Array
    unit: float

    @property
    def key(self) -> bytes:
        """Their content, for what is kept by it."""
        return self.x.tobytes() + self.y.tobytes() + np.float64(self.unit).tobytes()

    def kept(self, most: int) -> Results:
        """At most so many of them."""
        chosen = working_set(self.y, most)
        return Results(self.x[chosen], self.y[chosen], self.unit)


@dataclass(frozen=True)
class Kept(Generic[T]):
    """Fits by the results that they are made of, the last few: what is found here is what would be made anew."""

    _found: dict[bytes, T] = field(default_factory=dict)

    def get(self, key: bytes, make: Callable[[], T]) -> T:
        """What is kept by ``key``, or else what ``make`` gives."""
        found = self._found.get(key)
        if found is None:
            found = make()
            if len(self._found) >= _KEPT_FITS:
                self._found.clear()
            self._found[key] = found
        return found


@dataclass(frozen=True)
class Family:
    """The parents' rows: ``x`` (m, d) in the new search's cube, ``y`` (m,) in each parent's own standard units, ``members``
    (m, k), ``noise`` (m,) the variance of each row's noise as its own parent's model found it; ``units`` (k,) the parents'
    standard units in the objective's unit; ``priors`` of the hyperparameters that they share; ``own_priors`` of the
    lengthscales that the new search has to itself."""

    columns: Columns
    x: Array
    y: Array
    members: Array
    noise: Array
    units: Array
    priors: Priors
    own_priors: Priors = field(default_factory=Priors)
    _fits: Kept[tuple[Theta, Own]] = field(default_factory=Kept, repr=False, compare=False)
    _units: Kept[tuple[float, float]] = field(default_factory=Kept, repr=False, compare=False)

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
        lent = spread_set(len(self.y), _START_ROWS)
        noise = self._excess(math.exp(at[-1]))[lent]
        rest = (self.columns.features(self.x[lent]), self.y[lent], self.members[lent], self.columns, at, spread, noise)
        kinds = ["lengthscale"] * d + ["distance"] * self.size + ["signal", "noise"]
        return Theta.from_log(_minimum(lambda theta: negative_log_posterior(theta, *rest), at, kinds, 30), self.size)

    @cached_property
    def alone(self) -> KinGP:
        """The model of the new search before it has any result, in the parents' units."""
        own = Own(_OWN_DISTANCE[0], np.exp(self.own_priors.modes(self.columns.size)[:-2]))
        return self._model(self.start, own, np.zeros((0, self.columns.size)), np.zeros(0), 1.0, 0.0)

    def unit(self, results: Results) -> tuple[float, float]:
        """(u, v): values y (n,) of ``results`` are u y + v in the parents' unit. log u is its mean given y, v the most probable
        given u."""
        return self._units.get(results.key, lambda: self._unit_of(results.x, results.y, results.unit))

    def _unit_of(self, x: Array, y: Array, unit: float) -> tuple[float, float]:
        if len(y) == 0:
            return 1.0, 0.0
        mean = self.alone.mean(x)
        precision = np.linalg.inv(self.alone.covariance(x) + np.eye(len(y)) * (self.start.hyper.noise + 1e-4))
        ones = precision.sum(axis=1)
        free = precision - np.outer(ones, ones) / ones.sum()
        u = 1.0
        if len(y) > 1 and np.ptp(y) > 0:
            u = self._scale(float(y @ free @ y), float(y @ free @ mean), len(y), unit)
        return u, float(ones @ (mean - u * y) / ones.sum())

    def _scale(self, yy: float, ym: float, n: int, unit: float) -> float:
        raw = np.log(self.units)
        known, deviation = math.log(unit) - float(raw.mean()), max(_UNIT_KNOWN, float(raw.std()))
        vague = math.log(1 - _UNIT_SHARE) - 0.5 * (_UNITS / _UNIT_VAGUE) ** 2 - math.log(_UNIT_VAGUE)
        near = math.log(_UNIT_SHARE) - 0.5 * ((_UNITS - known) / deviation) ** 2 - math.log(deviation)
        u = np.exp(_UNITS)
        density = u * ym - 0.5 * u * u * yy + (n - 1) * _UNITS + np.logaddexp(vague, near)
        weight = np.exp(density - density.max())
        return math.exp(round(float(weight @ _UNITS / weight.sum()) / _STEP) * _STEP)

    def model(self, results: Results, fitted_to: Results) -> tuple[KinGP, slice]:
        """The model of the new search's ``results``, in their unit, with the hyperparameters of ``fitted_to``, and which of its
        rows the incumbent is sought in: its own, or while it has none the parents'."""
        results, fitted_to = results.kept(_KEPT_ROWS), fitted_to.kept(_KEPT_ROWS)
        gp = self._model(*self._fit(fitted_to), results.x, results.y, *self.unit(results))
        return gp, slice(len(gp.lent), None) if len(results.y) else slice(0, len(gp.lent))

    def _fit(self, results: Results) -> tuple[Theta, Own]:
        """The most probable hyperparameters given ``results``, too; kept for the next suggestions."""
        if len(results.y) < 2:
            return self.start, self.alone.own
        return self._fits.get(results.key, lambda: self._moved(results))

    def _moved(self, results: Results) -> tuple[Theta, Own]:
        """The most probable hyperparameters given ``results``, too. Of the lengthscales of the shared part only the parents
        tell."""
        u, v = self.unit(results)
        chosen = results.kept(_OWN_ROWS)
        x, y = chosen.x, u * chosen.y + v
        start, d, lent = self.start, self.columns.size, self._beside(len(y), *_FIT_ROWS)
        z = self.columns.features(np.vstack([self.x[lent], x]))
        scaled = z / start.hyper.lengthscales[self.columns.owner]
        level = [math.log(start.hyper.signal), math.log(start.hyper.noise)]
        together = Together(
            columns=self.columns,
            shared=correlation(squared_distances(scaled, scaled)),
            z=z[len(lent) :],
            y=np.concatenate([self.y[lent], y]),
            lent=self.members[lent],
            row_noise=np.concatenate([self._excess(start.hyper.noise)[lent], np.zeros(len(y))]),
            priors=self.own_priors,
            modes=np.concatenate([[math.log(_OWN_DISTANCE[0])], np.log(start.distances), level]),
            deviations=np.array([_OWN_DISTANCE[1], *([_FREE_DISTANCE] * self.size), _FREE_SIGNAL, _FREE_NOISE]),
        )
        kinds = ["lengthscale"] * d + ["distance"] * (1 + self.size) + ["signal", "noise"]
        modes = np.concatenate([self.own_priors.modes(d)[:-2], together.modes])
        best = np.exp(_minimum(together.negative_log_posterior, modes, kinds, 12))
        hyper = Hyperparameters(start.hyper.lengthscales, float(best[-2]), float(best[-1]))
        return Theta(hyper, best[d + 1 : -2]), Own(float(best[d]), best[:d])

    def _model(self, theta: Theta, own: Own, x: Array, y: Array, u: float, v: float) -> KinGP:
        """The GP in the unit of ``y``."""
        hyper = Hyperparameters(theta.hyper.lengthscales, theta.hyper.signal / u**2, theta.hyper.noise / u**2)
        lent = self._beside(len(y), *_LENT_ROWS)
        noise = np.concatenate([self._excess(theta.hyper.noise)[lent] / u**2, np.zeros(len(y))])
        rows, values = np.vstack([self.x[lent], x]), np.concatenate([(self.y[lent] - v) / u, y])
        return KinGP(rows, values, self.columns, hyper, noise, self.members[lent], theta.distances, own, bias=BIAS / u**2)

    def _beside(self, n: int, most: int, least: int) -> NDArray[np.intp]:
        """Which rows of the parents to use beside ``n`` of the new search."""
        each = max(most - n, least) // self.size
        parts = [chosen_rows(np.flatnonzero(member), self.y, each) for member in self.members.T]
        return np.concatenate(parts)

    def _excess(self, noise: float) -> Array:
        return np.maximum(self.noise - noise, 0.0)


def _minimum(f: Callable[[Array], tuple[float, Array]], start: Array, kinds: Sequence[str], iterations: int) -> Array:
    """Where ``f``, given with its gradient, is least near logarithms ``start`` of figures of these kinds, rounded."""
    low, high = np.log(np.array([_BOUNDS[kind] for kind in kinds])).T
    start = np.clip(start, low, high)
    options = {"maxiter": iterations, "ftol": 1e-6, "gtol": 1e-4}
    found = minimize(f, start, method="L-BFGS-B", jac=True, bounds=np.column_stack([low, high]), options=options)
    return np.asarray(np.round((found.x if np.isfinite(found.fun) else start) / _STEP) * _STEP)


def negative_log_posterior(
    theta: Array, z: Array, y: Array, members: Array, columns: Columns, modes: Array, deviations: Array, row_noise: Array
) -> tuple[float, Array]:
    """Minus log p(y | theta) - log p(theta) of the logarithmic hyperparameters that parents share, and its gradient."""
    t = Theta.from_log(theta, members.shape[1])
    scaled = z / t.hyper.lengthscales[columns.owner]
    k, slope = matern(squared_distances(scaled, scaled))
    np.fill_diagonal(k, 1.0)
    alike = t.hyper.signal * likeness(members, t.distances)
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


@dataclass(frozen=True)
class Together:
    """What hyperparameters are fitted to: parents' rows with memberships ``lent`` (m, k), then the new search's with features
    ``z`` (n, .); values ``y`` (m + n,) in the parents' units, ``row_noise`` the same shape; ``shared`` (m + n, m + n) the
    correlations of the shared part. ``priors`` are those of the new search's own lengthscales, ``modes`` and ``deviations``
    those of the other logarithms, (k + 3,)."""

    columns: Columns
    shared: Array
    z: Array
    y: Array
    lent: Array
    row_noise: Array
    priors: Priors
    modes: Array
    deviations: Array

    def negative_log_posterior(self, theta: Array) -> tuple[float, Array]:
        """Minus log p(y | theta) - log p(theta), and its gradient, of the logarithms of (own lengthscales (d,), own distance,
        parents' distances (k,), signal, noise)."""
        d, m, n = self.columns.size, len(self.lent), len(self.z)
        e = np.exp(theta)
        own, signal, noise = float(e[d]), float(e[-2]), float(e[-1])
        scaled = self.z / e[:d][self.columns.owner]
        k, slope = matern(squared_distances(scaled, scaled))
        k *= signal * (1.0 - math.exp(-2.0 * own))
        slope *= signal * (1.0 - math.exp(-2.0 * own))
        common = signal * self.shared * likeness(self.lent, e[d + 1 : -2], n, own)
        cov = common + BIAS
        cov[m:, m:] += k
        cov[np.diag_indices(m + n)] += noise + self.row_noise + 1e-9
        value, g = negative_log_likelihood(cov, self.y)
        if g is None:
            return value, np.zeros_like(theta)
        gradient = np.empty_like(theta)
        alone = float(np.sum(g[m:, m:] * k))
        gradient[:d] = by_lengthscale(0.5 * g[m:, m:] * slope, scaled, self.columns)
        gradient[-1] = 0.5 * noise * float(np.trace(g))
        g *= common
        gradient[-2] = 0.5 * (float(g.sum()) + alone)
        gradient[d:-2] = self._by_distance(g, alone, own, e[d + 1 : -2])
        penalty, bent = self._penalty(theta)
        return value + penalty, gradient + bent

    def _by_distance(self, g: Array, alone: float, own: float, distances: Array) -> Array:
        """Gradient by the logarithms of the own distance and the parents', from G times the shared kernel, and the sum of G
        times the own one."""
        m = len(self.lent)
        to_own = alone * math.exp(-2.0 * own) / -math.expm1(-2.0 * own)
        apart = 2.0 * (self.lent.T @ g[:m].sum(axis=1) - np.einsum("ai,ai->i", self.lent, g[:m, :m] @ self.lent))
        crossed = float(g[m:].sum())
        return np.concatenate([[own * (to_own - crossed)], -0.5 * distances * apart])

    @cached_property
    def _level(self) -> Array:
        """Modes of signal and noise under the usual priors, of which only those of the lengthscales count here."""
        return self.priors.modes(self.columns.size)[-2:]

    def _penalty(self, theta: Array) -> tuple[float, Array]:
        d = self.columns.size
        value, gradient = self.priors.penalty(np.concatenate([theta[:d], self._level]))
        away = (theta[d:] - self.modes) / self.deviations
        return value + 0.5 * float(away @ away), np.concatenate([gradient[:d], away / self.deviations])


def family_of(columns: Columns, lent: Sequence[tuple[Array, Array, Array]], units: Sequence[float], priors: Priors) -> Family:
    """The family of parents that lend rows (m, d), values (m,) in their standard units, and noise variances (m,), each."""
    x, y, noise = (np.concatenate(parts) for parts in zip(*lent, strict=True))
    members = np.repeat(np.eye(len(lent)), [len(values) for _, values, _ in lent], axis=0)
    return Family(columns, x, y, members, noise, np.array(units), priors)
