"""Why the search chose what it chose: recorded figures of one suggestion, and what a tuning job took from its parents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rekindle.domain.completion import best_job
from rekindle.domain.decisions import ParentJob, Snapshot
from rekindle.domain.search_plan import warm_start_report
from rekindle.domain.training_job import Owner, TrainingJob
from rekindle.engine.ports import JobStore
from rekindle.engine.queries import parents_of


def explain_training_job(store: JobStore, owner: Owner, name: str) -> Mapping[str, Any]:
    """What was recorded when a training job's configuration was chosen. Raises NotFound."""
    job = store.training_job(owner, name)
    proposal = job.proposal
    return {
        "training_job": job.name,
        "tuning_job": job.tuning_job_name,
        "number": job.number,
        "configuration": dict(job.tuned),
        "source": proposal.get("source"),
        "algorithm_version": proposal.get("algorithm"),
        "seen_events": proposal.get("seen_seq"),
        "objective": job.objective_value,
        "why": proposal.get("why", {}),
    }


def explain_tuning_job(store: JobStore, owner: Owner, name: str) -> Mapping[str, Any]:
    """What a tuning job's suggestions came from, and what it took from each parent. Raises NotFound."""
    job = store.tuning_job(owner, name)
    snapshot = Snapshot(job, store.jobs_of(job.id), tuple(parents_of(store, job)))
    own = best_job(snapshot.jobs, job.spec.definition.objective.direction)
    return {
        "tuning_job": job.name,
        "strategy": job.spec.strategy.value,
        "seed": job.spec.seed,
        "sources": _sources(snapshot),
        "best": None if own is None else _best(own),
        "warm_start": _warm_start(snapshot),
    }


def _sources(snapshot: Snapshot) -> dict[str, int]:
    """How many suggestions came from where."""
    counts: dict[str, int] = {}
    for trial in snapshot.jobs:
        source = str(trial.proposal.get("source"))
        counts[source] = counts.get(source, 0) + 1
    return counts


def _warm_start(snapshot: Snapshot) -> dict[str, Any] | None:
    warm = snapshot.job.spec.warm_start
    if warm is None:
        return None
    report = warm_start_report(snapshot)
    return {
        "type": warm.type.value,
        "now": report.as_dict(),
        "parents_best": {p.job.name: _parents_best(p) for p in snapshot.parents},
        "weights_by_suggestion": [_recorded(t) for t in snapshot.jobs],
    }


def _parents_best(parent: ParentJob) -> dict[str, Any] | None:
    best = best_job(parent.jobs, parent.job.spec.definition.objective.direction)
    return None if best is None else _best(best)


def _best(job: TrainingJob) -> dict[str, Any]:
    return {"training_job": job.name, "objective": job.objective_value, "configuration": dict(job.tuned)}


def _recorded(trial: TrainingJob) -> dict[str, Any]:
    """The parents' say as it was recorded with one suggestion: history, not a guess."""
    why = trial.proposal.get("why", {})
    return {"number": trial.number, "source": trial.proposal.get("source"), "parents": why.get("parents")}
