"""Which rows stay where there are more than a model or a fit can take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def working_set(y: Array, size: int) -> NDArray[np.intp]:
    """Which rows to keep when there are more than ``size``: the best 40 %, the latest 30 %, the rest at even steps
    of rank. Sorted indices; all of them when they fit."""
    n = len(y)
    if n <= size:
        return np.arange(n, dtype=np.intp)
    order = np.argsort(y, kind="stable")
    best, latest = order[: (4 * size) // 10], np.arange(n - (3 * size) // 10, n)
    kept = np.union1d(best, latest)
    rest = np.setdiff1d(order, kept, assume_unique=True)
    steps = np.linspace(0, len(rest) - 1, size - len(kept)).astype(np.intp)
    return np.union1d(kept, rest[steps]).astype(np.intp)


def chosen_rows(rows: NDArray[np.intp], values: Array, limit: int) -> NDArray[np.intp]:
    """At most ``limit`` of ``rows``, in their order: the best half, the others at even steps of rank, failures last."""
    if len(rows) <= limit:
        return rows
    ranked = rows[np.argsort(values[rows], kind="stable")]
    best, rest = ranked[: limit // 2], ranked[limit // 2 :]
    steps = np.linspace(0, len(rest) - 1, limit - len(best)).astype(np.intp)
    return np.sort(np.concatenate([best, rest[steps]]))


def spread_set(n: int, limit: int) -> NDArray[np.intp]:
    """At most ``limit`` of ``n`` rows at even steps."""
    return np.unique(np.linspace(0, n - 1, min(n, limit)).astype(np.intp))
