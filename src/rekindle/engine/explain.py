"""Why the search chose what it chose: recorded figures of one suggestion, and what a tuning job took from its parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rekindle.domain.completion import best_job
from rekindle.domain.decisions import ParentJob, Snapshot
from rekindle.domain.errors import NotFound
from rekindle.domain.savings import ran_in_full
from rekindle.domain.search_plan import alike, comparable, known_names, taken_from_parents, warm_start_report
from rekindle.domain.training_job import Owner, TrainingJob
from rekindle.domain.tuning_job import Definition, StrategyName, TuningJob, TuningJobSpec, WarmStart
from rekindle.domain.warm_start import namer, renamed
from rekindle.engine.ports import JobStore
from rekindle.engine.queries import parents_of
from rekindle.search.space import Categorical, Parameter, resolved_scaling


def explain_training_job(store: JobStore, owner: Owner, name: str) -> Mapping[str, Any]:
    """What was recorded when a training job's configuration was chosen. Raises NotFound."""
    job = store.training_job(owner, name)
    proposal, tuning_job = job.proposal, _tuning_job_of(store, job)
    definitions = () if tuning_job is None else tuning_job.spec.definitions
    return {
        "training_job": job.name,
        "tuning_job": job.tuning_job_name,
        "number": job.number,
        "configuration": dict(job.tuned),
        "scaling": next((_scaling(d) for d in definitions if d.name == job.definition_name), {}),
        "source": proposal.get("source"),
        "from_parents": taken_from_parents(job),
        "taken_from": [] if tuning_job is None else _taken_from(store, tuning_job, job),
        "algorithm_version": proposal.get("algorithm"),
        "seen_events": proposal.get("seen_seq"),
        "metric": job.objective_metric,
        "objective": job.objective_value,
        "status": job.shown_status.value,
        "stopped_early": job.cut_short,
        "in_full": tuning_job is not None and job.cut_short and ran_in_full(tuning_job.spec, job, _epochs(store, job)),
        "original_name": proposal.get("name"),
        "why": proposal.get("why", {}),
    }


def explain_tuning_job(store: JobStore, owner: Owner, name: str) -> Mapping[str, Any]:
    """What a tuning job's suggestions came from, and what it took from each parent. Raises NotFound."""
    job = store.tuning_job(owner, name)
    snapshot = Snapshot(job, store.jobs_of(job.id), tuple(parents_of(store, job)))
    own = best_job(snapshot.jobs, job.spec.definition.objective.direction)
    objective = job.spec.definition.objective
    return {
        "tuning_job": job.name,
        "strategy": job.spec.strategy.value,
        "seed": job.spec.seed,
        "objective": {"metric": objective.metric, "goal": objective.direction},
        "imported": job.imported,
        "scaling": _scalings(job.spec),
        "known_names": known_names(job.spec),
        "sources": _sources(snapshot),
        "best": None if own is None else _best(own),
        "warm_start": None if job.spec.warm_start is None else _warm_start(snapshot, job.spec.warm_start),
    }


def _epochs(store: JobStore, job: TrainingJob) -> int:
    """How many values of its objective a training job emitted."""
    return len(store.points(job.id, job.objective_metric))


def _tuning_job_of(store: JobStore, job: TrainingJob) -> TuningJob | None:
    """The search that made a training job; None where none did, or where it was deleted since."""
    try:
        return None if job.tuning_job_id is None else store.tuning_job_by_id(job.tuning_job_id)
    except NotFound:
        return None


def _taken_from(store: JobStore, tuning_job: TuningJob, job: TrainingJob) -> list[dict[str, Any]]:
    """The parents' training jobs that had a configuration before, where it was taken from the parents."""
    warm = tuning_job.spec.warm_start
    if warm is None or not taken_from_parents(job):
        return []
    ours = tuning_job.spec.definition
    found = ((p, j, had) for p in parents_of(store, tuning_job) for j, had in _originals(ours, warm, p, job))
    return [
        {
            "parent": p.job.name,
            "training_job": j.name,
            "number": j.number,
            "objective": j.objective_value,
            "differed": _differed(ours, warm, p, had),
        }
        for p, j, had in found
    ]


def _differed(ours: Definition, warm: WarmStart, parent: ParentJob, had: Mapping[str, str]) -> list[dict[str, str]]:
    """What is static here and had another value where a configuration was taken from."""
    there = renamed(parent.job.spec.definition, warm.names_in(parent.job.name))
    ranges = {p.name: p for p in there.ranges}
    return [
        {"hyperparameter": name, "there": had[name], "here": value}
        for name, value in ours.statics.items()
        if name in had and had[name] != value and not (name in ranges and alike(ranges[name], had[name], value))
    ]


def _scalings(spec: TuningJobSpec) -> dict[str, dict[str, str]]:
    """Of all definitions; where there are several, their names stand before the ranges'."""
    if len(spec.definitions) == 1:
        return _scaling(spec.definition)
    return {f"{d.name}.{name}": scale for d in spec.definitions for name, scale in _scaling(d).items()}


def _scaling(definition: Definition) -> dict[str, dict[str, str]]:
    """The scale of each numeric range: as it was declared, and what ``Auto`` chose."""
    numeric = [p for p in definition.ranges if not isinstance(p, Categorical)]
    return {p.name: {"declared": p.scaling, "used": resolved_scaling(p)} for p in numeric}


def _sources(snapshot: Snapshot) -> dict[str, int]:
    """How many suggestions came from where."""
    counts: dict[str, int] = {}
    for trial in snapshot.jobs:
        source = str(trial.proposal.get("source"))
        counts[source] = counts.get(source, 0) + 1
    return counts


def _warm_start(snapshot: Snapshot, warm: WarmStart) -> dict[str, Any]:
    # Random search draws as if there were no parents: they count for the best overall and nothing else.
    looks = snapshot.job.spec.strategy is StrategyName.BAYESIAN
    now = warm_start_report(snapshot).as_dict() if looks else {"parents": [], "results": 0, "best": None}
    reports = {str(p["name"]): p for p in _list(now["parents"])}
    recorded = _recorded_weights(snapshot.jobs)
    tried = _tried(snapshot, warm)
    return {
        "type": warm.type.value,
        "match": "relaxed" if warm.relaxed else "exact",
        "looks_at_parents": looks,
        "now": now,
        "parents": [
            _parent(snapshot, warm, p, reports.get(p.job.name), recorded.get(p.job.name, []), tried) for p in snapshot.parents
        ],
        "deleted_parents": len(snapshot.job.parents) - len(snapshot.parents),
        "parents_best": {p.job.name: _parents_best(p) for p in snapshot.parents},
        "weights_by_suggestion": [_recorded(t) for t in snapshot.jobs],
        "suggestions": [_suggestion(t, tried) for t in snapshot.jobs],
    }


def _parent(
    snapshot: Snapshot,
    warm: WarmStart,
    parent: ParentJob,
    report: Mapping[str, Any] | None,
    recorded: Sequence[float],
    tried: Mapping[int, Sequence[str]],
) -> dict[str, Any]:
    """One parent: what became of its training jobs, how it was read, what it counts for."""
    name = parent.job.name
    names, statics = warm.names_in(name), snapshot.job.spec.definition.statics
    read, seen = comparable(parent, snapshot.job.spec.definition, names), renamed(parent.job.spec.definition, names)
    counts: Mapping[str, int] = {} if report is None else report["counts"]
    dropped = {**read.aside, **{k.removeprefix("dropped: "): n for k, n in counts.items() if k.startswith("dropped") and n}}
    shown = ("kind", "role", "parameters", "unused", "reliability", "weight_at_start", "weight", "agreement", "surprise")
    told = {key: None if report is None else report[key] for key in shown}
    if report is not None:
        # What was recorded with the first suggestion is history; a start worked out today is not.
        told["weight_at_start"] = recorded[0] if recorded else report["weight_at_start"]
        told["parameters"] = _with_scales(snapshot.job.spec.definition, parent, warm, report["parameters"])
    return {
        "name": name,
        "direct": parent.direct,
        "imported": parent.job.imported,
        "training_jobs": len(parent.jobs),
        "used": counts.get("used", 0),
        "clipped": counts.get("clipped", 0),
        "failed": counts.get("failed", 0),
        "dropped": dropped,
        "mixed": list(read.mixed),
        "held": {p.name: statics[p.name] for p in seen.ranges if p.name in statics},
        **told,
        "recorded_weights": list(recorded),
        "tried_here": sorted(number for number, names in tried.items() if name in names),
        "best": _parents_best(parent),
    }


def _with_scales(
    ours: Definition, parent: ParentJob, warm: WarmStart, parameters: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """How each parameter is read, with both scales where they differ: the parent drew its values on another one."""
    theirs = renamed(parent.job.spec.definition, warm.names_in(parent.job.name))
    here, there = ({name: s["used"] for name, s in _scaling(d).items()} for d in (ours, theirs))
    found: list[dict[str, Any]] = []
    for m in parameters:
        scales = here.get(m["parameter"]), there.get(m["parameter"])
        changed = None not in scales and scales[0] != scales[1]
        found.append({**m, **({"scaling": {"there": scales[1], "here": scales[0]}} if changed else {})})
    return found


def _recorded_weights(jobs: Sequence[TrainingJob]) -> dict[str, list[float]]:
    """Each parent's weight as it was recorded with one suggestion after the other."""
    found: dict[str, list[float]] = {}
    for trial in jobs:
        for parent in _list(_told(trial).get("parents")):
            found.setdefault(str(parent["name"]), []).append(float(parent["weight"]))
    return found


def _tried(snapshot: Snapshot, warm: WarmStart) -> dict[int, list[str]]:
    """Suggestions that are a parent's configuration as it was: their numbers, and the parents that had it."""
    found: dict[int, list[str]] = {}
    for trial in snapshot.jobs:
        if not taken_from_parents(trial):
            continue
        for parent in snapshot.parents:
            if _originals(snapshot.job.spec.definition, warm, parent, trial):
                found.setdefault(trial.number, []).append(parent.job.name)
    return found


def _originals(
    ours: Definition, warm: WarmStart, parent: ParentJob, trial: TrainingJob
) -> list[tuple[TrainingJob, Mapping[str, str]]]:
    """A parent's training jobs that had the configuration of ``trial``, each with its hyperparameters by the names that they
    have here."""
    called = namer(warm.names_in(parent.job.name))
    statics = {called(n): v for n, v in parent.job.spec.definition.statics.items()}
    own = ((j, {**statics, **{called(n): v for n, v in j.tuned.items()}}) for j in parent.jobs)
    return [(j, had) for j, had in own if all(_had(p, had.get(p.name), trial.tuned.get(p.name)) for p in ours.ranges)]


def _had(p: Parameter, theirs: str | None, ours: str | None) -> bool:
    return theirs is not None and ours is not None and alike(p, theirs, ours)


def _suggestion(trial: TrainingJob, tried: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    """From whom a suggestion came. ``parents_say`` is the share of what chose it that looks at the parents."""
    views = _told(trial).get("views") or {}
    return {
        "number": trial.number,
        "source": trial.proposal.get("source"),
        "from": list(tried.get(trial.number, ())),
        "parents_say": views.get("parents"),
        "objective": trial.objective_value,
    }


def _parents_best(parent: ParentJob) -> dict[str, Any] | None:
    best = best_job(parent.jobs, parent.job.spec.definition.objective.direction)
    return None if best is None else _best(best)


def _best(job: TrainingJob) -> dict[str, Any]:
    return {
        "training_job": job.name,
        "number": job.number,
        "metric": job.objective_metric,
        "objective": job.objective_value,
        "configuration": dict(job.tuned),
    }


def _recorded(trial: TrainingJob) -> dict[str, Any]:
    """The parents' say as it was recorded with one suggestion: history, not a guess."""
    why = trial.proposal.get("why", {})
    return {"number": trial.number, "source": trial.proposal.get("source"), "parents": why.get("parents")}


def _told(trial: TrainingJob) -> Mapping[str, Any]:
    """What was recorded about the parents with a suggestion."""
    told = trial.proposal.get("why", {}).get("parents")
    return told if isinstance(told, Mapping) else {}


def _list(value: Any) -> Sequence[Mapping[str, Any]]:
    return value if isinstance(value, list | tuple) else ()
