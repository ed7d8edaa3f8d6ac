"""Time of one suggestion, one thread: ours and the peers that are installed.

    python -m benchmarks.latency                  # prints a markdown table
    python -m benchmarks.latency --sizes 10 100

Each figure is over suggestions for different histories of the same length on ten continuous parameters: random points
with the values of a noisy quadratic. The caches that a running search would have are cold. A peer gets the same rows
through its own ask and tell, and is left out beyond ``--peer-limit`` rows.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from rekindle.search import Continuous, Space, Tuner  # noqa: E402

SIZES = (10, 100, 300, 1000, 10_000)
D = 10
Row = tuple[dict[str, float], float]


def space() -> Space:
    """Ten continuous parameters on a linear scale."""
    return Space([Continuous(f"x{i}", 0.0, 1.0, scaling="Linear") for i in range(D)])


def rows(n: int, seed: int) -> list[Row]:
    """Random points with a noisy quadratic's values."""
    rng = np.random.default_rng([n, seed])
    x = rng.random((n, D))
    y = np.sum((x[:, :5] - 0.4) ** 2, axis=1) + 0.01 * rng.standard_normal(n)
    return [({f"x{i}": float(v) for i, v in enumerate(row)}, float(value)) for row, value in zip(x, y, strict=True)]


def ours(n: int, pending: int, seed: int) -> Callable[[], Any]:
    """A suggestion by Rekindle."""
    tuner = Tuner(space(), strategy="bayesian", seed=seed)
    for configuration, value in rows(n + pending, seed)[:n]:
        tuner.add(configuration, value)
    for _ in range(pending):
        tuner.ask()
    return tuner.ask


def optuna(sampler: str, n: int, pending: int, seed: int) -> Callable[[], Any]:
    """A suggestion by one of Optuna's samplers."""
    import optuna as o

    if sampler == "gp":
        # Its first suggestions are random and would not miss it.
        import torch

        torch.set_num_threads(1)
    o.logging.set_verbosity(o.logging.ERROR)
    made = {"tpe": o.samplers.TPESampler, "gp": o.samplers.GPSampler}[sampler](seed=seed)
    study = o.create_study(sampler=made)
    distributions = {f"x{i}": o.distributions.FloatDistribution(0.0, 1.0) for i in range(D)}
    study.add_trials([o.trial.create_trial(params=c, distributions=distributions, value=v) for c, v in rows(n, seed)])
    for _ in range(pending):
        study.ask(distributions)
    return lambda: study.ask(distributions)


METHODS: dict[str, Callable[[int, int, int], Callable[[], Any]]] = {
    "rekindle": ours,
    "optuna-tpe": lambda n, p, s: optuna("tpe", n, p, s),
    "optuna-gp": lambda n, p, s: optuna("gp", n, p, s),
}


def measure(
    make: Callable[[int, int, int], Callable[[], Any]], n: int, pending: int, repeats: int
) -> tuple[list[float], list[float]]:
    """Wall and processor milliseconds of ``repeats`` suggestions."""
    wall, cpu = [], []
    for seed in range(repeats):
        ask = make(n, pending, seed)
        started, used = time.perf_counter(), time.process_time()
        ask()
        wall.append(1e3 * (time.perf_counter() - started))
        cpu.append(1e3 * (time.process_time() - used))
    return wall, cpu


def installed(names: Sequence[str]) -> list[str]:
    """Those of the named methods that can be imported here."""
    there = []
    for name in names:
        try:
            METHODS[name](1, 0, 0)()
            there.append(name)
        except ImportError:
            print(f"{name}: not installed")
    return there


def line(name: str, n: int, pending: int, wall: Sequence[float], cpu: Sequence[float], ours: float) -> str:
    """One row of the table; ``ours`` is the median processor time of Rekindle's suggestion there."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = f"{np.median(wall):.0f} | {np.quantile(wall, 0.95):.0f} | {max(wall):.0f} | {np.median(cpu):.0f}"
    return f"| {name} | {n} | {pending} | {figures} | {np.median(cpu) / ours:.1f} | {memory:.0f} |"


def rows_at(n: int, pending: int, methods: Sequence[str], args: argparse.Namespace) -> Iterator[str]:
    """The rows of every method at one length of history; ours first."""
    own = math.nan
    for name in methods:
        if name == "rekindle" or n <= args.peer_limit:
            wall, cpu = measure(METHODS[name], n, pending, args.repeats if name == "rekindle" else min(args.repeats, 5))
            own = float(np.median(cpu)) if name == "rekindle" else own
            yield line(name, n, pending, wall, cpu, own)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--pending", type=int, nargs="*", default=[0, 20])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--peer-limit", type=int, default=1000)
    args = parser.parse_args()
    methods = installed(args.methods)
    print("| method | observations | pending | p50 ms | p95 ms | max ms | p50 CPU ms | times rekindle's CPU | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n in args.sizes:
        for pending in args.pending:
            for row in rows_at(n, pending, methods, args):
                print(row, flush=True)


if __name__ == "__main__":
    main()
