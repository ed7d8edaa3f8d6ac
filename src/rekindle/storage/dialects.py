"""The statements that the two databases spell differently."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from rekindle.storage.schema import metric_points, training_specs

_INSERT_NEW: dict[str, dict[str, Any]] = {
    "sqlite": {t.name: sqlite.insert(t).on_conflict_do_nothing() for t in (training_specs, metric_points)},
    "postgresql": {t.name: postgresql.insert(t).on_conflict_do_nothing() for t in (training_specs, metric_points)},
}


def insert_new(connection: Connection, table: Table) -> Any:
    """An INSERT that leaves alone what has the same primary key already."""
    return _INSERT_NEW[connection.dialect.name][table.name]
