"""From the body of CreateHyperParameterTuningJob to a tuning job's spec: here, and nowhere else, strings become numbers.

The request is expected to have the shape of SageMaker's model; what is not there or has another type is still refused with
the field's path. Nothing is lost: the request itself stays in ``extras``, a definition's own part in its training spec's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from rekindle.domain.errors import InvalidValue, Unsupported, shown
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import (
    DEFAULT_MAX_RUNTIME_SECONDS,
    Algorithm,
    Channel,
    Checkpoints,
    Output,
    Resources,
    TrainingSpec,
)
from rekindle.domain.tuning_job import (
    CompletionCriteria,
    Definition,
    Hyperband,
    Limits,
    Objective,
    StrategyName,
    TuningJobSpec,
    WarmStart,
    WarmStartType,
)
from rekindle.search.history import Direction
from rekindle.search.space import Categorical, Continuous, Integer, Parameter, Scaling, SpaceError

T = TypeVar("T")
Json = Mapping[str, Any]

DIRECTIONS: dict[str, Direction] = {"Maximize": "maximize", "Minimize": "minimize"}
SCALINGS: dict[str, Scaling] = {s: s for s in ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")}
INPUT_MODES = {m: m for m in ("File", "FastFile", "Pipe")}
RANGE_KINDS = ("ContinuousParameterRanges", "IntegerParameterRanges", "CategoricalParameterRanges")

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_CONFIG = "HyperParameterTuningJobConfig"


def spec_from_request(request: Json) -> TuningJobSpec:
    """The tuning job that a request asks for. Raises InvalidValue, naming the field as the request spells it."""
    _check_texts(request, "")
    config = _Part(_CONFIG, _need(request, _CONFIG, "", dict))
    criteria = config.part("TuningJobCompletionCriteria")
    if request.get("Autotune") or config.part("ParameterRanges").get("AutoParameters"):
        raise Unsupported("Autotune: not available.", "Remove Autotune and AutoParameters, and name the ranges yourself.")
    return TuningJobSpec(
        name=_need(request, "HyperParameterTuningJobName", "", str),
        strategy=config.choice("Strategy", {s.value: s for s in StrategyName}),
        limits=_limits(config.part("ResourceLimits")),
        definitions=_definitions(request, config),
        warm_start=_warm_start(_Part("WarmStartConfig", request.get("WarmStartConfig"))),
        early_stopping=config.choice("TrainingJobEarlyStoppingType", {"Off": False, "Auto": True}, "Off"),
        completion=_completion(criteria),
        hyperband=_hyperband(config.part("StrategyConfig").part("HyperbandStrategyConfig")),
        random_seed=config.integer("RandomSeed"),
        tags=_tags(_Part("", request).items("Tags")),
        extras={"request": request},
    )


class _Part:
    """A structure of the request with its path; one that is absent reads as empty."""

    def __init__(self, path: str, value: object) -> None:
        if value is not None and not isinstance(value, Mapping):
            raise InvalidValue(path, value, "must be an object")
        self.path = path
        self.value: Json = value or {}

    def __bool__(self) -> bool:
        return bool(self.value)

    def get(self, key: str, kind: type[Any] | tuple[type[Any], ...] | None = None) -> Any:
        found = self.value.get(key)
        wrong = kind is not None and (not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool))
        if found is not None and wrong:
            raise InvalidValue(self.inner(key), found, "has the wrong type")
        return found

    def need(self, key: str, kind: type[T]) -> T:
        return _need(self.value, key, self.path, kind)

    def part(self, key: str) -> _Part:
        return _Part(self.inner(key), self.get(key))

    def items(self, key: str) -> Iterator[_Part]:
        for number, item in enumerate(self.get(key, list) or [], start=1):
            yield _Part(f"{self.inner(key)}.{number}", item)

    def texts(self, key: str) -> dict[str, str]:
        part = self.part(key)
        return {name: part.need(name, str) for name in part.value}

    def integer(self, key: str) -> int | None:
        found: int | None = self.get(key, int)
        return found

    def switch(self, key: str) -> bool:
        return bool(self.get(key, bool))

    def choice(self, key: str, choices: Mapping[str, T], default: str | None = None) -> T:
        found = self.get(key, str)
        found = default if found is None else found
        if found is None:
            raise InvalidValue(self.inner(key), None, "missing")
        if found not in choices:
            raise InvalidValue(self.inner(key), found, f"not one of {', '.join(choices)}")
        return choices[found]

    def inner(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _need(value: Json, key: str, path: str, kind: type[T]) -> T:
    found = value.get(key)
    where = f"{path}.{key}" if path else key
    if found is None:
        raise InvalidValue(where, None, "missing")
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
        raise InvalidValue(where, found, "has the wrong type")
    return found


def _definitions(request: Json, config: _Part) -> tuple[Definition, ...]:
    single, several = request.get("TrainingJobDefinition"), request.get("TrainingJobDefinitions")
    if (single is None) == (several is None):
        sent = "both" if single is not None else None
        raise InvalidValue("TrainingJobDefinition", sent, "exactly one of TrainingJobDefinition and TrainingJobDefinitions")
    if single is not None:
        return (_definition(_Part("TrainingJobDefinition", single), config, None),)
    parts = list(_Part("", request).items("TrainingJobDefinitions"))
    for key in ("ParameterRanges", "HyperParameterTuningJobObjective"):
        if config.get(key):
            raise InvalidValue(config.inner(key), config.get(key), "each of several definitions has its own")
    return tuple(_definition(part, config, part.need("DefinitionName", str)) for part in parts)


def _definition(part: _Part, config: _Part, name: str | None) -> Definition:
    objective = part.part("TuningObjective") or config.part("HyperParameterTuningJobObjective")
    ranges = part.part("HyperParameterRanges") or config.part("ParameterRanges")
    return Definition(
        training=_training(part),
        objective=Objective(objective.need("MetricName", str), objective.choice("Type", DIRECTIONS)),
        ranges=_ranges(ranges),
        statics=part.texts("StaticHyperParameters"),
        name=name,
    )


def _ranges(part: _Part) -> tuple[Parameter, ...]:
    """The ranges, each kind in the order in which the request has it."""
    found: list[Parameter] = []
    for kind in (k for k in part.value if k in RANGE_KINDS):
        found.extend(_RANGE_OF[kind](item) for item in part.items(kind))
    return tuple(found)


def _continuous(part: _Part) -> Parameter:
    low, high, scaling = _end(part, "MinValue"), _end(part, "MaxValue"), part.choice("ScalingType", SCALINGS, "Auto")
    return _built(part, lambda name: Continuous(name, float(low), float(high), scaling))


def _integer(part: _Part) -> Parameter:
    low, high, scaling = _end(part, "MinValue"), _end(part, "MaxValue"), part.choice("ScalingType", SCALINGS, "Auto")
    return _built(part, lambda name: Integer(name, low, high, scaling))  # type: ignore[arg-type]  # Integer checks them


def _categorical(part: _Part) -> Parameter:
    values = part.need("Values", list)
    for value in values:
        if not isinstance(value, str):
            raise InvalidValue(part.inner("Values"), value, "has the wrong type")
    return _built(part, lambda name: Categorical(name, values))


_RANGE_OF: Mapping[str, Callable[[_Part], Parameter]] = dict(
    zip(RANGE_KINDS, (_continuous, _integer, _categorical), strict=True)
)


def _end(part: _Part, key: str) -> int | float:
    text = part.need(key, str)
    try:
        number = int(text) if _INTEGER.fullmatch(text) else float(text)
        float(number)
    except (ValueError, OverflowError) as error:
        raise InvalidValue(f"ranges.{part.get('Name')}.{key}", text, "not a number") from error
    return number


def _built(part: _Part, make: Callable[[str], Parameter]) -> Parameter:
    try:
        return make(part.need("Name", str))
    except SpaceError as error:
        raise InvalidValue(f"ranges.{error.parameter}", error.value, error.reason) from error


def _training(part: _Part) -> TrainingSpec:
    stopping, retry = part.part("StoppingCondition"), part.part("RetryStrategy")
    return TrainingSpec(
        algorithm=_algorithm(part.part("AlgorithmSpecification")),
        role=part.need("RoleArn", str),
        channels=tuple(_channel(item) for item in part.items("InputDataConfig")),
        output=_output(part.part("OutputDataConfig")),
        checkpoints=_checkpoints(part.part("CheckpointConfig")),
        resources=_resources(part),
        max_runtime_seconds=stopping.integer("MaxRuntimeInSeconds") or DEFAULT_MAX_RUNTIME_SECONDS,
        environment=part.texts("Environment"),
        max_retries=retry.integer("MaximumRetryAttempts") or 0,
        network_isolation=part.switch("EnableNetworkIsolation"),
        encrypted_traffic=part.switch("EnableInterContainerTrafficEncryption"),
        spot=part.switch("EnableManagedSpotTraining"),
        extras={"definition": part.value},
    )


def _algorithm(part: _Part) -> Algorithm:
    image, name = part.get("TrainingImage", str) or None, part.get("AlgorithmName", str) or None
    if (image is None) == (name is None):
        sent = None if image is None else image
        raise InvalidValue(part.inner("TrainingImage"), sent, "exactly one of TrainingImage and AlgorithmName")
    metrics = [MetricDefinition(m.need("Name", str), m.need("Regex", str)) for m in part.items("MetricDefinitions")]
    mode = part.choice("TrainingInputMode", INPUT_MODES)
    return Algorithm(image=image, name=name, input_mode=mode, metrics=tuple(metrics))


def _channel(part: _Part) -> Channel:
    source = part.part("DataSource").part("S3DataSource")
    name = part.need("ChannelName", str)
    if not source:
        raise Unsupported(f"{part.path}.DataSource: channel {shown(name)}: only S3DataSource is available.")
    return Channel(
        name=name,
        uri=source.need("S3Uri", str),
        data_type=source.need("S3DataType", str),
        distribution=source.get("S3DataDistributionType", str) or "FullyReplicated",
        content_type=part.get("ContentType", str),
        compression=part.get("CompressionType", str) or "None",
        record_wrapper=part.get("RecordWrapperType", str) or "None",
        input_mode=part.choice("InputMode", INPUT_MODES, "File"),
        extras={"channel": part.value},
    )


def _output(part: _Part) -> Output:
    compression = part.get("CompressionType", str) or "GZIP"
    return Output(part.need("S3OutputPath", str), compression, part.get("KmsKeyId", str) or None)


def _checkpoints(part: _Part) -> Checkpoints | None:
    if not part:
        return None
    uri, local = part.need("S3Uri", str), part.get("LocalPath", str)
    return Checkpoints(uri, local) if local else Checkpoints(uri)


def _resources(part: _Part) -> Resources:
    """What the training job needs; of several instance configurations the first, as an allocation by priority would."""
    plain, tuning = part.part("ResourceConfig"), part.part("HyperParameterTuningResourceConfig")
    if bool(plain) == bool(tuning):
        sent = "both" if plain else None
        reason = "exactly one of ResourceConfig and HyperParameterTuningResourceConfig"
        raise InvalidValue(part.inner("ResourceConfig"), sent, reason)
    chosen = plain or tuning
    first = next(chosen.items("InstanceConfigs"), None)
    if first is not None and chosen.get("InstanceType"):
        raise InvalidValue(
            chosen.inner("InstanceConfigs"), chosen.get("InstanceType"), "either InstanceType or InstanceConfigs"
        )
    chosen = first or next(chosen.items("InstanceGroups"), None) or chosen
    default = Resources()
    volume = (plain or tuning).integer("VolumeSizeInGB") if first is None else first.integer("VolumeSizeInGB")
    return Resources(
        instance_type=chosen.get("InstanceType", str) or default.instance_type,
        instance_count=chosen.integer("InstanceCount") or 1,
        volume_gb=default.volume_gb if volume is None else volume,
    )


def _limits(part: _Part) -> Limits:
    parallel = part.need("MaxParallelTrainingJobs", int)
    return Limits(part.integer("MaxNumberOfTrainingJobs"), parallel, part.integer("MaxRuntimeInSeconds"))


def _warm_start(part: _Part) -> WarmStart | None:
    if not part:
        return None
    kind = part.choice("WarmStartType", {t.value: t for t in WarmStartType})
    parents = part.items("ParentHyperParameterTuningJobs")
    return WarmStart(kind, tuple(p.need("HyperParameterTuningJobName", str) for p in parents))


def _completion(part: _Part) -> CompletionCriteria:
    target = part.get("TargetObjectiveMetricValue", (int, float))
    convergence = part.part("ConvergenceDetected")
    return CompletionCriteria(
        target=None if target is None else float(target),
        max_not_improving=part.part("BestObjectiveNotImproving").integer("MaxNumberOfTrainingJobsNotImproving"),
        on_convergence=convergence.choice("CompleteOnConvergence", {"Disabled": False, "Enabled": True}, "Disabled"),
    )


def _hyperband(part: _Part) -> Hyperband | None:
    if not part:
        return None
    return Hyperband(part.integer("MinResource"), part.integer("MaxResource"))


def _tags(items: Iterator[_Part]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for item in items:
        key = item.need("Key", str)
        if key in tags:
            raise InvalidValue("Tags", key, "the key is there twice")
        tags[key] = item.need("Value", str)
    return tags


def _check_texts(value: object, path: str) -> None:
    """Refuses what no file, environment or database can hold: NUL characters and halves of surrogate pairs."""
    if isinstance(value, str):
        bad = next((c for c in value if c == "\x00" or "\ud800" <= c <= "\udfff"), None)
        if bad is not None:
            raise InvalidValue(path, value, f"cannot hold the character {shown(bad)}")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _check_texts(key, path)
            _check_texts(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence):
        for number, inner in enumerate(value, start=1):
            _check_texts(inner, f"{path}.{number}")
