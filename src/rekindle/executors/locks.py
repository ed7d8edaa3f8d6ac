"""Locks on files that a supervisor inherits: held for as long as it lives, whatever becomes of anybody else."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

#: From where on our descriptors are, so that handing them to a supervisor overwrites none.
_HIGH = 100


def take(path: Path) -> int | None:
    """The lock on a file, made where it is not there; None if somebody holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except BlockingIOError:
        return None
    finally:
        os.close(opened)


def is_free(path: Path) -> bool:
    """Whether nobody holds it. We take it for a moment, so who wants it then comes again."""
    with contextlib.suppress(FileNotFoundError):
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(opened)
    return True
