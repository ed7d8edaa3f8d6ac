"""Compares variants of our own search, paired by task and seed.

    PYTHONPATH=VARIANT/src python -m benchmarks.ablation run NAME --tasks choosing --seeds 3
    python -m benchmarks.ablation report BASE NAME ...

A variant is a copy of ``src`` with something changed. Runs are kept in ``.cache`` by the variant's name and continue where they
were stopped. The sets of tasks are those of ``benchmarks.tasks.sets``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.methods import Ours
from benchmarks.report import markdown
from benchmarks.results import Results
from benchmarks.simulate import run
from benchmarks.tasks.sets import SETS, task_set
from benchmarks.tasks.task import Task

EVALUATIONS = 50
#: Regrets below this count as this when their logarithm is taken.
_LEAST = 1e-3


def key_of(variant: str, task: Task, seed: int, workers: int) -> str:
    """What makes a run the same run."""
    return f"{variant}|{task.name}|{seed}|{workers}|{EVALUATIONS}"


def run_variant(results: Results, variant: str, tasks: Sequence[Task], seeds: Sequence[int], workers: int) -> None:
    """Every missing run of a variant."""
    for seed in seeds:
        for task in tasks:
            key = key_of(variant, task, seed, workers)
            if results.get(key) is None:
                began = time.process_time()
                done = run(task, Ours(task.space, task.direction, seed), seed, EVALUATIONS, workers)
                spent = round(time.process_time() - began, 3)
                results.put(key, {"regrets": [round(r, 7) for r in done.regrets], "seconds": spent})


def pairs(results: Results, base: str, variant: str, tasks: Sequence[Task], workers: int) -> dict[str, np.ndarray]:
    """For each task the curves of both, shape (seeds in common, 2, evaluations)."""
    found: dict[str, np.ndarray] = {}
    for task in tasks:
        both = [[results.get(key_of(v, task, seed, workers)) for v in (base, variant)] for seed in range(100)]
        curves = [[r["regrets"] for r in pair if r] for pair in both if all(pair)]
        if curves:
            found[task.name] = np.array(curves, dtype=float)
    return found


def line(found: dict[str, np.ndarray], at: int, rng: np.random.Generator) -> list[str]:
    """Means of both, their difference with its bootstrap interval over tasks and seeds, of the logarithm too, and how often
    the variant won."""
    blocks = [c[:, :, at - 1] for c in found.values()]
    means = np.array([b.mean(axis=0) for b in blocks])
    logs = np.array([np.log10(np.maximum(b, _LEAST)).mean(axis=0) for b in blocks])
    samples = []
    for _ in range(1000):
        drawn = [blocks[i] for i in rng.integers(0, len(blocks), len(blocks))]
        samples.append(np.mean([np.diff(b[rng.integers(0, len(b), len(b))].mean(axis=0))[0] for b in drawn]))
    low, high = np.quantile(samples, [0.025, 0.975])
    differences = np.concatenate([np.diff(b, axis=1)[:, 0] for b in blocks])
    wins = f"{np.mean(differences < -1e-4):.2f}/{np.mean(differences > 1e-4):.2f}"
    change = f"{np.diff(means.mean(axis=0))[0]:+.4f} ({low:+.3f} to {high:+.3f})"
    return [f"{means[:, 0].mean():.4f}", f"{means[:, 1].mean():.4f}", change, f"{np.diff(logs.mean(axis=0))[0]:+.3f}", wins]


def report(results: Results, base: str, variants: Sequence[str], tasks: Sequence[Task], workers: int, detail: bool) -> None:
    """Prints how each variant does beside ``base``."""
    rng, lines = np.random.default_rng(0), []
    for variant in variants:
        found = pairs(results, base, variant, tasks, workers)
        for at in (10, 25, 50) if found else ():
            count = f"{len(found)} x {min(map(len, found.values()))}-{max(map(len, found.values()))}"
            lines.append([variant, count, str(at), *line(found, at, rng)])
        if detail:
            for name, c in found.items():
                print(
                    f"{name:45s} {variant:20s} {len(c)} "
                    + " ".join(f"{v:.3f}" for v in c[:, :, [9, 24, 49]].mean(axis=0).T.ravel())
                )
    header = ["variant", "tasks x seeds", "at", base, "variant", "difference", "log10", "won/lost"]
    print(markdown(header, lines))


def main() -> None:
    """Runs a variant, or reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--tasks", nargs="*", choices=SETS, default=["choosing"])
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 3], help="from, up to but without")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="parts of task names")
    parser.add_argument("--detail", action="store_true")
    args = parser.parse_args()
    tasks = [t for name in args.tasks for t in task_set(name)]
    tasks = [t for t in tasks if any(part in t.name for part in args.only)] if args.only else tasks
    results = Results("ablation")
    if args.what == "run":
        with threadpool_limits(1):
            run_variant(results, args.variants[0], tasks, range(*args.seeds), args.workers)
    else:
        report(results, args.variants[0], args.variants[1:], tasks, args.workers, args.detail)


if __name__ == "__main__":
    main()
