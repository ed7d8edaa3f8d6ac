"""Changing jobs: ``stop``, ``delete``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rekindle.cli.options import TuningJobArgument
from rekindle.cli.printing import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekindle.bootstrap import App
    from rekindle.domain.training_job import TrainingJob


def stop(
    name: Annotated[str, typer.Argument(metavar="JOB", help="A tuning job's or a training job's name.", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until nothing of it runs any more.")] = True,
) -> None:
    """Stop a tuning job with all its training jobs, or one training job. What has finished is kept."""
    from rekindle.cli.opened import open_app

    app = open_app()
    if _is_tuning_job(app, name):
        _stop_tuning_job(app, name, wait)
    else:
        _stop_training_job(app, name, wait)


def delete(
    name: TuningJobArgument,
    training_jobs: Annotated[
        bool, typer.Option("--training-jobs", help="Also remove its training jobs: records, logs and models.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a tuning job that has ended. Its training jobs stay, with their logs and models, unless you say otherwise."""
    from rekindle.cli.opened import open_app
    from rekindle.cli.printing import counted
    from rekindle.domain.errors import NotFound
    from rekindle.engine.commands import delete_tuning_job
    from rekindle.engine.queries import left_behind

    app = open_app()
    try:
        job = app.store.tuning_job(app.owner, name)
        called, children = job.name, app.store.jobs_of(job.id)
    except NotFound:
        # Deleted before, perhaps by one of us who was interrupted half-way.
        children = left_behind(app.store, app.owner, name) if training_jobs else ()
        if not children:
            raise
        job, called = None, children[0].tuning_job_name or name
    if training_jobs and children and not yes:
        _confirm(f"Remove {counted(len(children), 'training job')} of {called} with their logs and models?")
    if job is not None:
        delete_tuning_job(app.store, app.owner, name)
        tell(f"deleted tuning job {called}")
    if training_jobs:
        _delete_training_jobs(app, children)
        tell(f"deleted {counted(len(children), 'training job')}")


def _delete_training_jobs(app: App, jobs: Sequence[TrainingJob]) -> None:
    from rekindle.domain.errors import NotFound
    from rekindle.engine.commands import delete_training_job

    for job in jobs:
        try:
            delete_training_job(app.store, app.executor, app.owner, job.name)
        except NotFound:
            # Somebody else deletes them too.
            continue


def _confirm(question: str) -> None:
    from rekindle.domain.errors import RekindleError

    if not sys.stdin.isatty():
        raise RekindleError("--training-jobs: this cannot be undone.", "Add --yes where nobody can be asked.")
    typer.confirm(question, abort=True)


def _is_tuning_job(app: App, name: str) -> bool:
    """Whether it names a tuning job. Raises NotFound for what names no job at all."""
    from rekindle.domain.errors import NotFound

    try:
        app.store.tuning_job(app.owner, name)
        return True
    except NotFound as error:
        try:
            app.store.training_job(app.owner, name)
            return False
        except NotFound:
            raise NotFound("tuning job or training job", name) from error


def _stop_tuning_job(app: App, name: str, wait: bool) -> None:
    from rekindle.cli.follow import move_until_ended
    from rekindle.engine.commands import stop_tuning_job

    job = app.store.tuning_job(app.owner, name)
    if not job.stop_requested or job.status.is_terminal:
        stop_tuning_job(app.store, app.owner, name)
    if not wait:
        tell(f"asked tuning job {job.name} to stop; a worker or `rekindle resume {job.name}` brings it to its end")
        return
    tell(f"stopping tuning job {job.name}; training jobs have up to {app.settings.stop_grace_seconds:.0f} s to end")
    move_until_ended(app, f"tuning:{job.id}", lambda: app.store.tuning_job_by_id(job.id).status.is_terminal)
    tell(f"{job.name}: {app.store.tuning_job_by_id(job.id).status.value}")


def _stop_training_job(app: App, name: str, wait: bool) -> None:
    from rekindle.cli.follow import move_until_ended
    from rekindle.engine.commands import stop_training_job
    from rekindle.engine.ports import RunKey

    job = stop_training_job(app.store, app.owner, name)
    # Where no worker runs nobody else would pass it on; the executor does not mind being asked twice.
    app.executor.stop(RunKey.of(job), give_up=True)
    if wait and job.tuning_job_id is None:
        move_until_ended(app, f"training:{job.id}", lambda: not app.store.training_job_by_id(job.id).is_running)
    tell(f"asked training job {job.name} to stop")
