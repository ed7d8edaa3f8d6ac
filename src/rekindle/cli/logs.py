"""``logs``: what a training job printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rekindle.bootstrap import App
    from rekindle.domain.training_job import TrainingJob

#: Seconds between two looks at a log that is followed.
FOLLOW_SECONDS = 0.3


def logs(
    name: Annotated[str, typer.Argument(metavar="TRAINING_JOB", help="A training job's name.", show_default=False)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training job ends.")] = False,
) -> None:
    """Print what a training job wrote to stdout and stderr."""
    from rekindle.cli.opened import open_app

    app = open_app()
    job = _training_job(app, name)
    offset = _print_from(app, job.name, 0)
    while follow and app.store.training_job(app.owner, name).is_running and not _ended(app, job):
        app.clock.sleep(FOLLOW_SECONDS)
        offset = _print_from(app, job.name, offset)
    _print_from(app, job.name, offset)


def _training_job(app: App, name: str) -> TrainingJob:
    from rekindle.domain.errors import NotFound

    try:
        return app.store.training_job(app.owner, name)
    except NotFound as error:
        hint = "`rekindle trials JOB` lists the training jobs of a tuning job."
        try:
            tuning_job = app.store.tuning_job(app.owner, name)
            hint = f"It is a tuning job; `rekindle trials {tuning_job.name}` lists its training jobs."
        except NotFound:
            pass
        raise NotFound("training job", name, hint) from error


def _ended(app: App, job: TrainingJob) -> bool:
    """Whether the run itself has ended: the store hears of it only where a worker runs."""
    from rekindle.engine.ports import RunKey, RunState

    report = app.executor.report(RunKey.of(app.store.training_job(app.owner, job.name)))
    return report is not None and report.state is not RunState.RUNNING


def _print_from(app: App, name: str, offset: int) -> int:
    while True:
        chunk, after = app.executor.read_log(app.owner, name, offset)
        if not chunk:
            return after
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        offset = after
