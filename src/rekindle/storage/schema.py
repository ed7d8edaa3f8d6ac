"""The tables. What is searched, sorted or counted has a column of its own; the rest of a record is JSON beside it.

::

    tuning_jobs ---- leases           one for each tuning job, one for each training job of its own
        :
    training_jobs -- training_specs   what many training jobs share is stored once, by its digest
        |
    metric_points                     emissions, in the order of (training job, attempt, index)

    events ------- event_sinks        what other systems are to be told, and how each of them is doing

A training job keeps the id of its tuning job after that is deleted; ids are never given out twice.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

#: The migration that makes exactly these tables; a database at another one is migrated, or refused if it is newer.
REVISION = "0.2.0"

metadata = MetaData()

# SQLite numbers rows by itself only where the type is called INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
# Names are compared as bytes everywhere, so that both databases sort them alike.
_Name = String().with_variant(String(collation="C"), "postgresql")


def _shown_status() -> Column[str]:
    """The status that people see, kept by the database itself: who asks for a stop and who writes states are different."""
    expression = "CASE WHEN status = 'InProgress' AND stop_requested THEN 'Stopping' ELSE status END"
    return Column("shown_status", _Name, Computed(expression, persisted=True))


tuning_jobs = Table(
    "tuning_jobs",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("account", _Name, nullable=False),
    Column("region", _Name, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", _Name, nullable=False),
    Column("uid", Text, nullable=False),
    Column("status", _Name, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("modified_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("seq", BigInteger, nullable=False),
    Column("not_improving", BigInteger, nullable=False),
    Column("converged_at", Double),
    Column("stop_requested", Boolean, nullable=False),
    Column("imported", Boolean, nullable=False),
    Column("spec", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("parents", Text, nullable=False),
    Column("tags", Text, nullable=False),
    _shown_status(),
    sqlite_autoincrement=True,
)

training_specs = Table(
    "training_specs",
    metadata,
    Column("digest", _Name, primary_key=True),
    Column("body", Text, nullable=False),
)


training_jobs = Table(
    "training_jobs",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("account", _Name, nullable=False),
    Column("region", _Name, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", _Name, nullable=False),
    Column("tuning_job_id", BigInteger),
    Column("number", BigInteger, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("status", _Name, nullable=False),
    Column("secondary", Text, nullable=False),
    Column("launched_seq", BigInteger, nullable=False),
    Column("finished_seq", BigInteger),
    Column("created_at", Double, nullable=False),
    Column("modified_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("exit_code", BigInteger),
    Column("objective_metric", Text),
    Column("objective_status", _Name, nullable=False),
    Column("objective_value", Double),
    Column("points_seen", BigInteger, nullable=False),
    Column("stopped_early", Boolean, nullable=False),
    Column("stop_requested", Boolean, nullable=False),
    Column("spec", _Name, ForeignKey("training_specs.digest"), nullable=False),
    Column("inputs", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("tags", Text, nullable=False),
    _shown_status(),
    sqlite_autoincrement=True,
)

metric_points = Table(
    "metric_points",
    metadata,
    Column("training_job_id", _Id, ForeignKey("training_jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("attempt", BigInteger, primary_key=True, autoincrement=False),
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("metric", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("at", Double, nullable=False),
    sqlite_with_rowid=False,
)


leases = Table(
    "leases",
    metadata,
    Column("subject", _Name, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("unfinished", Boolean, nullable=False),
    Column("holder", Text),
    Column("token", BigInteger, nullable=False),
    Column("until", Double, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", _Id, primary_key=True, autoincrement=True),
    Column("sink", _Name, nullable=False),
    Column("id", _Name, nullable=False),
    Column("at", Double, nullable=False),
    Column("body", Text, nullable=False),
    Column("given_up_at", Double),
    Column("error", Text),
    sqlite_autoincrement=True,
)

event_sinks = Table(
    "event_sinks",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("holder", Text),
    Column("until", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("told", BigInteger, nullable=False),
    Column("error", Text),
)
