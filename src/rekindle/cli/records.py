"""Tuning jobs and training jobs as plain data: the keys of ``--json``, which docs/cli.md promises to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rekindle.domain.decisions import Snapshot
    from rekindle.domain.training_job import TrainingJob
    from rekindle.domain.tuning_job import Definition, TuningJob, TuningJobSpec
    from rekindle.engine.ports import JobStore
    from rekindle.engine.queries import TuningJobView
    from rekindle.search.space import Parameter


def moment(seconds: float | None) -> str | None:
    """A time as ISO 8601 in UTC, rounded as the API rounds it: exported and imported it is the same."""
    return None if seconds is None else datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds")


def training_record(job: TrainingJob, definition: Definition | None = None) -> dict[str, Any]:
    """A training job. ``definition`` turns its hyperparameters back into numbers."""
    return {
        "name": job.name,
        "tuning_job": job.tuning_job_name,
        "definition": job.definition_name,
        "number": job.number,
        "attempt": job.attempt,
        "status": job.shown_status.value,
        "secondary_status": job.secondary.value,
        "objective_status": job.objective_status.value,
        "objective": job.objective_value,
        "metric": job.objective_metric,
        "metrics": {name: metric.value for name, metric in job.final_metrics.items()},
        "values": values_of(job, definition),
        "source": job.proposal.get("source"),
        "stopped_early": job.cut_short,
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "ended_at": moment(job.ended_at),
        "seconds": None if job.seconds is None else round(job.seconds, 3),
        "exit_code": job.exit_code,
        "failure_reason": job.failure_reason,
        "model": job.model_uri,
    }


def tuning_record(view: TuningJobView) -> dict[str, Any]:
    """A tuning job with its counters and its best training jobs."""
    job, spec = view.job, view.job.spec
    return {
        **tuning_summary(job),
        "training_jobs": asdict(view.counters),
        "objectives": asdict(view.objectives),
        "best": best_record(view.best, job),
        "overall_best": best_record(view.overall_best, job),
        "ranges": [range_record(p) for d in spec.definitions for p in d.ranges],
        "static": dict(spec.definition.statics),
        "definitions": definition_records(spec),
        "not_improving": job.not_improving,
        "tags": dict(spec.tags),
    }


def tuning_summary(job: TuningJob) -> dict[str, Any]:
    """A tuning job by itself."""
    spec = job.spec
    return {
        "name": job.name,
        "status": job.shown_status.value,
        "failure_reason": job.failure_reason,
        "ended_because": job.ended_because,
        "strategy": spec.strategy.value,
        "seed": spec.seed,
        "objective": {"metric": spec.definition.objective.metric, "goal": spec.definition.objective.direction},
        "limits": limits_record(spec),
        "hyperband": hyperband_record(spec),
        "completion": completion_record(spec),
        "warm_start": warm_start_record(spec),
        "created_at": moment(job.created_at),
        "ended_at": moment(job.ended_at),
    }


def followed_record(view: TuningJobView, trials: Sequence[TrainingJob], store: JobStore) -> dict[str, Any]:
    """A tuning job as its followers print it: also what early stopping saved."""
    return {**tuning_record(view), "early_stopping": early_stopping_record(view.job, trials, store)}


def early_stopping_record(job: TuningJob, trials: Sequence[TrainingJob], store: JobStore) -> dict[str, Any] | None:
    """What early stopping saved, estimated (``domain/savings``)."""
    from rekindle.domain.savings import savings

    if not any(t.cut_short for t in trials):
        return None
    found = savings(job.spec, trials, store.emission_times(job.id))
    return None if found is None else {**asdict(found), "share": found.share}


def best_record(job: TrainingJob | None, tuning_job: TuningJob) -> dict[str, Any] | None:
    """A best training job; None where there is none."""
    return None if job is None else trial_record(job, tuning_job)


def trial_record(job: TrainingJob, tuning_job: TuningJob) -> dict[str, Any]:
    """A training job of a tuning job; its values are numbers where its tuning job's ranges are."""
    known = {d.name: d for d in tuning_job.spec.definitions}
    return training_record(job, known.get(job.definition_name, tuning_job.spec.definition))


def completion_record(spec: TuningJobSpec) -> dict[str, Any]:
    """The reasons for which a tuning job ends early."""
    criteria = spec.completion
    asked = {"target": criteria.target, "not_improving": criteria.max_not_improving, "convergence": criteria.on_convergence}
    return {name: value for name, value in asked.items() if value is not None and value is not False}


def hyperband_record(spec: TuningJobSpec) -> dict[str, Any] | None:
    """The resources that Hyperband gives a training job, given or inferred (null where definitions differ), and what draws its
    configurations; None for other strategies."""
    from rekindle.domain.tuning_job import Hyperband, StrategyName, hyperband_resources

    if spec.strategy is not StrategyName.HYPERBAND:
        return None
    found = {hyperband_resources(spec.hyperband, d.statics) for d in spec.definitions}
    least, most = (found.pop() if len(found) == 1 else None) or (None, None)
    return {"min_resource": least, "max_resource": most, "sampler": (spec.hyperband or Hyperband()).sampler}


def limits_record(spec: TuningJobSpec) -> dict[str, Any]:
    """How much a tuning job may use."""
    limits = spec.limits
    return {
        "jobs": limits.max_jobs,
        "parallel": limits.max_parallel,
        "runtime": limits.max_runtime_seconds,
        "job_runtime": spec.definition.training.max_runtime_seconds,
    }


def warm_start_record(spec: TuningJobSpec) -> dict[str, Any] | None:
    """The parents of a tuning job."""
    warm = spec.warm_start
    if warm is None:
        return None
    return {
        "type": warm.type.value,
        "parents": list(warm.parents),
        "match": "relaxed" if warm.relaxed else "exact",
        "recursive": warm.recursive,
        "names": {parent: dict(names) for parent, names in warm.names.items()},
        "ancestors": list(warm.ancestors),
    }


def definition_record(definition: Definition) -> dict[str, Any]:
    """What is tuned, and what runs, by one definition."""
    from rekindle.domain.builtins.catalogue import builtin_of

    training = definition.training
    builtin = builtin_of(training.algorithm, definition.statics)
    return {
        "name": definition.name,
        "objective": {"metric": definition.objective.metric, "goal": definition.objective.direction},
        "ranges": [range_record(p) for p in definition.ranges],
        "static": dict(definition.statics),
        "metrics": {m.name: m.regex for m in training.algorithm.metrics},
        "source": training.algorithm.source,
        "image": training.algorithm.image,
        "algorithm": builtin.name if builtin else None,
        "channels": {c.name: c.uri for c in training.channels},
    }


def objective_of_all(record: Mapping[str, Any]) -> dict[str, Any]:
    """The objective in words for people, from a tuning job's record: each definition may have a metric of its own."""
    metrics = dict.fromkeys(str(d["objective"]["metric"]) for d in record["definitions"] or [record])
    return {**record["objective"], "metric": " or ".join(metrics)}


def definition_records(spec: TuningJobSpec) -> list[dict[str, Any]]:
    """Where there are several training job definitions, each by itself."""
    return [definition_record(d) for d in spec.definitions] if len(spec.definitions) > 1 else []


def range_record(p: Parameter) -> dict[str, Any]:
    """A range with its type and the scaling in force."""
    from rekindle.search.space import Categorical, Continuous, resolved_scaling

    if isinstance(p, Categorical):
        return {"name": p.name, "type": "categorical", "values": list(p.values)}
    kind = "continuous" if isinstance(p, Continuous) else "integer"
    scaling = {"scaling": p.scaling, "resolved_scaling": resolved_scaling(p)}
    return {"name": p.name, "type": kind, "min": p.low, "max": p.high, **scaling}


def values_of(job: TrainingJob, definition: Definition | None) -> dict[str, Any]:
    """The configuration of a training job: numbers where the definition has numeric ranges, else text."""
    if definition is None:
        return dict(job.tuned)
    from rekindle.domain.errors import InvalidValue
    from rekindle.domain.tuning_job import parse_value

    ranges = {p.name: p for p in definition.ranges}
    values: dict[str, Any] = {}
    for name, text in job.tuned.items():
        try:
            values[name] = parse_value(ranges[name], text) if name in ranges else text
        except InvalidValue:
            values[name] = text
    return values


def failure_causes(jobs: Sequence[TrainingJob]) -> list[dict[str, Any]]:
    """Why training jobs failed, the most frequent cause first, in the words of its first training job."""
    from rekindle.domain.causes import causes

    return [
        {"count": len(c.jobs), "reason": " ".join(str(c.jobs[0].failure_reason).split()), "training_job": c.jobs[0].name}
        for c in causes(jobs)
    ]


def waiting_records(snapshot: Snapshot, waiting_for: str | None) -> list[dict[str, Any]]:
    """What waits, and why: training jobs without a place, and the next one (``training_job`` None) that is not begun."""
    from rekindle.domain.training_job import SecondaryStatus

    found: list[dict[str, Any]] = [
        {"training_job": job.name, "reason": job.transitions[-1].message, "since": moment(job.transitions[-1].started_at)}
        for job in snapshot.jobs
        if job.is_running and job.secondary is SecondaryStatus.PENDING and job.transitions
    ]
    if waiting_for is not None:
        found.append({"training_job": None, "reason": waiting_for, "since": None})
    return found


def importance_records(snapshot: Snapshot) -> list[dict[str, Any]]:
    """How much each parameter matters, the most important first; empty where too little is known."""
    from rekindle.domain.health import parameter_importances

    found: list[dict[str, Any]] = []
    for definition in snapshot.job.spec.definitions:
        shares = parameter_importances(snapshot, definition) or {}
        for name, importance in sorted(shares.items(), key=lambda item: -item[1].share):
            figures = {"share": round(importance.share, 6), "by_chance": round(importance.by_chance, 6)}
            found.append(
                {"definition": definition.name, "parameter": name, **figures, "may_be_chance": importance.may_be_chance}
            )
    return found
