"""How good a search is for its number of evaluations: ours and the peers', in one run, on the same tasks.

    python -m benchmarks.quality                  # every method that is installed
    python -m benchmarks.quality --quick          # minutes: few tasks, few seeds
    python -m benchmarks.quality --report         # no runs, only the tables

Peers live in an environment of their own (``requirements-peers.txt``); what is not installed is left out and named.
Finished runs are in ``.cache`` and ``kept`` and never run again, unless our own search library has changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import report
from benchmarks.methods import METHODS, SLOW
from benchmarks.results import Results, version_of_ours
from benchmarks.simulate import run
from benchmarks.tasks.sets import SETS, task_set
from benchmarks.tasks.synthetic import synthetic_tasks
from benchmarks.tasks.tables import rows
from benchmarks.tasks.task import Task

EVALUATIONS = 100
BUDGETS = (10, 25, 50, 100)
QUICK_TASKS = frozenset({"branin", "hartmann6", "ackley5", "ackley6-mixed", "hartmann6-mixed-noisy", "svm/digits", "sgd/hard"})
RESULTS_FILE = Path(__file__).parent / "RESULTS.md"


def tasks_of(name: str, args: argparse.Namespace) -> list[Task]:
    """The tasks of a set that are asked for."""
    tasks = [t for t in task_set(name) if not args.quick or t.name in QUICK_TASKS]
    return [t for t in tasks if any(part in t.name for part in args.tasks)] if args.tasks else tasks


def key_of(method: str, task: Task, seed: int, workers: int) -> str:
    """What makes a run the same run: ours also by the library's hash, tables also by their number of rows."""
    version = f"@{version_of_ours('quality')}" if method == "rekindle" else ""
    size = f":{rows(task.name.split('/')[0])}" if "/" in task.name else ""
    return f"{method}{version}|{task.name}{size}|{seed}|{workers}|{EVALUATIONS}"


def installed(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The methods that can be made here, and those that cannot with the reason."""
    task, there, missing = synthetic_tasks()[0], [], []
    for name in names:
        try:
            METHODS[name](task.space, task.direction, 0)
            there.append(name)
        except ImportError as error:
            missing.append(f"{name} ({error})")
    return there, missing


def execute(results: Results, method: str, task: Task, seed: int, workers: int) -> None:
    """One run, unless it is on disk. A peer that raises is recorded as failed, with what it said."""
    key = key_of(method, task, seed, workers)
    if results.get(key) is not None:
        return
    try:
        done = run(task, METHODS[method](task.space, task.direction, seed), seed, EVALUATIONS, workers)
    except Exception as error:
        if method == "rekindle":
            raise
        results.put(key, {"error": f"{type(error).__name__}: {error}"[:300]})
        return
    results.put(key, {"regrets": [round(r, 7) for r in done.regrets], "seconds": round(done.seconds, 3)})


def table(results: Results, methods: Sequence[str], tasks: Sequence[Task], seeds: int, workers: int) -> dict[str, np.ndarray]:
    """For each method with any run: regrets of shape (tasks, seeds, evaluations), nan where a run is missing."""
    found: dict[str, np.ndarray] = {}
    for method in methods:
        curves = np.full((len(tasks), seeds, EVALUATIONS), np.nan)
        for i, task in enumerate(tasks):
            for seed in range(seeds):
                record = results.get(key_of(method, task, seed, workers))
                if record is not None and "regrets" in record:
                    curves[i, seed] = record["regrets"]
        if not np.isnan(curves).all():
            found[method] = curves
    return found


def _run_all(results: Results, methods: Sequence[str], tasks: Sequence[Task], args: argparse.Namespace) -> None:
    for workers in args.workers:
        for seed in range(args.seeds):
            for method in (m for m in methods if seed < (args.slow_seeds if m in SLOW else args.seeds)):
                for task in tasks:
                    execute(results, method, task, seed, workers)
            print(f"workers {workers}: seed {seed} done", flush=True)


def main() -> None:
    """Runs what is missing, then prints the tables and writes them into a section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--tasks", nargs="*", help="parts of task names")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--slow-seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(reversed(SETS)), help="see benchmarks/tasks/sets.py")
    parser.add_argument("--quick", action="store_true", help="few tasks and seeds, 1 worker")
    parser.add_argument("--report", action="store_true", help="run nothing")
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.slow_seeds, args.workers = min(args.seeds, 3), 1, [1]
    sets = {name: tasks_of(name, args) for name in args.sets}
    methods, missing = (args.methods, []) if args.report else installed(args.methods)
    if "confirming" in sets and find_spec("cocoex") is None:
        missing.append("bbob-mixint, whose tasks are left out (coco-experiment)")
    results = Results("quality")
    if not args.report:
        with threadpool_limits(1):
            for tasks in sets.values():
                _run_all(results, methods, tasks, args)
    sections = [
        report.quality_section(name, table(results, methods, tasks, args.seeds, w), [t.name for t in tasks], BUDGETS, w)
        for w in args.workers
        for name, tasks in sets.items()
    ]
    if missing:
        sections.append("Not installed here: " + ", ".join(missing) + ".")
    text = "\n\n".join(sections)
    print(text)
    if not (args.quick or args.tasks):
        # The tables at the top are those of the set on which nothing was chosen; others have a place of their own.
        name = "quality" if args.sets == ["confirming"] else f"quality, {' '.join(args.sets)}"
        report.replace_section(RESULTS_FILE, name, text)


if __name__ == "__main__":
    main()
