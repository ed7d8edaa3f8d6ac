"""Where imported history comes from: files, an AWS account, an Optuna storage; each becomes a spec and its results."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rekindle.domain.tuning_job import Definition, TuningJobSpec
    from rekindle.engine.imports import Origin, Result
    from rekindle.exchange.optuna_study import Study

    #: Of a description, or of a job file, which has none.
    Described = Mapping[str, Any] | None

#: More than 100,000 training jobs take, as many as there may be. ``/dev/zero`` has no end.
_MAX_BYTES = 1 << 28
#: The way out for who gives what SageMaker answered in another order.
_ORDER = "The description, or a job file, comes first: rekindle import describe.json training-jobs.json."


@dataclass(frozen=True)
class Found:
    """A tuning job from elsewhere: its spec, its results, what became of it where that is known, and what could not be
    mapped."""

    spec: TuningJobSpec
    results: Sequence[Result]
    origin: Origin | None = None
    notes: Sequence[str] = ()


def from_files(job: str | None, results: Sequence[str], objective: str | None, mapped: Mapping[str, str]) -> Found:
    """A job file or a description by SageMaker, and the files with its results."""
    from rekindle.domain.errors import InvalidValue
    from rekindle.jobfile.load import named

    if job is None or not results:
        missing = "JOB" if job is None else "RESULTS"
        reason = "a job file (or a description by SageMaker) and at least one file of results are needed"
        raise InvalidValue(missing, None, reason, "Or say --from-aws NAME or --from-optuna URL.")
    job, results = named(job), [named(path) for path in results]
    spec, description = _spec(job)
    found = _results(results, spec, description, objective, mapped)
    with _blamed_on(job):
        return _found(spec, description, found)


def from_account(name: str, profile: str | None, region: str | None) -> Found:
    """A tuning job of an AWS account."""
    from rekindle.api.account import fetch
    from rekindle.api.translate.create_request import spec_from_request
    from rekindle.api.translate.history import request_of, results_of

    description, pages = fetch(name, profile, region)
    spec = spec_from_request(request_of(description))
    return _found(spec, description, results_of(pages, (description, spec.definition)))


def from_optuna(
    url: str, study: str | None, job: str | None, name: str | None, metric: str | None, mapped: Mapping[str, str]
) -> Found:
    """A study. A job file says what its parameters are here; without one they are the study's own."""
    from rekindle.exchange.optuna_study import read_study, renamed
    from rekindle.exchange.rows import check_is_one_of

    if job is None:
        found = renamed(read_study(url, study), mapped)
        spec = _spec_of(found, name, metric)
        _check_size(found, spec.definition)
        return Found(spec, found.results, notes=found.notes)
    spec = _spec(job)[0]
    names = [p.name for p in spec.definition.ranges]
    for given in mapped:
        check_is_one_of(given, names)
    found = renamed(read_study(url, study, [mapped.get(n, n) for n in names]), mapped)
    _check_direction(spec, found)
    return Found(spec, found.results, notes=found.notes)


def _check_size(study: Study, definition: Definition) -> None:
    """A study may have more parameters, and more choices, than a tuning job: a job file says which of them are kept."""
    from rekindle.domain.errors import LimitExceeded
    from rekindle.domain.tuning_rules import MAX_CATEGORIES, MAX_TUNED
    from rekindle.search.space import Categorical

    way_out = "Give a job file as JOB: of the study's parameters, those that its `ranges` do not name are left out."
    wide = [p for p in study.ranges if isinstance(p, Categorical) and len(p.values) > MAX_CATEGORIES]
    if wide:
        what, leave = f"choices of the study's parameter {wide[0].name!r}", [repr(p.name) for p in wide]
        raise LimitExceeded(what, MAX_CATEGORIES, len(wide[0].values), f"{way_out} Leave out {', '.join(leave)}.")
    if len(study.ranges) > MAX_TUNED:
        leave = [repr(name) for name in _least_important(study, definition)[: len(study.ranges) - MAX_TUNED]]
        told = f" By the study's results these matter least: {', '.join(leave)}." if leave else ""
        raise LimitExceeded(f"parameters of the study {study.name!r}", MAX_TUNED, len(study.ranges), way_out + told)


def _least_important(study: Study, definition: Definition) -> list[str]:
    """The parameters, the least important first; none where too little is known."""
    from rekindle.domain.search_plan import configuration_of
    from rekindle.search.history import Trial, TrialState
    from rekindle.search.importance import assess

    done = [r for r in study.results if r.objective is not None]
    trials = [
        Trial(i, configuration_of(definition, r.values), TrialState.SUCCEEDED, r.objective) for i, r in enumerate(done, start=1)
    ]
    found = assess(definition.space, trials, study.direction) or {}
    return sorted(found, key=lambda name: (found[name].share, -found[name].by_chance))


def _check_direction(spec: TuningJobSpec, study: Study) -> None:
    """A job file says what a study's parameters are, and cannot turn its worst trial into the best."""
    from rekindle.domain.errors import InvalidValue

    ours = spec.definition.objective.direction
    if ours != study.direction:
        raise InvalidValue("objective.goal", ours, f"the study {study.name!r} is to {study.direction} its objective")


def columns(given: Sequence[str]) -> dict[str, str]:
    """``NAME=COLUMN`` options as a table."""
    from rekindle.domain.errors import InvalidValue

    found: dict[str, str] = {}
    for text in given:
        name, equals, column = text.partition("=")
        if not (name and equals and column):
            raise InvalidValue("--column", text, "must be NAME=COLUMN")
        found[name] = column
    return found


def _found(spec: TuningJobSpec, description: Described, results: Sequence[Result]) -> Found:
    from rekindle.api.translate.history import notes_on, origin_of

    if description is None:
        return Found(spec, results)
    return Found(spec, results, origin_of(description), notes_on(description))


def _spec(path: str) -> tuple[TuningJobSpec, Described]:
    """The spec, and the description that it was read from, if it was."""
    from rekindle.api.translate.history import is_description
    from rekindle.cli.source import load_source, read_source, source_of

    if _ends_in_json(path):
        found = read_json(path, "JOB")
        _check_no_page(path, found)
        return _described(path, found) if is_description(found) else (load_source(path).spec, None)
    data = read_source(path)
    within = _object_in(data) if _has_no_ending(path) else None
    _check_no_page(path, within or {})
    return _described(path, within) if within and is_description(within) else (source_of(path, data).spec, None)


def _check_no_page(path: str, document: dict[str, Any]) -> None:
    from rekindle.api.translate.history import is_page
    from rekindle.domain.errors import InvalidValue

    if is_page(document):
        raise InvalidValue("JOB", path, "it is a list of training jobs, which are results", _ORDER)


def _described(path: str, description: dict[str, Any]) -> tuple[TuningJobSpec, Described]:
    from rekindle.api.translate.create_request import spec_from_request
    from rekindle.api.translate.history import request_of

    with _blamed_on(path):
        return spec_from_request(request_of(description)), description


def _ends_in_json(path: str) -> bool:
    return path.lower().endswith(".json")


def _has_no_ending(path: str) -> bool:
    """As a pipe's name has none: what is in it says what it is."""
    return not os.path.splitext(path)[1]


def _object_in(text: str | bytes) -> dict[str, Any] | None:
    """The object that is all of a text of JSON; None for any other text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def _blamed_on(path: str) -> Iterator[None]:
    """Errors name the file."""
    from rekindle.domain.errors import RekindleError

    try:
        yield
    except RekindleError as error:
        raise RekindleError(f"{path}: {error.message}", error.hint) from error


def _results(
    paths: Sequence[str],
    spec: TuningJobSpec,
    description: Described,
    objective: str | None,
    mapped: Mapping[str, str],
) -> list[Result]:
    from rekindle.api.translate.history import results_of
    from rekindle.exchange.rows import read_results
    from rekindle.search.space import Categorical

    metric, ranges = spec.definition.objective.metric, spec.definition.ranges
    names = [p.name for p in ranges]
    blank = [p.name for p in ranges if isinstance(p, Categorical) and not all(str(v).strip() for v in p.values)]
    _check_once([p for p in paths if not _ends_in_json(p)])
    pages: list[tuple[str, dict[str, Any]]] = []
    rows: list[Result] = []
    for path in paths:
        text = read_text(path, "RESULTS")
        page = _page(path, text)
        if page is None:
            rows += read_results(text, path, metric, objective, mapped, names, blank)
        else:
            pages.append((path, page))
    return [*results_of(pages, (description, spec.definition) if pages and description else None), *rows]


def _page(path: str, text: str) -> dict[str, Any] | None:
    """What SageMaker answered; None for rows."""
    from rekindle.api.translate.history import is_description, is_page
    from rekindle.domain.errors import InvalidValue

    if _ends_in_json(path):
        document = _object_of(path, text, "RESULTS")
        if is_description(document) and not is_page(document):
            raise InvalidValue("RESULTS", path, "it is a tuning job's description, and has no results", _ORDER)
        return document
    found = _object_in(text) if _has_no_ending(path) else None
    return found if found and is_page(found) else None


def _check_once(paths: Sequence[str]) -> None:
    from rekindle.domain.errors import InvalidValue

    seen: dict[str, str] = {}
    for path in paths:
        place = os.path.realpath(path)
        if place in seen:
            raise InvalidValue("RESULTS", path, f"it is {seen[place]}, whose rows would count twice", "Give each file once.")
        seen[place] = path


def _spec_of(study: Study, name: str | None, metric: str | None) -> TuningJobSpec:
    """A spec that has only what a study knows: ranges and an objective; a child brings its own command."""
    from rekindle.domain.metrics import MetricDefinition
    from rekindle.domain.training_job import Algorithm, TrainingSpec
    from rekindle.domain.tuning_job import Definition, Limits, Objective, StrategyName, TuningJobSpec

    metric = metric or study.metric or "value"
    regex = re.escape(metric)[:450] + r"[=:]\s*([-+0-9.eE]+)"
    training = TrainingSpec(Algorithm(image="optuna", metrics=(MetricDefinition(metric, regex),)))
    definition = Definition(training, Objective(metric, study.direction), study.ranges, study.statics)
    plain = re.sub(r"[^a-zA-Z0-9]+", "-", study.name).strip("-")[:32].strip("-")
    return TuningJobSpec(name or plain or "study", StrategyName.RANDOM, Limits(None), (definition,))


def read_json(path: str, field: str) -> dict[str, Any]:
    """A JSON object from the file that an argument names. Raises InvalidValue, naming the file and the line."""
    return _object_of(path, read_text(path, field), field)


def _object_of(path: str, text: str, field: str) -> dict[str, Any]:
    from rekindle.domain.errors import InvalidValue

    way_out = "" if field == "JOB" else "Rows, an object of JSON on each line, need a name that ends in .jsonl."
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        where, value = f"{path}:{error.lineno}", error.doc[error.pos : error.pos + 40]
        raise InvalidValue(where, value, f"not JSON ({error.msg})", way_out) from error
    except (ValueError, RecursionError) as error:
        raise InvalidValue(path, text[:40], f"not JSON ({error})", way_out) from error
    if not isinstance(found, dict):
        raise InvalidValue(path, found, "not a JSON object", way_out)
    return found


def read_text(path: str, field: str) -> str:
    """The text of the file that an argument names. Raises InvalidValue, naming the argument where there is nothing to read."""
    from rekindle.cli.printing import say_if_waiting
    from rekindle.domain.errors import InvalidValue
    from rekindle.jobfile.load import open_given

    say_if_waiting(path)
    try:
        with open_given(Path(path)) as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise InvalidValue(field, path, reason, "Name a file that is there and that you may read.") from error
    if len(content) > _MAX_BYTES:
        raise InvalidValue(field, path, f"longer than {_MAX_BYTES:,} bytes", "Name a file with fewer rows or columns.")
    try:
        # Ends of lines stay as they are: they may stand within a value.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if content.startswith(b"\x1f\x8b"):
            raise InvalidValue(field, path, "it is packed by gzip", f"Unpack it first: gunzip {path}") from error
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise InvalidValue(f"{path}:{line}", f"byte 0x{byte:02x}", "not UTF-8", "Save the file as UTF-8.") from error
