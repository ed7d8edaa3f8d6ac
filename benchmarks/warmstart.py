"""How much a search gains from parents, and whether it is ever hurt: ours, simple bars and peers, in one run.

    python -m benchmarks.warmstart
    python -m benchmarks.warmstart --seeds 3 --methods cold rekindle --relations related
    python -m benchmarks.warmstart --timing      # set-up and suggestions with five parents of 5,000 jobs

Shown for each relation of the parents to the child: the evaluations that it takes to reach what the cold search of the
same seed has after 50, regret at 1, 5, 10, 25 and 50, and the difference to the cold search at 25 and 50.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.methods import Method, Optuna, Ours
from benchmarks.quality import RESULTS_FILE
from benchmarks.results import Results, version_of_ours
from benchmarks.simulate import run
from benchmarks.tasks.kin import CHILDREN, Relation, member, parents
from benchmarks.tasks.tables import rows
from benchmarks.tasks.task import Task
from rekindle.search import Continuous, Direction, Parent, Space, Tuner
from rekindle.search.space import Value

EVALUATIONS = 50
#: Regret that counts as reached all the same: on smooth functions a cold search is within 0.0001 of the optimum at 50.
NEAR = 0.01
CASES: tuple[tuple[Relation, int], ...] = (
    ("identical", 1),
    ("related", 1),
    ("related", 3),
    ("related", 5),
    ("narrowed", 1),
    ("unrelated", 1),
    ("unrelated", 3),
    ("negated", 1),
    ("negated", 3),
    ("shuffled", 1),
    ("shuffled", 3),
)


class BestFirst(Ours):
    """The bar: each parent's best configuration first, then their second best, up to ``TRIED``; a cold search with these
    as its first results goes on."""

    TRIED = 5

    def __init__(self, space: Space, direction: Direction, seed: int, kin: Sequence[Parent]) -> None:
        super().__init__(space, direction, seed)
        self.queue: list[dict[str, Value]] = []
        ranked = [sorted((t for t in p.trials if t[1] is not None), key=lambda t: t[1] or 0.0) for p in kin]
        for place in range(self.TRIED):
            for trials in ranked:
                if place < len(trials) and len(self.queue) < max(self.TRIED, len(kin)):
                    self.queue.append(dict(trials[place][0]))
        self.queue = [c for c in self.queue if all(p.contains(c[p.name]) for p in space.parameters)]
        self.queue = self.queue[: len(kin) if len(kin) > 1 else 1]

    def ask(self) -> tuple[Any, dict[str, Value]]:
        if self.queue:
            configuration = self.queue.pop(0)
            return configuration, configuration
        return super().ask()

    def tell(self, handle: Any, value: float | None) -> None:
        if isinstance(handle, dict):
            self.tuner.add(handle, value)
        else:
            super().tell(handle, value)


class Pooled(Ours):
    """Parents' rows as the search's own rows, raw."""

    def __init__(self, space: Space, direction: Direction, seed: int, kin: Sequence[Parent]) -> None:
        super().__init__(space, direction, seed)
        for parent in kin:
            for configuration, value in parent.trials:
                if all(p.contains(configuration[p.name]) for p in space.parameters):
                    self.tuner.add(configuration, value)


def optuna_with_trials(space: Space, direction: Direction, seed: int, kin: Sequence[Parent], sampler: str) -> Method:
    """Optuna with the parents' trials added to its study."""
    made = Optuna(space, direction, seed, sampler)
    for parent in kin:
        for configuration, value in parent.trials:
            if value is not None and all(p.contains(configuration[p.name]) for p in space.parameters):
                made.add(configuration, value)
    return made


Maker = Callable[[Space, Direction, int, Sequence[Parent]], Method]
METHODS: dict[str, Maker] = {
    "cold": lambda s, d, n, kin: Ours(s, d, n),
    "rekindle": lambda s, d, n, kin: Ours(s, d, n, parents=kin),
    "best-first": BestFirst,
    "pooled": Pooled,
    "optuna-tpe-added": lambda s, d, n, kin: optuna_with_trials(s, d, n, kin, "tpe"),
    "optuna-gp-added": lambda s, d, n, kin: optuna_with_trials(s, d, n, kin, "gp"),
}


def key_of(method: str, task: Task, family: str, case: tuple[Relation, int], seed: int) -> str:
    """What makes a run the same run; cold runs do not depend on the case."""
    ours = method in ("cold", "rekindle", "best-first", "pooled")
    size = rows(family) if "/" in task.name else 0
    case_name = "" if method == "cold" else f"{case[0]}{case[1]}"
    return f"{method}{'@' + version_of_ours() if ours else ''}|{task.name}:{size}|{case_name}|{seed}|{EVALUATIONS}"


def execute(results: Results, method: str, child: tuple[str, str], case: tuple[Relation, int], seed: int) -> list[float]:
    """Regrets of one run, from disk if it is there."""
    task = member(*child)
    key = key_of(method, task, child[0], case, seed)
    record = results.get(key)
    if record is None:
        kin = () if method == "cold" else parents(*child, case[0], case[1], seed)
        done = run(task, METHODS[method](task.space, task.direction, seed, kin), seed, EVALUATIONS)
        results.put(key, {"regrets": [round(r, 7) for r in done.regrets], "seconds": round(done.seconds, 3)})
        record = results.get(key)
    assert record is not None
    return record["regrets"]  # type: ignore[return-value]


def reached(regrets: np.ndarray, goal: float) -> float:
    """After how many evaluations a run is as good as ``goal``; one more than it has when it never is."""
    hits = np.flatnonzero(regrets <= goal + 1e-9)
    return float(hits[0] + 1) if len(hits) else float(len(regrets) + 1)


def parents_best(child: tuple[str, str], case: tuple[Relation, int], seed: int) -> float:
    """Regret of the best configuration that the parents hold, by the child's own objective, among those that the
    parents themselves scored best."""
    task, best = member(*child), 1.0
    for parent in parents(*child, case[0], case[1], seed):
        known = [t for t in parent.trials if t[1] is not None]
        value = task.truth(min(known, key=lambda t: t[1] or 0.0)[0])
        best = best if value is None else min(best, task.regret(value))
    return best


def summary(found: dict[str, np.ndarray], first: np.ndarray) -> str:
    """One table: a line for each method. ``found``: (children x seeds, evaluations); ``first``: the parents' best (same)."""
    cold = found["cold"]
    rng = np.random.default_rng(0)
    lines = []
    for method, regrets in found.items():
        needed = np.array([reached(r, c[-1]) for r, c in zip(regrets, cold, strict=True)])
        cells = [method, f"{np.median(needed):.0f} ({np.quantile(needed, 0.25):.0f}-{np.quantile(needed, 0.75):.0f})"]
        near = np.array([reached(r, c[-1] + NEAR) for r, c in zip(regrets, cold, strict=True)])
        cells.append(f"{np.median(near):.0f} ({np.quantile(near, 0.25):.0f}-{np.quantile(near, 0.75):.0f})")
        cells += [f"{regrets[:, n - 1].mean():.3f}" for n in (1, 5, 10, 25, 50)]
        for n in (25, 50):
            gap = regrets[:, n - 1] - cold[:, n - 1]
            drawn = gap[rng.integers(0, len(gap), (2000, len(gap)))].mean(axis=1)
            low, high = np.quantile(drawn, [0.025, 0.975])
            cells.append(f"{gap.mean():+.3f} ({low:+.3f} to {high:+.3f})")
        cells.append(f"{np.mean(regrets[:, 0] <= first + 1e-6):.0%}")
        lines.append(cells)
    header = [
        "method",
        "to cold@50",
        f"to within {NEAR} of it",
        "1",
        "5",
        "10",
        "25",
        "50",
        "minus cold at 25",
        "minus cold at 50",
        "first >= parents' best",
    ]
    return report.markdown(header, lines)


def timing() -> str:
    """Set-up and suggestions with five parents of 5,000 jobs in ten dimensions."""
    space = Space([Continuous(f"x{i}", 0, 1, scaling="Linear") for i in range(10)])
    rng = np.random.default_rng(0)
    lines = []
    for kind in ("transfer", "identical"):
        kin: list[Parent] = []
        for i in range(5):
            rows_ = [space.decode(rng.random(10)) for _ in range(5000)]
            kin.append(Parent(space, [(c, sum((float(v) - 0.3) ** 2 for v in c.values())) for c in rows_], kind, f"p{i}"))
        tuner, spent = Tuner(space, seed=0, parents=kin), []
        for _ in range(30):
            start = time.process_time()
            trial = tuner.ask()
            spent.append(time.process_time() - start)
            tuner.tell(trial.id, sum((float(v) - 0.3) ** 2 for v in trial.values.values()))
        name = f"5 {kind} parents of 5,000 trials"
        lines.append([name, f"{spent[0]:.2f} s", f"{1e3 * np.median(spent[1:]):.0f} ms", f"{1e3 * max(spent[1:]):.0f} ms"])
    return report.markdown(["10 dimensions, CPU time", "set-up and first suggestion", "median of the next 29", "worst"], lines)


def main() -> None:
    """Runs what is missing, then prints the tables and writes them into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--relations", nargs="*", help="e.g. related or related3")
    parser.add_argument("--children", nargs="*", help="families")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    args = parser.parse_args()
    if args.timing:
        print(timing())
        return
    cases = [c for c in CASES if not args.relations or c[0] in args.relations or f"{c[0]}{c[1]}" in args.relations]
    children = [c for c in CHILDREN if not args.children or c[0] in args.children]
    results = Results("warmstart")
    methods = ["cold", *[m for m in args.methods if m != "cold"]]
    sections = []
    for case in cases:
        pairs = [(c, s) for s in range(args.seeds) for c in children]
        found = {m: np.array([execute(results, m, c, case, s) for c, s in pairs]) for m in methods}
        first = np.array([parents_best(c, case, s) for c, s in pairs])
        sections.append(
            f"### {case[0]}, {case[1]} parent{'s' * (case[1] > 1)} ({len(children)} children, {args.seeds} seeds)\n\n"
            + summary(found, first)
        )
        print(sections[-1], flush=True)
    if args.write:
        report.replace_section(RESULTS_FILE, "warm start", "\n\n".join([*sections, "### Speed\n\n" + timing()]))


if __name__ == "__main__":
    main()
