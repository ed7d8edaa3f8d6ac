"""SageMaker's own answers, as the aws CLI prints them, as history: a description and lists of training jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rekindle.domain.errors import InvalidValue
from rekindle.domain.tuning_job import OBJECTIVE_HYPERPARAMETER
from rekindle.engine.imports import Result

#: Members of a description that its request had too; the rest is what became of it.
_REQUEST_MEMBERS = ("HyperParameterTuningJobName", "HyperParameterTuningJobConfig", "TrainingJobDefinition")


def request_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """The request behind the answer of DescribeHyperParameterTuningJob, without what the service added."""
    request = {name: description[name] for name in _REQUEST_MEMBERS if name in description}
    definition = dict(request.get("TrainingJobDefinition") or {})
    statics = dict(definition.get("StaticHyperParameters") or {})
    statics.pop(OBJECTIVE_HYPERPARAMETER, None)
    definition["StaticHyperParameters"] = statics
    if "HyperParameterTuningResourceConfig" in definition:
        definition.pop("ResourceConfig", None)
    return {**request, "TrainingJobDefinition": definition}


def results_of(pages: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Result]:
    """The results in answers of ListTrainingJobsForHyperParameterTuningJob: pairs of a file's name and its content.
    Training jobs that had not ended are left out."""
    found: list[Result] = []
    for path, page in pages:
        summaries = page.get("TrainingJobSummaries")
        if not isinstance(summaries, list):
            raise InvalidValue(path, sorted(page), "there is no list TrainingJobSummaries in it")
        for number, summary in enumerate(summaries, start=1):
            if summary.get("TrainingJobStatus") in ("Completed", "Failed", "Stopped"):
                found.append(_result(f"{path}:TrainingJobSummaries[{number}]", summary))
    return sorted(found, key=lambda r: r.created_at or 0.0)


def seconds(value: Any) -> float | None:
    """A time as the CLI prints it: ISO 8601, or seconds since the epoch."""
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError as error:
        raise InvalidValue("time", value, "neither ISO 8601 nor seconds since the epoch") from error


def _result(where: str, summary: Mapping[str, Any]) -> Result:
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    value = metric.get("Value") if summary.get("ObjectiveStatus", "Succeeded") == "Succeeded" else None
    values = {str(k): str(v) for k, v in (summary.get("TunedHyperParameters") or {}).items()}
    ended = seconds(summary.get("TrainingEndTime"))
    return Result(where, values, None if value is None else float(value), seconds(summary.get("CreationTime")), ended)
