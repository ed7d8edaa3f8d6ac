"""The job store over a SQL database: each method is one transaction around the function of its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rekindle.domain.decisions import CurvePoint
from rekindle.domain.training_job import MetricPoint, Owner, TrainingJob
from rekindle.domain.tuning_job import TuningJob
from rekindle.engine.ports import Change, JobFilter, JobStore, Lease, Page
from rekindle.storage import commands, commits, leasing, questions
from rekindle.storage.connect import PATIENCE_SECONDS, open_database
from rekindle.storage.database import Database


def open_store(url: str, patience: float = PATIENCE_SECONDS) -> SqlStore:
    """The store at a database URL (``sqlite://`` alone is in memory), made or migrated as needed.

    ``patience`` is for how many seconds a call waits for another process's lock. Raises InvalidValue, Unsupported and
    StoreUnavailable with a sentence that says what to do.
    """
    return SqlStore(open_database(url, patience))


class SqlStore(JobStore):
    """``JobStore`` on SQLite or PostgreSQL. Its guarantees and errors are the port's."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def close(self) -> None:
        """Closes the database; the store cannot be used after that."""
        self.database.close()

    def create_tuning_job(self, job: TuningJob) -> TuningJob:
        """See the port."""
        with self.database.writing() as connection:
            return commands.create_tuning_job(connection, job)

    def import_tuning_job(self, job: TuningJob, jobs: Sequence[TrainingJob]) -> TuningJob:
        """See the port."""
        with self.database.writing() as connection:
            return commands.import_tuning_job(connection, job, jobs)

    def create_training_job(self, job: TrainingJob) -> TrainingJob:
        """See the port."""
        with self.database.writing() as connection:
            return commands.create_training_job(connection, job)

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

    def jobs_of(self, tuning_job_id: int) -> tuple[TrainingJob, ...]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.jobs_of(connection, tuning_job_id)

    def counters(self, tuning_job_ids: Sequence[int]) -> Mapping[int, Mapping[tuple[str, str], int]]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.counters(connection, tuning_job_ids)

    def points(self, training_job_id: int, metric: str | None = None) -> Sequence[MetricPoint]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.points(connection, training_job_id, metric)

    def curves(self, tuning_job_id: int) -> Mapping[int, tuple[CurvePoint, ...]]:
        """See the port."""
        with self.database.reading() as connection:
            return questions.curves(connection, tuning_job_id)

    def claim(self, holder: str, now: float, until: float, limit: int = 100, only: str | None = None) -> Sequence[Lease]:
        """See the port."""
        with self.database.reading() as connection:
            if not leasing.any_free(connection, now, only):
                return []
        with self.database.writing() as connection:
            return leasing.claim(connection, holder, now, until, limit, only)

    def renew(self, leases: Iterable[Lease], now: float, until: float) -> Sequence[Lease]:
        """See the port."""
        with self.database.writing() as connection:
            return leasing.renew(connection, leases, until)

    def release(self, lease: Lease) -> None:
        """See the port."""
        with self.database.writing() as connection:
            leasing.release(connection, lease)

    def holders(self) -> Sequence[str]:
        """See the port."""
        with self.database.reading() as connection:
            return leasing.holders(connection)

    def evict(self, holder: str) -> None:
        """See the port."""
        with self.database.writing() as connection:
            leasing.evict(connection, holder)

    def commit(self, lease: Lease, change: Change) -> tuple[TrainingJob, ...]:
        """See the port."""
        with self.database.writing() as connection:
            return commits.commit(connection, lease, change)
