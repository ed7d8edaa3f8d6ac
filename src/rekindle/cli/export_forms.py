"""Where exported history goes: rows, SageMaker's JSON, an Optuna storage, MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.domain.texts import without_secrets

if TYPE_CHECKING:
    from rekindle.bootstrap import App
    from rekindle.domain.tuning_job import Definition, TuningJob
    from rekindle.engine.imports import Result

#: Writes a tuning job to a place, under another name if one is given, and tells line by line what it did.
Form = Callable[["App", "TuningJob", str | None, str | None], Iterator[str]]


def _rows(form: str) -> Form:
    def write(app: App, job: TuningJob, to: str | None, name: str | None) -> Iterator[str]:
        from rekindle.cli.printing import write_as_a_file
        from rekindle.exchange.rows import write_results

        definition, results = _single(app, job)
        parameters = [p.name for p in definition.ranges]
        text = write_results(results, form, definition.objective.metric, parameters)
        if to is None or to == "-":
            write_as_a_file(text)
            return
        _write({to: text})
        yield f"{len(results)} training jobs of {job.name} are in {to}"

    return write


def _sagemaker(app: App, job: TuningJob, to: str | None, name: str | None) -> Iterator[str]:
    from rekindle.api.translate.history import archive
    from rekindle.engine.queries import describe

    folder = _place(to, "a folder")
    _single(app, job)
    description, page = archive(describe(app.store, app.owner, job.name), app.store.jobs_of(job.id), app.clock.now())
    files = {"describe.json": description, "training-jobs.json": page}
    _write({str(Path(folder) / file): json.dumps(content, indent=2) + "\n" for file, content in files.items()})
    yield f"{folder}: {', '.join(files)}"


def _optuna(app: App, job: TuningJob, to: str | None, name: str | None) -> Iterator[str]:
    from rekindle.exchange.optuna_study import write_study

    url = _place(to, "the URL of a storage, such as sqlite:///study.db")
    definition, results = _single(app, job)
    notes = write_study(url, name or job.name, definition, results, _watched)
    yield f"{len(results)} trials are in study {name or job.name} of {without_secrets(url)}"
    yield from (f"note: {note}" for note in notes)


def _mlflow(app: App, job: TuningJob, to: str | None, name: str | None) -> Iterator[str]:
    from rekindle.cli.printing import complain
    from rekindle.exchange.mlflow_runs import names_there, write_runs

    uri = _place(to, "a tracking URI, such as http://127.0.0.1:5000 or sqlite:///mlflow.db")
    definition, results = _single(app, job)
    objective, experiment = definition.objective, name or job.name
    params = names_there([*definition.statics, *(p.name for p in definition.ranges)])
    # MLflow takes runs of one name, so that each of two exports at once would write all of them.
    waits = f"waits for another export of {job.name} to MLflow; Ctrl-C ends this"
    with app.store.turn(job.id, lambda: complain(waits)):
        metric, goal = objective.metric, objective.direction
        added = write_runs(uri, experiment, metric, goal, definition.statics, results, params, _watched)
    there = f"; {len(results) - added} were there already" if added < len(results) else ""
    yield f"{added} runs are added to experiment {experiment} of {without_secrets(uri)}{there}"
    called = (names_there([objective.metric]) | params).items()
    odd = [(name, there) for name, there in called if there != name]
    yield from (f"note: {name} is called {there} there: MLflow does not take the name as it is" for name, there in odd)


def _watched(results: Sequence[Result]) -> Iterable[Result]:
    from rekindle.cli.printing import with_bar

    return with_bar(results, "exporting", len(results))


FORMS: Mapping[str, Form] = {
    "csv": _rows("csv"),
    "jsonl": _rows("jsonl"),
    "dataframe": _rows("dataframe"),
    "sagemaker": _sagemaker,
    "optuna": _optuna,
    "mlflow": _mlflow,
}


#: Those in which what is written has a name of its own.
NAMED_FORMS = ("optuna", "mlflow")


def _single(app: App, job: TuningJob) -> tuple[Definition, list[Result]]:
    """The only definition, and the results. Raises InvalidValue where there are several: their columns differ."""
    from rekindle.domain.errors import InvalidValue
    from rekindle.engine.imports import results_of

    if len(job.spec.definitions) > 1:
        way_out = f"`rekindle trials {job.name} --csv` writes the training jobs of all."
        raise InvalidValue("JOB", job.name, "a tuning job of several training job definitions cannot be exported", way_out)
    return job.spec.definition, results_of(app.store.jobs_of(job.id), app.store.curves(job.id))


def _place(to: str | None, what: str) -> str:
    from rekindle.domain.errors import InvalidValue

    if not to:
        raise InvalidValue("--to", to, f"needed for this form: {what}")
    return to


def _write(files: Mapping[str, str]) -> None:
    """New files, all of them whole or none: a part would pass for the whole, and be in the way of the next try."""
    made: list[Path] = []
    try:
        for path, text in files.items():
            _make(path, text, made)
    except BaseException:
        for place in made:
            with suppress(OSError):
                place.unlink()
        raise


def _make(path: str, text: str, made: list[Path]) -> None:
    """A new file, told to ``made`` as soon as it is there."""
    from rekindle.domain.errors import InvalidValue
    from rekindle.engine.room import lacks_room

    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("x", encoding="utf-8", newline="") as file:
            made.append(place)
            file.write(text)
    except FileExistsError as error:
        raise InvalidValue("--to", path, "exists already, and is not overwritten", "Choose another place.") from error
    except (OSError, ValueError) as error:
        reason = f"cannot be written ({getattr(error, 'strerror', None) or error})"
        raise InvalidValue("--to", path, reason, "Free some space and try again." if lacks_room(error) else "") from error
