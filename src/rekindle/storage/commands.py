"""What people ask for: create, stop, delete, tag. Each function is given an open transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from rekindle.domain.errors import NameInUse, NotFound
from rekindle.domain.training_job import MetricPoint, TrainingJob
from rekindle.domain.tuning_job import TuningJob
from rekindle.engine.ports import parse_subject
from rekindle.storage.dialects import insert_new
from rekindle.storage.encoding import dumps
from rekindle.storage.questions import training_job_by_id
from rekindle.storage.records import Values, new_training_job, new_tuning_job, point_values, spec_documents
from rekindle.storage.schema import leases, metric_points, training_jobs, training_specs, tuning_jobs

KINDS = {"tuning": "tuning job", "training": "training job"}
_TABLES = {"tuning": tuning_jobs, "training": training_jobs}

_FLAG = {kind: update(t).where(t.c.id == bindparam("job_id")).values(stop_requested=True) for kind, t in _TABLES.items()}
_TAG = {kind: update(t).where(t.c.id == bindparam("job_id")).values(tags=bindparam("new")) for kind, t in _TABLES.items()}
_SPECIFY = (
    update(training_jobs)
    .where(training_jobs.c.id == bindparam("job_id"), training_jobs.c.spec == bindparam("before"))
    .values(spec=bindparam("after"), modified_at=bindparam("at"))
)
_DELETE_LEASE = delete(leases).where(leases.c.subject == bindparam("subject_"))
_DELETE_TUNING_JOB = delete(tuning_jobs).where(tuning_jobs.c.id == bindparam("job_id"))
_DELETE_TRAINING_JOB = delete(training_jobs).where(training_jobs.c.id == bindparam("job_id"))
_SPEC_OF = select(training_jobs.c.spec).where(training_jobs.c.id == bindparam("job_id"))
_DELETE_UNUSED_SPEC = delete(training_specs).where(
    training_specs.c.digest == bindparam("unused"), ~exists().where(training_jobs.c.spec == training_specs.c.digest)
)
_INSERT_TUNING_JOB = insert(tuning_jobs).returning(tuning_jobs.c.id)
_INSERT_TRAINING_JOBS = insert(training_jobs).returning(training_jobs.c.id, sort_by_parameter_order=True)


def create_tuning_job(connection: Connection, job: TuningJob) -> TuningJob:
    """Stores a new tuning job as unfinished work."""
    try:
        job_id = connection.execute(_INSERT_TUNING_JOB, new_tuning_job(job)).scalar_one()
    except IntegrityError as error:
        raise NameInUse(KINDS["tuning"], job.name) from error
    job = replace(job, id=job_id)
    _open_work(connection, f"tuning:{job.id}", job.created_at, not job.status.is_terminal)
    return job


def import_tuning_job(
    connection: Connection, job: TuningJob, jobs: Sequence[TrainingJob], points: Mapping[str, Sequence[MetricPoint]]
) -> TuningJob:
    """Stores a tuning job that has ended, with its training jobs and their emissions by name."""
    stored = create_tuning_job(connection, job)
    made = insert_training_jobs(connection, [replace(j, tuning_job_id=stored.id) for j in jobs])
    insert_points(connection, [point_values(j, point, j.finished_seq or 0) for j in made for point in points.get(j.name, ())])
    return stored


def insert_points(connection: Connection, rows: Sequence[Values]) -> None:
    """Stores emissions; one that is there already stays as it is."""
    if rows:
        connection.execute(insert_new(connection, metric_points), rows)


def create_training_job(connection: Connection, job: TrainingJob) -> TrainingJob:
    """Stores a training job of its own as unfinished work."""
    job = insert_training_jobs(connection, [job])[0]
    _open_work(connection, f"training:{job.id}", job.created_at, not job.status.is_terminal)
    return job


def insert_training_jobs(connection: Connection, jobs: Sequence[TrainingJob]) -> list[TrainingJob]:
    """Stores new training jobs and returns them with their ids. Raises NameInUse."""
    digests = store_specs(connection, jobs)
    rows = [new_training_job(job, digest) for job, digest in zip(jobs, digests, strict=True)]
    try:
        ids = connection.scalars(_INSERT_TRAINING_JOBS, rows).all()
    except IntegrityError as error:
        # Several at once come from a step, whose names nobody else makes; then the first stands for all.
        raise NameInUse(KINDS["training"], jobs[0].name) from error
    return [replace(job, id=job_id) for job, job_id in zip(jobs, ids, strict=True)]


def store_specs(connection: Connection, jobs: Sequence[TrainingJob]) -> list[str]:
    """Sees to it that the training jobs' specs are stored and returns their digests."""
    bodies, digests = spec_documents(jobs)
    if bodies:
        values = [{"digest": digest, "body": body} for digest, body in bodies.items()]
        connection.execute(insert_new(connection, training_specs), values)
    return digests


def request_stop(connection: Connection, subject: str) -> None:
    """Sets the flag that the holder of the work looks at."""
    kind, job_id = parse_subject(subject)
    if connection.execute(_FLAG[kind], {"job_id": job_id}).rowcount == 0:
        raise NotFound(KINDS[kind], str(job_id))


def set_tags(connection: Connection, subject: str, tags: Mapping[str, str], expected: Mapping[str, str] | None = None) -> bool:
    """Replaces a job's tags, if they are those expected."""
    kind, job_id = parse_subject(subject)
    column = _TABLES[kind].c.tags
    statement = _TAG[kind] if expected is None else _TAG[kind].where(column == dumps(dict(expected)))
    if connection.execute(statement, {"job_id": job_id, "new": dumps(dict(tags))}).rowcount:
        return True
    if connection.execute(select(column).where(_TABLES[kind].c.id == job_id)).first() is None:
        raise NotFound(KINDS[kind], str(job_id))
    return False


def set_extras(connection: Connection, job_id: int, extras: Mapping[str, Any], expected: Mapping[str, Any], at: float) -> bool:
    """Gives a training job a spec with other extras, if it has those expected; the spec that it had goes if no other has it."""
    before = _hold_spec(connection, job_id)
    job = training_job_by_id(connection, job_id)
    if dict(job.spec.extras) != dict(expected):
        return False
    (after,) = store_specs(connection, [replace(job, spec=replace(job.spec, extras=extras))])
    values = {"job_id": job_id, "before": before, "after": after, "at": at}
    changed = connection.execute(_SPECIFY, values).rowcount == 1
    connection.execute(_DELETE_UNUSED_SPEC, {"unused": before if changed else after})
    return changed


def delete_tuning_job(connection: Connection, job_id: int) -> None:
    """Removes a tuning job and its lease; whoever holds that finds out when it writes."""
    connection.execute(_DELETE_LEASE, {"subject_": f"tuning:{job_id}"})
    if connection.execute(_DELETE_TUNING_JOB, {"job_id": job_id}).rowcount == 0:
        raise NotFound(KINDS["tuning"], str(job_id))


def delete_training_job(connection: Connection, job_id: int) -> None:
    """Removes a training job, its emissions, its lease, and its spec if no other has it."""
    digest = _hold_spec(connection, job_id)
    if digest is None:
        raise NotFound(KINDS["training"], str(job_id))
    connection.execute(_DELETE_LEASE, {"subject_": f"training:{job_id}"})
    connection.execute(_DELETE_TRAINING_JOB, {"job_id": job_id})
    connection.execute(_DELETE_UNUSED_SPEC, {"unused": digest})


def _hold_spec(connection: Connection, job_id: int) -> str | None:
    """The digest of a training job's spec, which nobody changes, or begins to refer to, until the transaction ends."""
    # The job first, then the specs: as a step does, so that neither waits for the other.
    digest: str | None = connection.execute(_SPEC_OF.with_for_update(), {"job_id": job_id}).scalar()
    if connection.dialect.name == "postgresql":
        # Nobody may be about to refer to the spec that we find unused.
        connection.execute(text("LOCK TABLE training_specs IN SHARE ROW EXCLUSIVE MODE"))
    return digest


def _open_work(connection: Connection, subject: str, created_at: float, unfinished: bool) -> None:
    values = {"subject": subject, "created_at": created_at, "unfinished": unfinished, "token": 0, "until": 0.0}
    connection.execute(insert(leases), values)
