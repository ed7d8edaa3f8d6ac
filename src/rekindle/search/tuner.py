"""``Tuner``, the ask/tell wrapper around a strategy, and strategies by name."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from threading import RLock
from typing import Final

from rekindle.search.grid_search import GridSearch
from rekindle.search.history import Direction, History, Observation, Parent, Trial, TrialState, best_trial
from rekindle.search.random_search import RandomSearch
from rekindle.search.space import Configuration, Space, Value, check_told_apart
from rekindle.search.strategy import Proposal, Strategy, check_direction, is_strategy

#: Strategies that propose the same whatever was found, here or by parents.
_WITHOUT_PARENTS: Final = ("random", "grid")


class TunerError(ValueError):
    """A call that does not fit the tuner's state: an unknown trial, one that has already ended, a value that is no number."""


class Tuner:
    """Ask for configurations, tell their values.

    ``strategy`` is ``"random"``, ``"grid"``, ``"bayesian"`` or a Strategy object; ``direction`` is ``"minimize"`` or
    ``"maximize"``; the same ``seed`` and the same calls give the same configurations. ``parents`` tell Bayesian search of
    earlier ones; no other strategy looks at them. Raises ValueError for what is none of these and for parents that nobody
    would look at, SpaceError for a space that the strategy cannot search.

    Threads may share a tuner: their calls wait for one another. Processes may not: a copy (by ``copy``, ``pickle`` or a
    fork) goes on by itself, and its next trial is the original's next one, too. A pickled tuner goes on where it stood.

    >>> from rekindle.search import Continuous, Space, Tuner
    >>> tuner = Tuner(Space([Continuous("x", -1.0, 2.0)]), strategy="bayesian", direction="minimize", seed=1)
    >>> for _ in range(12):
    ...     trial = tuner.ask()
    ...     tuner.tell(trial.id, (trial.values["x"] - 0.3) ** 2)
    >>> abs(tuner.best.values["x"] - 0.3) < 0.05
    True
    """

    def __init__(
        self,
        space: Space,
        strategy: str | Strategy = "bayesian",
        direction: Direction = "minimize",
        seed: int = 0,
        parents: Sequence[Parent] = (),
    ) -> None:
        check_direction(direction)
        if not isinstance(space, Space):
            raise ValueError(f"space {space!r} is no Space; write Space([...])")
        seed, parents = _checked_seed(seed), _checked_parents(parents)
        if isinstance(strategy, str):
            _check_parents(strategy, parents)
            strategy = make_strategy(strategy, space, direction, seed, parents)
        else:
            _check_strategy(strategy, space, direction, parents)
        self._lock = RLock()
        self._direction: Direction = direction
        self._strategy = strategy
        self._finished: list[Trial] = []
        self._pending: dict[int, Trial] = {}
        self._why: dict[int, Proposal] = {}
        self._asked = 0
        self._events = 0

    def ask(self) -> AskedTrial:
        """The next trial to run. Raises SpaceExhausted when every configuration has been tried or is running."""
        with self._lock:
            proposal = self._strategy.propose(self.history)
            if proposal is None:
                raise self._exhausted()
            trial = Trial(self._asked, dict(proposal.configuration))
            self._asked += 1
            self._pending[trial.id] = trial
            self._why[trial.id] = proposal
            return AskedTrial(trial.id, dict(proposal.configuration))

    def tell(self, trial_id: int, value: float) -> None:
        """Ends a trial with its objective value; NaN and infinities count as a failure. Raises TunerError for what is no
        number, and the trial goes on."""
        number = _number(value)
        with self._lock:
            self._finished.append(_finished(self._take(trial_id), number, self._next_event()))

    def fail(self, trial_id: int) -> None:
        """Ends a trial that produced no value."""
        with self._lock:
            self._finished.append(replace(self._take(trial_id), state=TrialState.FAILED, ended=self._next_event()))

    def report(self, trial_id: int, step: int, value: float) -> None:
        """Records a running trial's objective, for strategies that stop trials early. ``step`` counts the trial's reports: 1,
        2, ...; NaN and infinities count as the worst value there is. Raises TunerError for another step than the next, and for
        what is no number."""
        number = _number(value)
        with self._lock:
            trial = self._running(trial_id)
            _check_step(trial, step)
            seen = number if math.isfinite(number) else self._worst
            self._pending[trial.id] = replace(
                trial, curve=(*trial.curve, Observation(len(trial.curve) + 1, seen, self._next_event()))
            )

    def to_stop(self) -> list[int]:
        """Ids of running trials that the strategy would end now; end them with ``tell`` and their last value. They count as
        stopped from here on: their length is not the one that a trial has."""
        with self._lock:
            named = list(self._strategy.to_stop(self.history))
            self._pending |= {i: replace(self._pending[i], stopped=True) for i in named if i in self._pending}
            return named

    def add(self, values: Configuration, value: float | None) -> int:
        """Records a finished trial that somebody else ran (None: it failed) and returns its id. Raises SpaceError for values
        that are not in the space, TunerError for a value that is no number."""
        configuration = self._strategy.space.taken(values)
        number = math.nan if value is None else _number(value)
        with self._lock:
            trial = Trial(self._asked, configuration)
            self._asked += 1
            self._finished.append(_finished(trial, number, self._next_event()))
            return trial.id

    @property
    def best(self) -> BestTrial:
        """The best trial so far. Raises TunerError before any has a value."""
        trial = best_trial(self.history.succeeded, self._direction)
        if trial is None or trial.value is None:
            raise TunerError("no trial has a value yet")
        return BestTrial(trial.id, dict(trial.configuration), trial.value)

    @property
    def history(self) -> History:
        """All that the strategy sees."""
        with self._lock:
            return History((*self._finished, *self._pending.values()), asked=self._asked)

    def explain(self, trial_id: int) -> dict[str, object]:
        """Why a trial was proposed: ``source`` and the strategy's own figures."""
        if _id(trial_id) not in self._why:
            raise TunerError(f"trial {trial_id} was not proposed by this tuner")
        proposal = self._why[trial_id]
        return {"source": proposal.source, **proposal.why}

    def __getstate__(self) -> dict[str, object]:
        """What copies and pickles are made of: a lock is of one process, and a copy shares nothing that changes."""
        with self._lock:
            held = {"_finished": [*self._finished], "_pending": {**self._pending}, "_why": {**self._why}}
            return {name: value for name, value in {**vars(self), **held}.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._lock = RLock()

    @property
    def _worst(self) -> float:
        return math.inf if self._direction == "minimize" else -math.inf

    def _exhausted(self) -> SpaceExhausted:
        space = self._strategy.space
        known = {space.key(t.configuration) for t in self.history.trials}
        if space.size is not None and len(known) >= space.size:
            return SpaceExhausted(f"all {space.size} configurations of the space have been tried or are running")
        reason = "floating point has few numbers between ends this close, or on a scale this wide"
        return SpaceExhausted(f"nothing new was found beside the {len(known)} configurations tried or running: {reason}")

    def _next_event(self) -> int:
        self._events += 1
        return self._events

    def _running(self, trial_id: int) -> Trial:
        if _id(trial_id) not in self._pending:
            raise TunerError(f"trial {trial_id} is not running: it was never asked for, or has already ended")
        return self._pending[trial_id]

    def _take(self, trial_id: int) -> Trial:
        trial = self._running(trial_id)
        del self._pending[trial.id]
        return trial


@dataclass(frozen=True)
class AskedTrial:
    """A trial to run: its id and its configuration."""

    id: int
    values: dict[str, Value]


@dataclass(frozen=True)
class BestTrial:
    """The best trial of a search, with its objective value."""

    id: int
    values: dict[str, Value]
    value: float


class SpaceExhausted(LookupError):
    """Every configuration that a strategy can find has been tried or is running."""


def make_strategy(name: str, space: Space, direction: Direction, seed: int, parents: Sequence[Parent] = ()) -> Strategy:
    """A strategy by its name. Raises ValueError for a name that nobody knows."""
    match name:
        case "random":
            return RandomSearch(space, seed)
        case "grid":
            return GridSearch(space)
        case "bayesian":
            # Imported where it is used: scipy costs a worker that needs none of it half a second.
            from rekindle.search.bayesian.strategy import BayesianSearch
            from rekindle.search.transfer import WarmStart

            check_told_apart(space)
            kin = tuple(parents)
            if not kin:
                return BayesianSearch(space, direction, seed)
            return BayesianSearch(space, direction, seed, kin, prior=WarmStart(space, direction, kin))
        case _:
            others = "a Strategy object, such as rekindle.search.hyperband's Hyperband, is taken as well"
            raise ValueError(f"strategy {name!r} is not one of 'random', 'grid', 'bayesian'; {others}")


def _checked_seed(seed: int) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"seed {seed!r} is no whole number from 0 on")
    return number


def _checked_parents(parents: Sequence[Parent]) -> tuple[Parent, ...]:
    if isinstance(parents, Parent):
        raise ValueError(f"parents: parent {parents.name} alone is no list; write parents=[Parent(...)]")
    if not isinstance(parents, Iterable):
        raise ValueError(f"parents {parents!r} is no list; write parents=[Parent(...)]")
    found = tuple(parents)
    for parent in found:
        if not isinstance(parent, Parent):
            raise ValueError(f"parents: {parent!r} is no Parent; write Parent(space, [(configuration, value), ...])")
    return found


def _check_parents(strategy: str, parents: Sequence[Parent]) -> None:
    if parents and strategy in _WITHOUT_PARENTS:
        way_out = "leave them out, or take 'bayesian'"
        raise ValueError(f"parents: {strategy!r} search looks at no results, so that parents change nothing; {way_out}")


def _check_strategy(strategy: Strategy, space: Space, direction: Direction, parents: Sequence[Parent]) -> None:
    """Refuses what is no strategy object, and what is given beside one that it does not see."""
    if not is_strategy(strategy):
        raise ValueError(f"strategy {strategy!r} is neither a name nor a Strategy object")
    if strategy.space != space:
        raise ValueError(f"strategy: it searches another space, {strategy.space!r}, than {space!r}; give both the same")
    check_direction(direction, strategy)
    if parents:
        raise ValueError("parents go with a strategy's name; a Strategy object is made with its own")


def _id(trial_id: int) -> int:
    try:
        return operator.index(trial_id)
    except TypeError as error:
        raise TunerError(f"trial_id: {trial_id!r}: not a trial's number; give the id of what ask returned: trial.id") from error


def _check_step(trial: Trial, step: int) -> None:
    due = len(trial.curve) + 1
    try:
        right = operator.index(step) == due
    except TypeError:
        right = False
    if not right:
        raise TunerError(f"step: {step!r}: the next one of trial {trial.id} is {due}: steps count its reports, 1, 2, ...")


def _number(value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TunerError(f"value: {value!r}: not a number; a trial that has none is ended by fail") from error


def _finished(trial: Trial, value: float, event: int) -> Trial:
    if not math.isfinite(value):
        return replace(trial, state=TrialState.FAILED, ended=event)
    return replace(trial, state=TrialState.SUCCEEDED, value=value, ended=event)
