"""Hyperband with asynchronous successive halving: many short trials, few long ones.

Sources: Li et al., "Hyperband" (JMLR 2018), for the brackets; Li et al., "A System for Massively Parallel Hyperparameter
Tuning" (MLSys 2020), for halving without waiting. A trial is never paused: at each rung it goes on or ends for good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from rekindle.search.history import Direction, History, Trial, TrialState, better
from rekindle.search.space import Space
from rekindle.search.strategy import Proposal, Strategy

#: The reduction factor: one in this many goes on at each rung.
ETA = 3
#: A model is fitted to the highest rung that at least this many trials, and two for each parameter, have reached.
MIN_POINTS = 5


@dataclass(frozen=True)
class Hyperband:
    """Early stopping by successive halving in several brackets; ``inner`` draws the configurations.

    The resource is counted in emissions of the objective. Bracket s has the rungs ``max_resource * ETA**-s, ...,
    max_resource`` (none below ``min_resource``): bracket 0 runs its trials to the end, the last one judges them from
    ``min_resource`` on. Trials go to brackets in the shares of Hyperband. At a rung a trial goes on when it is among the
    best third of all trials that had got there by then (itself included, at least one); at ``max_resource`` it ends.
    """

    inner: Strategy
    direction: Direction
    min_resource: int
    max_resource: int

    def __post_init__(self) -> None:
        if not 1 <= self.min_resource <= self.max_resource:
            raise ValueError(f"resources: 1 <= min <= max does not hold for {self.min_resource} and {self.max_resource}")

    @property
    def space(self) -> Space:
        """The inner strategy's space."""
        return self.inner.space

    def propose(self, history: History) -> Proposal | None:
        """The inner strategy's proposal from the trials' values at one common rung, the highest with enough of them."""
        proposal = self.inner.propose(self._at_common_rung(history))
        if proposal is None:
            return None
        bracket = self.bracket(history.asked)
        return replace(proposal, why={**proposal.why, "bracket": bracket, "rungs": list(self.rungs(bracket))})

    def to_stop(self, history: History) -> Sequence[int]:
        """Ids of pending trials that a rung has not let through, or that have reached the largest resource."""
        ranks = {id_: i for i, id_ in enumerate(sorted(t.id for t in history.trials))}
        return [t.id for t in history.pending if self._ends(t, history, ranks[t.id])]

    def rungs(self, bracket: int) -> tuple[int, ...]:
        """The steps at which the trials of a bracket are judged, ascending; the last is ``max_resource``."""
        steps = {max(self.min_resource, round(self.max_resource * ETA**-k)) for k in range(bracket + 1)}
        return tuple(sorted(steps))

    def bracket(self, place: int) -> int:
        """The bracket of the trial that was asked for at ``place`` (0, 1, ...)."""
        return self._pattern[place % len(self._pattern)]

    @cached_property
    def brackets(self) -> int:
        """How many brackets there are."""
        return int(math.log(self.max_resource / self.min_resource) / math.log(ETA) + 1e-9) + 1

    @cached_property
    def _pattern(self) -> tuple[int, ...]:
        """Hyperband's shares of the brackets, spread evenly over a round of trials."""
        top = self.brackets - 1
        shares = [math.ceil((top + 1) / (s + 1) * ETA**s) for s in range(top + 1)]
        credit, order = [0.0] * len(shares), []
        for _ in range(sum(shares)):
            credit = [c + share for c, share in zip(credit, shares, strict=True)]
            chosen = max(range(len(shares)), key=lambda s: (credit[s], s))
            credit[chosen] -= sum(shares)
            order.append(chosen)
        return tuple(order)

    def _ends(self, trial: Trial, history: History, place: int) -> bool:
        reached = [r for r in self.rungs(self.bracket(place)) if r <= len(trial.curve)]
        return bool(reached) and (reached[-1] >= self.max_resource or any(not self._passes(trial, r, history) for r in reached))

    def _passes(self, trial: Trial, rung: int, history: History) -> bool:
        own = trial.curve[rung - 1]
        rivals = [t for t in history.trials if len(t.curve) >= rung and _before(t, trial, rung)]
        ahead = sum(not better(own.value, t.curve[rung - 1].value, self.direction) for t in rivals)
        return ahead < max(1, math.ceil((len(rivals) + 1) / ETA))

    def _at_common_rung(self, history: History) -> History:
        """The history as if every trial had run to one rung: those short of it are pending, or failed if they ended."""
        needed = max(MIN_POINTS, 2 * len(self.space))
        for rung in reversed(self.rungs(self.brackets - 1)):
            if sum(len(t.curve) >= rung for t in history.trials) >= needed:
                return History(tuple(_cut(t, rung) for t in history.trials), history.asked)
        return History(tuple(_pending(t) for t in history.trials), history.asked)


def _before(other: Trial, trial: Trial, rung: int) -> bool:
    theirs, ours = other.curve[rung - 1], trial.curve[rung - 1]
    return other.id != trial.id and (theirs.order, other.id) < (ours.order, trial.id)


def _cut(trial: Trial, rung: int) -> Trial:
    if len(trial.curve) >= rung:
        return replace(trial, state=TrialState.SUCCEEDED, value=trial.curve[rung - 1].value)
    return trial if trial.state is TrialState.FAILED else _pending(trial)


def _pending(trial: Trial) -> Trial:
    return trial if trial.state is TrialState.FAILED else replace(trial, state=TrialState.PENDING, value=None)
