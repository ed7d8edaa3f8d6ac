"""The rules that a tuning job's spec must keep by itself, and how much it may ask for."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.builtins.checks import check_search
from rekindle.domain.checks import Check, raise_first
from rekindle.domain.errors import InvalidValue, LimitExceeded, first_of, shown, within
from rekindle.domain.metrics import check_definitions
from rekindle.domain.training_job import (
    MAX_HYPERPARAMETERS,
    MAX_NAME_LENGTH,
    MAX_VALUE_LENGTH,
    TrainingSpec,
    check_instances,
)
from rekindle.domain.tuning_job import (
    EPOCH_NAMES,
    OBJECTIVE_HYPERPARAMETER,
    SAMPLERS,
    WARM_STRATEGIES,
    Definition,
    StrategyName,
    TuningJobSpec,
    WarmStart,
    combinations,
    hyperband_resources,
)
from rekindle.search.space import Continuous, Integer, Space, SpaceError, not_told_apart

#: A tuning job has at most this many parents.
MAX_PARENTS = 5

_STRATEGIES_TEXT = "warm start works with the Bayesian and Random strategies only"
_COLD = "leave the warm start out"
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}")


@dataclass(frozen=True)
class Quotas:
    """How much one tuning job, and one account, may ask for. With ``bound_all`` a tuning job that names no number of training
    jobs ends at the highest."""

    max_jobs: int = 750
    max_parallel: int = 10
    max_runtime_seconds: int = 15_768_000
    max_training_seconds: int = 2_419_200
    running_tuning_jobs: int = 100
    bound_all: bool = True


#: For people on their own machine: the structure's limits stay, the account's go.
RELAXED = Quotas(
    max_jobs=100_000, max_parallel=1_000, max_training_seconds=2**31 - 1, running_tuning_jobs=10_000, bound_all=False
)

MAX_TUNED = 30
MAX_CATEGORIES = 30
MAX_METRICS = 40
MAX_GRID = 750
#: Random search looks one by one for what is left among so many combinations (search/random_search.py).
MAX_GONE_THROUGH = 1_000_000
MIN_TUNING_RUNTIME_SECONDS = 120
MAX_HYPERBAND_RESOURCE = 20_000


def check_spec(spec: TuningJobSpec, quotas: Quotas) -> None:
    """Every rule that a tuning job's spec keeps by itself. Raises InvalidValue or LimitExceeded for the first broken."""
    if not _NAME.fullmatch(spec.name):
        raise InvalidValue("name", spec.name, "a name has 1 to 32 letters, digits and inner hyphens, and starts with no hyphen")
    _check_definitions(spec)
    for definition in spec.definitions:
        check_definition(definition)
    # Before the rules of a strategy that takes no parents: who has kept those would then have to leave it.
    raise_first(warm_start_shape(spec))
    # Before the limits: a grid's number of training jobs is of its lists' making, and nobody may have given it.
    if spec.strategy is StrategyName.GRID:
        _check_grid(spec)
    _check_limits(spec, quotas)
    _check_strategy(spec)
    _check_criteria(spec)


def check_definition(definition: Definition) -> None:
    """The rules of one definition: its ranges, its statics, its objective and its metrics."""
    where = definition.where
    _check_ranges(definition, where)
    _check_statics(definition, where)
    metrics = definition.training.algorithm.metrics
    with within(where):
        check_definitions(metrics)
        check_instances(definition.training.resources)
    if len(metrics) > MAX_METRICS:
        raise LimitExceeded("number of metrics", MAX_METRICS, len(metrics), field=f"{where}metrics")
    if definition.objective.metric not in [m.name for m in metrics]:
        raise _no_metric(definition, where)
    check_search(definition.training, definition.statics, definition.ranges, definition.objective.metric, where)


def _no_metric(definition: Definition, where: str) -> InvalidValue:
    field, metric = f"{where}objective.metric", definition.objective.metric
    names = [m.name for m in definition.training.algorithm.metrics]
    builtin = builtin_named(definition.training.algorithm.image)
    if builtin is not None and set(builtin.metrics) <= set(definition.training.algorithm.metrics):
        # On the wire none can be defined for its image, even where that runs a script.
        return InvalidValue(field, metric, f"{builtin.name} has no metric of this name", f"Its metrics are {', '.join(names)}.")
    reason = f"no metric of this name is defined; there is {names or 'none'}"
    way_out = "Give the objective a regex that finds its value in the log."
    return InvalidValue(field, metric, reason, way_out, code="metric-required")


def _check_definitions(spec: TuningJobSpec) -> None:
    if not spec.definitions:
        raise InvalidValue("definitions", [], "a tuning job needs at least one training job definition")
    if len(spec.definitions) > 10:
        raise LimitExceeded("number of training job definitions", 10, len(spec.definitions), field="definitions")
    names = [d.name for d in spec.definitions]
    if len(names) > 1 and None in names:
        raise InvalidValue("definitions", names, "each of several definitions needs a name")
    for name in names:
        if names.count(name) > 1:
            raise InvalidValue(f"definitions.{name}.name", name, "two definitions have this name")
    _check_goals(spec)


def _check_goals(spec: TuningJobSpec) -> None:
    """The best is found among the results of all definitions."""
    first, whole = spec.definition.name, spec.definition.objective.direction
    for definition in spec.definitions:
        own = definition.objective.direction
        if own != whole:
            reason = f"the objective of {first} is to {whole}; it must be the same goal, since their results are compared"
            field, code = f"{definition.where}objective.goal", "definitions-goal"
            raise InvalidValue(field, own, reason, code=code, ours=own, theirs=whole, first=first)


def _check_ranges(definition: Definition, where: str) -> None:
    try:
        Space(definition.ranges)
    except SpaceError as error:
        raise InvalidValue(f"{where}ranges.{error.parameter}", error.value, error.reason) from error
    if not definition.ranges:
        raise InvalidValue(f"{where}ranges", {}, "there is nothing to tune", "Name at least one range.")
    if len(definition.ranges) > MAX_TUNED:
        raise LimitExceeded("number of tunable hyperparameters", MAX_TUNED, len(definition.ranges), field=f"{where}ranges")
    for p in definition.ranges:
        _check_hyperparameter_name(f"{where}ranges", p.name)
        _check_not_ours(f"{where}ranges.{p.name}", p.name)
        values: Sequence[object] = getattr(p, "values", ())
        if len(values) > MAX_CATEGORIES:
            raise LimitExceeded(f"number of values of {p.name}", MAX_CATEGORIES, len(values), field=f"{where}ranges.{p.name}")
        for value in values:
            if len(str(value)) > MAX_NAME_LENGTH:
                raise InvalidValue(f"{where}ranges.{p.name}", value, f"a value has at most {MAX_NAME_LENGTH} characters")


def _check_statics(definition: Definition, where: str) -> None:
    tuned = {p.name for p in definition.ranges}
    for name, value in definition.statics.items():
        _check_hyperparameter_name(f"{where}static", name)
        if name in tuned:
            raise InvalidValue(f"{where}static.{name}", value, "the name is tuned and static at once", "Remove one of them.")
        if len(value) > MAX_VALUE_LENGTH:
            raise InvalidValue(f"{where}static.{name}", value, f"a value has at most {MAX_VALUE_LENGTH} characters")
    total = len({*tuned, *definition.statics, OBJECTIVE_HYPERPARAMETER})
    if total > MAX_HYPERPARAMETERS:
        what = f"number of hyperparameters, static, tuned and {OBJECTIVE_HYPERPARAMETER}"
        raise LimitExceeded(what, MAX_HYPERPARAMETERS, total, field=f"{where}static")


def _check_hyperparameter_name(where: str, name: str) -> None:
    if not name or len(name) > MAX_NAME_LENGTH:
        raise InvalidValue(where, name, f"a hyperparameter's name has 1 to {MAX_NAME_LENGTH} characters")
    if "\x00" in name:
        raise InvalidValue(where, name, "a hyperparameter's name cannot hold a NUL character")


def _check_not_ours(where: str, name: str) -> None:
    """As a static it may come back: SDKs send what they were shown. A tuned value would be lost under the metric's name."""
    if name == OBJECTIVE_HYPERPARAMETER:
        reason = "the service gives every training job the name of the objective metric in this hyperparameter"
        raise InvalidValue(where, name, reason, "Give the range another name.")


def _check_limits(spec: TuningJobSpec, quotas: Quotas) -> None:
    limits = spec.limits
    if limits.max_parallel < 1:
        raise InvalidValue("limits.parallel", limits.max_parallel, "must be at least 1")
    if limits.max_jobs is not None and limits.max_jobs < 1:
        raise InvalidValue("limits.jobs", limits.max_jobs, "must be at least 1")
    if limits.max_jobs is not None and limits.max_parallel > limits.max_jobs:
        raise InvalidValue("limits.parallel", limits.max_parallel, f"more in parallel than jobs in all ({limits.max_jobs})")
    if limits.max_parallel > quotas.max_parallel:
        raise LimitExceeded(
            "number of parallel training jobs", quotas.max_parallel, limits.max_parallel, field="limits.parallel"
        )
    if limits.max_jobs is not None and limits.max_jobs > quotas.max_jobs:
        raise LimitExceeded("number of training jobs", quotas.max_jobs, limits.max_jobs, field="limits.jobs")
    seconds = limits.max_runtime_seconds
    if seconds is not None and not MIN_TUNING_RUNTIME_SECONDS <= seconds <= quotas.max_runtime_seconds:
        bounds = f"must be from {MIN_TUNING_RUNTIME_SECONDS} to {quotas.max_runtime_seconds} seconds"
        raise InvalidValue("limits.runtime", seconds, bounds)
    for definition in spec.definitions:
        with within(definition.where):
            check_run_time(definition.training, quotas)


def check_run_time(training: TrainingSpec, quotas: Quotas) -> None:
    """Whether a training job may run for as long as it asks for. Raises LimitExceeded."""
    seconds = training.max_runtime_seconds
    if seconds > quotas.max_training_seconds:
        where = "max_runtime_seconds"
        raise LimitExceeded("seconds of run time of a training job", quotas.max_training_seconds, seconds, field=where)


def _check_strategy(spec: TuningJobSpec) -> None:
    if spec.random_seed is not None and not 0 <= spec.random_seed < 2**63:
        raise InvalidValue("seed", spec.random_seed, "must be a whole number from 0 to 2**63 - 1")
    if spec.hyperband is not None and spec.strategy is not StrategyName.HYPERBAND:
        raise InvalidValue("hyperband", spec.strategy.value, "goes with the Hyperband strategy only")
    if spec.strategy is StrategyName.HYPERBAND:
        _check_hyperband(spec)
    if spec.strategy is StrategyName.BAYESIAN or (spec.hyperband is not None and spec.hyperband.sampler == "bayesian"):
        _check_told_apart(spec, 0, "another strategy")
    else:
        # Few values are gone through one by one instead.
        _check_told_apart(spec, MAX_GONE_THROUGH, "a linear scale")
    _check_room(spec)
    if spec.limits.max_jobs is None and spec.strategy is not StrategyName.GRID and spec.limits.max_runtime_seconds is None:
        raise InvalidValue("limits.jobs", None, "needed, unless limits.runtime ends the search", code="no-end")


def _check_told_apart(spec: TuningJobSpec, largest_spared: int, way_out: str) -> None:
    """Refuses whole numbers that share a place on their range's scale, in ranges of more than ``largest_spared``: a model would
    take them for the same, and a draw would give one of them again and again."""
    for definition in spec.definitions:
        for p in definition.ranges:
            if isinstance(p, Integer) and p.size > largest_spared and not p.told_apart:
                hint = f"Tune how much is added to {p.low}, or use {way_out}."
                raise InvalidValue(f"{definition.where}ranges.{p.name}", [p.low, p.high], not_told_apart(p), hint)


def _check_hyperband(spec: TuningJobSpec) -> None:
    if spec.hyperband is not None and spec.hyperband.sampler not in SAMPLERS:
        raise InvalidValue("hyperband.sampler", spec.hyperband.sampler, f"must be one of {', '.join(SAMPLERS)}")
    for definition in spec.definitions:
        resources = hyperband_resources(spec.hyperband, definition.statics)
        given = spec.hyperband is not None and spec.hyperband.max_resource is not None
        of = f"; that is the epochs of the definition {definition.name}" if definition.name and not given else ""
        if resources is None:
            whose = f" of the definition {definition.name}" if definition.name else ""
            reason = f"missing, and no static hyperparameter{whose} ({', '.join(EPOCH_NAMES)}) says how many epochs there are"
            hint = "Write `hyperband: {max_resource: N}`: how often a training job that runs to its end emits the objective."
            facts = {"statics": f"{definition.where}static"} if definition.name else {}
            raise InvalidValue("hyperband.max_resource", None, reason, hint, code="max-resource", **facts)
        least, most = resources
        if most < 1:
            raise InvalidValue("hyperband.max_resource", most, "must be at least 1")
        if most > MAX_HYPERBAND_RESOURCE:
            raise InvalidValue("hyperband.max_resource", most, f"at most {MAX_HYPERBAND_RESOURCE}{of}")
        if not 1 <= least <= most:
            raise InvalidValue("hyperband.min_resource", least, f"must be from 1 to the largest resource, {most}{of}")


def _check_grid(spec: TuningJobSpec) -> None:
    for definition in spec.definitions:
        _check_listed(definition)
    size = combinations(spec) or 0
    if size > MAX_GRID:
        where = f"{spec.definition.where}ranges" if len(spec.definitions) == 1 else "definitions"
        way_out = "Shorten the lists of values, or use another strategy, which tries some of the combinations only."
        raise LimitExceeded("number of combinations of a grid", MAX_GRID, size, way_out, field=where)
    if spec.limits.max_jobs is not None and spec.limits.max_jobs != size:
        raise InvalidValue(
            "limits.jobs", spec.limits.max_jobs, f"a grid runs each of its {size} combinations once", "Leave it out."
        )


def _check_listed(definition: Definition) -> None:
    for p in definition.ranges:
        if isinstance(p, Continuous | Integer):
            reason, hint = "grid search takes lists of values only", "List the values, or use another strategy."
            raise InvalidValue(f"{definition.where}ranges.{p.name}", p.name, reason, hint)


def _check_room(spec: TuningJobSpec) -> None:
    size = combinations(spec)
    if spec.limits.max_jobs is None or size is None:
        return
    if size < spec.limits.max_jobs:
        raise InvalidValue(
            "limits.jobs",
            spec.limits.max_jobs,
            f"the ranges have only {size} combinations",
            "Widen the ranges or lower the number of jobs.",
            code="too-few-combinations",
            combinations=size,
        )


def _check_criteria(spec: TuningJobSpec) -> None:
    criteria = spec.completion
    if criteria.target is not None and not math.isfinite(criteria.target):
        # No number compares as worse than NaN: the first result would reach it.
        raise InvalidValue("completion.target", criteria.target, "must be a finite number", "Leave it out for no target.")
    if criteria.max_not_improving is not None and criteria.max_not_improving < 3:
        raise InvalidValue("completion.not_improving", criteria.max_not_improving, "must be at least 3")
    if spec.early_stopping and spec.strategy is StrategyName.HYPERBAND:
        reason, way_out = "Hyperband stops training jobs by its own rule", "Set it to off."
        raise InvalidValue("early_stopping", "auto", reason, way_out, code="early-stopping")
    if spec.early_stopping and len(spec.definitions) > 1:
        reason = "works with a single training job definition only"
        raise InvalidValue("early_stopping", "auto", reason, code="early-stopping")


def warm_start_shape(spec: TuningJobSpec) -> list[Check]:
    """The rules of warm start that need no look at the parents."""
    warm = spec.warm_start
    if warm is None:
        return []
    free = None if warm.relaxed else _too_free(warm)
    return [
        Check(None, "1 to 5 parents", str(len(warm.parents)), _wrong_number(warm)),
        Check(None, "each parent once, and not the job itself", ", ".join(warm.parents), _repeated(spec.name, warm)),
        Check(None, "one training job definition", str(len(spec.definitions)), _several(spec, warm)),
        Check(None, "Bayesian or Random strategy", spec.strategy.value, _takes_no_parents(spec, warm)),
        *([] if free is None else [Check(None, "names and recursion with `match: relaxed` only", "exact", free)]),
    ]


def _wrong_number(warm: WarmStart) -> InvalidValue | None:
    if 1 <= len(warm.parents) <= MAX_PARENTS:
        return None
    way_out = f"Leave out {len(warm.parents) - MAX_PARENTS}." if warm.parents else f"Name one, or {_COLD}."
    reason = f"1 to {MAX_PARENTS} parents, not {len(warm.parents)}"
    return InvalidValue("warm_start.parents", list(warm.parents), reason, way_out)


def _repeated(own: str, warm: WarmStart) -> InvalidValue | None:
    lowered = [p.lower() for p in warm.parents]
    for name in warm.parents:
        if lowered.count(name.lower()) > 1:
            return InvalidValue("warm_start.parents", name, "the same parent is named twice", "Name each once.")
        if name.lower() == own.lower():
            way_out = "Name an earlier tuning job, or give this one another name."
            return InvalidValue("warm_start.parents", name, "a tuning job cannot be its own parent", way_out)
    return None


def _several(spec: TuningJobSpec, warm: WarmStart) -> InvalidValue | None:
    if len(spec.definitions) == 1 and spec.definition.name is None:
        return None
    reason = "works with a single training job definition only"
    return InvalidValue("warm_start", warm.type.value, reason, f"Make a tuning job of each definition, or {_COLD}.")


def _takes_no_parents(spec: TuningJobSpec, warm: WarmStart) -> InvalidValue | None:
    if spec.strategy in WARM_STRATEGIES:
        return None
    parents = first_of([shown(name) for name in warm.parents]) or "none"
    reason = f"{_STRATEGIES_TEXT}; the parents are {parents}"
    return InvalidValue("strategy", spec.strategy.value, reason, f"Set it to Bayesian or Random, or {_COLD}.")


def _too_free(warm: WarmStart) -> InvalidValue | None:
    way_out = "Write `match: relaxed`, too."
    if warm.recursive:
        return InvalidValue("warm_start.recursive", True, "goes with `match: relaxed` only", way_out)
    if any(warm.names.values()):
        return InvalidValue("warm_start.parents", dict(warm.names), "names go with `match: relaxed` only", way_out)
    return None
