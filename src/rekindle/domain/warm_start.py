"""The rules of warm start: what a tuning job may take from its parents, and what it may change.

Each refusal names the parent, the field, both values and the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rekindle.domain.decisions import ParentJob
from rekindle.domain.errors import InvalidValue, shown
from rekindle.domain.training_job import TrainingSpec
from rekindle.domain.tuning_job import (
    OBJECTIVE_HYPERPARAMETER,
    Definition,
    Quotas,
    TuningJobSpec,
    format_value,
)
from rekindle.search.space import Categorical, Continuous, Parameter

#: At most this many changes between a parent's hyperparameters and the child's.
MAX_CHANGES = 10
#: 2018-10-01 UTC: tuning jobs made before cannot be parents.
EARLIEST_PARENT = 1_538_352_000.0
#: Fields of a training job definition that must stay as they were in every parent.
FIXED_FIELDS = ("environment", "max_retries", "network_isolation", "encrypted_traffic")


@dataclass(frozen=True)
class Change:
    """One difference in the hyperparameters, and how many of the ten allowed changes it costs."""

    parameter: str
    before: str
    after: str
    cost: int

    def __str__(self) -> str:
        return f"{self.parameter}: {self.before} -> {self.after} ({self.cost})"


def check_warm_start(spec: TuningJobSpec, parents: Sequence[ParentJob], quotas: Quotas) -> None:
    """Every rule about parents. Raises InvalidValue for the first that is broken."""
    if spec.warm_start is None:
        return
    for parent in parents:
        _check_parent(spec, parent)
    _check_total(spec, parents, quotas)


def lacks_metrics(spec: TuningJobSpec) -> bool:
    """Whether a warm-started job has a definition without any metric: SageMaker's SDK forgets them in a child."""
    return spec.warm_start is not None and any(not d.training.algorithm.metrics for d in spec.definitions)


def with_parents_metrics(spec: TuningJobSpec, parents: Sequence[ParentJob]) -> TuningJobSpec:
    """The spec in which a definition without any metric has those of the first parent that defines its objective."""
    return replace(spec, definitions=tuple(_with_parents_metrics(d, parents) for d in spec.definitions))


def _with_parents_metrics(definition: Definition, parents: Sequence[ParentJob]) -> Definition:
    training = definition.training
    known = [d.training.algorithm.metrics for parent in parents for d in parent.job.spec.definitions]
    theirs = next((metrics for metrics in known if definition.objective.metric in {m.name for m in metrics}), ())
    if training.algorithm.metrics or not theirs:
        return definition
    return replace(definition, training=replace(training, algorithm=replace(training.algorithm, metrics=theirs)))


def changes(theirs: Definition, ours: Definition) -> list[Change]:
    """What the child changed that counts: tunable made static, and static values. A category, and each of an old and a
    new static value, counts by itself."""
    found: list[Change] = []
    ranges = {p.name: p for p in theirs.ranges}
    for name, value in sorted(ours.statics.items()):
        if name in ranges:
            found.append(Change(name, f"tuned {_range_text(ranges[name])}", f"static {shown(value)}", _weight(ranges[name])))
        elif name in theirs.statics and theirs.statics[name] != value:
            found.append(Change(name, f"static {shown(theirs.statics[name])}", f"static {shown(value)}", 2))
    return found


def _check_parent(spec: TuningJobSpec, parent: ParentJob) -> None:
    job = parent.job
    where = f"warm_start.parents.{job.name}"
    if not job.status.is_terminal:
        raise InvalidValue(
            where, job.status.value, "a parent must have ended (Completed, Stopped or Failed)", "Wait, or stop it."
        )
    if job.created_at < EARLIEST_PARENT:
        raise InvalidValue(where, job.created_at, "a parent made before 2018-10-01 cannot be used")
    if len(job.spec.definitions) > 1:
        raise InvalidValue(where, len(job.spec.definitions), "a parent with several training job definitions cannot be used")
    _check_objective(where, spec.definition, job.spec.definition)
    _check_names(where, spec.definition, job.spec.definition)
    _check_types(where, spec.definition, job.spec.definition)
    _check_changes(where, spec.definition, job.spec.definition)
    _check_fixed_fields(where, spec.definition.training, job.spec.definition.training)


def _check_objective(where: str, ours: Definition, theirs: Definition) -> None:
    if ours.objective.metric != theirs.objective.metric:
        reason = f"the parent's objective is {theirs.objective.metric!r}; it must be the same metric"
        raise InvalidValue(f"{where}.objective.metric", ours.objective.metric, reason)
    if ours.objective.direction != theirs.objective.direction:
        reason = f"the parent's objective is to {theirs.objective.direction}; it must be the same goal"
        raise InvalidValue(f"{where}.objective.goal", ours.objective.direction, reason)


def _names(definition: Definition) -> set[str]:
    return {p.name for p in definition.ranges} | (set(definition.statics) - {OBJECTIVE_HYPERPARAMETER})


def _check_names(where: str, ours: Definition, theirs: Definition) -> None:
    missing, added = sorted(_names(theirs) - _names(ours)), sorted(_names(ours) - _names(theirs))
    if missing or added:
        raise InvalidValue(
            f"{where}.hyperparameters",
            sorted({*missing, *added}),
            "the set of tuned and static hyperparameter names must be the same as the parent's"
            f" (missing here: {missing or 'none'}; not in the parent: {added or 'none'})",
            "What was static may be tuned and what was tuned may be static.",
            code="warm-start-names",
        )


def _check_types(where: str, ours: Definition, theirs: Definition) -> None:
    before = {p.name: p for p in theirs.ranges}
    for p in ours.ranges:
        old = before.get(p.name)
        if old is not None and type(old) is not type(p):
            reason = f"the parent's range is {_type_name(old)}; the type must stay the same"
            raise InvalidValue(f"{where}.ranges.{p.name}", _type_name(p), reason)


def _check_changes(where: str, ours: Definition, theirs: Definition) -> None:
    found = changes(theirs, ours)
    total = sum(c.cost for c in found)
    if total > MAX_CHANGES:
        listed = "; ".join(str(c) for c in found)
        raise InvalidValue(f"{where}.hyperparameters", total, f"at most {MAX_CHANGES} changes count from the parent: {listed}")


def _check_fixed_fields(where: str, ours: TrainingSpec, theirs: TrainingSpec) -> None:
    for name in FIXED_FIELDS:
        before, after = getattr(theirs, name), getattr(ours, name)
        if _plain(before) != _plain(after):
            raise InvalidValue(
                f"{where}.{name}",
                after,
                f"the parent has {shown(before)}; this field may not change",
                code="warm-start-fields",
            )


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _check_total(spec: TuningJobSpec, parents: Sequence[ParentJob], quotas: Quotas) -> None:
    theirs = sum(len(p.jobs) for p in parents)
    total = theirs + (spec.limits.max_jobs or 0)
    if total > quotas.max_jobs:
        reason = f"with the parents' {theirs} training jobs this makes {total}; the limit is {quotas.max_jobs}"
        raise InvalidValue("limits.jobs", spec.limits.max_jobs, reason)


def _weight(p: Parameter) -> int:
    return len(p.values) if isinstance(p, Categorical) else 1


def _range_text(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return "{" + ", ".join(format_value(v) for v in p.values) + "}"
    return f"[{format_value(p.low)}, {format_value(p.high)}]"


def _type_name(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return "categorical"
    return "continuous" if isinstance(p, Continuous) else "integer"
