"""``import`` and ``export``: history from elsewhere becomes a tuning job, to look at and to warm-start from; and back."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from rekindle.cli.options import JsonOption
from rekindle.cli.printing import complain, tell, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rekindle.cli.import_sources import Found


def import_(
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="[JOB]", help="A job file, or what describe-hyper-parameter-tuning-job printed.", show_default=False
        ),
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RESULTS]...",
            help="Rows (.csv, .jsonl; - is stdin), or what list-training-jobs-for-hyper-parameter-tuning-job printed (.json).",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Another name for the tuning job.", show_default=False)] = None,
    objective: Annotated[
        str | None,
        typer.Option("--objective", help="The column of the objective; of a study, the metric's name.", show_default=False),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", metavar="NAME=COLUMN", help="Where a hyperparameter stands in rows, or in a study.", show_default=False
        ),
    ] = None,
    from_aws: Annotated[
        str | None, typer.Option("--from-aws", metavar="NAME", help="A tuning job of an AWS account.", show_default=False)
    ] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="The AWS profile to read with.", show_default=False)] = None,
    region: Annotated[str | None, typer.Option("--region", help="The AWS region to read from.", show_default=False)] = None,
    from_optuna: Annotated[
        str | None,
        typer.Option("--from-optuna", metavar="URL", help="An Optuna storage: sqlite:///study.db", show_default=False),
    ] = None,
    study: Annotated[
        str | None, typer.Option("--study", help="The study, where there are several.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import results from elsewhere as a tuning job that has ended, to look at and to warm-start from."""
    from rekindle.cli import import_sources as sources

    elsewhere = {"--from-optuna": from_optuna, "--study": study, "--objective": objective, "--column": column}
    if from_aws is not None:
        _check_alone("--from-aws", job)
        _check_unread("--from-aws", {"RESULTS": results, **elsewhere})
        found = sources.from_account(from_aws, profile, region)
    elif from_optuna is not None:
        _check_unread("--from-optuna", {"RESULTS": results, "--profile": profile, "--region": region})
        found = sources.from_optuna(from_optuna, study, job, name, objective, sources.columns(column or []))
    else:
        _check_unread("RESULTS", {"--study": study, "--profile": profile, "--region": region})
        found = sources.from_files(job, results or [], objective, sources.columns(column or []))
    with _blamed_on_name(name):
        _import(found if name is None else replace(found, spec=replace(found.spec, name=name)), as_json)


def export(
    name: Annotated[str, typer.Argument(metavar="JOB", help="A tuning job.", show_default=False)],
    form: Annotated[
        str, typer.Option("--as", help="csv, jsonl, dataframe (the SDK's, as CSV), sagemaker, optuna or mlflow.")
    ] = "csv",
    to: Annotated[
        str | None,
        typer.Option("--to", help="A file; a folder for sagemaker; a URL for optuna and mlflow.", show_default="stdout"),
    ] = None,
    another: Annotated[
        str | None, typer.Option("--name", help="Another name for the study or the experiment.", show_default=False)
    ] = None,
) -> None:
    """Export a tuning job's training jobs that have ended, in forms that other tools and `rekindle import` read."""
    from rekindle.cli.export_forms import FORMS, NAMED_FORMS
    from rekindle.cli.opened import open_app

    write = FORMS.get(form)
    if write is None:
        from rekindle.domain.errors import InvalidValue, did_you_mean

        raise InvalidValue("--as", form, f"not one of {', '.join(FORMS)}", did_you_mean(form, FORMS))
    if form not in NAMED_FORMS:
        _check_unread(f"--as {form}", {"--name": another})
    app = open_app()
    for line in write(app, app.store.tuning_job(app.owner, name), to, another):
        typer.echo(line)


def _import(found: Found, as_json: bool) -> None:
    from rekindle.cli.opened import open_app
    from rekindle.cli.records import followed_record
    from rekindle.engine.imports import Origin, import_tuning_job
    from rekindle.engine.queries import describe

    app = open_app()
    made = import_tuning_job(app.store, app.clock, app.owner, found.spec, found.results, app.quotas, found.origin or Origin())
    view = describe(app.store, app.owner, made.name)
    for note in found.notes:
        (complain if as_json else tell)(f"note: {note}")
    if as_json:
        write_json(followed_record(view, app.store.jobs_of(view.job.id), app.store))
        return
    good, count = view.objectives.succeeded, len(found.results)
    metric = found.spec.definition.objective.metric
    jobs, have = "training job" if count == 1 else "training jobs", "has" if good == 1 else "have"
    tell(f"imported {count} {jobs} as tuning job {made.name}; {good} {have} an objective ({metric})")
    typer.echo(f"  warm_start: {{type: identical, parents: [{made.name}]}}   in a job file: go on from here")


@contextmanager
def _blamed_on_name(name: str | None) -> Iterator[None]:
    """A name that is not the file's is told to be the option's."""
    from rekindle.domain.errors import InvalidValue

    try:
        yield
    except InvalidValue as error:
        if name is None or error.field != "name":
            raise
        raise InvalidValue("--name", error.value, error.reason, error.hint) from error


def _check_unread(source: str, others: Mapping[str, object]) -> None:
    """Raises InvalidValue for what was given and would go unread with this source."""
    from rekindle.domain.errors import InvalidValue

    for name, value in others.items():
        if value:
            raise InvalidValue(name, value, f"does not go with {source}", "Leave one of them out.")


def _check_alone(option: str, job: str | None) -> None:
    from rekindle.domain.errors import InvalidValue

    if job is not None:
        raise InvalidValue(option, job, "takes no further files: the account has them")
