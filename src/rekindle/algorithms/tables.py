"""A channel's files as one table: features, labels and, where the format has them, weights and groups."""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rekindle.algorithms.job import UserError
from rekindle.algorithms.recordio import Tensor, records
from rekindle.domain.texts import number_of
from rekindle.engine.trees import leads_back

Vector = NDArray[np.float32]
_DELIMITERS = ",\t;| "
_GZIP = b"\x1f\x8b"
#: The largest index of a feature: libraries need some memory for each up to there, whether it has values or not.
_LARGEST_INDEX = 2**31 - 2
#: Notebooks are older than pandas 2, whose get_dummies makes truth values, and these stand in files as words.
_AS_NUMBERS = " Write truth values as 1 and 0: pandas.get_dummies(..., dtype=int) does, or .astype(int) of the columns."
_MEND = "Mend it, or take it out of the channel's folder"


@dataclass(frozen=True)
class Table:
    """Rows: ``features`` is a dense matrix with NaN for what is missing, or a sparse one; ``labels`` and ``weights`` have a
    value for each row, ``groups`` the id of its query."""

    features: Any
    labels: Vector
    weights: Vector | None = None
    groups: NDArray[np.int64] | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.features.shape[0])

    @property
    def columns(self) -> int:
        """How many features a row has."""
        return int(self.features.shape[1])

    def widened(self, columns: int) -> Table:
        """The same rows with more columns, in which nothing stands; a dense table stays."""
        if not sparse.issparse(self.features) or columns <= self.columns:
            return self
        wide = sparse.csr_matrix(
            (self.features.data, self.features.indices, self.features.indptr), shape=(self.rows, columns), dtype=np.float32
        )
        return Table(wide, self.labels, self.weights, self.groups)


#: What an algorithm does not take: for a file's table, which rows break a rule, and what is wrong with them.
Rules = Callable[[Table], Iterable[tuple[NDArray[np.bool_], str]]]


def no_rules(_table: Table) -> Iterable[tuple[NDArray[np.bool_], str]]:
    """Everything that can be read is taken."""
    return ()


def read_table(folder: Path, kind: str, weights: bool = False, rules: Rules = no_rules) -> Table | None:
    """All files of a channel, in the order of their paths; None where there is no data. ``kind`` is ``csv`` (label, then the
    weight if ``weights``, then features), ``libsvm``, ``parquet`` (label first) or ``recordio-protobuf``. ``rules`` come on top
    of those for all algorithms. Raises UserError, which names the file and the row."""
    tables = []
    for path in data_files(folder):
        name = f"{folder.name}/{path.relative_to(folder)}"
        table = _READERS[kind](_readable(path, name), weights)
        if table is not None:
            _check_rows(table, name, rules)
            tables.append(table)
    return _stacked(tables) if tables else None


def _readable(path: Path, name: str) -> Path:
    """A file of a channel. Raises UserError for one that nobody may read, or could read to an end, as of a pipe."""
    # By os.path: where the folder may not be entered, pathlib raises what nobody expects.
    why = "" if os.path.isfile(path) else "it is a link that leads nowhere" if os.path.islink(path) else "it is no regular file"
    if not os.access(path.parent, os.X_OK) or not (why or os.access(path, os.R_OK)):
        why = "this user may not"
    if why:
        raise UserError(f"File '{name}' cannot be read: {why}. {_MEND}")
    return path


def missing(table: Table) -> NDArray[np.bool_]:
    """The rows in which a feature has no value."""
    return _rows_with(np.isnan, table.features)


def _check_rows(table: Table, file: str, rules: Rules) -> None:
    infinite = _rows_with(np.isinf, table.features)
    found = [
        (~np.isfinite(table.labels), "the label is missing or no finite number of 32 bits"),
        (infinite, "a feature is infinite, or too large for a number of 32 bits (3.4e38 is the largest)"),
    ]
    if table.weights is not None:
        found.append((~(table.weights >= 0) | np.isinf(table.weights), "the weight is negative or no finite number"))
    for broken, words in (*found, *rules(table)):
        if broken.any():
            raise UserError(f"File '{file}', row {int(broken.argmax()) + 1}: {words}")


def _rows_with(test: Callable[[Any], Any], features: Any) -> NDArray[np.bool_]:
    if not sparse.issparse(features):
        return np.asarray(test(features).any(axis=1))
    rows = np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))
    broken = np.zeros(features.shape[0], dtype=bool)
    broken[rows[test(features.data)]] = True
    return broken


def data_files(folder: Path) -> list[Path]:
    """The files of a channel in the order of their paths, without hidden ones and Hadoop's marks. Links to folders are
    followed, but not back into one that they lie in. Raises UserError for a folder that cannot be listed: the data would lack
    what is in it without a word."""

    def refuse(error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            return
        name = os.path.relpath(os.fspath(error.filename), folder.parent)
        raise UserError(f"Folder '{name}' cannot be read: {error.strerror}. {_MEND}") from error

    found: list[Path] = []
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        folders[:] = [name for name in folders if not leads_back(parent, name)]
        found += [Path(parent) / name for name in names]
    return sorted(path for path in found if not path.name.startswith((".", "_")))


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    try:
        return gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"File '{path.name}' begins as a gzip file and cannot be unpacked: {error}") from error


def _csv(path: Path, weights: bool) -> Table | None:
    text = _decoded(path)
    first = next((line for line in text.splitlines() if line.strip()), None)
    if first is None:
        return None
    delimiter = _delimiter(first)
    _check_numbers(first.split(delimiter), first, path, "CSV")
    leading = 2 if weights else 1
    try:
        found = _numbers(text, delimiter)
    except ValueError as error:
        # Numpy's advice is for programmers. It counts the rows from 0 where a field is no number, columns and else from 1.
        words = str(error).partition("; use `usecols`")[0]
        words = re.sub(r"(?<=at row )\d+(?=, column)", lambda row: str(int(row[0]) + 1), words)
        raise UserError(f"Failed to load csv data with exception:\n{words} (file {path.name!r})") from error
    if found.shape[1] <= leading:
        raise UserError(f"Failed to load csv data: file {path.name!r} has {found.shape[1]} columns, and no feature among them")
    return Table(found[:, leading:], found[:, 0], found[:, 1] if weights else None)


def _numbers(text: str, delimiter: str) -> Vector:
    """The table of numbers in a text. An empty field is a missing value; the fast way does not know those."""
    read: Callable[..., Vector] = np.loadtxt
    options = {"delimiter": None if delimiter == " " else delimiter, "dtype": np.float32, "ndmin": 2, "comments": None}
    try:
        return read(io.StringIO(text), quotechar='"', **options)
    except ValueError:
        if delimiter == " ":
            raise
        return read(io.StringIO(text), quotechar='"', converters=_number, **options)


def _number(field: str) -> float:
    return number_of(field) if field.strip() else float("nan")


def _delimiter(line: str) -> str:
    counts = {mark: line.count(mark) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=lambda mark: (counts[mark] > 0, -_DELIMITERS.index(mark)))


def _check_numbers(fields: Sequence[str], line: str, path: Path, kind: str) -> None:
    """A header, or another format, is told from data by its first line."""
    for column, field in enumerate(fields, 1):
        text = field.strip().strip('"')
        try:
            _number(text)
        except ValueError as error:
            raise UserError(
                f"First line '{line[:50]}...' of file '{path.name}' is not '{kind}' format. Please ensure the file is in "
                f"'{kind}' format: numbers only, without a header line. Column {column} is {text[:50]!r}."
                f"{_AS_NUMBERS if text.lower() in ('true', 'false') else ''}"
            ) from error


def _libsvm(path: Path, _weights: bool) -> Table | None:
    labels, given, values, columns = array("f"), array("f"), array("f"), array("q")
    groups, starts = array("q"), array("q", [0])
    for number, line in enumerate(_decoded(path).splitlines(), 1):
        text = line.partition("#")[0]
        words = text.split()
        if not words:
            continue
        try:
            if "_" in text or not text.isascii():
                # Python alone reads 1_0 as 10, and other scripts' digits as digits.
                raise ValueError
            label, colon, weight = words[0].partition(":")
            labels.append(float(label))
            if colon:
                given.append(float(weight))
            for word in words[1:]:
                column, _, value = word.partition(":")
                if column == "qid":
                    groups.append(int(value))
                else:
                    columns.append(min(int(column), _LARGEST_INDEX + 1))
                    values.append(float(value))
        except (ValueError, OverflowError) as error:
            table = "" if ":" in line else " If it is a table, say that its channel's content type is text/csv."
            raise UserError(
                f"Line {number} '{line[:50]}...' of file '{path.name}' is not 'LIBSVM' format. Please ensure the file is in "
                f"'LIBSVM' format: <label>[:<weight>] <index>:<value> ...{table}"
            ) from error
        starts.append(len(values))
    if not labels:
        return None
    for found, what in ((given, "a weight"), (groups, "a qid")):
        if found and len(found) != len(labels):
            raise UserError(f"File '{path.name}': {what} is in {len(found)} of {len(labels)} lines; it must be in all or none")
    if columns and min(columns) < 0:
        raise UserError(f"File '{path.name}': an index is negative")
    if columns and max(columns) > _LARGEST_INDEX:
        way_out = "Number the features from 0 on, or hash them to fewer"
        raise UserError(f"File '{path.name}': an index is larger than {_LARGEST_INDEX}. {way_out}")
    shape = (len(labels), max(columns, default=-1) + 1)
    features = sparse.csr_matrix((np.array(values), np.array(columns), np.array(starts)), shape=shape, dtype=np.float32)
    return Table(
        features, np.array(labels), np.array(given) if given else None, np.array(groups, dtype=np.int64) if groups else None
    )


def _parquet(path: Path, _weights: bool) -> Table | None:
    from pyarrow import ArrowInvalid, parquet

    place = f"file {path.name!r}"
    try:
        table, columns = parquet.read_table(path), []
        for name, column in zip(table.column_names, table.columns, strict=True):
            place = f"file {path.name!r}, column {name!r}"
            columns.append(_parquet_column(column.to_numpy()))
    except (ArrowInvalid, ValueError, TypeError, OSError) as error:
        raise UserError(f"Failed to load parquet data with exception:\n{error} ({place})") from error
    if not table.num_rows:
        return None
    if len(columns) < 2:
        raise UserError(f"Failed to load parquet data: file {path.name!r} has no feature after the label")
    return Table(np.column_stack(columns[1:]), columns[0])


def _parquet_column(values: NDArray[Any]) -> Vector:
    """A column as numbers. Raises ValueError or TypeError."""
    if values.dtype.kind in "mM":
        # Numpy takes their microseconds, which are too many for 32 bits, and a missing one for the lowest of all.
        raise ValueError("times are no numbers; write them as numbers, such as the days since the first")
    if values.dtype == object:
        return np.array([_text_as_number(v) if isinstance(v, str) else v for v in values], dtype=np.float32)
    return np.asarray(values, dtype=np.float32)


def _text_as_number(text: str) -> float:
    try:
        return number_of(text)
    except ValueError as error:
        raise ValueError(f"could not convert string to float: {text!r}") from error


def _recordio(path: Path, _weights: bool) -> Table | None:
    try:
        found = list(records(_read(path)))
    except (ValueError, OverflowError) as error:  # NotRecordIO, or what numpy says of values and keys
        raise UserError(f"Failed to load recordio-protobuf data with exception:\n{error} (file {path.name!r})") from error
    if not found:
        return None
    labels = [label.values[0] for _, label in found if label is not None and len(label.values)]
    if len(labels) != len(found):
        raise UserError("Got input data without labels. Please check the input data set.")
    features = [features for features, _ in found]
    if any(f.keys is not None for f in features):
        return Table(_sparse_rows(features), np.array(labels, dtype=np.float32))
    sizes = {len(f.values) for f in features}
    if len(sizes) > 1:
        raise UserError(f"Failed to load recordio-protobuf data: rows of {min(sizes)} and of {max(sizes)} features")
    return Table(np.array([f.values for f in features], dtype=np.float32), np.array(labels, dtype=np.float32))


def _sparse_rows(features: Sequence[Tensor]) -> Any:
    keys = [np.arange(len(f.values)) if f.keys is None else f.keys for f in features]
    if any(len(k) != len(f.values) for k, f in zip(keys, features, strict=True)):
        raise UserError("Failed to load recordio-protobuf data: a sparse row has not as many keys as values")
    columns = max(max((int(k.max()) + 1 for k in keys if len(k)), default=1), max((f.size or 0 for f in features), default=0))
    starts = np.cumsum([0, *(len(k) for k in keys)])
    values = np.concatenate([f.values for f in features])
    return sparse.csr_matrix((values, np.concatenate(keys), starts), shape=(len(features), columns), dtype=np.float32)


_READERS: dict[str, Callable[[Path, bool], Table | None]] = {
    "csv": _csv,
    "libsvm": _libsvm,
    "parquet": _parquet,
    "recordio-protobuf": _recordio,
}


def _decoded(path: Path) -> str:
    text = _read(path).decode("utf-8", "replace").removeprefix("\ufeff")
    # Lines may end as on any machine, old Macs among them.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _stacked(tables: Sequence[Table]) -> Table:
    if len(tables) == 1:
        return tables[0]
    columns = max(table.columns for table in tables)
    wide = [table.widened(columns) for table in tables]
    if any(table.columns != columns for table in wide):
        raise UserError(f"The files of a channel have rows of {min(t.columns for t in wide)} and of {columns} features")
    parts = [table.features for table in wide]
    return Table(
        sparse.vstack(parts, format="csr") if any(map(sparse.issparse, parts)) else np.concatenate(parts),
        np.concatenate([table.labels for table in tables]),
        _all_or_none([table.weights for table in tables], "weights"),
        _all_or_none([table.groups for table in tables], "qids"),
    )


def _all_or_none(parts: Sequence[Any], what: str) -> Any:
    there = [part for part in parts if part is not None]
    if there and len(there) != len(parts):
        raise UserError(f"{len(there)} of {len(parts)} files have {what}; all must have them, or none")
    return np.concatenate(there) if there else None
