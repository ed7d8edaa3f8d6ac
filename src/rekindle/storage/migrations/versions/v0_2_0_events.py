"""The outbox: events for other systems, and how the telling of each sink goes."""

import sqlalchemy as sa
from alembic import op

revision = "0.2.0"
down_revision = "0.1.0"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "events",
        sa.Column("seq", _ID, primary_key=True, autoincrement=True),
        sa.Column("sink", _NAME, nullable=False),
        sa.Column("id", _NAME, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("given_up_at", sa.Double),
        sa.Column("error", sa.Text),
        sqlite_autoincrement=True,
    )
    waiting = sa.text("given_up_at IS NULL")
    op.create_index("events_waiting", "events", ["sink", "seq"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_index("events_by_id", "events", ["sink", "id"])
    op.create_table(
        "event_sinks",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("holder", sa.Text),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("due_at", sa.Double, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("told", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text),
    )
