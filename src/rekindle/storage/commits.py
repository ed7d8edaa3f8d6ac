"""What one step writes: all of it or nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, update

from rekindle.domain.training_job import TrainingJob
from rekindle.domain.tuning_job import TuningJob
from rekindle.engine.event_ports import Announcer
from rekindle.engine.ports import Change, Lease, LeaseLost
from rekindle.storage import leasing, outbox
from rekindle.storage.commands import insert_points, insert_training_jobs
from rekindle.storage.records import Values, point_values, training_job_state, tuning_job_state
from rekindle.storage.schema import training_jobs, tuning_jobs

# What is set follows from the values that the statements are given.
_UPDATE_TUNING_JOB = update(tuning_jobs).where(tuning_jobs.c.id == bindparam("job_id"))
_UPDATE_TRAINING_JOB = update(training_jobs).where(training_jobs.c.id == bindparam("job_id"))


def commit(connection: Connection, lease: Lease, change: Change, announcer: Announcer | None = None) -> tuple[TrainingJob, ...]:
    """Writes a step under a lease, and the events of its state changes, and returns the new training jobs with their ids."""
    leasing.check(connection, lease)
    old = None if announcer is None else outbox.before(connection, change)
    if change.tuning_job is not None:
        _save_tuning_job(connection, change.tuning_job)
    if change.changed:
        _save_training_jobs(connection, change.changed)
    added = tuple(insert_training_jobs(connection, change.added)) if change.added else ()
    if change.points:
        _save_points(connection, change, (*change.changed, *added))
    if _is_finished(lease, change):
        leasing.finish(connection, lease.subject)
    if announcer is not None and old is not None:
        outbox.announce_change(connection, announcer, old, change, added)
    return added


def _save_tuning_job(connection: Connection, job: TuningJob) -> None:
    done = connection.execute(_UPDATE_TUNING_JOB, {"job_id": job.id, **tuning_job_state(job)})
    if done.rowcount != 1:
        raise LeaseLost(f"tuning job {job.id} was deleted")


def _save_training_jobs(connection: Connection, jobs: Sequence[TrainingJob]) -> None:
    rows = [{"job_id": job.id, **training_job_state(job)} for job in jobs]
    for row in rows:
        # One by one: what a driver counts for many at once differs, and one of them may have been deleted.
        if connection.execute(_UPDATE_TRAINING_JOB, row).rowcount != 1:
            raise LeaseLost(f"training job {row['job_id']} was deleted")


def _save_points(connection: Connection, change: Change, jobs: Sequence[TrainingJob]) -> None:
    by_name = {job.name: job for job in jobs}
    rows: list[Values] = []
    for name, points in change.points.items():
        events = change.events.get(name) or (change.seq,) * len(points)
        rows += [point_values(by_name[name], p, seq) for p, seq in zip(points, events, strict=True)]
    insert_points(connection, rows)


def _is_finished(lease: Lease, change: Change) -> bool:
    if change.tuning_job is not None:
        return change.tuning_job.status.is_terminal
    return any(lease.subject == f"training:{job.id}" and job.status.is_terminal for job in change.changed)
