"""Recorded learning curves as tasks for multi-fidelity searches.

Between the rows of the files of curves we interpolate whole curves, and the time of an epoch with them, as ``tables`` does
with single values: a weighted mean of the four nearest rows with the same categories, so that rows are met exactly, curves
still cross, and the best value is that of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from benchmarks.tasks.curve_families import EPOCHS, FILES, SPACES, TASKS
from benchmarks.tasks.tables import DATA, categories, relevance, shepard
from rekindle.search import Categorical, Space
from rekindle.search.space import Configuration

NEIGHBOURS = 4


@dataclass(frozen=True)
class CurveTask:
    """A search space in which every configuration has a learning curve.

    ``curves`` (rows, epochs) are the recorded objectives, lower is better; ``seconds`` (rows,) the time of an epoch, the
    mean over all rows being 1; ``points`` (rows, numeric parameters) and ``groups`` say where in the space the rows are.
    """

    name: str
    space: Space
    curves: np.ndarray
    seconds: np.ndarray
    points: np.ndarray
    groups: dict[tuple[object, ...], np.ndarray]

    def curve(self, configuration: Configuration) -> tuple[np.ndarray, float]:
        """The objective after each epoch, and how long an epoch takes in mean epochs."""
        rows, tree = self._trees[categories(self.space, configuration)]
        u = self.space.encode(configuration)[_numeric(self.space)] * self._weights
        distance, index = tree.query(u, k=min(NEIGHBOURS + 1, len(rows)))
        if distance[0] < 1e-9:
            return self.curves[rows[index[0]]], float(self.seconds[rows[index[0]]])
        weight = shepard(distance)
        weight = weight / weight.sum()
        return weight @ self.curves[rows[index]], float(weight @ self.seconds[rows[index]])

    @cached_property
    def optimum(self) -> float:
        """The best value of any curve at any epoch."""
        return float(self.curves.min())

    @cached_property
    def scale(self) -> float:
        """From the optimum to the best value of the median curve: the unit of regret."""
        return max(float(np.median(self.curves.min(axis=1))) - self.optimum, 1e-12)

    def regret(self, value: float) -> float:
        """0 at the optimum, 1 at the median configuration's best epoch and beyond."""
        return float(np.clip((value - self.optimum) / self.scale, 0.0, 1.0))

    @cached_property
    def _weights(self) -> np.ndarray:
        return relevance(self.points, self.curves[:, -1])

    @cached_property
    def _trees(self) -> dict[tuple[object, ...], tuple[np.ndarray, cKDTree]]:
        return {g: (rows, cKDTree(self.points[rows] * self._weights)) for g, rows in self.groups.items()}


def _numeric(space: Space) -> np.ndarray:
    return np.array([not isinstance(p, Categorical) for p in space.parameters])


def _path(set_name: str, algorithm: str) -> Path:
    return DATA / f"{FILES[set_name]}-{algorithm}.parquet"


@cache
def _frame(set_name: str, algorithm: str) -> pd.DataFrame:
    return pd.read_parquet(_path(set_name, algorithm))


@cache
def curve_task(set_name: str, algorithm: str, data: str) -> CurveTask:
    """One algorithm on one data set, e.g. ``("choosing", "mlp", "even-30")``."""
    space, frame = SPACES[algorithm], _frame(set_name, algorithm)
    known = [dict(r) for r in frame[list(space.names)].to_dict("records")]
    curves = np.stack(frame[f"curve:{data}"].to_numpy()).astype(float)
    seconds = frame[f"seconds:{data}"].to_numpy(float)
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, c in enumerate(known):
        groups.setdefault(categories(space, c), []).append(i)
    return CurveTask(
        f"{algorithm}/{data}",
        space,
        curves[:, :EPOCHS],
        seconds / seconds.mean(),
        np.array([space.encode(c) for c in known])[:, _numeric(space)],
        {g: np.array(i) for g, i in groups.items()},
    )


def curve_tasks(set_name: str = "choosing") -> list[CurveTask]:
    """Every task of a set whose curves are there."""
    there = [a for a in TASKS[set_name] if _path(set_name, a).exists()]
    return [curve_task(set_name, a, t) for a in there for t in TASKS[set_name][a]]
