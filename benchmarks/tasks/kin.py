"""Families of related tasks for warm start, and parents of each kind made from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np

from benchmarks.tasks.families import TASKS
from benchmarks.tasks.synthetic import ackley, branin, hartmann6, levy
from benchmarks.tasks.tables import table_task
from benchmarks.tasks.task import Task
from rekindle.search import Categorical, Continuous, Integer, Parent, Space
from rekindle.search.space import Configuration, Parameter

Relation = Literal["identical", "related", "narrowed", "unrelated", "negated", "shuffled"]

_SYNTHETIC: dict[str, tuple[Callable[[np.ndarray], float], int, float, float]] = {
    "branin": (branin, 2, 0.0, 0.397887),
    "hartmann6": (hartmann6, 6, 0.0, -3.32237),
    "ackley5": (ackley, 5, 0.0, 0.0),
    "levy8": (levy, 8, 0.0, 0.0),
}
_BOX = {
    "branin": ((-5, 10), (0, 15)),
    "hartmann6": ((0, 1),) * 6,
    "ackley5": ((-32.768, 32.768),) * 5,
    "levy8": ((-10, 10),) * 8,
}
#: Kin of a synthetic task lie this far from it (share of each range), on another scale and with another offset.
_SHIFT = 0.06


@cache
def synthetic_kin(name: str, member: int) -> Task:
    """Member 0 is the function itself; the others are moved, scaled and lifted by draws of their own."""
    function, d, _, optimum = _SYNTHETIC[name]
    rng = np.random.default_rng([member, 77])
    low, high = np.array(_BOX[name], dtype=float).T
    moved = rng.normal(0.0, _SHIFT, d) * (high - low) * (member > 0)
    factor, lift = (float(np.exp(rng.normal(0, 1))), float(rng.normal(0, 5))) if member else (1.0, 0.0)
    space = Space([Continuous(f"x{i}", a, b, scaling="Linear") for i, (a, b) in enumerate(zip(low, high, strict=True))])

    def truth(c: Configuration) -> float:
        return factor * function(np.array([float(c[n]) for n in space.names]) + moved) + lift

    return Task(f"{name}-kin{member}" if member else f"{name}-kin", space, truth, factor * optimum + lift)


#: The tasks that warm start is judged on: a family and its child.
CHILDREN: tuple[tuple[str, str], ...] = (
    ("svm", "digits"),
    ("svm", "hard"),
    ("sgd", "digits"),
    ("sgd", "cancer"),
    ("elastic_net", "friedman1"),
    ("elastic_net", "diabetes"),
    ("forest", "hard"),
    ("forest", "cancer"),
    ("boosting", "friedman1"),
    ("boosting", "hard"),
    ("mlp", "digits"),
    ("mlp", "hard"),
    ("branin", "0"),
    ("hartmann6", "0"),
    ("ackley5", "0"),
    ("levy8", "0"),
)


def member(family: str, name: str) -> Task:
    """A task of a family."""
    return synthetic_kin(family, int(name)) if family in _SYNTHETIC else table_task(family, name)


def kin(family: str, name: str) -> list[Task]:
    """The other tasks of the family."""
    if family in _SYNTHETIC:
        return [synthetic_kin(family, i) for i in range(1, 9)]
    return [table_task(family, t) for t in TASKS[family] if t != name]


def unrelated(task: Task, seed: int) -> Task:
    """A smooth random function over the same space (random Fourier features), on a scale of its own."""
    rng = np.random.default_rng([seed, 5])
    d = len(task.space)
    omega, phase, amplitude = rng.normal(0, 3.0, (30, d)), rng.uniform(0, 2 * np.pi, 30), rng.normal(0, 1, 30)

    def truth(c: Configuration) -> float:
        return float(100 + 3 * amplitude @ np.cos(omega @ task.space.encode(c) + phase))

    return replace(task, name=f"{task.name}-unrelated{seed}", truth=truth)


def results(task: Task, count: int, seed: int) -> list[tuple[Configuration, float | None]]:
    """What an earlier search left: half of the seeds searched at random, half ever closer around their best."""
    rng = np.random.default_rng([seed, 99])
    found: list[tuple[Configuration, float | None]] = []
    ordered: list[tuple[float, np.ndarray]] = []
    for i in range(count):
        u = rng.random(len(task.space))
        if seed % 2 and i >= count // 4 and ordered and rng.random() < 0.7:
            base = ordered[int(rng.integers(0, min(5, len(ordered))))][1]
            moved = rng.random(len(u)) < 0.5
            u = np.where(moved, np.clip(base + 0.15 * rng.standard_normal(len(u)), 0, 1), base)
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
        task = relatives[order[i % len(order)]] if relation == "related" else child
        task = unrelated(child, 100 * seed + i) if relation == "unrelated" else task
        if relation == "narrowed":
            task = replace(child, space=narrowed(child.space, rng))
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
