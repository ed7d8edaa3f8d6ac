"""Pages of jobs by keyset: each page begins where the index says, so that its cost does not depend on what precedes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, literal, or_, tuple_

from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import Owner
from rekindle.engine.ports import JobFilter, Page, SortKey
from rekindle.storage.cursors import Cursor, decode_cursor, encode_cursor
from rekindle.storage.encoding import quoted
from rekindle.storage.records import AnyRow, is_storable, name_key
from rekindle.storage.schema import training_jobs

_SORT_COLUMNS = {
    SortKey.NAME: "name_key",
    SortKey.STATUS: "shown_status",
    SortKey.CREATED: "created_at",
    SortKey.OBJECTIVE: "objective_value",
}


def page_of(
    connection: Connection,
    query: Select[Any],
    table: Table,
    page: Page,
    of: int | None = None,
) -> tuple[Sequence[AnyRow], str | None]:
    """One page of a query over ``table`` and the cursor of the next; ``of`` is the tuning job whose training jobs are listed.
    Raises InvalidValue for a cursor that is none, or of another list."""
    column = sort_column(table, page.sort)
    listed = table.name if of is None else f"{table.name} of {of}"
    order = f"{listed} {page.sort.value} {'descending' if page.descending else 'ascending'}"
    if page.sort is SortKey.OBJECTIVE:
        query = query.where(column.is_not(None))
    if page.after is not None:
        query = query.where(_beyond(table, column, decode_cursor(page.after, order), page.descending))
    ends = (column.desc(), table.c.id.desc()) if page.descending else (column, table.c.id)
    rows = connection.execute(query.order_by(*ends).limit(page.size + 1)).all()
    if len(rows) <= page.size:
        return rows, None
    last = rows[page.size - 1]._mapping
    return rows[: page.size], encode_cursor(Cursor(order, last[column], last[table.c.id]))


def sort_column(table: Table, sort: SortKey) -> ColumnElement[Any]:
    """The column that a list is sorted by. Raises InvalidValue for one that the table does not have."""
    name = _SORT_COLUMNS[sort]
    if name not in table.c:
        raise InvalidValue("sort_by", sort.value, "tuning jobs cannot be sorted by this")
    return table.c[name]


def owned_by(table: Table, owner: Owner) -> ColumnElement[bool]:
    """The jobs of one owner."""
    return (table.c.account == owner.account) & (table.c.region == owner.region)


def trials_owned_by(owner: Owner, tuning_job_id: int) -> ColumnElement[bool]:
    """The training jobs of an owner's tuning job."""
    # Written so that no index begins with the owner: the planner would walk all of the owner's jobs for these few.
    account, region = (training_jobs.c[name].concat("") for name in ("account", "region"))
    return (training_jobs.c.tuning_job_id == tuning_job_id) & (account == owner.account) & (region == owner.region)


def matching(table: Table, where: JobFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter."""
    found: list[ColumnElement[bool]] = []
    if where.name_contains is not None:
        found.append(_name_contains(table, where.name_contains))
    if where.named is not None:
        found.append(table.c.name_key.in_([name_key(name) for name in where.named if is_storable(name)]))
    if where.status is not None:
        found.append(table.c.shown_status == where.status)
    if where.created_after is not None:
        found.append(table.c.created_at > where.created_after)
    if where.created_before is not None:
        found.append(table.c.created_at < where.created_before)
    if where.modified_after is not None:
        found.append(table.c.modified_at > where.modified_after)
    if where.modified_before is not None:
        found.append(table.c.modified_at < where.modified_before)
    return [*found, *(_has_tag(table, key, value) for key, value in where.tagged)]


def _name_contains(table: Table, text: str) -> ColumnElement[bool]:
    if not is_storable(text):
        return literal(False)
    return table.c.name_key.contains(name_key(text), autoescape=True)


def _has_tag(table: Table, key: str, value: str) -> ColumnElement[bool]:
    # A quote within a key or a value is escaped, so that what begins like this is a key. No LIKE: SQLite's ignores case.
    pair = f'"{quoted(key)}":"{quoted(value)}"'
    return or_(*(func.replace(table.c.tags, before + pair, "") != table.c.tags for before in "{,"))


def _beyond(table: Table, column: ColumnElement[Any], cursor: Cursor, descending: bool) -> ColumnElement[bool]:
    if isinstance(cursor.value, str) is not isinstance(column.type.python_type(), str):
        raise InvalidValue("next_token", cursor.value, "not a token that this service gave out")
    place = tuple_(column, table.c.id)
    end = tuple_(literal(cursor.value, column.type), literal(cursor.id, table.c.id.type))
    return place < end if descending else place > end
