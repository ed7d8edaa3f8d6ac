"""What one step makes of what was recorded and reported: what is written and when, what is started, and in which order."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

import pytest

from rekindle.domain.decisions import Snapshot
from rekindle.domain.training_job import MetricPoint, SecondaryStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import Ending, TuningJob, TuningJobStatus
from rekindle.engine.commands import create_training_job, stop_tuning_job
from rekindle.engine.memory import Memory
from rekindle.engine.ports import Lease, LeaseLost, Report, RunKey
from rekindle.engine.reconcile import Step, keys, reconcile_training_job, reconcile_tuning_job, wants_more
from rekindle.storage.store import open_store
from support.engine import Engine
from support.simulated import Script, SimulatedClock, SimulatedExecutor, _Started
from support.specs import tuning_spec

SLOW = Script((3.0, 2.0, 1.0), seconds=100.0)


def engine_of(script: Script) -> Engine:
    return Engine(program=lambda _: script)


def step_of(engine: Engine, **options: int) -> Step:
    return Step(engine.store, engine.executor, engine.clock, **options)


def claimed(engine: Engine, subject: str) -> Lease:
    (lease,) = engine.store.claim("a", 1e6, only=subject)
    return lease


def alone(engine: Engine) -> TrainingJob:
    """A training job of its own."""
    job = TrainingJob("alone", engine.owner, tuning_spec().definition.training, {"lr": "0.1"}, 0.0)
    return create_training_job(engine.store, engine.executor, engine.clock, job)


def test_a_training_job_of_its_own_is_written_when_it_has_changed_and_only_then() -> None:
    engine = engine_of(SLOW)
    engine.executor.slots = 1
    lease = claimed(engine, f"training:{alone(engine).id}")
    shown = []
    for _ in range(3):
        shown.append(reconcile_training_job(step_of(engine), lease, 1))
        engine.clock.sleep(1)
    began, running, later = shown
    assert running.secondary is SecondaryStatus.TRAINING, "it has the slot that it takes"
    assert running.modified_at == began.modified_at + 1
    assert later == running == engine.store.training_job_by_id(1)


def test_a_person_who_stops_a_training_job_of_its_own_waits_for_no_object_store() -> None:
    engine = engine_of(SLOW)
    stored = alone(engine)
    lease = claimed(engine, f"training:{stored.id}")
    reconcile_training_job(step_of(engine), lease, stored.id)
    engine.store.request_stop(f"training:{stored.id}")
    reconcile_training_job(step_of(engine), lease, stored.id)
    assert engine.executor.asked_to_stop == [(RunKey("alone", 1), True)]


def test_what_has_ended_is_not_started_again_though_nothing_is_left_of_it() -> None:
    engine = engine_of(SLOW)
    stored = alone(engine)
    lease = claimed(engine, f"training:{stored.id}")
    while (job := reconcile_training_job(step_of(engine), lease, stored.id)).is_running:
        if job.started_at is not None:
            engine.executor.vanish(RunKey.of(job))
    assert (job.status, job.attempt) == (TrainingJobStatus.FAILED, 4)
    assert set(engine.executor.launches.values()) == {1}


def test_nothing_is_started_that_could_not_be_saved() -> None:
    engine = engine_of(SLOW)
    job = engine.create(tuning_spec())
    lease = claimed(engine, f"tuning:{job.id}")
    engine.store.evict("a")
    with pytest.raises(LeaseLost):
        reconcile_tuning_job(step_of(engine), lease, job.id, ())
    assert engine.executor.launches == {}


class _Wordy(SimulatedExecutor):
    """Every run emits another metric before each value of the objective."""

    def _points(self, started: _Started) -> list[MetricPoint]:
        found: list[MetricPoint] = []
        for point in super()._points(started):
            found += [replace(point, index=len(found), metric="acc"), replace(point, index=len(found) + 1)]
        return found


def test_a_step_sees_the_curves_and_the_order_that_the_store_has_whatever_becomes_of_the_runs() -> None:
    engine = engine_of(Script((5.0, 4.0, 3.0, 2.0), seconds=8.0))
    engine.executor = _Wordy(engine.clock, engine.program)
    job = engine.create(replace(tuning_spec(jobs=4, parallel=2), early_stopping=True))
    lease, memory, ends = claimed(engine, f"tuning:{job.id}"), Memory(), {}
    for tick in range(60):
        snapshot = reconcile_tuning_job(step_of(engine), lease, job.id, (), memory)
        assert {i: curve for i, curve in snapshot.curves.items() if curve} == engine.store.curves(job.id)
        assert snapshot.jobs == engine.store.jobs_of(job.id)
        found = {t.number: t.finished_seq for t in snapshot.jobs if t.finished_seq is not None}
        assert found == found | ends, "its place among the events is for ever"
        ends = found
        if tick in (4, 8):
            engine.executor.lose(RunKey.of(snapshot.jobs[0]))
        engine.clock.sleep(1)
    assert snapshot.job.status is TuningJobStatus.COMPLETED
    assert snapshot.jobs[0].attempt == 3
    assert sorted(snapshot.jobs[0].attempt_seqs) == [2, 3]
    assert all(t.modified_at >= t.ended_at for t in snapshot.jobs if t.ended_at is not None)


class _Behind(SimulatedExecutor):
    """The clock is set back just before each run ends."""

    def report(self, key: RunKey, seen: int = 0) -> Report | None:
        found = super().report(key, seen)
        return found if found is None or found.ended_at is None else replace(found, ended_at=found.ended_at - 3600)


def test_a_training_job_ends_after_its_last_emission_by_whatever_clock() -> None:
    engine = engine_of(Script((2.0, 1.0), seconds=5.0))
    engine.executor = _Behind(engine.clock, engine.program)
    engine.create(replace(tuning_spec(jobs=1, parallel=1), early_stopping=True))
    job = engine.run("job")
    (trial,) = engine.trials("job")
    assert trial.finished_seq is not None
    assert trial.finished_seq > max(p.seq for p in engine.store.curves(job.id)[trial.id])


def test_of_two_that_are_to_start_again_the_second_waits_where_there_is_room_for_one() -> None:
    engine = engine_of(SLOW)
    engine.executor.slots = 2
    job = engine.create(tuning_spec(jobs=2, parallel=2))
    lease = claimed(engine, f"tuning:{job.id}")
    for trial in reconcile_tuning_job(step_of(engine), lease, job.id, ()).jobs:
        engine.executor.lose(RunKey.of(trial))
    engine.executor.slots = 1
    snapshot = reconcile_tuning_job(step_of(engine), lease, job.id, ())
    assert [t.secondary for t in snapshot.jobs] == [SecondaryStatus.STARTING, SecondaryStatus.PENDING]
    assert keys(snapshot.jobs) == [RunKey.of(snapshot.jobs[0])]


def test_a_tuning_job_that_is_being_stopped_is_recorded_so_and_waits_for_nothing() -> None:
    engine = engine_of(SLOW)
    engine.executor.slots, engine.executor.grace = 1, 20.0
    job = engine.create(replace(tuning_spec(jobs=3, parallel=2), tags={"team": "a"}))
    lease = claimed(engine, f"tuning:{job.id}")
    waits = reconcile_tuning_job(step_of(engine), lease, job.id, ())
    assert waits.job.waiting_for == "waits for a free slot: 1 of 1 in use"
    assert [t.tags for t in waits.jobs] == [{"team": "a"}]
    stop_tuning_job(engine.store, engine.owner, "job")
    # Where others are to have their turn first a step starts nothing.
    stopping = reconcile_tuning_job(step_of(engine, at_most=0), lease, job.id, ()).job
    assert (stopping.status, stopping.ending) == (TuningJobStatus.STOPPING, Ending(TuningJobStatus.STOPPED))
    assert stopping.waiting_for is None, "it begins no more"
    engine.clock.sleep(20)
    ended = reconcile_tuning_job(step_of(engine, at_most=0), lease, job.id, ()).job
    assert (ended.status, ended.waiting_for) == (TuningJobStatus.STOPPED, None)


@pytest.mark.parametrize(("share", "parallel", "told"), [(4, 2, 4), (1, 2, 2)])
def test_a_run_is_told_of_how_many_it_has_the_cores_for(share: int, parallel: int, told: int) -> None:
    engine = engine_of(SLOW)
    job = engine.create(tuning_spec(parallel=parallel))
    reconcile_tuning_job(step_of(engine, share=share), claimed(engine, f"tuning:{job.id}"), job.id, ())
    assert {started.run.share for started in engine.executor._runs.values()} == {told}


def test_what_wants_more() -> None:
    engine = engine_of(SLOW)
    job = engine.create(tuning_spec(jobs=3, parallel=2))
    (one, two) = reconcile_tuning_job(step_of(engine), claimed(engine, f"tuning:{job.id}"), job.id, ()).jobs
    running = [replace(t, started_at=1.0) for t in (one, two)]
    unlimited = replace(job, spec=replace(job.spec, limits=replace(job.spec.limits, max_jobs=None)))
    draining = replace(job, ending=Ending(TuningJobStatus.COMPLETED, drain=True))
    done = replace(running[0], status=TrainingJobStatus.COMPLETED)
    assert wants_more(Snapshot(job, (one, two))), "one awaits its start"
    assert wants_more(Snapshot(draining, (one, two)))
    assert not wants_more(Snapshot(job, tuple(running)))
    assert wants_more(Snapshot(job, tuple(running[:1])))
    assert wants_more(Snapshot(unlimited, tuple(running[:1])))
    assert not wants_more(Snapshot(draining, tuple(running[:1])))
    assert not wants_more(Snapshot(job, (done, replace(done, number=2), running[1])))
    assert not wants_more(Snapshot(replace(draining, status=TuningJobStatus.COMPLETED), (done,)))
    assert keys([done, *running]) == [RunKey.of(t) for t in running]


def test_what_has_ended_waits_for_no_room() -> None:
    engine = engine_of(Script(seconds=5.0))
    engine.executor.slots = 1
    engine.create(tuning_spec(jobs=3, parallel=2))
    engine.run("job")
    for trial in engine.trials("job"):
        assert trial.secondary is SecondaryStatus.COMPLETED
        assert trial.transitions[-1].status is SecondaryStatus.COMPLETED


@pytest.mark.parametrize("pause", [0.25, 20.0])
def test_the_order_of_events_does_not_hang_on_how_often_somebody_looks(pause: float) -> None:
    scripts = iter((Script((5.0, 4.0, 3.0), seconds=9.0), Script((5.0, 4.0, 3.0, 2.0), seconds=8.0)))
    engine = Engine(program=lambda _: next(scripts))
    job = engine.create(replace(tuning_spec(jobs=2, parallel=2), early_stopping=True))
    lease = claimed(engine, f"tuning:{job.id}")
    while not engine.job("job").status.is_terminal:
        reconcile_tuning_job(step_of(engine), lease, job.id, ())
        engine.clock.sleep(pause)
    curves = engine.store.curves(job.id)
    # Two launches; emissions at 2, 3, 4, 6 (of both, the first one's first) and 8; the second ends at 8, the first at 9.
    assert [[p.seq for p in curves[t.id]] for t in engine.trials("job")] == [[4, 6, 10], [3, 5, 7, 8]]
    assert [t.finished_seq for t in engine.trials("job")] == [11, 9]


def test_a_step_that_finds_nothing_new_writes_nothing() -> None:
    engine = engine_of(SLOW)
    job = engine.create(tuning_spec())
    lease = claimed(engine, f"tuning:{job.id}")
    shown = []
    for _ in range(3):
        shown.append(reconcile_tuning_job(step_of(engine), lease, job.id, ()))
        engine.clock.sleep(1)
    assert shown[1].job.modified_at == shown[0].job.modified_at + 1, "they train"
    assert shown[2] == shown[1]
    assert engine.store.tuning_job_by_id(job.id) == shown[1].job


def _calls_of_a_step(engine: Engine, lease: Lease, job: TuningJob, memory: Memory) -> int:
    """How many functions one step calls."""
    count = [0]

    def told(_frame: FrameType, event: str, _argument: object) -> None:
        count[0] += event in ("call", "c_call")

    step = step_of(engine)
    former = sys.getprofile()
    sys.setprofile(told)
    try:
        reconcile_tuning_job(step, lease, job.id, (), memory)
    finally:
        sys.setprofile(former)
    return count[0]


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_step_that_finds_nothing_new_costs_as_much_after_a_hundred_training_jobs_as_after_ten(early_stopping: bool) -> None:
    engine = engine_of(Script((2.0, 1.0), seconds=5.0))
    job = engine.create(replace(tuning_spec(jobs=1000), early_stopping=early_stopping))
    lease, memory, calls = claimed(engine, f"tuning:{job.id}"), Memory(), []
    for ended in (10, 100):
        while sum(not t.is_running for t in reconcile_tuning_job(step_of(engine), lease, job.id, (), memory).jobs) < ended:
            engine.clock.sleep(5)
        for _ in range(3):
            reconcile_tuning_job(step_of(engine), lease, job.id, (), memory)
        calls.append(_calls_of_a_step(engine, lease, job, memory))
    few, many = calls
    assert many < few + 90, "not one more for each"


def test_the_search_is_asked_anew_what_it_gives_up_where_the_database_has_lost_what_it_was_asked_of(tmp_path: Path) -> None:
    clock, database, copy = SimulatedClock(), tmp_path / "rekindle.db", tmp_path / "copy.db"
    engine = Engine(lambda _: SLOW, clock, open_store(f"sqlite:///{database}", clock=clock))
    job = engine.create(replace(tuning_spec(), early_stopping=True))
    lease, memory = claimed(engine, f"tuning:{job.id}"), Memory()
    reconcile_tuning_job(step_of(engine), lease, job.id, (), memory)
    for source, target in ((database, copy), (copy, database)):
        with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
            here.backup(there)
        if source is database:
            clock.sleep(40)
            seen = reconcile_tuning_job(step_of(engine), lease, job.id, (), memory)
            assert memory.judged == seen.job.seq > 2, "they have emitted something"
    assert memory.read(engine.store, job.id, ()).job.seq == 2
    assert memory.judged < 2


def test_where_others_have_their_turn_first_not_even_a_retry_is_started() -> None:
    engine = engine_of(SLOW)
    job = engine.create(tuning_spec(jobs=1, parallel=1))
    lease = claimed(engine, f"tuning:{job.id}")
    (trial,) = reconcile_tuning_job(step_of(engine), lease, job.id, ()).jobs
    engine.executor.lose(RunKey.of(trial))
    for at_most, attempts in ((0, 1), (0, 1), (1, 2)):
        (trial,) = reconcile_tuning_job(step_of(engine, at_most=at_most), lease, job.id, ()).jobs
        assert (trial.attempt, len(engine.executor.launches)) == (2, attempts)


@dataclass
class _Adopting(SimulatedExecutor):
    """Notes which runs it is told that this process works on."""

    adopted: list[RunKey] = field(default_factory=list)

    def adopt(self, key: RunKey) -> None:
        self.adopted.append(key)


def test_what_another_process_launched_is_adopted_by_who_works_on_it() -> None:
    engine = engine_of(SLOW)
    job = engine.create(tuning_spec(jobs=1, parallel=1))
    lease = claimed(engine, f"tuning:{job.id}")
    (trial,) = reconcile_tuning_job(step_of(engine), lease, job.id, ()).jobs
    heir = _Adopting(engine.clock, engine.program, _runs=engine.executor._runs)
    reconcile_tuning_job(replace(step_of(engine), executor=heir), lease, job.id, ())
    assert heir.adopted == [RunKey.of(trial)]
