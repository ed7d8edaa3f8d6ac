"""Failures of the infrastructure cost a training job nothing but time; its own failures are its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace

import pytest

from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Algorithm, SecondaryStatus, TrainingJob, TrainingJobStatus, TrainingSpec
from rekindle.engine.ports import JobFilter, Page, Run, RunKey, RunState
from rekindle.engine.queries import describe, list_tuning_jobs
from support.engine import Engine
from support.simulated import Script
from support.specs import tuning_spec

TRAINING = TrainingSpec(Algorithm(command="true", metrics=(MetricDefinition("loss", "loss=([0-9.]+)"),)))


def run_one(program: Callable[[int], Script], lost_after: float | None = None, **training: int) -> tuple[Engine, TrainingJob]:
    """One training job; ``program`` is by attempt, each is lost after some seconds where that is asked for."""
    attempts: list[int] = []
    engine = Engine(program=lambda _: attempts.append(1) or program(len(attempts)))
    engine.create(tuning_spec(jobs=1, parallel=1, training=replace(TRAINING, **training)))

    def lose(_: int) -> None:
        if lost_after is None:
            return
        for trial in engine.trials("job"):
            started = engine.executor._runs.get(RunKey(trial.name, trial.attempt))
            if started is not None and engine.clock.now() >= started.at + lost_after:
                engine.executor.lose(RunKey(trial.name, trial.attempt))

    engine.run("job", before=lose)
    (trial,) = engine.trials("job")
    return engine, trial


@pytest.mark.parametrize(("asked", "attempts"), [(0, 4), (2, 4), (7, 8)])
def test_as_often_as_asked_and_never_less_than_we_owe(asked: int, attempts: int) -> None:
    engine, trial = run_one(lambda _: Script(seconds=50), lost_after=1, max_retries=asked)
    assert trial.status is TrainingJobStatus.FAILED
    assert trial.attempt == attempts
    assert trial.failure_reason.startswith("InternalServerError: We encountered an internal error.")
    assert sorted(key.attempt for key in engine.executor.launches) == list(range(1, attempts + 1))


def test_an_internal_error_that_is_reported_is_retried() -> None:
    internal = Script((), 1, RunState.FAILED, "InternalServerError: no room")
    engine, trial = run_one(lambda attempt: internal if attempt == 1 else Script((2.0,)))
    assert (trial.status, trial.attempt, trial.failure_reason) == (TrainingJobStatus.COMPLETED, 2, None)
    shown = [t.status.value for t in trial.transitions]
    assert shown == ["Starting", "Training", "Interrupted", "Starting", "Training", "Completed"]
    assert trial.transitions[2].message == "InternalServerError: no room"
    counters = describe(engine.store, engine.owner, "job").counters
    assert (counters.completed, counters.retryable_error, counters.non_retryable_error) == (1, 0, 0)


@pytest.mark.parametrize("reason", ["AlgorithmError: InternalServerError, exit code: 1", "ClientError: no such bucket", None])
def test_the_users_failures_are_final(reason: str | None) -> None:
    engine, trial = run_one(lambda _: Script((), 1, RunState.FAILED, reason), max_retries=30)
    assert (trial.status, trial.attempt) == (TrainingJobStatus.FAILED, 1)
    assert trial.failure_reason == reason
    assert len(engine.executor.launches) == 1


def test_the_run_time_limit_covers_all_attempts() -> None:
    _engine, trial = run_one(lambda attempt: Script((1.0,), seconds=400), lost_after=40, max_runtime_seconds=100, max_retries=9)
    assert trial.status is TrainingJobStatus.STOPPED
    assert trial.secondary is SecondaryStatus.MAX_RUNTIME_EXCEEDED
    trained = [t.ended_at - t.started_at for t in trial.transitions if t.status is SecondaryStatus.TRAINING]
    assert sum(trained) == pytest.approx(100)
    assert len(trained) == trial.attempt == 3


def test_no_attempt_begins_without_time_left() -> None:
    _engine, trial = run_one(lambda _: Script((1.0,), seconds=400), lost_after=100, max_runtime_seconds=90)
    assert trial.secondary is SecondaryStatus.MAX_RUNTIME_EXCEEDED
    assert trial.attempt == 1


def test_the_counter_at_each_moment_of_a_retry() -> None:
    engine = Engine(program=lambda _: Script((1.0,), seconds=10))
    engine.executor.slots = 1
    engine.create(tuning_spec(jobs=1, parallel=1, training=TRAINING))
    worker = engine.worker()

    def shown() -> tuple[int, int, int, str]:
        engine.clock.sleep(1)
        worker.tick()
        (trial,) = engine.trials("job")
        counters = describe(engine.store, engine.owner, "job").counters
        (listed,), _ = list_tuning_jobs(engine.store, engine.owner, JobFilter(), Page())
        assert listed.counters == counters
        assert sum(astuple(counters)) == 1
        return counters.in_progress, counters.retryable_error, counters.completed, trial.secondary.value

    assert shown() == (1, 0, 0, "Starting")
    assert shown() == (1, 0, 0, "Training")
    (trial,) = engine.trials("job")
    # While it is lost, somebody else takes its slot.
    engine.executor.lose(RunKey.of(trial))
    other = Run(RunKey("other", 1), TRAINING, {})
    engine.executor.launch(other)
    assert shown() == (0, 1, 0, "Pending")
    assert shown() == (0, 1, 0, "Pending")
    assert engine.trials("job")[0].transitions[-1].message == "waits for a free slot: 1 of 1 in use"
    engine.executor.stop(other.key)
    # It is launched now; that it runs is seen next.
    assert shown() == (0, 1, 0, "Pending")
    assert shown() == (1, 0, 0, "Training")
    engine.clock.sleep(11)
    assert shown() == (0, 0, 1, "Completed")
    (trial,) = engine.trials("job")
    assert trial.attempt == 2
    told = [t.status.value for t in trial.transitions]
    assert told == ["Starting", "Training", "Interrupted", "Starting", "Pending", "Training", "Completed"]
