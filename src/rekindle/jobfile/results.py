"""Results in a file of rows: CSV (also the SDK's ``analytics().dataframe()``), or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from rekindle.domain.errors import InvalidValue
from rekindle.engine.imports import Result

#: Columns that may hold the objective when none is named, after the metric's own name; the first that is there counts.
OBJECTIVE_COLUMNS = ("FinalObjectiveValue", "objective", "value")


def read_results(text: str, path: str, metric: str, column: str | None = None) -> list[Result]:
    """The rows of a file whose name ends in .csv, .jsonl or .ndjson. The objective is in ``column``, or where it is found;
    an empty or non-finite one marks a failed row. Raises InvalidValue, naming file and line."""
    rows = list(_csv_rows(text) if path.lower().endswith(".csv") else _json_rows(text, path))
    if not rows:
        raise InvalidValue("results", path, "the file holds no rows")
    names = {name for _, row in rows for name in row}
    objective = _objective_column(names, metric, column, path)
    return [_result(f"{path}:{line}", row, objective) for line, row in rows]


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    for row in reader:
        yield reader.line_num, {name: value for name, value in row.items() if name is not None and value is not None}


def _json_rows(text: str, path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidValue(f"{path}:{number}", line[:60], "not a line of JSON") from error
        if not isinstance(row, dict):
            raise InvalidValue(f"{path}:{number}", line[:60], "each line is a JSON object: names and values")
        yield number, row


def _objective_column(names: set[str], metric: str, column: str | None, path: str) -> str:
    wanted = (column,) if column else (metric, *OBJECTIVE_COLUMNS)
    found = next((name for name in wanted if name in names), None)
    if found is None:
        reason = f"{path} has no column {' or '.join(wanted)}"
        raise InvalidValue("objective", column, reason, f"Name it by --objective; there is {sorted(names)}.")
    return found


def _result(where: str, row: Mapping[str, Any], objective: str) -> Result:
    values = {name: _text(value) for name, value in row.items() if name != objective and value is not None}
    return Result(where, values, _number(where, objective, row.get(objective)))


def _number(where: str, column: str, value: Any) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"{where}.{column}", value, "not a number") from error
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)
