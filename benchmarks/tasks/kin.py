"""Families of related tasks for warm start, and parents of each kind made from them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np

from benchmarks.tasks.families import TASKS
from benchmarks.tasks.synthetic import synthetic_tasks
from benchmarks.tasks.tables import table_task
from benchmarks.tasks.task import Task
from rekindle.search import Categorical, Continuous, Integer, Parent, Space
from rekindle.search.space import Configuration, Parameter

Relation = Literal["identical", "related", "elsewhere", "narrowed", "unrelated", "negated", "shuffled"]

#: Kin of a synthetic task lie about this far from it in each numeric coordinate of the cube, and are turned by this angle.
_SHIFT, _TURN = 0.06, 0.15
#: Chance that two categories of a parameter change places in a kin of a synthetic task.
_SWAP = 0.3

#: The tasks that warm start is judged on, a family and its child: choices were made by looking at half A only; the
#: families of half B were kept apart to confirm them.
HALF_A: tuple[tuple[str, str], ...] = (
    ("svm", "digits"),
    ("svm", "hard"),
    ("svm", "even"),
    ("elastic_net", "friedman1"),
    ("elastic_net", "diabetes"),
    ("forest", "hard"),
    ("forest", "cancer"),
    ("synthetic", "branin"),
    ("synthetic", "ackley5"),
    ("synthetic", "rosenbrock5"),
    ("synthetic", "ackley6-mixed"),
)
HALF_B: tuple[tuple[str, str], ...] = (
    ("sgd", "digits"),
    ("sgd", "cancer"),
    ("boosting", "friedman1"),
    ("boosting", "hard"),
    ("mlp", "digits"),
    ("mlp", "hard"),
    ("mlp", "cancer"),
    ("synthetic", "hartmann6"),
    ("synthetic", "levy8"),
    ("synthetic", "branin-failing"),
    ("synthetic", "hartmann6-mixed-noisy"),
)
CHILDREN = HALF_A + HALF_B


@cache
def _synthetic(name: str) -> Task:
    return next(t for t in synthetic_tasks() if t.name == name)


def member(family: str, name: str) -> Task:
    """A task of a family; each synthetic task is a family of its own."""
    return _synthetic(name) if family == "synthetic" else table_task(family, name)


def kin(family: str, name: str) -> list[Task]:
    """The other tasks of the family."""
    if family == "synthetic":
        return [distorted(_synthetic(name), i) for i in range(1, 9)]
    return [table_task(family, t) for t in TASKS[family] if t != name]


def distorted(task: Task, number: int) -> Task:
    """Kin number ``number`` of a task: its optimum is moved, its axes are turned a little, two categories may have changed
    places, and its values are bent, scaled and lifted."""
    rng = np.random.default_rng([number, 77])
    d, parameters = len(task.space), task.space.parameters
    numeric = np.array([not isinstance(p, Categorical) for p in parameters])
    moved = rng.normal(0.0, _SHIFT, d) * numeric
    plane = rng.permutation(np.flatnonzero(numeric))[:2]
    angle = float(rng.normal(0.0, _TURN))
    turn = np.eye(d)
    turn[np.ix_(plane, plane)] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    swaps = {
        j: rng.permutation(len(p.values))[:2]
        for j, p in enumerate(parameters)
        if isinstance(p, Categorical) and rng.random() < _SWAP
    }
    power, factor, lift = rng.uniform(0.6, 1.4), math.exp(rng.normal(0, 1)), rng.normal(0, 5)

    def truth(c: Configuration) -> float | None:
        u = 0.5 + turn @ (task.space.encode(c) - 0.5) + moved
        u = np.where(u < 0, -u, np.where(u > 1, 2 - u, u))
        for j, (a, b) in swaps.items():
            k = parameters[j].size or 1
            place = int(u[j] * k)
            u[j] = ((b if place == a else a if place == b else place) + 0.5) / k
        value = task.truth(task.space.decode(u))
        if value is None:
            return None
        return float(factor * (max(value - task.optimum, 0.0) / task.scale) ** power + lift)

    noise = task.noise * factor / task.scale
    return Task(f"{task.name}-kin{number}", task.space, truth, float(lift), noise=noise)


def unrelated(task: Task, seed: int) -> Task:
    """A smooth random function over the same space (random Fourier features), on a scale of its own."""
    rng = np.random.default_rng([seed, 5])
    d = len(task.space)
    omega, phase, amplitude = rng.normal(0, 3.0, (30, d)), rng.uniform(0, 2 * np.pi, 30), rng.normal(0, 1, 30)

    def truth(c: Configuration) -> float:
        return float(100 + 3 * amplitude @ np.cos(omega @ task.space.encode(c) + phase))

    return replace(task, name=f"{task.name}-unrelated{seed}", truth=truth)


def results(task: Task, count: int, seed: int) -> list[tuple[Configuration, float | None]]:
    """What an earlier search left, by the seed: a random search, a search that moves around its best, or a good search
    whose steps around its best become ever smaller."""
    rng = np.random.default_rng([seed, 99])
    style = seed % 3
    found: list[tuple[Configuration, float | None]] = []
    ordered: list[tuple[float, np.ndarray]] = []
    for i in range(count):
        u = rng.random(len(task.space))
        if style and i >= count // 4 and ordered and rng.random() < (0.7, 0.9)[style - 1]:
            base = ordered[int(rng.integers(0, min(5, len(ordered))))][1]
            step = 0.15 if style == 1 else 0.2 * (1 - i / count) + 0.01
            moved = rng.random(len(u)) < 0.5
            u = np.where(moved, np.clip(base + step * rng.standard_normal(len(u)), 0, 1), base)
        configuration = task.space.decode(u)
        value = task.observe(configuration, rng)
        found.append((configuration, value))
        if value is not None:
            ordered = sorted([*ordered, (value, u)], key=lambda pair: pair[0])
    return found


def parents(family: str, name: str, relation: Relation, count: int, seed: int) -> tuple[Parent, ...]:
    """``count`` parents of 30 to 100 trials each for the child ``name`` of ``family``."""
    child, rng = member(family, name), np.random.default_rng([seed, 3, count])
    relatives = kin(family, name)
    order = rng.permutation(len(relatives))
    made = []
    for i in range(count):
        task = relatives[order[i % len(order)]] if relation in ("related", "elsewhere") else child
        task = unrelated(child, 100 * seed + i) if relation == "unrelated" else task
        if relation in ("narrowed", "elsewhere"):
            task = replace(task, name=f"{task.name}-{relation}", space=narrowed(task.space, rng))
        rows = results(task, int(rng.integers(30, 101)), int(rng.integers(0, 10**6)))
        if relation == "negated":
            rows = [(c, None if v is None else -v) for c, v in rows]
        if relation == "shuffled":
            places = rng.permutation(len(rows))
            rows = [(c, rows[j][1]) for (c, _), j in zip(rows, places, strict=True)]
        kind: Literal["identical", "transfer"] = "identical" if relation in ("identical", "narrowed") else "transfer"
        made.append(Parent(task.space, rows, kind, f"{relation}-{i}"))
    return tuple(made)


def narrowed(space: Space, rng: np.random.Generator) -> Space:
    """Each numeric range cut to a random 60 % of itself on its scale."""

    def cut(p: Parameter) -> Parameter:
        start = float(rng.uniform(0, 0.4))
        match p:
            case Continuous():
                return replace(p, low=p.from_unit(start), high=p.from_unit(start + 0.6))
            case Integer():
                return replace(p, low=p.from_unit(start), high=p.from_unit(start + 0.6))
            case Categorical():
                return p

    return Space([cut(p) for p in space.parameters])
