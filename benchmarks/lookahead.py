"""Compares variants of our own search by their next few suggestions, from histories that none of them made.

    PYTHONPATH=VARIANT/src python -m benchmarks.lookahead run NAME
    python -m benchmarks.lookahead report BASE NAME ...

A whole search of 50 evaluations differs from the next by 0.2 in regret by luck alone, so that two variants cannot be told apart
in minutes. Here each gets the same history (12, 20 or 35 results of a search that goes ever closer around its best) and makes
``STEPS`` suggestions; what counts is the regret after them. That is one tenth of the cost at a third of the spread. It says
little about how a search explores, so a variant that wins here still has to hold in whole searches (``benchmarks.ablation``).

``--tasks first`` takes half a minute of one core (81 looks). The same code under another name differs by nothing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.report import markdown
from benchmarks.results import Results
from benchmarks.tasks.kin import results as searched
from benchmarks.tasks.sets import SETS, task_set
from benchmarks.tasks.task import Task
from rekindle.search import Tuner
from rekindle.search.space import Configuration

LENGTHS = (12, 20, 35)
STEPS = 4
_LEAST = 1e-3


def history(task: Task, n: int, seed: int) -> list[tuple[Configuration, float | None]]:
    """``n`` results of a local search; odd numbers make ``kin.results`` search so."""
    odd = 2 * (crc32(task.name.encode()) % 500) + 1000 * n + 1_000_000 * seed + 1
    if task.direction == "minimize":
        return searched(task, n, odd)
    # ``kin.results`` takes less for better.
    rows = searched(replace(task.negated(), direction="minimize"), n, odd)
    return [(c, None if v is None else -v) for c, v in rows]


def look(task: Task, n: int, seed: int) -> tuple[float, float]:
    """Regret of the best configuration before and after the suggestions."""
    tuner = Tuner(task.space, "bayesian", task.direction, seed=1000 * seed + n)
    noise, best = np.random.default_rng([seed, n, 5]), 1.0
    for configuration, value in history(task, n, seed):
        tuner.add(configuration, value)
        best = min(best, _regret(task, configuration))
    before = best
    for _ in range(STEPS):
        trial = tuner.ask()
        value = task.observe(trial.values, noise)
        tuner.tell(trial.id, math.nan if value is None else value)
        best = min(best, _regret(task, trial.values))
    return before, best


def _regret(task: Task, configuration: Configuration) -> float:
    truth = task.truth(configuration)
    return 1.0 if truth is None else task.regret(truth)


def key_of(variant: str, task: Task, n: int, seed: int) -> str:
    """What makes a look the same."""
    return f"{variant}|{task.name}|{n}|{seed}"


def run_variant(kept: Results, variant: str, tasks: Sequence[Task], seeds: Sequence[int]) -> None:
    """Every missing look of a variant."""
    for seed in seeds:
        for task in tasks:
            for n in LENGTHS:
                key = key_of(variant, task, n, seed)
                if kept.get(key) is None:
                    before, after = look(task, n, seed)
                    kept.put(key, {"before": round(before, 7), "after": round(after, 7)})


def _pairs(kept: Results, base: str, variant: str, task: Task) -> np.ndarray:
    """Regrets after the suggestions of both, shape (looks in common, 2)."""
    both = [[kept.get(key_of(v, task, n, seed)) for v in (base, variant)] for n in LENGTHS for seed in range(100)]
    return np.array([[float(str(r["after"])) for r in pair if r] for pair in both if all(pair)]).reshape(-1, 2)


def line(kept: Results, base: str, variant: str, tasks: Sequence[Task]) -> list[str]:
    """Mean regret of both, the difference with its interval (bootstrap over tasks), of the logarithm too, wins and losses."""
    blocks = [pairs for task in tasks if len(pairs := _pairs(kept, base, variant, task))]
    rng = np.random.default_rng(0)
    means = np.array([b.mean(axis=0) for b in blocks])
    logs = np.array([np.diff(np.log10(np.maximum(b, _LEAST)).mean(axis=0))[0] for b in blocks])
    change = means[:, 1] - means[:, 0]
    samples = [change[rng.integers(0, len(change), len(change))].mean() for _ in range(2000)]
    low, high = np.quantile(samples, [0.025, 0.975])
    differences = np.diff(np.concatenate(blocks), axis=1)
    wins = f"{np.mean(differences < -1e-3):.2f} / {np.mean(differences > 1e-3):.2f}"
    a, b = means.mean(axis=0)
    interval = f"{b - a:+.4f} ({low:+.3f} to {high:+.3f})"
    return [variant, str(len(differences)), f"{a:.4f}", f"{b:.4f}", interval, f"{logs.mean():+.3f}", wins]


def main() -> None:
    """Runs a variant, or reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--tasks", nargs="*", choices=SETS, default=["choosing", "first"])
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 1], help="from, up to but without")
    args = parser.parse_args()
    tasks, kept = [t for name in args.tasks for t in task_set(name)], Results("lookahead")
    if args.what == "run":
        with threadpool_limits(1):
            run_variant(kept, args.variants[0], tasks, range(*args.seeds))
        return
    header = ["variant", "looks", args.variants[0], "variant's", "difference", "log10", "won / lost"]
    print(markdown(header, [line(kept, args.variants[0], v, tasks) for v in args.variants[1:]]))


if __name__ == "__main__":
    main()
