"""Who holds a lease: a process of a host, and the home where its runs are."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil


def holder_name(home: str = "") -> str:
    """Who this process is: its host, its number and its start, so that a later process of that number is not taken for it; and
    the home where its runs are, if it has any."""
    return f"{socket.gethostname()}/{os.getpid()}/{_start_of(psutil.Process())}" + (f"@{home}" if home else "")


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
        return _start_of(process) != started or process.status() == psutil.STATUS_ZOMBIE
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


def _start_of(process: psutil.Process) -> str:
    """When a process started, where that can be had as Linux counts it: from when the machine did. By the clock it would be
    another moment once the clock was set, and all who live would be taken for dead."""
    try:
        return Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return f"{process.create_time():.2f}"
