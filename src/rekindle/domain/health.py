"""Notes on a tuning job's health, each computed from its records: what a good colleague would say on looking at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median_low

from rekindle.domain.builtins.catalogue import builtin_of
from rekindle.domain.causes import causes
from rekindle.domain.completion import best_job
from rekindle.domain.decisions import Snapshot
from rekindle.domain.note import Note
from rekindle.domain.savings import ran_in_full
from rekindle.domain.search_plan import configuration_of, history_for, watches_curves
from rekindle.domain.training_job import ObjectiveStatus, SecondaryStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import Definition, StrategyName, TuningJobSpec
from rekindle.search.importance import Importance, assess
from rekindle.search.space import Categorical

#: A best value within this share of its range's scale from an end lies on the edge.
EDGE_SHARE = 0.02
#: A parameter with less than this share of the importance has no effect.
NO_EFFECT_SHARE = 0.02
#: And when chance alone would look as important: in more than this share of random draws.
MAY_BE_CHANCE = 0.5
#: And of so many results: fewer say it of parameters that matter, too (docs/decisions/0030).
EFFECT_RESULTS = 60
#: Notes on results wait for this many of them.
MIN_RESULTS = 5
#: So many that ran to their end say how often a training job prints its objective.
MIN_CURVES = 3
#: Training jobs that their time limit ended are told of from this number, and from this share of all that have ended, on.
MIN_OUT_OF_TIME, OUT_OF_TIME_SHARE = 3, 0.5


def notes(snapshot: Snapshot) -> list[Note]:
    """All findings on a tuning job, the gravest first."""
    found = [*_failures(snapshot), *_wrong_way(snapshot), *_no_metric(snapshot), *_out_of_time(snapshot)]
    found += [*_printed_once(snapshot), *_resumed_short(snapshot), *_constant(snapshot)]
    if not any(n.kind == "objective-constant" for n in found):
        for definition in snapshot.job.spec.definitions:
            found += [*_edges(snapshot, definition), *_without_effect(snapshot, definition)]
    return found


def parameter_importances(snapshot: Snapshot, definition: Definition) -> Mapping[str, Importance] | None:
    """How much each parameter of a definition matters, by PED-ANOVA; None where too little is known."""
    history = history_for(snapshot, definition)
    return assess(definition.space, history.succeeded, definition.objective.direction)


def _failures(snapshot: Snapshot) -> list[Note]:
    failed = [j for j in snapshot.jobs if j.status is TrainingJobStatus.FAILED]
    found = causes(failed)
    if not found or len(found[0].jobs) < 2:
        return []
    cause, alike = found[0].text, len(found[0].jobs)
    text = f"{alike} of {len(failed)} failed training jobs died of the same cause: {cause}"
    return [Note("failures-alike", text, {"failed": len(failed), "alike": alike, "cause": cause})]


def _wrong_way(snapshot: Snapshot) -> list[Note]:
    """A built-in algorithm's metric of which the worst is sought, as SageMaker's SDK does where no type is said."""
    for definition in snapshot.job.spec.definitions:
        metric, goal = definition.objective.metric, definition.objective.direction
        builtin = builtin_of(definition.training.algorithm, definition.statics)
        best = "maximize" if builtin is not None and metric in builtin.maximized else "minimize"
        if builtin is not None and best != goal:
            larger, text = ("larger" if best == "maximize" else "smaller"), f"the goal is to {goal} {metric!r}"
            text += f", which is better the {larger} it is: the best training job here is the worst. Set the goal to {best}."
            return [Note("wrong-way", text, {"metric": metric, "goal": goal})]
    return []


def _no_metric(snapshot: Snapshot) -> list[Note]:
    silent = [j for j in snapshot.jobs if _ended_silently(j)]
    if not silent:
        return []
    metric = silent[-1].objective_metric
    text = (
        f"{_count(silent)} ended well without a value of {_metrics(silent)}: its regular expression found no finite number."
        f" Test it by `rekindle metrics`, on the log of {silent[-1].name}."
    )
    return [Note("no-metric", text, {"metric": metric, "training_jobs": len(silent), "last": silent[-1].name})]


def _ended_silently(job: TrainingJob) -> bool:
    return job.status is TrainingJobStatus.COMPLETED and job.objective_status is ObjectiveStatus.FAILED


def _out_of_time(snapshot: Snapshot) -> list[Note]:
    ended = [j for j in snapshot.jobs if not j.is_running]
    late = [j for j in ended if j.secondary is SecondaryStatus.MAX_RUNTIME_EXCEEDED]
    if len(late) < MIN_OUT_OF_TIME or len(late) < OUT_OF_TIME_SHARE * len(ended):
        return []
    # Each of several definitions has one of its own.
    limits = sorted({j.spec.max_runtime_seconds for j in late})
    told = " or ".join(map(str, limits))
    text = f"{len(late)} of {len(ended)} training jobs were stopped at their time limit of {told} s: what they reached counts"
    return [Note("out-of-time", text, {"training_jobs": len(late), "ended": len(ended), "limit": limits[-1]})]


def _printed_once(snapshot: Snapshot) -> list[Note]:
    """A rule that stops training jobs by their curves, where there are no curves."""
    spec = snapshot.job.spec
    ran = [j for j in snapshot.jobs if j.status is TrainingJobStatus.COMPLETED and j.objective_value is not None]
    # As many emissions as metrics: each of them once.
    once = [j for j in ran if 0 < j.points_seen <= len(j.final_metrics)]
    if not watches_curves(spec) or len(once) < max(MIN_CURVES, len(ran)) or all(ran_in_full(spec, j, 1) for j in ran):
        return []
    metric = ran[-1].objective_metric
    text = (
        f"all {len(ran)} training jobs that ran to their end printed {_metrics(ran)} once: {_rule(spec)} has nothing to judge"
        " them by. Print it after each epoch."
    )
    return [Note("printed-once", text, {"metric": metric, "training_jobs": len(ran)})]


def _resumed_short(snapshot: Snapshot) -> list[Note]:
    """Training jobs that went on from a checkpoint, and whose values are taken for those of their first epochs."""
    spec = snapshot.job.spec
    ran = [j for j in snapshot.jobs if j.status is TrainingJobStatus.COMPLETED and j.points_seen]
    whole = [j.points_seen for j in ran if j.attempt == 1]
    if not watches_curves(spec) or len(whole) < MIN_CURVES:
        return []
    usual = median_low(whole)
    short = [j for j in ran if j.attempt > 1 and j.points_seen < min(whole)]
    if not short:
        return []
    last, metric = short[-1], short[-1].objective_metric
    were = "1 training job that was" if len(short) == 1 else f"{len(short)} training jobs that were"
    text = (
        f"{were} begun again printed less than those that ran at one go ({last.name}: {last.points_seen} values, {usual} are"
        f" usual), as a script does that goes on from a checkpoint: {_rule(spec)} takes the first of them for epoch 1. Print"
        f" {metric!r} of the epochs before once more after the checkpoint is read."
    )
    facts = {"training_jobs": len(short), "last": last.name, "values": last.points_seen, "usual": usual}
    return [Note("resumed-short", text, facts)]


def _rule(spec: TuningJobSpec) -> str:
    return "Hyperband" if spec.strategy is StrategyName.HYPERBAND else "early stopping"


def _constant(snapshot: Snapshot) -> list[Note]:
    values = [j.objective_value for j in snapshot.jobs if j.objective_value is not None]
    if len(values) < MIN_RESULTS or len(set(values)) > 1:
        return []
    text = f"the objective is {values[0]:.6g} in all {len(values)} results: no configuration makes a difference to it"
    return [Note("objective-constant", text, {"value": values[0], "results": len(values)})]


def _edges(snapshot: Snapshot, definition: Definition) -> list[Note]:
    own = [j for j in snapshot.jobs if j.definition_name == definition.name]
    best = best_job(own, definition.objective.direction)
    results = sum(j.objective_value is not None for j in own)
    if best is None or results < MIN_RESULTS:
        return []
    configuration = configuration_of(definition, best.tuned)
    found: list[Note] = []
    for p in definition.ranges:
        if isinstance(p, Categorical) or p.low == p.high:
            continue
        value, place = configuration[p.name], p.to_unit(configuration[p.name])
        end = "low" if value == p.low or place < EDGE_SHARE else "high" if value == p.high or place > 1 - EDGE_SHARE else None
        if end is not None:
            limit = p.low if end == "low" else p.high
            best_value, bound = _read(value), _read(limit)
            text = f"{_of(definition)}the best {p.name}, {best_value}, lies at the {end} end of its range ({bound}): widen it"
            facts = {"parameter": p.name, "value": value, "end": end, "limit": limit}
            found.append(Note("best-on-edge", text, {**facts, **_named(definition)}))
    return found


def _read(value: float | str) -> str:
    """A value for people; its every digit is in the note's facts."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _without_effect(snapshot: Snapshot, definition: Definition) -> list[Note]:
    own = [j for j in snapshot.jobs if j.definition_name == definition.name and j.objective_value is not None]
    found = parameter_importances(snapshot, definition) if len(own) >= EFFECT_RESULTS else None
    if found is None or len(found) < 2:
        return []
    # Unimportant beside the others is not enough: what surely matters a little is no candidate for a constant.
    idle = {name: i.share for name, i in found.items() if i.share < NO_EFFECT_SHARE and i.by_chance > MAY_BE_CHANCE}
    return [
        Note(
            "no-effect",
            f"{_of(definition)}{name} hardly matters (importance {share:.1%}): it could be static",
            {"parameter": name, "share": share, **_named(definition)},
        )
        for name, share in idle.items()
    ]


def _metrics(jobs: Sequence[TrainingJob]) -> str:
    """The objective of these training jobs: each of several definitions may have a metric of its own."""
    return " or ".join(dict.fromkeys(repr(j.objective_metric) for j in jobs))


def _count(jobs: Sequence[TrainingJob]) -> str:
    return "1 training job" if len(jobs) == 1 else f"{len(jobs)} training jobs"


def _of(definition: Definition) -> str:
    return f"{definition.name}: " if definition.name else ""


def _named(definition: Definition) -> dict[str, str]:
    return {"definition": definition.name} if definition.name else {}
