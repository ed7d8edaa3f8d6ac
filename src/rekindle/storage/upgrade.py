"""Brings a database to the schema that this code works with, whichever process comes first."""

from __future__ import annotations

import sqlite3

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from rekindle.domain.errors import Unsupported
from rekindle.storage.database import Database
from rekindle.storage.errors import locked
from rekindle.storage.schema import REVISION, metadata, tuning_jobs

#: The key of the advisory lock under which PostgreSQL databases are migrated: "rekindle" as a number.
_ADVISORY_LOCK = int.from_bytes(b"rekindle", "big") & 0x7FFF_FFFF_FFFF_FFFF
#: Alembic's own table, which says at which schema a database is.
_VERSION = "alembic_version"
#: How often switching SQLite to WAL is tried; each try waits for whoever is in the way.
_WAL_TRIES = 50


def upgrade(database: Database) -> None:
    """Makes or migrates the schema; nothing but one SELECT when it is current. Raises Unsupported for a newer one."""
    if database.dialect == "sqlite" and database.engine.url.database:
        _use_wal(database)
    if _revision(database) == REVISION:
        return
    with database.writing() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        tables = set(inspect(connection).get_table_names())
        # Another process may have come first.
        if _VERSION in tables:
            _migrate(connection)
        elif taken := sorted(tables & metadata.tables.keys()):
            raise _others(f"its table {taken[0]!r} is there already")
        else:
            _make(connection)


def _others(how_told: str) -> Unsupported:
    return Unsupported(
        f"the database holds what another program keeps there ({how_told}).",
        "Give Rekindle one of its own, and name that in REKINDLE_DATABASE_URL (on PostgreSQL: CREATE DATABASE rekindle).",
    )


def _make(connection: Connection) -> None:
    """Makes the newest schema at once, as the migrations would have, and says so in Alembic's own table."""
    import rekindle.storage.indexes  # noqa: F401 - the indexes join the schema when they are imported

    metadata.create_all(connection, checkfirst=False)
    version = Table(_VERSION, MetaData(), Column("version_num", String(32), primary_key=True))
    # With Alembic's name for its key, so that it finds what it would have made itself.
    version.primary_key.name = f"{_VERSION}_pkc"
    version.create(connection)
    connection.execute(insert(version).values(version_num=REVISION))


def _revision(database: Database) -> str | None:
    with database.reading() as connection:
        try:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except (OperationalError, ProgrammingError) as error:
            if _is_missing_table(error):
                return None
            raise


def _is_missing_table(error: OperationalError | ProgrammingError) -> bool:
    return "no such table" in str(error.orig) or getattr(error.orig, "sqlstate", None) == "42P01"


def _migrate(connection: Connection) -> None:
    # Importing Alembic takes longer than all the rest of opening a database; it is needed once for each version.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "rekindle.storage:migrations")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        if not inspect(connection).has_table(tuning_jobs.name):
            # MLflow, Optuna, Airflow and others count their schemas in a table of this name, too.
            raise _others(f"its {_VERSION} is {current!r}")
        raise Unsupported(
            f"the database is at schema {current}, made by a newer Rekindle; this one knows schemas up to {REVISION}.",
            "Upgrade Rekindle, or begin with another by REKINDLE_HOME (or REKINDLE_DATABASE_URL).",
        )
    command.upgrade(config, REVISION)


def _use_wal(database: Database) -> None:
    """Switches a new file to write-ahead logging. SQLite refuses at once, without waiting, while another process is there:
    hence we wait for that one's transaction ourselves, and try again."""
    for _ in range(_WAL_TRIES):
        mode = _journal_mode(database)
        if mode == "wal":
            return
        if mode is not None:
            raise Unsupported(
                f"the file system of {database.engine.url.database} cannot do SQLite's write-ahead log (it stays at {mode!r}).",
                "Set REKINDLE_HOME to a folder on a disk of this machine.",
            )
        with database.writing():
            continue
    raise locked(database.engine.url)


def _journal_mode(database: Database) -> str | None:
    """The journal mode, WAL if it can be had; None while another process is in the way."""
    with database.reading() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            # Past SQLAlchemy, which would begin a transaction first: the mode cannot change within one.
            mode: str = driver.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            return mode
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                return None
            raise
