"""Results in a file of rows, read and written: CSV, JSON lines, and the data frame of SageMaker's SDK as CSV."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from rekindle.domain.errors import InvalidValue
from rekindle.domain.texts import number_of
from rekindle.engine.imports import LAST_SECOND, Result, number_hint
from rekindle.engine.times import epoch_seconds

#: Columns that may hold the objective when none is named, after the metric's own name; the first that is there counts.
OBJECTIVE_COLUMNS = ("FinalObjectiveValue", "objective", "value")
#: What a row may say besides its values, under our own name and under the data frame's.
FACTS = {
    "name": ("name", "TrainingJobName"),
    "status": ("status", "TrainingJobStatus"),
    "created_at": ("created_at", "CreationTime"),
    "started_at": ("started_at", "TrainingStartTime"),
    "ended_at": ("ended_at", "TrainingEndTime"),
    "failure_reason": ("failure_reason", "FailureReason"),
}
#: What the data frame of a tuning job of several definitions calls the one that a row is of.
DEFINITION_COLUMN = "TrainingJobDefinitionName"
#: What a row may say of its status, in any case. Rows that have not ended are left out.
ENDED, RUNNING = ("Completed", "Failed", "Stopped"), ("InProgress", "Stopping")
FORMATS = ("csv", "jsonl", "dataframe")

Row = Mapping[str, Any]


def read_results(
    text: str,
    path: str,
    metric: str,
    column: str | None = None,
    columns: Mapping[str, str] | None = None,
    parameters: Collection[str] = (),
    blank: Collection[str] = (),
) -> list[Result]:
    """The rows of a file whose name ends in .csv, .jsonl or .ndjson; a pipe's, which has no ending, are known by themselves.
    The objective is in ``column``, or where it is found; an empty or non-finite one marks a failed row. ``columns`` says where
    a hyperparameter stands, if not under its own name. A column that is called like one of ``parameters`` is that, and neither
    the objective nor a fact about the row; of those in ``blank`` nothing written is a value. Raises InvalidValue, naming file
    and line."""
    rows = list(_csv_rows(text, path) if _is_csv(text, path) else _json_rows(text, path))
    if not rows:
        raise InvalidValue("RESULTS", path, "the file holds no rows", "It needs one for each training job.")
    names = {name for _, row in rows for name in row}
    mapped = dict(columns or {})
    taken = frozenset((*mapped, *parameters))
    _check_spaces(names - {column, *mapped.values(), *parameters}, {metric, *taken}, path)
    objective = column or _objective_column(names - taken, metric, path)
    if objective not in names:
        raise InvalidValue("--objective", column, f"{path} has no such column", f"There is {sorted(names)}.")
    if DEFINITION_COLUMN not in {objective, *taken}:
        _check_one_definition(rows, path)
    for name, found in mapped.items():
        if parameters:
            check_is_one_of(name, parameters)
        if found not in names:
            raise InvalidValue(f"--column {name}", found, f"{path} has no such column", f"There is {sorted(names)}.")
    results = (_result(f"{path}:{line}", _renamed(row, mapped), objective, taken, blank) for line, row in rows)
    return [r for r in results if r is not None]


def check_is_one_of(name: str, parameters: Collection[str]) -> None:
    """Raises InvalidValue for a name that is given a column and is no hyperparameter's."""
    if name not in parameters:
        raise InvalidValue("--column", name, "there is no such hyperparameter", f"There is {sorted(parameters)}.")


def _is_csv(text: str, path: str) -> bool:
    ending = os.path.splitext(path)[1].lower()
    return ending == ".csv" or (not ending and not text.lstrip().startswith(("{", "[")))


class CsvLines:
    """What ``csv.writer`` writes, into ``file``, with lines that end in a newline alone. The writer must not know of that:
    until Python 3.13 it quotes only those ends of lines that are its own, and a carriage return would end a row."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Writes one line."""
        return self._file.write(line.removesuffix("\r\n") + "\n")


def _check_one_definition(rows: Sequence[tuple[int, Row]], path: str) -> None:
    """Rows of several definitions have ranges of their own each, and a tuning job has them of one."""
    found = sorted({str(row[DEFINITION_COLUMN]) for _, row in rows if not _is_empty(row.get(DEFINITION_COLUMN))})
    if len(found) > 1:
        way_out = "Import each by itself: keep the rows of one in the file, and give a job file with its ranges."
        raise InvalidValue(f"{path}.{DEFINITION_COLUMN}", found, "rows of several training job definitions", way_out)


def write_results(results: Sequence[Result], form: str, metric: str, parameters: Sequence[str]) -> str:
    """Results as text in one of ``FORMATS``: what ``read_results`` reads back."""
    if metric in parameters:
        metric = next((name for name in OBJECTIVE_COLUMNS if name not in parameters), metric)
    if form == "jsonl":
        rows = [{**_plain_row(r, metric, parameters), **r.values} for r in results]
        return "".join(json.dumps(_present(row, metric), ensure_ascii=False) + "\n" for row in rows)
    made = [_frame_row(r, metric, parameters) if form == "dataframe" else _plain_row(r, metric, parameters) for r in results]
    facts = [{name: fact for name, fact in row.items() if name not in parameters} for row in made]
    values = [{name: r.values.get(name) for name in parameters} for r in results]
    rows = [{**v, **f} if form == "dataframe" else {**f, **v} for f, v in zip(facts, values, strict=True)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(CsvLines(text), list(rows[0]) if rows else [metric, *parameters])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _plain_row(r: Result, metric: str, parameters: Sequence[str]) -> dict[str, Any]:
    taken = {metric, *parameters}
    rows = {
        _free(FACTS["name"], taken): r.name,
        _free(FACTS["status"], taken): r.status,
        metric: r.objective,
        _free(FACTS["created_at"], taken): _iso(r.created_at),
        _free(FACTS["started_at"], taken): _iso(r.started_at),
        _free(FACTS["ended_at"], taken): _iso(r.ended_at),
        _free(FACTS["failure_reason"], taken): r.failure_reason,
    }
    return {name: value for name, value in rows.items() if name}


def _frame_row(r: Result, metric: str, parameters: Sequence[str]) -> dict[str, Any]:
    """As the data frame has it. What is called like a hyperparameter has its other name; what is called like the metric, too:
    the first column of its name is the objective to who reads it."""
    seconds = None if r.started_at is None or r.ended_at is None else r.ended_at - r.started_at
    taken = {metric, *parameters}
    objective = _free((*OBJECTIVE_COLUMNS, metric), set(parameters))
    rows = {
        _free(FACTS["name"][::-1], taken): r.name,
        _free(FACTS["status"][::-1], taken): r.status,
        objective: r.objective,
        _free(FACTS["started_at"][::-1], taken): _iso(r.started_at),
        _free(FACTS["ended_at"][::-1], taken): _iso(r.ended_at),
        _free(("TrainingElapsedTimeSeconds",), taken): seconds,
    }
    return {name: value for name, value in rows.items() if name}


def _free(names: Sequence[str], taken: Collection[str]) -> str:
    """The first name that is not taken; empty where all are."""
    return next((name for name in names if name not in taken), "")


def _present(row: Row, metric: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None or name == metric}


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _csv_rows(text: str, path: str) -> Iterator[tuple[int, Row]]:
    # Fields may be as long as they like: csv's own limit is 128 KB, and the same for all.
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    # Strict: else a quote that nobody closes takes the rows after it for one field.
    lines, before = io.StringIO(text, newline=""), _written_from(text, 1) - 1
    reader, begun = csv.DictReader(itertools.islice(lines, before, None), strict=True), before + 1
    try:
        _check_header(f"{path}:{begun}", reader.fieldnames or ())
        begun = before + reader.line_num + 1
        for row in reader:
            line = before + reader.line_num
            _check_width(f"{path}:{line}", row, len(reader.fieldnames or ()))
            yield line, row
            begun = line + 1
    except csv.Error as error:
        way_out = 'Close each quote, and write "" for a quote within quotes.'
        where = f"{path}:{_written_from(text, begun)}"
        raise InvalidValue(where, "", f"not a line of CSV ({error})", way_out) from error


def _written_from(text: str, begun: int) -> int:
    """The first line from ``begun`` on with something on it: between two rows there may be empty ones."""
    lines = itertools.islice(io.StringIO(text, newline=""), begun - 1, None)
    return next((number for number, line in enumerate(lines, start=begun) if line.strip("\r\n")), begun)


def _check_header(where: str, columns: Sequence[str]) -> None:
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise InvalidValue(where, twice, "two columns have this name", "Rename one of them.")
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        way_out = "Save it with commas between them, and a point in numbers."
        raise InvalidValue(where, columns[0], "the columns are not separated by commas", way_out)


def _check_spaces(names: Collection[str], wanted: Collection[str], path: str) -> None:
    """A name with spaces around it is another name: what it should be would go unread."""
    known = {*wanted, *OBJECTIVE_COLUMNS, *(name for fact in FACTS.values() for name in fact)}
    odd = next((name for name in sorted(names) if name != name.strip() in known), None)
    if odd is not None:
        way_out = f"Write {odd.strip()}, and no spaces around the commas below."
        raise InvalidValue(path, odd, "spaces stand around the name of this column", way_out)


def _check_width(where: str, row: Mapping[Any, Any], columns: int) -> None:
    if None in row:
        raise InvalidValue(where, row[None], f"the row has more values than the {columns} columns")
    if None in row.values():
        given = [value for value in row.values() if value is not None]
        raise InvalidValue(where, given, f"the row has fewer values than the {columns} columns")


def _json_rows(text: str, path: str) -> Iterator[tuple[int, Row]]:
    # Not what else Unicode calls an end of a line: it may stand in a text.
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_once)
        except KeyError as error:
            name, reason = error.args[0], "the name is there twice in one row"
            raise InvalidValue(f"{path}:{number}", name, reason, "Rename one of them.") from error
        except (ValueError, RecursionError) as error:
            way_out = "A file of CSV needs a name that ends in .csv; one that SageMaker's CLI printed, .json."
            raise InvalidValue(f"{path}:{number}", line[:60], "not a line of JSON", way_out) from error
        if not isinstance(row, dict):
            raise InvalidValue(f"{path}:{number}", line[:60], "each line is a JSON object: names and values")
        yield number, row


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises KeyError with a name that is there twice: one of its values would be lost."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyError(next(name for name in names if names.count(name) > 1))
    return row


def _objective_column(names: Collection[str], metric: str, path: str) -> str:
    """Where the objective is found among the columns that are no hyperparameters."""
    wanted = (metric, *OBJECTIVE_COLUMNS)
    found = next((name for name in wanted if name in names), None)
    if found is None:
        reason = f"{path} has no column {' or '.join(wanted)} that is no hyperparameter"
        raise InvalidValue("objective", None, reason, f"Name it by --objective; there is {sorted(names)}.")
    return found


def _renamed(row: Row, columns: Mapping[str, str]) -> Row:
    return {**row, **{name: row[found] for name, found in columns.items() if found in row}}


def _result(where: str, row: Row, objective: str, taken: Collection[str], blank: Collection[str]) -> Result | None:
    given = {name: value for name, value in row.items() if name != objective and value is not None}
    values = {name: _text(value) for name, value in given.items() if name in blank or not _is_empty(value)}
    facts = {fact: _fact(row, [n for n in names if n not in {objective, *taken}]) for fact, names in FACTS.items()}
    status = _status(where, facts["status"])
    if status in RUNNING:
        return None
    value = _number(where, objective, row.get(objective))
    created, started, ended = (_moment(where, name, facts[name]) for name in ("created_at", "started_at", "ended_at"))
    return Result(
        where,
        values,
        None if status == "Failed" else value,
        created,
        started,
        ended,
        stopped=status == "Stopped",
        failure_reason=facts["failure_reason"],
        name=facts["name"],
        completed=status == "Completed",
    )


def _status(where: str, text: str | None) -> str | None:
    """One of ``ENDED`` or ``RUNNING``; None where nothing is said."""
    if text is None:
        return None
    known = {status.lower(): status for status in (*ENDED, *RUNNING)}
    if text.strip().lower() not in known:
        way_out = "Spell it so; if the column says something else, give it another name."
        raise InvalidValue(f"{where}.status", text, f"not one of {', '.join((*ENDED, *RUNNING))}", way_out)
    return known[text.strip().lower()]


def _fact(row: Row, names: Sequence[str]) -> str | None:
    found = next((row[name] for name in names if not _is_empty(row.get(name))), None)
    return None if found is None else _text(found)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _moment(where: str, name: str, text: str | None) -> float | None:
    """Seconds since the epoch, from these or from ISO 8601."""
    if text is None:
        return None
    try:
        seconds = epoch_seconds(text)
    except (ValueError, OverflowError):
        seconds = _seconds(text)
    if not 0 <= seconds <= LAST_SECOND:
        reason = "neither ISO 8601 nor seconds since the epoch"
        way_out = "If the column says something else, give it another name."
        if seconds > LAST_SECOND:
            way_out = "Write seconds, not milliseconds; pandas' to_json writes ISO 8601 with date_format='iso'."
        raise InvalidValue(f"{where}.{name}", text, reason, way_out)
    return seconds


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _number(where: str, column: str, value: Any) -> float | None:
    if _is_empty(value):
        return None
    try:
        # Python reads JSON's true as a number, too.
        number = number_of(str(value)) if isinstance(value, (str, bool)) else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(f"{where}.{column}", value, "not a number", number_hint(str(value))) from error
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)
