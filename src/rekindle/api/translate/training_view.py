"""From a training job's record to what the API says of it."""

from __future__ import annotations

from rekindle.api.translate.arns import TUNING, resource_arn, training_job_arn
from rekindle.api.translate.echo import TYPES, training_members, tuned_training_members
from rekindle.api.translate.stamps import Json, optional_stamp, present, stamp
from rekindle.domain.metrics import OBJECTIVE_METRIC
from rekindle.domain.training_job import (
    FinalMetric,
    ObjectiveStatus,
    SecondaryStatus,
    TrainingJob,
    TrainingJobStatus,
    Transition,
)
from rekindle.search.history import Direction


def describe_training_job(job: TrainingJob) -> Json:
    """DescribeTrainingJob's answer."""
    status = job.shown_status
    return present(
        {
            **_request_members(job),
            "TrainingJobName": job.name,
            "TrainingJobArn": training_job_arn(job),
            "TuningJobArn": job.tuning_job_name and resource_arn(job.owner, TUNING, job.tuning_job_name),
            "HyperParameters": dict(job.hyperparameters) or None,
            "ModelArtifacts": {"S3ModelArtifacts": _model_uri(job)},
            "TrainingJobStatus": status.value,
            "SecondaryStatus": _secondary(job, status).value,
            "FailureReason": job.failure_reason,
            **_times(job),
            "LastModifiedTime": stamp(job.modified_at),
            **_durations(job),
            "SecondaryStatusTransitions": [_transition(t) for t in job.transitions] or None,
            "FinalMetricDataList": _final_metrics(job) or None,
        }
    )


def with_waiting(described: Json, waiting_for: str | None) -> Json:
    """A description that says what the training job waits for: AWS's clients know no member for it, and show the message of
    the last transition."""
    if waiting_for is None:
        return described
    *before, last = described["SecondaryStatusTransitions"]
    said = last.get("StatusMessage")
    message = f"{said}; {waiting_for}" if said else waiting_for
    return {**described, "SecondaryStatusTransitions": [*before, {**last, "StatusMessage": message}], "WaitingFor": waiting_for}


def training_job_search_record(job: TrainingJob) -> Json:
    """A training job as Search shows it: its description with its tags."""
    return {**describe_training_job(job), "Tags": tag_list(job.tags)}


def training_job_summary(job: TrainingJob) -> Json:
    """An item of ListTrainingJobs."""
    status = job.shown_status
    return present(
        {
            "TrainingJobName": job.name,
            "TrainingJobArn": training_job_arn(job),
            "CreationTime": stamp(job.created_at),
            "TrainingEndTime": optional_stamp(job.ended_at),
            "LastModifiedTime": stamp(job.modified_at),
            "TrainingJobStatus": status.value,
            "SecondaryStatus": _secondary(job, status).value,
            "TrainingPlanArn": training_plan(job),
        }
    )


def tuned_job_summary(job: TrainingJob, direction: Direction, family: str | None = None) -> Json:
    """A training job as its tuning job shows it. ``family`` names the tuning job where it is not the one asked about."""
    return present(
        {
            "TrainingJobDefinitionName": job.definition_name,
            "TrainingJobName": job.name,
            "TrainingJobArn": training_job_arn(job),
            "TuningJobName": family,
            **_times(job),
            "TrainingJobStatus": job.shown_status.value,
            "TunedHyperParameters": dict(job.tuned),
            "FailureReason": job.failure_reason,
            "FinalHyperParameterTuningJobObjectiveMetric": _objective(job, direction),
            "ObjectiveStatus": job.objective_status.value,
        }
    )


def training_plan(job: TrainingJob) -> str | None:
    """The training plan that the job's request named, if any."""
    plan: str | None = _request_members(job)["ResourceConfig"].get("TrainingPlanArn")
    return plan


def tag_list(tags: object) -> list[Json]:
    """Tags as the wire has them."""
    pairs = dict(tags) if tags else {}  # type: ignore[call-overload]
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def _request_members(job: TrainingJob) -> Json:
    if job.tuning_job_name is None:
        return training_members(job.spec, job.owner)
    return tuned_training_members(job.spec, job.owner, job.objective_metric)


def _times(job: TrainingJob) -> Json:
    return {
        "CreationTime": stamp(job.created_at),
        "TrainingStartTime": optional_stamp(job.started_at),
        "TrainingEndTime": optional_stamp(job.ended_at),
    }


def _durations(job: TrainingJob) -> Json:
    if job.seconds is None:
        return {}
    seconds = max(1, round(job.seconds))
    return {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}


def _secondary(job: TrainingJob, shown: TrainingJobStatus) -> SecondaryStatus:
    return SecondaryStatus.STOPPING if shown is TrainingJobStatus.STOPPING else job.secondary


def _transition(transition: Transition) -> Json:
    return present(
        {
            "Status": transition.status.value,
            "StartTime": stamp(transition.started_at),
            "EndTime": optional_stamp(transition.ended_at),
            "StatusMessage": transition.message or None,
        }
    )


def _final_metrics(job: TrainingJob) -> list[Json]:
    found = [_final_metric(name, metric) for name, metric in job.final_metrics.items()]
    objective = job.final_metrics.get(job.objective_metric or "")
    if objective is not None and OBJECTIVE_METRIC not in job.final_metrics:
        found.append(_final_metric(OBJECTIVE_METRIC, objective))
    return found


def _final_metric(name: str, metric: FinalMetric) -> Json:
    return {"MetricName": name, "Value": metric.value, "Timestamp": float(int(metric.at))}


def _objective(job: TrainingJob, direction: Direction) -> Json | None:
    if job.objective_value is None or job.objective_status is not ObjectiveStatus.SUCCEEDED:
        return None
    shown = {"MetricName": job.objective_metric, "Value": job.objective_value}
    # With one definition SageMaker leaves the type out: the tuning job has it.
    return shown if job.definition_name is None else {"Type": TYPES[direction], **shown}


def _model_uri(job: TrainingJob) -> str:
    """Where the model is or will be: SageMaker tells from the beginning. A folder is named with its slash."""
    root, packed = (job.spec.output.uri or "").rstrip("/"), job.spec.output.compression != "NONE"
    found = job.model_uri or f"{root}/{job.name}/output/{'model.tar.gz' if packed else 'model'}"
    return found if packed else f"{found.rstrip('/')}/"
