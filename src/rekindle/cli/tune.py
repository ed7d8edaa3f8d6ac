"""Running tuning jobs: ``tune``, ``resume``, ``worker``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rekindle.cli.interrupts import is_interrupt, take_terminations
from rekindle.cli.options import JobFileArgument, JsonOption, TuningJobArgument
from rekindle.cli.printing import complain, tell, write_json
from rekindle.cli.problems import ExitCode, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from rekindle.bootstrap import App
    from rekindle.domain.decisions import Snapshot
    from rekindle.domain.training_job import TrainingJob
    from rekindle.domain.tuning_job import TuningJob
    from rekindle.engine.queries import TuningJobView

QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def tune(
    job_file: JobFileArgument,
    name: Annotated[str | None, typer.Option("--name", help="Another name for the tuning job.", show_default=False)] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Only create it; a worker runs it.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a tuning job and run it to its end. Ctrl-C leaves it so that `rekindle resume` goes on with it."""
    with _TellingWhatIsThere() as made:
        from rekindle.cli.opened import app_if_there, open_app
        from rekindle.cli.rules import count_on_refusal
        from rekindle.cli.source import check_alone, load_source
        from rekindle.engine.commands import create_tuning_job

        source = load_source(job_file).named(name)
        with count_on_refusal(source.spec, app_if_there, source.path):
            check_alone(source)
        app = open_app()
        made.by(app, source.spec.name)
        with count_on_refusal(source.spec, lambda: app, source.path), source.blamed():
            # Where s3:// leads is the worker's own business; only here is the worker known.
            objects = None if detach else app.objects
            job = create_tuning_job(app.store, app.executor, app.clock, app.owner, source.spec, app.quotas, objects)
        if not quiet:
            _say_before(app, job, source.notes)
        if detach:
            _say_created(app, job, as_json)
        else:
            raise typer.Exit(_run(app, job, quiet, as_json))


def resume(name: TuningJobArgument, quiet: QuietOption = False, as_json: JsonOption = False) -> None:
    """Go on with a tuning job that was interrupted, or watch one that another worker runs."""
    from rekindle.cli.opened import open_app
    from rekindle.domain.errors import WrongState

    app = open_app()
    job = app.store.tuning_job(app.owner, name)
    if job.status.is_terminal:
        message = f"tuning job {job.name!r} has ended: it is {job.status.value}."
        raise WrongState("tuning job", job.name, job.status.value, message, f"See `rekindle show {job.name}`.")
    with _TellingWhatIsThere() as made:
        made.by(app, job.name, job.created_at)
        raise typer.Exit(_run(app, job, quiet, as_json))


def worker(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing is left to do.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Run every tuning job and training job that is not finished, until Ctrl-C. There may be several workers."""
    from rekindle.cli.displays import display_for
    from rekindle.cli.follow import Interrupt
    from rekindle.cli.logging import quiet_log
    from rekindle.cli.opened import open_app

    app = open_app()
    quiet_log()
    display = display_for(app.clock, quiet, to_stderr=True)
    if not quiet:
        complain(f"working on everything in {app.settings.home}; Ctrl-C ends it, training jobs go on")
    with Interrupt() as interrupt, app.telling():
        app.worker(on_step=display.update).run(lambda: interrupt.requested or (until_idle and _idle(app)))


def _say_before(app: App, job: TuningJob, notes: Sequence[str]) -> None:
    """On stderr, before anything is copied: a terminal shows nothing else while that takes its time."""
    from rekindle.cli.beforehand import copy_of, notes_before

    for note in (*notes, *notes_before(job.spec, copy_of(app.executor, job.spec))):
        complain(f"note: {note}")


class _TellingWhatIsThere:
    """Ctrl-C, SIGTERM, or an output that takes no more, while a tuning job is created or runs: says whether there is one
    now."""

    def __init__(self) -> None:
        self._look: Callable[[], TuningJobView | None] = lambda: None
        self._say: Callable[[TuningJobView], None] = lambda view: None

    def by(self, app: App, name: str, since: float | None = None) -> None:
        """From now on ``app`` may create the tuning job; one of this name from before ``since`` (now) is another's."""
        begun = app.clock.now() if since is None else since
        self._look = lambda: _made_since(app, name, begun)
        self._say = lambda view: _say_interrupted(app, view)

    def __enter__(self) -> _TellingWhatIsThere:
        self._end_taking = take_terminations()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._tell(error)
        finally:
            self._end_taking()

    def _tell(self, error: BaseException | None) -> None:
        if isinstance(error, OSError):
            self._note(error)
        if not is_interrupt(error):
            return
        view = self._look()
        if view is None:
            raise Interrupted("interrupted: nothing was created") from error
        if view.status.is_terminal:
            raise Interrupted(f"interrupted: {view.job.name} has ended; see `rekindle show {view.job.name}`") from error
        self._say(view)
        raise typer.Exit(ExitCode.INTERRUPTED) from error

    def _note(self, error: OSError) -> None:
        """An error of the system, as of a full disk that the output goes to, says what there is; where a reader went away there
        is no error to tell, and only what is not finished is worth a word."""
        from rekindle.engine.ports import StoreUnavailable

        try:
            view = self._look()
        except StoreUnavailable:
            return
        if view is not None and isinstance(error, BrokenPipeError) and not view.status.is_terminal:
            self._say(view)
        elif view is not None:
            error.add_note(_what_there_is(view))


def _what_there_is(view: TuningJobView) -> str:
    name = view.job.name
    if view.status.is_terminal:
        return f"The tuning job {name} has ended: {view.status.value}; see `rekindle show {name}`."
    goes_on = f"`rekindle resume {name}` goes on with it, `rekindle show {name}` shows it"
    return f"The tuning job {name} was created and is not finished: {goes_on}."


def _made_since(app: App, name: str, begun: float) -> TuningJobView | None:
    from rekindle.domain.errors import NotFound
    from rekindle.engine.queries import describe

    try:
        view = describe(app.store, app.owner, name)
    except NotFound:
        return None
    return view if view.job.created_at >= begun else None


def _run(app: App, job: TuningJob, quiet: bool, as_json: bool) -> ExitCode:
    from rekindle.cli.displays import display_for
    from rekindle.cli.follow import run_until_ended
    from rekindle.engine.queries import describe, with_models_now

    display = display_for(app.clock, quiet, to_stderr=as_json)
    ended = run_until_ended(app, job.id, job.spec.limits.max_parallel, display)
    view = with_models_now(app.executor, describe(app.store, app.owner, job.name))
    if not ended:
        _say_interrupted(app, view)
        return ExitCode.INTERRUPTED
    return _say_end(app, view, app.store.jobs_of(job.id), as_json)


def _say_end(app: App, view: TuningJobView, jobs: tuple[TrainingJob, ...], as_json: bool) -> ExitCode:
    from rekindle.cli.records import followed_record
    from rekindle.cli.summary import show_end
    from rekindle.domain.decisions import Snapshot
    from rekindle.domain.tuning_job import TuningJobStatus

    record = followed_record(view, jobs, app.store)
    if as_json:
        write_json(record)
    else:
        show_end(view, _last(jobs), record["early_stopping"])
        _say_notes(app, Snapshot(view.job, jobs))
    return ExitCode.FAILED if view.status is TuningJobStatus.FAILED else ExitCode.OK


def _last(jobs: Sequence[TrainingJob]) -> str | None:
    """The last training job that failed, or else that ran to its end: one that was stopped may have nothing to tell."""
    from rekindle.domain.training_job import TrainingJobStatus

    for status in (TrainingJobStatus.FAILED, TrainingJobStatus.COMPLETED):
        if named := [job.name for job in jobs if job.status is status]:
            return named[-1]
    return jobs[-1].name if jobs else None


def _say_notes(app: App, snapshot: Snapshot) -> None:
    """What is worth knowing about a tuning job that has ended."""
    from rekindle.engine.health import notes_on

    for note in notes_on(app.executor, snapshot):
        tell(f"note: {note.text}")


def _say_interrupted(app: App, view: TuningJobView) -> None:
    name, running = view.job.name, _under_way(app, view.job)
    jobs = "1 training job goes on" if running == 1 else f"{running} training jobs go on"
    what = f"{jobs} by itself, and its result is kept" if running == 1 else f"{jobs} by themselves, and their results are kept"
    complain(f"interrupted: {name} is not finished; nothing is lost." + (f" {what}." if running else ""), blank=True)
    sys.stderr.write(f"  rekindle resume {name}    go on\n  rekindle stop {name}      end it, with its training jobs\n")


def _under_way(app: App, job: TuningJob) -> int:
    """How many training jobs run whoever watches them: what is recorded may have to wait for its launch, as on a full disk."""
    running = [j for j in app.store.jobs_of(job.id) if j.is_running]
    return sum(j.started_at is not None or _is_launched(app, j) for j in running)


def _is_launched(app: App, job: TrainingJob) -> bool:
    from rekindle.engine.ports import NO_POINTS, RunKey, StoreUnavailable

    try:
        return app.executor.report(RunKey.of(job), NO_POINTS) is not None
    except StoreUnavailable:
        # Where runs are cannot be looked at now: who interrupts is told what is known.
        return False


def _say_created(app: App, job: TuningJob, as_json: bool) -> None:
    from rekindle.cli.records import tuning_record
    from rekindle.engine.queries import describe

    if as_json:
        write_json(tuning_record(describe(app.store, app.owner, job.name)))
        return
    tell(f"created tuning job {job.name}; `rekindle worker` runs it, or `rekindle resume {job.name}`")


def _idle(app: App) -> bool:
    from rekindle.domain.training_job import TrainingJobStatus
    from rekindle.domain.tuning_job import TuningJobStatus
    from rekindle.engine.ports import JobFilter, Page

    one = Page(size=1)
    states = (s for s in TuningJobStatus if not s.is_terminal)
    if any(app.store.tuning_jobs(app.owner, JobFilter(status=s.value), one)[0] for s in states):
        return False
    running = (s for s in TrainingJobStatus if not s.is_terminal)
    return not any(app.store.training_jobs(app.owner, JobFilter(status=s.value), one)[0] for s in running)
