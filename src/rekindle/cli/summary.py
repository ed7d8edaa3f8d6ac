"""The end of a tuning job: what is best, where its model is, what to type next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rekindle.domain.training_job import TrainingJob
    from rekindle.engine.queries import TuningJobView


def show_best(view: TuningJobView) -> None:
    """The best training job as a table; beside it the best across the parents, where that is another."""
    from rekindle.cli.printing import show, table, tell

    columns, jobs = ["", "best"], [view.best]
    if view.overall_best is not None and view.overall_best != view.best:
        columns.append("overall best, parents included")
        jobs.append(view.overall_best)
    # A parent may have tuned what is static here, and the other way round.
    names = list(dict.fromkeys([*_tuned(view), *(name for job in jobs if job is not None for name in job.tuned)]))
    rows = zip(*(_column(job, view, names) for job in jobs), strict=True)
    show(table(columns, [[cells[0][0], *(text for _, text in cells)] for cells in rows]))
    for job in jobs:
        # One whose result counts and that has a reason was stopped before its model could be taken to an object store.
        if job is not None and job.model_uri is None and job.failure_reason:
            tell(f"{job.name} has no model: {job.failure_reason}")


def show_end(view: TuningJobView, last: str | None, saved: dict[str, Any] | None = None) -> None:
    """How a tuning job ended, its best training job, and the next commands; ``last`` is its last training job, ``saved`` what
    early stopping saved."""
    from rekindle.cli.printing import counted, tell

    name, counters = view.job.name, view.counters
    failed = counters.non_retryable_error + counters.retryable_error
    total = counters.completed + counters.stopped + failed + counters.in_progress
    typer.echo("")
    tell(f"{name}: {view.status.value}: {counted(total, 'training job')}, {failed} failed.")
    if view.job.failure_reason:
        tell(view.job.failure_reason)
    if because := view.job.ended_because:
        tell(f"It ended because {because}.")
    if saved is not None:
        tell(f"{saved_line(saved)}.")
    if view.best is not None or view.overall_best is not None:
        typer.echo("")
        show_best(view)
    typer.echo("\nNext:")
    _show_next(_next(view, last))


def _show_next(commands: Sequence[tuple[str, str]]) -> None:
    """Commands and what they are for, side by side; one below the other on a terminal that has no room for both."""
    from rekindle.cli.printing import console, is_terminal

    widest = max(len(command) for command, _ in commands)
    lines = [f"  {command:<{widest}}  {purpose}" for command, purpose in commands]
    if is_terminal() and max(map(len, lines)) > console().width:
        lines = [f"  {command}\n      {purpose}" for command, purpose in commands]
    typer.echo("\n".join(lines))


def saved_line(saved: dict[str, Any] | None) -> str | None:
    """What early stopping saved, in words (``records.early_stopping_record``)."""
    if saved is None:
        return None
    from rekindle.cli.printing import counted

    epochs = f"{counted(saved['epochs_saved'], 'epoch')} ({saved['share']:.0%})"
    saving = f"{epochs} and about {saved['seconds_saved']:.0f} s of training saved"
    return f"{saved['stopped']} stopped early: {saving}, had each run {saved['full_epochs']:g} epochs"


def model_place(uri: str | None) -> str | None:
    """Where a model is: a path for what lies on this machine, else the URI."""
    from rekindle.engine.paths import path_in

    if uri is None:
        return None
    return path_in(uri) if uri.startswith("file://") else uri


def _tuned(view: TuningJobView) -> list[str]:
    return [p.name for d in view.job.spec.definitions for p in d.ranges]


def _column(job: TrainingJob | None, view: TuningJobView, names: Sequence[str]) -> list[tuple[str, object]]:
    from rekindle.cli.records import best_record

    record = best_record(job, view.job)
    given: Mapping[str, str] = {} if job is None else job.hyperparameters
    metric = view.job.spec.definition.objective.metric
    if record is None:
        record = dict.fromkeys(("metric", "objective", "name", "tuning_job", "definition", "model")) | {"values": {}}
    return [
        # Of several definitions each may have a metric of its own.
        (record["metric"] or metric, record["objective"]),
        *[("definition", record["definition"])] * (len(view.job.spec.definitions) > 1),
        *((name, record["values"].get(name, given.get(name))) for name in names),
        ("training job", record["name"]),
        ("model", model_place(record["model"])),
    ]


def _next(view: TuningJobView, last: str | None) -> list[tuple[str, str]]:
    name = view.job.name
    if view.best is None:
        why = (f"rekindle show {name}", "why there is no result")
        if last is None:
            return [why]
        return [
            (f"rekindle trials {name}", "every training job"),
            why,
            (f"rekindle logs {last}", "what the last one printed"),
        ]
    found = [
        (f"rekindle trials {name} --sort objective", "every training job, the best first"),
        (f"rekindle logs {view.best.name}", "what the best one printed"),
        (f"rekindle report {name}", "a page with charts"),
    ]
    # A tuning job of several definitions is nobody's parent.
    if len(view.job.spec.definitions) == 1:
        found.append((f"warm_start: {{type: identical, parents: [{name}]}}", "in a new job file: go on from here"))
    return found
