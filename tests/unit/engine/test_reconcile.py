"""Whole tuning jobs on a simulated executor and clock."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.domain.completion import best_job
from rekindle.domain.decisions import Snapshot
from rekindle.domain.errors import WrongState
from rekindle.domain.search_plan import configuration_of, history_for, propose, strategy_for
from rekindle.domain.training_job import ObjectiveStatus, SecondaryStatus, TrainingJobStatus
from rekindle.domain.tuning_job import (
    CompletionCriteria,
    Definition,
    Hyperband,
    StrategyName,
    TuningJobStatus,
    WarmStart,
    WarmStartType,
)
from rekindle.engine.commands import stop_training_job, stop_tuning_job
from rekindle.engine.ports import Change, LeaseLost, RunKey, RunState
from rekindle.engine.queries import describe
from rekindle.engine.reconcile import Step
from rekindle.engine.suggestions import HereAndNow
from rekindle.engine.worker import Worker
from rekindle.search.space import Categorical, Integer
from rekindle.search.strategy import Proposal
from rekindle.storage.store import open_store
from support.engine import Engine, by_learning_rate
from support.power import Cable, Unplugged
from support.simulated import Script, SimulatedClock
from support.specs import RANGES, tuning_spec

CHOICES = (Categorical("act", ("relu", "tanh")), Integer("layers", 1, 3), Categorical("lr", ("0.1", "0.001")))


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_a_tuning_job_runs_its_budget_and_completes(engine: Engine) -> None:
    engine.create(tuning_spec(jobs=12, parallel=3))
    job = engine.run("job")
    trials = engine.trials("job")
    assert job.status is TuningJobStatus.COMPLETED
    assert job.ended_at == job.modified_at
    assert [t.number for t in trials] == list(range(1, 13))
    assert all(t.status is TrainingJobStatus.COMPLETED for t in trials)
    assert all(count == 1 for count in engine.executor.launches.values())
    assert engine.most_running == 3
    losses = [by_learning_rate(t.hyperparameters).values[-1] for t in trials]
    best = describe(engine.store, engine.owner, "job").best
    assert best is not None
    assert best.objective_value == min(losses)


def test_a_training_job_gets_statics_tuned_values_and_the_objective_name(engine: Engine) -> None:
    engine.create(tuning_spec(jobs=1, parallel=1, statics={"epochs": "3"}))
    engine.run("job")
    (trial,) = engine.trials("job")
    assert trial.hyperparameters == {**trial.tuned, "epochs": "3", "_tuning_objective_metric": "loss"}
    assert set(trial.tuned) == {p.name for p in RANGES}


def test_names_number_the_training_jobs(engine: Engine) -> None:
    engine.create(tuning_spec("My-Job", jobs=2))
    engine.run("My-Job")
    names = [t.name for t in engine.trials("My-Job")]
    assert [n[:11] for n in names] == ["My-Job-001-", "My-Job-002-"]
    assert all(len(n) == 19 and set(n[11:]) <= set("0123456789abcdef") for n in names)


def test_after_a_copy_of_the_database_was_put_back_each_configuration_has_its_own_results(tmp_path: Path) -> None:
    """By then others have ended than when the search first came to a number, and it comes to another configuration."""
    clock, database, copy = SimulatedClock(), tmp_path / "rekindle.db", tmp_path / "copy.db"
    engine = Engine(clock=clock, store=open_store(f"sqlite:///{database}", clock=clock))
    engine.create(tuning_spec(strategy=StrategyName.BAYESIAN, jobs=10, parallel=3))

    def before(_step: int) -> None:
        if not copy.exists() and sum(not t.is_running for t in engine.trials("job")) >= 4:
            with closing(sqlite3.connect(database)) as here, closing(sqlite3.connect(copy)) as there:
                here.backup(there)

    engine.run("job", before=before)
    again = Engine(clock=clock, store=open_store(f"sqlite:///{copy}", clock=clock))
    again.executor = engine.executor
    again.run("job")
    trials, first = again.trials("job"), engine.trials("job")
    assert [t.tuned for t in trials] != [t.tuned for t in first]
    assert [t.objective_value for t in trials] == [by_learning_rate(t.hyperparameters).values[-1] for t in trials]
    # What it comes to again is not run again.
    assert sum(t.name in {f.name for f in first} for t in trials) >= 4
    assert set(engine.executor.launches.values()) == {1}


def test_a_worker_believes_a_database_that_has_lost_what_it_remembers(tmp_path: Path) -> None:
    """As one does that goes on on a replica which had not received the last commits."""
    clock, database, copy = SimulatedClock(), tmp_path / "rekindle.db", tmp_path / "copy.db"
    engine = Engine(clock=clock, store=open_store(f"sqlite:///{database}", clock=clock))
    engine.create(tuning_spec(strategy=StrategyName.BAYESIAN, jobs=12, parallel=3))
    ended = {4: (database, copy), 10: (copy, database)}

    def before(_step: int) -> None:
        if ended and sum(not t.is_running for t in engine.trials("job")) >= min(ended):
            source, target = ended.pop(min(ended))
            with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
                here.backup(there)

    engine.run("job", before=before)
    assert ended == {}
    trials = engine.trials("job")
    assert [t.number for t in trials] == list(range(1, 13))
    assert [t.objective_value for t in trials] == [by_learning_rate(t.hyperparameters).values[-1] for t in trials]


def test_the_last_value_is_the_final_one_and_every_emission_is_kept(engine: Engine) -> None:
    engine.program = engine.executor.program = lambda _: Script((3.0, 1.0, 2.0))
    engine.create(tuning_spec(jobs=1, parallel=1))
    engine.run("job")
    (trial,) = engine.trials("job")
    assert trial.objective_value == 2.0
    assert [p.value for p in engine.store.points(trial.id)] == [3.0, 1.0, 2.0]


def test_transitions_are_contiguous(engine: Engine) -> None:
    engine.create(tuning_spec(jobs=2, parallel=1))
    engine.run("job")
    for trial in engine.trials("job"):
        pairs = list(zip(trial.transitions, trial.transitions[1:], strict=False))
        assert [t.status for t in trial.transitions] == [
            SecondaryStatus.STARTING,
            SecondaryStatus.TRAINING,
            SecondaryStatus.COMPLETED,
        ]
        assert all(a.ended_at == b.started_at for a, b in pairs)
        assert trial.transitions[-1].ended_at == trial.ended_at


def test_a_failed_training_job_is_not_a_failed_tuning_job(engine: Engine) -> None:
    engine.executor.program = lambda h: (
        by_learning_rate(h) if h["act"] == "relu" else Script((), 1, RunState.FAILED, "AlgorithmError: no")
    )
    engine.create(tuning_spec(jobs=10, parallel=1))
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    failed = [t for t in engine.trials("job") if t.status is TrainingJobStatus.FAILED]
    assert failed
    assert {t.failure_reason for t in failed} == {"AlgorithmError: no"}
    assert {t.objective_status for t in failed} == {ObjectiveStatus.FAILED}


def test_five_failures_end_it(engine: Engine) -> None:
    engine.executor.program = lambda _: Script((), 1, RunState.FAILED, "AlgorithmError: no")
    engine.create(tuning_spec(jobs=20, parallel=1))
    job = engine.run("job")
    assert job.status is TuningJobStatus.FAILED
    assert len(engine.trials("job")) == 5
    assert "No training job succeeded after 5 attempts" in (job.failure_reason or "")


@pytest.mark.parametrize(
    ("harm", "at"),
    # What vanishes with its folder looks like a run that never was, unless its start is recorded, which the next step does.
    [("lose", 1), ("vanish", 2)],
)
def test_a_lost_run_gets_a_new_attempt_of_the_same_training_job(engine: Engine, harm: str, at: int) -> None:
    engine.create(tuning_spec(jobs=3, parallel=1))

    def lose(step: int) -> None:
        if step == at:
            getattr(engine.executor, harm)(RunKey(engine.trials("job")[0].name, 1))

    engine.run("job", before=lose)
    trials = engine.trials("job")
    assert [t.attempt for t in trials] == [2, 1, 1]
    assert all(t.objective_status is ObjectiveStatus.SUCCEEDED for t in trials)
    assert SecondaryStatus.INTERRUPTED in [t.status for t in trials[0].transitions]
    assert len(engine.store.points(trials[0].id)) == 2
    assert set(engine.executor.launches.values()) == {1}


def test_a_run_that_is_lost_again_and_again_fails(engine: Engine) -> None:
    engine.create(tuning_spec(jobs=1, parallel=1))

    def lose(_: int) -> None:
        for trial in engine.trials("job"):
            if RunKey(trial.name, trial.attempt) in engine.executor.launches:
                engine.executor.lose(RunKey(trial.name, trial.attempt))

    job = engine.run("job", before=lose)
    (trial,) = engine.trials("job")
    assert job.status is TuningJobStatus.FAILED
    assert trial.attempt == 4
    assert (trial.failure_reason or "").startswith("InternalServerError: We encountered an internal error. Please try again.")


def test_stopping_a_tuning_job_stops_what_runs(engine: Engine) -> None:
    engine.create(tuning_spec(jobs=10, parallel=2))

    def stop(step: int) -> None:
        if step == 3:
            stop_tuning_job(engine.store, engine.owner, "job")
            assert describe(engine.store, engine.owner, "job").status is TuningJobStatus.STOPPING

    job = engine.run("job", before=stop)
    assert job.status is TuningJobStatus.STOPPED
    assert {t.status for t in engine.trials("job")} <= {TrainingJobStatus.STOPPED, TrainingJobStatus.COMPLETED}
    assert engine.executor.running == 0
    assert {give_up for _, give_up in engine.executor.asked_to_stop} == {True}


def test_stopping_one_training_job_lets_the_tuning_job_go_on(engine: Engine) -> None:
    engine.create(tuning_spec(jobs=4, parallel=2))

    def stop(step: int) -> None:
        if step == 1:
            stop_training_job(engine.store, engine.owner, engine.trials("job")[0].name)

    assert engine.run("job", before=stop).status is TuningJobStatus.COMPLETED
    statuses = [t.status for t in engine.trials("job")]
    assert statuses == [TrainingJobStatus.STOPPED, *[TrainingJobStatus.COMPLETED] * 3]
    assert {give_up for _, give_up in engine.executor.asked_to_stop} == {True}


def test_a_training_job_that_a_rule_stops_is_told_not_to_wait_once_a_person_asks(engine: Engine) -> None:
    """It may be stopping for as long as an object store does not answer; after the person's word it is no longer."""
    engine.executor.program = lambda h: Script((0.0,), seconds=1 if h["act"] == "relu" else 50)
    engine.executor.grace = 20.0
    engine.create(tuning_spec(jobs=30, parallel=5, completion=CompletionCriteria(target=0.5)))
    asked: list[str] = []

    def stop(step: int) -> None:
        stopping = [t.name for t in engine.trials("job") if t.status is TrainingJobStatus.STOPPING]
        if stopping and not asked:
            assert {give_up for _, give_up in engine.executor.asked_to_stop} == {False}
            asked.append(stopping[0])
            stop_training_job(engine.store, engine.owner, stopping[0])
            with pytest.raises(WrongState, match="cannot be stopped: it is Stopping"):
                stop_training_job(engine.store, engine.owner, stopping[0])

    assert engine.run("job", before=stop).status is TuningJobStatus.COMPLETED
    assert asked == list({key.name for key, give_up in engine.executor.asked_to_stop if give_up})
    (trial,) = (t for t in engine.trials("job") if t.name == asked[0])
    assert trial.status is TrainingJobStatus.STOPPED


def test_a_finite_space_ends_when_everything_has_been_tried(engine: Engine) -> None:
    engine.create(tuning_spec(ranges=CHOICES, jobs=None, runtime=100_000, parallel=5))
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    assert len({tuple(t.tuned.items()) for t in engine.trials("job")}) == 12


def test_a_grid_tries_everything_once(engine: Engine) -> None:
    ranges = (CHOICES[0], Categorical("layers", ("1", "2", "3")), CHOICES[2])
    engine.create(tuning_spec(strategy=StrategyName.GRID, ranges=ranges, jobs=None, parallel=4))
    engine.run("job")
    assert len({tuple(t.tuned.items()) for t in engine.trials("job")}) == len(engine.trials("job")) == 12


def test_a_target_ends_it_and_stops_the_rest(engine: Engine) -> None:
    engine.executor.program = lambda h: Script((0.0,), seconds=1 if h["act"] == "relu" else 50)
    engine.create(tuning_spec(jobs=30, parallel=5, completion=CompletionCriteria(target=0.5)))
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    assert len(engine.trials("job")) < 30
    # Nobody wants an end but a rule: results that wait for an object store may go on waiting.
    assert {give_up for _, give_up in engine.executor.asked_to_stop} == {False}
    assert engine.executor.running == 0


def test_an_identical_child_reports_the_best_of_the_family(engine: Engine) -> None:
    engine.create(tuning_spec("mother", jobs=8))
    engine.run("mother")
    mothers = best_job(engine.trials("mother"), "minimize")
    engine.executor.program = lambda _: Script((99.0,))
    for kind, expected in ((WarmStartType.IDENTICAL, mothers), (WarmStartType.TRANSFER, None)):
        name = f"child-{kind.value[:5]}"
        engine.create(tuning_spec(name, jobs=3, warm_start=WarmStart(kind, ("mother",))))
        engine.run(name)
        view = describe(engine.store, engine.owner, name)
        assert view.overall_best == expected
        assert view.best is not None
        assert view.best.objective_value == 99.0


def test_a_second_worker_is_harmless(engine: Engine) -> None:
    engine.create(tuning_spec(jobs=8, parallel=2))
    first, second = engine.worker("a"), engine.worker("b")
    for _ in range(200):
        first.tick()
        second.tick()
        first.wait()
    assert engine.job("job").status is TuningJobStatus.COMPLETED
    assert len(engine.trials("job")) == 8
    assert set(engine.executor.launches.values()) == {1}


def test_a_dead_workers_job_is_taken_over_when_its_lease_ends(engine: Engine) -> None:
    engine.create(tuning_spec(jobs=4, parallel=1))
    engine.worker("a").tick()
    taker = engine.worker("b")
    taker.tick()
    assert len(engine.trials("job")) == 1
    engine.clock.sleep(31)
    assert engine.run("job", holder="b").status is TuningJobStatus.COMPLETED


def configurations(engine: Engine) -> list[dict[str, str]]:
    return [dict(t.tuned) for t in engine.trials("job")]


@settings(max_examples=40, deadline=None)
@given(at=st.integers(1, 30), after=st.booleans(), seed=st.integers(0, 3))
def test_the_power_may_go_at_any_call(at: int, after: bool, seed: int) -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=7, parallel=2, seed=seed))
    Cable(engine, at, after)
    try:
        engine.run("job", holder="a")
    except Unplugged:
        engine.store.evict("a")
        engine.run("job", holder="b")
    trials = engine.trials("job")
    assert len(trials) == 7
    assert all(t.objective_status is ObjectiveStatus.SUCCEEDED and t.attempt == 1 for t in trials)
    assert set(engine.executor.launches.values()) == {1}
    assert len({tuple(c.items()) for c in configurations(engine)}) == 7


@pytest.mark.parametrize("strategy", list(StrategyName))
def test_every_suggestion_is_replayed_from_the_history_that_it_saw(engine: Engine, strategy: StrategyName) -> None:
    grid = strategy is StrategyName.GRID
    ranges = (CHOICES[0], Categorical("layers", ("1", "2", "3")), CHOICES[2]) if grid else RANGES
    engine.create(tuning_spec(strategy=strategy, ranges=ranges, jobs=12, parallel=3, statics={"epochs": "9"}))
    engine.run("job")
    job, trials = engine.job("job"), engine.trials("job")
    snapshot = Snapshot(job, trials, curves=engine.store.curves(job.id))
    definition = job.spec.definition
    for trial in trials:
        seen = history_for(snapshot, definition, trial.proposal["seen_seq"])
        proposal = strategy_for(job, definition).propose(seen)
        assert proposal is not None
        assert dict(proposal.configuration) == configuration_of(definition, trial.tuned)


def test_what_carries_a_lost_lease_is_thrown_away(engine: Engine) -> None:
    created = engine.create(tuning_spec())
    (lease,) = engine.store.claim("a", 1.0)
    engine.store.evict("a")
    engine.store.claim("b", 1.0)
    with pytest.raises(LeaseLost):
        engine.store.commit(lease, Change(replace(created, seq=5)))
    assert engine.job("job").seq == 0


def curve_of(hyperparameters: dict[str, str]) -> Script:
    """Nine epochs falling towards a floor that depends on the learning rate."""
    floor = abs(float(hyperparameters["lr"]) - 1e-3) * 100
    return Script([floor + 0.1 / epoch for epoch in range(1, 10)], seconds=9)


def test_hyperband_stops_most_and_lets_the_best_run(engine: Engine) -> None:
    engine.executor.program = curve_of
    spec = tuning_spec(strategy=StrategyName.HYPERBAND, jobs=40, parallel=4)
    engine.create(replace(spec, hyperband=Hyperband(1, 9)))
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    trials = engine.trials("job")
    assert len(trials) == 40
    lengths = [len(engine.store.points(t.id)) for t in trials]
    assert max(lengths) == 9
    assert sum(lengths) < 0.75 * 40 * 9
    stopped = [t for t in trials if t.status is TrainingJobStatus.STOPPED]
    assert stopped
    assert all(t.stopped_early and t.objective_status is ObjectiveStatus.SUCCEEDED for t in stopped)
    for trial in stopped:
        assert trial.objective_value == engine.store.points(trial.id)[-1].value


def test_the_median_rule_saves_epochs(engine: Engine) -> None:
    engine.executor.program = curve_of
    engine.create(replace(tuning_spec(jobs=20, parallel=2), early_stopping=True))
    engine.run("job")
    trials = engine.trials("job")
    lengths = [len(engine.store.points(t.id)) for t in trials]
    assert lengths[:4] == [9] * 4
    assert any(t.stopped_early for t in trials)
    assert sum(lengths) < 20 * 9
    best = best_job(trials, "minimize")
    assert best is not None
    assert not best.stopped_early


def test_a_defect_of_one_job_does_not_keep_others_from_moving(engine: Engine) -> None:
    engine.create(tuning_spec("good", jobs=3))
    engine.create(tuning_spec("bad", jobs=3))
    step = Step(engine.store, engine.executor, engine.clock, suggester=HereAndNow(_but_not_for_bad))
    worker = Worker(step, "a")
    for _ in range(200):
        worker.tick()
        worker.wait()
    assert engine.job("good").status is TuningJobStatus.COMPLETED
    assert engine.job("bad").status is TuningJobStatus.IN_PROGRESS
    worker.shut_down()
    assert engine.run("bad").status is TuningJobStatus.COMPLETED


def _but_not_for_bad(snapshot: Snapshot, definition: Definition) -> Proposal | None:
    if snapshot.job.name == "bad":
        raise RuntimeError("a defect")
    return propose(snapshot, definition)
