"""History from elsewhere becomes a tuning job that has ended: visible like any other, and usable as a parent."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rekindle.domain.completion import not_improving
from rekindle.domain.decisions import CurvePoint
from rekindle.domain.errors import InvalidValue, LimitExceeded, NameInUse, NotFound, shown
from rekindle.domain.search_plan import hyperparameters
from rekindle.domain.texts import unwanted
from rekindle.domain.training_job import (
    FinalMetric,
    MetricPoint,
    ObjectiveStatus,
    Owner,
    SecondaryStatus,
    TrainingJob,
    TrainingJobStatus,
    moved,
)
from rekindle.domain.tuning_job import (
    Definition,
    Limits,
    StrategyName,
    TuningJob,
    TuningJobSpec,
    TuningJobStatus,
    format_value,
    parse_value,
)
from rekindle.domain.tuning_rules import MIN_TUNING_RUNTIME_SECONDS, Quotas, check_spec
from rekindle.engine.ports import Clock, JobStore
from rekindle.engine.reconcile import training_job_name
from rekindle.search.space import Categorical, Integer, Parameter

#: The end of the year 9999, in seconds since the epoch: the last moment that a calendar can show.
LAST_SECOND = 253_402_300_799
_ANOTHER_NAME = "Give it another by --name."
_NO_VALUE = "it had no objective value where it was imported from"


@dataclass(frozen=True)
class Result:
    """One row of history. ``where`` says in errors where it stood; ``values`` are as text; ``objective`` None: it failed.

    Times are seconds since the epoch, where they are known. ``stopped``: it was stopped before its end, and its objective is
    the last that it emitted. ``curve`` are its emissions, from the first to the last, where they are known. ``completed``: it
    ran to its end, though it may have no objective.
    """

    where: str
    values: Mapping[str, str]
    objective: float | None
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    stopped: bool = False
    failure_reason: str | None = None
    name: str | None = None
    curve: tuple[float, ...] = ()
    completed: bool = False

    @property
    def status(self) -> str:
        """The training job's status."""
        if self.stopped:
            return "Stopped"
        return "Completed" if self.completed or self.objective is not None else "Failed"


#: Hands results on, one by one, to whoever writes them.
Watched = Callable[[Sequence[Result]], Iterable[Result]]


@dataclass(frozen=True)
class Origin:
    """What is known of a tuning job from elsewhere besides what it searched: when it was made, when and how it ended. Times are
    seconds since the epoch; without them the training jobs' own count."""

    created_at: float | None = None
    ended_at: float | None = None
    status: TuningJobStatus = TuningJobStatus.COMPLETED
    failure_reason: str | None = None


def results_of(jobs: Sequence[TrainingJob], curves: Mapping[int, Sequence[CurvePoint]] | None = None) -> list[Result]:
    """The training jobs that have ended as rows of history, in the order of their numbers."""
    ended = sorted((j for j in jobs if not j.is_running), key=lambda j: j.number)
    return [_result_of(job, (curves or {}).get(job.id, ())) for job in ended]


def _result_of(job: TrainingJob, curve: Sequence[CurvePoint]) -> Result:
    succeeded = job.objective_status is ObjectiveStatus.SUCCEEDED
    return Result(
        job.name,
        dict(job.tuned),
        job.objective_value if succeeded else None,
        job.created_at,
        job.started_at,
        job.ended_at,
        job.status is TrainingJobStatus.STOPPED,
        job.failure_reason,
        job.name,
        tuple(p.observation.value for p in curve),
        job.status is TrainingJobStatus.COMPLETED,
    )


def import_tuning_job(
    store: JobStore,
    clock: Clock,
    owner: Owner,
    spec: TuningJobSpec,
    results: Sequence[Result],
    quotas: Quotas,
    origin: Origin = Origin(),
) -> TuningJob:
    """Stores a tuning job with all its results in one transaction. Every value is checked against its range; the first
    that does not fit refuses the whole, naming row, parameter and value."""
    if len(spec.definitions) > 1:
        raise InvalidValue("definitions", len(spec.definitions), "history of several definitions cannot be imported")
    if not results:
        raise InvalidValue("results", [], "there is nothing to import")
    spec = replace(spec, warm_start=None, limits=replace(spec.limits, max_jobs=len(results), max_parallel=1))
    _check_history(spec, quotas)
    _check_free(store, owner, spec.name)
    tuned = [_checked(spec.definition, result) for result in results]
    _check_texts(results, origin)
    now = clock.now()
    began = origin.created_at or min((at for r in results if (at := r.created_at or r.started_at)), default=now)
    job = TuningJob(spec, owner, uuid.uuid4().hex, created_at=began, modified_at=now, imported=True)
    jobs = [_training_job(job, i, r, t, began) for i, (r, t) in enumerate(zip(results, tuned, strict=True), start=1)]
    points = {j.name: _points(j, r.curve) for j, r in zip(jobs, results, strict=True) if r.curve}
    try:
        return store.import_tuning_job(_ended(job, jobs, origin), jobs, points)
    except NameInUse as error:
        # Somebody took it since we looked.
        raise NameInUse(error.kind, error.name, _ANOTHER_NAME) from error


def _points(job: TrainingJob, curve: Sequence[float]) -> list[MetricPoint]:
    """What a training job emitted, at even steps between its start and its end: when it did is not known."""
    start, end = job.started_at or job.created_at, job.ended_at or job.created_at
    metric = job.objective_metric or ""
    return [MetricPoint(i, metric, v, start + (end - start) * (i + 1) / len(curve)) for i, v in enumerate(curve)]


def _check_history(spec: TuningJobSpec, quotas: Quotas) -> None:
    """The rules of what was searched; not those of how: a grid that was stopped, or a small space drawn from twice, is
    history all the same."""
    if (spec.limits.max_jobs or 0) > quotas.max_jobs:
        raise LimitExceeded("number of training jobs", quotas.max_jobs, spec.limits.max_jobs or 0)
    limits = Limits(None, 1, MIN_TUNING_RUNTIME_SECONDS)
    check_spec(replace(spec, strategy=StrategyName.RANDOM, hyperband=None, limits=limits), quotas)


def _ended(job: TuningJob, jobs: Sequence[TrainingJob], origin: Origin) -> TuningJob:
    last = max(j.ended_at or 0.0 for j in jobs)
    return replace(
        job,
        status=origin.status,
        failure_reason=origin.failure_reason,
        ended_at=max(origin.ended_at or last, last),
        seq=2 * len(jobs),
        not_improving=not_improving(jobs, job.spec.definition.objective.direction),
    )


def _check_texts(results: Sequence[Result], origin: Origin) -> None:
    """What is kept as it was told must be text that every face can show."""
    told = [("FailureReason", origin.failure_reason)]
    for r in results:
        told += [(f"{r.where}.name", r.name), (f"{r.where}.failure_reason", r.failure_reason)]
    for field, text in told:
        bad = unwanted(text or "")
        if bad:
            raise InvalidValue(field, text, f"cannot hold the character {shown(bad)}", "Take it out.")


def _checked(definition: Definition, result: Result) -> dict[str, str]:
    return {p.name: _value(p, result) for p in definition.ranges}


def _value(p: Parameter, result: Result) -> str:
    field = f"{result.where}.{p.name}"
    if p.name not in result.values:
        way_out = f"Leave the row out, or say where the value stands: --column {p.name}=COLUMN."
        raise InvalidValue(field, None, "the row has no value of this parameter", way_out)
    if isinstance(p, Categorical):
        return _category(p, result.values[p.name], field)
    text = result.values[p.name].strip()
    if isinstance(p, Integer) and text.endswith(".0"):
        text = text.removesuffix(".0")  # data frames turn whole numbers into floats
    try:
        value = parse_value(p, text)
    except InvalidValue as error:
        raise InvalidValue(field, text, error.reason, number_hint(text)) from error
    if not p.contains(value):
        bounds = f"[{format_value(p.low)}, {format_value(p.high)}]"
        raise InvalidValue(
            field, text, f"outside the range {bounds}", "Widen the range: it is what the values were drawn from."
        )
    return format_value(value)


def number_hint(text: str) -> str:
    """The way out for what is no number: a spreadsheet of many a language has a comma for the point."""
    return "Write a point in numbers, and no separators between digits." if "," in text else "Correct the row, or leave it out."


def _category(p: Categorical, text: str, field: str) -> str:
    """The category that a text stands for: as it is written, in JSON's quotes, or as a number or a switch written otherwise,
    as data frames do."""
    known = [format_value(v) for v in p.values]
    if text in known:
        return text  # with the spaces around it: they may tell two categories apart
    text = text.strip()
    if text in known:
        return text
    alike = [k for k in known if _bare(k) == _bare(text)]
    if len(alike) != 1:
        raise InvalidValue(field, text, f"not one of {known}")
    return alike[0]


def _bare(text: str) -> str | float:
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    try:
        return float(bare)
    except ValueError:
        return bare.lower() if bare.lower() in ("true", "false") else bare


def _training_job(job: TuningJob, number: int, result: Result, tuned: Mapping[str, str], began: float) -> TrainingJob:
    definition = job.spec.definition
    created = result.created_at or result.started_at or began
    # How long it took is not known where nobody said when it began.
    started = None if result.started_at is None else max(result.started_at, created)
    ended = max(result.ended_at or created, started or created)
    failed, status = result.objective is None, TrainingJobStatus(result.status)
    secondary = SecondaryStatus(result.status)
    metric = definition.objective.metric
    given = hyperparameters(definition, tuned)
    return TrainingJob(
        name=training_job_name(job, number, definition, given),
        owner=job.owner,
        spec=definition.training,
        hyperparameters=given,
        created_at=created,
        modified_at=ended,
        tuning_job_name=job.name,
        number=number,
        tuned=tuned,
        proposal={"source": "imported"} if result.name is None else {"source": "imported", "name": result.name},
        status=status,
        secondary=secondary,
        transitions=moved(moved((), SecondaryStatus.STARTING, created, "Imported"), secondary, ended, "Imported"),
        launched_seq=2 * number - 1,
        finished_seq=2 * number,
        started_at=started,
        ended_at=ended,
        failure_reason=result.failure_reason or (_NO_VALUE if status is TrainingJobStatus.FAILED else None),
        objective_metric=metric,
        objective_status=ObjectiveStatus.FAILED if failed else ObjectiveStatus.SUCCEEDED,
        objective_value=result.objective,
        final_metrics={} if result.objective is None else {metric: FinalMetric(result.objective, ended)},
        tags=job.spec.tags,
    )


def _check_free(store: JobStore, owner: Owner, name: str) -> None:
    try:
        store.tuning_job(owner, name)
    except NotFound:
        return
    raise NameInUse("tuning job", name, _ANOTHER_NAME)
