"""The first schema: tuning jobs, training jobs with their specs and emissions, leases."""

import sqlalchemy as sa
from alembic import op

revision = "0.1.0"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_SHOWN_STATUS = "CASE WHEN status = 'InProgress' AND stop_requested THEN 'Stopping' ELSE status END"


def upgrade() -> None:
    """Makes all tables."""
    _tuning_jobs()
    _training_jobs()
    _metric_points()
    _leases()


def _owned() -> list[sa.Column[object]]:
    return [
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("account", _NAME, nullable=False),
        sa.Column("region", _NAME, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("name_key", _NAME, nullable=False),
    ]


def _tuning_jobs() -> None:
    op.create_table(
        "tuning_jobs",
        *_owned(),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("status", _NAME, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("modified_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("not_improving", sa.BigInteger, nullable=False),
        sa.Column("converged_at", sa.Double),
        sa.Column("stop_requested", sa.Boolean, nullable=False),
        sa.Column("imported", sa.Boolean, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("parents", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("shown_status", _NAME, sa.Computed(_SHOWN_STATUS, persisted=True)),
        sqlite_autoincrement=True,
    )
    _owners_indexes("tuning_jobs")


def _training_jobs() -> None:
    op.create_table(
        "training_specs",
        sa.Column("digest", _NAME, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "training_jobs",
        *_owned(),
        sa.Column("tuning_job_id", sa.BigInteger),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("status", _NAME, nullable=False),
        sa.Column("secondary", sa.Text, nullable=False),
        sa.Column("launched_seq", sa.BigInteger, nullable=False),
        sa.Column("finished_seq", sa.BigInteger),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("modified_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("exit_code", sa.BigInteger),
        sa.Column("objective_metric", sa.Text),
        sa.Column("objective_status", _NAME, nullable=False),
        sa.Column("objective_value", sa.Double),
        sa.Column("points_seen", sa.BigInteger, nullable=False),
        sa.Column("stopped_early", sa.Boolean, nullable=False),
        sa.Column("stop_requested", sa.Boolean, nullable=False),
        sa.Column("spec", _NAME, sa.ForeignKey("training_specs.digest"), nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("shown_status", _NAME, sa.Computed(_SHOWN_STATUS, persisted=True)),
        sqlite_autoincrement=True,
    )
    _owners_indexes("training_jobs")
    with_objective = "objective_value IS NOT NULL"
    _index("training_jobs_by_objective", ["account", "region", "objective_value", "id"], with_objective)
    _index("training_jobs_by_spec", ["spec"])
    of_tuning_job = "tuning_job_id IS NOT NULL"
    _index("trials_by_number", ["tuning_job_id", "number"], of_tuning_job, unique=True)
    _index("trials_by_name", ["tuning_job_id", "name_key"], of_tuning_job)
    _index("trials_by_creation", ["tuning_job_id", "created_at", "id"], of_tuning_job)
    _index("trials_by_status", ["tuning_job_id", "shown_status", "id", "status", "objective_status"], of_tuning_job)
    _index("trials_by_objective", ["tuning_job_id", "objective_value", "id"], with_objective)


def _owners_indexes(table: str) -> None:
    owner = ["account", "region"]
    op.create_index(f"{table}_by_name", table, [*owner, "name_key"], unique=True)
    op.create_index(f"{table}_by_creation", table, [*owner, "created_at", "id"])
    op.create_index(f"{table}_by_status", table, [*owner, "shown_status", "id"])
    op.create_index(f"{table}_by_status_and_name", table, [*owner, "shown_status", "name_key"])
    op.create_index(f"{table}_by_status_and_creation", table, [*owner, "shown_status", "created_at", "id"])


def _index(name: str, columns: list[str], where: str | None = None, unique: bool = False) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, "training_jobs", columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _metric_points() -> None:
    op.create_table(
        "metric_points",
        sa.Column(
            "training_job_id",
            _ID,
            sa.ForeignKey("training_jobs.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("attempt", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("idx", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("subject", _NAME, primary_key=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("unfinished", sa.Boolean, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    unfinished, held = sa.text("unfinished"), sa.text("holder IS NOT NULL")
    op.create_index(
        "leases_unfinished", "leases", ["created_at", "subject"], sqlite_where=unfinished, postgresql_where=unfinished
    )
    op.create_index("leases_by_holder", "leases", ["holder"], sqlite_where=held, postgresql_where=held)
