"""From an executor's reports to observations and training job states. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rekindle.domain.training_job import (
    FAILURE_REASON_LIMIT,
    LOST_RETRIES,
    FinalMetric,
    MetricPoint,
    ObjectiveStatus,
    SecondaryStatus,
    TrainingJob,
    TrainingJobStatus,
    Transition,
    moved,
)
from rekindle.engine.ports import Report, RunState

#: How the failure reasons begin that are ours and not the user's.
_INTERNAL = "InternalServerError"
_LOST = f"{_INTERNAL}: We encountered an internal error. Please try again. (The training job's supervisor vanished"
_ENDS: Mapping[RunState, tuple[TrainingJobStatus, SecondaryStatus, str]] = {
    RunState.COMPLETED: (TrainingJobStatus.COMPLETED, SecondaryStatus.COMPLETED, "Training job completed"),
    RunState.FAILED: (TrainingJobStatus.FAILED, SecondaryStatus.FAILED, "Training job failed"),
    RunState.STOPPED: (TrainingJobStatus.STOPPED, SecondaryStatus.STOPPED, "Training job stopped"),
    RunState.TIMED_OUT: (
        TrainingJobStatus.STOPPED,
        SecondaryStatus.MAX_RUNTIME_EXCEEDED,
        "Training job runtime exceeded MaxRuntimeInSeconds provided",
    ),
}
#: What comes before the phases of an attempt, each of which comes once.
_BEFORE_PHASES = frozenset({SecondaryStatus.INTERRUPTED, SecondaryStatus.PENDING})


@dataclass(frozen=True)
class Folded:
    """A training job as a report leaves it, and the emissions that are new. ``reported``: there was a report, and it was
    on the attempt that the job is at. ``began_again``: the attempt was lost, and the job is at its next one."""

    job: TrainingJob
    points: tuple[MetricPoint, ...] = ()
    reported: bool = False
    began_again: bool = False

    @property
    def ended(self) -> bool:
        """Whether the report was the last."""
        return not self.job.is_running


def fold(job: TrainingJob, report: Report, now: float) -> Folded:
    """A training job after a report on its current attempt. A report on another attempt changes nothing."""
    if report.key.attempt != job.attempt or not job.is_running:
        return Folded(job)
    points = tuple(p for p in report.points if p.index >= job.points_seen)
    job = _with_points(_with_phases(job, report), points)
    if report.state is RunState.RUNNING:
        return Folded(job if job.started_at else replace(job, started_at=report.started_at), points, reported=True)
    if not _is_ours(report):
        return Folded(_ended(job, report, now), points)
    after = _broken_off(job, report, now)
    # What the next attempt emits is counted from 0 again.
    return Folded(after, began_again=True) if after.is_running else Folded(after, points)


def run_time(job: TrainingJob) -> float:
    """Seconds that a training job has trained, in all attempts that have ended: its limit covers them together."""
    spans = (t for t in job.transitions if t.status is SecondaryStatus.TRAINING and t.ended_at is not None)
    return sum((t.ended_at or 0.0) - t.started_at for t in spans)


def retries(job: TrainingJob) -> int:
    """How often a training job is started again after failures that are not its own: as asked for, and never less than
    what we owe to everybody."""
    return max(LOST_RETRIES, job.spec.max_retries)


def never_launched_but_stopping(job: TrainingJob, now: float) -> TrainingJob:
    """A training job that was stopped before it was ever started."""
    return _finished(job, RunState.STOPPED, now)


def _with_points(job: TrainingJob, points: Sequence[MetricPoint]) -> TrainingJob:
    if not points:
        return job
    finals = {**job.final_metrics, **{p.metric: FinalMetric(p.value, p.at) for p in points}}
    return replace(job, final_metrics=finals, points_seen=points[-1].index + 1)


def _with_phases(job: TrainingJob, report: Report) -> TrainingJob:
    transitions = job.transitions
    for status, since, message in report.phases:
        if not _known(transitions, status):
            transitions = moved(transitions, status, since, message)
    if transitions == job.transitions:
        return job
    return replace(job, transitions=transitions, secondary=transitions[-1].status)


def _known(transitions: Sequence[Transition], status: SecondaryStatus) -> bool:
    """Whether a phase of the attempt is recorded, or has nothing to say any more. Its time tells nothing of that: the clock may
    have been set since, and the last transition may be by another host's."""
    for transition in reversed(transitions):
        if transition.status in (status, SecondaryStatus.STOPPING):
            return True
        if transition.status in _BEFORE_PHASES:
            return False
    return False


def _ended(job: TrainingJob, report: Report, now: float) -> TrainingJob:
    job = replace(
        job,
        started_at=job.started_at or report.started_at,
        exit_code=report.exit_code,
        model_uri=report.model_uri,
        failure_reason=(report.failure_reason or "")[:FAILURE_REASON_LIMIT] or None,
    )
    return _finished(job, report.state, report.ended_at or now)


def _finished(job: TrainingJob, state: RunState, at: float) -> TrainingJob:
    status, secondary, message = _ENDS[state]
    transitions = moved(job.transitions, secondary, at, message)
    job = replace(job, status=status, secondary=secondary, transitions=transitions, ended_at=transitions[-1].started_at)
    final = job.final_metrics.get(job.objective_metric or "")
    if final is None or status is TrainingJobStatus.FAILED:
        return replace(job, objective_status=ObjectiveStatus.FAILED, objective_value=None)
    return replace(job, objective_status=ObjectiveStatus.SUCCEEDED, objective_value=final.value)


def _is_ours(report: Report) -> bool:
    """Whether a run ended by a failure of the infrastructure."""
    internal = report.state is RunState.FAILED and (report.failure_reason or "").startswith(_INTERNAL)
    return report.state is RunState.LOST or internal


def _broken_off(job: TrainingJob, report: Report, now: float) -> TrainingJob:
    """A training job whose attempt ended through no fault of its own: at its next attempt, unless it has had its share."""
    at = report.ended_at or now
    if job.status is TrainingJobStatus.STOPPING:
        return _finished(job, RunState.STOPPED, at)
    if job.attempt > retries(job):
        return _finished(replace(job, failure_reason=_reason(job, report)), RunState.FAILED, at)
    cause = "The training job's supervisor vanished" if report.state is RunState.LOST else report.failure_reason or _INTERNAL
    interrupted = moved(job.transitions, SecondaryStatus.INTERRUPTED, at, cause)
    if run_time(replace(job, transitions=interrupted)) >= job.spec.max_runtime_seconds:
        return _finished(replace(job, transitions=interrupted), RunState.TIMED_OUT, at)
    transitions = moved(interrupted, SecondaryStatus.STARTING, now, "Starting the training job again")
    return replace(
        job,
        attempt=job.attempt + 1,
        transitions=transitions,
        secondary=SecondaryStatus.STARTING,
        started_at=None,
        points_seen=0,
        final_metrics={},
    )


def _reason(job: TrainingJob, report: Report) -> str:
    if report.state is RunState.LOST:
        return f"{_LOST} {job.attempt} times.)"
    return (report.failure_reason or "")[:FAILURE_REASON_LIMIT]
