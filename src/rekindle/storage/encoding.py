"""Specs and the loose parts of records as JSON text, and back: lossless, explicit, versioned.

Every field is written by name, so that renaming one in the domain cannot silently change what is on disk. Text is ASCII
JSON without NaN. Free data (``extras``, proposals) may hold what JSON has no word for: a tuple, a number that is not
finite; these become objects with the one key ``$tuple`` or ``$float``, and a key that starts with ``$`` gets another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from rekindle.domain.errors import Unsupported, shown
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import (
    Algorithm,
    Channel,
    Checkpoints,
    FinalMetric,
    Output,
    Resources,
    SecondaryStatus,
    TrainingSpec,
    Transition,
)
from rekindle.domain.tuning_job import (
    CompletionCriteria,
    Definition,
    Ending,
    Hyperband,
    Limits,
    Objective,
    StrategyName,
    TuningJobSpec,
    TuningJobStatus,
    WarmStart,
    WarmStartType,
)
from rekindle.search.space import Categorical, Continuous, Integer, Parameter

#: The version of every JSON document written here; older ones are read too, newer ones are refused.
VERSION = 1

Json = dict[str, Any]

_writer = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=False)
_reader = json.JSONDecoder()


def dumps(document: Any) -> str:
    """Compact ASCII JSON. Raises ValueError for a number that is not finite."""
    return _writer.encode(document)


def loads(text: str) -> Any:
    """What ``dumps`` wrote, which begins at once and ends with the text: looking for blanks takes half of the time. Raises
    Unsupported for what it did not write."""
    try:
        return _reader.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        raise Unsupported(
            f"a record of the database is damaged: {shown(text, 40)} is no JSON ({error.msg}).",
            "Something else than Rekindle wrote into it: put back a copy of the database.",
        ) from error


def quoted(text: str) -> str:
    """Text for a text column: characters that a database cannot keep (NUL, lone surrogates) become JSON escapes."""
    return _writer.encode(text)[1:-1]


def unquoted(text: str) -> str:
    """What ``quoted`` wrote."""
    return text if "\\" not in text else str(json.loads(f'"{text}"'))


# --- free data -------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Free data as JSON can hold it."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, Mapping):
        return {_escaped(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {"$tuple": [plain(item) for item in value]}
    if isinstance(value, list):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not plain data: {value!r}")


def unplain(value: Any) -> Any:
    """What ``plain`` was given; mappings come back as dicts."""
    if isinstance(value, dict):
        if "$float" in value:
            return float(value["$float"])
        if "$tuple" in value:
            return tuple(unplain(item) for item in value["$tuple"])
        return {key[1:] if key.startswith("$") else key: unplain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unplain(item) for item in value]
    return value


def _escaped(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of free data must be text, not {key!r}")
    return f"${key}" if key.startswith("$") else key


# --- training jobs ---------------------------------------------------------------------------------------------------


def encode_training_spec(spec: TrainingSpec) -> Json:
    """A training job's spec."""
    return {
        "v": VERSION,
        "algorithm": _encode_algorithm(spec.algorithm),
        "role": spec.role,
        "channels": [_encode_channel(c) for c in spec.channels],
        "output": {"uri": spec.output.uri, "compression": spec.output.compression, "kms_key": spec.output.kms_key},
        "checkpoints": None
        if spec.checkpoints is None
        else {"uri": spec.checkpoints.uri, "local_path": spec.checkpoints.local_path},
        "resources": _encode_resources(spec.resources),
        "max_runtime_seconds": spec.max_runtime_seconds,
        "environment": dict(spec.environment),
        "max_retries": spec.max_retries,
        "network_isolation": spec.network_isolation,
        "encrypted_traffic": spec.encrypted_traffic,
        "spot": spec.spot,
        "extras": plain(spec.extras),
    }


def decode_training_spec(document: Json) -> TrainingSpec:
    """What ``encode_training_spec`` wrote."""
    check_version(document)
    checkpoints = document["checkpoints"]
    return TrainingSpec(
        algorithm=_decode_algorithm(document["algorithm"]),
        role=document["role"],
        channels=tuple(_decode_channel(c) for c in document["channels"]),
        output=Output(**_only(document["output"], "uri", "compression", "kms_key")),
        checkpoints=None if checkpoints is None else Checkpoints(**_only(checkpoints, "uri", "local_path")),
        resources=_decode_resources(document["resources"]),
        max_runtime_seconds=document["max_runtime_seconds"],
        environment=document["environment"],
        max_retries=document["max_retries"],
        network_isolation=document["network_isolation"],
        encrypted_traffic=document["encrypted_traffic"],
        spot=document["spot"],
        extras=unplain(document["extras"]),
    )


def _encode_algorithm(a: Algorithm) -> Json:
    return {
        "command": a.command,
        "source": a.source,
        "python": a.python,
        "arguments_style": a.arguments_style,
        "image": a.image,
        "name": a.name,
        "input_mode": a.input_mode,
        "metrics": [[m.name, m.regex] for m in a.metrics],
        "entrypoint": list(a.entrypoint),
        "arguments": list(a.arguments),
    }


def _decode_algorithm(document: Json) -> Algorithm:
    return Algorithm(
        **_only(document, "command", "source", "python", "arguments_style", "image", "name", "input_mode"),
        metrics=tuple(MetricDefinition(name, regex) for name, regex in document["metrics"]),
        entrypoint=tuple(document["entrypoint"]),
        arguments=tuple(document["arguments"]),
    )


_CHANNEL_FIELDS = (
    "name",
    "uri",
    "data_type",
    "distribution",
    "content_type",
    "compression",
    "record_wrapper",
    "input_mode",
)


def _encode_channel(channel: Channel) -> Json:
    return {**{name: getattr(channel, name) for name in _CHANNEL_FIELDS}, "extras": plain(channel.extras)}


def _decode_channel(document: Json) -> Channel:
    return Channel(**_only(document, *_CHANNEL_FIELDS), extras=unplain(document["extras"]))


_RESOURCE_FIELDS = ("instance_type", "instance_count", "volume_gb", "gpus", "cpus")


def _encode_resources(resources: Resources) -> Json:
    return {name: getattr(resources, name) for name in _RESOURCE_FIELDS}


def _decode_resources(document: Json) -> Resources:
    return Resources(**_only(document, *_RESOURCE_FIELDS))


def encode_transitions(transitions: tuple[Transition, ...]) -> list[Any]:
    """A training job's secondary status history."""
    return [[t.status.value, t.started_at, t.ended_at, t.message] for t in transitions]


def decode_transitions(items: list[Any]) -> tuple[Transition, ...]:
    """What ``encode_transitions`` wrote."""
    return tuple(Transition(_SECONDARY[status], started, ended, message) for status, started, ended, message in items)


def encode_final_metrics(metrics: Mapping[str, FinalMetric]) -> Json:
    """A training job's final metrics."""
    return {name: [m.value, m.at] for name, m in metrics.items()}


def decode_final_metrics(document: Json) -> dict[str, FinalMetric]:
    """What ``encode_final_metrics`` wrote."""
    return {name: FinalMetric(value, at) for name, (value, at) in document.items()}


_SECONDARY = {s.value: s for s in SecondaryStatus}


# --- tuning jobs -----------------------------------------------------------------------------------------------------


def encode_tuning_spec(spec: TuningJobSpec) -> Json:
    """A tuning job's spec without its tags, which change and are kept beside it."""
    return {
        "v": VERSION,
        "name": spec.name,
        "strategy": spec.strategy.value,
        "limits": {
            "max_jobs": spec.limits.max_jobs,
            "max_parallel": spec.limits.max_parallel,
            "max_runtime_seconds": spec.limits.max_runtime_seconds,
        },
        "definitions": [_encode_definition(d) for d in spec.definitions],
        "warm_start": None if spec.warm_start is None else _encode_warm_start(spec.warm_start),
        "early_stopping": spec.early_stopping,
        "completion": {
            "target": spec.completion.target,
            "max_not_improving": spec.completion.max_not_improving,
            "on_convergence": spec.completion.on_convergence,
        },
        "hyperband": None
        if spec.hyperband is None
        else {
            "min_resource": spec.hyperband.min_resource,
            "max_resource": spec.hyperband.max_resource,
            "sampler": spec.hyperband.sampler,
        },
        "random_seed": spec.random_seed,
        "extras": plain(spec.extras),
    }


def decode_tuning_spec(document: Json, tags: Mapping[str, str]) -> TuningJobSpec:
    """What ``encode_tuning_spec`` wrote, with its tags."""
    check_version(document)
    warm, hyperband = document["warm_start"], document["hyperband"]
    return TuningJobSpec(
        name=document["name"],
        strategy=StrategyName(document["strategy"]),
        limits=Limits(**_only(document["limits"], "max_jobs", "max_parallel", "max_runtime_seconds")),
        definitions=tuple(_decode_definition(d) for d in document["definitions"]),
        warm_start=None if warm is None else _decode_warm_start(warm),
        early_stopping=document["early_stopping"],
        completion=CompletionCriteria(**_only(document["completion"], "target", "max_not_improving", "on_convergence")),
        hyperband=None if hyperband is None else Hyperband(**_only(hyperband, "min_resource", "max_resource", "sampler")),
        random_seed=document["random_seed"],
        tags=tags,
        extras=unplain(document["extras"]),
    )


def _encode_warm_start(warm: WarmStart) -> Json:
    return {
        "type": warm.type.value,
        "parents": list(warm.parents),
        "relaxed": warm.relaxed,
        "recursive": warm.recursive,
        "names": {parent: dict(names) for parent, names in warm.names.items()},
        "ancestors": list(warm.ancestors),
    }


def _decode_warm_start(document: Json) -> WarmStart:
    return WarmStart(
        WarmStartType(document["type"]),
        tuple(document["parents"]),
        relaxed=document.get("relaxed", False),
        recursive=document.get("recursive", False),
        names=document.get("names", {}),
        ancestors=tuple(document.get("ancestors", ())),
    )


def _encode_definition(definition: Definition) -> Json:
    return {
        "name": definition.name,
        "training": encode_training_spec(definition.training),
        "objective": {"metric": definition.objective.metric, "direction": definition.objective.direction},
        "ranges": [encode_range(p) for p in definition.ranges],
        "statics": dict(definition.statics),
        "known_names": definition.known_names,
    }


def _decode_definition(document: Json) -> Definition:
    return Definition(
        training=decode_training_spec(document["training"]),
        objective=Objective(document["objective"]["metric"], document["objective"]["direction"]),
        ranges=tuple(decode_range(r) for r in document["ranges"]),
        statics=document["statics"],
        name=document["name"],
        known_names=document.get("known_names", True),
    )


def encode_range(parameter: Parameter) -> Json:
    """A range of a search space; the type of every category stays what it was."""
    if isinstance(parameter, Categorical):
        return {"type": "categorical", "name": parameter.name, "values": [plain(v) for v in parameter.values]}
    kind = "continuous" if isinstance(parameter, Continuous) else "integer"
    return {
        "type": kind,
        "name": parameter.name,
        "low": parameter.low,
        "high": parameter.high,
        "scaling": parameter.scaling,
    }


def decode_range(document: Json) -> Parameter:
    """What ``encode_range`` wrote."""
    if document["type"] == "categorical":
        return Categorical(document["name"], tuple(unplain(v) for v in document["values"]))
    make = Continuous if document["type"] == "continuous" else Integer
    return make(document["name"], document["low"], document["high"], document["scaling"])


def encode_ending(ending: Ending | None) -> Json | None:
    """How a tuning job will end."""
    if ending is None:
        return None
    because = {"because": ending.because} if ending.because else {}
    return {"status": ending.status.value, "reason": ending.reason, "drain": ending.drain, **because}


def decode_ending(document: Json | None) -> Ending | None:
    """What ``encode_ending`` wrote."""
    if document is None:
        return None
    status = TuningJobStatus(document["status"])
    return Ending(status, document["reason"], document["drain"], document.get("because", ""))


def check_version(document: Json) -> None:
    """Raises Unsupported for a document of a newer Rekindle."""
    if document["v"] > VERSION:
        raise Unsupported(
            f"this record was written by a newer Rekindle (format {document['v']}, this one reads up to {VERSION}).",
            "Upgrade Rekindle.",
        )


def _only(document: Json, *names: str) -> Json:
    return {name: document[name] for name in names}
