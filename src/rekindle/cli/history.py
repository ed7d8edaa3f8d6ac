"""``import``: history from elsewhere becomes a tuning job, to look at and to warm-start from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rekindle.cli.options import JsonOption

if TYPE_CHECKING:
    from rekindle.domain.tuning_job import TuningJobSpec
    from rekindle.engine.imports import Result


def import_(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="A job file, or what describe-hyper-parameter-tuning-job printed.", show_default=False
        ),
    ],
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULTS...",
            help="Rows (.csv, .jsonl), or what list-training-jobs-for-hyper-parameter-tuning-job printed (.json).",
            show_default=False,
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Another name for the tuning job.", show_default=False)] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="The column of the objective.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import results from elsewhere as a tuning job that has ended, to look at and to warm-start from."""
    from rekindle.cli.opened import open_app
    from rekindle.cli.printing import write_json
    from rekindle.cli.records import tuning_record
    from rekindle.engine.imports import import_tuning_job
    from rekindle.engine.queries import describe

    spec, created_at = _spec(job)
    spec = spec if name is None else replace(spec, name=name)
    rows = _results(results, spec, objective)
    app = open_app()
    made = import_tuning_job(app.store, app.clock, app.owner, spec, rows, app.quotas, created_at)
    view = describe(app.store, app.owner, made.name)
    if as_json:
        write_json(tuning_record(view))
        return
    good = view.objectives.succeeded
    typer.echo(f"imported {len(rows)} training jobs as tuning job {made.name}; {good} have an objective")
    typer.echo(f"  warm_start: {{type: identical, parents: [{made.name}]}}   in a job file: go on from here")


def _spec(path: str) -> tuple[TuningJobSpec, float | None]:
    """The spec, and when the tuning job was made, where that is known."""
    from rekindle.api.translate.create_request import spec_from_request
    from rekindle.api.translate.history import request_of, seconds
    from rekindle.cli.source import load_source

    if path.lower().endswith(".json"):
        found = _json(path)
        if "HyperParameterTuningJobStatus" in found:
            return spec_from_request(request_of(found)), seconds(found.get("CreationTime"))
    return load_source(path).spec, None


def _results(paths: Sequence[str], spec: TuningJobSpec, objective: str | None) -> list[Result]:
    from rekindle.api.translate.history import results_of
    from rekindle.jobfile.results import read_results

    found: list[Result] = results_of([(p, _json(p)) for p in paths if p.lower().endswith(".json")])
    for path in paths:
        if not path.lower().endswith(".json"):
            found += read_results(_text(path), path, spec.definition.objective.metric, objective)
    return found


def _json(path: str) -> dict[str, Any]:
    from rekindle.domain.errors import InvalidValue

    try:
        found = json.loads(_text(path))
    except ValueError as error:
        raise InvalidValue("file", path, f"not JSON ({error})") from error
    if not isinstance(found, dict):
        raise InvalidValue("file", path, "not a JSON object")
    return found


def _text(path: str) -> str:
    from rekindle.domain.errors import InvalidValue

    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue("file", path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
