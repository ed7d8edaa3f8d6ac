"""What people can ask that changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rekindle.domain.completion import best_job
from rekindle.domain.decisions import ParentJob
from rekindle.domain.errors import NotFound
from rekindle.domain.training_job import ObjectiveStatus, Owner, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import TuningJob, TuningJobStatus, WarmStartType
from rekindle.engine.ports import JobStore
from rekindle.search.history import better


@dataclass(frozen=True)
class StatusCounters:
    """How many of a tuning job's training jobs are in each state; they add up to the number launched so far."""

    completed: int = 0
    in_progress: int = 0
    retryable_error: int = 0
    non_retryable_error: int = 0
    stopped: int = 0


@dataclass(frozen=True)
class ObjectiveCounters:
    """The same training jobs by whether their objective is known."""

    succeeded: int = 0
    pending: int = 0
    failed: int = 0


@dataclass(frozen=True)
class TuningJobView:
    """A tuning job as it is shown. ``status`` already says Stopping when somebody has just asked for it;
    ``overall_best`` is the best of the job and its direct parents, for the identical warm start only."""

    job: TuningJob
    status: TuningJobStatus
    counters: StatusCounters
    objectives: ObjectiveCounters
    best: TrainingJob | None
    overall_best: TrainingJob | None


def describe(store: JobStore, owner: Owner, name: str) -> TuningJobView:
    """Everything about one tuning job. Raises NotFound."""
    job = store.tuning_job(owner, name)
    jobs = store.jobs_of(job.id)
    parents = tuple(parents_of(store, job)) if _compares_parents(job) else ()
    return view(job, jobs, parents)


def view(job: TuningJob, jobs: Sequence[TrainingJob], parents: Sequence[ParentJob] = ()) -> TuningJobView:
    """The view of a tuning job from its records."""
    direction = job.spec.definition.objective.direction
    pairs: dict[tuple[str, str], int] = {}
    for j in jobs:
        pair = (j.status.value, j.objective_status.value)
        pairs[pair] = pairs.get(pair, 0) + 1
    overall = best_overall(job, jobs, parents) if _compares_parents(job) else None
    return TuningJobView(
        job, shown_status(job), status_counters(pairs), objective_counters(pairs), best_job(jobs, direction), overall
    )


def shown_status(job: TuningJob) -> TuningJobStatus:
    """The status for people: Stopping from the moment somebody asks."""
    if job.stop_requested and job.status is TuningJobStatus.IN_PROGRESS:
        return TuningJobStatus.STOPPING
    return job.status


def parents_of(store: JobStore, job: TuningJob) -> Sequence[ParentJob]:
    """The direct parents that still exist, with their training jobs."""
    found: list[ParentJob] = []
    for parent_id in job.parents:
        try:
            found.append(ParentJob(store.tuning_job_by_id(parent_id), store.jobs_of(parent_id)))
        except NotFound:
            continue
    return found


def best_overall(job: TuningJob, jobs: Sequence[TrainingJob], parents: Sequence[ParentJob]) -> TrainingJob | None:
    """The best training job among a tuning job's own and its direct parents'; of equals, the older tuning job's."""
    direction = job.spec.definition.objective.direction
    families = [*sorted(parents, key=lambda p: p.job.created_at), ParentJob(job, tuple(jobs))]
    best: TrainingJob | None = None
    for family in families:
        candidate = best_job(family.jobs, direction)
        if candidate is None or candidate.objective_value is None:
            continue
        if best is None or best.objective_value is None or better(candidate.objective_value, best.objective_value, direction):
            best = candidate
    return best


def status_counters(pairs: Mapping[tuple[str, str], int]) -> StatusCounters:
    """Counters by state from counts by (state, objective state)."""
    by_status: dict[str, int] = {}
    for (status, _), count in pairs.items():
        by_status[status] = by_status.get(status, 0) + count
    running = by_status.get(TrainingJobStatus.IN_PROGRESS, 0) + by_status.get(TrainingJobStatus.STOPPING, 0)
    return StatusCounters(
        completed=by_status.get(TrainingJobStatus.COMPLETED, 0),
        in_progress=running,
        non_retryable_error=by_status.get(TrainingJobStatus.FAILED, 0),
        stopped=by_status.get(TrainingJobStatus.STOPPED, 0),
    )


def objective_counters(pairs: Mapping[tuple[str, str], int]) -> ObjectiveCounters:
    """Counters by objective state from counts by (state, objective state)."""
    by_objective: dict[str, int] = {}
    for (_, objective), count in pairs.items():
        by_objective[objective] = by_objective.get(objective, 0) + count
    return ObjectiveCounters(
        succeeded=by_objective.get(ObjectiveStatus.SUCCEEDED, 0),
        pending=by_objective.get(ObjectiveStatus.PENDING, 0),
        failed=by_objective.get(ObjectiveStatus.FAILED, 0),
    )


def _compares_parents(job: TuningJob) -> bool:
    warm = job.spec.warm_start
    return warm is not None and warm.type is WarmStartType.IDENTICAL
