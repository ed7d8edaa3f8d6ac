"""What a killed supervisor and its guard left running: found by the mark in its environment, which no other process has."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Sequence

import psutil

#: The variable by which every process of an attempt is known, whatever became of its parents: the attempt's folder.
RUN_MARK = "REKINDLE_RUN"
#: How often we look again, for processes that were being made while we looked.
_ROUNDS = 50
#: Seconds that the killed get to be gone before the next look.
_REST = 0.2
#: What every supervisor's command line holds; the attempt's folder is its last word.
_SUPERVISOR = "rekindle.executors.supervisor"
#: Seconds that a guard gets to clean up; it takes no longer itself.
_GUARD_PATIENCE = 15.0
#: Seconds that a container engine or a cluster gets to end what runs there.
_PATIENCE = 60.0


def end_elsewhere(removal: Sequence[str], environment: Sequence[str]) -> None:
    """Runs the command that ends what a run has in containers or on a cluster, if any; ``environment`` is ``NAME=value``."""
    if removal:
        variables = dict(item.split("=", 1) for item in environment)
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(removal, env=variables, capture_output=True, timeout=_PATIENCE, check=False)


def kill_marked(attempt: str, still: Callable[[], bool] = lambda: True) -> None:
    """Kills every process of ours that bears the mark of an attempt, until there is none; ``still`` says, once they are found,
    whether they are to go: somebody may have begun the attempt meanwhile."""
    for _ in range(_ROUNDS):
        found = [process for process in psutil.process_iter() if _is_marked(process, attempt)]
        if not found or not still():
            return
        _kill(found)


def kill_supervisors(attempt: str, still: Callable[[], bool]) -> None:
    """Kills the supervisor of an attempt whose folder is gone, so that neither its lock nor its journal can be looked at; if it
    is gone ``still``.

    Its guard, which has the same command line, gets time to clean up after it.
    """
    found = [process for process in psutil.process_iter() if _supervises(process, attempt)]
    if not found or not still():
        return
    guards = {parent for process in found if (parent := _parent(process)) in found}
    _kill([process for process in found if process not in guards])
    psutil.wait_procs(guards, timeout=_GUARD_PATIENCE)
    _kill(list(guards))


def _kill(found: Sequence[psutil.Process]) -> None:
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found, timeout=_REST)


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except (psutil.Error, OSError):
        return None


def _supervises(process: psutil.Process, attempt: str) -> bool:
    try:
        words = process.cmdline()
    except (psutil.Error, OSError):
        return False
    return words[-1:] == [attempt] and any(_SUPERVISOR in word for word in words)


def _is_marked(process: psutil.Process, attempt: str) -> bool:
    try:
        return process.environ().get(RUN_MARK) == attempt and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False
