"""One database: connections and transactions, with the errors of either kind turned into ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from sqlalchemy import Connection, Engine

from rekindle.storage.errors import locked, unavailable


class Database:
    """Transactions on one database, from any thread.

    On SQLite one writer at a time goes in, and the threads of one process line up for it here: SQLite's own waiting polls
    and is not fair. A database in memory has a single connection, so that readers line up too.
    """

    def __init__(self, engine: Engine, patience: float) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        self._patience = patience
        self._writer = engine.execution_options(begin="BEGIN IMMEDIATE")
        # PostgreSQL's own way would show each statement what was committed since the one before.
        self._reader = engine if self.dialect == "sqlite" else engine.execution_options(isolation_level="REPEATABLE READ")
        self._lock = RLock()
        self._in_memory = self.dialect == "sqlite" and not engine.url.database

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database; SELECT only."""
        with self._translated(), self._turn(self._in_memory), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable once this ends, or leaves nothing behind."""
        with self._translated(), self._turn(self.dialect == "sqlite"), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Closes all connections that no thread is using."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            found = unavailable(error, self.engine.url)
            if found is None:
                raise
            raise found from error

    @contextmanager
    def _turn(self, needed: bool) -> Iterator[None]:
        if not needed:
            yield
            return
        if not self._lock.acquire(timeout=self._patience):
            raise locked(self.engine.url)
        try:
            yield
        finally:
            self._lock.release()
