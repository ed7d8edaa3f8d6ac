"""Running a worker for one job, watching what happens, and leaving at Ctrl-C with nothing lost."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from rekindle.cli.interrupts import leave
from rekindle.cli.logging import quiet_log

if TYPE_CHECKING:
    from rekindle.bootstrap import App
    from rekindle.domain.decisions import Snapshot


class Display(Protocol):
    """Shows how a tuning job goes."""

    def update(self, snapshot: Snapshot) -> None:
        """Something may have changed."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class Interrupt:
    """Turns the first Ctrl-C (or SIGTERM) into a wish to leave after the step in hand, of which ``tell`` hears; the second one
    leaves at once. What is ignored, as Ctrl-C is where a script began us in the background, stays so."""

    def __init__(self, tell: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        self._tell = tell
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.requested and signal.SIGINT in self._before:
            # The first one has had its effect: one more is the second, whatever is told of the first by then.
            signal.signal(signal.SIGINT, leave)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            leave(number, frame)
        self.requested = True
        self._tell()


class Watch:
    """Tells a display of every step of one tuning job, whoever makes it: this process, or another worker."""

    def __init__(self, app: App, job_id: int, display: Display) -> None:
        self._app = app
        self._job_id = job_id
        self._display = display
        self._heard = False
        self._ended = False

    def step(self, snapshot: Snapshot) -> None:
        """A step that this process made."""
        self._heard = True
        self._ended = snapshot.job.status.is_terminal
        self._display.update(snapshot)

    def ended(self) -> bool:
        """Whether the tuning job has ended; looks it up where this process has made no step since the last call."""
        if not self._heard and not self._ended:
            self._look()
        self._heard = False
        return self._ended

    def _look(self) -> None:
        from rekindle.domain.decisions import Snapshot
        from rekindle.domain.errors import NotFound
        from rekindle.engine.ports import StoreUnavailable

        try:
            job = self._app.store.tuning_job_by_id(self._job_id)
            self._ended = job.status.is_terminal
            self._display.update(Snapshot(job, self._app.store.jobs_of(self._job_id)))
        except NotFound:
            self._ended = True
        except StoreUnavailable:
            return  # the worker says so, and tries again


def run_until_ended(app: App, job_id: int, share: int, display: Display) -> bool:
    """Works on one tuning job until it ends (True) or somebody interrupts (False)."""
    watch = Watch(app, job_id, display)
    quiet_log()
    try:
        with Interrupt() as interrupt, app.telling():
            worker = app.worker(f"tuning:{job_id}", watch.step, share)
            worker.run(lambda: interrupt.requested or watch.ended())
    finally:
        display.close()
    return not interrupt.requested or watch.ended()


def move_until_ended(app: App, subject: str, ended: Callable[[], bool]) -> None:
    """Works on one piece of work, together with whoever else does, until it has ended. Raises KeyboardInterrupt."""
    quiet_log()
    with Interrupt() as interrupt, app.telling():
        app.worker(subject).run(lambda: interrupt.requested or ended())
    if interrupt.requested:
        raise KeyboardInterrupt
