"""What a worker keeps of what it no longer moves, and what it does about work that meets a defect."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from rekindle.domain.decisions import ParentJob, Snapshot
from rekindle.domain.training_job import TrainingJobStatus
from rekindle.domain.tuning_job import Definition, TuningJobStatus, WarmStart, WarmStartType
from rekindle.engine.commands import delete_training_job, stop_training_job
from rekindle.engine.ports import Run, RunKey, StoreUnavailable
from rekindle.engine.reconcile import Step
from rekindle.engine.suggestions import HereAndNow, Suggestion
from rekindle.engine.worker import LEASE_SECONDS, REST_SECONDS, Worker
from support.engine import Engine
from support.simulated import Script, SimulatedExecutor
from support.specs import tuning_spec


class _Attentive(SimulatedExecutor):
    """Notes for which runs it was told to wait."""

    waited: Sequence[RunKey] = ()

    def wait(self, keys: Sequence[RunKey], seconds: float, descriptors: Sequence[int] = ()) -> None:
        self.waited = tuple(keys)
        super().wait(keys, seconds, descriptors)


def test_nothing_is_kept_of_the_parents_of_jobs_that_have_ended() -> None:
    engine = Engine()
    engine.create(tuning_spec("parent"))
    engine.run("parent")
    gc.collect()
    before = sum(type(thing) is ParentJob for thing in gc.get_objects())
    engine.create(tuning_spec("child", warm_start=WarmStart(WarmStartType.TRANSFER, ("parent",))))
    worker = engine.worker()
    while not engine.job("child").status.is_terminal:
        worker.tick()
        worker.wait()
    gc.collect()
    assert sum(type(thing) is ParentJob for thing in gc.get_objects()) <= before


def test_who_lost_a_lease_waits_no_more_for_what_runs_under_it() -> None:
    """The real executor would return at once when such a run has ended, again and again."""
    engine = Engine()
    engine.executor = _Attentive(engine.clock, engine.program)
    engine.create(tuning_spec(jobs=2, parallel=1))
    sleeper, taker = engine.worker("sleeper"), engine.worker("taker")
    sleeper.tick()
    sleeper.wait()
    assert len(engine.executor.waited) == 1
    engine.clock.sleep(LEASE_SECONDS + 1)
    taker.tick()
    sleeper.tick()
    engine.executor.waited = ()
    sleeper.wait()
    assert engine.executor.waited == ()
    assert engine.run("job", "taker").status is TuningJobStatus.COMPLETED


@dataclass(frozen=True)
class _Defect(HereAndNow):
    """Meets a defect, as often as it is asked: for which tuning jobs that was."""

    asked: list[int] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)

    def forget(self, job_id: int) -> None:
        self.forgotten.append(job_id)

    def suggest(self, snapshot: Snapshot, definition: Definition) -> Suggestion | None:
        self.asked.append(snapshot.job.id)
        raise RuntimeError("a defect")


def test_work_that_meets_a_defect_rests() -> None:
    engine = Engine()
    engine.create(tuning_spec())
    defect = _Defect()
    worker = Worker(Step(engine.store, engine.executor, engine.clock, defect), "a")
    with capture_logs() as told:
        for _ in range(int(REST_SECONDS)):
            worker.tick()
            engine.clock.sleep(1.0)
        assert len(defect.asked) == 1
        worker.tick()
    assert len(defect.asked) == 2
    assert [line["event"] for line in told] == ["a step failed; trying again later"] * 2


def test_work_that_meets_a_defect_keeps_no_place_that_others_could_have() -> None:
    engine = Engine()
    job = engine.create(tuning_spec())
    defect = _Defect()
    worker = Worker(Step(engine.store, engine.executor, engine.clock, defect), "a")
    with capture_logs():
        worker.tick()
    assert (defect.asked, defect.forgotten) == ([job.id], [job.id])


def test_who_has_no_other_work_is_told_of_a_defect() -> None:
    engine = Engine()
    job = engine.create(tuning_spec())
    worker = Worker(Step(engine.store, engine.executor, engine.clock, _Defect()), "a", f"tuning:{job.id}")
    looks = iter(range(9))
    with pytest.raises(RuntimeError, match="a defect"):
        worker.run(lambda: next(looks, None) is None)
    assert engine.store.holders() == [], "its lease is given back"


def test_runs_of_work_that_met_a_defect_wake_nobody_and_may_still_be_alive() -> None:
    engine = Engine()
    engine.executor = _Attentive(engine.clock, engine.program)
    engine.create(tuning_spec(jobs=4, parallel=2))
    first = engine.worker("a@one")
    first.tick()
    first.wait()
    defect = _Defect()
    first.step = replace(first.step, suggester=defect)
    while not defect.asked:
        engine.clock.sleep(1.0)
        with capture_logs():
            first.tick()
    engine.executor.waited = ()
    first.wait()
    assert engine.executor.waited == ()
    first.shut_down()
    assert engine.store.claim("b@two", 1.0) == [], "nobody knows what runs there"


def test_a_search_that_meets_a_defect_keeps_no_result_from_being_recorded_and_nobody_from_being_stopped() -> None:
    engine = Engine(program=lambda _: Script((1.0, 2.0), seconds=10.0 + 90.0 * (engine.executor.running > 0)))
    engine.create(tuning_spec(jobs=4, parallel=2))
    worker = engine.worker()
    worker.tick()
    short, long = engine.trials("job")
    worker.step = replace(worker.step, suggester=_Defect())
    stop_training_job(engine.store, engine.owner, long.name)
    engine.clock.sleep(20.0)
    with capture_logs() as told:
        worker.tick()
        short, long = engine.trials("job")
        assert (short.status, short.objective_value) == (TrainingJobStatus.COMPLETED, 2.0)
        assert long.status is TrainingJobStatus.STOPPING
        engine.clock.sleep(REST_SECONDS)
        worker.tick()
    assert engine.trials("job")[1].status is TrainingJobStatus.STOPPED
    assert [line["event"] for line in told] == ["a step failed; trying again later"] * 2


def test_who_has_claimed_and_not_looked_may_have_runs() -> None:
    engine = Engine()
    engine.create(tuning_spec())
    worker = engine.worker("a@one")
    worker._keep_leases(engine.clock.now())
    worker.shut_down()
    assert engine.store.claim("b@two", 1.0) == []
    assert len(engine.store.claim("b@one", 1.0)) == 1


def test_a_tuning_job_that_somebody_deleted_is_let_go_of_without_a_word() -> None:
    engine = Engine()
    job = engine.create(tuning_spec())
    worker = engine.worker()
    worker.tick()
    engine.store.delete_tuning_job(job.id)
    with capture_logs() as told:
        worker.tick()
    assert told == []
    assert worker._work == {}


def test_a_lease_is_renewed_before_it_runs_out() -> None:
    engine = Engine()
    engine.create(tuning_spec())
    worker = engine.worker()
    for _ in range(4):
        worker.tick()
        engine.clock.sleep(0.6 * LEASE_SECONDS)
        assert engine.store.claim("b", 1.0) == []


def test_who_lost_a_lease_lets_go_of_the_work_though_nothing_of_it_has_changed() -> None:
    engine = Engine(program=lambda _: Script(seconds=1e6))
    engine.create(tuning_spec(jobs=1, parallel=1))
    sleeper, taker = engine.worker("sleeper"), engine.worker("taker")
    sleeper.tick()
    engine.clock.sleep(LEASE_SECONDS + 1)
    for worker in (taker, sleeper, taker, sleeper):
        worker.tick()
    assert sleeper._work == {}
    assert list(taker._work) == ["tuning:1"]


@dataclass
class _Suspended(SimulatedExecutor):
    """One whose process is suspended just before it launches, while others go on, and whose disk is ``full`` for what is named
    there: a stop, or any launch but the first."""

    full: set[str] = field(default_factory=set)
    meanwhile: Callable[[], None] | None = None

    def launch(self, run: Run) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        if self.launches and "launch" in self.full:
            raise StoreUnavailable("the disk is full.")
        super().launch(run)

    def stop(self, key: RunKey, give_up: bool = False) -> None:
        if "stop" in self.full:
            raise StoreUnavailable("the disk is full.")
        super().stop(key, give_up)


def suspended_while_it_ends(jobs: int, and_then: Callable[[Engine], None] = lambda _: None) -> Engine:
    """A worker is suspended before it launches the first of a tuning job's training jobs, and another ends the tuning job."""
    engine = Engine(program=lambda _: Script(seconds=1e6))
    engine.executor = _Suspended(engine.clock, engine.program)
    job, taker = engine.create(tuning_spec(jobs=jobs, parallel=jobs)), engine.worker("taker")

    def meanwhile() -> None:
        engine.clock.sleep(LEASE_SECONDS + 1)
        engine.store.request_stop(f"tuning:{job.id}")
        while not engine.job("job").status.is_terminal:
            taker.tick()
        taker.shut_down()
        and_then(engine)

    engine.executor.meanwhile = meanwhile
    return engine


def deleted(engine: Engine) -> None:
    """The tuning job and its training job are deleted, too."""
    (trial,) = engine.trials("job")
    engine.store.delete_tuning_job(engine.job("job").id)
    delete_training_job(engine.store, engine.executor, trial.owner, trial.name)


@pytest.mark.parametrize("and_then", [lambda _: None, deleted])
def test_what_was_launched_after_another_had_recorded_its_end_is_stopped(and_then: Callable[[Engine], None]) -> None:
    engine = suspended_while_it_ends(1, and_then)
    sleeper = engine.worker("sleeper")
    sleeper.tick()
    assert (sum(engine.executor.launches.values()), engine.executor.running) == (1, 1)
    sleeper.tick()
    assert (sleeper._work, engine.executor.running) == ({}, 0)


@pytest.mark.parametrize("full", [{"launch"}, {"stop"}, {"launch", "stop"}])
def test_that_is_so_after_a_step_that_was_broken_off_and_keeps_no_other_work_waiting(full: set[str]) -> None:
    engine = suspended_while_it_ends(2)
    sleeper, executor = engine.worker("sleeper"), engine.executor
    executor.full = full & {"launch"}
    sleeper.tick()
    late = sum(executor.launches.values())
    assert late == (1 if "launch" in full else 2)
    executor.full = full - {"launch"}
    engine.create(tuning_spec("other", jobs=1, parallel=1))
    for _ in range(3):
        sleeper.tick()
    assert len(executor.launches) == late + 1
    executor.full = set()
    sleeper.tick()
    assert (executor.running, sleeper._late) == (1, set())
