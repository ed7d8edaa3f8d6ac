"""A process that works for this one, at the other end of a pipe: for suggestions, which may take long to make.

It gives way to whatever is quick to do, and ends when this process does: what it reads from, or writes to, ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

#: By how much the processes give way to the server, the worker and whatever else is quick to do.
_NICENESS = 5
#: How long to wait for a killed one, in seconds.
_PATIENCE = 2.0


class HelperProcess:
    """A process that runs ``work(connection, *arguments)``, all of which are pickled, and our end of the pipe to it."""

    def __init__(self, work: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(work, theirs, arguments), name="suggestions", daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid or 0

    def receive(self) -> Any:
        """What it sends next; None if it has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        """Ends it, whatever it does."""
        self.connection.close()
        self._process.kill()
        self._process.join(_PATIENCE)


def _run(work: Callable[..., None], connection: Connection, arguments: tuple[object, ...]) -> None:
    # Ctrl-C is sent to the whole group; whoever started this decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    try:
        work(connection, *arguments)
    except (EOFError, OSError):
        return  # nobody asks any more
