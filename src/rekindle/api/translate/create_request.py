"""From the body of CreateHyperParameterTuningJob to a tuning job's spec: here, and nowhere else, strings become numbers.

The request is expected to have the shape of SageMaker's model; what is not there or has another type is still refused with
the field's path. Nothing is lost: the request itself stays in ``extras``, a definition's own part in its training spec's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from rekindle.api.translate.autotune import expanded
from rekindle.api.translate.part import Json, Part, check_texts, says_something, tags_of, without_nulls
from rekindle.api.translate.training_request import training_spec
from rekindle.domain.errors import InvalidValue, within
from rekindle.domain.texts import number_of
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

DIRECTIONS: dict[str, Direction] = {"Maximize": "maximize", "Minimize": "minimize"}
SCALINGS: dict[str, Scaling] = {s: s for s in ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")}
RANGE_KINDS = ("ContinuousParameterRanges", "IntegerParameterRanges", "CategoricalParameterRanges")

MAX_ENVIRONMENT = 48

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_CONFIG = "HyperParameterTuningJobConfig"


def spec_from_request(request: Json) -> TuningJobSpec:
    """The tuning job that a request asks for. Raises InvalidValue, naming the field as the request spells it."""
    check_texts(request)
    request = expanded(without_nulls(request))
    config = Part(_CONFIG, Part("", request).need(_CONFIG, dict))
    criteria = config.part("TuningJobCompletionCriteria")
    return TuningJobSpec(
        name=Part("", request).need("HyperParameterTuningJobName", str),
        strategy=config.choice("Strategy", {s.value: s for s in StrategyName}),
        limits=_limits(config.part("ResourceLimits")),
        definitions=_definitions(request, config),
        warm_start=_warm_start(Part("WarmStartConfig", request.get("WarmStartConfig"))),
        early_stopping=config.choice("TrainingJobEarlyStoppingType", {"Off": False, "Auto": True}, "Off"),
        completion=_completion(criteria),
        hyperband=_hyperband(config.part("StrategyConfig").part("HyperbandStrategyConfig")),
        random_seed=config.integer("RandomSeed"),
        tags=tags_of(Part("", request)),
        extras={"request": request},
    )


def _definitions(request: Json, config: Part) -> tuple[Definition, ...]:
    single, several = request.get("TrainingJobDefinition"), request.get("TrainingJobDefinitions")
    if (single is None) == (several is None):
        sent = "both" if single is not None else None
        raise InvalidValue("TrainingJobDefinition", sent, "exactly one of TrainingJobDefinition and TrainingJobDefinitions")
    if single is not None:
        part = Part("TrainingJobDefinition", single)
        _check_said_once(part, config)
        return (_definition(part, config, None),)
    parts = list(Part("", request).items("TrainingJobDefinitions"))
    for key in ("ParameterRanges", "HyperParameterTuningJobObjective"):
        if says_something(config.part(key).value):
            raise InvalidValue(config.inner(key), config.get(key), "each of several definitions has its own")
    _check_environments(parts)
    return tuple(_definition(part, config, part.need("DefinitionName", str)) for part in parts)


def _check_said_once(part: Part, config: Part) -> None:
    """A single definition's objective and ranges stand in the configuration or in the definition; were they in both, one of
    them would be ignored."""
    for outer, inner in (("HyperParameterTuningJobObjective", "TuningObjective"), ("ParameterRanges", "HyperParameterRanges")):
        if says_something(config.part(outer).value) and says_something(part.part(inner).value):
            raise InvalidValue(part.inner(inner), part.get(inner), f"{config.inner(outer)} is given too: exactly one of them")


def _check_environments(parts: Sequence[Part]) -> None:
    """The model's limit for one definition's variables holds for all definitions together."""
    count = sum(len(part.texts("Environment")) for part in parts)
    if count > MAX_ENVIRONMENT:
        reason = f"at most {MAX_ENVIRONMENT} environment variables in all definitions together"
        raise InvalidValue("TrainingJobDefinitions", count, reason)


def _definition(part: Part, config: Part, name: str | None) -> Definition:
    objective = part.part("TuningObjective") or config.part("HyperParameterTuningJobObjective")
    own = part.part("HyperParameterRanges")
    ranges = own if says_something(own.value) else config.part("ParameterRanges")
    if not objective:
        where = config.inner("HyperParameterTuningJobObjective") if name is None else part.inner("TuningObjective")
        raise InvalidValue(where, None, "missing: it says which metric to minimise or maximise")
    with within(f"definitions.{name}." if name else ""):
        parameters = _ranges(ranges)
    return Definition(
        training=training_spec(part, extras={"definition": part.value}),
        objective=Objective(objective.need("MetricName", str), objective.choice("Type", DIRECTIONS)),
        ranges=parameters,
        statics=part.texts("StaticHyperParameters"),
        name=name,
    )


def _ranges(part: Part) -> tuple[Parameter, ...]:
    """The ranges, each kind in the order in which the request has it."""
    found: list[Parameter] = []
    for kind in (k for k in part.value if k in RANGE_KINDS):
        found.extend(_RANGE_OF[kind](item) for item in part.items(kind))
    return tuple(found)


def _continuous(part: Part) -> Parameter:
    low, high, scaling = _end(part, "MinValue"), _end(part, "MaxValue"), part.choice("ScalingType", SCALINGS, "Auto")
    return _built(part, lambda name: Continuous(name, float(low), float(high), scaling))


def _integer(part: Part) -> Parameter:
    low, high, scaling = _end(part, "MinValue"), _end(part, "MaxValue"), part.choice("ScalingType", SCALINGS, "Auto")
    return _built(part, lambda name: Integer(name, low, high, scaling))  # type: ignore[arg-type]  # Integer checks them


def _categorical(part: Part) -> Parameter:
    values = part.need("Values", list)
    for value in values:
        if not isinstance(value, str):
            raise InvalidValue(part.inner("Values"), value, "has the wrong type")
    return _built(part, lambda name: Categorical(name, values))


_RANGE_OF: Mapping[str, Callable[[Part], Parameter]] = dict(
    zip(RANGE_KINDS, (_continuous, _integer, _categorical), strict=True)
)


def _end(part: Part, key: str) -> int | float:
    text = part.need(key, str)
    try:
        number = int(text) if _INTEGER.fullmatch(text) else number_of(text)
        float(number)
    except (ValueError, OverflowError) as error:
        raise InvalidValue(f"ranges.{part.get('Name')}.{key}", text, "not a number") from error
    return number


def _built(part: Part, make: Callable[[str], Parameter]) -> Parameter:
    try:
        return make(part.need("Name", str))
    except SpaceError as error:
        raise InvalidValue(f"ranges.{error.parameter}", error.value, error.reason) from error


def _limits(part: Part) -> Limits:
    parallel = part.need("MaxParallelTrainingJobs", int)
    return Limits(part.integer("MaxNumberOfTrainingJobs"), parallel, part.integer("MaxRuntimeInSeconds"))


def _warm_start(part: Part) -> WarmStart | None:
    if not part:
        return None
    kind = part.choice("WarmStartType", {t.value: t for t in WarmStartType})
    parents = part.items("ParentHyperParameterTuningJobs")
    return WarmStart(kind, tuple(p.need("HyperParameterTuningJobName", str) for p in parents))


def _completion(part: Part) -> CompletionCriteria:
    convergence = part.part("ConvergenceDetected")
    return CompletionCriteria(
        target=_target(part),
        max_not_improving=part.part("BestObjectiveNotImproving").integer("MaxNumberOfTrainingJobsNotImproving"),
        on_convergence=convergence.choice("CompleteOnConvergence", {"Disabled": False, "Enabled": True}, "Disabled"),
    )


def _target(part: Part) -> float | None:
    found = part.get("TargetObjectiveMetricValue", (int, float))
    try:
        return None if found is None else float(found)
    except OverflowError as error:
        raise InvalidValue(part.inner("TargetObjectiveMetricValue"), found, "too large") from error


def _hyperband(part: Part) -> Hyperband | None:
    if not part:
        return None
    return Hyperband(part.integer("MinResource"), part.integer("MaxResource"))
