"""Which process a number stands for: numbers are given again."""

from __future__ import annotations

import sys

# Supervisors start with it, so it imports next to nothing.


def start_of(pid: int) -> str:
    """When a process started, which with its number names it for good; empty where there is none, or that cannot be told.

    Never by the clock as it is now: once it was set, that would be another moment, and all who live would be taken for dead.
    """
    try:
        return str(stat(pid)[19], "ascii")
    except (OSError, IndexError):
        return "" if sys.platform == "linux" else _told_by_ps(pid)


def stat(pid: int) -> list[bytes]:
    """What Linux says of a process, from its state on: a program's name may hold anything. Raises OSError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def _told_by_ps(pid: int) -> str:
    """As macOS noted it when the process started: to the second."""
    import subprocess

    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    try:
        done = subprocess.run(command, env={"LC_ALL": "C", "TZ": "UTC"}, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return "-".join(done.stdout.split())
