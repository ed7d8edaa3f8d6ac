"""Workers of several homes on one store: no run of one is begun again by another while it may be alive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

from structlog.testing import capture_logs

from rekindle.api.operations import HANDLERS, Service
from rekindle.bootstrap import home_id
from rekindle.companions.readers import JobLogs
from rekindle.domain.training_job import SecondaryStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import TuningJobStatus
from rekindle.domain.tuning_rules import RELAXED
from rekindle.engine.commands import create_training_job, delete_training_job
from rekindle.engine.holders import holder_name, is_dead
from rekindle.engine.ports import Report, Run, RunKey, StoreUnavailable
from rekindle.engine.queries import waiting_for
from rekindle.engine.reconcile import Step
from rekindle.engine.worker import LEASE_SECONDS, YIELD_SECONDS, Worker
from support.engine import Engine
from support.simulated import Script, SimulatedExecutor
from support.specs import tuning_spec


def _elsewhere(engine: Engine, **options: Any) -> Worker:
    """A worker of another home, which knows nothing of the engine's runs."""
    executor = SimulatedExecutor(engine.clock, engine.program)
    return Worker(Step(engine.store, executor, engine.clock), "b@two", **options)


@dataclass
class _Refusing:
    """Launches all but the run of this number, at which it does nothing, or raises the error."""

    launch: Callable[[Run], None]
    number: int
    error: Exception | None = None
    asked: int = 0

    def __call__(self, run: Run) -> None:
        self.asked += 1
        if self.asked != self.number:
            self.launch(run)
        elif self.error is not None:
            raise self.error


def _left_in_one() -> Engine:
    """A tuning job with two training jobs that run in the home ``one``, whose worker has left."""
    engine = Engine()
    engine.create(tuning_spec(jobs=3, parallel=2))
    mine = engine.worker("a@one")
    mine.tick()
    mine.shut_down()
    return engine


def _tick(worker: Worker, times: int = 5) -> None:
    for _ in range(times):
        worker.tick()
        worker.wait()


def test_what_runs_in_a_home_is_not_begun_again_in_another_when_its_worker_leaves() -> None:
    engine = _left_in_one()
    others = _elsewhere(engine)
    with capture_logs() as told:
        _tick(others)
    assert others.step.executor.running == 0  # type: ignore[attr-defined]
    with capture_logs() as told_of_one:
        _tick(_elsewhere(engine, only=f"tuning:{engine.job('job').id}"))
    assert [(line["home"], line["jobs"]) for line in (*told, *told_of_one)] == [("one", 1)] * 2
    assert engine.run("job", "c@one").status is TuningJobStatus.COMPLETED
    assert [t.attempt for t in engine.trials("job")] == [1, 1, 1]


def test_who_asks_in_another_home_is_told_what_it_waits_for() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=3, parallel=2))
    mine = engine.worker("a@one")
    mine.tick()
    job = engine.job("job")
    assert waiting_for(engine.store, job, "two") is None
    mine.shut_down()
    told = "waits for a worker of the home one, where its training jobs may still run"
    assert [waiting_for(engine.store, job, home) for home in ("two", "")] == [told, told]
    assert str(waiting_for(engine.store, job, "one")).startswith("waits for a worker: ")
    service = Service(engine.store, engine.executor, engine.clock, RELAXED, None, home="two")  # type: ignore[arg-type]
    describe = HANDLERS["DescribeHyperParameterTuningJob"]
    assert (describe(service, engine.owner, {"HyperParameterTuningJobName": "job"}) or {})["WaitingFor"] == told
    engine.run("job", "c@one")
    assert waiting_for(engine.store, engine.job("job"), "two") is None


def test_who_asks_in_another_home_for_a_training_job_is_told_where_it_and_its_log_are() -> None:
    engine = Engine()
    spec = tuning_spec().definition.training
    job = TrainingJob("alone", engine.owner, spec, {"lr": "0.01", "layers": "2"}, created_at=0.0)
    create_training_job(engine.store, engine.executor, engine.clock, job)
    two = SimulatedExecutor(engine.clock, engine.program)
    here, there = JobLogs(engine.store, engine.executor, "one"), JobLogs(engine.store, two, "two")

    def said(logs: JobLogs) -> list[str]:
        (stream,) = logs.streams(engine.owner, "alone/", "", 10)
        events = list(logs.events(engine.owner, stream.name, 0, 10) or ())
        assert (stream.first_ms is None) == (not events)
        assert all(not logs.events(engine.owner, stream.name, event.end, 10) for event in events)
        return [event.message for event in events]

    def described(home: str) -> dict[str, Any]:
        service = Service(engine.store, engine.executor, engine.clock, RELAXED, None, home=home)  # type: ignore[arg-type]
        return dict(HANDLERS["DescribeTrainingJob"](service, engine.owner, {"TrainingJobName": "alone"}) or {})

    assert (said(here), said(there)) == ([], []), "what has not begun has no log"
    mine = engine.worker("a@one")
    mine.tick()
    mine.tick()
    assert (said(here), len(said(there))) == ([], 1)
    assert "WaitingFor" not in described("two")
    mine.shut_down()
    told = "waits for a worker of the home one, where it may still run"
    assert "WaitingFor" not in described("one")
    assert described("two")["WaitingFor"] == told
    last = described("two")["SecondaryStatusTransitions"][-1]["StatusMessage"]
    assert last == f"{described('one')['SecondaryStatusTransitions'][-1]['StatusMessage']}; {told}"
    assert said(there) == [
        "[rekindle] The log of alone is not in this home folder (two): it stays where the training job ran. Ask the server of "
        "that home, or give `rekindle logs alone` there."
    ]
    again = engine.worker("c@one")
    while engine.store.training_job(engine.owner, "alone").is_running:
        again.tick()
        again.wait()
    assert "WaitingFor" not in described("two")
    assert (said(here), len(said(there))) == ([], 1)


def test_nor_when_its_worker_is_killed() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=3, parallel=2))
    engine.worker("a@one").tick()
    engine.clock.sleep(2 * LEASE_SECONDS)
    others = _elsewhere(engine)
    _tick(others)
    assert others.step.executor.running == 0  # type: ignore[attr-defined]


def test_nor_what_began_in_the_step_that_found_it_waiting_for_room() -> None:
    engine = Engine()
    job = engine.create(tuning_spec(jobs=1, parallel=1))
    mine = engine.worker("a@one")
    engine.executor.launch = _Refusing(engine.executor.launch, 1)  # type: ignore[method-assign]
    mine.tick()
    engine.executor.slots = 0
    mine.tick()
    assert [t.secondary for t in engine.trials("job")] == [SecondaryStatus.PENDING]
    engine.executor.slots = 1
    mine.tick()
    assert ([t.secondary for t in engine.trials("job")], engine.executor.running) == ([SecondaryStatus.PENDING], 1)
    mine.shut_down()
    assert engine.store.claim("b@two", 1.0) == []
    assert [lease.subject for lease in engine.store.claim("b@one", 1.0)] == [f"tuning:{job.id}"]


def test_a_file_system_that_is_away_at_the_end_keeps_no_other_lease() -> None:
    engine = Engine()
    for name in ("one", "two"):
        engine.create(tuning_spec(name, jobs=1, parallel=1))
    mine = engine.worker("a@one")
    engine.executor.launch = lambda run: None  # type: ignore[method-assign]
    mine.tick()
    engine.executor.slots = 0
    mine.tick()
    assert [engine.trials(name)[0].secondary for name in ("one", "two")] == [SecondaryStatus.PENDING] * 2

    def away(*_: object) -> None:
        raise StoreUnavailable("the folder is away")

    engine.executor.report = away  # type: ignore[assignment, method-assign]
    mine.shut_down()
    assert engine.store.claim("b@two", 1.0) == []
    assert len(engine.store.claim("b@one", 1.0)) == 2


def test_but_what_waits_for_room_goes_where_there_is_some() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=1, parallel=1))
    mine = engine.worker("a@one")
    engine.executor.launch = _Refusing(engine.executor.launch, 1)  # type: ignore[method-assign]
    mine.tick()
    engine.executor.slots = 0
    mine.tick()
    mine.shut_down()
    assert len(engine.store.claim("b@two", 1.0)) == 1


def test_nor_what_a_step_that_was_broken_off_had_begun() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=2, parallel=2))
    mine = engine.worker("a@one")
    engine.executor.slots = 0
    mine.tick()
    assert engine.trials("job") == ()
    engine.executor.slots = None
    full = StoreUnavailable("the disk is full.")
    engine.executor.launch = _Refusing(engine.executor.launch, 2, full)  # type: ignore[method-assign]
    with capture_logs():
        mine.tick()
    mine.shut_down()
    assert engine.executor.running == 1
    assert engine.store.claim("b@two", 1.0) == []


def test_what_has_nothing_running_moves_and_what_a_lost_home_had_does_when_somebody_says_so() -> None:
    engine = _left_in_one()
    others = _elsewhere(engine, gone_homes=("one",))
    _tick(others, 1)
    assert others.step.executor.running == 2  # type: ignore[attr-defined]


def test_what_a_lost_home_had_is_run_again_however_long_nobody_said_so() -> None:
    engine = Engine(program=lambda _: Script((1.0, 2.0), seconds=7200.0))
    engine.create(tuning_spec(jobs=3, parallel=2))
    mine = engine.worker("a@one")
    for _ in range(3):
        mine.tick()
        engine.clock.sleep(1800.0)
    mine.shut_down()
    assert [job.points_seen for job in engine.trials("job")] == [1, 1]
    limit = engine.trials("job")[0].spec.max_runtime_seconds
    engine.clock.sleep(2.0 * limit)
    others = _elsewhere(engine, gone_homes=("one",))
    _tick(others, 1)
    assert [(job.attempt, job.status) for job in engine.trials("job")] == [(2, TrainingJobStatus.IN_PROGRESS)] * 2
    assert others.step.executor.running == 2  # type: ignore[attr-defined]
    assert {key.attempt for key in others.step.executor.launches} == {2}  # type: ignore[attr-defined]
    spent = [run.run.spent_seconds for run in others.step.executor._runs.values()]  # type: ignore[attr-defined]
    assert all(3600.0 <= seconds < limit / 2 for seconds in spent), "what is known of the first attempts counts"


def test_a_training_job_does_not_end_as_a_deleted_one_of_its_name_did_in_another_home() -> None:
    engine = Engine()
    spec = tuning_spec().definition.training
    job = TrainingJob("alone", engine.owner, spec, {"lr": "0.01", "layers": "2"}, created_at=0.0)
    others = _elsewhere(engine)

    def run() -> TrainingJob:
        create_training_job(engine.store, engine.executor, engine.clock, job)
        while engine.store.training_job(engine.owner, "alone").is_running:
            _tick(others, 1)
        return engine.store.training_job(engine.owner, "alone")

    assert run().status is TrainingJobStatus.COMPLETED
    # Asked for in the home of which it has no files.
    delete_training_job(engine.store, engine.executor, engine.owner, "alone")
    report, looks = others.step.executor.report, iter([StoreUnavailable("away for a moment")])

    def looked_for(key: RunKey, seen: int = 0) -> Report | None:
        for error in looks:
            raise error
        return report(key, seen)

    others.step.executor.report = looked_for  # type: ignore[method-assign]
    again = run()
    assert again.status is TrainingJobStatus.FAILED
    assert (again.failure_reason or "").startswith("ClientError: The files of a former training job of this name")
    assert (again.started_at, again.final_metrics, again.model_uri) == (None, {}, None)
    delete_training_job(engine.store, others.step.executor, engine.owner, "alone")
    assert run().status is TrainingJobStatus.COMPLETED
    assert list(others.step.executor.launches.values()) == [2]  # type: ignore[attr-defined]


def test_nor_where_it_has_waited_for_room_in_a_third_home() -> None:
    engine = Engine()
    spec = tuning_spec().definition.training
    job = TrainingJob("alone", engine.owner, spec, {"lr": "0.01", "layers": "2"}, created_at=0.0)
    others = _elsewhere(engine)
    create_training_job(engine.store, engine.executor, engine.clock, job)
    while engine.store.training_job(engine.owner, "alone").is_running:
        _tick(others, 1)
    delete_training_job(engine.store, engine.executor, engine.owner, "alone")

    create_training_job(engine.store, engine.executor, engine.clock, job)
    mine = engine.worker("a@one")
    engine.executor.slots = 0
    engine.executor.launch = lambda run: None  # type: ignore[method-assign]
    engine.clock.sleep(YIELD_SECONDS)
    mine.tick()
    assert engine.store.training_job(engine.owner, "alone").secondary is SecondaryStatus.PENDING
    mine.shut_down()
    _tick(others, 1)
    again = engine.store.training_job(engine.owner, "alone")
    assert again.status is TrainingJobStatus.FAILED
    assert (again.failure_reason or "").startswith("ClientError: The files of a former training job of this name")


def test_a_name_says_which_process_and_which_home() -> None:
    assert holder_name("one") == f"{holder_name()}@one"
    assert not is_dead(holder_name("one"))
    host, pid, _ = holder_name().split("/")
    assert is_dead(f"{host}/{pid}/0.00@one")


def test_a_home_has_one_id_for_ever_whoever_asks_first(tmp_path: Path) -> None:
    found: list[str] = []
    barrier = Barrier(8)

    def ask() -> None:
        barrier.wait()
        found.append(home_id(tmp_path))

    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {home_id(tmp_path)}
    assert len(found[0]) == 12
    assert sorted(p.name for p in tmp_path.iterdir()) == [".home.id.lock", "home.id"]
