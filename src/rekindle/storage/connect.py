"""From a database URL to a database at the right schema version."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from rekindle.domain.errors import InvalidValue
from rekindle.domain.texts import without_secrets
from rekindle.storage.database import Database
from rekindle.storage.filesystem import check_local
from rekindle.storage.upgrade import upgrade

#: Seconds that a transaction waits for another process's before it gives up.
PATIENCE_SECONDS = 30.0
#: Bytes to which the write-ahead log is cut back after a burst.
_WAL_LIMIT = 64 * 1024 * 1024


def open_database(url: str, patience: float) -> Database:
    """Opens the database at a SQLAlchemy URL, making or migrating it as needed. Safe in several processes at once.

    Raises InvalidValue for a URL that cannot be used or a network file system under SQLite, Unsupported for a database
    of a newer Rekindle, StoreUnavailable when it cannot be reached.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "postgresql":
        return _ready(_postgresql(parsed, patience), patience)
    if not parsed.database or parsed.database == ":memory:":
        return Database(_in_memory(), patience)
    return _ready(_sqlite(parsed, patience), patience)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # or a port that is no number
        # Not the URL itself: it may hold a password.
        raise InvalidValue("REKINDLE_DATABASE_URL", "...", "not a database URL", _URL_HINT) from error
    if "@" in (parsed.host or ""):
        reason, way_out = "a part of a password is taken for the host", "Write %40 for an @ in it."
        raise InvalidValue("REKINDLE_DATABASE_URL", without_secrets(url), reason, way_out)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if parsed.host or parsed.query:
            reason = "the path of the file follows three slashes, and no options follow it"
            raise InvalidValue("REKINDLE_DATABASE_URL", without_secrets(url), reason, _URL_HINT)
        return parsed.set(drivername="sqlite", database=_path_in(url))
    raise InvalidValue("REKINDLE_DATABASE_URL", parsed.drivername, "neither sqlite nor postgresql", _URL_HINT)


def _path_in(url: str) -> str:
    """The file that a SQLite URL names. Versions of SQLAlchemy differ in whether they undo escapes such as ``%20``."""
    _, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    return os.fsdecode(unquote_to_bytes(os.fsencode(path)))


_URL_HINT = "Write sqlite:////folder/rekindle.db or postgresql://user:password@host/database."


def _ready(engine: Engine, patience: float) -> Database:
    database = Database(engine, patience)
    try:
        upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def _postgresql(url: URL, patience: float) -> Engine:
    try:
        # What the user says counts.
        said = {*url.query, *_said_in_environment()}
        limits = {name: value for name, value in _limits_of_silence(patience).items() if name not in said}
        # Else that of the database, in which a name that somebody looks for may have no spelling; and of one that was made
        # without any (SQL_ASCII) psycopg gives bytes.
        # Statements that psycopg prepares are not there, or another's, where a pooler (PgBouncer) gives each transaction a
        # session of many; ours would hardly be used again, for a rollback, with which each reading ends, drops them.
        options = {**limits, "client_encoding": "utf8", "prepare_threshold": None}
        engine = create_engine(url, pool_size=8, max_overflow=-1, pool_pre_ping=True, connect_args=options)
    except ImportError as error:
        hint = "Install it with: pip install 'rekindle[postgres]'."
        raise InvalidValue("REKINDLE_DATABASE_URL", "postgresql", "the driver psycopg is not installed", hint) from error

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            # A server set to forget the last transactions would break the first law.
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            )
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{int(patience * 1000)}ms",))
        connection.commit()

    return engine


def _said_in_environment() -> Iterator[str]:
    """What libpq takes from its variables, such as PGCONNECT_TIMEOUT, and from the service that PGSERVICE names. Raises
    ImportError where it is not installed."""
    from psycopg.pq import Conninfo

    return (option.keyword.decode() for option in Conninfo.get_defaults() if option.val)


def _limits_of_silence(patience: float) -> dict[str, int]:
    """After how long a server of which nothing is heard counts as away, in libpq's words: a host that went down, or a network,
    closes no connection, and the system alone would wait for a quarter of an hour, or for two hours where we only listen."""
    seconds = max(2, int(patience))
    return {
        "connect_timeout": seconds,
        "tcp_user_timeout": 1000 * seconds,
        "keepalives_idle": seconds,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }


# --- SQLite ----------------------------------------------------------------------------------------------------------


def _sqlite(url: URL, patience: float) -> Engine:
    path = Path(url.database or "").absolute()
    check_local(path.parent)
    _make_file(path)
    engine = create_engine(url.set(database=str(path)), pool_size=8, max_overflow=-1, connect_args={"timeout": patience})

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: object) -> None:
        # We begin transactions ourselves; the driver would begin some of them too late.
        connection.isolation_level = None
        # FULL: with NORMAL a power cut may take the last commits with it.
        for pragma in ("synchronous=FULL", "foreign_keys=ON", f"journal_size_limit={_WAL_LIMIT}", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _make_file(path: Path) -> None:
    """Makes the file readable by its owner alone, and sees to it that a power cut leaves it in its folder."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            return
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        reason = f"the database cannot be made here ({error.strerror})"
        raise InvalidValue("REKINDLE_HOME", str(path.parent), reason, "Set it to a folder that you may write to.") from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _in_memory() -> Engine:
    # One connection for all threads; Database makes them take turns.
    options = {"check_same_thread": False}
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args=options)

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.deserialize(_empty_image())
        connection.execute("PRAGMA foreign_keys=ON")

    event.listen(engine, "begin", _begin)
    return engine


@lru_cache(maxsize=1)
def _empty_image() -> bytes:
    """An empty database at the current schema: migrated once per process, because tests open many."""
    engine = create_engine("sqlite://", poolclass=StaticPool)

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    event.listen(engine, "begin", _begin)
    database = Database(engine, PATIENCE_SECONDS)
    upgrade(database)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        image = driver.serialize()
    database.close()
    return image
