"""Who holds a lease: a process of a host, and the home where its runs are."""

from __future__ import annotations

import os
import socket

import psutil

from rekindle.engine.processes import start_of


def holder_name(home: str = "") -> str:
    """Who this process is: its host, its number and its start, so that a later process of that number is not taken for it; and
    the home where its runs are, if it has any."""
    return f"{socket.gethostname()}/{os.getpid()}/{start_of(os.getpid())}" + (f"@{home}" if home else "")


def is_dead(holder: str) -> bool:
    """Whether a holder is a process of this host that is gone. Another host's is never called dead, nor another user's where
    the system hides those (``hidepid``): their leases run out."""
    host, _, rest = holder.partition("@")[0].partition("/")
    pid, _, started = rest.partition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        process = psutil.Process(int(pid))
        # A zombie is a process that ended and whose parent has not looked: in a container perhaps nobody ever does.
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        # What cannot be told is no sign of death.
        now = start_of(process.pid)
        return bool(now and started) and now != started
    except psutil.AccessDenied:
        return False
    except psutil.NoSuchProcess:
        return not _is_hidden(int(pid))


def _is_hidden(pid: int) -> bool:
    """Whether there is a process that we cannot see, for it is another user's."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        pass
    return False
