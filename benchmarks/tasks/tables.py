"""Tuning tables as tasks.

A table holds a few thousand configurations of one algorithm with the objective of each on several data sets. Between its
rows we interpolate: the value at a point is the mean of the eight nearest rows with the same categories, each weighted
by ((R - d) / (R d))^2, where d is its distance and R the distance of the ninth (modified Shepard interpolation). Why this
and not a fitted surrogate: it goes through every row and never leaves their range, so the optimum is the best row, known
exactly, and the surface favours neither trees nor Gaussian processes. Distances weigh each parameter by how much the
objective moves along it, so that a parameter without influence does not hide the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from scipy.spatial import cKDTree
from scipy.stats import rankdata

from benchmarks.tasks.families import SPACES, TASKS
from benchmarks.tasks.task import Task
from rekindle.search import Categorical, Space
from rekindle.search.space import Configuration

DATA = Path(__file__).parent / "data"
NEIGHBOURS = 8


@dataclass(frozen=True)
class Interpolation:
    """The objective between the rows of a table; one tree of rows for each combination of categories."""

    space: Space
    numeric: np.ndarray
    weights: np.ndarray
    trees: dict[tuple[object, ...], tuple[cKDTree, np.ndarray]]

    def __call__(self, configuration: Configuration) -> float | None:
        """The objective at a configuration; None when the nearest row failed."""
        tree, values = self.trees[categories(self.space, configuration)]
        u = self.space.encode(configuration)[self.numeric] * self.weights
        distance, index = tree.query(u, k=NEIGHBOURS + 1)
        near = values[index]
        if np.isnan(near[0]):
            return None
        if distance[0] < 1e-9:
            return float(near[0])
        weight = shepard(distance)
        known = ~np.isnan(near)
        return float(weight[known] @ near[known] / weight[known].sum())


def shepard(distance: np.ndarray) -> np.ndarray:
    """Weights of the nearest rows, by their ascending distances, none of them 0; that of the last is 0."""
    weight = (distance[-1] - distance) / (distance[-1] * distance)
    return np.asarray(weight**2)


def categories(space: Space, configuration: Configuration) -> tuple[object, ...]:
    return tuple(configuration[p.name] for p in space.parameters if isinstance(p, Categorical))


def relevance(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How fast the ranks of the objective change along each coordinate, shape (d,), the largest 1: non-negative least
    squares of squared rank differences of neighbouring rows on their squared coordinate differences."""
    known = ~np.isnan(values)
    points, ranks = points[known], rankdata(values[known]) / known.sum()
    _, index = cKDTree(points).query(points, k=12)
    i, j = np.repeat(np.arange(len(points)), 11), index[:, 1:].ravel()
    x = np.column_stack([(points[i] - points[j]) ** 2, np.ones(len(i))])
    slope, _ = nnls(x, (ranks[i] - ranks[j]) ** 2)
    relevance = np.sqrt(slope[:-1])
    return np.maximum(relevance / max(relevance.max(), 1e-12), 0.05)


@cache
def _frame(algorithm: str) -> pd.DataFrame:
    return pd.read_parquet(DATA / f"{algorithm}.parquet")


@cache
def rows(algorithm: str) -> int:
    """How many configurations the algorithm's table holds."""
    return len(_frame(algorithm))


def configurations(algorithm: str) -> list[Configuration]:
    """The configurations of the algorithm's table."""
    return [dict(r) for r in _frame(algorithm)[list(SPACES[algorithm].names)].to_dict("records")]


@cache
def table_task(algorithm: str, data: str) -> Task:
    """One algorithm on one data set, e.g. ``("svm", "digits-30")``."""
    space, frame = SPACES[algorithm], _frame(algorithm)
    known = configurations(algorithm)
    values = frame[f"value:{data}"].to_numpy(float)
    numeric = np.array([not isinstance(p, Categorical) for p in space.parameters])
    points = np.array([space.encode(c) for c in known])[:, numeric]
    weights = relevance(points, values)
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, c in enumerate(known):
        groups.setdefault(categories(space, c), []).append(i)
    trees = {g: (cKDTree(points[i] * weights), values[i]) for g, i in groups.items()}
    truth = Interpolation(space, numeric, weights, trees)
    return Task(f"{algorithm}/{data}", space, truth, float(np.nanmin(values)))


def table_tasks() -> list[Task]:
    """Every task on a whole data set."""
    return [table_task(a, t) for a in TASKS if (DATA / f"{a}.parquet").exists() for t in TASKS[a] if "-" not in t]
