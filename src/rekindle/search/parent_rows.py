"""A parent's results in the cube of a new search: each parameter mapped by value, each row counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.subsets import chosen_rows
from rekindle.search.history import Direction, Parent
from rekindle.search.space import Categorical, Configuration, Parameter, Space, Value, looked_up, positions

Array = NDArray[np.float64]

#: Rows that the search cannot read, or that lie too far away, are left out where at least so many are left.
_ENOUGH = 8
#: Where fewer would be left, a categorical parameter of which more than this share of the rows has values unknown here is left
#: out instead.
_UNKNOWN_SHARE = 0.5
#: Coordinates end one range's width outside the range. What lies beyond would be read as if it were nearer.
_FARTHEST = 1.0 - 1e-9
#: At most this many rows of one parent are used: the best half, the rest spread over the ranks.
MAX_ROWS = 240


@dataclass(frozen=True)
class ColumnMap:
    """How one parameter of the new search reads a parent's rows.

    ``how`` is ``value`` (same range), ``new range`` (mapped by value, but the ranges differ), ``constant`` (the parent held
    it at one value), ``missing`` (the parent does not have it, or none of its values can be read: its model ignores it).
    """

    parameter: str
    how: str
    detail: str = ""

    @property
    def known(self) -> bool:
        """Whether the parent's rows have a coordinate here."""
        return self.how != "missing"


@dataclass(frozen=True)
class ParentRows:
    """What is used of one parent: rows ``x`` (m, d) in the new search's cube, outside [0, 1] where a value lies outside
    the new range, 0.5 in missing columns; ``values`` (m,), nan where the trial failed; ``configurations`` of the rows
    with every parameter of the new search, None for a row that it could not propose. ``counts`` are of all trials."""

    x: Array
    values: Array
    configurations: tuple[Configuration | None, ...]
    columns: tuple[ColumnMap, ...]
    counts: Mapping[str, int]
    unused: tuple[str, ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which columns the parent knows, shape (d,)."""
        return np.array([c.known for c in self.columns], dtype=bool)

    @property
    def succeeded(self) -> NDArray[np.bool_]:
        """Which rows have a value."""
        return ~np.isnan(self.values)

    @property
    def usable(self) -> bool:
        """Whether there are results that could be the new search's own: they have a coordinate in each column."""
        return bool(self.succeeded.any()) and bool(self.known.all())


def rows_of(
    parent: Parent,
    encoding: Encoding,
    direction: Direction,
    limit: int = MAX_ROWS,
    coordinates: Sequence[Array] | None = None,
) -> ParentRows:
    """The rows of ``parent``, at most ``limit``, that a search over ``encoding.space`` can use. Where the caller has them,
    ``coordinates`` are those of its trials along each parameter, (n,) each.

    Dropped are rows with a category that this space does not have (where they are the greater part and fewer than eight would
    be left, the whole parameter counts as missing instead), rows that lack a parameter that others have, rows far outside the
    ranges, and what is beyond ``limit``. A row with a value not so far outside a range is kept where it is, outside the cube;
    ``clipped`` counts these: the name is older than that.
    """
    space = encoding.space
    if coordinates is None:
        coordinates = [coordinates_of(p, parent) for p in space.parameters]
    columns = _columns(space, parent.space, coordinates)
    x = np.array([u if c.known else np.full(len(u), 0.5) for u, c in zip(coordinates, columns, strict=True)])
    x = x.T.reshape(len(parent.trials), len(space))
    values = np.array([math.nan if v is None or not math.isfinite(v) else v for _, v in parent.trials], dtype=np.float64)
    readable = ~np.isnan(x).any(axis=1)
    near = readable & _near(x)
    chosen = chosen_rows(np.flatnonzero(near), values if direction == "minimize" else -values, limit)
    clipped = (x[chosen] < -1e-9).any(axis=1) | (x[chosen] > 1 + 1e-9).any(axis=1)
    counts = {
        "trials": len(values),
        "used": len(chosen),
        "failed": int(np.isnan(values[chosen]).sum()),
        "clipped": int(clipped.sum()),
        "dropped: a value that this search does not have": int((~readable).sum()),
        "dropped: farther outside a range here than it is wide": int(readable.sum() - near.sum()),
        f"dropped: beyond the {limit} rows kept": int(near.sum()) - len(chosen),
    }
    full = all(c.known for c in columns)
    kept = tuple(_configuration(space, parent.trials[i][0]) if full else None for i in chosen)
    unused = tuple(n for n in parent.space.names if n not in space.names)
    return ParentRows(x[chosen], values[chosen], kept, columns, counts, unused)


def _near(x: Array) -> NDArray[np.bool_]:
    """Which rows (m, d) are no farther outside the cube than its width, or all of them where too few are."""
    away = np.maximum(-x, x - 1.0).max(axis=1, initial=0.0)
    near = away < _FARTHEST
    return near if near.sum() >= _ENOUGH else np.ones(len(x), dtype=bool)


def coordinates_of(parameter: Parameter, parent: Parent) -> Array:
    """The ``places`` of the trials of ``parent`` along ``parameter``, shape (n,)."""
    name, configurations = parameter.name, [configuration for configuration, _ in parent.trials]
    found = np.full(len(configurations), math.nan)
    found[[name in c for c in configurations]] = places(parameter, [c[name] for c in configurations if name in c])
    return found


def places(parameter: Parameter, values: Sequence[Value]) -> Array:
    """The coordinates, shape (n,), of values that some parent used or some search holds, outside [0, 1] where one lies outside
    the range; nan where it cannot be read as a value of ``parameter``: an unknown category, or no finite number.

    A value counts as what it is written like: '3' is 3.
    """
    if isinstance(parameter, Categorical):
        return looked_up(values, lambda v: next((parameter.to_unit(ours) for ours in _alike(parameter, v)), math.nan))
    found = np.array([_finite(v) for v in values], dtype=np.float64)
    readable = ~np.isnan(found)
    found[readable] = positions(parameter, found[readable].tolist())
    return found


def _finite(value: Value) -> float:
    """The number that a value is, or is written like; nan for no finite one."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def same_category(ours: Value, theirs: Value) -> bool:
    """Whether two categories are one: equal in type and value, or written alike ('3' and 3)."""
    return (type(ours) is type(theirs) and ours == theirs) or str(ours) == str(theirs)


def _alike(parameter: Categorical, value: Value) -> Sequence[Value]:
    """The categories that a value may be, itself first: a list may well have both '3' and 3."""
    found = [v for v in parameter.values if same_category(v, value)]
    return sorted(found, key=lambda v: type(v) is not type(value))


def _columns(space: Space, theirs: Space, coordinates: Sequence[Array]) -> tuple[ColumnMap, ...]:
    """How each parameter of a search reads a parent's rows, whose ``coordinates`` along it are (n,) each. A list of which the
    greater part of the rows has unknown values is left out while too few rows can be read in all others."""
    columns = [_column_map(p, theirs, u) for p, u in zip(space.parameters, coordinates, strict=True)]
    read = [~np.isnan(u) for u in coordinates]
    lists = [i for i, p in enumerate(space.parameters) if isinstance(p, Categorical) and read[i].any()]
    for i in sorted((i for i in lists if read[i].mean() < _UNKNOWN_SHARE), key=lambda i: int(read[i].sum())):
        whole = np.all([r for r, c in zip(read, columns, strict=True) if c.known], axis=0)
        if whole.sum() >= _ENOUGH:
            break
        share = f"only {read[i].mean():.0%} of the parent's values are values here"
        columns[i] = ColumnMap(columns[i].parameter, "missing", share)
    return tuple(columns)


def _column_map(parameter: Parameter, theirs: Space, u: Array) -> ColumnMap:
    name = parameter.name
    old = next((p for p in theirs.parameters if p.name == name), None)
    readable = ~np.isnan(u)
    if old is None:
        return ColumnMap(name, "missing", "the parent does not have this parameter")
    if not readable.any():
        return ColumnMap(name, "missing", "no trial of the parent has a value that this range can read")
    if old.size == 1:
        return ColumnMap(name, "constant", f"the parent held it at {_only(old)!r}")
    if _range(old) == _range(parameter):
        return ColumnMap(name, "value")
    return ColumnMap(name, "new range", f"{_range(old)} -> {_range(parameter)}")


def _only(p: Parameter) -> Value:
    return p.values[0] if isinstance(p, Categorical) else p.low


def _range(p: Parameter) -> list[Value]:
    return list(p.values) if isinstance(p, Categorical) else [p.low, p.high]


def _configuration(space: Space, theirs: Configuration) -> Configuration | None:
    """The parent's configuration as one of ``space``; None when a value lies outside."""
    made: dict[str, Value] = {}
    for p in space.parameters:
        value = _read(p, theirs[p.name])
        if not p.contains(value):
            return None
        made[p.name] = p.taken(value)
    return made


def _read(p: Parameter, value: Value) -> Value:
    return next(iter(_alike(p, value)), value) if isinstance(p, Categorical) else float(value)


def best_rows(rows: ParentRows, direction: Direction, count: int) -> Sequence[int]:
    """Indices of the ``count`` best succeeded rows, best first."""
    signed = rows.values if direction == "minimize" else -rows.values
    order = np.argsort(signed, kind="stable")
    return [int(i) for i in order[:count] if not np.isnan(rows.values[i])]
