"""Bayesian search: a Gaussian process over what was seen, log expected improvement for what to try next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.aim import FARTHER, NOTHING, SECOND_LOOK, Aim, Elsewhere, aim_of
from rekindle.search.bayesian.blas import single_thread
from rekindle.search.bayesian.concentration import concentrated
from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.feasibility import Feasibility
from rekindle.search.bayesian.fit import Priors, most_probable
from rekindle.search.bayesian.gp import GP
from rekindle.search.bayesian.initial import covering, design_point, initial_size, sobol
from rekindle.search.bayesian.known_names import middles
from rekindle.search.bayesian.maximise import Objective, maximise
from rekindle.search.bayesian.model import Acquisition, member
from rekindle.search.bayesian.prior import Context, PriorFactory, PriorModel, View, cold_start
from rekindle.search.bayesian.subsets import working_set
from rekindle.search.bayesian.targets import Targets
from rekindle.search.bayesian.waves import SHORT, beside, has_turn, lacks_pair, sees_noise
from rekindle.search.history import Direction, History, Parent, Trial
from rekindle.search.random_search import draw_unseen
from rekindle.search.space import Categorical, Configuration, Space, resolved_scaling
from rekindle.search.strategy import Proposal, generator

Array = NDArray[np.float64]
Key = tuple[object, ...]

#: A view of less weight than this is left out.
_LEAST_WEIGHT = 0.02
#: Where parents have less say than this, a search goes on as if it had none.
_LEAST_SAY = 0.1
#: Once trials have failed the design takes the first of its next ``_LOOKED_AT`` rows whose log probability of success is less
#: than ``_BEHIND`` below the greatest among them.
_LOOKED_AT, _BEHIND = 33, 0.7
#: The model of where trials fail holds at most so many rows that failed, the latest; of those that succeeded at least so many
#: where there are, and of those that parents lend at most so many.
_FAILED_ROWS, _LEAST_SUCCEEDED, _LENT_ROWS = 100, 50, 100


@dataclass(frozen=True)
class Options:
    """Constants of the search; each was chosen by an ablation (benchmarks/RESULTS-search.md)."""

    #: Finite spaces up to this size are scored in full.
    enumerate_up_to: int = 2048
    #: Rows that the model holds at most, and rows that its hyperparameters are fitted to at most.
    working_set: int = 500
    fit_set: int = 250
    #: Joint draws of the pending trials' values, where there are many.
    fantasies: int = 8
    #: Points of the initial design; 0 for a number that depends on the dimension.
    initial: int = 0
    #: The next trial is the best of so many random draws; 0 for the best of the whole space.
    draws: int = 0
    priors: Priors = field(default_factory=Priors)
    #: How much worse the corners of the space are thought to be than its middle where nothing is known, in model values.
    bowl: float = 0.5
    #: Whether noise is told from short waves where the fit sees it.
    waves: bool = True


@dataclass(frozen=True)
class BayesianSearch:
    """Proposes the configuration with the greatest log expected improvement under a GP; see ``Options`` for constants.

    ``prior`` makes what parents contribute (``prior.PriorFactory``); without parents nothing does.
    """

    space: Space
    direction: Direction
    seed: int
    parents: tuple[Parent, ...] = ()
    options: Options = field(default_factory=Options)
    prior: PriorFactory = cold_start

    def propose(self, history: History) -> Proposal | None:
        """The next configuration; None when all are taken. A function of the arguments only, bit for bit."""
        seen: set[Key] = {self.space.key(t.configuration) for t in history.trials}
        if self.space.size is not None and len(seen) >= self.space.size:
            return None
        with single_thread():
            return _Suggestion(self, history, seen).proposal()

    def view_weights(self, history: History) -> Mapping[str, float]:
        """What each view of how parents bear on this search is worth after ``history``, by name; sum 1."""
        with single_thread():
            return _Suggestion(self, history, set()).weights_by_name

    def to_stop(self, history: History) -> Sequence[int]:
        """Nothing: this search runs every trial to its end."""
        return ()

    @cached_property
    def encoding(self) -> Encoding:
        """Between this search's configurations and the unit cube."""
        return Encoding(self.space)


@dataclass(frozen=True)
class _Suggestion:
    """The making of one suggestion."""

    search: BayesianSearch
    history: History
    seen: set[Key]

    def proposal(self) -> Proposal | None:
        given = self._given()
        if given is not None:
            return given
        if self._in_design:
            return self._design()
        return self._second_look() or self._by_model(self.aim) or self._draw()

    def _given(self) -> Proposal | None:
        """A point of the parents' whose turn it is."""
        given = self.prior.initial.get(self.history.asked)
        if given is None or not self._is_new(given):
            return None
        return Proposal(dict(given), "parent", {**self._facts, "parents": dict(self.prior.report({}))})

    @property
    def _in_design(self) -> bool:
        if any(v.share for v in self.prior.views):
            return False
        size = self._design_size
        return len(self.history.succeeded) == 0 or self.history.asked < size or len(self.history.succeeded) < min(size, 3)

    def _design(self) -> Proposal | None:
        d = len(self.search.space)
        first = self.history.asked
        own = design_point(middles(self.search.space), first, generator(self.search.seed))
        own = covering(self.search.space, first, own, generator(self.search.seed, d))
        points = np.vstack([own, sobol(d, first + 1, 256, generator(self.search.seed))])
        rows = self.search.encoding.snap(points)
        if self.feasibility is not None:
            # All else equal the sequence's own order holds: only rows likelier to fail than the likeliest success give way.
            log_p = self.feasibility.log_probability(rows[:_LOOKED_AT])
            rows = rows[np.argsort(log_p < np.max(log_p) - _BEHIND, kind="stable")]
        for _, configuration in self._new(rows):
            return Proposal(configuration, "initial", {**self._facts, "index": first})
        return self._draw()

    def _is_new(self, configuration: Configuration) -> bool:
        return self.search.space.key(configuration) not in self.seen

    def _new(self, rows: Iterable[Array]) -> Iterator[tuple[Array, Configuration]]:
        """Those of the rows (d,) whose configuration is neither tried nor running, in their order, each with it."""
        decoded = ((row, self.search.encoding.decode(row)) for row in rows)
        return ((row, configuration) for row, configuration in decoded if self._is_new(configuration))

    def _draw(self) -> Proposal | None:
        """A random draw; None where nothing new is drawn any more: a range may hold a few floating-point numbers only."""
        configuration = draw_unseen(self.search.space, self.search.seed, self.history.asked, self.seen)
        return None if configuration is None else Proposal(configuration, "random", dict(self._facts))

    def _first_new(self, rows: Iterable[Array], acquisition: Acquisition, aim: Aim) -> Proposal | None:
        """The first of the model's rows (d,) that is new; None without any."""
        for row, configuration in self._new(rows):
            return Proposal(configuration, "model", self._why(row, acquisition, aim))
        return None

    def _by_model(self, aim: Aim) -> Proposal | None:
        """The new row of the greatest acquisition, farther away than asked where nothing is to be gained; None where no row is
        new."""
        acquisition, rng = self._acquisition(aim), generator(self.search.seed, self.history.asked, 1)
        goal = self._goal(acquisition, aim)
        listed = self._listed(rng)
        if listed is not None:
            return self._first_new(listed[np.argsort(-goal(listed), kind="stable")], acquisition, aim)
        incumbents = np.clip(self.x[np.argsort(self.y, kind="stable")[:10]], 0.0, 1.0)
        rows, _ = maximise(goal, self.search.encoding, incumbents, rng, self.prior.candidates)
        if self._arrived(rows[0], acquisition, aim):
            return self._by_model(FARTHER)
        return self._first_new(rows, acquisition, aim)

    def _second_look(self) -> Proposal | None:
        """A row right beside the best trial, where two results so close would tell noise from waves."""
        if not self._tells_waves or not sees_noise(self._alone[0]):
            return None
        if not lacks_pair(self.x, self._encode((*self.history.failed, *self.history.pending))):
            return None
        rows = beside(self.x[np.argmin(self.y)], self.search.encoding, self._alone[0].hyper.lengthscales)
        return self._first_new(rows, self._acquisition(SECOND_LOOK), SECOND_LOOK)

    def _arrived(self, best: Array, acquisition: Acquisition, aim: Aim) -> bool:
        """Whether a search that parents lead has nothing to gain where they led it, not even at row ``best`` (d,)."""
        if not self._led or not len(self.y) or aim != Aim():
            return False
        return self._log_improvement(best[None, :], acquisition) < NOTHING

    def _log_improvement(self, at: Array, acquisition: Acquisition) -> float:
        reward = 0.0 if self.feasibility is None else float(self.feasibility.reward(at)[0])
        return float(acquisition(at)[0]) - reward

    def _goal(self, acquisition: Acquisition, aim: Aim) -> Objective:
        """What is maximised: the acquisition, where the aim lets the suggestion go."""
        column = aim.column
        if column is None:
            return acquisition
        return Elsewhere(acquisition, column, float(self.x[np.argmin(self.y), column]))

    @cached_property
    def aim(self) -> Aim:
        """What this suggestion aims at. Where parents lead at improvement, while there is any to expect (``_arrived``). So
        among draws, whose chance goes elsewhere by itself."""
        if self._led or self.search.options.draws:
            return Aim()
        return aim_of(self.y, self.history.asked, self._design_size, self.search.encoding.columns)

    @cached_property
    def _led(self) -> bool:
        """Whether parents have a say: how much of the views is theirs, by what these are worth."""
        views = self.prior.views
        if all(view.share for view in views):
            return True
        return sum(view.share * weight for view, weight in zip(views, self._evidence, strict=True)) >= _LEAST_SAY

    @property
    def _design_size(self) -> int:
        return self.search.options.initial or initial_size(len(self.search.space))

    def _listed(self, rng: np.random.Generator) -> Array | None:
        """The rows that are scored one by one: the draws, or all of a small space; None where the best row is sought."""
        size, draws = self.search.space.size, self.search.options.draws
        if size is not None and size <= self.search.options.enumerate_up_to:
            rows = np.array([row for row, _ in self._new(self.search.encoding.all_rows())])
            return rows[rng.permutation(len(rows))[:draws]] if draws else rows
        return self.search.encoding.snap(rng.random((draws, len(self.search.space)))) if draws else None

    def _acquisition(self, aim: Aim) -> Acquisition:
        rng = generator(self.search.seed, self.history.asked, 2)
        pending = self._encode(self.history.pending)
        members = []
        for i, (view, weight) in enumerate(zip(self.prior.views, self.weights, strict=True)):
            if weight >= _LEAST_WEIGHT:
                gp, own = self.models[i] if view.share else self._waves or self._alone
                members.append(member(gp, weight, own, pending, self.search.options.fantasies, rng, aim.lower))
        return Acquisition(members, self.feasibility, self.weights_by_name)

    @cached_property
    def models(self) -> Sequence[tuple[GP, slice]]:
        """The model of each view, fitted once for all that this suggestion may aim at."""
        return [self._gp(view, self.search.options.priors) for view in self.prior.views]

    @cached_property
    def _alone(self) -> tuple[GP, slice]:
        """The model without parents."""
        if self._priors.factors:
            return self._gp(View(), self._priors)
        return next(model for view, model in zip(self.prior.views, self.models, strict=True) if not view.share)

    @cached_property
    def _priors(self) -> Priors:
        """Priors of the model without parents: in every second suggestion they follow from where the better results are. Not
        where parents lead, who know lengthscales, nor among draws."""
        options = self.search.options
        if options.draws or self._led or not has_turn(self.history.asked):
            return options.priors
        keep = working_set(self.y, options.fit_set)
        return concentrated(options.priors, self.x[keep], self.y[keep], self.search.encoding.columns)

    @property
    def _tells_waves(self) -> bool:
        """Whether noise is told from waves: not where parents lead, who know lengthscales, nor among draws, none of which is
        close to the best point."""
        return self.search.options.waves and not self.search.options.draws and not self._led

    @cached_property
    def _waves(self) -> tuple[GP, slice] | None:
        """The model of short waves, where it takes the place of the usual one."""
        if not has_turn(self.history.asked) or not self._tells_waves or not sees_noise(self._alone[0]):
            return None
        waves = self._gp(View(), SHORT)
        return waves if leave_one_out_density(*waves) >= leave_one_out_density(*self._alone) else None

    @cached_property
    def weights(self) -> Sequence[float]:
        """Weights of the views, sum 1: what they are worth by the evidence; all for the one without parents where these have no
        say."""
        return self._evidence if self._led else [float(not view.share) for view in self.prior.views]

    @property
    def weights_by_name(self) -> dict[str, float]:
        return {view.name: weight for view, weight in zip(self.prior.views, self.weights, strict=True)}

    @cached_property
    def _evidence(self) -> Sequence[float]:
        """Each view's own weight times its leave-one-out density of this search's values, sum 1."""
        scores = np.log([view.weight for view in self.prior.views])
        if len(self.prior.views) > 1 and len(self.x):
            scores = scores + [leave_one_out_density(gp, own) for gp, own in self.models]
        weights = np.exp(scores - np.max(scores))
        return [float(w) for w in weights / np.sum(weights)]

    def _gp(self, view: View, priors: Priors) -> tuple[GP, slice]:
        """The GP of a view, and which of its rows are this search's own (all, when it has none)."""
        if view.model is not None:
            return view.model
        keep = working_set(self.y, self.search.options.working_set)
        x, y = self.x[keep], self.y[keep]
        own = slice(0, len(x))
        if view.x is not None and view.values is not None:
            extra = self.targets.forward(view.values)
            own = slice(len(view.x), None) if len(x) else slice(0, len(view.x))
            x, y = np.vstack([view.x, x]), np.concatenate([extra, y])
        columns, bowl = self.search.encoding.columns, self.search.options.bowl
        subset = working_set(y, self.search.options.fit_set)
        hyper = most_probable(x[subset], y[subset], columns, priors, bowl)
        return GP(x, y, columns, hyper, bowl=bowl), own

    def _why(self, row: Array, acquisition: Acquisition, aim: Aim) -> dict[str, object]:
        best = float(np.mean(acquisition.members[0].best))
        at = row[None, :]
        log_p = 0.0 if self.feasibility is None else float(self.feasibility.log_probability(at)[0])
        mean, deviation = acquisition.predict(at)
        why = {
            **self._facts,
            "log_expected_improvement": self._log_improvement(at, acquisition),
            "acquisition": float(acquisition(at)[0]),
            "aim": aim.name,
            "fit": self._fit_name,
            "failure_probability": 0.0 - float(np.expm1(log_p)),
            "lengthscales": self._lengthscales(acquisition),
            "noise_deviation": float(np.sqrt(acquisition.members[0].gp.noise)),
        }
        # Before any value model values have no unit.
        if len(self.values) or any(view.values is not None for view in self.prior.views):
            why["mean"] = float(self.targets.backward(mean)[0])
            why["deviation"] = float(self.targets.deviation(mean, deviation)[0])
            why["incumbent"] = float(self.targets.backward(np.array([best]))[0])
        if self.search.parents:
            why["parents"] = {**self.prior.report(acquisition.weights), "views": dict(acquisition.weights)}
        return why

    @property
    def _fit_name(self) -> str:
        if self._waves is not None:
            return "short waves"
        return "close results" if self._priors.factors else "usual"

    def _lengthscales(self, acquisition: Acquisition) -> dict[str, float]:
        found = acquisition.members[0].gp.hyper.lengthscales
        return {name: float(v) for name, v in zip(self.search.space.names, found, strict=True)}

    @cached_property
    def _facts(self) -> dict[str, object]:
        """What every ``why`` says: how many trials of each kind it used, and the scale of each numeric parameter."""
        numeric = [p for p in self.search.space.parameters if not isinstance(p, Categorical)]
        return {
            "n": len(self.history.succeeded),
            "failed": len(self.history.failed),
            "pending": len(self.history.pending),
            "scaling": {p.name: resolved_scaling(p) for p in numeric},
        }

    @cached_property
    def x(self) -> Array:
        return self._encode(self.history.succeeded)

    @cached_property
    def values(self) -> Array:
        """The values of the succeeded trials (n,), in the objective's unit."""
        return np.array([t.value for t in self.history.succeeded], dtype=np.float64)

    @cached_property
    def targets(self) -> Targets:
        """From values to model values: of this search's own, and of the rows that parents lend it."""
        lent = [v.values for v in self.prior.views if v.values is not None]
        return Targets.of(np.concatenate([self.values, *lent]), self.search.direction) if lent else self.own_targets

    @cached_property
    def own_targets(self) -> Targets:
        """From values to model values, of this search's own values alone."""
        return Targets.of(self.values, self.search.direction)

    @cached_property
    def y(self) -> Array:
        return self.targets.forward(self.values)

    @cached_property
    def feasibility(self) -> Feasibility | None:
        failed, lent = self._encode(self.history.failed), self.prior.failed
        failed = (failed if lent is None else np.vstack([lent, failed]))[-_FAILED_ROWS:]
        keep = working_set(self.y, max(self.search.options.fit_set - len(failed), _LEAST_SUCCEEDED))
        succeeded = [self.x[keep], *(v.x[:_LENT_ROWS] for v in self.prior.views if v.x is not None)]
        return Feasibility.of(np.vstack(succeeded), failed, self.search.encoding.columns)

    @cached_property
    def prior(self) -> PriorModel:
        s, targets = self.search, self.own_targets
        y = targets.forward(self.values)
        return s.prior(Context(s.encoding, s.direction, s.seed, s.parents, self.x, y, self.values, targets))

    def _encode(self, trials: Iterable[Trial]) -> Array:
        return self.search.encoding.encode([t.configuration for t in trials])


def leave_one_out_density(gp: GP, own: slice) -> float:
    """log of the product of the densities of a GP's rows ``own``, each given all other rows, up to a constant."""
    mean, variance = gp.leave_one_out()
    z2 = (gp.y - mean)[own] ** 2 / variance[own]
    return float(-0.5 * np.sum(z2 + np.log(variance[own])))
