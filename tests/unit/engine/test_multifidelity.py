"""Searches that stop training jobs, through the whole engine: recorded curves, a simulated executor and clock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.domain.decisions import Snapshot
from rekindle.domain.search_plan import history_for, strategy_for
from rekindle.domain.training_job import ObjectiveStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import Hyperband, StrategyName, TuningJobSpec, TuningJobStatus
from rekindle.engine.memory import Memory
from rekindle.engine.replay import replay
from rekindle.search.early_stopping import MedianStopping
from rekindle.search.history import History, Trial
from rekindle.search.hyperband import ETA, shares
from rekindle.search.hyperband import Hyperband as Halving
from support.curves import ranges, replayed
from support.engine import Engine
from support.power import Cable, Unplugged
from support.specs import tuning_spec


def spec(rule: str, jobs: int, parallel: int, least: int = 1, most: int = 81, seed: int = 7) -> TuningJobSpec:
    if rule == "median":
        return replace(tuning_spec(jobs=jobs, parallel=parallel, ranges=ranges(), seed=seed), early_stopping=True)
    made = tuning_spec(strategy=StrategyName.HYPERBAND, jobs=jobs, parallel=parallel, ranges=ranges(), seed=seed)
    return replace(made, hyperband=Hyperband(least, most))


def emissions(engine: Engine, job: TrainingJob) -> int:
    return len(engine.store.points(job.id))


def seen(engine: Engine) -> tuple[History, Halving | MedianStopping]:
    """All that the search saw in the end, and the search."""
    job = engine.job("job")
    snapshot = Snapshot(job, engine.trials("job"), curves=engine.store.curves(job.id))
    strategy = strategy_for(job, job.spec.definition)
    assert isinstance(strategy, Halving | MedianStopping)
    return history_for(snapshot, job.spec.definition), strategy


def arrivals(history: History, rung: int) -> list[Trial]:
    there = [t for t in history.trials if len(t.curve) >= rung]
    return sorted(there, key=lambda t: (t.curve[rung - 1].order, t.id))


def test_a_thousand_training_jobs() -> None:
    engine = Engine(lambda h: replayed(h, seconds=0.5))
    engine.create(spec("hyperband", jobs=1000, parallel=50))
    assert engine.run("job", steps=20_000).status is TuningJobStatus.COMPLETED
    trials = engine.trials("job")
    assert len(trials) == 1000
    assert engine.most_running == 50
    assert all(t.objective_status is ObjectiveStatus.SUCCEEDED and t.attempt == 1 for t in trials)
    assert set(engine.executor.launches.values()) == {1}
    history, band = seen(engine)
    assert isinstance(band, Halving)
    lengths = {t.id: len(t.curve) for t in history.trials}
    assert sum(lengths.values()) < 0.25 * 1000 * 81
    check_promotions(history, band)
    # Every bracket had its share, and whoever was in it ran to its first rung at least: nothing starves. (A bracket of nine
    # trials need not bring one to the end: at a rung they are judged among all that got there.)
    first = ETA ** (band.brackets - 1)
    for bracket in range(band.brackets):
        mine = [i for i in range(1000) if band.bracket(i) == bracket]
        later = [i for i in mine if i >= first]
        assert abs(len(later) - (1000 - first) * shares(band.brackets)[bracket]) < 5
        assert len(mine) - len(later) == (first if bracket == band.brackets - 1 else 0)
        assert all(lengths[number + 1] >= band.rungs(bracket)[0] for number in mine)
    best = min(t.objective_value for t in trials if t.objective_value is not None)
    assert best <= sorted(t.objective_value for t in trials if t.objective_value is not None)[10]


def check_promotions(history: History, band: Halving) -> None:
    """By the words of the rule and not by its code: at each rung the best third of arrivals so far, rounded down, goes on."""
    away: dict[int, int] = {}
    numbers = sorted(t.id for t in history.trials)
    for rung in band.rungs(band.brackets - 1)[:-1]:
        before: list[float] = []
        on = 0
        there = [t for t in arrivals(history, rung) if t.id not in away]
        for trial in there:
            value = trial.curve[rung - 1].value
            rank = sum(v <= value for v in before)
            before.append(value)
            if rung in band.rungs(band.bracket(numbers.index(trial.id))) and rank >= max(
                1, math.floor(Fraction(len(before), 3))
            ):
                away[trial.id] = rung
            else:
                on += 1
        if len(there) > 100:
            assert Fraction(on, len(there)) < Fraction(3, 4)
    assert band.turned_away(history) == away
    for trial in history.trials:
        assert trial.stopped == (trial.id in away or len(trial.curve) >= band.max_resource) or not trial.stopped
        if trial.stopped:
            assert len(trial.curve) >= away.get(trial.id, band.max_resource)


@settings(max_examples=10, deadline=None)
@given(
    least=st.integers(1, 5),
    most=st.integers(5, 30),
    jobs=st.integers(1, 25),
    parallel=st.integers(1, 12),
    seconds=st.floats(0.05, 3.0),
    seed=st.integers(0, 99),
)
def test_what_always_holds(least: int, most: int, jobs: int, parallel: int, seconds: float, seed: int) -> None:
    engine = Engine(lambda h: replayed(h, epochs=40, seconds=seconds))
    engine.create(spec("hyperband", jobs, min(parallel, jobs), least, most, seed))
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    trials = engine.trials("job")
    assert len(trials) == jobs
    assert engine.most_running <= min(parallel, jobs)
    for trial in trials:
        points = engine.store.points(trial.id)
        assert trial.objective_value == points[-1].value
        assert len(points) >= least or not trial.stopped_early
        assert trial.stopped_early == (trial.status is TrainingJobStatus.STOPPED)
    history, band = seen(engine)
    assert isinstance(band, Halving)
    check_promotions(history, band)


def records(engine: Engine) -> list[tuple[object, ...]]:
    jobs = engine.trials("job")
    return [(dict(t.tuned), t.status, t.stopped_early, emissions(engine, t), t.objective_value) for t in jobs]


def fresh(rule: str, jobs: int, parallel: int, seed: int, grace: float = 0.0) -> Engine:
    engine = Engine(lambda h: replayed(h, epochs=9))
    engine.executor.grace = grace
    engine.create(spec(rule, jobs, parallel, most=9, seed=seed))
    return engine


@cache
def left_alone(rule: str, jobs: int, parallel: int, seed: int, grace: float = 0.0) -> tuple[object, tuple[History, object]]:
    """What is recorded, and what was seen, of a run that nothing happens to: the same for every example of a seed."""
    engine = fresh(rule, jobs, parallel, seed, grace)
    engine.run("job")
    return records(engine), seen(engine)


def cut(engine: Engine, at: int, after: bool, downtime: float = 0.0) -> Engine:
    """Runs to the end with a new worker once the power has gone at call ``at``, ``downtime`` seconds later."""
    Cable(engine, at, after)
    try:
        engine.run("job", holder="a")
    except Unplugged:
        engine.store.evict("a")
        engine.clock.sleep(downtime)
        engine.run("job", holder="b")
    return engine


@pytest.mark.parametrize("rule", ["hyperband", "median"])
@settings(max_examples=12, deadline=None)
@given(at=st.integers(1, 45), after=st.booleans(), seed=st.integers(0, 3))
def test_a_restart_changes_nothing(rule: str, at: int, after: bool, seed: int) -> None:
    """The power goes at any commit or launch: every stop and every suggestion is the one of the run that was left alone."""
    assert records(cut(fresh(rule, 10, 3, seed, 0.25), at, after)) == left_alone(rule, 10, 3, seed, 0.25)[0]


@settings(max_examples=8, deadline=None)
@given(at=st.integers(14, 45), after=st.booleans(), downtime=st.floats(0.1, 30.0), seed=st.integers(0, 3))
def test_a_long_absence_changes_no_verdict(at: int, after: bool, downtime: float, seed: int) -> None:
    """Nobody looks for a while and training jobs run on: who is turned away at which rung stays the same. The first step, with
    all launches, is over by then: what starts later emits later."""
    absent = cut(fresh("hyperband", 12, 12, seed), at, after, downtime)
    (ours, band), (theirs, _) = left_alone("hyperband", 12, 12, seed)[1], seen(absent)
    assert isinstance(band, Halving)
    assert band.turned_away(ours) == band.turned_away(theirs)


@pytest.mark.parametrize("rule", ["hyperband", "median"])
@settings(max_examples=10, deadline=None)
@given(at=st.integers(1, 45), after=st.booleans(), downtime=st.floats(0.1, 30.0), seed=st.integers(0, 3))
def test_every_decision_follows_from_the_record(rule: str, at: int, after: bool, downtime: float, seed: int) -> None:
    """After a restart too: whoever was stopped early is given up by the record, and every suggestion is replayed."""
    engine = cut(fresh(rule, 10, 3, seed), at, after, downtime)
    history, strategy = seen(engine)
    stopped = [t for t in history.trials if t.stopped]
    for trial in stopped:
        assert trial.id in strategy.to_stop(running_again(history, trial))
    assert all(c.agrees for c in replay(engine.store, engine.owner, "job"))
    for trial in survivors(history):
        if trial.id in strategy.to_stop(running_again(history, trial)):
            # Given up, but it had ended by itself before anybody could stop it.
            assert len(trial.curve) == 9


def running_again(history: History, trial: Trial) -> History:
    others = tuple(t for t in history.trials if t.id != trial.id)
    return History((*others, Trial(trial.id, trial.configuration, curve=trial.curve)), history.asked)


def survivors(history: History) -> Iterator[Trial]:
    return (t for t in history.trials if not t.stopped)


def test_who_reads_on_has_read_everything() -> None:
    """At every step, also once a run was lost and its emissions count from the start again."""
    engine = Engine(lambda h: replayed(h, epochs=9))
    job = engine.create(spec("hyperband", jobs=10, parallel=3, most=9))
    memory = Memory()

    def compare(step: int) -> None:
        if step == 8:
            engine.executor.lose(next(k for k in engine.executor.launches if engine.executor.report(k).ended_at is None))
        kept, anew = (m.read(engine.store, job.id, ()) for m in (memory, Memory()))
        assert kept == anew
        assert history_for(kept, job.spec.definition) == history_for(anew, job.spec.definition)

    engine.run("job", before=compare)
    assert max(t.attempt for t in engine.trials("job")) == 2
