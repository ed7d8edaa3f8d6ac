"""What people can ask that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from rekindle.domain.completion import best_job
from rekindle.domain.decisions import ParentJob
from rekindle.domain.errors import NotFound
from rekindle.domain.training_job import ObjectiveStatus, Owner, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import TuningJob, TuningJobStatus, WarmStartType
from rekindle.engine.ports import RETRYABLE, Executor, JobFilter, JobStore, Page, parse_subject
from rekindle.search.history import Direction, better

T = TypeVar("T")

_BY_100, _BY_500 = Page(100), Page(500)
#: Why nothing begins of a tuning job that no worker has.
_NOBODY = "waits for a worker: a server takes it within seconds, as does `rekindle worker`"
#: Seconds after which work that was given back, and that nobody took, is not given back for a moment only.
_GIVEN_BACK_SECONDS = 10.0


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
class ListedTuningJob:
    """A tuning job as lists show it, without its training jobs."""

    job: TuningJob
    counters: StatusCounters
    objectives: ObjectiveCounters

    @property
    def status(self) -> TuningJobStatus:
        """The status for people."""
        return self.job.shown_status


@dataclass(frozen=True)
class TuningJobView(ListedTuningJob):
    """A tuning job as it is shown by itself. ``overall_best`` is the best of the job and its direct parents, for the identical
    warm start only."""

    best: TrainingJob | None
    overall_best: TrainingJob | None


def describe(store: JobStore, owner: Owner, name: str) -> TuningJobView:
    """Everything about one tuning job. Raises NotFound."""
    return describe_job(store, store.tuning_job(owner, name))


def describe_job(store: JobStore, job: TuningJob) -> TuningJobView:
    """Everything about a tuning job whose record is at hand."""
    pairs = store.counters([job.id])[job.id]
    best = store.best_of(job.id, job.spec.definition.objective.direction)
    overall = _best_overall(store, job, best) if _compares_parents(job) else None
    return TuningJobView(job, status_counters(pairs), objective_counters(pairs), best, overall)


def list_tuning_jobs(
    store: JobStore, owner: Owner, where: JobFilter, page: Page
) -> tuple[Sequence[ListedTuningJob], str | None]:
    """One page of tuning jobs and the cursor of the next."""
    jobs, after = store.tuning_jobs(owner, where, page)
    pairs = store.counters([job.id for job in jobs])
    return [_listed(job, pairs[job.id]) for job in jobs], after


def list_trials(
    store: JobStore, owner: Owner, name: str, where: JobFilter, page: Page
) -> tuple[TuningJob, Sequence[TrainingJob], str | None]:
    """A tuning job, one page of its training jobs, and the cursor of the next. Raises NotFound."""
    job = store.tuning_job(owner, name)
    return job, *store.training_jobs(owner, where, page, job.id)


def every_tuning_job(store: JobStore, owner: Owner, where: JobFilter, first: Page = _BY_100) -> Iterator[TuningJob]:
    """All tuning jobs that a filter lets through, from a first page on."""
    return _through(lambda page: store.tuning_jobs(owner, where, page), first)


def every_training_job(store: JobStore, owner: Owner, where: JobFilter) -> Iterator[TrainingJob]:
    """All training jobs that a filter lets through, those of tuning jobs and those of their own."""
    return _through(lambda page: store.training_jobs(owner, where, page), _BY_500)


def _through(fetch: Callable[[Page], tuple[Sequence[T], str | None]], page: Page) -> Iterator[T]:
    while True:
        found, after = fetch(page)
        yield from found
        if after is None:
            return
        page = replace(page, after=after)


def left_behind(store: JobStore, owner: Owner, name: str) -> tuple[TrainingJob, ...]:
    """The training jobs of tuning jobs of this name that are deleted."""
    candidates = every_training_job(store, owner, JobFilter(name_contains=name))
    named = [j for j in candidates if (j.tuning_job_name or "").lower() == name.lower()]
    gone = {number for number in {j.tuning_job_id for j in named} if number is not None and _is_gone(store, number)}
    return tuple(j for j in named if j.tuning_job_id in gone)


def _is_gone(store: JobStore, tuning_job_id: int) -> bool:
    try:
        store.tuning_job_by_id(tuning_job_id)
        return False
    except NotFound:
        return True


def tags_of(store: JobStore, subject: str) -> Mapping[str, str]:
    """The tags of a job (``tuning:ID`` or ``training:ID``). Raises NotFound."""
    kind, number = parse_subject(subject)
    return store.tuning_job_by_id(number).spec.tags if kind == "tuning" else store.training_job_by_id(number).tags


def view(job: TuningJob, jobs: Sequence[TrainingJob], parents: Sequence[ParentJob] = ()) -> TuningJobView:
    """The view of a tuning job from its records."""
    direction = job.spec.definition.objective.direction
    pairs: dict[tuple[str, str], int] = {}
    for j in jobs:
        pair = (RETRYABLE if j.awaits_retry else j.status.value, j.objective_status.value)
        pairs[pair] = pairs.get(pair, 0) + 1
    overall = best_overall(job, jobs, parents) if _compares_parents(job) else None
    return TuningJobView(job, status_counters(pairs), objective_counters(pairs), best_job(jobs, direction), overall)


def waiting_for(store: JobStore, job: TuningJob, home: str) -> str | None:
    """Why no further training job of a tuning job begins, if something keeps it, as seen from a home."""
    # What was written down is what the last worker saw; who waits for another one has had none since.
    subject = f"tuning:{job.id}"
    other = None if job.status.is_terminal else _home_of_work(store, subject, home)
    if other is not None:
        return f"waits for a worker of the home {other}, where its training jobs may still run"
    return _NOBODY if _waits_for_anybody(store, job, subject, home) else job.waiting_for


def _waits_for_anybody(store: JobStore, job: TuningJob, subject: str, home: str) -> bool:
    """Whether a tuning job that may begin a further training job has no worker."""
    if job.status.is_terminal or job.stop_requested or job.ending is not None:
        return False
    launched, limit = sum(store.counters([job.id])[job.id].values()), job.spec.limits.max_jobs
    # What a worker has had, and waits for room, it gives back now and then for a moment, for others to take.
    free_for = _GIVEN_BACK_SECONDS if launched or job.waiting_for is not None else 0.0
    return (limit is None or launched < limit) and bool(store.unclaimed(f"@{home}", 1, subject, free_for))


def training_waits_for(store: JobStore, job: TrainingJob, home: str) -> str | None:
    """Why nothing more is heard of a training job, if it may still run in another home than ``home`` that has no worker now."""
    subject = f"training:{job.id}" if job.tuning_job_id is None else f"tuning:{job.tuning_job_id}"
    other = _home_of_work(store, subject, home) if job.is_running else None
    return None if other is None else f"waits for a worker of the home {other}, where it may still run"


def _home_of_work(store: JobStore, subject: str, home: str) -> str | None:
    """The home, another than ``home``, whose worker a job waits for."""
    return next(iter(store.elsewhere(f"@{home}", subject)), None)


def log_elsewhere(executor: Executor, job: TrainingJob, home: str, attempt: int) -> str | None:
    """Why nothing can be read here of the log of an attempt that has begun; None where there is nothing to explain."""
    if (attempt == job.attempt and job.started_at is None) or executor.has_log(job.owner, job.name, attempt):
        return None
    return (
        f"The log of {job.name} is not in this home folder ({home}): it stays where the training job ran. Ask the server of "
        f"that home, or give `rekindle logs {job.name}` there."
    )


def with_model_now(executor: Executor, job: TrainingJob) -> TrainingJob:
    """A training job that says where its model is by now: its home folder may have been moved since it ended."""
    if job.model_uri is None:
        return job
    return replace(job, model_uri=executor.model_now(job.owner, job.name, job.model_uri))


def with_models_now(executor: Executor, view: TuningJobView) -> TuningJobView:
    """The same of the best ones."""
    best, overall = (job and with_model_now(executor, job) for job in (view.best, view.overall_best))
    return replace(view, best=best, overall_best=overall)


def parents_of(store: JobStore, job: TuningJob) -> Sequence[ParentJob]:
    """The parents and the ancestors that count and still exist, with their training jobs."""
    warm = job.spec.warm_start
    direct = 0 if warm is None else len(warm.parents)
    found: list[ParentJob] = []
    for place, parent_id in enumerate(job.parents):
        try:
            found.append(ParentJob(store.tuning_job_by_id(parent_id), store.jobs_of(parent_id), place < direct))
        except NotFound:
            continue
    return found


def best_overall(job: TuningJob, jobs: Sequence[TrainingJob], parents: Sequence[ParentJob]) -> TrainingJob | None:
    """The best training job among a tuning job's own and its direct parents'; of equals, the older tuning job's."""
    direction = job.spec.definition.objective.direction
    near = sorted((p for p in parents if p.direct), key=lambda p: p.job.created_at)
    return _first_best([*(best_job(p.jobs, direction) for p in near), best_job(jobs, direction)], direction)


def _best_overall(store: JobStore, job: TuningJob, own: TrainingJob | None) -> TrainingJob | None:
    """The same from the store, for a tuning job whose own best is at hand."""
    direction, parents = job.spec.definition.objective.direction, list[TuningJob]()
    for parent_id in job.parents[: len(job.spec.warm_start.parents) if job.spec.warm_start else 0]:
        with suppress(NotFound):
            parents.append(store.tuning_job_by_id(parent_id))
    near = sorted(parents, key=lambda p: p.created_at)
    return _first_best([*(store.best_of(p.id, direction) for p in near), own], direction)


def _first_best(candidates: Sequence[TrainingJob | None], direction: Direction) -> TrainingJob | None:
    """The best of several; of equals, the first."""
    best: TrainingJob | None = None
    for candidate in candidates:
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
        retryable_error=by_status.get(RETRYABLE, 0),
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


def _listed(job: TuningJob, pairs: Mapping[tuple[str, str], int]) -> ListedTuningJob:
    return ListedTuningJob(job, status_counters(pairs), objective_counters(pairs))


def _compares_parents(job: TuningJob) -> bool:
    warm = job.spec.warm_start
    return warm is not None and warm.type is WarmStartType.IDENTICAL
