"""How far a tuning job is: figures from what is recorded, for whatever shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rekindle.domain.decisions import Snapshot
    from rekindle.domain.training_job import TrainingJob


@dataclass(frozen=True)
class Progress:
    """The figures of one moment. Durations are in seconds; ``total`` and ``left`` are None where nothing tells them."""

    done: int
    running: int
    failed: int
    total: int | None
    elapsed: float
    left: float | None
    best: TrainingJob | None


def progress_of(snapshot: Snapshot, now: float) -> Progress:
    """How far a tuning job is at ``now``."""
    from rekindle.domain.completion import best_job
    from rekindle.domain.training_job import TrainingJobStatus

    job, spec = snapshot.job, snapshot.job.spec
    ended = [j for j in snapshot.jobs if not j.is_running]
    return Progress(
        done=len(ended),
        running=len(snapshot.running),
        failed=sum(j.status is TrainingJobStatus.FAILED for j in ended),
        total=spec.limits.max_jobs,
        elapsed=max((job.ended_at or now) - job.created_at, 0.0),
        left=time_left(snapshot, ended, now),
        best=best_job(snapshot.jobs, spec.definition.objective.direction),
    )


def time_left(snapshot: Snapshot, ended: Sequence[TrainingJob], now: float) -> float | None:
    """Seconds to the end: the mean run time of finished training jobs times those to come, shared by those at once; at
    most what the run-time limit leaves. None as long as nothing has finished and nothing limits the time."""
    limits = snapshot.job.spec.limits
    bounds: list[float] = []
    times = [j.seconds for j in ended if j.seconds is not None]
    if limits.max_jobs is not None and times:
        mean = sum(times) / len(times)
        spent = sum(min(max(now - j.started_at, 0.0), mean) for j in snapshot.running if j.started_at is not None)
        bounds.append(max((limits.max_jobs - len(ended)) * mean - spent, 0.0) / limits.max_parallel)
    if limits.max_runtime_seconds is not None:
        bounds.append(max(snapshot.job.created_at + limits.max_runtime_seconds - now, 0.0))
    return min(bounds) if bounds else None


def configuration(job: TrainingJob, snapshot: Snapshot) -> dict[str, Any]:
    """The configuration of a training job of the snapshot."""
    from rekindle.cli.records import values_of

    known = {d.name: d for d in snapshot.job.spec.definitions}
    return values_of(job, known.get(job.definition_name))
