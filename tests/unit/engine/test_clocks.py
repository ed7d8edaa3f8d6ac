"""Clocks that are set while work is under way, that differ between hosts, or that were wrong when a home was first written."""

from __future__ import annotations

import socket
from dataclasses import replace

from rekindle.domain.training_job import SecondaryStatus, TrainingJob, TrainingJobStatus
from rekindle.engine.collect import fold
from rekindle.engine.ports import Report, RunKey, RunState
from rekindle.engine.worker import EVICTION_SECONDS, LEASE_SECONDS
from support.engine import Engine
from support.simulated import SimulatedClock
from support.specs import tuning_spec

HOUR = 3600.0
Phase = tuple[SecondaryStatus, float, str]


def begun() -> TrainingJob:
    """A training job that is recorded and has not been heard of."""
    engine = Engine()
    engine.create(tuning_spec(jobs=1, parallel=1))
    engine.worker().tick()
    (trial,) = engine.trials("job")
    assert [t.status for t in trial.transitions] == [SecondaryStatus.STARTING]
    return trial


def phases(at: float) -> tuple[Phase, ...]:
    found = (SecondaryStatus.STARTING, SecondaryStatus.DOWNLOADING, SecondaryStatus.TRAINING)
    return tuple((status, at + place, status.value) for place, status in enumerate(found))


def told(job: TrainingJob, at: float, state: RunState = RunState.RUNNING) -> TrainingJob:
    ended_at = None if state is RunState.RUNNING else at + 60
    report = Report(RunKey.of(job), state, phases(at), started_at=at + 2, ended_at=ended_at)
    return fold(job, report, at + 60).job


def test_phases_under_an_earlier_clock_are_recorded_all_the_same() -> None:
    job = begun()
    running = told(job, job.created_at - HOUR)
    assert running.secondary is SecondaryStatus.TRAINING
    assert [t.status.value for t in running.transitions] == ["Starting", "Downloading", "Training"]
    assert told(running, job.created_at - HOUR) == running
    times = [t.started_at for t in running.transitions]
    assert times == sorted(times)


def test_so_are_those_of_a_later_attempt_and_of_one_that_waited_for_room() -> None:
    job = told(begun(), 5000.0)
    again = told(told(job, 5000.0, RunState.LOST), 1000.0)
    assert (again.attempt, again.status) == (2, TrainingJobStatus.IN_PROGRESS)
    assert [t.status.value for t in again.transitions][3:] == ["Interrupted", "Starting", "Downloading", "Training"]
    assert told(again, 1000.0) == again
    waited = begun()
    pending = replace(waited.transitions[0], status=SecondaryStatus.PENDING)
    waited = told(replace(waited, transitions=(*waited.transitions, pending)), 1000.0)
    assert [t.status.value for t in waited.transitions] == ["Starting", "Pending", "Starting", "Downloading", "Training"]


def test_no_tuning_job_ends_before_it_was_created() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=2, parallel=1))
    engine.executor.clock = SimulatedClock(engine.clock.now())
    engine.clock.at -= HOUR
    job = engine.run("job")
    assert job.ended_at is not None
    assert job.ended_at >= job.created_at
    assert all(job.ended_at >= trial.ended_at for trial in engine.trials("job") if trial.ended_at is not None)


def test_a_worker_whose_clock_is_set_back_goes_on_looking_for_dead_ones() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=1, parallel=1))
    dead = f"{socket.gethostname()}/{2**22 + 1}/1"
    now = engine.clock.now()
    assert engine.store.claim(dead, 30.0)
    worker = engine.worker()
    worker._next_eviction = now + EVICTION_SECONDS
    engine.clock.at -= HOUR
    worker.tick()
    assert engine.store.holders() == ["a"]


def test_a_worker_whose_clock_is_set_back_renews_what_others_may_see_run_out() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=1, parallel=1))
    worker = engine.worker()
    worker.tick()
    engine.clock.at -= HOUR
    worker.tick()
    engine.clock.at += 2 * LEASE_SECONDS
    assert engine.store.claim("b", LEASE_SECONDS)
