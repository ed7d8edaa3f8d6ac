"""The median rule: ends a trial whose objective falls behind the median of its predecessors' running averages.

Rule as documented for SageMaker's early stopping type Auto; the guards (never among the first trials, never too early in
a trial, never one that is ahead of the incumbent) are ours.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rekindle.search.history import Direction, History, Observation, Trial, TrialState, best_trial, better
from rekindle.search.space import Space
from rekindle.search.strategy import Proposal, Strategy, check_inner

#: No trial is judged before this many others have succeeded.
MIN_SUCCEEDED = 4
#: No trial is judged in the first quarter of the steps that its unstopped predecessors took (their median).
MIN_SHARE = 0.25


@dataclass(frozen=True)
class MedianStopping:
    """Any strategy, with the median rule as its ``to_stop``.

    At step k a pending trial is given up when its value is worse than the median, over all trials that had succeeded
    by then and had emitted k values, of the mean of their first k values; unless it is at least as good as the best
    of them was at its own step k. Each step is judged by what had ended before it was emitted, so the answer does not
    depend on when it is asked for. What is no number is worst. ``min_succeeded`` is how many trials must have succeeded before
    any is judged.
    """

    inner: Strategy
    direction: Direction
    min_succeeded: int = MIN_SUCCEEDED

    def __post_init__(self) -> None:
        check_inner(self.direction, self.inner)

    @property
    def space(self) -> Space:
        """The inner strategy's space."""
        return self.inner.space

    def propose(self, history: History) -> Proposal | None:
        """The inner strategy's proposal."""
        return self.inner.propose(history)

    def to_stop(self, history: History) -> Sequence[int]:
        """Ids of pending trials that fell behind at any of their steps."""
        ended = sorted((t for t in history.trials if t.state is TrialState.SUCCEEDED and t.curve), key=lambda t: t.ended or 0)
        places = [t.ended or 0 for t in ended]
        standings: dict[int, _Standing] = {}
        stop: list[int] = []
        for trial in history.pending:
            for now in trial.curve:
                count = bisect_left(places, now.order)
                if count not in standings:
                    standings[count] = _Standing.of(ended[:count], self.direction)
                if self._behind(now, standings[count]):
                    stop.append(trial.id)
                    break
        return stop

    def _behind(self, now: Observation, standing: _Standing) -> bool:
        if len(standing.earlier) < self.min_succeeded or now.step < standing.first_step:
            return False
        averages = [self._known(t.running_averages[now.step - 1]) for t in standing.earlier if len(t.curve) >= now.step]
        if not averages or not better(median(averages), self._known(now.value), self.direction):
            return False
        return not self._ahead_of_incumbent(now, standing.incumbent)

    def _ahead_of_incumbent(self, now: Observation, incumbent: Trial | None) -> bool:
        if incumbent is None or len(incumbent.curve) < now.step:
            return False
        theirs = self._known(incumbent.curve[now.step - 1].value)
        return not better(theirs, self._known(now.value), self.direction)

    def _known(self, value: float) -> float:
        # NaN has no place in an order: a median would depend on where among the others it stands.
        if not math.isnan(value):
            return value
        return math.inf if self.direction == "minimize" else -math.inf


@dataclass(frozen=True)
class _Standing:
    """The trials that had succeeded by some moment, and what of them every step after it is judged by."""

    earlier: Sequence[Trial]
    first_step: int
    incumbent: Trial | None

    @staticmethod
    def of(earlier: Sequence[Trial], direction: Direction) -> _Standing:
        return _Standing(earlier, first_step(earlier) if earlier else 1, best_trial(earlier, direction))


def first_step(earlier: Sequence[Trial]) -> int:
    """The first step at which a trial may be judged: a quarter of the median length of unstopped curves, at least 1."""
    lengths = [len(t.curve) for t in earlier if not t.stopped] or [len(t.curve) for t in earlier]
    return max(1, math.ceil(MIN_SHARE * median(lengths)))
