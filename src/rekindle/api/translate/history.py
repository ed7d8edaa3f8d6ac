"""SageMaker's own answers, as the aws CLI prints them, as history: a description and lists of training jobs; and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rekindle.api.translate.training_view import tuned_job_summary
from rekindle.api.translate.tuning_view import describe_tuning_job
from rekindle.domain.errors import InvalidValue
from rekindle.domain.metrics import OBJECTIVE_METRIC
from rekindle.domain.training_job import TrainingJob
from rekindle.domain.tuning_job import OBJECTIVE_HYPERPARAMETER, Definition, TuningJobStatus
from rekindle.engine.imports import LAST_SECOND, Origin, Result
from rekindle.engine.queries import TuningJobView
from rekindle.engine.times import epoch_seconds

_CONFIG = "HyperParameterTuningJobConfig"
#: Members of a description that its request had too; the rest is what became of it.
_REQUEST_MEMBERS = ("HyperParameterTuningJobName", _CONFIG, "TrainingJobDefinition")
_ENDED, _RUNNING = ("Completed", "Failed", "Stopped"), ("InProgress", "Stopping")
_LIST = "TrainingJobSummaries"
_METRIC = "FinalHyperParameterTuningJobObjectiveMetric"


def is_description(document: Mapping[str, Any]) -> bool:
    """Whether this is an answer of DescribeHyperParameterTuningJob."""
    return "HyperParameterTuningJobStatus" in document


def is_page(document: Mapping[str, Any]) -> bool:
    """Whether this is an answer of ListTrainingJobsForHyperParameterTuningJob."""
    return _LIST in document


def request_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """The request behind the answer of DescribeHyperParameterTuningJob, without what the service added."""
    if "TrainingJobDefinitions" in description:
        description = _of_one(description, description["TrainingJobDefinitions"])
    request = {name: description[name] for name in _REQUEST_MEMBERS if name in description}
    definition = dict(_table("TrainingJobDefinition", request.get("TrainingJobDefinition")))
    statics = dict(_table("TrainingJobDefinition.StaticHyperParameters", definition.get("StaticHyperParameters")))
    statics.pop(OBJECTIVE_HYPERPARAMETER, None)
    definition["StaticHyperParameters"] = statics
    if "HyperParameterTuningResourceConfig" in definition:
        definition.pop("ResourceConfig", None)
    return {**request, "TrainingJobDefinition": definition}


def _of_one(description: Mapping[str, Any], found: Any) -> dict[str, Any]:
    """A description whose one definition stands in a list, as SDKs send it, as if it stood by itself: so it can be a parent."""
    if not isinstance(found, list) or len(found) != 1:
        way_out = "Import each by itself: a job file with its ranges, and rows (.csv, .jsonl) of its training jobs."
        raise InvalidValue("TrainingJobDefinitions", found, "history of several definitions cannot be imported", way_out)
    definition = dict(_table("TrainingJobDefinitions[1]", found[0]))
    definition.pop("DefinitionName", None)
    own = {"HyperParameterTuningJobObjective": "TuningObjective", "ParameterRanges": "HyperParameterRanges"}
    config = {name: definition.pop(member, None) for name, member in own.items()}
    given = _table(_CONFIG, description.get(_CONFIG))
    return {**description, _CONFIG: {**given, **config}, "TrainingJobDefinition": definition}


def origin_of(description: Mapping[str, Any]) -> Origin:
    """When a tuning job was made, when and how it ended. One that had not ended when it was described counts as stopped."""
    status = description.get("HyperParameterTuningJobStatus")
    if status not in _ENDED and status not in (*_RUNNING, "Deleting", "DeleteFailed"):
        raise _no_status("HyperParameterTuningJobStatus", status)
    return Origin(
        created_at=seconds(description.get("CreationTime"), "CreationTime"),
        ended_at=seconds(description.get("HyperParameterTuningEndTime"), "HyperParameterTuningEndTime"),
        status=TuningJobStatus(status) if status in _ENDED else TuningJobStatus.STOPPED,
        failure_reason=_optional_text(description.get("FailureReason")),
    )


def notes_on(description: Mapping[str, Any]) -> list[str]:
    """What cannot be kept of a description."""
    status = description.get("HyperParameterTuningJobStatus")
    if status in _ENDED:
        return []
    return [f"the tuning job was {status} when it was described: what had ended by then is here, and it counts as stopped"]


def results_of(
    pages: Sequence[tuple[str, Mapping[str, Any]]], described: tuple[Mapping[str, Any], Definition] | None = None
) -> list[Result]:
    """The results in answers of ListTrainingJobsForHyperParameterTuningJob: pairs of a file's name and its content.
    Training jobs that had not ended are left out. Raises InvalidValue, naming file, place and value; also where a page is
    missing or there twice, or where ``described``, a description and what it defines, is another tuning job."""
    summaries = list(_summaries(pages))
    _check_whole(pages)
    _check_once(summaries)
    if described is not None:
        description, definition = described
        _check_fit(definition, summaries)
        _check_number(description, len(summaries))
    found = [_result(where, summary) for where, summary in summaries if summary["TrainingJobStatus"] in _ENDED]
    return sorted(found, key=lambda r: r.created_at or 0.0)


def seconds(value: Any, field: str = "time") -> float | None:
    """A time as the CLI prints it: ISO 8601, or seconds since the epoch."""
    if value is None:
        return None
    try:
        found = epoch_seconds(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(field, value, "neither ISO 8601 nor seconds since the epoch") from error
    if not 0 <= found <= LAST_SECOND:
        raise InvalidValue(field, value, "not a time between 1970 and the year 9999", "Write seconds, not milliseconds.")
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


def _summaries(pages: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each training job's summary, and where it stands."""
    for path, page in pages:
        summaries = page.get(_LIST)
        if not isinstance(summaries, list):
            raise InvalidValue(path, sorted(page), f"there is no list {_LIST} in it")
        for number, summary in enumerate(summaries, start=1):
            where = f"{path}:{_LIST}[{number}]"
            status = _table(where, summary).get("TrainingJobStatus")
            if status not in (*_ENDED, *_RUNNING):
                raise _no_status(f"{where}.TrainingJobStatus", status)
            yield where, summary


def _no_status(field: str, status: Any) -> InvalidValue:
    return InvalidValue(field, status, f"not one of {', '.join((*_ENDED, *_RUNNING))}")


def _check_once(summaries: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """No training job counts twice: a page may have been given twice."""
    seen: dict[Any, str] = {}
    for where, summary in summaries:
        name = str(summary.get("TrainingJobName", where))
        if name in seen:
            raise InvalidValue(f"{where}.TrainingJobName", name, f"it stands at {seen[name]}, too", "Give each page once.")
        seen[name] = where


def _check_fit(definition: Definition, summaries: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """The list is of the tuning job that is described: its metric, its hyperparameters."""
    objective, tuned = definition.objective.metric, [p.name for p in definition.ranges]
    for where, summary in summaries:
        metric = _table(f"{where}.{_METRIC}", summary.get(_METRIC)).get("MetricName", objective)
        if metric not in (objective, OBJECTIVE_METRIC):
            raise InvalidValue(f"{where}.{_METRIC}.MetricName", metric, f"the objective of the tuning job is {objective!r}")
        values = _table(f"{where}.TunedHyperParameters", summary.get("TunedHyperParameters"))
        unknown = next((name for name in values if name not in tuned), None)
        if unknown is not None:
            reason = f"the tuning job does not tune it, but {tuned}"
            raise InvalidValue(f"{where}.TunedHyperParameters.{unknown}", values[unknown], reason)


def _check_number(description: Mapping[str, Any], found: int) -> None:
    """As many training jobs as the tuning job counted: a page in the middle may be missing; the last one does not say so."""
    counters = _table("TrainingJobStatusCounters", description.get("TrainingJobStatusCounters"))
    counted = sum(n for n in counters.values() if isinstance(n, int))
    # While a tuning job runs, its description and the list of its training jobs are of two moments.
    if counters and counted != found and description.get("HyperParameterTuningJobStatus") in _ENDED:
        raise InvalidValue(
            "TrainingJobStatusCounters",
            counted,
            f"the tuning job counted {counted} training jobs; the files have {found}",
            "Give every page. Where training jobs were deleted, take these counters out of the description.",
        )


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
        completed=summary["TrainingJobStatus"] == "Completed",
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
