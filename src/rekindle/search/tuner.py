"""``Tuner``, the ask/tell wrapper around a strategy, and strategies by name."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rekindle.search.grid_search import GridSearch
from rekindle.search.history import Direction, History, Observation, Parent, Trial, TrialState, best_trial
from rekindle.search.random_search import RandomSearch
from rekindle.search.space import Configuration, Space, Value
from rekindle.search.strategy import Proposal, Strategy


class TunerError(ValueError):
    """A call that does not fit the tuner's state: an unknown trial, one that has already ended, a value that is no number."""


class Tuner:
    """Ask for configurations, tell their values.

    ``strategy`` is ``"random"``, ``"grid"``, ``"bayesian"`` or a Strategy object; ``direction`` is ``"minimize"`` or
    ``"maximize"``; the same ``seed`` and the same calls give the same configurations. Not thread-safe.

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
        if direction not in ("minimize", "maximize"):
            raise ValueError(f"direction {direction!r} is neither 'minimize' nor 'maximize'")
        seed = _checked(seed)
        self._direction: Direction = direction
        self._strategy = make_strategy(strategy, space, direction, seed, parents) if isinstance(strategy, str) else strategy
        self._finished: list[Trial] = []
        self._pending: dict[int, Trial] = {}
        self._why: dict[int, Proposal] = {}
        self._asked = 0
        self._events = 0

    def ask(self) -> AskedTrial:
        """The next trial to run. Raises SpaceExhausted when every configuration has been tried or is running."""
        proposal = self._strategy.propose(self.history)
        if proposal is None:
            raise SpaceExhausted(f"all {self._strategy.space.size} configurations of the space have been tried")
        trial = Trial(self._asked, dict(proposal.configuration))
        self._asked += 1
        self._pending[trial.id] = trial
        self._why[trial.id] = proposal
        return AskedTrial(trial.id, dict(proposal.configuration))

    def tell(self, trial_id: int, value: float) -> None:
        """Ends a trial with its objective value; NaN and infinities count as a failure. Raises TunerError for what is no
        number, and the trial goes on."""
        number = _number(value)
        self._finished.append(_finished(self._take(trial_id), number, self._next_event()))

    def fail(self, trial_id: int) -> None:
        """Ends a trial that produced no value."""
        self._finished.append(replace(self._take(trial_id), state=TrialState.FAILED, ended=self._next_event()))

    def report(self, trial_id: int, step: int, value: float) -> None:
        """Records a running trial's objective at a step (1, 2, ...), for strategies that stop trials early."""
        if trial_id not in self._pending:
            raise TunerError(f"trial {trial_id} is not running")
        trial = self._pending[trial_id]
        self._pending[trial_id] = replace(trial, curve=(*trial.curve, Observation(step, value, self._next_event())))

    def to_stop(self) -> list[int]:
        """Ids of running trials that the strategy would end now; end them with ``tell`` and their last value."""
        return list(self._strategy.to_stop(self.history))

    def add(self, values: Configuration, value: float | None) -> int:
        """Records a finished trial that somebody else ran (None: it failed) and returns its id."""
        self._strategy.space.check(values)
        number = math.nan if value is None else _number(value)
        trial = Trial(self._asked, dict(values))
        self._asked += 1
        self._finished.append(_finished(trial, number, self._next_event()))
        return trial.id

    @property
    def best(self) -> BestTrial:
        """The best trial so far. Raises TunerError before any has a value."""
        trial = best_trial(self._finished, self._direction)
        if trial is None or trial.value is None:
            raise TunerError("no trial has a value yet")
        return BestTrial(trial.id, dict(trial.configuration), trial.value)

    @property
    def history(self) -> History:
        """All that the strategy sees."""
        return History((*self._finished, *self._pending.values()), asked=self._asked)

    def explain(self, trial_id: int) -> dict[str, object]:
        """Why a trial was proposed: ``source`` and the strategy's own figures."""
        if trial_id not in self._why:
            raise TunerError(f"trial {trial_id} was not proposed by this tuner")
        proposal = self._why[trial_id]
        return {"source": proposal.source, **proposal.why}

    def _next_event(self) -> int:
        self._events += 1
        return self._events

    def _take(self, trial_id: int) -> Trial:
        if trial_id not in self._pending:
            raise TunerError(f"trial {trial_id} is not running: it was never asked for, or has already ended")
        return self._pending.pop(trial_id)


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
    """Every configuration of a finite space has been tried or is running."""


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

            kin = tuple(parents)
            if not kin:
                return BayesianSearch(space, direction, seed)
            return BayesianSearch(space, direction, seed, kin, prior=WarmStart(space, direction, kin))
        case _:
            raise ValueError(f"strategy {name!r} is not one of 'random', 'grid', 'bayesian'")


def _checked(seed: int) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"seed {seed!r} is no whole number from 0 on")
    return number


def _number(value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TunerError(f"value: {value!r}: not a number; a trial that has none is ended by fail") from error


def _finished(trial: Trial, value: float, event: int) -> Trial:
    if not math.isfinite(value):
        return replace(trial, state=TrialState.FAILED, ended=event)
    return replace(trial, state=TrialState.SUCCEEDED, value=value, ended=event)
