"""A disk that has no room: how one is known, and how a process that moves objects tells of it."""

from __future__ import annotations

import errno
import os

# Supervisors start with it, so it imports next to nothing.

#: The exit code of a process that found none.
NO_ROOM = os.EX_CANTCREAT
#: How a disk says so to all, and how to a user whose share of it is used up.
_FULL = (errno.ENOSPC, errno.EDQUOT)


def lacks_room(error: BaseException) -> bool:
    """Whether an error is a full disk's, or comes of one."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno in _FULL):
        cause = cause.__cause__
    return cause is not None
