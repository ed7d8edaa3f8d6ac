"""Functions of COCO's bbob-mixint suite (GECCO 2019), where the package ``coco-experiment`` is installed.

Four fifths of the parameters are integers with 2, 4, 8 and 16 values, the rest is continuous.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.tasks.task import Task
from rekindle.search import Continuous, Integer, Space
from rekindle.search.space import Configuration, Parameter

#: (function, dimension): separable, ill-conditioned, multimodal with and without structure.
PROBLEMS = ((1, 5), (3, 5), (8, 5), (10, 10), (15, 10), (17, 5), (21, 10), (23, 5))


def coco_tasks() -> list[Task]:
    """The tasks of ``PROBLEMS``, instance 1; none where the package is missing."""
    try:
        import cocoex
    except ImportError:
        return []
    suite = cocoex.Suite("bbob-mixint", "", "instance_indices:1 dimensions:5,10")
    return [_task(suite.get_problem_by_function_dimension_instance(f, d, 1)) for f, d in PROBLEMS]


def _task(problem: Any) -> Task:
    integers = problem.number_of_integer_variables
    bounds = list(zip(problem.lower_bounds, problem.upper_bounds, strict=True))
    parameters: list[Parameter] = [
        Integer(f"k{j}", round(low), round(high), scaling="Linear")
        if j < integers
        else Continuous(f"x{j}", float(low), float(high), scaling="Linear")
        for j, (low, high) in enumerate(bounds)
    ]
    space = Space(parameters)

    def truth(c: Configuration) -> float:
        return float(problem([float(c[n]) for n in space.names]))

    return Task(problem.id.replace("_", "-").replace("-i01", ""), space, truth, float(problem(_best(problem))))


def _best(problem: Any) -> list[float]:
    """The best point, which COCO writes into a file of the working directory."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        problem._best_parameter("print")
        (found,) = Path(folder).iterdir()
        return [float(word) for word in found.read_text().split()]
