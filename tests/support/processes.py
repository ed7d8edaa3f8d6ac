"""Processes that a test looks at and that end in their own time."""

from __future__ import annotations

import os
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process runs; one that is only not yet collected does not.

    It takes one look. Who asks first whether a process is there and then how it is meets one that ended in between.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX" and pid != os.getpid()
