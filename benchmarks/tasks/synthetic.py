"""Synthetic tasks: textbook functions with known optima, and forms of them with integers, categories, noise and failures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from benchmarks.tasks.task import Task
from rekindle.search import Categorical, Continuous, Integer, Space
from rekindle.search.space import Configuration, Parameter

Function = Callable[[np.ndarray], float]

_A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
#: Where Ackley's optimum lies, off the middle of the ranges: a search that starts in the middle gets nothing for free.
_SHIFT = np.array([7.3, -11.9, 3.7, -5.1, 13.3, 9.7, -2.9, -14.3, 6.1, -8.7])


def branin(x: np.ndarray) -> float:
    """Branin's function on [-5, 10] x [0, 15]; its three minima are 0.397887."""
    a = x[1] - 5.1 / (4 * math.pi**2) * x[0] ** 2 + 5 / math.pi * x[0] - 6
    return float(a**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10)


def hartmann6(x: np.ndarray) -> float:
    """Hartmann's six-dimensional function on the unit cube; minimum -3.32237."""
    return float(-_ALPHA @ np.exp(-np.sum(_A * (x - _P) ** 2, axis=1)))


def ackley(x: np.ndarray) -> float:
    """Ackley's function, moved by a fixed shift; minimum 0."""
    z = x - _SHIFT[: len(x)]
    return float(-20 * np.exp(-0.2 * np.sqrt(np.mean(z**2))) - np.exp(np.mean(np.cos(2 * np.pi * z))) + 20 + np.e)


def rosenbrock(x: np.ndarray) -> float:
    """Rosenbrock's function; minimum 0 at 1, ..., 1."""
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def levy(x: np.ndarray) -> float:
    """Levy's function; minimum 0 at 1, ..., 1."""
    w = 1 + (x - 1) / 4
    middle = np.sum((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2))
    return float(np.sin(np.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def _box(d: int, low: float, high: float) -> list[Parameter]:
    return [Continuous(f"x{i}", low, high, scaling="Linear") for i in range(d)]


def _task(name: str, function: Function, parameters: Sequence[Parameter], optimum: float, noise: float = 0.0) -> Task:
    space = Space(parameters)
    return Task(name, space, lambda c: function(np.array([float(c[n]) for n in space.names])), optimum, noise=noise)


def _failing(task: Task, fails: Callable[[Configuration], bool]) -> Task:
    return replace(task, truth=lambda c: None if fails(c) else task.truth(c))


def _mixed_ackley() -> Task:
    """Two continuous, two integer, two categorical parameters; the optimum's coordinates are all reachable."""
    levels = {"a": 9.0, "b": 0.0, "c": -4.0, "d": 15.0, "e": 2.0, "f": -9.0}
    space = Space(
        [
            Continuous("x0", -30, 30, scaling="Linear"),
            Continuous("x1", -30, 30, scaling="Linear"),
            Integer("i0", -20, 20, scaling="Linear"),
            Integer("i1", -5, 10, scaling="Linear"),
            Categorical("c0", list(levels)),
            Categorical("c1", ["off", "on"]),
        ]
    )

    def truth(c: Configuration) -> float:
        on = 0.0 if c["c1"] == "on" else 6.0
        z = [c["x0"], c["x1"], c["i0"], c["i1"], levels[str(c["c0"])], on]
        best = np.array([7.3, 4.6, 13, 2, 0, 0])
        return ackley(np.array([float(v) for v in z]) - best + _SHIFT[:6])

    return Task("ackley6-mixed", space, truth, 0.0)


def _mixed_hartmann() -> Task:
    """Hartmann's function over logarithmic, integer and categorical parameters, with noise."""
    grid = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    space = Space(
        [
            Continuous("lr", 1e-5, 1e-1, scaling="Logarithmic"),
            Continuous("decay", 1e-6, 1.0, scaling="Auto"),
            Continuous("momentum", 0.0, 0.99, scaling="ReverseLogarithmic"),
            Integer("layers", 1, 11, scaling="Linear"),
            Categorical("kind", ["p", "q", "r", "s", "t", "u"]),
            Continuous("drop", 0.0, 1.0, scaling="Linear"),
        ]
    )
    places = dict(zip("pqrstu", [grid[i] for i in (3, 0, 5, 2, 4, 1)], strict=True))

    def point(c: Configuration) -> np.ndarray:
        u = space.encode(c)
        return np.array([u[0], u[1], u[2], (float(c["layers"]) - 1) / 10, places[str(c["kind"])], u[5]])

    return Task("hartmann6-mixed-noisy", space, lambda c: hartmann6(point(c)), _hartmann_on_grid(), noise=0.1)


def _hartmann_on_grid() -> float:
    """The best value of Hartmann's function with coordinate 4 on eleven places and coordinate 5 on six."""
    begins = np.array([[0.20169, 0.150011, 0.476874, 0.657301], [0.5, 0.5, 0.5, 0.5], [0.4, 0.88, 0.85, 0.04]])
    places = [(a, b) for a in np.linspace(0, 1, 11) for b in np.linspace(0, 1, 6)]
    return min(_best_beside(float(a), float(b), begin) for a, b in places for begin in begins)


def _best_beside(x3: float, x4: float, begin: np.ndarray) -> float:
    def f(z: np.ndarray) -> float:
        return hartmann6(np.r_[z[:3], x3, x4, z[3]])

    return float(minimize(f, begin, bounds=[(0.0, 1.0)] * 4).fun)


def synthetic_tasks() -> list[Task]:
    """All synthetic tasks."""
    box = [Continuous("x0", -5, 10, scaling="Linear"), Continuous("x1", 0, 15, scaling="Linear")]
    branin_task = _task("branin", branin, box, 0.397887)
    hartmann_task = _task("hartmann6", hartmann6, _box(6, 0, 1), -3.32237)
    levy_integers: list[Parameter] = [*_box(4, -10, 10), *(Integer(f"k{i}", -9, 8, scaling="Linear") for i in range(4))]
    rosenbrock_task = _task("rosenbrock5", rosenbrock, _box(5, -5, 10), 0.0)
    return [
        branin_task,
        hartmann_task,
        _task("ackley5", ackley, _box(5, -32.768, 32.768), 0.0),
        _task("ackley10", ackley, _box(10, -32.768, 32.768), 0.0),
        rosenbrock_task,
        _task("levy8", levy, _box(8, -10, 10), 0.0),
        _task("levy8-integer-noisy", levy, levy_integers, 0.0, noise=1.0),
        replace(hartmann_task, name="hartmann6-noisy", noise=0.2),
        _failing(replace(branin_task, name="branin-failing"), lambda c: float(c["x0"]) + float(c["x1"]) < 3),
        _failing(replace(rosenbrock_task, name="rosenbrock5-failing"), lambda c: float(c["x0"]) * float(c["x4"]) > 16),
        replace(
            hartmann_task,
            name="hartmann6-maximize",
            truth=lambda c: 1e6 - 1e5 * float(hartmann_task.truth(c) or 0.0),
            optimum=1e6 + 332237.0,
            direction="maximize",
        ),
        _mixed_ackley(),
        _mixed_hartmann(),
    ]
