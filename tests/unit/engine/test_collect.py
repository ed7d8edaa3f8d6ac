"""What one report makes of a training job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rekindle.domain.training_job import (
    FAILURE_REASON_LIMIT,
    MetricPoint,
    ObjectiveStatus,
    SecondaryStatus,
    TrainingJob,
    TrainingJobStatus,
    moved,
)
from rekindle.engine.collect import fold, run_time
from rekindle.engine.ports import Report, RunKey, RunState
from support.jobs import emissions, training_job

BEGAN, NOW = 100.0, 200.0
TRAINING = (SecondaryStatus.TRAINING, BEGAN, "Training")


def begun(**fields: object) -> TrainingJob:
    transitions = moved((), SecondaryStatus.STARTING, BEGAN - 10, "")
    job = replace(training_job(), transitions=transitions, objective_metric="loss", number=1)
    return replace(job, **fields)


def stopping(job: TrainingJob) -> TrainingJob:
    transitions = moved(job.transitions, SecondaryStatus.STOPPING, BEGAN + 20, "")
    return replace(job, status=TrainingJobStatus.STOPPING, secondary=SecondaryStatus.STOPPING, transitions=transitions)


def told(
    job: TrainingJob, state: RunState, points: Sequence[MetricPoint] = (), ended_at: float | None = None, **fields: object
) -> Report:
    report = Report(RunKey.of(job), state, (TRAINING,), tuple(points), BEGAN, ended_at)
    return replace(report, **fields)


def test_a_report_on_another_attempt_or_on_what_has_ended_changes_nothing() -> None:
    job = begun(attempt=2)
    stale = told(replace(job, attempt=1), RunState.COMPLETED, emissions(1), 150.0)
    assert fold(job, stale, NOW).job is job
    ended = fold(job, told(job, RunState.COMPLETED, ended_at=150.0), NOW).job
    again = fold(ended, told(ended, RunState.FAILED, emissions(1), 160.0), NOW)
    assert (again.job, again.points) == (ended, ())


def test_emissions_that_are_known_are_not_new() -> None:
    job = begun()
    first = fold(job, told(job, RunState.RUNNING, emissions(2)), NOW)
    assert (first.points, first.job.points_seen, first.job.started_at) == (emissions(2), 2, BEGAN)
    second = fold(first.job, told(first.job, RunState.RUNNING, emissions(3), started_at=BEGAN + 1), NOW)
    assert (second.points, second.job.points_seen, second.job.started_at) == (emissions(3)[2:], 3, BEGAN)


def test_what_ended_between_two_looks_began_and_ended_when_its_run_did() -> None:
    job = begun()
    for state in (RunState.COMPLETED, RunState.FAILED, RunState.STOPPED, RunState.TIMED_OUT):
        ended = fold(job, told(job, state, emissions(2), 150.0), NOW).job
        assert (ended.started_at, ended.ended_at, ended.seconds) == (BEGAN, 150.0, 50.0)
        assert [t.ended_at for t in ended.transitions] == [BEGAN, 150.0, 150.0]
    assert fold(job, told(job, RunState.COMPLETED), NOW).job.ended_at == NOW
    early = fold(job, told(job, RunState.COMPLETED, ended_at=BEGAN - 50), NOW).job
    assert early.ended_at == BEGAN, "by a clock that was set back, it ends when it began"


@pytest.mark.parametrize("reason", ["x", "InternalServerError: "])
def test_failure_reasons_have_their_limit(reason: str) -> None:
    job = begun(attempt=4)
    ended = fold(job, told(job, RunState.FAILED, ended_at=150.0, failure_reason=reason * 1025), NOW).job
    assert ended.status is TrainingJobStatus.FAILED
    assert ended.failure_reason == (reason * 1025)[:FAILURE_REASON_LIMIT]


def test_the_last_value_of_what_failed_does_not_count() -> None:
    job = begun()
    failed = fold(job, told(job, RunState.FAILED, emissions(2), 150.0), NOW).job
    assert (failed.objective_status, failed.objective_value) == (ObjectiveStatus.FAILED, None)
    stopped = fold(job, told(job, RunState.STOPPED, emissions(2), 150.0), NOW).job
    assert (stopped.objective_status, stopped.objective_value) == (ObjectiveStatus.SUCCEEDED, 0.5)


def test_nothing_of_an_attempt_that_was_lost_counts_for_the_next() -> None:
    job = begun()
    running = fold(job, told(job, RunState.RUNNING, emissions(2)), NOW).job
    lost = fold(running, told(running, RunState.LOST, emissions(3), 150.0), NOW)
    again = lost.job
    assert (lost.points, lost.began_again) == ((), True)
    assert (again.attempt, again.points_seen, again.started_at, again.final_metrics) == (2, 0, None, {})
    assert [t.status.value for t in again.transitions] == ["Starting", "Training", "Interrupted", "Starting"]
    assert [t.started_at for t in again.transitions][2:] == [150.0, NOW]
    silent = fold(again, told(again, RunState.COMPLETED, ended_at=250.0), 260.0).job
    assert silent.objective_status is ObjectiveStatus.FAILED


def test_the_last_attempt_that_is_lost_keeps_what_it_emitted() -> None:
    job = begun(attempt=4)
    lost = fold(job, told(job, RunState.LOST, emissions(2), 150.0), NOW)
    assert (lost.points, lost.job.status, lost.began_again) == (emissions(2), TrainingJobStatus.FAILED, False)


def test_no_attempt_begins_once_all_of_the_run_time_is_used() -> None:
    for limit, attempt, secondary in ((51, 2, "Starting"), (50, 1, "MaxRuntimeExceeded")):
        job = begun()
        job = replace(job, spec=replace(job.spec, max_runtime_seconds=limit))
        after = fold(job, told(job, RunState.LOST, ended_at=150.0), NOW).job
        assert (after.attempt, after.secondary.value, run_time(after)) == (attempt, secondary, 50.0)
    assert [t.status.value for t in after.transitions] == ["Starting", "Training", "Interrupted", "MaxRuntimeExceeded"]
    assert after.transitions[-1].ended_at == 150.0


def test_what_is_being_stopped_stays_so_and_is_stopped_when_it_is_lost() -> None:
    job = stopping(begun())
    assert fold(job, told(job, RunState.RUNNING), NOW).job.transitions == job.transitions
    uploading = (TRAINING, (SecondaryStatus.UPLOADING, 130.0, "Uploading"))
    shown = fold(job, told(job, RunState.RUNNING, phases=uploading), NOW).job
    assert (shown.secondary, shown.transitions) == (SecondaryStatus.STOPPING, job.transitions)
    lost = fold(job, told(job, RunState.LOST, ended_at=150.0), NOW).job
    assert (lost.status, lost.attempt, lost.ended_at) == (TrainingJobStatus.STOPPED, 1, 150.0)
