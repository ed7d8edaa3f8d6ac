"""What databases complain about, in one sentence, and what to do."""

from __future__ import annotations

import re
import sqlite3

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rekindle.domain.texts import without_secrets
from rekindle.engine.ports import StoreUnavailable

# A write-ahead log that a killed process has left would go into the copy, and damage that.
_MEND = "Move it away with its -wal and -shm, and put back a copy, or recover it with `sqlite3 FILE .recover`."

# By the start of SQLite's error name, the first that fits: what is wrong, and the way out.
_SQLITE = (
    ("SQLITE_BUSY", "another process kept it locked for too long.", "Try again; `rekindle jobs` shows what works on it."),
    ("SQLITE_LOCKED", "another process kept it locked for too long.", "Try again."),
    # Too many begin at one moment, and SQLite gives up.
    ("SQLITE_PROTOCOL", "other processes kept it busy for too long.", "Try again."),
    ("SQLITE_NOMEM", "there was not enough memory.", "Free some memory and try again; nothing that was recorded is lost."),
    ("SQLITE_FULL", "the disk is full.", "Free some space and try again; nothing that was recorded is lost."),
    ("SQLITE_READONLY", "it cannot be written.", "Check the permissions of the file, its -wal and -shm, and the folder."),
    ("SQLITE_CANTOPEN", "it cannot be opened.", "Check that its folder exists and may be written, or set REKINDLE_HOME."),
    ("SQLITE_PERM", "it may not be opened.", "Check the permissions of the file and its folder."),
    ("SQLITE_NOTADB", "the file is not a database.", "Move it away, or set REKINDLE_HOME to another folder."),
    ("SQLITE_CORRUPT", "the file is damaged.", _MEND),
    ("SQLITE_IOERR", "reading or writing the file failed.", "Check the disk."),
)


#: How SQLite says that a table or a column is not there; PostgreSQL's codes for the two.
_NOT_THERE = re.compile(r"no such (table|column): (?:\w+\.)?(\w+)|table \w+ has no column named (\w+)")
_NOT_THERE_STATES = ("42P01", "42703")
#: How psycopg says that the URL has an option that it does not know, or one of a value that is none.
_NO_OPTION, _NO_VALUE = "invalid connection option", "bad value for "
#: PostgreSQL's codes for what this user may not do, and for a user without a schema to make tables in.
_NOT_ALLOWED_STATES = ("42501", "3F000")
_NOT_ALLOWED = (
    "Let the user in REKINDLE_DATABASE_URL use what is there (GRANT), or give it a database of its own: "
    "CREATE DATABASE name OWNER user."
)
#: PostgreSQL's code for a character that the database's encoding does not have.
_NO_SUCH_CHARACTER = "22P05"
_CHANGED = "Somebody changed it. Put back a copy of it, or set REKINDLE_HOME (or REKINDLE_DATABASE_URL) to begin with another."


def unavailable(error: Exception, url: URL) -> StoreUnavailable | None:
    """The error that callers get instead, or None for one that is a defect of ours."""
    if isinstance(error, PoolTimeout):
        return _told(url, "all its connections are in use.", "Try again.")
    # The driver's own errors come from where SQLAlchemy does not wrap them: while a connection is made.
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, url)
    if cause is not None and url.get_backend_name() == "postgresql":
        return _of_postgresql(cause, url)
    return None


def locked(url: URL) -> StoreUnavailable:
    """For a lock that we waited for in vain."""
    return _told(url, *_SQLITE[0][1:])


def _of_sqlite(error: sqlite3.Error, url: URL) -> StoreUnavailable | None:
    name = getattr(error, "sqlite_errorname", "")
    for prefix, reason, hint in _SQLITE:
        if name.startswith(prefix):
            return _told(url, reason, hint)
    found = _NOT_THERE.match(str(error))
    if found is not None:
        return _told(url, f"its {found[1] or 'column'} {found[2] or found[3]} is missing.", _CHANGED)
    return None


def _of_postgresql(error: BaseException, url: URL) -> StoreUnavailable | None:
    import psycopg

    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate in _NOT_THERE_STATES:
        return _told(url, f"{error.diag.message_primary}.", _CHANGED)
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate in _NOT_ALLOWED_STATES:
        return _told(url, f"{error.diag.message_primary}.", _NOT_ALLOWED)
    if isinstance(error, psycopg.ProgrammingError) and str(error).startswith(_NO_VALUE):
        return _told(url, f"{error}.", "Correct it in REKINDLE_DATABASE_URL, or in PGCONNECT_TIMEOUT where it is said there.")
    if isinstance(error, psycopg.DataError) and error.sqlstate == _NO_SUCH_CHARACTER:
        hint = "Let Rekindle have a database that knows all: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0."
        return _told(url, f"{error.diag.message_primary}.", hint)
    is_option = isinstance(error, psycopg.ProgrammingError) and str(error).startswith(_NO_OPTION)
    if not is_option and not isinstance(error, psycopg.OperationalError | psycopg.InternalError | psycopg.InterfaceError):
        return None
    first = (str(error).strip().splitlines() or ["no reason given"])[0]
    return _told(url, f"{first}.", "Check that the server runs and REKINDLE_DATABASE_URL is right, then try again.")


def _told(url: URL, reason: str, hint: str) -> StoreUnavailable:
    where = url.database if url.get_backend_name() == "sqlite" else without_secrets(url.render_as_string())
    return StoreUnavailable(f"the database {where or 'in memory'}: {reason}", hint)
