"""``logs``: what a training job printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rekindle.cli.options import whole_number

if TYPE_CHECKING:
    from rekindle.bootstrap import App
    from rekindle.domain.training_job import TrainingJob

#: Seconds between two looks at a log that is followed.
FOLLOW_SECONDS = 0.3


def logs(
    name: Annotated[str, typer.Argument(metavar="TRAINING_JOB", help="A training job's name.", show_default=False)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training job ends.")] = False,
    instance: Annotated[str | None, typer.Option(help="Only this instance, such as algo-2.", show_default="all")] = None,
    attempt: Annotated[
        int | None,
        typer.Option(
            parser=whole_number("--attempt", 1),
            metavar="N",
            help="This attempt of one that was started again.",
            show_default="latest",
        ),
    ] = None,
) -> None:
    """Print what a training job wrote to stdout and stderr. Of several instances, each line says whose it is."""
    from rekindle.cli.opened import open_app

    app = open_app()
    job = app.store.training_job(app.owner, name)
    _check_here(app, job, _attempt(job, attempt) or job.attempt)
    printers = _printers(app, job, instance, _attempt(job, attempt))
    _print_all(printers)
    while follow and app.store.training_job(app.owner, name).is_running and not _ended(app, job):
        app.clock.sleep(FOLLOW_SECONDS)
        _print_all(printers)
    _print_all(printers)
    for printer in printers:
        printer.finish()


def _check_here(app: App, job: TrainingJob, attempt: int) -> None:
    """Raises RekindleError for a log that is with another home."""
    from rekindle.domain.errors import RekindleError
    from rekindle.engine.queries import log_elsewhere

    told = log_elsewhere(app.executor, job, app.home, attempt)
    if told is not None:
        raise RekindleError(told)


class _Printer:
    """Prints the log of one instance as it grows. With a ``label``, whole lines, each behind it."""

    def __init__(self, app: App, job: TrainingJob, host: str, attempt: int, label: str = "") -> None:
        self._app, self._job, self._host, self._attempt, self._label = app, job, host, attempt, label.encode()
        self._offset = 0
        self._rest = b""

    def print(self) -> None:
        """What is new."""
        while True:
            job = self._job
            read = self._app.executor.read_log
            chunk, self._offset = read(job.owner, job.name, self._offset, host=self._host, attempt=self._attempt)
            if not chunk:
                return
            sys.stdout.buffer.write(self._labelled(chunk) if self._label else chunk)
            sys.stdout.buffer.flush()

    def finish(self) -> None:
        """A last line that nobody ended."""
        if self._rest:
            sys.stdout.buffer.write(self._labelled(b"\n"))
            sys.stdout.buffer.flush()

    def _labelled(self, chunk: bytes) -> bytes:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return b"".join(self._label + line + b"\n" for line in lines)


def _attempt(job: TrainingJob, attempt: int | None) -> int:
    """The attempt that is meant, 0 for the latest. Raises InvalidValue for one that never was."""
    from rekindle.domain.errors import InvalidValue

    if attempt is not None and not 1 <= attempt <= job.attempt:
        raise InvalidValue("--attempt", attempt, f"the training job has had {job.attempt}")
    return attempt or 0


def _printers(app: App, job: TrainingJob, instance: str | None, attempt: int) -> list[_Printer]:
    from rekindle.domain.errors import InvalidValue

    hosts = job.spec.resources.hosts
    if instance is not None and instance not in hosts:
        raise InvalidValue("--instance", instance, f"the training job has {', '.join(hosts)}")
    if instance is not None or len(hosts) == 1:
        return [_Printer(app, job, instance or hosts[0], attempt)]
    return [_Printer(app, job, host, attempt, f"[{host}] ") for host in hosts]


def _print_all(printers: list[_Printer]) -> None:
    for printer in printers:
        printer.print()


def _ended(app: App, job: TrainingJob) -> bool:
    """Whether the run itself has ended: the store hears of it only where a worker runs."""
    from rekindle.engine.ports import NO_POINTS, RunKey, RunState

    report = app.executor.report(RunKey.of(app.store.training_job(app.owner, job.name)), NO_POINTS)
    return report is not None and report.state is not RunState.RUNNING
