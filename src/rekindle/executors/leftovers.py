"""What a killed supervisor and its guard left running: found by the mark in its environment, which no other process has, and
where there is no guard by what the supervisor had noted, too. macOS shows the environment of few processes."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from rekindle.engine.processes import start_of
from rekindle.executors import children, workdir

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
        noted = _noted(attempt)
        found = [process for process in psutil.process_iter() if _is_marked(process, attempt)]
        if not (noted or found) or not still():
            return
        descendants = _descendants(noted)
        for process in noted:
            children.signal_group(process.pid, signal.SIGKILL)
        _kill([*noted, *descendants, *found])


def kill_supervisors(attempt: str, still: Callable[[], bool]) -> None:
    """Kills the supervisor of an attempt whose folder is gone, so that neither its lock nor its journal can be looked at; if it
    is gone ``still``.

    Its guard, which has the same command line, gets time to clean up after it.
    """
    found = [process for process in psutil.process_iter() if _supervises(process, attempt)]
    if not found or not still():
        return
    guards = {parent for process in found if (parent := _parent(process)) in found}
    descendants = _descendants(found)
    _kill([process for process in found if process not in guards])
    if not guards:
        _kill(descendants)
    psutil.wait_procs(guards, timeout=_GUARD_PATIENCE)
    _kill(list(guards))


def _noted(attempt: str) -> list[psutil.Process]:
    """Whom the supervisor of an attempt has started, of those who still live."""
    found = []
    with contextlib.suppress(OSError):
        for line in Path(attempt, workdir.STARTED).read_text(errors="replace").splitlines():
            pid, _, started = line.partition(" ")
            # A power cut may have left zeros in their place.
            if pid.isdecimal() and started and start_of(int(pid)) == started:
                with contextlib.suppress(psutil.Error):
                    found.append(psutil.Process(int(pid)))
    return [process for process in found if not _is_zombie(process)]


def _descendants(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found += process.children(recursive=True)
    return found


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
        return process.environ().get(RUN_MARK) == attempt and not _is_zombie(process)
    except (psutil.Error, OSError):
        return False


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
