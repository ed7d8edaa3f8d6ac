"""The domain's names of fields, as they are found in the request that was sent.

A definition's fields stand in ``trainingJobDefinition``, in one of ``trainingJobDefinitions``, or, for CreateTrainingJob, at
the top; a single definition's ranges and objective in the configuration or in the definition. Elements of lists are told by
their names where they have one (ranges, channels, metrics), else counted from 1, as AWS does: ``2.member``. What a job may not
have otherwise than its parent is told where the job has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from rekindle.api.translate.part import Json, says_something

_CONFIG: Final = "hyperParameterTuningJobConfig"
_HYPERBAND: Final = f"{_CONFIG}.strategyConfig.hyperbandStrategyConfig"
_NOT_IMPROVING: Final = "bestObjectiveNotImproving.maxNumberOfTrainingJobsNotImproving"
_PARENTS: Final = "warmStartConfig.parentHyperParameterTuningJobs"
_CREATE_TRAINING: Final = "CreateTrainingJob"

#: Fields of a tuning job.
_OF_JOB: Final = {
    "limits.parallel": f"{_CONFIG}.resourceLimits.maxParallelTrainingJobs",
    "limits.jobs": f"{_CONFIG}.resourceLimits.maxNumberOfTrainingJobs",
    "limits.runtime": f"{_CONFIG}.resourceLimits.maxRuntimeInSeconds",
    "strategy": f"{_CONFIG}.strategy",
    "seed": f"{_CONFIG}.randomSeed",
    "hyperband": _HYPERBAND,
    "hyperband.max_resource": f"{_HYPERBAND}.maxResource",
    "hyperband.min_resource": f"{_HYPERBAND}.minResource",
    "early_stopping": f"{_CONFIG}.trainingJobEarlyStoppingType",
    "completion.not_improving": f"{_CONFIG}.tuningJobCompletionCriteria.{_NOT_IMPROVING}",
    "warm_start": "warmStartConfig.warmStartType",
    "warm_start.parents": _PARENTS,
    "definitions": "trainingJobDefinitions",
    "next_token": "nextToken",
}
#: Fields of a definition or a training job, but for those whose place depends on the request.
_OF_DEFINITION: Final = {
    "name": "definitionName",
    "algorithm": "algorithmSpecification.algorithmName",
    "image": "algorithmSpecification.trainingImage",
    "entrypoint": "algorithmSpecification.containerEntrypoint",
    "arguments": "algorithmSpecification.containerArguments",
    "metrics": "algorithmSpecification.metricDefinitions",
    "channels": "inputDataConfig",
    "output": "outputDataConfig.s3OutputPath",
    "output.uri": "outputDataConfig.s3OutputPath",
    "checkpoints": "checkpointConfig.s3Uri",
    "checkpoints.uri": "checkpointConfig.s3Uri",
    "checkpoints.local_path": "checkpointConfig.localPath",
    "environment": "environment",
    "retries": "retryStrategy.maximumRetryAttempts",
    "max_runtime_seconds": "stoppingCondition.maxRuntimeInSeconds",
}
#: What belongs to a channel, a metric, a range, a parent, or is compared with a parent's.
_INNER: Final = {
    "content_type": "contentType",
    "input_mode": "inputMode",
    "data_type": "dataSource.s3DataSource.s3DataType",
    "uri": "dataSource.s3DataSource.s3Uri",
    "regex": "regex",
    "MinValue": "minValue",
    "MaxValue": "maxValue",
    "objective.metric": "hyperParameterTuningJobObjective.metricName",
    "objective.goal": "hyperParameterTuningJobObjective.type",
    "network_isolation": "enableNetworkIsolation",
    "encrypted_traffic": "enableInterContainerTrafficEncryption",
}
#: What a parent itself may be unfit for, in words.
OF_PARENTS: Final = {"": "its status", "created_at": "its creation time", "definitions": "its number of definitions"}
#: The number of a list's element, as Part counts.
_NUMBER: Final = re.compile(r"\.(\d+)(?=\.|$)")


def wire_path(field: str, operation: str, request: Json) -> str:
    """The domain's name of a field as the wire spells it; one that is the request's own already gets AWS's case."""
    if operation == _CREATE_TRAINING:
        return "trainingJobName" if field == "name" else _in_definition(field, "", request) or _spelled(field)
    if field == "name":
        return "hyperParameterTuningJobName"
    if field in _OF_JOB:
        return _OF_JOB[field]
    head, _, rest = field.partition(".")
    if head == "warm_start":
        return _in_parent(rest.removeprefix("parents."), request)
    if head == "definitions":
        name, _, rest = rest.partition(".")
        names = _names(request.get("TrainingJobDefinitions"), "DefinitionName")
        where = f"trainingJobDefinitions.{f'{names.index(name) + 1}.member' if name in names else name}"
        definition = request["TrainingJobDefinitions"][names.index(name)] if name in names else {}
        return _in_definition(rest, f"{where}.", definition) or f"{where}.{rest}"
    return _in_single(field, request) or _spelled(field)


def parent_path(name: str, request: Json) -> str:
    """Where in the request a tuning job is named as a parent; names are without case."""
    names = [parent.lower() for parent in _parents(request)]
    if name.lower() not in names:
        return _PARENTS
    return f"{_PARENTS}.{names.index(name.lower()) + 1}.member.hyperParameterTuningJobName"


def parent_of(field: str, request: Json) -> tuple[str, str]:
    """The parent that a rule's field is about, and what of it; empty where the field is about no parent."""
    head, _, rest = field.partition(".parents.")
    if head != "warm_start" or not rest:
        return "", ""
    name = _fitting(rest, _parents(request))
    return name, rest[len(name) + 1 :]


def _in_parent(rest: str, sent: Json) -> str:
    """What the child has otherwise than a parent stands in the child; what a parent itself is not fit for, at its name."""
    name = _fitting(rest, _parents(sent))
    inner = rest[len(name) + 1 :]
    if inner in OF_PARENTS:
        return parent_path(name, sent)
    if inner == "hyperparameters":
        return f"{_in_single('static', sent)}, {_in_single('ranges', sent)}"
    return _in_single(inner, sent) or f"trainingJobDefinition.{_INNER.get(inner, inner)}"


def _parents(sent: Json) -> list[str]:
    named = (sent.get("WarmStartConfig") or {}).get("ParentHyperParameterTuningJobs")
    return _names(named, "HyperParameterTuningJobName")


def _in_single(field: str, sent: Json) -> str:
    """A field of the only definition: its ranges and objective may stand in the configuration. Empty: it is none."""
    head, _, rest = field.partition(".")
    definition = sent.get("TrainingJobDefinition") or {}
    if head == "ranges" and not says_something(definition.get("HyperParameterRanges")):
        return _range(
            f"{_CONFIG}.parameterRanges", rest, (sent.get("HyperParameterTuningJobConfig") or {}).get("ParameterRanges")
        )
    if head == "objective" and not definition.get("TuningObjective"):
        return f"{_CONFIG}.{_INNER[field]}"
    return _in_definition(field, "trainingJobDefinition.", definition)


def _in_definition(field: str, where: str, sent: Json) -> str:
    """A field of a definition that stands at ``where``, or of a training job. Empty: it is none."""
    head, _, rest = field.partition(".")
    match head:
        case "static" | "hyperparameters":
            place = "staticHyperParameters" if where else "hyperParameters"
            return _joined(where + place, rest)
        case "ranges":
            return _range(f"{where}hyperParameterRanges", rest, sent.get("HyperParameterRanges"))
        case "objective":
            return f"{where}tuningObjective.{'metricName' if rest == 'metric' else 'type'}"
        case "channels":
            return _element(f"{where}inputDataConfig", rest, _names(sent.get("InputDataConfig"), "ChannelName"))
        case "metrics":
            defined = (sent.get("AlgorithmSpecification") or {}).get("MetricDefinitions")
            return _element(f"{where}algorithmSpecification.metricDefinitions", rest, _names(defined, "Name"))
        case "environment":
            return _joined(f"{where}environment", rest)
        case "resources":
            return where + _resources(rest, sent)
    return where + _OF_DEFINITION[field] if field in _OF_DEFINITION else ""


def _range(place: str, rest: str, ranges: Json | None) -> str:
    kinds = [kind for kind in (ranges or {}).values() if isinstance(kind, list)]
    return _element(place, rest, [name for kind in kinds for name in _names(kind, "Name")])


def _resources(rest: str, sent: Json) -> str:
    """The structure that says on what to run, and in it the configuration that is used."""
    other = "HyperParameterTuningResourceConfig"
    key = other if sent.get(other) else "ResourceConfig"
    found = sent.get(key) or {}
    lists = ("instanceConfigs", "instanceGroups", "instancePreferences")
    inner = next((f"{k}.1.member." for k in lists if found.get(k[0].upper() + k[1:])), "")
    return f"{_lower(key)}.{inner}{'instanceCount' if rest == 'instances' else 'instanceType'}"


def _element(place: str, rest: str, names: Iterable[str]) -> str:
    """What belongs to a list's element, which may have dots in its name: the longest name that fits is meant."""
    name = _fitting(rest, names)
    inner = rest[len(name) + 1 :]
    head, _, tail = inner.partition(".")
    known = _INNER.get(inner) or _joined(_INNER.get(head, head), tail)
    return _joined(place, _joined(name, known))


def _fitting(rest: str, names: Iterable[str]) -> str:
    fitting = [name for name in names if rest == name or rest.startswith(f"{name}.")]
    return max(fitting, key=len) if fitting else rest.partition(".")[0]


def _names(elements: Any, key: str) -> list[str]:
    return [str(element.get(key)) for element in elements or ()]


def _joined(place: str, rest: str) -> str:
    return f"{place}.{rest}" if rest else place


def _spelled(field: str) -> str:
    """A path of the request's own in AWS's spelling."""
    return ".".join(_lower(part) for part in _NUMBER.sub(r".\1.member", field).split("."))


def _lower(word: str) -> str:
    return word[:1].lower() + word[1:]
