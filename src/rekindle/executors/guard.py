"""The process above a supervisor, which cleans up after one that was killed. Linux.

A supervisor adopts whatever its training job leaves behind; when it is killed itself, all of that becomes ours, whatever its
environment, session or outputs: only descendants are ever looked at, so no stranger is hit. We hold the run's locks, too, so
that nobody takes the run for lost, nor its place for free, while one of them still lives.
"""

from __future__ import annotations

import os
import sys

from rekindle.executors import children
from rekindle.executors.children import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that a killed supervisor's descendants get to die.
_SECONDS = 10.0


def stand_guard(pause: Callable[[float], object]) -> None:
    """Returns in a child, which is to be the supervisor; its parent stays behind and ends after it.

    ``pause(seconds)`` waits between two looks at what is to die.
    """
    if sys.platform != "linux":
        return
    children.adopt_orphans()
    # Until we are ready to pass it on, a signal waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    try:
        supervisor = os.fork()
    except OSError:
        # Too many processes: the supervisor alone is better than no run.
        supervisor = 0
    if supervisor:
        _watch_over(supervisor, pause)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def _watch_over(supervisor: int, pause: Callable[[float], object]) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Who launched a run knows our number only.
    signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(supervisor, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    # Left unreaped, so that its number is nobody else's while a signal may still be passed on.
    os.waitid(os.P_PID, supervisor, os.WEXITED | os.WNOWAIT)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children.kill_leftovers((), _SECONDS, pause)
    os._exit(0)
