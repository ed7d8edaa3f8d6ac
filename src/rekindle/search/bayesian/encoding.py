"""Between configurations and the unit cube, many rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.kernel import Columns
from rekindle.search.space import Categorical, Configuration, Integer, Parameter, Space, Value, looked_up, positions

Array = NDArray[np.float64]

#: Continuous coordinates are multiples of this: differences of rounding between machines end here.
GRID = 2.0**-20
#: Integer ranges up to this many values are looked up in a table of cell middles; wider ones count as continuous.
_TABLE = 4096


@dataclass(frozen=True)
class Encoding:
    """The unit cube of a space, with every discrete coordinate at the place of its value."""

    space: Space

    @cached_property
    def columns(self) -> Columns:
        """What the cube's columns are, for the GP. A categorical parameter of one value counts as a number."""
        return Columns(tuple(_categories(p) for p in self.space.parameters))

    @cached_property
    def places(self) -> tuple[Array | None, ...]:
        """For each parameter the sorted coordinates of its values; None where it is continuous (or nearly)."""
        return tuple(_places(p) for p in self.space.parameters)

    @cached_property
    def continuous(self) -> NDArray[np.intp]:
        """Indices of the coordinates that may take any value of the grid."""
        return np.array([j for j, places in enumerate(self.places) if places is None], dtype=np.intp)

    @cached_property
    def discrete(self) -> NDArray[np.intp]:
        """Indices of the coordinates with at least two places."""
        return np.array([j for j, p in enumerate(self.places) if p is not None and len(p) > 1], dtype=np.intp)

    def snap(self, x: Array) -> Array:
        """Rows ``x`` (n, d) of [0, 1] moved to the place of the value that they decode to."""
        out = np.empty_like(x)
        for j, places in enumerate(self.places):
            if places is None:
                out[:, j] = np.round(np.clip(x[:, j], 0.0, 1.0) / GRID) * GRID
            else:
                out[:, j] = places[self._cell(j, x[:, j])]
        return out

    def _cell(self, j: int, u: Array) -> NDArray[np.intp]:
        """Index of the value that each coordinate of column ``j`` decodes to."""
        edges = self._edges[j]
        if edges is not None:
            return np.searchsorted(edges, u).astype(np.intp)
        last = len(self.places[j]) - 1  # type: ignore[arg-type]
        return np.clip((u * (last + 1)).astype(np.intp), 0, last)

    @cached_property
    def _edges(self) -> tuple[Array | None, ...]:
        """For integers the inner edges of their cells."""
        return tuple(
            _edges(p) if places is not None else None for p, places in zip(self.space.parameters, self.places, strict=True)
        )

    def encode(self, configurations: Sequence[Configuration]) -> Array:
        """Rows (n, d) of configurations; values outside a range lie outside [0, 1]."""
        rows = [_column(p, [c[p.name] for c in configurations]) for p in self.space.parameters]
        return np.column_stack(rows) if rows else np.zeros((len(configurations), 0))

    def decode(self, x: Array) -> dict[str, Value]:
        """The configuration at one row (d,)."""
        return self.space.decode(x)

    def all_rows(self) -> Array:
        """Every row of a finite space in lexicographic order, shape (size, d); of one whose ranges have tables."""
        rows = list(product(*(places for places in self.places if places is not None)))
        return np.array(rows).reshape(len(rows), len(self.places))


def _categories(parameter: Parameter) -> int:
    return len(parameter.values) if isinstance(parameter, Categorical) and len(parameter.values) > 1 else 0


def _places(parameter: Parameter) -> Array | None:
    if parameter.size is None or (isinstance(parameter, Integer) and parameter.size > _TABLE):
        return None
    if isinstance(parameter, Categorical):
        return np.array([parameter.to_unit(value) for value in parameter.values])
    if isinstance(parameter, Integer):
        return np.array([parameter.to_unit(value) for value in range(parameter.low, parameter.high + 1)])
    return np.array([0.5])


def _edges(parameter: Parameter) -> Array | None:
    if not isinstance(parameter, Integer):
        return None
    return np.array([parameter.to_unit(k + 0.5) for k in range(parameter.low, parameter.high)])


def _column(parameter: Parameter, values: Sequence[Value]) -> Array:
    if not isinstance(parameter, Categorical):
        return positions(parameter, values)
    return looked_up(values, parameter.to_unit)
