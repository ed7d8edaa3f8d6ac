"""Changing jobs: ``stop``, ``delete``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rekindle.cli.options import JsonOption, TuningJobArgument
from rekindle.cli.printing import complain, counted, tell, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rekindle.bootstrap import App
    from rekindle.domain.training_job import TrainingJob


def stop(
    name: Annotated[str, typer.Argument(metavar="JOB", help="A tuning job's or a training job's name.", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until nothing of it runs any more.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Stop a tuning job with all its training jobs, or one training job. What has finished is kept."""
    from rekindle.cli.opened import open_app

    app = open_app()
    # Stdout is for the document alone.
    say = complain if as_json else tell
    if _is_tuning_job(app, name):
        _stop_tuning_job(app, name, wait, say)
        record = _tuning_job_record
    else:
        _stop_training_job(app, name, wait, say)
        record = _training_job_record
    if as_json:
        write_json(record(app, name))


def delete(
    name: TuningJobArgument,
    training_jobs: Annotated[
        bool,
        typer.Option(
            "--training-jobs", help="Also remove its training jobs: records, logs and models, but for what is at s3://."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a tuning job that has ended. Its training jobs stay, with their logs and models, unless you say otherwise."""
    from rekindle.cli.opened import open_app
    from rekindle.engine.commands import delete_tuning_job

    app = open_app()
    called, children, is_there = _to_delete(app, name, training_jobs)
    say = complain if as_json else tell
    if training_jobs and children and not yes:
        what = f"{counted(len(children), 'training job')} of {called} with their logs and models (what is at s3:// stays)"
        _confirm(f"Remove {what}?", as_json)
    if is_there:
        delete_tuning_job(app.store, app.owner, name)
        say(f"deleted tuning job {called}")
    if training_jobs:
        _delete_training_jobs(app, children)
        say(f"deleted {counted(len(children), 'training job')}")
    if as_json:
        write_json({"tuning_job": called, "training_jobs": [c.name for c in children] if training_jobs else []})


def _to_delete(app: App, name: str, training_jobs: bool) -> tuple[str, Sequence[TrainingJob], bool]:
    """The tuning job's name, its training jobs, and whether it is there itself. Raises NotFound; WrongState while it runs."""
    from rekindle.domain.errors import NotFound
    from rekindle.engine.commands import check_ended
    from rekindle.engine.queries import left_behind

    try:
        job = app.store.tuning_job(app.owner, name)
    except NotFound:
        # Deleted before, perhaps by one of us who was interrupted half-way.
        children = left_behind(app.store, app.owner, name) if training_jobs else ()
        if not children:
            raise
        return children[0].tuning_job_name or name, children, False
    check_ended(job)
    return job.name, app.store.jobs_of(job.id), True


def _delete_training_jobs(app: App, jobs: Sequence[TrainingJob]) -> None:
    from rekindle.domain.errors import NotFound
    from rekindle.engine.commands import delete_training_job

    for job in jobs:
        try:
            delete_training_job(app.store, app.executor, app.owner, job.name)
        except NotFound:
            # Somebody else deletes them too.
            continue


def _tuning_job_record(app: App, name: str) -> dict[str, Any]:
    """A tuning job as `show` and `tune` print it."""
    from rekindle.cli.records import followed_record
    from rekindle.engine.queries import describe

    view = describe(app.store, app.owner, name)
    return followed_record(view, app.store.jobs_of(view.job.id), app.store)


def _training_job_record(app: App, name: str) -> dict[str, Any]:
    """A training job as `trials` prints it; of one of its own the values are texts."""
    from rekindle.cli.records import training_record, trial_record

    job = app.store.training_job(app.owner, name)
    if job.tuning_job_id is None:
        return training_record(job)
    return trial_record(job, app.store.tuning_job_by_id(job.tuning_job_id))


def _confirm(question: str, to_stderr: bool) -> None:
    from rekindle.domain.errors import RekindleError
    from rekindle.settings import in_notebook

    # A notebook gives its commands a terminal, at which nobody can type.
    if not sys.stdin.isatty() or in_notebook():
        raise RekindleError("--training-jobs: this cannot be undone.", "Add --yes where nobody can be asked.")
    typer.confirm(question, abort=True, err=to_stderr)


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


def _stop_tuning_job(app: App, name: str, wait: bool, say: Callable[[str], None]) -> None:
    from rekindle.cli.follow import move_until_ended
    from rekindle.engine.commands import stop_tuning_job

    job = app.store.tuning_job(app.owner, name)
    if not job.stop_requested or job.status.is_terminal:
        stop_tuning_job(app.store, app.owner, name)
    if not wait:
        say(f"asked tuning job {job.name} to stop; a worker or `rekindle resume {job.name}` brings it to its end")
        return
    say(f"stopping tuning job {job.name}; training jobs have up to {app.settings.stop_grace_seconds:.0f} s to end")
    move_until_ended(app, f"tuning:{job.id}", lambda: app.store.tuning_job_by_id(job.id).status.is_terminal)
    say(f"{job.name}: {app.store.tuning_job_by_id(job.id).status.value}")


def _stop_training_job(app: App, name: str, wait: bool, say: Callable[[str], None]) -> None:
    from rekindle.cli.follow import move_until_ended
    from rekindle.engine.commands import stop_training_job
    from rekindle.engine.ports import RunKey

    job = stop_training_job(app.store, app.owner, name)
    # Where no worker runs nobody else would pass it on; the executor does not mind being asked twice.
    app.executor.stop(RunKey.of(job), give_up=True)
    if wait and job.tuning_job_id is None:
        move_until_ended(app, f"training:{job.id}", lambda: not app.store.training_job_by_id(job.id).is_running)
    say(f"asked training job {job.name} to stop")
