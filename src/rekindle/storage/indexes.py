"""The indexes: what finds a job by name, walks each list in its order, and counts.

Only what makes a database, and the tests of that, read this: declaring a partial index imports both databases'
dialects, a tenth of a second that opening a store need not take.
"""

from __future__ import annotations

from sqlalchemy import Index, Table, text

from rekindle.storage.schema import events, leases, training_jobs, tuning_jobs


def _index(name: str, table: Table, *columns: str, where: str | None = None, unique: bool = False) -> None:
    condition = None if where is None else text(where)
    found = [table.c[column] for column in columns]
    Index(name, *found, unique=unique, sqlite_where=condition, postgresql_where=condition)


for _table in (tuning_jobs, training_jobs):
    _index(f"{_table.name}_by_name", _table, "account", "region", "name_key", unique=True)
    _index(f"{_table.name}_by_creation", _table, "account", "region", "created_at", "id")
    _index(f"{_table.name}_by_status", _table, "account", "region", "shown_status", "id")
    _index(f"{_table.name}_by_status_and_name", _table, "account", "region", "shown_status", "name_key")
    _index(f"{_table.name}_by_status_and_creation", _table, "account", "region", "shown_status", "created_at", "id")

_WITH_OBJECTIVE = "objective_value IS NOT NULL"
_index("training_jobs_by_objective", training_jobs, "account", "region", "objective_value", "id", where=_WITH_OBJECTIVE)
_index("training_jobs_by_spec", training_jobs, "spec")

_OF_TUNING_JOB = "tuning_job_id IS NOT NULL"
_index("trials_by_number", training_jobs, "tuning_job_id", "number", where=_OF_TUNING_JOB, unique=True)
_index("trials_by_name", training_jobs, "tuning_job_id", "name_key", where=_OF_TUNING_JOB)
_index("trials_by_creation", training_jobs, "tuning_job_id", "created_at", "id", where=_OF_TUNING_JOB)
_index("trials_by_objective", training_jobs, "tuning_job_id", "objective_value", "id", where=_WITH_OBJECTIVE)
# The last two columns are there to count from the index alone.
_COUNTED = ("status", "objective_status")
_index("trials_by_status", training_jobs, "tuning_job_id", "shown_status", "id", *_COUNTED, where=_OF_TUNING_JOB)

_index("leases_unfinished", leases, "created_at", "subject", where="unfinished")
_index("leases_by_holder", leases, "holder", where="holder IS NOT NULL")

_index("events_waiting", events, "sink", "seq", where="given_up_at IS NULL")
_index("events_by_id", events, "sink", "id")
