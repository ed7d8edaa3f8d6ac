"""CloudWatch, as far as SageMaker's SDKs ask: which metrics a training job has, and their statistics over periods."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

from starlette.types import ASGIApp

from rekindle.companions.ports import Point, TrainingMetrics
from rekindle.companions.wire import Call, JsonApp, QueryApp, ServiceError, by_protocol, element, elements, nested, stamp
from rekindle.engine.times import epoch_seconds

T = TypeVar("T")

NAMESPACE: Final = "/aws/sagemaker/TrainingJobs"
_XML: Final = "http://monitoring.amazonaws.com/doc/2010-08-01/"
#: CloudWatch's limits on the data points of one answer, and of one of GetMetricData, and on its questions.
_MAX_DATAPOINTS: Final = 1440
_MAX_OF_SEVERAL: Final = 100_800
_MAX_QUERIES: Final = 500
#: The dimension by which a training job's metrics are found.
_JOB: Final = "TrainingJobName"
_SHORT_PERIODS: Final = (1, 5, 10, 20, 30)
#: The largest value that CloudWatch takes, by its size.
_LARGEST: Final = 2.0**360
#: A year: more than CloudWatch keeps.
_MAX_PERIOD: Final = 366 * 86_400

#: What metrics without a unit have for one, as all have that a training job's log tells.
_NO_UNIT: Final = "None"
_SIZES: Final = (
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
)
_UNITS: Final = (
    *("Seconds", "Microseconds", "Milliseconds", *_SIZES, "Percent", "Count"),
    *(f"{unit}/Second" for unit in (*_SIZES, "Count")),
    _NO_UNIT,
)

_STATISTICS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "SampleCount": lambda values: float(len(values)),
    "Average": lambda values: math.fsum(values) / len(values),
    "Sum": math.fsum,
    "Minimum": min,
    "Maximum": max,
}


@dataclass(frozen=True)
class Question:
    """A call of GetMetricStatistics, in either protocol."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    start: float
    end: float
    period: int
    statistics: tuple[str, ...]
    unit: str = _NO_UNIT


@dataclass(frozen=True)
class Datapoint:
    """The statistics of one period, by name; ``at`` is its beginning."""

    at: float
    statistics: Mapping[str, float]


def cloudwatch_app(metrics: TrainingMetrics) -> ASGIApp:
    """CloudWatch: GetMetricStatistics, GetMetricData and ListMetrics, in AWS JSON (as today's SDKs ask) and the query protocol
    (as older ones do)."""
    newer = {"GetMetricData": partial(_metric_data, metrics), "ListMetrics": partial(_list_metrics, metrics)}
    return by_protocol(
        JsonApp("1.0", {"GetMetricStatistics": partial(_in_json, metrics), **newer}),
        QueryApp(
            _XML,
            {
                "GetMetricStatistics": partial(_in_xml, metrics),
                **{name: partial(_nested_in_xml, operation) for name, operation in newer.items()},
            },
        ),
    )


def _nested_in_xml(operation: Callable[[Call], Mapping[str, Any]], call: Call) -> str:
    return elements(operation(replace(call, parameters=nested(call.parameters))))


def _list_metrics(metrics: TrainingMetrics, call: Call) -> Mapping[str, Any]:
    """Those of one training job: of all there are, CloudWatch would tell as well, and nobody asks."""
    given = {"Namespace": NAMESPACE, "Dimensions": [], **call.parameters}
    wanted = _read(given, "Dimensions", lambda entries: {str(e["Name"]): e.get("Value") for e in entries}, "a list of names")
    if (_JOB in wanted and wanted[_JOB] is None) or not wanted:
        sentence = f"Name a training job: Dimensions=[{{Name: {_JOB}, Value: ...}}]; the metrics of all are not listed here."
        raise ServiceError("InvalidParameterValue", sentence)
    if given["Namespace"] != NAMESPACE or [*wanted] != [_JOB]:
        return {"Metrics": []}
    job, name = str(wanted[_JOB]), given.get("MetricName")
    found = [n for n in metrics.names(call.owner, job) if name in (None, n)]
    dimensions = [{"Name": _JOB, "Value": job}]
    return {"Metrics": [{"Namespace": NAMESPACE, "MetricName": n, "Dimensions": dimensions} for n in found]}


def _metric_data(metrics: TrainingMetrics, call: Call) -> Mapping[str, Any]:
    queries = _read(call.parameters, "MetricDataQueries", list, "a list of queries")
    if len(queries) > _MAX_QUERIES:
        raise ServiceError("InvalidParameterValue", f"{len(queries)} MetricDataQueries: at most {_MAX_QUERIES} at once.")
    backwards = call.parameters.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    answers = (_query_answer(metrics, call, query, backwards) for query in queries)
    return {"MetricDataResults": [answer for answer in answers if answer is not None], "Messages": []}


def _query_answer(metrics: TrainingMetrics, call: Call, query: Any, backwards: bool) -> Mapping[str, Any] | None:
    """The values of one query, the latest first where they are asked for so; None where its values are not wanted."""
    query = query if isinstance(query, Mapping) else {}
    name = str(query.get("Id", ""))
    if not isinstance(query.get("MetricStat"), Mapping):
        message = f"Query {name!r}: give a MetricStat. Expressions over metrics are not computed here."
        raise ServiceError("ValidationError", message)
    stat = query["MetricStat"]
    metric = stat.get("Metric") if isinstance(stat.get("Metric"), Mapping) else {}
    within = {"StartTime": call.parameters.get("StartTime"), "EndTime": call.parameters.get("EndTime")}
    asked = {"Period": stat.get("Period"), "Statistics": [stat.get("Stat")], "Unit": stat.get("Unit")}
    question = _json_question({**metric, **within, **asked})
    label = "" if query.get("Label") is None else _read(query, "Label", _text, "text")
    if query.get("ReturnData") in (False, "false"):
        return None
    found = _datapoints(metrics, call, question, _MAX_OF_SEVERAL)
    shown = found[::-1] if backwards else found
    return {
        "Id": name,
        "Label": label or question.metric,
        "Timestamps": [point.at for point in shown],
        "Values": [value for point in shown for value in point.statistics.values()],
        "StatusCode": "Complete",
    }


def statistics(points: Sequence[Point], question: Question) -> list[Datapoint]:
    """The data points of the periods that hold any value, oldest first. Values that CloudWatch does not take in are left out:
    those that are not finite, and larger ones than it takes, whose sum might not be."""
    periods: dict[int, list[float]] = {}
    for point in points:
        if abs(point.value) <= _LARGEST:
            periods.setdefault(math.floor(point.at / question.period), []).append(point.value)
    return [
        Datapoint(number * question.period, {name: _STATISTICS[name](values) for name in question.statistics})
        for number, values in sorted(periods.items())
    ]


def _datapoints(metrics: TrainingMetrics, call: Call, question: Question, most: int = _MAX_DATAPOINTS) -> list[Datapoint]:
    _check(question, most)
    job = question.dimensions.get(_JOB)
    if (question.namespace, question.unit) != (NAMESPACE, _NO_UNIT) or job is None or len(question.dimensions) != 1:
        return []
    # Periods are whole: CloudWatch rounds the start down to one.
    start = math.floor(question.start / question.period) * question.period
    return statistics(metrics.points(call.owner, job, question.metric, start, question.end), question)


def _check(question: Question, most: int) -> None:
    if question.period not in _SHORT_PERIODS and (not 0 < question.period <= _MAX_PERIOD or question.period % 60):
        shown = str(question.period)[:40] if abs(question.period) < 10**40 else "a number without end"
        raise ServiceError("InvalidParameterValue", f"The parameter Period must be a multiple of 60, not {shown}.")
    if not question.start < question.end:
        raise ServiceError("InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime.")
    wanted = math.ceil((question.end - question.start) / question.period)
    if wanted > most:
        limit = f"You have requested up to {wanted:,} datapoints, which exceeds the limit of {most:,}."
        raise ServiceError("InvalidParameterCombination", f"{limit} Enlarge Period or ask for a shorter time.")
    strange = [name for name in question.statistics if name not in _STATISTICS]
    if strange or not question.statistics:
        known = ", ".join(_STATISTICS)
        raise ServiceError("InvalidParameterValue", f"The parameter Statistics must hold some of {known}; got {strange}.")
    if question.unit not in _UNITS:
        raise ServiceError(
            "InvalidParameterValue", f"The parameter Unit must be one of {', '.join(_UNITS)}; got {question.unit[:80]!r}."
        )


def _in_json(metrics: TrainingMetrics, call: Call) -> Mapping[str, Any]:
    question = _json_question(call.parameters)
    shown = [{"Timestamp": point.at, "Unit": _NO_UNIT, **point.statistics} for point in _datapoints(metrics, call, question)]
    return {"Label": question.metric, "Datapoints": shown}


def _json_question(given: Mapping[str, Any]) -> Question:
    return Question(
        namespace=_read(given, "Namespace", str, "text"),
        metric=_read(given, "MetricName", str, "text"),
        dimensions=_read({"Dimensions": [], **given}, "Dimensions", _dimensions, "a list of names and values"),
        start=_read(given, "StartTime", _seconds, "a time"),
        end=_read(given, "EndTime", _seconds, "a time"),
        period=_read(given, "Period", int, "a number of seconds"),
        statistics=_read({"Statistics": [], **given}, "Statistics", _texts, "a list of names"),
        unit=_NO_UNIT if given.get("Unit") is None else _read(given, "Unit", _text, "text"),
    )


def _read(given: Mapping[str, Any], name: str, convert: Callable[[Any], T], what: str) -> T:
    """A parameter in its type; MissingParameter or SerializationException, which name it, where it has none or another."""
    if given.get(name) is None:
        raise ServiceError("MissingParameter", f"The parameter {name} is required.")
    try:
        return convert(given[name])
    except (TypeError, ValueError, OverflowError, KeyError):
        sentence = f"The parameter {name} must be {what}, not {json.dumps(given[name])[:80]}."
        raise ServiceError("SerializationException", sentence) from None


def _dimensions(entries: Any) -> Mapping[str, str]:
    return {str(entry["Name"]): str(entry["Value"]) for entry in entries}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(entries: Any) -> tuple[str, ...]:
    if not isinstance(entries, list):
        raise TypeError
    return tuple(map(str, entries))


def _in_xml(metrics: TrainingMetrics, call: Call) -> str:
    question = _json_question(_as_json(call))
    members = "".join(_member(point) for point in _datapoints(metrics, call, question))
    return element("Label", question.metric) + f"<Datapoints>{members}</Datapoints>"


def _as_json(call: Call) -> Mapping[str, Any]:
    """The query protocol's flat parameters in the shape of the JSON protocol's."""
    dimensions: list[dict[str, str]] = []
    while (name := f"Dimensions.member.{len(dimensions) + 1}.Name") in call.parameters:
        dimensions.append({"Name": call.parameters[name], "Value": call.parameters.get(f"{name[:-4]}Value", "")})
    return {**call.parameters, "Dimensions": dimensions, "Statistics": call.members("Statistics")}


def _member(point: Datapoint) -> str:
    values = "".join(element(name, repr(value)) for name, value in point.statistics.items())
    return f"<member>{element('Timestamp', stamp(point.at))}{values}{element('Unit', _NO_UNIT)}</member>"


def _seconds(value: Any) -> float:
    """A time: seconds since the epoch, or ISO 8601 text, in UTC where it names no zone."""
    seconds = epoch_seconds(value)
    if not isinstance(value, str) and (not math.isfinite(seconds) or abs(seconds) > 1e11):
        raise ValueError(value)
    return seconds
