"""The rules of warm start: what a tuning job may take from its parents, and what it may change.

Each refusal names the parent, the field, both values, the rule and the way out. A parent's definition is read as the child
sees it: with the child's names, where the two differ (``WarmStart.names``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rekindle.domain.checks import Check, raise_first
from rekindle.domain.completion import best_job
from rekindle.domain.decisions import ParentJob
from rekindle.domain.errors import InvalidValue, did_you_mean, shown
from rekindle.domain.training_job import TrainingSpec
from rekindle.domain.tuning_job import (
    OBJECTIVE_HYPERPARAMETER,
    Definition,
    TuningJobSpec,
    TuningJobStatus,
    WarmStart,
    WarmStartType,
    format_value,
)
from rekindle.domain.tuning_rules import Quotas
from rekindle.search.space import Categorical, Continuous, Parameter

#: At most this many changes between a parent's hyperparameters and the child's.
MAX_CHANGES = 10
#: 2018-10-01 UTC: tuning jobs made before cannot be parents.
EARLIEST_PARENT = 1_538_352_000.0
#: Fields of a training job definition that must stay as they were in every parent, as job files call them.
FIXED_FIELDS = {
    "environment": "environment",
    "retries": "max_retries",
    "network_isolation": "network_isolation",
    "encrypted_traffic": "encrypted_traffic",
}


_LEAVE_OUT = "Leave this parent out."


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
    raise_first(warm_start_checks(spec, parents, quotas))


def bounded(spec: TuningJobSpec, parents: Sequence[ParentJob], quotas: Quotas) -> TuningJobSpec:
    """The spec with as many training jobs as quotas and parents leave, where it names no number and must end there."""
    if spec.limits.max_jobs is not None or not quotas.bound_all:
        return spec
    left = quotas.max_jobs - sum(len(p.jobs) for p in parents)
    # With none left the rule about all of them refuses the one.
    return replace(spec, limits=replace(spec.limits, max_jobs=max(left, 1)))


def warm_start_checks(spec: TuningJobSpec, parents: Sequence[ParentJob], quotas: Quotas) -> Iterator[Check]:
    """Every rule about parents that are there, parent by parent, and the one about all of them."""
    if spec.warm_start is None:
        return
    for parent in parents:
        yield from parent_checks(spec, spec.warm_start, parent)
    yield _total(spec, parents, quotas)


def parent_checks(spec: TuningJobSpec, warm: WarmStart, parent: ParentJob) -> Iterator[Check]:
    """Every rule about one parent, and what it has to offer. An ancestor is only asked what a direct parent was not asked
    before: it was accepted by those that came after it."""
    job, names = parent.job, warm.names_in(parent.job.name)
    seen = renamed(job.spec.definition, names)
    about = _About(job.name, f"warm_start.parents.{job.name}", spec.definition, seen)
    if not parent.direct:
        yield about.remark("a parent's parent", "it counts because the warm start is recursive")
    yield _has_ended(about, parent)
    yield _is_recent(about, parent)
    yield _has_one_definition(about, parent)
    yield _same_objective(about, job.imported)
    if warm.relaxed:
        yield _known_names(about, names, job.spec.definition)
    else:
        yield _same_names(about)
    yield from _same_types(about, names)
    if parent.direct:
        yield _few_changes(about)
        yield from _same_fields(about)
    yield from _remarks(about, warm, parent)


def renamed(definition: Definition, names: Mapping[str, str]) -> Definition:
    """A parent's definition with its hyperparameters called as the child calls them; ``names`` is from the child's names to
    the parent's."""
    if not names:
        return definition
    called = namer(names)
    return replace(
        definition,
        ranges=tuple(replace(p, name=called(p.name)) for p in definition.ranges),
        statics={called(name): value for name, value in definition.statics.items()},
    )


def namer(names: Mapping[str, str]) -> Callable[[str], str]:
    """From a parent's name of a hyperparameter to the child's. What the child calls by a name that means something else in
    the parent is told apart."""
    back = {theirs: ours for ours, theirs in names.items()}
    return lambda name: back.get(name) or (f"{name} (the parent's)" if name in names else name)


def composed(ours: Iterable[str], names: Mapping[str, str], further: Mapping[str, str]) -> dict[str, str]:
    """From names here to names in a parent's parent, where they differ: ``names`` leads to the parent, ``further`` on."""
    found = {name: _followed(_followed(name, names), further) for name in ours}
    return {name: theirs for name, theirs in found.items() if theirs is not None and theirs != name}


def _followed(name: str | None, names: Mapping[str, str]) -> str | None:
    """What a name stands for one generation further; None where another name stands for what is called so there."""
    if name is None or name in names:
        return names.get(name or "")
    return None if name in names.values() else name


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


@dataclass(frozen=True)
class _About:
    """A parent and the child: what a rule looks at. ``theirs`` has the child's names."""

    parent: str
    where: str
    ours: Definition
    theirs: Definition

    def check(self, rule: str, found: str, error: InvalidValue | None = None) -> Check:
        """A rule that was tried."""
        return Check(self.parent, rule, found, error)

    def remark(self, rule: str, found: str) -> Check:
        """What is worth knowing."""
        return Check(self.parent, rule, found, remark=True)


def _or_leave_out(way_out: str) -> str:
    return f"{way_out}, or leave this parent out."


def _has_ended(about: _About, parent: ParentJob) -> Check:
    status, error = parent.job.shown_status, None
    if not status.is_terminal:
        way_out = f"Wait, or stop it: `rekindle stop {about.parent}`."
        if status is TuningJobStatus.STOPPING:
            way_out = f"It was asked to stop: wait until it has; `rekindle stop {about.parent}` waits with you."
        error = InvalidValue(about.where, status.value, "a parent must have ended (Completed, Stopped or Failed)", way_out)
    return about.check("has ended", status.value, error)


def _is_recent(about: _About, parent: ParentJob) -> Check:
    made, error = _day(parent.job.created_at), None
    if parent.job.created_at < EARLIEST_PARENT:
        reason = "a parent made before 2018-10-01 cannot be used"
        error = InvalidValue(f"{about.where}.created_at", made, reason, _LEAVE_OUT)
    return about.check("made since 2018-10-01", made, error)


def _has_one_definition(about: _About, parent: ParentJob) -> Check:
    count, error = len(parent.job.spec.definitions), None
    if count > 1:
        reason = "a parent with several training job definitions cannot be used"
        error = InvalidValue(f"{about.where}.definitions", count, reason, _LEAVE_OUT)
    return about.check("one training job definition", str(count), error)


def _same_objective(about: _About, imported: bool) -> Check:
    ours, theirs = about.ours.objective, about.theirs.objective
    error = None
    if ours.metric != theirs.metric:
        reason = f"the parent's objective is {theirs.metric!r}; it must be the same metric"
        # A study of Optuna's seldom says what its objective is called.
        again = f", import the parent again with {ours.metric!r} as its objective's name" if imported else ""
        way_out = _or_leave_out(f"Tune {theirs.metric!r}{again}")
        error = InvalidValue(f"{about.where}.objective.metric", ours.metric, reason, way_out)
    elif ours.direction != theirs.direction:
        reason = f"the parent's objective is to {theirs.direction}; it must be the same goal"
        facts = {"ours": ours.direction, "theirs": theirs.direction}
        way_out = _or_leave_out(f"Set it to {theirs.direction}")
        error = InvalidValue(f"{about.where}.objective.goal", ours.direction, reason, way_out, "warm-start-goal", **facts)
    return about.check("same objective", f"{theirs.direction} {theirs.metric}", error)


def _names(definition: Definition) -> set[str]:
    return {p.name for p in definition.ranges} | (set(definition.statics) - {OBJECTIVE_HYPERPARAMETER})


def _same_names(about: _About) -> Check:
    rule, names = "same hyperparameters, static and tuned", ", ".join(sorted(_names(about.theirs)))
    missing, added = _difference(about)
    if not (missing or added):
        return about.check(rule, names)
    error = InvalidValue(
        f"{about.where}.hyperparameters",
        sorted({*missing, *added}),
        "the set of tuned and static hyperparameter names must be the same as the parent's"
        f" (missing here: {missing or 'none'}; not in the parent: {added or 'none'})",
        "What was static may be tuned and what was tuned may be static; a job file's `match: relaxed` lets names differ.",
        code="warm-start-names",
    )
    return about.check(rule, names, error)


def _known_names(about: _About, names: Mapping[str, str], theirs: Definition) -> Check:
    """The rule of names where they may differ: what is mapped must be there, once."""
    rule, known, own, error = "names that are mapped are known", _names(theirs), _names(about.ours), None
    for name, other in names.items():
        if name not in own:
            reason = f"this job has no such hyperparameter; there is {sorted(own)}"
            error = InvalidValue(f"{about.where}.names", name, reason, did_you_mean(name, own))
        elif other not in known:
            reason = f"the parent has no such hyperparameter; there is {sorted(known)}"
            error = InvalidValue(f"{about.where}.names.{name}", other, reason, did_you_mean(other, known))
        elif list(names.values()).count(other) > 1:
            error = InvalidValue(f"{about.where}.names.{name}", other, "two names here stand for it", "Name it once.")
        if error is not None:
            break
    removed, added = _difference(about)
    mapped = [f"{name} is its {other}" for name, other in names.items()]
    told = [*mapped, *(f"{name} is new" for name in added), *(f"{name} is left out" for name in removed)]
    return about.check(rule, "; ".join(told) or "the same names", error)


def _difference(about: _About) -> tuple[list[str], list[str]]:
    """Names of the parent that are missing here, and names here that are not in the parent."""
    return sorted(_names(about.theirs) - _names(about.ours)), sorted(_names(about.ours) - _names(about.theirs))


def _same_types(about: _About, names: Mapping[str, str]) -> Iterator[Check]:
    """One check, or one for each range that is of another type."""
    before, rule = {p.name: p for p in about.theirs.ranges}, "same types"
    types = ", ".join(f"{p.name} {_type_name(p)}" for p in about.theirs.ranges)
    broken = [
        InvalidValue(
            f"{about.where}.ranges.{p.name}",
            _type_name(p),
            f"the parent's {_called(p.name, names)} is {_type_name(before[p.name])}; the type must stay the same",
            _or_leave_out(f"Make it {_type_name(before[p.name])}"),
        )
        for p in about.ours.ranges
        if p.name in before and type(before[p.name]) is not type(p)
    ]
    yield from (about.check(rule, types, error) for error in broken or (None,))


def _called(name: str, names: Mapping[str, str]) -> str:
    return repr(names[name]) if name in names else "range"


def _few_changes(about: _About) -> Check:
    found, error = changes(about.theirs, about.ours), None
    total, listed = sum(c.cost for c in found), "; ".join(str(c) for c in found)
    if total > MAX_CHANGES:
        reason = f"at most {MAX_CHANGES} changes count from the parent: {listed}"
        way_out = "Leave more of them as they were, static with the parent's value or tuned."
        error = InvalidValue(f"{about.where}.hyperparameters", total, reason, way_out)
    return about.check(f"at most {MAX_CHANGES} changes", f"{total}: {listed or 'none'}", error)


def _same_fields(about: _About) -> Iterator[Check]:
    """One check, or one for each field that is not as it was."""
    fields = {
        name: (_plain(getattr(about.theirs.training, attribute)), _plain(getattr(about.ours.training, attribute)))
        for name, attribute in FIXED_FIELDS.items()
    }
    broken = [
        InvalidValue(
            f"{about.where}.{name}",
            after,
            f"the parent has {shown(before)}; this field may not change",
            _or_leave_out("Set it to what the parent has"),
            code="warm-start-fields",
        )
        for name, (before, after) in fields.items()
        if before != after
    ]
    kept = ", ".join(f"{name.replace('_', ' ')} {shown(before, 30)}" for name, (before, _) in fields.items())
    yield from (about.check("fields that may not change", kept, error) for error in broken or (None,))


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _remarks(about: _About, warm: WarmStart, parent: ParentJob) -> Iterator[Check]:
    """What a parent has to offer, and where it strains its promise."""
    usable = sum(j.objective_value is not None for j in parent.jobs)
    yield about.remark("results to learn from", f"{usable} of {len(parent.jobs)} training jobs")
    best = best_job(parent.jobs, about.theirs.objective.direction)
    if best is not None:
        yield about.remark("best so far", f"{best.objective_value:.6g} by {best.name}")
    other = _other_task(about.ours.training, about.theirs.training)
    if warm.type is WarmStartType.IDENTICAL and other:
        yield about.remark("promised: the same data and algorithm", "; ".join(other))


def _other_task(ours: TrainingSpec, theirs: TrainingSpec) -> list[str]:
    """Where data or algorithm look different: nothing that can be checked, but worth a look."""
    before, after = ({c.name: c.uri for c in spec.channels} for spec in (theirs, ours))
    found = [
        f"channel {name}: {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    for what in ("image", "command"):
        old, new = getattr(theirs.algorithm, what), getattr(ours.algorithm, what)
        if old != new:
            found.append(f"{what}: {old or 'none'} -> {new or 'none'}")
    return found


def _total(spec: TuningJobSpec, parents: Sequence[ParentJob], quotas: Quotas) -> Check:
    theirs, own = sum(len(p.jobs) for p in parents), spec.limits.max_jobs or 0
    counted = f"{own} here, {theirs} in the parents: {theirs + own}"
    error = None
    if theirs + own > quotas.max_jobs:
        each = ", ".join(f"{p.job.name} {len(p.jobs)}" for p in parents)
        reason = f"with the parents' {theirs} training jobs ({each}) this makes {theirs + own}; the limit is {quotas.max_jobs}"
        error = InvalidValue("limits.jobs", spec.limits.max_jobs, reason, "Ask for fewer, or name fewer parents.")
    return Check(None, f"at most {quotas.max_jobs:,} training jobs in all", counted, error)


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))


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
