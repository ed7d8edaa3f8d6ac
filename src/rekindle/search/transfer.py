"""Warm start: what the results of earlier searches say to a new one, and a report of it.

Two kinds of parents. The rows of an ``identical`` parent count as rows of the new search's own model. ``transfer`` parents form
a family with the new search (``kinship``): one Gaussian process over all their results, each standardised by itself, with a
correlation between each parent's objective and the new one that the results decide. Beside it stands a model without any
parent; the two are weighed by how well they predict the new search's results, each from all others. An identical parent whose
results do not agree with the new ones is distrusted: it counts as a transfer parent from then on. Everything is a pure
function of (space, direction, seed, parents, history).
"""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from rekindle.search.bayesian.blas import single_thread
from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.fit import Priors, most_probable
from rekindle.search.bayesian.gp import GP, Hyperparameters
from rekindle.search.bayesian.initial import design_point, sobol
from rekindle.search.bayesian.known_names import middles
from rekindle.search.bayesian.model import Member, as_expected
from rekindle.search.bayesian.prior import Context, PriorModel, View
from rekindle.search.bayesian.strategy import BayesianSearch, Options
from rekindle.search.bayesian.subsets import chosen_rows, working_set
from rekindle.search.bayesian.targets import Targets
from rekindle.search.history import Direction, History, Parent
from rekindle.search.kinship import Family, Kept, KinGP, Results, family_of
from rekindle.search.parent_model import MIN_ROWS, RELIABLE, ParentModel, at_held, model_of
from rekindle.search.parent_rows import MAX_ROWS, ParentRows, best_rows, rows_of
from rekindle.search.space import Configuration, Space
from rekindle.search.strategy import generator

Array = NDArray[np.float64]

#: All parents together lend at most this many rows: a suggestion's time grows with them.
_ALL_ROWS = 400
#: An identical parent is trusted while its results predict the new ones within this many deviations (root mean square).
_TRUST = 3.0
#: Deviation, in a parent's standard units, of what its model leaves out.
_MISFIT = 0.15
#: Below this weight a parent has no say.
_NO_SAY = 1e-3
#: Of so many of each parent's best, so far apart, the family chooses the first suggestion, and those at these numbers of asked
#: trials: what was found good elsewhere is a better bet, while there are few results, than where nobody has looked.
_NAMED, _APART, _NAMED_AT = 10, 0.1, (1, 3, 4, 6)
#: Asked trials at which a point of the cold search's design may be drawn for contrast: results in one corner of the space
#: cannot tell a good parent from a contrary one. Past the first only below this rank correlation of results and predictions,
#: where the parents' best are left, too.
_CONTRAST, _DOUBT = (2, 5, 8, 11), 0.0
#: Rows that all parents of a family lend it together, and at least each.
_FAMILY_ROWS, _LEAST_ROWS = 180, 30
#: Parents are judged by at most this many of the latest results.
_JUDGED = 200
#: Up to so many results hyperparameters are fitted after each, then after this share of them more, but at least so many.
_EACH, _SHARE, _EVERY = 24, 0.1, 4
#: Weight of the model with the parents against the one without, before any evidence.
_FAITH = 0.9
#: Of the model without parents, all as in the cold search: rows at most, those that it is fitted to, and its prior mean.
_OWN_ROWS, _OWN_FIT_ROWS, _BOWL = Options().working_set, Options().fit_set, Options().bowl
#: Deviation of a child's logarithmic lengthscales from a parent's.
_LENGTHSCALE_DEVIATION = 0.7


@dataclass(frozen=True)
class KinPriors(Priors):
    """Log-normal priors with a mode and a deviation of their own for each hyperparameter."""

    learned_modes: tuple[float, ...] = ()
    learned_deviations: tuple[float, ...] = ()
    shared: float = 0.0

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
    _fits: Kept[Hyperparameters] = field(default_factory=Kept, repr=False, compare=False)

    @cached_property
    def rows(self) -> tuple[ParentRows, ...]:
        """The rows of each parent."""
        limit = min(max(_ALL_ROWS // max(len(self.parents), 1), 60), MAX_ROWS)
        return tuple(rows_of(at_held(p, self.direction), self.encoding, self.direction, limit) for p in self.parents)

    @cached_property
    def models(self) -> tuple[ParentModel | None, ...]:
        """The model of each parent."""
        return tuple(model_of(r, self.encoding, self.direction) for r in self.rows)

    @cached_property
    def members(self) -> tuple[int, ...]:
        """Which parents the family consists of."""
        return tuple(i for i, m in enumerate(self.models) if m is not None and m.reliability >= RELIABLE)

    @cached_property
    def family(self) -> Family | None:
        """The family of the parents whose results follow a shape; None without any."""
        models = [m for i in self.members if (m := self.models[i]) is not None]
        if not models:
            return None
        limit = max(_FAMILY_ROWS // len(models), _LEAST_ROWS)
        lent = [self._lent(m, limit) for m in models]
        return family_of(self.encoding.columns, lent, [m.unit for m in models], self.priors)

    def _lent(self, model: ParentModel, limit: int) -> tuple[Array, Array, Array]:
        """Rows (m, d), values (m,) and noise variances (m,) that a parent lends. Along parameters that it lacks its rows are
        spread: there its results say nothing."""
        chosen = chosen_rows(np.arange(len(model.gp.y)), model.gp.y, limit)
        spread = self.encoding.snap(sobol(len(model.known), 0, len(chosen), generator(0)))
        x = np.where(model.known, model.gp.x[chosen], spread)
        return x, model.gp.y[chosen], np.full(len(chosen), model.gp.noise)

    def spread(self, kinship: Array) -> Array:
        """Figures of the family's members as figures of all parents, 0 for the others."""
        out = np.zeros(len(self.parents))
        out[list(self.members)] = kinship
        return out

    @cached_property
    def start(self) -> Array:
        """Weight of each parent before any result, shape (parents,): its kinship by the parents' results alone."""
        return np.zeros(len(self.parents)) if self.family is None else _FAITH * self.spread(self.family.alone.kinship)

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

    @cached_property
    def named(self) -> tuple[tuple[Configuration, Array], ...]:
        """The best of each member of the family that this search may propose, each with its row (d,)."""
        return tuple(pair for i in self.members for pair in self._best_apart(self.rows[i]))

    def _best_apart(self, rows: ParentRows) -> list[tuple[Configuration, Array]]:
        """Up to ``_NAMED`` of a parent's best configurations that this search may propose, each at least ``_APART`` from those
        before it in some coordinate, or of another category: a search ends among neighbours, and one tells what all would."""
        near = np.where(np.array(self.encoding.columns.categories) > 0, 1e-9, _APART)
        found: list[tuple[Configuration, Array]] = []
        for j in best_rows(rows, self.direction, len(rows.values)):
            configuration, x = rows.configurations[j], rows.x[j]
            if configuration is None or any(np.all(np.abs(x - other) < near) for _, other in found):
                continue
            found.append((configuration, x))
            if len(found) == _NAMED:
                break
        return found

    def first(self) -> list[Configuration]:
        """What the family thinks best here of each parent's own best; or none."""
        if self.family is None or not self.named:
            return []
        mean = self.family.alone.mean(np.array([x for _, x in self.named]))
        return [self.named[int(np.argmin(mean))][0]]

    def given(self, context: Context, model: tuple[KinGP, slice]) -> dict[int, Configuration]:
        """The suggestions that are not the model's, by the number of asked trials."""
        doubted = len(context.y) <= max(_NAMED_AT[-1], _CONTRAST[-1]) and self._doubted(context)
        return dict(enumerate(self.first())) | self._contrast(context, doubted) | self._further(context, model, doubted)

    def _further(self, context: Context, model: tuple[KinGP, slice], doubted: bool) -> dict[int, Configuration]:
        """The suggestions after the first that are parents' best, too, by the number of asked trials: those of them, not yet
        seen here, of which the family expects the greatest improvement."""
        n = len(context.y)
        if n > _NAMED_AT[-1] or doubted:
            return {}
        tried = {row.tobytes() for row in context.x}
        left = list({x.tobytes(): (c, x) for c, x in self.named if x.tobytes() not in tried}.values())
        # Numbers before this one that have no result yet are taken to be running, with what comes first in turn.
        running = {k: sum(n <= j < k for j in (0, *_NAMED_AT)) for k in _NAMED_AT if k >= n}
        turns = _in_turn(model, np.array([x for _, x in left]), min(max(running.values()) + 1, len(left)))
        return {k: left[turns[place]][0] for k, place in running.items() if place < len(turns)}

    def _contrast(self, context: Context, doubted: bool) -> dict[int, Configuration]:
        """Points of the cold search's own design between the suggestions, by the number of asked trials: one in any case, more
        while the new search's results contradict what the family said of them."""
        if len(context.y) > _CONTRAST[-1]:
            return {}
        chosen = _CONTRAST if doubted else _CONTRAST[:1]
        around = middles(context.encoding.space)
        points = np.array([design_point(around, k, generator(context.seed)) for k in range(len(chosen))])
        return {k: context.encoding.decode(p) for k, p in zip(chosen, context.encoding.snap(points), strict=True)}

    def _doubted(self, context: Context) -> bool:
        """Whether the new search's results go against what the family said of them before it knew any."""
        if self.family is None or len(context.y) < 2:
            return False
        return _rank_correlation(self.family.alone.mean(context.x), context.y) < _DOUBT

    def without_parents(self, context: Context) -> tuple[GP, slice]:
        """The model of the new search's n >= 1 results alone, and which of its rows they are."""
        keep = working_set(context.y, _OWN_ROWS)
        columns, y = self.encoding.columns, context.y[keep]
        hyper = self._hyperparameters(_fitted_to(context.x, context.values, self.direction, _EVERY // 2))
        return GP(context.x[keep], y, columns, hyper, bowl=_BOWL), slice(0, len(y))

    def _hyperparameters(self, results: Results) -> Hyperparameters:
        """The most probable ones of a model of ``results`` alone; kept for the next suggestions."""
        some, columns = results.kept(_OWN_FIT_ROWS), self.encoding.columns
        return self._fits.get(results.key, lambda: most_probable(some.x, some.y, columns, Priors(), _BOWL))


def _in_turn(model: tuple[KinGP, slice], x: Array, count: int) -> list[int]:
    """Which ``count`` of rows ``x`` (m, d) to try: each that of the greatest expected improvement if those before it come out
    as the model expects."""
    gp: GP = model[0]
    best, found = np.min(gp.fitted()[model[1]], keepdims=True), list[int]()
    for _ in range(count):
        improvement = Member(gp, 1.0, best).log_improvement(x)
        improvement[found] = -np.inf
        found.append(int(np.argmax(improvement)))
        at = x[found[-1:]]
        gp, best = as_expected(gp, at), np.minimum(best, gp.mean(at))
    return found


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
    # Names are part of it: reports are made from what is kept, and two parents may well have the same results.
    spaces = repr((encoding.space, direction, [(p.name, p.space, p.kind, p.held, len(p.trials)) for p in parents])).encode()
    digest = hashlib.sha256(spaces)
    for parent in parents:
        digest.update(_bytes_of(parent.trials))
    return _kin(_Key(digest.hexdigest(), encoding, direction, parents))


def _bytes_of(trials: object) -> bytes:
    """Trials by their content: twenty times as fast as ``repr``, which takes over where a value is no plain one."""
    try:
        # Version 2 has no references between equal objects: the same content gives the same bytes.
        return marshal.dumps(trials, 2)  # type: ignore[arg-type]
    except ValueError:
        return repr(trials).encode()


@dataclass(frozen=True)
class Standing:
    """What the parents are worth after the new search's own results. Shapes (parents,).

    ``trusted`` identical parents lend their rows. ``kinship`` is the correlation of each other parent's objective with the new
    one. ``agreement`` is the rank correlation of what each parent predicts with the results, ``surprise`` how far its
    predictions were off, in deviations (on the parent's scale: it means something for identical parents). A parent with too
    few results for a model, or equal ones, predicts them of its own configurations only; its surprise is in deviations of the
    new results. ``model`` is the family's model of the new search; None when the family has no say."""

    trusted: NDArray[np.bool_]
    kinship: Array
    agreement: Array
    surprise: Array
    model: tuple[KinGP, slice] | None


def standing(kin: Kin, x: Array, y: Array, values: Array, targets: Targets) -> Standing:
    """Judges the parents by own rows ``x`` (n, d), results ``values`` (n,), and the same in model values ``y``, which
    ``targets`` made."""
    late_x, late_y, late = x[-_JUDGED:], y[-_JUDGED:], values[-_JUDGED:]
    judged = [
        _met(rows, x, y, targets) if model is None else _judged(model, rows, kin.direction, late_x, late_y, late)
        for model, rows in zip(kin.models, kin.rows, strict=True)
    ]
    surprise, agreement = np.array([s for s, _ in judged]), np.array([a for _, a in judged])
    identical = np.array([p.kind == "identical" for p in kin.parents], dtype=bool)
    usable = np.array([r.usable for r in kin.rows], dtype=bool)
    trusted = identical & usable & (surprise <= _TRUST)
    model = None
    if kin.family is not None and not trusted.any():
        model = kin.family.model(Results(x, y, targets.unit), _fitted_to(x, values, kin.direction, _EVERY))
    kinship = np.zeros(len(kin.members)) if model is None else model[0].kinship
    return Standing(trusted, kin.spread(kinship), agreement, surprise, model)


def _fitted_to(x: Array, values: Array, direction: Direction, wait: int) -> Results:
    """The results that hyperparameters are fitted to: all of few, later without the last few, so that most suggestions need
    no fit of their own. ``wait`` is how many results the second fit comes after ``_EACH``: fits that wait otherwise seldom
    fall together."""
    n = _size_at_fit(len(values), wait)
    targets = Targets.of(values[:n], direction)
    return Results(x[:n], targets.forward(values[:n]), targets.unit)


def _size_at_fit(n: int, wait: int) -> int:
    """After how many of ``n`` results the last fit was."""
    size = min(n, _EACH)
    while size >= _EACH and size + wait <= n:
        size += wait
        wait = max(_EVERY, int(_SHARE * size))
    return size


def _rank_correlation(a: Array, b: Array) -> float:
    """Spearman's rank correlation; 0 for fewer than two values or when all are equal."""
    if len(a) < 2 or not np.ptp(a) > 0 or not np.ptp(b) > 0:
        return 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def _met(rows: ParentRows, x: Array, y: Array, targets: Targets) -> tuple[float, float]:
    """Surprise and agreement of a parent without a model, as ``Standing`` has them, by the configurations that own rows ``x``
    (n, d) share with it; 0 before there are any, and while the own results ``y`` (n,), in model values, have no scale yet."""
    found = {row.tobytes(): value for row, value in zip(rows.x[rows.succeeded], rows.values[rows.succeeded], strict=True)}
    both = [(found[key], own) for row, own in zip(x, y, strict=True) if (key := row.tobytes()) in found]
    if not both or len(y) < MIN_ROWS or not np.ptp(y) > 0:
        return 0.0, 0.0
    theirs, own = np.array(both).T
    theirs = targets.forward(theirs)
    return float(np.sqrt(np.mean((own - theirs) ** 2))), _rank_correlation(theirs, own)


def _judged(
    model: ParentModel, rows: ParentRows, direction: Direction, x: Array, y: Array, values: Array
) -> tuple[float, float]:
    """Surprise and agreement of a parent, as ``Standing`` has them, at own rows ``x`` (n, d) with results ``values`` (n,),
    which are ``y`` in model values; 0 before there are any."""
    if len(values) == 0:
        return 0.0, 0.0
    known = rows.values[rows.succeeded]
    targets = Targets.of(known, direction)
    forward = targets.forward(known)
    lent = np.full(len(rows.values), forward.max())
    lent[rows.succeeded] = forward
    mean, variance = model.gp.predict(np.where(model.known, x, 0.5))
    z = (targets.forward(values) - lent.mean() - mean) / np.sqrt(variance + model.gp.noise + _MISFIT**2)
    return float(np.sqrt(np.mean(np.clip(z, -1e6, 1e6) ** 2))), _rank_correlation(mean, y)


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
        kin, values = self.kin, context.values
        now = standing(kin, context.x, context.y, values, context.targets)

        def told(views: Mapping[str, float]) -> Mapping[str, object]:
            return _report(kin, now, values, views.get("parents", _FAITH)).as_dict()

        if now.trusted.any():
            best = kin.best(now.trusted)
            failed = [r.x[~r.succeeded] for r, t in zip(kin.rows, now.trusted, strict=True) if t]
            return PriorModel(dict(enumerate(best)), (_rows_of(kin, now),), kin.candidates, np.vstack(failed), told)
        if now.model is None:
            named = np.array([m is None for m in kin.models], dtype=bool)
            return PriorModel(dict(enumerate(kin.best(named))), report=told)
        views = [View(_FAITH, model=now.model, name="parents", share=float(now.kinship.max()))]
        if len(values):
            views.append(View(1.0 - _FAITH, model=kin.without_parents(context)))
        return PriorModel(kin.given(context, now.model), tuple(views), kin.candidates, report=told)


def _rows_of(kin: Kin, now: Standing) -> View:
    """The trusted parents' rows as the search's own."""
    rows = [r for r, t in zip(kin.rows, now.trusted, strict=True) if t]
    x = np.vstack([r.x[r.succeeded] for r in rows])
    return View(x=x, values=np.concatenate([r.values[r.succeeded] for r in rows]), share=1.0)


@dataclass(frozen=True)
class ParentReport:
    """What became of one parent.

    ``counts`` tells its trials, the used, failed, clipped and dropped ones with the reason; ``parameters`` how each was
    read. ``weight_at_start`` and ``weight`` (0 to 1) are the correlation of the parent's objective with the new one as fitted,
    times the share of the model with the parents in what chooses; a trusted identical parent has 1. ``role`` is ``rows`` for
    such a one, ``kin`` for one of the family, ``none`` without any say. The new search's own evidence: ``agreement`` is the
    rank correlation of its results with what the parent predicts at them (-1 to 1, 0 before any); ``surprise`` the root mean
    square of (result - the parent's prediction) in deviations, by which an identical parent is trusted or not.
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


@dataclass(frozen=True)
class TransferReport:
    """What a search took from its parents, after ``results`` results of its own, the best of which is ``best``."""

    parents: Sequence[ParentReport]
    results: int
    best: float | None

    def as_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return asdict(self)


def report(space: Space, direction: Direction, parents: Sequence[Parent], history: History) -> TransferReport:
    """What a Bayesian search over ``space`` with these parents takes from each, given its history so far."""
    warm = WarmStart(space, direction, tuple(parents))
    values = np.array([t.value for t in history.succeeded], dtype=np.float64)
    x = warm.kin.encoding.encode([t.configuration for t in history.succeeded])
    with single_thread():
        targets = Targets.of(values, direction)
        now = standing(warm.kin, x, targets.forward(values), values, targets)
        search = BayesianSearch(space, direction, 0, warm.parents, prior=warm)
        share = search.view_weights(history).get("parents", _FAITH)
        return _report(warm.kin, now, values, share)


def _report(kin: Kin, now: Standing, values: Array, share: float) -> TransferReport:
    best = None if len(values) == 0 else float(values.min() if kin.direction == "minimize" else values.max())
    parents = [_parent_report(kin, now, i, share) for i in range(len(kin.parents))]
    return TransferReport(parents, len(values), best)


def _parent_report(kin: Kin, now: Standing, i: int, share: float) -> ParentReport:
    parent, rows, model = kin.parents[i], kin.rows[i], kin.models[i]
    best = best_rows(rows, kin.direction, 1)
    weight = 1.0 if now.trusted[i] else float(now.kinship[i]) * share
    return ParentReport(
        name=parent.name,
        kind=parent.kind,
        role="rows" if now.trusted[i] else "kin" if weight > _NO_SAY else "none",
        counts=rows.counts,
        parameters=[{"parameter": c.parameter, "how": c.how, "detail": c.detail} for c in rows.columns],
        unused=list(rows.unused),
        reliability=0.0 if model is None else model.reliability,
        weight_at_start=1.0 if parent.kind == "identical" and rows.usable else float(kin.start[i]),
        weight=weight,
        surprise=float(now.surprise[i]),
        agreement=float(now.agreement[i]),
        best=float(rows.values[best[0]]) if best else None,
        best_configuration=rows.configurations[best[0]] if best else None,
    )
