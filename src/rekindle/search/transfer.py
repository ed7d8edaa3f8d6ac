"""Warm start: what the results of earlier searches say to a new one, and a report of it.

Two kinds of parents. The rows of an ``identical`` parent count as rows of the new search's own model. A ``transfer`` parent
contributes its shape: a Gaussian process is fitted to its results, standardised by themselves, and the new search models
the residuals to a weighted sum of these means,

    f(x) = sum_i b_i m_i(x) + g(x),   b_i >= 0,   g a Gaussian process.

The weights b are fitted anew for each suggestion to the new search's own results (non-negative least squares, drawn to
the weights at start; the idea of RGPE, Feurer et al. 2018, and of stacking, without its sampling), so a parent whose shape
the results contradict loses its say. An identical parent whose results do not agree with the new ones is distrusted: it
counts as a transfer parent from then on. Everything is a pure function of (space, direction, seed, parents, history).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import rankdata

from rekindle.search.bayesian.blas import single_thread
from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.gp import GP, Hyperparameters, Priors, most_probable
from rekindle.search.bayesian.initial import design_point, sobol
from rekindle.search.bayesian.prior import Context, PriorModel, View
from rekindle.search.bayesian.targets import Targets
from rekindle.search.history import Direction, History, Parent
from rekindle.search.parent_rows import MAX_ROWS, ParentRows, best_rows, rows_of
from rekindle.search.space import Configuration, Space
from rekindle.search.strategy import generator

Array = NDArray[np.float64]

#: Fewer results than this are not worth a model: such a parent only names its best configurations.
MIN_ROWS = 4
#: All parents together lend at most this many rows: a suggestion's time grows with them.
_ALL_ROWS = 400
#: Rows that a parent model's hyperparameters are fitted to at most.
_FIT_ROWS = 120
#: Deviation of a child from the weighted sum of its parents, in units of a parent's own deviation.
_RESIDUAL = 0.5
#: How far a weight may stray from its start, relative to the scale of all.
_FREEDOM = 0.5
#: Lengthscale (in cubes) over which a parent's results fade along a parameter that it held constant.
_CONSTANT_LENGTHSCALE = 2.0
#: An identical parent is trusted while its results predict the new ones within this many deviations (root mean square).
_TRUST = 3.0
#: Below this weight a parent has no say.
_NO_SAY = 1e-6
#: Parents are judged by at most this many of the latest results.
_JUDGED = 200
#: Weight of the model with the parents' shape against the one without, before any evidence.
_FAITH = 0.8
#: Deviation of a child's logarithmic lengthscales from a parent's.
_LENGTHSCALE_DEVIATION = 0.7
#: Asked trials at which a point of the initial design is drawn for contrast, while transfer parents have a say.
_CONTRAST = (2, 5)


@dataclass(frozen=True)
class ParentModel:
    """The mean of one parent's objective over the new search's cube, in the parent's own standard units (less is better).

    ``reliability`` in [0, 1] is the share of the variance of its results that the model predicts leave-one-out.
    """

    gp: GP
    known: NDArray[np.bool_]
    reliability: float

    def mean(self, x: Array) -> Array:
        """The mean (q,) at rows ``x`` (q, d)."""
        return self.gp.mean(self._masked(x))

    def mean_with_gradient(self, x: Array) -> tuple[float, Array]:
        """The mean at one row (d,) and its gradient (d,)."""
        mean, slope = self.gp.mean_with_gradient(self._masked(x))
        return mean, slope * self.known

    def _masked(self, x: Array) -> Array:
        return np.where(self.known, x, 0.5)


@dataclass(frozen=True)
class StackedMean:
    """sum_i b_i m_i(x)."""

    models: tuple[ParentModel, ...]
    weights: Array

    def __call__(self, x: Array) -> Array:
        """The sum (q,) at rows ``x`` (q, d)."""
        total = np.zeros(len(x))
        for model, weight in zip(self.models, self.weights, strict=True):
            total += weight * model.mean(x)
        return total

    def with_gradient(self, x: Array) -> tuple[float, Array]:
        """The sum at one row (d,) and its gradient (d,)."""
        value, slope = 0.0, np.zeros(len(x))
        for model, weight in zip(self.models, self.weights, strict=True):
            m, g = model.mean_with_gradient(x)
            value, slope = value + weight * m, slope + weight * g
        return value, slope


def model_of(rows: ParentRows, encoding: Encoding, direction: Direction) -> ParentModel | None:
    """The model of a parent; None when it has too few results, or they are all the same.

    Failed trials count as the worst result.
    """
    succeeded = rows.succeeded
    if succeeded.sum() < MIN_ROWS:
        return None
    y = np.empty(len(rows.values))
    y[succeeded] = Targets.of(rows.values[succeeded], direction).forward(rows.values[succeeded])
    y[~succeeded] = y[succeeded].max()
    y -= y.mean()
    if not np.ptp(y) > 0:
        return None
    x, hyper = rows.x, _hyperparameters(rows, y, encoding)
    gp = GP(x, y, encoding.columns, hyper)
    left_out, _ = gp.leave_one_out()
    explained = 1.0 - float(np.mean((y - left_out) ** 2) / np.var(y))
    return ParentModel(gp, rows.known, min(max(explained, 0.0), 1.0))


def _hyperparameters(rows: ParentRows, y: Array, encoding: Encoding) -> Hyperparameters:
    subset = np.argsort(y, kind="stable")
    if len(y) > _FIT_ROWS:
        subset = subset[np.linspace(0, len(y) - 1, _FIT_ROWS).astype(np.intp)]
    hyper, _ = most_probable(rows.x[subset], y[subset], encoding.columns, Priors())
    constant = np.array([c.how == "constant" for c in rows.columns], dtype=bool)
    lengthscales = np.where(constant, np.maximum(hyper.lengthscales, _CONSTANT_LENGTHSCALE), hyper.lengthscales)
    return Hyperparameters(lengthscales, hyper.signal, hyper.noise)


@dataclass(frozen=True)
class KinPriors(Priors):
    """Log-normal priors with a mode and a deviation of their own for each hyperparameter."""

    learned_modes: tuple[float, ...] = ()
    learned_deviations: tuple[float, ...] = ()

    def modes(self, d: int) -> Array:
        """Logarithms of the modes, shape (d + 2,)."""
        return np.array(self.learned_modes)

    def deviations(self, d: int) -> Array:
        """Deviations of the logarithms, shape (d + 2,)."""
        return np.array(self.learned_deviations)


@dataclass(frozen=True)
class Kin:
    """All that follows from the parents alone: their rows, models and weights at start."""

    encoding: Encoding
    direction: Direction
    parents: tuple[Parent, ...]

    @cached_property
    def rows(self) -> tuple[ParentRows, ...]:
        """The rows of each parent."""
        limit = min(max(_ALL_ROWS // max(len(self.parents), 1), 60), MAX_ROWS)
        return tuple(rows_of(p, self.encoding, self.direction, limit) for p in self.parents)

    @cached_property
    def models(self) -> tuple[ParentModel | None, ...]:
        """The model of each parent."""
        return tuple(model_of(r, self.encoding, self.direction) for r in self.rows)

    @cached_property
    def probes(self) -> Array:
        """Rows spread over the cube, on which parents are compared."""
        return self.encoding.snap(sobol(len(self.encoding.space), 0, 256, generator(0)))

    @cached_property
    def start(self) -> Array:
        """Weights before any result, shape (parents,), with sum at most 1: reliability times agreement with the others."""
        trust = np.array([0.0 if m is None else m.reliability for m in self.models])
        if np.count_nonzero(trust) >= 3:
            trust = trust * self._agreement
        return trust / trust.sum() if trust.sum() > 0 else trust

    @cached_property
    def _agreement(self) -> Array:
        """For each parent the mean correlation of its shape with those of the others, at least 0.05."""
        shapes = np.array([np.zeros(len(self.probes)) if m is None else m.mean(self.probes) for m in self.models])
        shapes = shapes - shapes.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(shapes, axis=1)
        correlation = shapes @ shapes.T / np.maximum(np.outer(norm, norm), 1e-12)
        others = (correlation.sum(axis=1) - np.diag(correlation)) / max(np.count_nonzero(norm) - 1, 1)
        return np.asarray(np.maximum(others, 0.05))

    @cached_property
    def priors(self) -> KinPriors:
        """Priors of the child's hyperparameters: the usual ones, sharpened by what the parents' models found."""
        d = len(self.encoding.space)
        usual = Priors()
        precision = 1.0 / usual.deviations(d) ** 2
        total = usual.modes(d) * precision
        for model, rows in zip(self.models, self.rows, strict=True):
            if model is not None:
                seen = np.array([c.how in ("value", "new range") for c in rows.columns] + [False, True], dtype=float)
                share = seen * model.reliability / _LENGTHSCALE_DEVIATION**2
                total, precision = total + share * model.gp.hyper.log, precision + share
        deviations = np.maximum(1.0 / np.sqrt(precision), 0.5)
        return KinPriors(learned_modes=tuple(total / precision), learned_deviations=tuple(deviations))

    @cached_property
    def candidates(self) -> Array:
        """Rows of the best results of each parent, shape (k, d)."""
        best = [r.x[best_rows(r, self.direction, 20)] for r in self.rows]
        return np.vstack([*best, np.zeros((0, len(self.encoding.space)))])

    def best(self, among: NDArray[np.bool_]) -> list[Configuration]:
        """The configuration with the best value of some parents, of those that this search may propose; or none."""
        found = [
            (rows.values[i], configuration)
            for rows, chosen in zip(self.rows, among, strict=True)
            for i in best_rows(rows, self.direction, len(rows.values))
            if chosen and (configuration := rows.configurations[i]) is not None
        ]
        sign = 1.0 if self.direction == "minimize" else -1.0
        return [min(found, key=lambda pair: sign * pair[0])[1]] if found else []

    def shortlist(self, weights: Array, count: int) -> list[Configuration]:
        """Configurations worth trying first, best first: the parents' own, by the weighted sum of the models; each new
        one must improve some parent's outlook the most (greedy cover), so that parents that disagree each get a turn."""
        found: dict[tuple[object, ...], tuple[Configuration, Array]] = {}
        for rows in self.rows:
            for i in best_rows(rows, self.direction, 10):
                configuration = rows.configurations[i]
                if configuration is not None:
                    found.setdefault(self.encoding.space.key(configuration), (configuration, rows.x[i]))
        if not found:
            return []
        configurations, x = [c for c, _ in found.values()], np.array([u for _, u in found.values()])
        kept = [(m, w) for m, w in zip(self.models, weights, strict=True) if m is not None and w > 0]
        if not kept:
            return configurations[:count]
        outlook = np.array([w * m.mean(x) for m, w in kept])
        return [configurations[i] for i in _greedy_cover(outlook, count)]


def _greedy_cover(outlook: Array, count: int) -> list[int]:
    """Columns of ``outlook`` (parents, candidates): first the least sum, then what lowers the sum of minima the most."""
    chosen = [int(np.argmin(outlook.sum(axis=0)))]
    reached = outlook[:, chosen[0]]
    while len(chosen) < min(count, outlook.shape[1]):
        gain = np.minimum(outlook, reached[:, None]).sum(axis=0)
        gain[chosen] = math.inf
        chosen.append(int(np.argmin(gain)))
        reached = np.minimum(reached, outlook[:, chosen[-1]])
    return chosen


@dataclass(frozen=True)
class _Key:
    """Parents and space by their content, for a cache."""

    digest: str
    encoding: Encoding
    direction: Direction
    parents: tuple[Parent, ...]

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.digest == other.digest


@lru_cache(maxsize=32)
def _kin(key: _Key) -> Kin:
    return Kin(key.encoding, key.direction, key.parents)


def kin_of(encoding: Encoding, direction: Direction, parents: tuple[Parent, ...]) -> Kin:
    """What follows from the parents alone; kept for the next suggestion of the same search."""
    text = repr((encoding.space, direction, [(p.space, p.kind, p.trials) for p in parents]))
    return _kin(_Key(hashlib.sha256(text.encode()).hexdigest(), encoding, direction, parents))


def stack(means: Array, y: Array, start: Array) -> tuple[Array, float]:
    """Weights b >= 0, shape (k,), for parents' means (n, k) at the rows of the new search's results ``y`` (n,); and the
    unit u of the results in parents' units.

    argmin |y - a - M b|^2 / s^2 + sum_i (b_i / u - start_i)^2 / t^2, with the unit u in which the results lie, estimated
    from the spread of y and of the mean at start, and s the deviation left to the child.
    """
    if len(start) == 0 or not start.sum() > 0:
        return np.zeros(len(start)), 1.0
    if len(y) < 2:
        return start.copy(), 1.0
    moved = means - means.mean(axis=0)
    unit = math.sqrt((float(np.var(y)) + 1e-9) / (float(np.var(moved @ start)) + _RESIDUAL**2))
    left = _RESIDUAL * unit
    free = _FREEDOM * unit * np.sqrt(np.maximum(start, 0.02))
    design = np.vstack([moved / left, np.diag(1.0 / free)])
    target = np.concatenate([(y - y.mean()) / left, unit * start / free])
    return np.asarray(nnls(design, target)[0]), unit


@dataclass(frozen=True)
class Standing:
    """What the parents are worth after the new search's own results: the weights of the transfer parents (0 for trusted
    identical ones), the same in the unit of the weights at start, and how far each parent's predictions were off, in
    deviations (on the parent's scale: it means something for identical parents). ``agreement`` is the rank correlation of
    what each parent predicts with the results."""

    weights: Array
    shares: Array
    trusted: NDArray[np.bool_]
    surprise: Array
    agreement: Array


def standing(kin: Kin, x: Array, y: Array, values: Array) -> Standing:
    """Judges the parents by own rows ``x`` (n, d), results ``values`` (n,), and the same in model values ``y``; of many
    rows by the latest."""
    x, y, values = x[-_JUDGED:], y[-_JUDGED:], values[-_JUDGED:]
    surprise = np.array([_surprise(kin, i, x, values) for i in range(len(kin.parents))])
    identical = np.array([p.kind == "identical" for p in kin.parents], dtype=bool)
    usable = np.array([bool(r.succeeded.any()) and bool(r.known.all()) for r in kin.rows], dtype=bool)
    trusted = identical & usable & (surprise <= _TRUST)
    start = np.where(trusted, 0.0, kin.start)
    means = np.array([np.zeros(len(x)) if m is None else m.mean(x) for m in kin.models]).T.reshape(len(x), len(kin.parents))
    weights, unit = stack(means, y, start)
    agreement = np.array([_rank_correlation(-m, -y) for m in means.T])
    return Standing(weights, weights / unit, trusted, surprise, agreement)


def _rank_correlation(a: Array, b: Array) -> float:
    """Spearman's rank correlation; 0 for fewer than two values or when all are equal."""
    if len(a) < 2 or not np.ptp(a) > 0 or not np.ptp(b) > 0:
        return 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def _surprise(kin: Kin, i: int, x: Array, values: Array) -> float:
    """Root mean square of (result - prediction) / deviation over the new search's results; 0 before there are any."""
    model, rows = kin.models[i], kin.rows[i]
    if model is None or len(values) == 0:
        return 0.0
    known = rows.values[rows.succeeded]
    targets = Targets.of(known, kin.direction)
    forward = targets.forward(known)
    y = np.full(len(rows.values), forward.max())
    y[rows.succeeded] = forward
    mean, variance = model.gp.predict(np.where(model.known, x, 0.5))
    z = (targets.forward(values) - y.mean() - mean) / np.sqrt(variance + model.gp.noise + 0.15**2)
    return float(np.sqrt(np.mean(np.clip(z, -1e6, 1e6) ** 2)))


@dataclass(frozen=True)
class WarmStart:
    """The prior of a search with parents (``bayesian.prior.PriorFactory``)."""

    space: Space
    direction: Direction
    parents: tuple[Parent, ...]

    @cached_property
    def kin(self) -> Kin:
        """What follows from the parents alone."""
        return kin_of(Encoding(self.space), self.direction, self.parents)

    def __call__(self, context: Context) -> PriorModel:
        """What the parents contribute to one suggestion."""
        kin = self.kin
        now = standing(kin, context.x, context.y, context.values)
        told = _report(kin, now, context.values).as_dict()
        if not now.trusted.any() and not (now.weights > _NO_SAY).any() and len(context.values):
            return PriorModel(report=told)
        failed = [r.x[~r.succeeded] for r, t in zip(kin.rows, now.trusted, strict=True) if t]
        return PriorModel(
            _initial(kin, now, context), _views(kin, now), kin.candidates, np.vstack(failed) if failed else None, told
        )


def _view(kin: Kin, now: Standing) -> View:
    if now.trusted.any():
        rows = [r for r, t in zip(kin.rows, now.trusted, strict=True) if t]
        keep = [r.succeeded for r in rows]
        x = np.vstack([r.x[k] for r, k in zip(rows, keep, strict=True)])
        return View(x=x, values=np.concatenate([r.values[k] for r, k in zip(rows, keep, strict=True)]))
    kept = [(m, w) for m, w in zip(kin.models, now.weights, strict=True) if m is not None and w > _NO_SAY]
    if not kept:
        return View()
    mean = StackedMean(tuple(m for m, _ in kept), np.array([w for _, w in kept]))
    return View(_FAITH, mean, priors=kin.priors, name="parents")


def _views(kin: Kin, now: Standing) -> tuple[View, ...]:
    """With the parents' say, and without any."""
    view = _view(kin, now)
    return (view,) if view.mean is None else (view, View(1.0 - _FAITH))


def _initial(kin: Kin, now: Standing, context: Context) -> Mapping[int, Configuration]:
    """What to propose before the model speaks, by the number of asked trials."""
    if now.trusted.any():
        return dict(enumerate(kin.best(now.trusted)))
    first = kin.shortlist(now.weights, 5)
    given: dict[int, Configuration] = {}
    if len(context.values) == 0:
        slots = [i for i in range(8) if i not in _CONTRAST]
        given = dict(zip(slots, first, strict=False))
    elif first:
        given = {0: first[0]}
    d = len(context.encoding.space)
    points = context.encoding.snap(np.array([design_point(d, k, generator(context.seed)) for k in range(len(_CONTRAST))]))
    return {**given, **{k: context.encoding.decode(p) for k, p in zip(_CONTRAST, points, strict=True)}}


@dataclass(frozen=True)
class ParentReport:
    """What became of one parent.

    ``counts`` tells its trials, the used, failed, clipped and dropped ones with the reason; ``parameters`` how each was
    read. ``weight_at_start`` and ``weight`` are shares of all parents' say (0 to 1); a trusted identical parent has 1.
    The new search's own evidence: ``agreement`` is the rank correlation of its results with what the parent predicts at
    them (-1 to 1, 0 before any); ``surprise`` the root mean square of (result - the parent's prediction) in deviations,
    by which an identical parent is trusted or not.
    """

    name: str
    kind: str
    role: str
    counts: Mapping[str, int]
    parameters: Sequence[Mapping[str, str]]
    unused: Sequence[str]
    reliability: float
    weight_at_start: float
    weight: float
    surprise: float
    agreement: float
    best: float | None
    best_configuration: Configuration | None

    def as_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "role": self.role,
            "counts": dict(self.counts),
            "parameters": [dict(p) for p in self.parameters],
            "unused": list(self.unused),
            "reliability": self.reliability,
            "weight_at_start": self.weight_at_start,
            "weight": self.weight,
            "surprise": self.surprise,
            "agreement": self.agreement,
            "best": self.best,
            "best_configuration": None if self.best_configuration is None else dict(self.best_configuration),
        }


@dataclass(frozen=True)
class TransferReport:
    """What a search took from its parents, after ``results`` results of its own, the best of which is ``best``."""

    parents: tuple[ParentReport, ...]
    results: int
    best: float | None

    def as_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return {"parents": [p.as_dict() for p in self.parents], "results": self.results, "best": self.best}


def report(space: Space, direction: Direction, parents: Sequence[Parent], history: History) -> TransferReport:
    """What a Bayesian search over ``space`` with these parents takes from each, given its history so far."""
    encoding = Encoding(space)
    values = np.array([t.value for t in history.succeeded], dtype=np.float64)
    x = encoding.encode([t.configuration for t in history.succeeded])
    with single_thread():
        kin = kin_of(encoding, direction, tuple(parents))
        y = Targets.of(values, direction).forward(values) if len(values) else values
        return _report(kin, standing(kin, x, y, values), values)


def _report(kin: Kin, now: Standing, values: Array) -> TransferReport:
    best = None if len(values) == 0 else float(values.min() if kin.direction == "minimize" else values.max())
    return TransferReport(tuple(_parent_report(kin, now, i) for i in range(len(kin.parents))), len(values), best)


def _parent_report(kin: Kin, now: Standing, i: int) -> ParentReport:
    parent, rows, model = kin.parents[i], kin.rows[i], kin.models[i]
    best = best_rows(rows, kin.direction, 1)
    role = "rows" if now.trusted[i] else "shape" if now.weights[i] > _NO_SAY else "none"
    return ParentReport(
        name=parent.name,
        kind=parent.kind,
        role=role,
        counts=rows.counts,
        parameters=[{"parameter": c.parameter, "how": c.how, "detail": c.detail} for c in rows.columns],
        unused=rows.unused,
        reliability=0.0 if model is None else model.reliability,
        weight_at_start=1.0 if parent.kind == "identical" else float(kin.start[i]),
        weight=1.0 if now.trusted[i] else float(now.shares[i]),
        surprise=float(now.surprise[i]),
        agreement=float(now.agreement[i]),
        best=float(rows.values[best[0]]) if best else None,
        best_configuration=rows.configurations[best[0]] if best else None,
    )
