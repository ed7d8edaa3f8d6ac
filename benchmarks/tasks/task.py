"""A benchmark task: a search space, a true objective with a known optimum, and what a search gets to see of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from rekindle.search import Direction, Space
from rekindle.search.space import Configuration

Truth = Callable[[Configuration], float | None]


@dataclass(frozen=True)
class Task:
    """An objective over a space.

    ``truth`` is the noise-free objective, None where a training fails; ``optimum`` its best value; ``noise`` the
    deviation of what is added to each observation, in the objective's unit.
    """

    name: str
    space: Space
    truth: Truth
    optimum: float
    direction: Direction = "minimize"
    noise: float = 0.0

    def observe(self, configuration: Configuration, rng: np.random.Generator) -> float | None:
        """One noisy evaluation; None when it fails."""
        draw = float(rng.standard_normal())
        value = self.truth(configuration)
        return None if value is None else value + self.noise * draw

    @property
    def scale(self) -> float:
        """Distance from the optimum to the median of 1,000 random configurations: the unit of normalised regret."""
        return _scale(self)

    def regret(self, value: float) -> float:
        """Normalised regret of a noise-free value: 0 at the optimum, 1 at the median random configuration; never above 1
        and never below 0."""
        return float(np.clip(abs(value - self.optimum) / self.scale, 0.0, 1.0))

    def negated(self) -> Task:
        """The same objective upside down, for parents that mislead. Its optimum is not known."""
        return replace(self, name=f"{self.name}-negated", truth=lambda c: _minus(self.truth(c)))

    def __hash__(self) -> int:
        return hash(self.name)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


@cache
def _scale(task: Task) -> float:
    rng = np.random.default_rng(12345)
    values = [task.truth(task.space.decode(rng.random(len(task.space)))) for _ in range(1000)]
    return max(abs(float(np.median([v for v in values if v is not None])) - task.optimum), 1e-12)
