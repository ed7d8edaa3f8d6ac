"""What only one process at a time may do, of all that share a database, without any row to hold for it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from rekindle.storage.database import Database

#: The first half of the keys of PostgreSQL's advisory locks; the second is the number of a turn.
_KEYS = int.from_bytes(b"turn", "big")
_TRY = text("SELECT pg_try_advisory_xact_lock(:keys, :number)")
_WAIT = text("SELECT pg_advisory_xact_lock(:keys, :number)")
#: A server may end who waits, or does nothing for a while: a turn, and with it its transaction, takes as long as it takes.
_WITHOUT_END = text(
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN"
    " ('lock_timeout', 'statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')"
)


@contextmanager
def turn(database: Database, number: int, waits: Callable[[], object]) -> Iterator[None]:
    """The turn of a number, once nobody else has it; ``waits`` is called where somebody has. It ends with the process."""
    file = database.engine.url.database
    if database.dialect == "postgresql":
        with database.writing() as connection:
            _wait_there(connection, number, waits)
            yield
    elif file:
        with Path(file).with_name(".export.lock").open("w") as opened:
            _wait_here(opened.fileno(), number, waits)
            yield
    else:
        yield


def _wait_there(connection: Connection, number: int, waits: Callable[[], object]) -> None:
    key = {"keys": _KEYS, "number": number & 0x7FFF_FFFF}
    connection.execute(_WITHOUT_END)
    if not connection.execute(_TRY, key).scalar_one():
        waits()
        connection.execute(_WAIT, key)


def _wait_here(opened: int, number: int, waits: Callable[[], object]) -> None:
    # A byte of the file for each number.
    try:
        fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except (BlockingIOError, PermissionError):  # which of the two, systems do not agree on
        waits()
        fcntl.lockf(opened, fcntl.LOCK_EX, 1, number)
