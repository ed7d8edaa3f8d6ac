"""What is asked of the store. Each function is given an open transaction that sees one state of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, func, or_, select

from rekindle.domain.decisions import CurvePoint
from rekindle.domain.errors import NotFound
from rekindle.domain.training_job import MetricPoint, ObjectiveStatus, Owner, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import TuningJob
from rekindle.engine.ports import RETRYABLE, JobFilter, Page
from rekindle.search.history import Direction, Observation
from rekindle.storage.encoding import quoted
from rekindle.storage.listing import matching, owned_by, page_of, trials_owned_by
from rekindle.storage.records import (
    AnyRow,
    StoredSpec,
    is_storable,
    name_key,
    point_of,
    spec_of,
    training_job_of,
    tuning_job_of,
)
from rekindle.storage.schema import metric_points, training_jobs, training_specs, tuning_jobs


def _named(table: Table) -> Any:
    return select(table).where(
        table.c.account == bindparam("account_"),
        table.c.region == bindparam("region_"),
        table.c.name_key == bindparam("key_"),
    )


_points, _jobs = metric_points.c, training_jobs.c
_BY_NAME = {t.name: _named(t) for t in (tuning_jobs, training_jobs)}
_BY_ID = {t.name: select(t).where(t.c.id == bindparam("id_")) for t in (tuning_jobs, training_jobs)}
_JOBS_OF = select(training_jobs).where(_jobs.tuning_job_id == bindparam("id_")).order_by(_jobs.number)
_COUNTING = select(training_jobs).where(
    _jobs.tuning_job_id == bindparam("id_"),
    _jobs.objective_value.is_not(None),
    _jobs.objective_status == ObjectiveStatus.SUCCEEDED.value,
    _jobs.finished_seq.is_not(None),
)
_BEST = {
    "minimize": _COUNTING.order_by(_jobs.objective_value, _jobs.finished_seq).limit(1),
    "maximize": _COUNTING.order_by(_jobs.objective_value.desc(), _jobs.finished_seq).limit(1),
}
_not_ended_by = or_(_jobs.finished_seq.is_(None), _jobs.finished_seq > bindparam("since_"))
_JOBS_SINCE = _JOBS_OF.where(_not_ended_by)
_SPECS = select(training_specs).where(training_specs.c.digest.in_(bindparam("digests", expanding=True)))
_COUNTERS = (
    select(_jobs.tuning_job_id, _jobs.status, _jobs.objective_status, func.count())
    .where(_jobs.tuning_job_id.in_(bindparam("ids", expanding=True)))
    .group_by(_jobs.tuning_job_id, _jobs.status, _jobs.objective_status)
)
# Few are in progress, and an index finds them: the others are counted from the index alone.
_AWAIT_RETRY = (
    select(_jobs.tuning_job_id, _jobs.objective_status, func.count())
    .where(
        _jobs.tuning_job_id.in_(bindparam("ids", expanding=True)),
        _jobs.shown_status.in_(["InProgress", "Stopping"]),
        _jobs.status == "InProgress",
        _jobs.attempt > 1,
        _jobs.started_at.is_(None),
    )
    .group_by(_jobs.tuning_job_id, _jobs.objective_status)
)
_of_latest_attempt = and_(_points.training_job_id == _jobs.id, _points.attempt == _jobs.attempt)
_POINTS = (
    select(_points.idx, _points.metric, _points.value, _points.at)
    .join_from(training_jobs, metric_points, _of_latest_attempt)
    .where(_jobs.id == bindparam("id_"))
    .order_by(_points.idx)
)
_POINTS_OF_METRIC = _POINTS.where(_points.metric == bindparam("metric_"))
_of_objective = and_(_points.training_job_id == _jobs.id, _points.metric == _jobs.objective_metric)
_CURVES_OF_ATTEMPTS = (
    select(_points.training_job_id, _points.attempt, _points.seq, _points.value)
    .join_from(training_jobs, metric_points, _of_objective)
    .where(_jobs.tuning_job_id == bindparam("id_"))
    .order_by(_points.training_job_id, _points.attempt, _points.idx)
)
_CURVES = _CURVES_OF_ATTEMPTS.where(_points.attempt == _jobs.attempt)
_EMISSION_TIMES = _CURVES.with_only_columns(_points.training_job_id, _points.at)
_CURVES_SINCE = _CURVES.where(_not_ended_by, _points.seq > bindparam("since_"))


def tuning_job(connection: Connection, owner: Owner, name: str) -> TuningJob:
    """A tuning job by name. Raises NotFound."""
    return tuning_job_of(_by_name(connection, tuning_jobs, "tuning job", owner, name))


def tuning_job_by_id(connection: Connection, job_id: int) -> TuningJob:
    """A tuning job by id. Raises NotFound."""
    return tuning_job_of(_by_id(connection, tuning_jobs, "tuning job", job_id))


def training_job(connection: Connection, owner: Owner, name: str) -> TrainingJob:
    """A training job by name. Raises NotFound."""
    return _with_specs(connection, [_by_name(connection, training_jobs, "training job", owner, name)])[0]


def training_job_by_id(connection: Connection, job_id: int) -> TrainingJob:
    """A training job by id. Raises NotFound."""
    return _with_specs(connection, [_by_id(connection, training_jobs, "training job", job_id)])[0]


def list_tuning_jobs(
    connection: Connection, owner: Owner, where: JobFilter, page: Page
) -> tuple[Sequence[TuningJob], str | None]:
    """A page of tuning jobs and the cursor of the next."""
    query = select(tuning_jobs).where(owned_by(tuning_jobs, owner), *matching(tuning_jobs, where))
    rows, after = page_of(connection, query, tuning_jobs, page)
    return [tuning_job_of(row) for row in rows], after


def list_training_jobs(
    connection: Connection, owner: Owner, where: JobFilter, page: Page, tuning_job_id: int | None
) -> tuple[Sequence[TrainingJob], str | None]:
    """A page of training jobs, all or those of one tuning job, and the cursor of the next."""
    scope = owned_by(training_jobs, owner) if tuning_job_id is None else trials_owned_by(owner, tuning_job_id)
    query = select(training_jobs).where(scope, *matching(training_jobs, where))
    rows, after = page_of(connection, query, training_jobs, page, tuning_job_id)
    return _with_specs(connection, rows), after


def training_job_names(connection: Connection, owner: Owner, where: JobFilter) -> list[str]:
    """The names of training jobs."""
    query = select(_jobs.name).where(owned_by(training_jobs, owner), *matching(training_jobs, where))
    return list(connection.scalars(query))


def jobs_of(connection: Connection, tuning_job_id: int, since: int | None = None) -> tuple[TrainingJob, ...]:
    """The training jobs of a tuning job that had not ended by event ``since`` (None: all), by number."""
    query = _JOBS_OF if since is None else _JOBS_SINCE
    return tuple(_with_specs(connection, connection.execute(query, _since(tuning_job_id, since)).all()))


def best_of(connection: Connection, tuning_job_id: int, direction: Direction) -> TrainingJob | None:
    """The training job with the best objective; of equals, the one that ended first."""
    rows = connection.execute(_BEST[direction], {"id_": tuning_job_id}).all()
    return next(iter(_with_specs(connection, rows)), None)


def counters(connection: Connection, ids: Sequence[int]) -> dict[int, dict[tuple[str, str], int]]:
    """How many training jobs of each tuning job have each (status, objective status)."""
    found: dict[int, dict[tuple[str, str], int]] = {job_id: {} for job_id in ids}
    for job_id, status, objective, count in connection.execute(_COUNTERS, {"ids": list(ids)}):
        found[job_id][status, objective] = count
    for job_id, objective, count in connection.execute(_AWAIT_RETRY, {"ids": list(ids)}):
        found[job_id][TrainingJobStatus.IN_PROGRESS.value, objective] -= count
        found[job_id][RETRYABLE, objective] = count
    return found


def state_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many jobs of each kind are in each state."""
    kinds = {"tuning": tuning_jobs, "training": training_jobs}
    return {
        (kind, status): count
        for kind, table in kinds.items()
        for status, count in connection.execute(select(table.c.shown_status, func.count()).group_by(table.c.shown_status))
    }


def points(connection: Connection, job_id: int, metric: str | None) -> list[MetricPoint]:
    """The emissions of a training job's latest attempt, in order."""
    if metric is None:
        rows = connection.execute(_POINTS, {"id_": job_id})
    else:
        rows = connection.execute(_POINTS_OF_METRIC, {"id_": job_id, "metric_": quoted(metric)})
    return [point_of(row) for row in rows]


def curves(connection: Connection, tuning_job_id: int, since: int | None = None) -> Mapping[int, tuple[CurvePoint, ...]]:
    """The objective's emissions of a tuning job's training jobs after event ``since`` (None: all); steps count from 1 within
    each."""
    query = _CURVES if since is None else _CURVES_SINCE
    found = _counted(connection.execute(query, _since(tuning_job_id, since)))
    return {job_id: curve for (job_id, _), curve in found.items()}


def emission_times(connection: Connection, tuning_job_id: int) -> Mapping[int, tuple[float, ...]]:
    """When a tuning job's training jobs emitted the objective, in order, by training job id."""
    found: dict[int, list[float]] = {}
    for job_id, at in connection.execute(_EMISSION_TIMES, {"id_": tuning_job_id}):
        found.setdefault(job_id, []).append(at)
    return {job_id: tuple(times) for job_id, times in found.items()}


def curves_of_attempts(connection: Connection, tuning_job_id: int) -> Mapping[tuple[int, int], tuple[CurvePoint, ...]]:
    """The same of all attempts, by training job id and attempt."""
    return _counted(connection.execute(_CURVES_OF_ATTEMPTS, {"id_": tuning_job_id}))


def _counted(rows: Iterable[AnyRow]) -> dict[tuple[int, int], tuple[CurvePoint, ...]]:
    found: dict[tuple[int, int], list[CurvePoint]] = {}
    for job_id, attempt, seq, value in rows:
        curve = found.setdefault((job_id, attempt), [])
        curve.append(CurvePoint(seq, Observation(len(curve) + 1, value)))
    return {attempt: tuple(curve) for attempt, curve in found.items()}


def _since(job_id: int, since: int | None) -> dict[str, int]:
    return {"id_": job_id} if since is None else {"id_": job_id, "since_": since}


def _by_name(connection: Connection, table: Table, kind: str, owner: Owner, name: str) -> AnyRow:
    values = {"account_": owner.account, "region_": owner.region, "key_": name_key(name)}
    row = connection.execute(_BY_NAME[table.name], values).first() if is_storable(name) else None
    if row is None:
        raise NotFound(kind, name)
    return row


def _by_id(connection: Connection, table: Table, kind: str, job_id: int) -> AnyRow:
    row = connection.execute(_BY_ID[table.name], {"id_": job_id}).first()
    if row is None:
        raise NotFound(kind, str(job_id))
    return row


def _with_specs(connection: Connection, rows: Sequence[AnyRow]) -> list[TrainingJob]:
    specs = _specs(connection, {row.spec for row in rows})
    return [training_job_of(row, specs[row.spec]) for row in rows]


def _specs(connection: Connection, digests: Collection[str]) -> dict[str, StoredSpec]:
    if not digests:
        # A worker asks twice a second for what has changed in each tuning job, and mostly nothing has.
        return {}
    found = connection.execute(_SPECS, {"digests": list(digests)}).all()
    return {row.digest: spec_of(row.digest, row.body) for row in found}
