"""Hyperband with asynchronous successive halving: many short trials, few long ones.

Sources: Li et al., "Hyperband" (JMLR 2018), for the brackets; Li et al., "A System for Massively Parallel Hyperparameter
Tuning" (MLSys 2020), for halving without waiting. A trial is never paused: at each rung it goes on or ends for good.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise

import numpy as np

from rekindle.search.history import Direction, History, Observation, Trial, TrialState
from rekindle.search.random_search import RandomSearch
from rekindle.search.space import Space, check_told_apart
from rekindle.search.strategy import Proposal, Strategy, check_inner
from rekindle.search.tuner import make_strategy

#: The reduction factor: one in this many goes on at each rung.
ETA = 3
GOLDEN = (5**0.5 - 1) / 2
#: A model chooses among so many random draws. Seeking the best of the whole space, it comes back to one spot again and again:
#: most trials end at the first rungs, which say little of the last.
DRAWS = 32
#: A model sees values on the scale of the highest rung that at least this many trials have reached.
MIN_POINTS = 4
#: From one rung to the next the spread of values is taken to change by this factor at most.
MAX_RATIO = 3.0
#: Values from here on, and what is no number, have no say in what a rung's values are worth.
_HUGE = 1e100


@dataclass(frozen=True)
class Hyperband:
    """Early stopping by successive halving in several brackets; ``inner`` draws the configurations.

    The resource is counted in emissions of the objective. Bracket s has the rungs ``max_resource * ETA**-s, ...,
    max_resource`` (none below ``min_resource``): bracket 0 runs its trials to the end, the last one judges them from
    ``min_resource`` on. Trials go to brackets by ``shares``; where configurations are random draws, the ``first`` ones are
    of the last bracket, with which Hyperband begins, too. At a rung a trial goes on when it is among the best third of
    all trials that had got there by then (itself included; rounded down, at least one); at ``max_resource`` it ends. Where
    trials are known to end there by themselves (``self_ending``) they are left to it, since what they still do, such as
    saving a model, is wanted; one that goes on all the same is ended then.
    """

    inner: Strategy
    direction: Direction
    min_resource: int
    max_resource: int
    self_ending: bool = False

    def __post_init__(self) -> None:
        check_inner(self.direction, self.inner)
        for name in ("min_resource", "max_resource"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        if not 1 <= self.min_resource <= self.max_resource:
            raise ValueError(f"resources: 1 <= min <= max does not hold for {self.min_resource} and {self.max_resource}")

    @property
    def space(self) -> Space:
        """The inner strategy's space."""
        return self.inner.space

    def propose(self, history: History) -> Proposal | None:
        """The inner strategy's proposal from the trials' values on the scale of one rung."""
        # A random draw looks at no value.
        plain = isinstance(self.inner, RandomSearch)
        seen = history if plain else on_one_scale(history, self.rungs(self.brackets - 1))
        proposal = self.inner.propose(seen)
        if proposal is None:
            return None
        bracket = self.bracket(history.asked)
        return replace(proposal, why={**proposal.why, "bracket": bracket, "rungs": list(self.rungs(bracket))})

    def to_stop(self, history: History) -> Sequence[int]:
        """Ids of pending trials that a rung has not let through, or that have reached the largest resource."""
        away = self.turned_away(history)
        most = self.max_resource + self.self_ending
        return [t.id for t in history.pending if t.id in away or len(t.curve) >= most]

    def turned_away(self, history: History) -> dict[int, int]:
        """For each trial that a rung has not let through, that rung.

        What a trial emits after that counts nowhere. So it does not matter how long it still runs: the verdicts follow from
        the order of emissions alone, and a stop that comes late, after a restart say, changes none.
        """
        places = {id_: i for i, id_ in enumerate(sorted(t.id for t in history.trials))}
        judged = {t.id: set(self.rungs(self.bracket(places[t.id]))) for t in history.trials}
        away: dict[int, int] = {}
        for rung in self.rungs(self.brackets - 1)[:-1]:
            there = ((t.curve[rung - 1], t.id) for t in history.trials if len(t.curve) >= rung and t.id not in away)
            for id_ in self._behind(rung, sorted(there, key=lambda a: (a[0].order, a[1])), judged):
                away[id_] = rung
        return away

    def _behind(self, rung: int, arrivals: list[tuple[Observation, int]], judged: dict[int, set[int]]) -> Iterator[int]:
        """Of the arrivals at a rung, in order: those judged there and not among the best third so far."""
        costs: list[float] = []
        for place, (seen, id_) in enumerate(arrivals, start=1):
            cost = _cost(seen.value, self.direction)
            ahead = bisect_right(costs, cost)
            costs.insert(ahead, cost)
            if rung in judged[id_] and ahead >= max(1, place // ETA):
                yield id_

    def rungs(self, bracket: int) -> tuple[int, ...]:
        """The steps at which the trials of a bracket are judged, ascending; the last is ``max_resource``."""
        steps = {max(self.min_resource, round(self.max_resource * ETA**-k)) for k in range(bracket + 1)}
        return tuple(sorted(steps))

    def bracket(self, place: int) -> int:
        """The bracket of the trial that was asked for at ``place`` (0, 1, ...)."""
        return self.brackets - 1 if place < self.first else self.mixed(place)

    def mixed(self, place: int) -> int:
        """The bracket at ``place`` where the brackets are mixed by ``shares``."""
        # Multiples of the golden ratio fall evenly into the shares, over any stretch of trials.
        left = (place + 0.5) * GOLDEN % 1.0
        for bracket in range(self.brackets - 1, 0, -1):
            left -= shares(self.brackets)[bracket]
            if left < 0:
                return bracket
        return 0

    @cached_property
    def first(self) -> int:
        """How many trials come before the brackets are mixed: as many as Hyperband begins with, of which one is expected to
        reach ``max_resource``. A model is not helped by so many short trials (docs/decisions/0040): for it they are mixed at
        once."""
        return ETA ** (self.brackets - 1) if isinstance(self.inner, RandomSearch) else 0

    @cached_property
    def brackets(self) -> int:
        """How many brackets there are."""
        return int(math.log(self.max_resource / self.min_resource) / math.log(ETA) + 1e-9) + 1


def sampler(name: str, space: Space, direction: Direction, seed: int) -> Strategy:
    """What draws configurations for Hyperband: "random", or "bayesian": the best of ``DRAWS`` random draws by a model, as
    BOHB chooses (Falkner et al., ICML 2018); the model is that of Bayesian search."""
    if name != "bayesian":
        return make_strategy(name, space, direction, seed)
    # Imported where it is used, as in ``make_strategy``.
    from rekindle.search.bayesian.strategy import BayesianSearch, Options

    check_told_apart(space)
    return BayesianSearch(space, direction, seed, options=Options(draws=DRAWS))


def _whole(name: str, steps: int) -> int:
    try:
        return operator.index(steps)
    except TypeError as error:
        raise ValueError(f"{name} {steps!r} is no whole number; it counts emissions of the objective") from error


@cache
def shares(brackets: int) -> tuple[float, ...]:
    """The shares of the brackets in the trials that are mixed, sum 1. Hyperband gives every bracket the same resource; here
    each gets half of what the next more eager one gets."""
    weights = [(2.0 * ETA) ** s / (s + 1) for s in range(brackets)]
    return tuple(w / sum(weights) for w in weights)


def _cost(value: float, direction: Direction) -> float:
    """Lower is better; what is no number is worst."""
    cost = value if direction == "minimize" else -value
    return math.inf if math.isnan(cost) else cost


def on_one_scale(history: History, rungs: Sequence[int]) -> History:
    """The history as a model should see it: each trial that has reached a rung counts as if it had ended there.

    Trials end at different rungs, so their values do not compare as they are. The value at rung k is carried to rung k + 1
    by the trials that reached both: from their mean and deviation at k to their mean and deviation at k + 1, and so on up to
    the highest rung that at least ``MIN_POINTS`` trials have reached. There values are what they are; one from below is what
    its trial would have had there, had it kept its distance to the survivors. Trials short of the first rung are pending, or
    failed if they failed. Rungs ascend.
    """
    counts = [sum(len(t.curve) >= r for t in history.trials) for r in rungs]
    known = [r for r, n in zip(rungs, counts, strict=True) if n >= MIN_POINTS] or list(rungs[:1])
    lifts = [_lift(history, low, high) for low, high in pairwise(known)]
    return History(tuple(_carried(t, known, lifts) for t in history.trials), history.asked)


def _lift(history: History, low: int, high: int) -> tuple[float, float, float]:
    """(a, b, c) by which a value v at the rung ``low`` becomes a + b (v - c) at the rung ``high``."""
    both = np.array([(t.curve[low - 1].value, t.curve[high - 1].value) for t in history.trials if len(t.curve) >= high])
    both = both.reshape(-1, 2)
    both = both[(np.abs(both) < _HUGE).all(axis=1)]
    if len(both) == 0:
        return 0.0, 1.0, 0.0
    (below, above), (spread, spread_above) = both.mean(axis=0), both.std(axis=0)
    # Few survivors tell little of how the spread changes, and nothing when they were equal.
    ratio = float(spread_above / spread) if spread > 0 and len(both) >= MIN_POINTS else 1.0
    return float(above), min(max(ratio, 1 / MAX_RATIO), MAX_RATIO), float(below)


def _carried(trial: Trial, rungs: Sequence[int], lifts: Sequence[tuple[float, float, float]]) -> Trial:
    reached = sum(r <= len(trial.curve) for r in rungs)
    value = trial.curve[rungs[reached - 1] - 1].value if reached else math.nan
    for above, ratio, below in lifts[max(reached - 1, 0) :]:
        value = above + ratio * (value - below)
    if math.isfinite(value):
        return replace(trial, state=TrialState.SUCCEEDED, value=value)
    return trial if trial.state is TrialState.FAILED else replace(trial, state=TrialState.PENDING, value=None)
