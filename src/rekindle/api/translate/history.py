"""SageMaker's own answers, as the aws CLI prints them, as history: a description and lists of training jobs; and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rekindle.api.translate.training_view import tuned_job_summary
from rekindle.api.translate.tuning_view import describe_tuning_job
from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import TrainingJob
from rekindle.domain.tuning_job import OBJECTIVE_HYPERPARAMETER
from rekindle.engine.imports import Result
from rekindle.engine.queries import TuningJobView

#: Members of a description that its request had too; the rest is what became of it.
_REQUEST_MEMBERS = ("HyperParameterTuningJobName", "HyperParameterTuningJobConfig", "TrainingJobDefinition")
_ENDED = ("Completed", "Failed", "Stopped")
_LIST = "TrainingJobSummaries"
_METRIC = "FinalHyperParameterTuningJobObjectiveMetric"


def is_description(document: Mapping[str, Any]) -> bool:
    """Whether this is an answer of DescribeHyperParameterTuningJob."""
    return "HyperParameterTuningJobStatus" in document


def request_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """The request behind the answer of DescribeHyperParameterTuningJob, without what the service added."""
    if "TrainingJobDefinitions" in description:
        found = description["TrainingJobDefinitions"]
        raise InvalidValue("TrainingJobDefinitions", found, "history of several definitions cannot be imported")
    request = {name: description[name] for name in _REQUEST_MEMBERS if name in description}
    definition = dict(_table("TrainingJobDefinition", request.get("TrainingJobDefinition")))
    statics = dict(_table("TrainingJobDefinition.StaticHyperParameters", definition.get("StaticHyperParameters")))
    statics.pop(OBJECTIVE_HYPERPARAMETER, None)
    definition["StaticHyperParameters"] = statics
    if "HyperParameterTuningResourceConfig" in definition:
        definition.pop("ResourceConfig", None)
    return {**request, "TrainingJobDefinition": definition}


def results_of(pages: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Result]:
    """The results in answers of ListTrainingJobsForHyperParameterTuningJob: pairs of a file's name and its content.
    Training jobs that had not ended are left out. Raises InvalidValue, naming file, place and value; also where a page says
    that another one follows, and there is none."""
    found: list[Result] = []
    for path, page in pages:
        summaries = page.get(_LIST)
        if not isinstance(summaries, list):
            raise InvalidValue(path, sorted(page), f"there is no list {_LIST} in it")
        for number, summary in enumerate(summaries, start=1):
            where = f"{path}:{_LIST}[{number}]"
            if _table(where, summary).get("TrainingJobStatus") in _ENDED:
                found.append(_result(where, summary))
    _check_whole(pages)
    return sorted(found, key=lambda r: r.created_at or 0.0)


def seconds(value: Any, field: str = "time") -> float | None:
    """A time as the CLI prints it: ISO 8601, or seconds since the epoch."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(field, value, "neither ISO 8601 nor seconds since the epoch") from error
    if not math.isfinite(found):
        raise InvalidValue(field, value, "not a time")
    return found


def archive(view: TuningJobView, jobs: Sequence[TrainingJob], now: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``aws sagemaker describe-hyper-parameter-tuning-job`` and ``list-training-jobs-for-hyper-parameter-tuning-job``
    would print of a tuning job. A command of a job file stands where an image would."""
    shown = describe_tuning_job(view, now)
    for definition in (shown.get("TrainingJobDefinition"), *shown.get("TrainingJobDefinitions", ())):
        algorithm = (definition or {}).get("AlgorithmSpecification")
        if algorithm is not None and not {"TrainingImage", "AlgorithmName"} & set(algorithm):
            algorithm["TrainingImage"] = "command"
    direction = view.job.spec.definition.objective.direction
    summaries = [tuned_job_summary(job, direction) for job in jobs]
    return _with_dates(shown), _with_dates({_LIST: summaries})


def _with_dates(value: Any, key: str = "") -> Any:
    """The answer with its times as the CLI prints them."""
    if isinstance(value, Mapping):
        return {name: _with_dates(inner, name) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_dates(inner) for inner in value]
    if key.endswith("Time") and isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).isoformat()
    return value


def _check_whole(pages: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Each page that is not the last names the next; with as many such names as pages, one is missing."""
    unfinished = [(path, page["NextToken"]) for path, page in pages if page.get("NextToken")]
    if pages and len(unfinished) >= len(pages):
        path, token = unfinished[-1]
        raise InvalidValue(f"{path}.NextToken", token, "another page follows, and it is not among the files", "Give it, too.")


def _table(where: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidValue(where, value, "not a table of names and values")
    return value


def _result(where: str, summary: Mapping[str, Any]) -> Result:
    metric = _table(f"{where}.FinalHyperParameterTuningJobObjectiveMetric", summary.get(_METRIC))
    value = metric.get("Value") if summary.get("ObjectiveStatus", "Succeeded") == "Succeeded" else None
    tuned = _table(f"{where}.TunedHyperParameters", summary.get("TunedHyperParameters"))
    created, started, ended = (
        seconds(summary.get(name), f"{where}.{name}") for name in ("CreationTime", "TrainingStartTime", "TrainingEndTime")
    )
    return Result(
        where,
        {str(name): str(text) for name, text in tuned.items()},
        None if summary["TrainingJobStatus"] == "Failed" else _objective(f"{where}.{_METRIC}.Value", value),
        created,
        started,
        ended,
        stopped=summary["TrainingJobStatus"] == "Stopped",
        failure_reason=_optional_text(summary.get("FailureReason")),
        name=_optional_text(summary.get("TrainingJobName")),
    )


def _optional_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _objective(where: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(where, value, "not a number") from error
    return number if math.isfinite(number) else None
