"""The operations: each translates a request, asks the engine, and translates the answer.

What reaches a handler has the shape of SageMaker's model. A handler returns the members of the answer, or raises an error of
the domain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from rekindle.api.lookup import described, names_in_use, subject_of
from rekindle.api.translate import search
from rekindle.api.translate.arns import training_job_arn, tuning_job_arn
from rekindle.api.translate.create_request import spec_from_request
from rekindle.api.translate.echo import updated
from rekindle.api.translate.listing import filter_of, listed, page_of
from rekindle.api.translate.part import Part, check_texts, tags_of
from rekindle.api.translate.search_properties import Shapes
from rekindle.api.translate.training_request import training_job_from_request
from rekindle.api.translate.training_view import (
    describe_training_job,
    tag_list,
    training_job_summary,
    tuned_job_summary,
    with_waiting,
)
from rekindle.api.translate.tuning_view import describe_tuning_job, health_members, tuning_job_summary
from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import Owner
from rekindle.domain.tuning_rules import Quotas
from rekindle.engine import commands, queries
from rekindle.engine.health import Examiner
from rekindle.engine.ports import Clock, Executor, JobStore, ObjectStore, SortKey

Json = Mapping[str, Any]
ObjectsOf = Callable[[Owner], ObjectStore]


@dataclass(frozen=True)
class Service:
    """What the operations work with. ``objects`` gives the place where an owner's inputs are looked for at creation, if
    anywhere; ``shapes`` are those of answers; ``home`` is the id of the home folder that it serves, if it has one."""

    store: JobStore
    executor: Executor
    clock: Clock
    quotas: Quotas
    shapes: Shapes
    objects: ObjectsOf | None = None
    home: str = ""

    def objects_of(self, owner: Owner) -> ObjectStore | None:
        """Where this owner's inputs are."""
        return None if self.objects is None else self.objects(owner)

    @cached_property
    def examiner(self) -> Examiner:
        """What knows of each tuning job's health."""
        return Examiner(self.store, self.executor)


Handler = Callable[[Service, Owner, Json], Json | None]


# --- tuning jobs -------------------------------------------------------------------------------------------------------


def create_tuning_job(service: Service, owner: Owner, request: Json) -> Json:
    """CreateHyperParameterTuningJob."""
    spec = spec_from_request(request)
    job = commands.create_tuning_job(
        service.store, service.executor, service.clock, owner, spec, service.quotas, service.objects_of(owner)
    )
    return {"HyperParameterTuningJobArn": tuning_job_arn(job)}


def describe_tuning(service: Service, owner: Owner, request: Json) -> Json:
    """DescribeHyperParameterTuningJob."""
    view = queries.describe(service.store, owner, request["HyperParameterTuningJobName"])
    found, now = service.examiner.examine(view), service.clock.now()
    waiting_for = queries.waiting_for(service.store, view.job, service.home)
    return {**describe_tuning_job(view, now), **health_members(view, found, waiting_for)}


def list_tuning_jobs(service: Service, owner: Owner, request: Json) -> Json:
    """ListHyperParameterTuningJobs."""
    page = page_of(request, SortKey.NAME)
    jobs, after = queries.list_tuning_jobs(service.store, owner, filter_of(request), page)
    return listed(request, "HyperParameterTuningJobSummaries", [tuning_job_summary(job) for job in jobs], after)


def list_trials(service: Service, owner: Owner, request: Json) -> Json:
    """ListTrainingJobsForHyperParameterTuningJob."""
    page, name = page_of(request, SortKey.NAME), request["HyperParameterTuningJobName"]
    job, trials, after = queries.list_trials(service.store, owner, name, filter_of(request), page)
    direction = job.spec.definition.objective.direction
    return listed(request, "TrainingJobSummaries", [tuned_job_summary(trial, direction) for trial in trials], after)


def stop_tuning_job(service: Service, owner: Owner, request: Json) -> None:
    """StopHyperParameterTuningJob."""
    commands.stop_tuning_job(service.store, owner, request["HyperParameterTuningJobName"])


def delete_tuning_job(service: Service, owner: Owner, request: Json) -> None:
    """DeleteHyperParameterTuningJob."""
    commands.delete_tuning_job(service.store, owner, request["HyperParameterTuningJobName"])


# --- training jobs -----------------------------------------------------------------------------------------------------


def create_training_job(service: Service, owner: Owner, request: Json) -> Json:
    """CreateTrainingJob."""
    job = training_job_from_request(request, owner)
    created = commands.create_training_job(
        service.store, service.executor, service.clock, job, service.objects_of(owner), service.quotas
    )
    return {"TrainingJobArn": training_job_arn(created)}


def describe_training(service: Service, owner: Owner, request: Json) -> Json:
    """DescribeTrainingJob."""
    job = service.store.training_job(owner, request["TrainingJobName"])
    waiting_for = queries.training_waits_for(service.store, job, service.home)
    return with_waiting(describe_training_job(queries.with_model_now(service.executor, job)), waiting_for)


def list_training_jobs(service: Service, owner: Owner, request: Json) -> Json:
    """ListTrainingJobs: the page is taken first, and filtered by status then, as SageMaker does."""
    page = page_of(request, SortKey.CREATED, "Descending")
    jobs, after = service.store.training_jobs(owner, filter_of(request, status=False), page)
    summaries = [training_job_summary(job) for job in jobs]
    wanted = {"TrainingJobStatus": request.get("StatusEquals"), "TrainingPlanArn": request.get("TrainingPlanArnEquals")}
    # There are no warm pools here, so that no job has one in any status.
    shown = [] if request.get("WarmPoolStatusEquals") else [s for s in summaries if _agrees(s, wanted)]
    return listed(request, "TrainingJobSummaries", shown, after)


def stop_training_job(service: Service, owner: Owner, request: Json) -> None:
    """StopTrainingJob."""
    commands.stop_training_job(service.store, owner, request["TrainingJobName"])


def update_training_job(service: Service, owner: Owner, request: Json) -> Json:
    """UpdateTrainingJob: what it changes is shown from then on; there is no profiler, warm pool or debugger to notice."""
    check_texts(request)
    changed = {name: value for name, value in request.items() if name != "TrainingJobName"}
    job = commands.change_extras(service.store, service.clock, owner, request["TrainingJobName"], partial(updated, changed))
    return {"TrainingJobArn": training_job_arn(job)}


def delete_training_job(service: Service, owner: Owner, request: Json) -> None:
    """DeleteTrainingJob."""
    commands.delete_training_job(service.store, service.executor, owner, request["TrainingJobName"])


# --- tags --------------------------------------------------------------------------------------------------------------


def add_tags(service: Service, owner: Owner, request: Json) -> Json:
    """AddTags."""
    check_texts(request)
    subject = subject_of(service.store, owner, request["ResourceArn"])
    return {"Tags": tag_list(commands.add_tags(service.store, subject, tags_of(Part("", request))))}


def list_tags(service: Service, owner: Owner, request: Json) -> Json:
    """ListTags: a page holds at least 50 tags and a job at most 50, so that one page is all."""
    subject, token = subject_of(service.store, owner, request["ResourceArn"]), request.get("NextToken")
    if token:
        raise InvalidValue("nextToken", token, "not a token that this service gave out", "Start again without a token.")
    return {"Tags": tag_list(queries.tags_of(service.store, subject))}


def delete_tags(service: Service, owner: Owner, request: Json) -> Json:
    """DeleteTags."""
    subject = subject_of(service.store, owner, request["ResourceArn"])
    commands.remove_tags(service.store, subject, request["TagKeys"])
    return {}


# --- search ------------------------------------------------------------------------------------------------------------


def search_resources(service: Service, owner: Owner, request: Json) -> Json:
    """Search."""
    query = search.query_of(request, service.shapes)
    found = described(service.store, owner, query.resource, query.where, service.clock.now())
    return search.answer(request, query, found)


def search_suggestions(service: Service, owner: Owner, request: Json) -> Json:
    """GetSearchSuggestions."""
    return search.suggestions(request, names_in_use(service.store, owner, request["Resource"]))


def _agrees(summary: Json, wanted: Json) -> bool:
    return all(value is None or summary.get(name) == value for name, value in wanted.items())


HANDLERS: Mapping[str, Handler] = {
    "CreateHyperParameterTuningJob": create_tuning_job,
    "DescribeHyperParameterTuningJob": describe_tuning,
    "ListHyperParameterTuningJobs": list_tuning_jobs,
    "ListTrainingJobsForHyperParameterTuningJob": list_trials,
    "StopHyperParameterTuningJob": stop_tuning_job,
    "DeleteHyperParameterTuningJob": delete_tuning_job,
    "CreateTrainingJob": create_training_job,
    "DescribeTrainingJob": describe_training,
    "ListTrainingJobs": list_training_jobs,
    "StopTrainingJob": stop_training_job,
    "UpdateTrainingJob": update_training_job,
    "DeleteTrainingJob": delete_training_job,
    "AddTags": add_tags,
    "ListTags": list_tags,
    "DeleteTags": delete_tags,
    "Search": search_resources,
    "GetSearchSuggestions": search_suggestions,
}
