"""The job store over a SQL database: each method is one transaction around the function of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection

from rekindle.domain.decisions import CurvePoint
from rekindle.domain.training_job import MetricPoint, Owner, TrainingJob
from rekindle.domain.tuning_job import TuningJob
from rekindle.engine.clock import SystemClock
from rekindle.engine.event_ports import Announcer, Event, Outbox, SinkState
from rekindle.engine.ports import Change, Clock, JobFilter, JobStore, Lease, Page
from rekindle.search.history import Direction
from rekindle.storage import commands, commits, leasing, outbox, questions, turns
from rekindle.storage.connect import PATIENCE_SECONDS, open_database
from rekindle.storage.database import Database


def open_store(
    url: str, patience: float = PATIENCE_SECONDS, announcer: Announcer | None = None, clock: Clock | None = None
) -> SqlStore:
    """The store at a database URL (``sqlite://`` alone is in memory), made or migrated as needed.

    ``patience`` is for how many seconds a call waits for another process's lock; ``announcer`` makes the events of the state
    changes that this store saves; ``clock`` (by default the machine's) is what leases run out by where no server has one.
    Raises InvalidValue, Unsupported and StoreUnavailable with a sentence that says what to do.
    """
    return SqlStore(open_database(url, patience), announcer, clock)


class SqlStore(JobStore, Outbox):
    """``JobStore`` and ``Outbox`` on SQLite or PostgreSQL. Its guarantees and errors are the ports'.

    With an announcer each state change is written together with its events: the one is there when the other is.
    """

    def __init__(self, database: Database, announcer: Announcer | None = None, clock: Clock | None = None) -> None:
        self.database = database
        self._announcer = announcer
        self._clock = clock or SystemClock()

    def close(self) -> None:
        """Closes the database; the store cannot be used after that."""
        self.database.close()

    def create_tuning_job(self, job: TuningJob) -> TuningJob:
        """See the port."""
        with self.database.writing() as connection:
            stored = commands.create_tuning_job(connection, job)
            if self._announcer is not None:
                outbox.announce_tuning_job(connection, self._announcer, stored)
            return stored

    def import_tuning_job(
        self, job: TuningJob, jobs: Sequence[TrainingJob], points: Mapping[str, Sequence[MetricPoint]] | None = None
    ) -> TuningJob:
        """See the port."""
        with self.database.writing() as connection:
            return commands.import_tuning_job(connection, job, jobs, points or {})

    def create_training_job(self, job: TrainingJob) -> TrainingJob:
        """See the port."""
        with self.database.writing() as connection:
            stored = commands.create_training_job(connection, job)
            if self._announcer is not None:
                outbox.announce_training_jobs(connection, self._announcer, [stored])
            return stored

    def request_stop(self, subject: str) -> None:
        """See the port."""
        with self.database.writing() as connection:
            commands.request_stop(connection, subject)

    def delete_tuning_job(self, job_id: int) -> None:
        """See the port."""
        with self.database.writing() as connection:
            commands.delete_tuning_job(connection, job_id)

    def delete_training_job(self, job_id: int) -> None:
        """See the port."""
        with self.database.writing() as connection:
            commands.delete_training_job(connection, job_id)

    def set_tags(self, subject: str, tags: Mapping[str, str], expected: Mapping[str, str] | None = None) -> bool:
        """See the port."""
        with self.database.writing() as connection:
            return commands.set_tags(connection, subject, tags, expected)

    def set_extras(self, job_id: int, extras: Mapping[str, Any], expected: Mapping[str, Any], at: float) -> bool:
        """See the port."""
        with self.database.writing() as connection:
            return commands.set_extras(connection, job_id, extras, expected, at)

    def tuning_job(self, owner: Owner, name: str) -> TuningJob:
        """See the port."""
        with self.database.reading() as connection:
            return questions.tuning_job(connection, owner, name)

    def tuning_job_by_id(self, job_id: int) -> TuningJob:
        """See the port."""
        with self.database.reading() as connection:
            return questions.tuning_job_by_id(connection, job_id)

    def training_job(self, owner: Owner, name: str) -> TrainingJob:
        """See the port."""
        with self.database.reading() as connection:
            return questions.training_job(connection, owner, name)

    def training_job_by_id(self, job_id: int) -> TrainingJob:
        """See the port."""
        with self.database.reading() as connection:
            return questions.training_job_by_id(connection, job_id)

    def tuning_jobs(self, owner: Owner, where: JobFilter, page: Page) -> tuple[Sequence[TuningJob], str | None]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.list_tuning_jobs(connection, owner, where, page)

    def training_jobs(
        self, owner: Owner, where: JobFilter, page: Page, tuning_job_id: int | None = None
    ) -> tuple[Sequence[TrainingJob], str | None]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.list_training_jobs(connection, owner, where, page, tuning_job_id)

    def training_job_names(self, owner: Owner, where: JobFilter) -> Sequence[str]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.training_job_names(connection, owner, where)

    def jobs_of(self, tuning_job_id: int, since: int | None = None) -> tuple[TrainingJob, ...]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.jobs_of(connection, tuning_job_id, since)

    def best_of(self, tuning_job_id: int, direction: Direction) -> TrainingJob | None:
        """See the port."""
        with self.database.reading() as connection:
            return questions.best_of(connection, tuning_job_id, direction)

    def counters(self, tuning_job_ids: Sequence[int]) -> Mapping[int, Mapping[tuple[str, str], int]]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.counters(connection, tuning_job_ids)

    def state_counts(self) -> Mapping[tuple[str, str], int]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.state_counts(connection)

    def points(self, training_job_id: int, metric: str | None = None) -> Sequence[MetricPoint]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.points(connection, training_job_id, metric)

    def curves(self, tuning_job_id: int, since: int | None = None) -> Mapping[int, tuple[CurvePoint, ...]]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.curves(connection, tuning_job_id, since)

    def emission_times(self, tuning_job_id: int) -> Mapping[int, tuple[float, ...]]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.emission_times(connection, tuning_job_id)

    def curves_of_attempts(self, tuning_job_id: int) -> Mapping[tuple[int, int], tuple[CurvePoint, ...]]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.curves_of_attempts(connection, tuning_job_id)

    def claim(
        self,
        holder: str,
        seconds: float,
        limit: int = 100,
        only: str | None = None,
        free_for: float = 0.0,
        without: Sequence[str] = (),
    ) -> Sequence[Lease]:
        """See the port."""
        wanted = leasing.Wanted(holder, only, free_for, tuple(without))
        with self.database.reading() as connection:
            # Asked first, so that a worker without work writes nothing.
            if not leasing.unclaimed(connection, wanted, self._now(connection), 1):
                return []
        with self.database.writing() as connection:
            return leasing.claim(connection, wanted, self._now(connection), seconds, limit)

    def unclaimed(self, holder: str, limit: int, only: str | None = None, free_for: float = 0.0) -> Sequence[str]:
        """See the port."""
        with self.database.reading() as connection:
            return leasing.unclaimed(connection, leasing.Wanted(holder, only, free_for), self._now(connection), limit)

    def renew(self, leases: Iterable[Lease], seconds: float) -> Sequence[Lease]:
        """See the port."""
        with self.database.writing() as connection:
            return leasing.renew(connection, leases, self._now(connection) + seconds)

    def release(self, lease: Lease, has_runs: bool = False) -> None:
        """See the port."""
        with self.database.writing() as connection:
            leasing.release(connection, lease, has_runs, self._now(connection))

    def holders(self) -> Sequence[str]:
        """See the port."""
        with self.database.reading() as connection:
            return leasing.holders(connection)

    def evict(self, holder: str) -> None:
        """See the port."""
        with self.database.writing() as connection:
            leasing.evict(connection, holder)

    def elsewhere(self, holder: str, only: str | None = None) -> Mapping[str, int]:
        """See the port."""
        with self.database.reading() as connection:
            return leasing.elsewhere(connection, holder, self._now(connection), only)

    def free_home(self, home: str) -> None:
        """See the port."""
        with self.database.writing() as connection:
            leasing.free_home(connection, home, self._now(connection))

    def commit(self, lease: Lease, change: Change) -> tuple[TrainingJob, ...]:
        """See the port."""
        with self.database.writing() as connection:
            return commits.commit(connection, lease, change, self._announcer)

    def turn(self, job_id: int, waits: Callable[[], object]) -> AbstractContextManager[None]:
        """See the port."""
        return turns.turn(self.database, job_id, waits)

    def claim_events(self, sink: str, holder: str, now: float, until: float, limit: int) -> Sequence[Event]:
        """See the port."""
        with self.database.reading() as connection:
            if not outbox.any_waiting(connection, sink):
                return []
        with self.database.writing() as connection:
            return outbox.claim(connection, sink, holder, now, until, limit)

    def told(self, sink: str, holder: str, event: Event, until: float) -> None:
        """See the port."""
        with self.database.writing() as connection:
            outbox.told(connection, sink, holder, event, until)

    def put_off(self, sink: str, holder: str, due: float, error: str) -> None:
        """See the port."""
        with self.database.writing() as connection:
            outbox.put_off(connection, sink, holder, due, error)

    def give_up(self, sink: str, holder: str, event: Event, now: float, error: str) -> None:
        """See the port."""
        with self.database.writing() as connection:
            outbox.give_up(connection, sink, holder, event, now, error)

    def release_sink(self, sink: str, holder: str) -> None:
        """See the port."""
        with self.database.writing() as connection:
            outbox.release(connection, sink, holder)

    def sink_states(self) -> Sequence[SinkState]:
        """See the port."""
        with self.database.reading() as connection:
            return outbox.states(connection)

    def try_again(self, sink: str = "") -> int:
        """See the port."""
        with self.database.writing() as connection:
            return outbox.try_again(connection, sink)

    def drop_events(self, sink: str = "") -> int:
        """See the port."""
        with self.database.writing() as connection:
            return outbox.drop(connection, sink)

    def _now(self, connection: Connection) -> float:
        """The time that leases run out by: the server's, which all hosts share; a file is one host's."""
        return self._clock.now() if self.database.dialect == "sqlite" else leasing.server_time(connection)
