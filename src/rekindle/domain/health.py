"""Notes on a tuning job's health, each computed from its records: what a good colleague would say on looking at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rekindle.domain.causes import causes
from rekindle.domain.completion import best_job
from rekindle.domain.decisions import Snapshot
from rekindle.domain.search_plan import configuration_of, history_for
from rekindle.domain.training_job import ObjectiveStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import Definition, format_value
from rekindle.search.importance import importances
from rekindle.search.space import Categorical

#: A best value within this share of its range's scale from an end lies on the edge.
EDGE_SHARE = 0.02
#: A parameter with less than this share of the importance has no effect.
NO_EFFECT_SHARE = 0.02
#: Notes on results wait for this many of them.
MIN_RESULTS = 5


@dataclass(frozen=True)
class Note:
    """One finding. ``kind`` is a stable name for programs, ``text`` a sentence for people, ``facts`` its figures."""

    kind: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def notes(snapshot: Snapshot) -> list[Note]:
    """All findings on a tuning job, the gravest first."""
    definition = snapshot.job.spec.definition
    found = [*_failures(snapshot), *_no_metric(snapshot), *_constant(snapshot)]
    if len(snapshot.job.spec.definitions) == 1:
        found += [*_edges(snapshot, definition), *_without_effect(snapshot, definition)]
    return found


def _failures(snapshot: Snapshot) -> list[Note]:
    failed = [j for j in snapshot.jobs if j.status is TrainingJobStatus.FAILED]
    found = causes(failed)
    if not found or len(found[0].jobs) < 2:
        return []
    cause, alike = found[0].text, len(found[0].jobs)
    text = f"{alike} of {len(failed)} failed training jobs died of the same cause: {cause}"
    return [Note("failures-alike", text, {"failed": len(failed), "alike": alike, "cause": cause})]


def _no_metric(snapshot: Snapshot) -> list[Note]:
    silent = [j for j in snapshot.jobs if _ended_silently(j)]
    if not silent:
        return []
    metric = snapshot.job.spec.definition.objective.metric
    text = (
        f"{len(silent)} training jobs ended well without a value of {metric!r}: its regular expression never matched."
        f" Test it by `rekindle metrics`, on the log of {silent[-1].name}."
    )
    return [Note("no-metric", text, {"metric": metric, "training_jobs": len(silent), "last": silent[-1].name})]


def _ended_silently(job: TrainingJob) -> bool:
    return job.status is TrainingJobStatus.COMPLETED and job.objective_status is ObjectiveStatus.FAILED


def _constant(snapshot: Snapshot) -> list[Note]:
    values = [j.objective_value for j in snapshot.jobs if j.objective_value is not None]
    if len(values) < MIN_RESULTS or len(set(values)) > 1:
        return []
    text = f"the objective is {values[0]!r} in all {len(values)} results: no configuration makes a difference to it"
    return [Note("objective-constant", text, {"value": values[0], "results": len(values)})]


def _edges(snapshot: Snapshot, definition: Definition) -> list[Note]:
    best = best_job(snapshot.jobs, definition.objective.direction)
    results = sum(j.objective_value is not None for j in snapshot.jobs)
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
            best_value, bound = format_value(value), format_value(limit)
            text = f"the best {p.name}, {best_value}, lies at the {end} end of its range ({bound}): widen it"
            found.append(Note("best-on-edge", text, {"parameter": p.name, "value": value, "end": end, "limit": limit}))
    return found


def _without_effect(snapshot: Snapshot, definition: Definition) -> list[Note]:
    history = history_for(snapshot, definition)
    shares = importances(definition.space, history.succeeded, definition.objective.direction)
    if shares is None or len(shares) < 2:
        return []
    idle = {name: share for name, share in shares.items() if share < NO_EFFECT_SHARE}
    return [
        Note(
            "no-effect",
            f"{name} hardly matters (importance {share:.1%}): it could be static",
            {"parameter": name, "share": share},
        )
        for name, share in idle.items()
    ]
