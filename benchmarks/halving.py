"""Rules that say which trials go on, compared on the same random draws: 120 runs of a rule take seconds.

    python -m benchmarks.halving                     # 20 seeds on the six tasks of the choosing set
    python -m benchmarks.halving --set fresh --seeds 10
    python -m benchmarks.halving --turned            # what the brackets are for: early values that mislead
    python -m benchmarks.halving --median            # what the median rule saves of 60 trials, both sets

Random draws look at no value, so that every rule can be given the same configurations, whose curves are looked up once. One
worker takes them in order and trains each as far as the rule lets it. What is told is that of ``multifidelity``, and in
brackets each rule's difference to ours, run by run, with its standard error. The table goes to RESULTS-multifidelity.md.
"""

from __future__ import annotations

import argparse
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.multifidelity import RESULTS_FILE, SHARES, TRIALS
from benchmarks.report import markdown, replace_section
from benchmarks.tasks.curve_families import EPOCHS, TASKS
from benchmarks.tasks.curves import CurveTask, curve_tasks
from rekindle.search.early_stopping import MedianStopping
from rekindle.search.history import History, Observation, Trial, TrialState
from rekindle.search.hyperband import ETA, Hyperband
from rekindle.search.random_search import RandomSearch

#: Full trainings' worth of epochs in a run.
TRAININGS = 20
#: Configurations of a run at most.
DRAWS = 450


def ours(there: Sequence[float], value: float) -> bool:
    """Among the best third, itself included, rounded down, at least one; equals are ahead."""
    return bisect_right(there, value) < max(1, (len(there) + 1) // ETA)


def syne_tune(there: Sequence[float], value: float) -> bool:
    """Its rank among all, from 0 on, is at most a third of their number; equals are not ahead."""
    return not there or bisect_left(there, value) <= (len(there) + 1) / ETA


def ray_tune(there: Sequence[float], value: float) -> bool:
    """Not worse than the percentile of a third, interpolated, of those before it."""
    return not there or value <= float(np.percentile(there, 100 / ETA))


@dataclass(frozen=True)
class Rule:
    """Which trials go on. ``on(there, value)``: whether one goes on with that value at a rung which the ``there`` (ascending)
    reached before it. ``single``: all in the most eager bracket; ``mixed``: brackets mixed from the first trial on. ``best``:
    judged by the best value so far, not the last. ``hopeless``: every ninth of the way a trial ends, too, that could not reach
    the incumbent if it gained as much from there on as any trial that ran to its end (four of them at least)."""

    on: Callable[[Sequence[float], float], bool] = ours
    single: bool = False
    mixed: bool = False
    best: bool = False
    hopeless: bool = False


RULES: Mapping[str, Rule] = {
    "ours": Rule(),
    "Syne Tune's ASHA": Rule(syne_tune, single=True),
    "Ray Tune's ASHA": Rule(ray_tune, single=True),
    "ours in the most eager bracket alone, as Optuna's successive halving": Rule(single=True),
    "ours with the brackets mixed at once": Rule(mixed=True),
    "Syne Tune's third, our brackets": Rule(syne_tune),
    "by the best value so far": Rule(best=True),
    "the hopeless end, too": Rule(hopeless=True),
}


@dataclass
class Run:
    """A run of one rule: the state that trials leave behind, and what was found."""

    rule: Rule
    band: Hyperband
    rungs: dict[int, list[float]]
    full: list[np.ndarray] = field(default_factory=list)
    best: float = np.inf
    epochs: int = 0
    clock: float = 0.0
    trials: int = 0
    found: list[tuple[int, float, float]] = field(default_factory=list)

    def train(self, curve: np.ndarray, seconds: float, most: int) -> None:
        """One trial, as far as the rule and the epochs that are left let it."""
        judged, own = set(self.band.rungs(self._bracket())), np.inf
        self.trials += 1
        for step, value in enumerate(curve, start=1):
            self.epochs, self.clock, own = self.epochs + 1, self.clock + seconds, min(own, value)
            if value < self.best:
                self.best = value
                self.found.append((self.epochs, self.clock, value))
            goes_on = self._goes_on(step, own if self.rule.best else value, step in judged)
            if self.epochs >= most or not goes_on or self._hopeless(step, value, own):
                return
        self.full.append(curve)

    def _bracket(self) -> int:
        if self.rule.single:
            return self.band.brackets - 1
        return self.band.mixed(self.trials) if self.rule.mixed else self.band.bracket(self.trials)

    def _goes_on(self, step: int, value: float, judged: bool) -> bool:
        if step not in self.rungs or step == EPOCHS:
            return True
        there = self.rungs[step]
        goes_on = not judged or self.rule.on(there, value)
        insort(there, value)
        return goes_on

    def _hopeless(self, step: int, value: float, own: float) -> bool:
        if not self.rule.hopeless or step % (EPOCHS // 9) or step == EPOCHS or len(self.full) < 4:
            return False
        gain = max(curve[step - 1] - curve[step:].min() for curve in self.full)
        return value - max(gain, 0.0) >= self.best and own > self.best


def turned(task: CurveTask) -> CurveTask:
    """A task that misleads: up to epoch 9 a configuration looks the worse, the better it will be at its best."""
    best = task.curves.min(axis=1)
    middle = float(np.quantile(best, 0.95))
    curves = task.curves.copy()
    curves[:, :9] = (2 * middle - np.minimum(best, middle))[:, None]
    return replace(task, name=f"{task.name}, turned", curves=curves)


def configurations(task: CurveTask, seed: int) -> list[tuple[np.ndarray, float]]:
    """Curves and seconds per epoch of the random draws of a seed."""
    rng = np.random.default_rng([seed, 77])
    return [task.curve(task.space.decode(rng.random(len(task.space)))) for _ in range(DRAWS)]


def measure(task: CurveTask, rule: Rule, drawn: Sequence[tuple[np.ndarray, float]], target: float) -> list[float]:
    """Regrets at ``SHARES`` of the epochs, when the regret ``target`` was reached, and how many trials were begun."""
    band, most = Hyperband(RandomSearch(task.space, 0), "minimize", 1, EPOCHS), TRAININGS * EPOCHS
    run = Run(rule, band, {step: [] for step in band.rungs(band.brackets - 1)})
    for curve, seconds in drawn:
        if run.epochs >= most:
            break
        run.train(curve, seconds, most)
    regrets = [min([task.regret(v) for e, _, v in run.found if e <= s * most], default=1.0) for s in SHARES]
    reached = min([clock for _, clock, v in run.found if task.regret(v) <= target + 1e-9], default=run.clock)
    return [*regrets, reached, run.trials]


def measured(tasks: Sequence[CurveTask], seeds: int) -> dict[str, np.ndarray]:
    """For each rule its runs, shape (tasks x seeds, columns of ``measure``), times as shares of random search's run."""
    found: dict[str, list[list[float]]] = {name: [] for name in RULES}
    for task in tasks:
        drawn = [configurations(task, seed) for seed in range(seeds)]
        whole = [d[:TRAININGS] for d in drawn]
        target = float(np.median([task.regret(min(float(curve.min()) for curve, _ in d)) for d in whole]))
        length = float(np.mean([EPOCHS * sum(seconds for _, seconds in d) for d in whole]))
        for name, rule in RULES.items():
            rows = [measure(task, rule, d, target) for d in drawn]
            found[name] += [[*row[:-2], row[-2] / length, row[-1]] for row in rows]
    return {name: np.array(rows) for name, rows in found.items()}


def ruled(rule: MedianStopping, curves: Sequence[np.ndarray]) -> tuple[int, float]:
    """Epochs and the best value where one worker trains the configurations in order and the rule is asked at every epoch."""
    ended: list[Trial] = []
    order, best = 0, np.inf
    for id_, curve in enumerate(curves):
        points = tuple(Observation(k, float(v), order + k) for k, v in enumerate(curve, start=1))
        length = _stopped_at(rule, ended, Trial(id_, {}, curve=points))
        order += length + 1
        best = min(best, float(curve[:length].min()))
        kept = points[:length]
        ended.append(Trial(id_, {}, TrialState.SUCCEEDED, kept[-1].value, kept, length < EPOCHS, order))
    return sum(len(t.curve) for t in ended), best


def _stopped_at(rule: MedianStopping, ended: Sequence[Trial], trial: Trial) -> int:
    """After how many epochs the rule gives a trial up. It looks at every emission of a trial, so whether it does so within the
    first few is asked for by halves."""
    low, high = 0, EPOCHS
    while high - low > 1:
        middle = (low + high) // 2
        seen = History((*ended, replace(trial, curve=trial.curve[:middle])))
        low, high = (low, middle) if rule.to_stop(seen) else (middle, high)
    return high


def median_table(seeds: int) -> str:
    """What the median rule saves of ``TRIALS`` random draws, and what becomes of the final value."""
    lines = []
    for name in TASKS:
        saved, change = [], []
        for task in curve_tasks(name):
            rule = MedianStopping(RandomSearch(task.space, 0), "minimize")
            for seed in range(seeds):
                curves = [curve for curve, _ in configurations(task, seed)[:TRIALS]]
                epochs, best = ruled(rule, curves)
                saved.append(1 - epochs / (TRIALS * EPOCHS))
                change.append(task.regret(best) - task.regret(min(float(c.min()) for c in curves)))
        share = f"{np.mean(saved):.0%} ({np.min(saved):.0%} to {np.max(saved):.0%})"
        error = np.std(change) / len(change) ** 0.5
        same = np.mean(np.array(change) <= 1e-9)
        lines.append([name, str(len(saved)), share, f"{np.mean(change):+.4f} ± {error:.4f}", f"{same:.0%}"])
    header = [
        "set",
        "pairs of runs",
        "epochs saved (least to most)",
        "change of the final regret",
        "pairs with the same final value",
    ]
    return f"### The median rule, the same {TRIALS} random draws with it and without\n\n{markdown(header, lines)}"


def line(name: str, values: np.ndarray, ours: np.ndarray) -> list[str]:
    """A rule's line of the table."""
    change = (values - ours)[:, :-1]
    means, by, errors = values.mean(axis=0), change.mean(axis=0), change.std(axis=0) / len(change) ** 0.5
    told = [f"{m:.3f} ({d:+.3f} ± {e:.3f})" for m, d, e in zip(means[:-1], by, errors, strict=True)]
    cells = [f"{m:.3f}" for m in means[:-1]] if values is ours else told
    return [name, *cells, f"{means[-1]:.0f}"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--set", choices=list(TASKS), default="choosing")
    parser.add_argument("--turned", action="store_true", help="let the first nine epochs of every curve mislead")
    parser.add_argument("--median", action="store_true", help="tell what the median rule saves instead")
    args = parser.parse_args()
    if args.median:
        text = median_table(args.seeds)
        print(text)
        replace_section(RESULTS_FILE, "median rule", text)
        return
    tasks = [turned(t) for t in curve_tasks(args.set)] if args.turned else curve_tasks(args.set)
    found, name = measured(tasks, args.seeds), f"{args.set}, turned" if args.turned else args.set
    header = ["rule", *[f"regret at {s:g}" for s in SHARES], "time to random's final value", "trials"]
    table = markdown(header, [line(name, values, found["ours"]) for name, values in found.items()])
    text = f"### {name}, {len(found['ours'])} runs of each rule\n\n{table}"
    print(text)
    replace_section(RESULTS_FILE, f"rules, {name}", text)


if __name__ == "__main__":
    main()
