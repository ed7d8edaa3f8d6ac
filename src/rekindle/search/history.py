"""What a search has seen: trials, their running objective values, and parents' results. All frozen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import accumulate
from typing import Literal

from rekindle.search.space import Configuration, Space, Value, native

Direction = Literal["minimize", "maximize"]
ParentKind = Literal["identical", "transfer"]
#: A configuration and its objective value; None of one that failed.
_Result = tuple[Configuration, float | None]
_PLAIN = frozenset({float, int, str, bool, type(None)})


class TrialState(StrEnum):
    """Where a trial stands.

    ::

        PENDING --+--> SUCCEEDED   it has a final objective value
                  +--> FAILED      it ended without one
    """

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Observation:
    """One emission of the objective by a trial: ``step`` counts from 1, ``value`` is in the objective's unit. ``order`` is
    its place among all events of the search (emissions and ends); events with the same one are told apart by trial."""

    step: int
    value: float
    order: int = 0


@dataclass(frozen=True)
class Trial:
    """One configuration that was asked for, and what became of it.

    ``value`` is set exactly when the state is SUCCEEDED, and is finite: an objective of NaN or infinity is a failure.
    ``stopped`` marks a trial that an early stopping rule ended; its value is the last one that it emitted. ``ended`` is
    the place of its end among all events of the search.
    """

    id: int
    configuration: Configuration
    state: TrialState = TrialState.PENDING
    value: float | None = None
    curve: tuple[Observation, ...] = ()
    stopped: bool = False
    ended: int | None = None

    def __post_init__(self) -> None:
        if (self.value is not None) != (self.state is TrialState.SUCCEEDED):
            raise ValueError(f"trial {self.id}: state {self.state} does not go with value {self.value!r}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"trial {self.id}: value {self.value!r} is not finite; record it as failed")

    @cached_property
    def running_averages(self) -> tuple[float, ...]:
        """The mean of the curve's first 1, 2, ... values."""
        sums = accumulate(o.value for o in self.curve)
        return tuple(total / step for step, total in enumerate(sums, start=1))


@dataclass(frozen=True)
class Parent:
    """Results of an earlier search that a new one may use.

    ``trials`` are pairs of a configuration in ``space`` and its objective value; None marks a failed one. ``kind``:
    ``identical`` says that the same configuration would score the same here; ``transfer`` promises nothing but kinship.
    Values are in the direction of the new search. ``name`` is for reports. ``held`` gives parameters of ``space`` that the new
    search holds at one value: its results are read as if they had been found there. Scalars of numpy become Python's own.
    Raises ValueError for what is no such thing.
    """

    space: Space
    trials: Sequence[_Result]
    kind: ParentKind = "transfer"
    name: str = "parent"
    held: Configuration = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.space, Space):
            raise ValueError(f"parent {self.name}: space {self.space!r} is no Space; write Space([...])")
        if not isinstance(self.held, Mapping):
            raise ValueError(f"parent {self.name}: held: {self.held!r} is no mapping of names to values, such as {{'lr': 0.1}}")
        try:
            object.__setattr__(self, "held", _plain(self.held))
        except ValueError as error:
            raise ValueError(f"parent {self.name}: held: {error}") from error
        if unknown := self.held.keys() - set(self.space.names):
            raise ValueError(f"parent {self.name}: held parameters {sorted(unknown)} are none of its own")
        object.__setattr__(self, "trials", _results(self.name, self.trials))
        if self.kind not in ("identical", "transfer"):
            raise ValueError(f"parent {self.name}: kind {self.kind!r} is neither 'identical' nor 'transfer'")


def _results(parent: str, trials: Iterable[_Result]) -> tuple[_Result, ...]:
    if not isinstance(trials, Iterable):
        raise ValueError(f"parent {parent}: trials {trials!r} are no list; write [({{'lr': 0.1}}, 0.9), ...]")
    results = []
    for place, trial in enumerate(trials):
        try:
            results.append(_result(trial))
        except ValueError as error:
            raise ValueError(f"parent {parent}: trials[{place}]: {error}") from error
    return tuple(results)


def _result(trial: _Result) -> _Result:
    try:
        configuration, value = trial
        named = dict(configuration)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{trial!r} is no pair of a configuration and its value, as in ({{'lr': 0.1}}, 0.9)") from error
    plain = _plain(named)
    try:
        return plain, None if value is None else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"value {value!r} is no number; None says that a trial failed") from error


def _plain(configuration: Configuration) -> dict[str, Value]:
    # Parents are made for each suggestion, with tens of thousands of results: most values need no second look.
    return {name: v if type(v) in _PLAIN else _plain_value(name, v) for name, v in configuration.items()}


def _plain_value(name: str, value: object) -> Value:
    plain = native(value)
    if not isinstance(plain, str | int | float):
        raise ValueError(f"{name}: {plain!r} is no text, number, truth value or None")
    return plain


@dataclass(frozen=True)
class History:
    """All that a search has seen, in the order in which it happened.

    ``trials`` holds finished trials in the order in which they finished, then pending ones in the order in which they
    were asked for: two histories with the same trials in the same order are the same to every strategy. ``asked`` is
    how many trials were ever asked for here, which numbers the next suggestion.
    """

    trials: tuple[Trial, ...] = ()
    asked: int = -1

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", tuple(self.trials))
        if self.asked < 0:
            object.__setattr__(self, "asked", len(self.trials))

    @cached_property
    def succeeded(self) -> tuple[Trial, ...]:
        """Trials with a value, in the order in which they finished."""
        return tuple(t for t in self.trials if t.state is TrialState.SUCCEEDED)

    @cached_property
    def failed(self) -> tuple[Trial, ...]:
        """Trials that ended without a value."""
        return tuple(t for t in self.trials if t.state is TrialState.FAILED)

    @cached_property
    def pending(self) -> tuple[Trial, ...]:
        """Trials still running, in the order in which they were asked for."""
        return tuple(t for t in self.trials if t.state is TrialState.PENDING)


def better(a: float, b: float, direction: Direction) -> bool:
    """Whether ``a`` is strictly better than ``b``."""
    return a < b if direction == "minimize" else a > b


def best_trial(trials: Iterable[Trial], direction: Direction) -> Trial | None:
    """The succeeded trial with the best value; of equals, the one that finished first. None without any."""
    best: Trial | None = None
    for trial in trials:
        if trial.value is None:
            continue
        if best is None or best.value is None or better(trial.value, best.value, direction):
            best = trial
    return best
