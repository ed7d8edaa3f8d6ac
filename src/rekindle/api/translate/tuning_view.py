"""From a tuning job's record to what the API says of it."""

from __future__ import annotations

from collections.abc import Sequence

from rekindle.api.translate.arns import tuning_job_arn
from rekindle.api.translate.echo import resource_limits, tuning_job_members
from rekindle.api.translate.stamps import Json, optional_stamp, present, stamp
from rekindle.api.translate.training_view import tag_list, tuned_job_summary
from rekindle.domain.note import Note
from rekindle.domain.training_job import TrainingJob
from rekindle.domain.tuning_job import TuningJob
from rekindle.engine.queries import ListedTuningJob, ObjectiveCounters, StatusCounters, TuningJobView


def describe_tuning_job(view: TuningJobView, now: float) -> Json:
    """DescribeHyperParameterTuningJob's answer."""
    job = view.job
    return present(
        {
            "HyperParameterTuningJobName": job.name,
            "HyperParameterTuningJobArn": tuning_job_arn(job),
            **tuning_job_members(job.spec, job.owner),
            "HyperParameterTuningJobStatus": view.status.value,
            **_times(job),
            "TrainingJobStatusCounters": status_counters(view.counters),
            "ObjectiveStatusCounters": objective_counters(view.objectives),
            "BestTrainingJob": _best(job, view.best),
            "OverallBestTrainingJob": _best(job, view.overall_best),
            "FailureReason": job.failure_reason,
            "TuningJobCompletionDetails": _completion(job),
            "ConsumedResources": {"RuntimeInSeconds": max(0, int((job.ended_at or now) - job.created_at))},
        }
    )


def health_members(view: TuningJobView, notes: Sequence[Note], waiting_for: str | None) -> Json:
    """What Rekindle says beyond SageMaker's shape, for its own pages: AWS's clients drop members that they do not know."""
    shown = [{"Kind": n.kind, "Text": n.text, "Facts": dict(n.facts)} for n in notes]
    return present({"HealthNotes": shown or None, "WaitingFor": waiting_for, "EndedBecause": view.job.ended_because})


def tuning_job_search_record(view: TuningJobView, now: float) -> Json:
    """A tuning job as Search shows it: its description with its tags, without Autotune."""
    shown = describe_tuning_job(view, now)
    shown.pop("Autotune", None)
    return {**shown, "Tags": tag_list(view.job.spec.tags)}


def tuning_job_summary(listed: ListedTuningJob) -> Json:
    """An item of ListHyperParameterTuningJobs."""
    job = listed.job
    return present(
        {
            "HyperParameterTuningJobName": job.name,
            "HyperParameterTuningJobArn": tuning_job_arn(job),
            "HyperParameterTuningJobStatus": listed.status.value,
            "Strategy": job.spec.strategy.value,
            **_times(job),
            "TrainingJobStatusCounters": status_counters(listed.counters),
            "ObjectiveStatusCounters": objective_counters(listed.objectives),
            "ResourceLimits": resource_limits(job.spec),
        }
    )


def status_counters(counters: StatusCounters) -> Json:
    """All five counters, the empty ones too."""
    return {
        "Completed": counters.completed,
        "InProgress": counters.in_progress,
        "RetryableError": counters.retryable_error,
        "NonRetryableError": counters.non_retryable_error,
        "Stopped": counters.stopped,
    }


def objective_counters(counters: ObjectiveCounters) -> Json:
    """All three counters, the empty ones too."""
    return {"Succeeded": counters.succeeded, "Pending": counters.pending, "Failed": counters.failed}


def _times(job: TuningJob) -> Json:
    return {
        "CreationTime": stamp(job.created_at),
        "HyperParameterTuningEndTime": optional_stamp(job.ended_at),
        "LastModifiedTime": stamp(job.modified_at),
    }


def _best(job: TuningJob, best: TrainingJob | None) -> Json | None:
    if best is None:
        return None
    family = None if best.tuning_job_id == job.id else best.tuning_job_name
    return tuned_job_summary(best, job.spec.definition.objective.direction, family)


def _completion(job: TuningJob) -> Json:
    return present(
        {
            "NumberOfTrainingJobsObjectiveNotImproving": job.not_improving,
            "ConvergenceDetectedTime": optional_stamp(job.converged_at),
        }
    )
