"""Further families of synthetic tasks: textbook functions moved, turned and put over mixed ranges, with noise, failures and
heavy tails; random functions; conditional spaces.

They come in two halves. Variants of the search were compared on the tasks of ``choosing_tasks`` (and on those of
``synthetic`` and ``tables``); those of ``confirming_tasks`` were only looked at to confirm what had been chosen.

Every function here has its least value on all of R^d (not only in its usual box) at a known point, so that it can be moved at
will: coordinate j is ``best_j + (u_j - u*_j) width_j``, where u is the position in the range, on its scale, and u* a random
position that the range can take. The optimum of a mixed form is therefore known exactly too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from scipy.optimize import minimize
from scipy.stats import ortho_group, qmc

from benchmarks.results import Results
from benchmarks.tasks.synthetic import ackley, hartmann6, levy, rosenbrock
from benchmarks.tasks.task import Task
from rekindle.search import Categorical, Continuous, Integer, Space
from rekindle.search.space import Configuration, Parameter

Function = Callable[[np.ndarray], float]


def sphere(x: np.ndarray) -> float:
    """Sum of squares; 0 at 0."""
    return float(x @ x)


def ellipsoid(x: np.ndarray) -> float:
    """Squares weighted from 1 to 100; 0 at 0."""
    return float(np.logspace(0, 2, len(x)) @ x**2)


def griewank(x: np.ndarray) -> float:
    """Griewank's function; 0 at 0."""
    return float(x @ x / 4000 - np.prod(np.cos(x / np.sqrt(np.arange(1, len(x) + 1)))) + 1)


def rastrigin(x: np.ndarray) -> float:
    """Rastrigin's function; 0 at 0."""
    return float(10 * len(x) + np.sum(x**2 - 10 * np.cos(2 * np.pi * x)))


def styblinski_tang(x: np.ndarray) -> float:
    """Styblinski and Tang's function for each coordinate's mean; -39.16617 at -2.903534."""
    return float(0.5 * np.mean(x**4 - 16 * x**2 + 5 * x))


def zakharov(x: np.ndarray) -> float:
    """Zakharov's function; 0 at 0."""
    s = 0.5 * np.arange(1, len(x) + 1) @ x
    return float(x @ x + s**2 + s**4)


def powell(x: np.ndarray) -> float:
    """Powell's singular function, d a multiple of 4; 0 at 0."""
    a, b, c, d = x.reshape(-1, 4).T
    return float(np.sum((a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4))


def dixon_price(x: np.ndarray) -> float:
    """Dixon and Price's function; 0 at 2^(1/2^i - 1)."""
    i = np.arange(2, len(x) + 1)
    return float((x[0] - 1) ** 2 + np.sum(i * (2 * x[1:] ** 2 - x[:-1]) ** 2))


def six_hump_camel(x: np.ndarray) -> float:
    """The six-hump camel; -1.0316285 at (0.0898, -0.7126) and its mirror image."""
    a, b = x
    return float((4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (-4 + 4 * b**2) * b**2)


_SHEKEL_C = np.array([1, 2, 2, 4, 4, 6, 3, 7, 5, 5]) / 10
_SHEKEL_A = np.array(
    [
        [4, 1, 8, 6, 3, 2, 5, 8, 6, 7],
        [4, 1, 8, 6, 7, 9, 3, 1, 2, 3.6],
        [4, 1, 8, 6, 3, 2, 5, 8, 6, 7],
        [4, 1, 8, 6, 7, 9, 3, 1, 2, 3.6],
    ]
)


def shekel(x: np.ndarray) -> float:
    """Shekel's function of ten foxholes; -10.5364 near (4, 4, 4, 4)."""
    return float(-np.sum(1 / (np.sum((x[:, None] - _SHEKEL_A) ** 2, axis=0) + _SHEKEL_C)))


@dataclass(frozen=True)
class Known:
    """A function, where its least value on R^d lies (None: found by local search from ``near``), and its usual width."""

    function: Function
    near: Callable[[int], np.ndarray]
    width: float

    def best(self, d: int) -> np.ndarray:
        """The best point: a local search from ``near``, which is exact where ``near`` is."""
        near = self.near(d)
        found = minimize(self.function, near, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20000})
        return np.asarray(found.x if found.fun < self.function(near) else near)


_HARTMANN = np.array([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573])
_KNOWN: dict[str, Known] = {
    "sphere": Known(sphere, np.zeros, 10),
    "ellipsoid": Known(ellipsoid, np.zeros, 10),
    "griewank": Known(griewank, np.zeros, 40),
    "rastrigin": Known(rastrigin, np.zeros, 6),
    "styblinski-tang": Known(styblinski_tang, lambda d: np.full(d, -2.903534), 10),
    "zakharov": Known(zakharov, np.zeros, 10),
    "powell": Known(powell, np.zeros, 9),
    "dixon-price": Known(dixon_price, lambda d: 2.0 ** (0.5 ** np.arange(d) - 1), 10),
    "camel": Known(six_hump_camel, lambda d: np.array([0.0898, -0.7126]), 4),
    "shekel": Known(shekel, lambda d: np.full(4, 4.0), 10),
    "ackley": Known(ackley, lambda d: np.array([7.3, -11.9, 3.7, -5.1, 13.3, 9.7, -2.9, -14.3, 6.1, -8.7])[:d], 40),
    "levy": Known(levy, np.ones, 20),
    "rosenbrock": Known(rosenbrock, np.ones, 6),
    "hartmann6": Known(hartmann6, lambda d: _HARTMANN, 1),
}

#: A letter for each kind of range: linear, logarithmic, reverse logarithmic, Auto (wide: read as logarithmic), integer,
#: logarithmic integer, categorical of 2, 5, 12 and 30 values.
_KINDS: dict[str, Callable[[str], Parameter]] = {
    "c": lambda n: Continuous(n, -5.0, 3.0, scaling="Linear"),
    "l": lambda n: Continuous(n, 1e-6, 1e-1, scaling="Logarithmic"),
    "r": lambda n: Continuous(n, 0.0, 0.999, scaling="ReverseLogarithmic"),
    "a": lambda n: Continuous(n, 1e-4, 10.0, scaling="Auto"),
    "i": lambda n: Integer(n, 0, 16, scaling="Linear"),
    "m": lambda n: Integer(n, 4, 512, scaling="Logarithmic"),
    "2": lambda n: Categorical(n, ["no", "yes"]),
    "5": lambda n: Categorical(n, [f"v{k}" for k in range(5)]),
    "t": lambda n: Categorical(n, [f"v{k}" for k in range(12)]),
    "z": lambda n: Categorical(n, [f"v{k}" for k in range(30)]),
}


@dataclass(frozen=True)
class Moved:
    """A known function over a space: see the module's text. ``order`` shuffles the values of each categorical parameter;
    ``turn`` (d, d) is a rotation around the best point."""

    space: Space
    known: Known
    best: np.ndarray
    at: np.ndarray
    order: Sequence[np.ndarray | None]
    turn: np.ndarray | None = None

    def position(self, c: Configuration) -> np.ndarray:
        """Where a configuration lies, shape (d,), with the values of categorical parameters put in their hidden order."""
        u = self.space.encode(c)
        for j, order in enumerate(self.order):
            if order is not None:
                u[j] = (order[int(u[j] * len(order))] + 0.5) / len(order)
        return u

    def __call__(self, c: Configuration) -> float:
        """The function's value."""
        moved = (self.position(c) - self.at) * self.known.width
        return self.known.function(self.best + (moved if self.turn is None else self.turn @ moved))


def moved(name: str, kinds: str, turned: bool = False, noise: float = 0.0, tag: str = "") -> Task:
    """The task of a known function over ranges of the ``kinds``; ``noise`` in units of the task's scale."""
    title = f"{name}{len(kinds)}-{kinds}{'-turned' * turned}{'-noisy' * (noise > 0)}{tag}"
    rng = np.random.default_rng(crc32(title.encode()))
    space = Space([_KINDS[kind](f"{kind}{j}") for j, kind in enumerate(kinds)])
    order = [rng.permutation(p.size) if isinstance(p, Categorical) else None for p in space.parameters]
    known = _KNOWN[name]
    best = known.best(len(kinds))
    turn = ortho_group.rvs(len(kinds), random_state=rng) if turned else None
    function = Moved(space, known, best, np.zeros(len(kinds)), order, turn)
    within = space.decode(rng.uniform(0.12, 0.88, len(kinds)))
    function = replace(function, at=function.position(within))
    task = Task(title, space, function, float(function(within)))
    return replace(task, noise=noise * task.scale) if noise else task


def failing(task: Task, share: float = 0.3) -> Task:
    """``task`` with a ``share`` of random configurations failing: those beyond a plane that passes near the optimum."""
    truth = task.truth
    assert isinstance(truth, Moved)
    rng = np.random.default_rng(crc32(task.name.encode()))
    across = rng.standard_normal(len(task.space))
    points = [truth.position(task.space.decode(u)) for u in rng.random((2000, len(task.space)))]
    limit = max(float(np.quantile(np.array(points) @ across, 1 - share)), float(truth.at @ across) + 0.05)
    return replace(task, name=f"{task.name}-failing", truth=lambda c: None if truth.position(c) @ across > limit else truth(c))


def heavy(task: Task, strength: float = 6.0) -> Task:
    """``task`` through an exponential: most of the space is worse by orders of magnitude."""
    truth, scale, optimum = task.truth, task.scale, task.optimum
    bent = lambda c: float(np.exp(strength * (float(truth(c) or 0.0) - optimum) / scale))  # noqa: E731
    return replace(task, name=f"{task.name}-heavy", truth=bent, optimum=1.0)


def upside_down(task: Task) -> Task:
    """``task`` negated and maximised."""
    truth = task.truth
    return replace(
        task,
        name=f"{task.name}-maximize",
        truth=lambda c: None if truth(c) is None else -float(truth(c) or 0.0),
        optimum=-task.optimum,
        direction="maximize",
    )


def conditional(d: int, seed: int) -> Task:
    """A number of layers, and for each layer two parameters that matter only when there are so many layers."""
    rng = np.random.default_rng([seed, 42])
    space = Space(
        [
            Integer("layers", 1, d, scaling="Linear"),
            *(Continuous(f"rate{j}", 1e-5, 1e-1, scaling="Logarithmic") for j in range(d)),
            *(Categorical(f"kind{j}", ["relu", "tanh", "gelu", "none"]) for j in range(d)),
        ]
    )
    layers, rates = int(rng.integers(2, d + 1)), rng.uniform(0.2, 0.8, d)
    costs = np.array([rng.permutation([0.0, 0.2, 0.4, 0.6]) for _ in range(d)])
    kinds = ["relu", "tanh", "gelu", "none"]

    def truth(c: Configuration) -> float:
        u, used = space.encode(c), int(c["layers"])
        parts = [1 - np.exp(-8 * (u[1 + j] - rates[j]) ** 2) + costs[j, kinds.index(str(c[f"kind{j}"]))] for j in range(used)]
        return float(0.3 * abs(used - layers) + np.mean(parts))

    return Task(f"conditional{1 + 2 * d}-{seed}", space, truth, 0.0)


@dataclass(frozen=True)
class Waves:
    """A draw from a stationary Gaussian process by random Fourier features; each coordinate has a lengthscale of its own, and
    each category a place of its own."""

    space: Space
    places: Sequence[np.ndarray | None]
    omega: np.ndarray
    phase: np.ndarray

    def at(self, u: np.ndarray) -> float:
        """The value at a position (d,)."""
        return float(np.sqrt(2 / len(self.phase)) * np.sum(np.cos(self.omega @ u + self.phase)))

    def position(self, c: Configuration) -> np.ndarray:
        """Where a configuration lies, shape (d,)."""
        u = self.space.encode(c)
        for j, places in enumerate(self.places):
            if places is not None:
                u[j] = places[int(u[j] * len(places))]
        return u

    def __call__(self, c: Configuration) -> float:
        """The value at a configuration."""
        return self.at(self.position(c))


def draw(kinds: str, seed: int, smoothness: float = np.inf, noise: float = 0.0) -> Task:
    """A random function over ranges of the ``kinds``: ``smoothness`` infinite for the Gaussian kernel, else Matern's nu. Its
    optimum is the best of many local searches."""
    rng = np.random.default_rng([seed, len(kinds), 4242])
    d, m = len(kinds), 400
    space = Space([_KINDS[kind](f"{kind}{j}") for j, kind in enumerate(kinds)])
    lengthscales = np.exp(rng.normal(np.log(0.25 * np.sqrt(d)), 0.7, d))
    omega = rng.standard_normal((m, d)) / lengthscales
    if np.isfinite(smoothness):
        omega /= np.sqrt(rng.chisquare(2 * smoothness, (m, 1)) / (2 * smoothness))
    places = [rng.uniform(0, 1, p.size) if isinstance(p, Categorical) else None for p in space.parameters]
    waves = Waves(space, places, omega, rng.uniform(0, 2 * np.pi, m))
    name = f"draw{d}-{kinds}-{'smooth' if np.isinf(smoothness) else f'rough{smoothness:g}'}-{seed}{'-noisy' * (noise > 0)}"
    task = Task(name, space, waves, _optimum(name, waves))
    return replace(task, noise=noise * task.scale) if noise else task


def _optimum(name: str, waves: Waves) -> float:
    """``_lowest``, kept on disk: it takes seconds."""
    kept = Results("optima")
    record = kept.get(name)
    if record is None:
        kept.put(name, record := {"optimum": _lowest(waves)})
    return float(str(record["optimum"]))


def _lowest(waves: Waves) -> float:
    """The least value found by local searches (continuous ones and one-step moves of the rest) from the best of many points."""
    space, d = waves.space, len(waves.space)
    starts = [space.decode(u) for u in qmc.Sobol(d, seed=1).random_base2(12)]
    starts.sort(key=waves)
    return min(_descend(waves, dict(c)) for c in starts[:24])


def _descend(waves: Waves, c: dict[str, float | int | str | bool]) -> float:
    space, value = waves.space, waves(c)
    free = [j for j, p in enumerate(space.parameters) if isinstance(p, Continuous)]
    for _ in range(6):
        before = value
        for p in space.parameters:
            if not isinstance(p, Continuous):
                choices = p.values if isinstance(p, Categorical) else range(p.low, p.high + 1)
                c = min(({**c, p.name: v} for v in choices), key=waves)
        value = min(value, waves(c))
        if free:
            c, value = _slide(waves, c, free)
        if value > before - 1e-9:
            break
    return value


def _slide(
    waves: Waves, c: dict[str, float | int | str | bool], free: Sequence[int]
) -> tuple[dict[str, float | int | str | bool], float]:
    base = waves.position(c)

    def f(z: np.ndarray) -> float:
        u = base.copy()
        u[list(free)] = z
        return waves.at(u)

    found = minimize(f, base[list(free)], bounds=[(0.0, 1.0)] * len(free))
    names = [waves.space.names[j] for j in free]
    values = [waves.space.parameters[j].from_unit(float(z)) for j, z in zip(free, found.x, strict=True)]
    return {**c, **dict(zip(names, values, strict=True))}, float(found.fun)


def choosing_tasks() -> list[Task]:
    """On these variants of the search were compared."""
    return [
        moved("griewank", "ccccii"),
        moved("styblinski-tang", "llaccc", noise=0.1),
        moved("rastrigin", "cccc"),
        moved("sphere", "clrimc25"),
        moved("ellipsoid", "cccccccc", turned=True),
        moved("shekel", "ccci"),
        moved("ackley", "ccii5", noise=0.05),
        moved("levy", "clrim5"),
        failing(moved("rosenbrock", "ccca")),
        heavy(moved("griewank", "clcl")),
        upside_down(moved("hartmann6", "cccicc", noise=0.1)),
        conditional(3, 1),
        draw("cccccc", 1),
        draw("clrmi5", 2, 2.5),
        draw("cci5tz", 3, noise=0.15),
        failing(moved("styblinski-tang", "cccii2")),
    ]


def confirming_tasks() -> list[Task]:
    """These were only looked at to confirm a choice."""
    return [
        moved("zakharov", "cccccc"),
        moved("powell", "cclrcici"),
        moved("dixon-price", "cllccc", turned=False, noise=0.05),
        moved("camel", "ca"),
        moved("rastrigin", "cci5", noise=0.1),
        moved("hartmann6", "clrccc", turned=True),
        moved("griewank", "ccmm2t"),
        moved("ackley", "cccccccccc"),
        failing(moved("zakharov", "ccc5")),
        failing(moved("dixon-price", "lcci", noise=0.05)),
        heavy(moved("powell", "cccl")),
        upside_down(moved("sphere", "ccrrllmm22tz", noise=0.1)),
        conditional(4, 2),
        draw("ccc", 11, 1.5),
        draw("cccccccc", 12, 2.5),
        draw("lrmt5cc", 13, noise=0.1),
    ]


def many_dimensional_tasks() -> list[Task]:
    """Functions of 16 to 30 parameters."""
    return [
        moved("levy", "cccccllllliiiiirrrrr"),
        moved("sphere", "ccccccllllllmmmmrr2255tz", noise=0.1),
        moved("rosenbrock", "c" * 20),
        moved("styblinski-tang", "cccclllliiii2255"),
        moved("ellipsoid", "c" * 30),
        moved("griewank", "cccccccccciiiii222555tzzt"),
        moved("rastrigin", "c" * 16),
        moved("zakharov", "ccccccccccllllllll", noise=0.05),
    ]
