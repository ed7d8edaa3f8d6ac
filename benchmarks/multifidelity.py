"""How soon a search that may stop its trials is as good as random search in the end: ours and the peers', on the same curves.

    python -m benchmarks.multifidelity                        # every method that is installed
    python -m benchmarks.multifidelity --methods random "rekindle hyperband, bayesian" --seeds 5 --workers 1
    python -m benchmarks.multifidelity --set fresh            # on curves that nothing was chosen on
    python -m benchmarks.multifidelity --median               # what the median rule saves, trial for trial
    python -m benchmarks.multifidelity --report               # no runs, only the tables

Learning curves are recorded (``tasks/make_curves``), the clock and the workers simulated: an epoch takes what it took, in mean
epochs of the task. Peers live in an environment of their own (``pip install optuna syne-tune huggingface_hub ray xgboost
scikit-learn pandas pyarrow``, run with ``PYTHONPATH=.:src``). Finished runs are kept in ``.cache`` and never run again, unless
our own search library has changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.curve_methods import METHODS
from benchmarks.report import markdown, replace_section
from benchmarks.results import Results, version_of_ours
from benchmarks.simulate_curves import Trace, run
from benchmarks.tasks.curve_families import EPOCHS, TASKS
from benchmarks.tasks.curves import CurveTask, curve_tasks

#: Shares of the epochs at which the regret is told.
SHARES = (0.125, 0.25, 0.5, 1.0)
#: Trials of one run of the median rule's comparison.
TRIALS = 60
BOOTSTRAPS = 1000
#: The part of the results that each set's tables go to.
SECTIONS = {"choosing": "multifidelity", "fresh": "fresh curves"}
RESULTS_FILE = Path(__file__).parent / "RESULTS-multifidelity.md"

Record = dict[str, object]


def key_of(method: str, task: CurveTask, seed: int, workers: int, budget: str) -> str:
    """What makes a run the same run: ours also by the library's hash."""
    version = f"@{version_of_ours('multifidelity')}" if method.startswith("rekindle") else ""
    return f"{method}{version}|{task.name}:{len(task.curves)}|{seed}|{workers}|{budget}"


def budget_name(trainings: int | None) -> str:
    """How long a run is, for its key."""
    return f"{TRIALS} trials" if trainings is None else f"{trainings} trainings"


def execute(results: Results, method: str, task: CurveTask, seed: int, workers: int, trainings: int | None) -> None:
    """One run, unless it is on disk, over the epochs of so many full trainings (None: over ``TRIALS`` trials). A peer that
    raises is recorded as failed, with what it said."""
    key = key_of(method, task, seed, workers, budget_name(trainings))
    if results.get(key) is not None:
        return
    epochs, trials = (10**9, TRIALS) if trainings is None else (trainings * EPOCHS, 10**9)
    try:
        trace = run(task, METHODS[method](task.space, seed), workers, epochs, trials)
    except Exception as error:
        if method.startswith("rekindle"):
            raise
        results.put(key, {"error": f"{type(error).__name__}: {error}"[:300]})
        return
    results.put(key, _record(task, trace))


def _record(task: CurveTask, trace: Trace) -> Record:
    found = [(round(t, 3), e, round(task.regret(v), 6)) for t, e, v in trace.improvements]
    facts = {"trials": trace.trials, "stopped": trace.stopped, "epochs": trace.epochs, "clock": round(trace.clock, 3)}
    return {"improvements": found, "seconds": round(trace.seconds, 3), **facts}


def regret_at(record: Record, epochs: float) -> float:
    """The regret of the best value reported within so many epochs; 1 before the first."""
    return min([r for _, e, r in record["improvements"] if e <= epochs], default=1.0)  # type: ignore[attr-defined]


def time_to(record: Record, target: float) -> float:
    """When a regret was reached, in mean epochs; the end of the run where it was not."""
    reached = [t for t, _, r in record["improvements"] if r <= target + 1e-9]  # type: ignore[attr-defined]
    return float(min(reached, default=record["clock"]))


def table(
    results: Results, tasks: Sequence[CurveTask], seeds: int, workers: int, trainings: int
) -> dict[str, list[list[Record]]]:
    """For each method the finished runs by task; methods that lack a task, or any seed on it, are left out."""
    found: dict[str, list[list[Record]]] = {}
    for method in METHODS:
        records = [[results.get(key_of(method, t, s, workers, budget_name(trainings))) for s in range(seeds)] for t in tasks]
        known = [[r for r in row if r is not None and "improvements" in r] for row in records]
        if all(known):
            found[method] = known
    return found


def section(found: Mapping[str, list[list[Record]]], workers: int, trainings: int) -> str:
    """Regrets at equal epochs and the time to random search's final value, with bootstrap intervals over tasks and seeds."""
    if "random" not in found:
        return f"No runs of random search with {workers} worker(s)."
    targets = [float(np.median([regret_at(r, np.inf) for r in row])) for row in found["random"]]
    whole = [float(np.mean([float(r["clock"]) for r in row])) for row in found["random"]]  # type: ignore[arg-type]
    lines = []
    for method, by_task in found.items():
        regrets = [np.array([[regret_at(r, s * trainings * EPOCHS) for s in SHARES] for r in row]) for row in by_task]
        times = [np.array([[time_to(r, t) / w] for r in row]) for row, t, w in zip(by_task, targets, whole, strict=True)]
        both = [np.hstack([r, t]) for r, t in zip(regrets, times, strict=True)]
        mean = np.mean([b.mean(axis=0) for b in both], axis=0)
        low, high = np.quantile(_bootstrap(both), [0.025, 0.975], axis=0)
        cells = [f"{m:.3f} ({a:.3f}-{b:.3f})" for m, a, b in zip(mean, low, high, strict=True)]
        trials = np.mean([float(r["trials"]) for row in by_task for r in row])  # type: ignore[arg-type]
        seconds = np.mean([float(r["seconds"]) for row in by_task for r in row])  # type: ignore[arg-type]
        lines.append((mean[-1], [method, str(min(map(len, by_task))), *cells, f"{trials:.0f}", f"{seconds:.1f}"]))
    header = ["method", "seeds", *[f"regret at {s:g}" for s in SHARES], "time to random's final value", "trials", "s thinking"]
    body = markdown(header, [cells for _, cells in sorted(lines, key=lambda line: line[0])])
    return f"### {workers} worker{'s' * (workers > 1)}, {trainings} x {EPOCHS} epochs\n\n{body}"


def _bootstrap(by_task: Sequence[np.ndarray]) -> np.ndarray:
    """Means with tasks and seeds drawn again, shape (samples, columns)."""
    rng, samples = np.random.default_rng(0), []
    for _ in range(BOOTSTRAPS):
        picked = rng.integers(0, len(by_task), len(by_task))
        drawn = [by_task[i][rng.integers(0, len(by_task[i]), len(by_task[i]))].mean(axis=0) for i in picked]
        samples.append(np.mean(drawn, axis=0))
    return np.array(samples)


def median_section(results: Results, tasks: Sequence[CurveTask], seeds: int) -> str:
    """What the median rule saves when as many trials are run with it as without, from the same seeds."""
    lines = []
    for plain, ruled in (("random", "rekindle random, median rule"), ("rekindle bayesian", "rekindle bayesian, median rule")):
        saved, change = [], []
        for task in tasks:
            for seed in range(seeds):
                a, b = (results.get(key_of(m, task, seed, 1, budget_name(None))) for m in (plain, ruled))
                if a is not None and b is not None:
                    saved.append(1 - float(b["epochs"]) / float(a["epochs"]))  # type: ignore[arg-type]
                    change.append(regret_at(b, np.inf) - regret_at(a, np.inf))
        if saved:
            error = np.std(change) / max(len(change) - 1, 1) ** 0.5
            share = f"{np.mean(saved):.0%} ({np.min(saved):.0%} to {np.max(saved):.0%})"
            lines.append([plain, str(len(saved)), share, f"{np.mean(change):+.3f} ± {error:.3f}"])
    header = ["search", "pairs of runs", "epochs saved (least to most)", "change of the final regret"]
    return f"### The median rule, {TRIALS} trials with it and without\n\n{markdown(header, lines)}"


def main() -> None:
    """Runs what is missing, then prints the tables and writes them into RESULTS-multifidelity.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trainings", type=int, default=20, help="epochs of a run, in full trainings")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--set", choices=list(TASKS), default="choosing", help="which curves")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the names of the tasks to run and tell of")
    parser.add_argument("--median", action="store_true", help="run the comparison of the median rule instead")
    parser.add_argument("--report", action="store_true", help="run nothing")
    args = parser.parse_args()
    tasks = [t for t in curve_tasks(args.set) if any(part in t.name for part in args.only)]
    results = Results("multifidelity")
    if not args.report:
        with threadpool_limits(1):
            _run_all(results, tasks, args)
    text = "\n\n".join([section(table(results, tasks, args.seeds, w, args.trainings), w, args.trainings) for w in args.workers])
    if args.set == "choosing":
        text += "\n\n" + median_section(results, tasks, args.seeds)
    print(text)
    replace_section(RESULTS_FILE, SECTIONS[args.set], text)


def _run_all(results: Results, tasks: Sequence[CurveTask], args: argparse.Namespace) -> None:
    names = ["random", "rekindle random, median rule", "rekindle bayesian", "rekindle bayesian, median rule"]
    for workers in [1] if args.median else args.workers:
        for seed in range(args.first_seed, args.seeds):
            for method in [n for n in names if n in args.methods] if args.median else args.methods:
                for task in tasks:
                    execute(results, method, task, seed, workers, None if args.median else args.trainings)
            print(f"workers {workers}: seed {seed} done", flush=True)


if __name__ == "__main__":
    main()
