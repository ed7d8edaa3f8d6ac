"""Bayesian search from outside, on the widest spaces and the worst histories that validation lets through.

Everything goes through a tuning job's own record and back: hyperparameters are texts, figures are JSON. A history of up to
100 results and 100 running trials, in up to 30 dimensions, is looked at four ways: as it is, as it is read back from its
record, maximised with the opposite sign, and on another scale.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from rekindle.domain.search_plan import configuration_of, tuned_values
from rekindle.domain.tuning_job import Definition, StrategyName, TuningJobStatus
from rekindle.engine.replay import replay
from rekindle.search import Categorical, Continuous, History, Integer, Space, SpaceExhausted, Trial, TrialState, Tuner
from rekindle.search.bayesian.strategy import BayesianSearch
from rekindle.search.history import Direction
from rekindle.search.space import Configuration, Parameter
from rekindle.search.strategy import Proposal
from rekindle.storage.encoding import dumps, loads, plain, unplain
from support.engine import Engine
from support.searches import KINDS, figures, objective, trials
from support.simulated import Script
from support.specs import tuning_spec

#: How many examples of the long tests: `make fuzz` has a share for them.
EXAMPLES = max(8, settings.default.max_examples // 100)

#: Ranges at the ends of what numbers can do.
EXTREME: tuple[Parameter, ...] = (
    Continuous("p", 1e-300, 1.0, "Logarithmic"),
    Continuous("p", 5e-324, 1e-310, "Logarithmic"),
    Continuous("p", 5e-324, 1.7e308, "Auto"),
    Continuous("p", 1e-300, 1e300, "Linear"),
    Continuous("p", -8e307, 8e307, "Linear"),
    Continuous("p", 0.999999999, 1.0 - 2.0**-53, "ReverseLogarithmic"),
    Continuous("p", 0.0, 1.0 - 2.0**-53, "ReverseLogarithmic"),
    Continuous("p", 0.0, 1e-300, "ReverseLogarithmic"),
    Continuous("p", 0.0, 5e-324, "Linear"),
    Continuous("p", 1e9, 1e9 + 1e-6, "Linear"),
    Continuous("p", 1e9, 1e9 + 1e-6, "Logarithmic"),
    Integer("p", 1, 10**9, "Logarithmic"),
    Integer("p", -(2**31), 2**31 - 1, "Linear"),
    Integer("p", -(2**53), 2**53, "Linear"),
    Integer("p", 10**9, 10**9 + 1, "Logarithmic"),
    Integer("p", 0, 4096, "Linear"),
    Integer("p", 7, 7, "Linear"),
    Categorical("p", [f"v{i}" for i in range(30)]),
    Categorical("p", ["", " ", "é", "1", "1.0", "True"]),
)


def parameter(name: str) -> st.SearchStrategy[Parameter]:
    ends = st.tuples(st.floats(-1e6, 1e6), st.floats(0.0, 1e6))
    linear = ends.map(lambda e: Continuous(name, e[0], e[0] + e[1], "Linear"))
    tiny = st.tuples(st.integers(-3, 3), st.integers(0, 2)).map(lambda e: Integer(name, e[0], e[0] + e[1]))
    listed = st.integers(1, 30).map(lambda n: Categorical(name, [str(k) for k in range(n)]))
    extreme = st.sampled_from(EXTREME).map(lambda p: replace(p, name=name))
    return st.one_of(extreme, extreme, linear, tiny, listed)


@dataclass(frozen=True)
class Case:
    """What a search has seen."""

    space: Space
    trials: tuple[Trial, ...]
    seed: int

    def suggested(self, factor: float = 1.0, direction: Direction = "minimize") -> Proposal | None:
        """The suggestion after these values times ``factor``."""
        seen = tuple(t if t.value is None else replace(t, value=factor * t.value) for t in self.trials)
        return BayesianSearch(self.space, direction, self.seed).propose(History(seen))

    @property
    def definition(self) -> Definition:
        """As a tuning job has the space."""
        return replace(tuning_spec().definition, ranges=tuple(self.space.parameters))

    def read_back(self) -> Case:
        """The same from JSON, with hyperparameters as texts."""
        rows = [
            {"tuned": tuned_values(Proposal(t.configuration, "")), "value": t.value, "state": t.state.value}
            for t in self.trials
        ]
        again = json.loads(json.dumps(rows, allow_nan=False))
        found = (
            Trial(i, configuration_of(self.definition, row["tuned"]), TrialState(row["state"]), row["value"])
            for i, row in enumerate(again)
        )
        return replace(self, trials=tuple(found))

    @property
    def keys(self) -> set[tuple[object, ...]]:
        """The configurations that are taken."""
        return {self.space.key(t.configuration) for t in self.trials}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    d = draw(st.integers(1, 6) | st.integers(7, 30))
    space, seed = Space([draw(parameter(f"p{i}")) for i in range(d)]), draw(st.integers(0, 2**31))
    rng, n = np.random.default_rng(seed), draw(st.integers(0, 12) | st.integers(13, 40) | st.integers(41, 100))
    pending = draw(st.sampled_from((0, 1, 9, 100)))
    rows = rng.random((n + pending, d))
    # At the bounds, in one spot, and everywhere.
    where = draw(st.sampled_from(("everywhere", "corners", "one spot")))
    if where != "everywhere":
        rows = np.round(rows) if where == "corners" else np.clip(rows[:1] + 1e-9 * rows, 0.0, 1.0)
    values = 10.0 ** draw(st.integers(-12, 12)) * objective(draw(st.sampled_from(KINDS)), rng, n)
    failing = draw(st.sampled_from((0.0, 0.1, 0.3, 0.5, 1.0)))
    ended = [None if rng.random() < failing else float(v) for v in values]
    made = trials(space, rows, ended, n)
    # A search asks for nothing twice; what others ran may hold a configuration many times, with another value each time.
    return Case(space, tuple(made if draw(st.booleans()) else _first_of_each(space, made)), seed)


def _first_of_each(space: Space, found: Iterator[Trial]) -> Iterator[Trial]:
    seen: set[tuple[object, ...]] = set()
    for trial in found:
        if (key := space.key(trial.configuration)) not in seen:
            seen.add(key)
            yield trial


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases(), st.integers(-40, 40))
def test_whatever_a_search_has_seen(case: Case, exponent: int) -> None:
    proposal = case.suggested()
    event("none" if proposal is None else proposal.source)
    if proposal is None:
        assert case.space.size in (None, len(case.keys))
        # A range of a few floating-point numbers is used up, too, though nobody counts them.
        rows = np.random.default_rng(0).random((300, len(case.space)))
        assert {case.space.key(case.space.decode(row)) for row in rows} <= case.keys
        return
    check(case, proposal)
    assert case.read_back().suggested() == proposal
    for other in (case.suggested(-1.0, "maximize"), case.suggested(2.0**exponent)):
        assert other is not None
        assert other.configuration == proposal.configuration


def check(case: Case, proposal: Proposal) -> None:
    configuration = proposal.configuration
    case.space.check(configuration)
    assert case.space.key(configuration) not in case.keys
    read = configuration_of(case.definition, tuned_values(proposal))
    assert read == configuration
    assert [type(v) for v in read.values()] == [type(v) for v in configuration.values()]
    assert all(math.isfinite(number) for number in figures(proposal.why))
    assert unplain(loads(dumps(plain(proposal.why)))) == proposal.why


def few(name: str) -> st.SearchStrategy[Parameter]:
    """Ranges of a few values, also such as are written alike or far apart."""
    return st.one_of(
        st.tuples(st.integers(-3, 3), st.integers(0, 3)).map(lambda e: Integer(name, e[0], e[0] + e[1])),
        st.just(Integer(name, 10**15, 10**15 + 2)),
        st.integers(1, 5).map(lambda n: Categorical(name, [f"v{k}" for k in range(n)])),
        st.just(Categorical(name, [1, 1.0, True, "1"])),
        st.just(Continuous(name, 0.25, 0.25)),
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(0, 2**31), st.sampled_from(("minimize", "maximize")))
def test_a_finite_space_is_tried_in_full_and_no_point_twice(
    data: st.DataObject, d: int, seed: int, direction: Direction
) -> None:
    """Whatever comes of the trials, and in whatever order they end."""
    space = Space([data.draw(few(f"p{i}")) for i in range(d)])
    tuner, rng, keys, running = Tuner(space, "bayesian", direction, seed), np.random.default_rng(seed), [], []
    size = space.size or 0
    for _ in range(min(size, 60)):
        trial = tuner.ask()
        keys.append(typed(space, trial.values))
        running.append(trial.id)
        while running and rng.random() < 0.6:
            end(tuner, running.pop(rng.integers(0, len(running))), rng)
    assert len(set(keys)) == len(keys) == min(size, 60)
    if size <= 60:
        with pytest.raises(SpaceExhausted):
            tuner.ask()


def typed(space: Space, values: Configuration) -> tuple[tuple[type, object], ...]:
    return tuple((type(v), v) for v in space.key(values))


def end(tuner: Tuner, trial: int, rng: np.random.Generator) -> None:
    outcome = rng.integers(0, 6)
    if outcome == 0:
        tuner.fail(trial)
    else:
        values = (math.nan, math.inf, -math.inf, 1e300 * rng.standard_normal(), rng.standard_normal())
        tuner.tell(trial, float(values[outcome - 1]))


@pytest.mark.parametrize("last", [1.0, math.nextafter(1.0, 2.0), 1.0 + 2.0**-50])
@pytest.mark.parametrize("strategy", ["bayesian", "random"])
def test_a_range_of_a_few_floating_point_numbers_ends_the_search_and_breaks_nothing(last: float, strategy: str) -> None:
    space = Space([Continuous("x", 1.0, last)])
    tuner, count = Tuner(space, strategy), 1 + round((last - 1.0) * 2**52)
    found = [tuner.ask() for _ in range(count - 1)]
    for trial in found:
        tuner.tell(trial.id, trial.values["x"])
    found.append(tuner.ask())
    assert len({t.values["x"] for t in found}) == count
    with pytest.raises(SpaceExhausted):
        tuner.ask()


@pytest.mark.parametrize("strategy", [StrategyName.BAYESIAN, StrategyName.RANDOM])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_ranges_at_the_ends_of_what_numbers_can_do_are_a_tuning_job_that_is_replayed(
    strategy: StrategyName, direction: Direction
) -> None:
    """Created by the rules, run, read back from the database."""
    ranges = [replace(p, name=f"p{i}") for i, p in enumerate(EXTREME)]
    engine = Engine(lambda h: Script((float(h["p0"]) + len(h["p17"]) * 1e12,), 1.0 + len(h["p17"])))
    engine.create(tuning_spec(strategy=strategy, jobs=30, parallel=4, ranges=ranges, direction=direction))
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    checked = list(replay(engine.store, engine.owner, "job"))
    assert [c.agrees for c in checked] == [True] * 30
    assert [c.unreadable for c in checked] == [None] * 30
