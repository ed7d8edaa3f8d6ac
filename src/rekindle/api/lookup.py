"""Finding what a request names or looks through, where one question to the engine is not enough."""

from __future__ import annotations

from collections.abc import Iterator

from rekindle.api.translate.arns import TRAINING, TUNING, parse_arn
from rekindle.api.translate.stamps import Json
from rekindle.api.translate.training_view import training_job_search_record
from rekindle.api.translate.tuning_view import tuning_job_search_record
from rekindle.domain.errors import NotFound
from rekindle.domain.training_job import Owner, TrainingJob
from rekindle.engine.ports import JobFilter, JobStore
from rekindle.engine.queries import describe_job, every_training_job, every_tuning_job


def subject_of(store: JobStore, owner: Owner, arn: str) -> str:
    """The store's name for a job of the caller's. Raises NotFound, for other accounts' and regions' jobs too."""
    resource = parse_arn(arn)
    if resource.owner != owner or resource.kind not in (TUNING, TRAINING):
        raise NotFound("resource", arn)
    if resource.kind == TUNING:
        return f"tuning:{store.tuning_job(owner, resource.name).id}"
    return f"training:{store.training_job(owner, resource.name).id}"


def described(store: JobStore, owner: Owner, resource: str | None, where: JobFilter, now: float) -> Iterator[Json]:
    """The descriptions of all resources of a kind that a filter lets through."""
    if resource == "TrainingJob":
        yield from (training_job_search_record(job) for job in every_training_job(store, owner, where))
    elif resource == "HyperParameterTuningJob":
        jobs = every_tuning_job(store, owner, where)
        yield from (tuning_job_search_record(describe_job(store, job), now) for job in jobs)


def names_in_use(store: JobStore, owner: Owner, resource: str) -> set[str]:
    """The names of hyperparameters, metrics and tags that resources of a kind have."""
    names: set[str] = set()
    if resource == "TrainingJob":
        for job in every_training_job(store, owner, JobFilter()):
            names.update(_training_names(job))
    elif resource == "HyperParameterTuningJob":
        for tuning_job in every_tuning_job(store, owner, JobFilter()):
            names.update(f"Tags.{key}" for key in tuning_job.spec.tags)
    return names


def _training_names(job: TrainingJob) -> Iterator[str]:
    yield from (f"HyperParameters.{name}" for name in job.hyperparameters)
    yield from (f"Metrics.{name}" for name in job.final_metrics)
    yield from (f"Tags.{key}" for key in job.tags)
