"""How much a search gains from parents, and whether it is ever hurt: ours, simple bars and peers, in one run.

    python -m benchmarks.warmstart
    python -m benchmarks.warmstart --seeds 3 --methods cold rekindle --relations related
    python -m benchmarks.warmstart --half B --seeds 20 --spread 4 --evaluations 25
    python -m benchmarks.warmstart --timing      # five parents of 5,000 jobs; three of 100 beside a cold search

``--spread K``: each seed runs every K-th child only, in turn. ``--evaluations N``: all but the cold search end after N.

Shown for each relation of the parents to the child: the evaluations that it takes to reach what the cold search of the
same seed has after 50, regret at 1, 5, 10, 25 and 50, and the difference to the cold search at 25 and 50.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.methods import Method, Optuna, Ours, logarithmic, native
from benchmarks.quality import RESULTS_FILE
from benchmarks.results import Results, version_of_ours
from benchmarks.simulate import run
from benchmarks.tasks.kin import CHILDREN, HALF_A, HALF_B, Relation, member, parents
from benchmarks.tasks.tables import rows
from benchmarks.tasks.task import Task
from rekindle.search import Categorical, Continuous, Direction, Integer, Parent, Space, Tuner
from rekindle.search.space import Configuration, Parameter, Value

EVALUATIONS = 50
HALVES = {None: CHILDREN, "A": HALF_A, "B": HALF_B}
#: Regret that counts as reached all the same: on smooth functions a cold search is within 0.0001 of the optimum at 50.
NEAR = 0.01
CASES: tuple[tuple[Relation, int], ...] = (
    ("identical", 1),
    ("related", 1),
    ("related", 3),
    ("related", 5),
    ("elsewhere", 3),
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


class SyneTune:
    """Syne Tune's transfer schedulers, asked one configuration at a time. It knows no failures: they count as the worst value.

    ``bounding-box``: conformal quantile regression inside the box of the parents' best. ``zero-shot``: the list of
    configurations that covers the parents best, by surrogates (its scheduler's ``get_config``: in 0.16 ``suggest`` does not
    ask it). ``quantile``: Thompson sampling from a quantile regression over the parents.
    """

    def __init__(self, space: Space, direction: Direction, seed: int, kin: Sequence[Parent], scheduler: str) -> None:
        import contextlib
        import io
        import logging

        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        np.random.seed(seed)
        self.space, self.direction = space, direction
        self.domains = {p.name: self.domain(p) for p in space.parameters}
        evaluations = {f"{i}": self.evaluations(p) for i, p in enumerate(kin)}
        with contextlib.redirect_stdout(io.StringIO()):
            self.propose, self.ended = self.make(scheduler, evaluations, seed)
        self.worst: float | None = None
        self.count = 0

    def make(
        self, scheduler: str, evaluations: dict[str, Any], seed: int
    ) -> tuple[Callable[[], Any], Callable[[Any, float], None]]:
        """How to ask, and how to tell."""
        from syne_tune.optimizer.baselines import CQR
        from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler
        from syne_tune.optimizer.schedulers.single_objective_scheduler import SingleObjectiveScheduler
        from syne_tune.optimizer.schedulers.transfer_learning.bounding_box import BoundingBox
        from syne_tune.optimizer.schedulers.transfer_learning.quantile_based.quantile_based_searcher import (
            QuantileBasedSurrogateSearcher,
        )

        if scheduler == "zero-shot":
            zero = zero_shot(self.domains, evaluations, seed)
            return zero.get_config, lambda trial, loss: None
        if scheduler == "quantile":
            searcher = QuantileBasedSurrogateSearcher(self.domains, evaluations, random_seed=seed)
            made = SingleObjectiveScheduler(self.domains, "loss", searcher=searcher, random_seed=seed)
        else:

            def inside(domains: Any, metric: str, minimise: bool, seed: int) -> Any:
                return CQR(domains, metric, do_minimize=minimise, random_seed=seed)

            made = BoundingBox(inside, self.domains, "loss", evaluations, random_seed=seed)
        asked = AskTellScheduler(made)
        return asked.ask, lambda trial, loss: asked.tell(trial, {"loss": loss})

    def domain(self, p: Parameter) -> Any:
        """A parameter as Syne Tune writes it."""
        from syne_tune import config_space as cs

        match p:
            case Categorical():
                return cs.choice([str(v) for v in p.values])
            case Integer():
                return (cs.lograndint if logarithmic(p) else cs.randint)(p.low, p.high)
            case _:
                return (cs.loguniform if logarithmic(p) else cs.uniform)(p.low, p.high)

    def evaluations(self, parent: Parent) -> Any:
        """A parent's results inside the ranges, as Syne Tune's table."""
        import pandas as pd
        from syne_tune.optimizer.schedulers.transfer_learning.transfer_learning_task_evaluation import (
            TransferLearningTaskEvaluations,
        )

        categorical = {p.name for p in self.space.parameters if isinstance(p, Categorical)}
        rows_ = [
            (c, v) for c, v in parent.trials if v is not None and all(p.contains(c[p.name]) for p in self.space.parameters)
        ]
        table = pd.DataFrame([{n: str(v) if n in categorical else v for n, v in c.items()} for c, _ in rows_])
        values = np.array([v for _, v in rows_], dtype=float).reshape(-1, 1, 1, 1)
        return TransferLearningTaskEvaluations(self.domains, table, ["loss"], values)

    def ask(self) -> tuple[Any, dict[str, Value]]:
        trial = self.propose()
        if trial is None:
            return None, self.space.decode(np.random.random(len(self.space)))
        found = trial if isinstance(trial, dict) else trial.config
        return trial, {p.name: native(p, found[p.name]) for p in self.space.parameters}

    def tell(self, handle: Any, value: float | None) -> None:
        loss = (self.worst or 0.0) if value is None else value
        self.worst = loss if self.worst is None else max(self.worst, loss)
        if handle is not None:
            self.ended(handle, loss)


def zero_shot(domains: dict[str, Any], evaluations: dict[str, Any], seed: int) -> Any:
    """Syne Tune's zero-shot list. In 0.16 it draws its candidates before it has a generator, and would draw others for each
    parent, though it ranks them by their place: here each parent's surrogate rates the same candidates."""
    from syne_tune.optimizer.schedulers.transfer_learning.zero_shot import ZeroShotTransfer

    class Mended(ZeroShotTransfer):  # type: ignore[misc]
        def _create_surrogate_transfer_learning_evaluations(self, space: Any, tasks: Any, metric: str) -> Any:
            made: dict[str, Any] = {}
            for name, task in tasks.items():
                self.random_state = np.random.RandomState(seed)
                made |= super()._create_surrogate_transfer_learning_evaluations(space, {name: task}, metric)
            return made

    return Mended(domains, "loss", evaluations, use_surrogates=True, random_seed=seed)


Maker = Callable[[Space, Direction, int, Sequence[Parent]], Method]
METHODS: dict[str, Maker] = {
    "cold": lambda s, d, n, kin: Ours(s, d, n),
    "rekindle": lambda s, d, n, kin: Ours(s, d, n, parents=kin),
    "best-first": BestFirst,
    "pooled": Pooled,
    "optuna-tpe-added": lambda s, d, n, kin: optuna_with_trials(s, d, n, kin, "tpe"),
    "optuna-gp-added": lambda s, d, n, kin: optuna_with_trials(s, d, n, kin, "gp"),
    "syne-bounding-box": lambda s, d, n, kin: SyneTune(s, d, n, kin, "bounding-box"),
    "syne-zero-shot": lambda s, d, n, kin: SyneTune(s, d, n, kin, "zero-shot"),
    "syne-quantile": lambda s, d, n, kin: SyneTune(s, d, n, kin, "quantile"),
}


def key_of(method: str, task: Task, family: str, case: tuple[Relation, int], seed: int, evaluations: int) -> str:
    """What makes a run the same run; cold runs do not depend on the case."""
    ours = method in ("cold", "rekindle", "best-first", "pooled")
    size = rows(family) if "/" in task.name else 0
    case_name = "" if method == "cold" else f"{case[0]}{case[1]}"
    return f"{method}{'@' + version_of_ours('warmstart') if ours else ''}|{task.name}:{size}|{case_name}|{seed}|{evaluations}"


def execute(
    results: Results, method: str, child: tuple[str, str], case: tuple[Relation, int], seed: int, evaluations: int
) -> list[float]:
    """Regrets of one run, from disk if it is there."""
    task = member(*child)
    key = key_of(method, task, child[0], case, seed, evaluations)
    record = results.get(key)
    if record is None:
        kin = () if method == "cold" else parents(*child, case[0], case[1], seed)
        done = run(task, METHODS[method](task.space, task.direction, seed, kin), seed, evaluations)
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


#: Evaluations after which regret is shown, and those after which it is compared with the cold search's.
SHOWN, COMPARED = (1, 5, 10, 15, 25, 50), (25, 50)


def summary(found: dict[str, np.ndarray], first: np.ndarray) -> str:
    """One table: a line for each method. ``found``: (runs, evaluations); ``first``: regret of the parents' best (runs,)."""
    reach = ["to cold@50", f"to within {NEAR} of it", "in 15 or fewer"]
    header = ["method", *reach, *map(str, SHOWN), *(f"minus cold at {n}" for n in COMPARED), "first >= parents' best"]
    return report.markdown(header, [[method, *_line(regrets, found["cold"], first)] for method, regrets in found.items()])


def _line(regrets: np.ndarray, cold: np.ndarray, first: np.ndarray) -> list[str]:
    n = regrets.shape[1]
    needed = np.array([reached(r, c[-1]) for r, c in zip(regrets, cold, strict=True)])
    near = np.array([reached(r, c[-1] + NEAR) for r, c in zip(regrets, cold, strict=True)])
    cells = [_quartiles(needed), _quartiles(near), f"{np.mean(near <= 15):.0%}"]
    cells += [f"{regrets[:, at - 1].mean():.3f}" if at <= n else "" for at in SHOWN]
    cells += [_difference(regrets[:, at - 1] - cold[:, at - 1]) if at <= n else "" for at in COMPARED]
    return [*cells, f"{np.mean(regrets[:, 0] <= first + 1e-6):.0%}"]


def _quartiles(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.0f} ({low:.0f}-{high:.0f})"


def _difference(gap: np.ndarray) -> str:
    """The mean and its 95 % bootstrap interval over runs."""
    drawn = gap[np.random.default_rng(0).integers(0, len(gap), (2000, len(gap)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{gap.mean():+.3f} ({low:+.3f} to {high:+.3f})"


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
    header = ["10 dimensions, CPU time", "set-up and first suggestion", "median of the next 29", "worst"]
    return f"{report.markdown(header, lines)}\n\n{beside_cold(space)}"


def beside_cold(space: Space) -> str:
    """Suggestions with three parents of 100 trials and with none, in turn."""

    def objective(c: Configuration, optimum: float, rng: np.random.Generator) -> float:
        return sum((float(v) - optimum) ** 2 * (1 + j % 3) for j, v in enumerate(c.values())) + 0.1 * rng.standard_normal()

    def drawn(count: int, optimum: float, rng: np.random.Generator) -> list[tuple[Configuration, float | None]]:
        found = [space.decode(rng.random(len(space))) for _ in range(count)]
        return [(c, objective(c, optimum, rng)) for c in found]

    rng, lines = np.random.default_rng(0), []
    kin = [Parent(space, drawn(100, 0.3 + 0.03 * i, rng), "transfer", f"p{i}") for i in range(3)]
    for count in (10, 50, 100):
        own, tuners, spent = (
            drawn(count, 0.3, rng),
            [Tuner(space, seed=0), Tuner(space, seed=0, parents=kin)],
            np.zeros((2, 13)),
        )
        for tuner in tuners:
            for configuration, value in own:
                tuner.add(configuration, value)
        for k in range(spent.shape[1]):
            for i, tuner in enumerate(tuners):
                start = time.process_time()
                trial = tuner.ask()
                spent[i, k] = time.process_time() - start
                tuner.tell(trial.id, objective(trial.values, 0.3, rng))
        # The first one models the parents.
        least, median = 1e3 * spent[:, 1:].min(axis=1), 1e3 * np.median(spent[:, 1:], axis=1)
        cells = [f"{least[0]:.0f}, {median[0]:.0f} ms", f"{least[1]:.0f}, {median[1]:.0f} ms", f"{median[1] / median[0]:.2f}"]
        lines.append([f"{count} results", *cells])
    return report.markdown(["least and median of 12", "no parent", "3 parents of 100 trials", "ratio of medians"], lines)


def main() -> None:
    """Runs what is missing, then prints the tables and writes them into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--relations", nargs="*", help="e.g. related or related3")
    parser.add_argument("--children", nargs="*", help="families")
    parser.add_argument("--half", choices=["A", "B"], help="A: choices were made on it; B: kept apart")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--spread", type=int, default=1, help="each seed runs every so many-th child only, in turn")
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS, help="of all but the cold search")
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    args = parser.parse_args()
    if args.timing:
        print(timing())
        return
    cases = [c for c in CASES if not args.relations or c[0] in args.relations or f"{c[0]}{c[1]}" in args.relations]
    children = [c for c in HALVES[args.half] if not args.children or c[0] in args.children]
    pairs = [(c, s) for s in range(args.seeds) for i, c in enumerate(children) if (i + s) % args.spread == 0]
    sections = [section(case, pairs, args.methods, args.evaluations) for case in cases]
    if args.write:
        report.replace_section(RESULTS_FILE, "warm start", "\n\n".join([*sections, "### Speed\n\n" + timing()]))


Pairs = Sequence[tuple[tuple[str, str], int]]


def section(case: tuple[Relation, int], pairs: Pairs, methods: Sequence[str], evaluations: int) -> str:
    """Runs what is missing of one relation and makes its table."""
    results = Results("warmstart")
    lengths = {"cold": EVALUATIONS} | {m: evaluations for m in methods if m != "cold"}
    found = {m: np.array([execute(results, m, c, case, s, n) for c, s in pairs]) for m, n in lengths.items()}
    first = np.array([parents_best(c, case, s) for c, s in pairs])
    children, seeds = len({c for c, _ in pairs}), len({s for _, s in pairs})
    title = f"### {case[0]}, {case[1]} parent{'s' * (case[1] > 1)}: {children} children, {seeds} seeds, {len(pairs)} runs"
    print(made := f"{title}\n\n{summary(found, first)}", flush=True)
    return made


if __name__ == "__main__":
    main()
