"""Histories of searches, made up: objectives that break numerics, trials at rows of the unit cube, figures within records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rekindle.search import Space, Trial, TrialState

KINDS = (
    "equal",
    "zero",
    "all but one equal",
    "steps of the last digit",
    "far from zero",
    "heavy tail",
    "diverged",
    "both ends",
    "plain",
)


def objective(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    noise = rng.standard_normal(n)
    return {
        "equal": np.full(n, 0.3),
        "zero": np.zeros(n),
        "all but one equal": np.where(np.arange(n) == n // 2, -1.0, 0.3),
        "steps of the last digit": 1.0 + 2.0**-52 * rng.integers(0, 4, n),
        "far from zero": 1e6 + noise,
        "heavy tail": np.exp(20 * noise),
        "both ends": np.where(noise > 0, 1.7e296, -1.7e296),
        "diverged": np.where(rng.random(n) < 0.2, 10.0 ** rng.choice([100, 170, 280], n), noise),
        "plain": noise,
    }[kind]


def trials(space: Space, rows: np.ndarray, ended: Sequence[float | None], n: int) -> Iterator[Trial]:
    for i, row in enumerate(rows):
        configuration = space.decode(row)
        if i >= n:
            yield Trial(i, configuration)
        elif ended[i] is None:
            yield Trial(i, configuration, TrialState.FAILED)
        else:
            yield Trial(i, configuration, TrialState.SUCCEEDED, ended[i])


def figures(value: object) -> Iterator[float]:
    """All numbers within plain data."""
    if isinstance(value, dict):
        for item in value.values():
            yield from figures(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from figures(item)
    elif isinstance(value, int | float):
        yield float(value)
