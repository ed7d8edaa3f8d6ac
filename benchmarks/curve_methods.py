"""Searches that may stop their trials, behind one small face: ours and the peers', each driven through its own scheduler.

Everybody counts one epoch as one unit, has 81 at most and 1 at least, and reduces by 3. A peer is imported only when it is
asked for. ``end`` is told once for each trial, also for a stopped one.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from benchmarks.methods import logarithmic, native
from benchmarks.tasks.curve_families import EPOCHS
from rekindle.search import Categorical, Integer, Space, Tuner
from rekindle.search.early_stopping import MedianStopping
from rekindle.search.hyperband import Hyperband
from rekindle.search.hyperband import sampler as hyperband_sampler
from rekindle.search.space import Value
from rekindle.search.tuner import make_strategy

ETA = 3


class CurveMethod(Protocol):
    """A search: ``ask`` gives a handle and a configuration, ``report`` says whether the trial is to go on."""

    def ask(self) -> tuple[Any, dict[str, Value]]: ...

    def report(self, handle: Any, step: int, value: float) -> bool: ...

    def end(self, handle: Any, step: int, value: float) -> None: ...


class Ours:
    """Rekindle's strategies, through its ask/tell face."""

    def __init__(self, space: Space, seed: int, sampler: str, rule: str = "") -> None:
        made = {
            "": lambda: make_strategy(sampler, space, "minimize", seed),
            "median": lambda: MedianStopping(make_strategy(sampler, space, "minimize", seed), "minimize"),
            "hyperband": lambda: Hyperband(hyperband_sampler(sampler, space, "minimize", seed), "minimize", 1, EPOCHS),
        }
        strategy = made[rule]()
        self.tuner = Tuner(space, strategy=strategy)
        # Between rungs Hyperband stops nobody: no need to ask.
        rungs = strategy.rungs(strategy.brackets - 1) if isinstance(strategy, Hyperband) else range(1, EPOCHS + 1)
        self.asked_at = set(rungs)

    def ask(self) -> tuple[Any, dict[str, Value]]:
        trial = self.tuner.ask()
        return trial.id, trial.values

    def report(self, handle: Any, step: int, value: float) -> bool:
        self.tuner.report(handle, step, value)
        return step not in self.asked_at or handle not in self.tuner.to_stop()

    def end(self, handle: Any, step: int, value: float) -> None:
        self.tuner.tell(handle, value)


class Optuna:
    """Optuna's samplers with its pruners. A pruned trial is told as pruned, as ``study.optimize`` does."""

    def __init__(self, space: Space, seed: int, sampler: str, pruner: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        pruners: dict[str, Callable[[], Any]] = {
            "hyperband": lambda: optuna.pruners.HyperbandPruner(1, EPOCHS, ETA),
            "asha": lambda: optuna.pruners.SuccessiveHalvingPruner(1, ETA),
            "median": optuna.pruners.MedianPruner,
        }
        samplers: dict[str, Callable[[], Any]] = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        self.optuna, self.space = optuna, space
        self.study = optuna.create_study(sampler=samplers[sampler](), pruner=pruners[pruner](), study_name=f"study-{seed}")
        self.distributions = {p.name: self._distribution(p) for p in space.parameters}

    def _distribution(self, p: Any) -> Any:
        d = self.optuna.distributions
        if isinstance(p, Categorical):
            return d.CategoricalDistribution(p.values)
        kind = d.IntDistribution if isinstance(p, Integer) else d.FloatDistribution
        return kind(p.low, p.high, log=logarithmic(p))

    def ask(self) -> tuple[Any, dict[str, Value]]:
        trial = self.study.ask(self.distributions)
        return trial, dict(trial.params)

    def report(self, handle: Any, step: int, value: float) -> bool:
        # HyperbandPruner and SuccessiveHalvingPruner count the first step as 1 where it is reported as 1.
        handle.report(value, step)
        return not handle.should_prune()

    def end(self, handle: Any, step: int, value: float) -> None:
        if step < EPOCHS:
            self.study.tell(handle, state=self.optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(handle, value)


class SyneTune:
    """Syne Tune's schedulers, driven by hand: ``suggest``, ``on_trial_add``, ``on_trial_result``, ``on_trial_complete``."""

    def __init__(self, space: Space, seed: int, name: str, brackets: int = 1) -> None:
        import logging

        from syne_tune import config_space as cs
        from syne_tune.optimizer import baselines

        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        np.random.seed(seed)
        made = {}
        for p in space.parameters:
            if isinstance(p, Categorical):
                made[p.name] = cs.choice(list(p.values))
            elif isinstance(p, Integer):
                made[p.name] = (cs.lograndint if logarithmic(p) else cs.randint)(p.low, p.high)
            else:
                made[p.name] = (cs.loguniform if logarithmic(p) else cs.uniform)(p.low, p.high)
        self.space, self.count = space, 0
        kind = getattr(baselines, name)
        self.scheduler = kind(made, metric="loss", time_attr="epoch", max_t=EPOCHS, random_seed=seed, brackets=brackets)

    def ask(self) -> tuple[Any, dict[str, Value]]:
        from syne_tune.backend.trial_status import Trial

        suggestion = self.scheduler.suggest()
        trial = Trial(self.count, suggestion.config, datetime.datetime.now(datetime.UTC))
        self.count += 1
        self.scheduler.on_trial_add(trial)
        return trial, {p.name: native(p, suggestion.config[p.name]) for p in self.space.parameters}

    def report(self, handle: Any, step: int, value: float) -> bool:
        # Its tuner reports the last epoch by ``on_trial_complete`` alone.
        if step >= EPOCHS:
            return False
        return self.scheduler.on_trial_result(handle, {"loss": value, "epoch": step}) == "CONTINUE"

    def end(self, handle: Any, step: int, value: float) -> None:
        if step >= EPOCHS:
            self.scheduler.on_trial_complete(handle, {"loss": value, "epoch": step})
        else:
            self.scheduler.on_trial_remove(handle)


class RayTune:
    """Ray Tune's ASHA with random configurations, its scheduler object driven by hand: no cluster, no tune controller.
    Configurations are drawn by us: uniform on each range's scale, as ``tune.loguniform`` and the like do."""

    def __init__(self, space: Space, seed: int) -> None:
        from ray.tune.schedulers import ASHAScheduler

        np.random.seed(seed)
        self.space, self.rng, self.count = space, np.random.default_rng([seed, 5]), 0
        self.scheduler = ASHAScheduler(
            time_attr="training_iteration", metric="loss", mode="min", max_t=EPOCHS, grace_period=1, reduction_factor=ETA
        )

    def ask(self) -> tuple[Any, dict[str, Value]]:
        trial = type("Trial", (), {"trial_id": f"{self.count:05d}"})()
        self.count += 1
        self.scheduler.on_trial_add(None, trial)
        return trial, self.space.decode(self.rng.random(len(self.space)))

    def report(self, handle: Any, step: int, value: float) -> bool:
        result = {"loss": value, "training_iteration": step}
        return self.scheduler.on_trial_result(None, handle, result) == "CONTINUE"

    def end(self, handle: Any, step: int, value: float) -> None:
        self.scheduler.on_trial_remove(None, handle)


Maker = Callable[[Space, int], CurveMethod]

#: Every method by its name in the reports.
METHODS: Mapping[str, Maker] = {
    "rekindle hyperband, bayesian": lambda s, n: Ours(s, n, "bayesian", "hyperband"),
    "rekindle hyperband, random": lambda s, n: Ours(s, n, "random", "hyperband"),
    "rekindle bayesian, median rule": lambda s, n: Ours(s, n, "bayesian", "median"),
    "rekindle bayesian": lambda s, n: Ours(s, n, "bayesian"),
    "rekindle random, median rule": lambda s, n: Ours(s, n, "random", "median"),
    "random": lambda s, n: Ours(s, n, "random"),
    "optuna tpe, hyperband": lambda s, n: Optuna(s, n, "tpe", "hyperband"),
    "optuna tpe, successive halving": lambda s, n: Optuna(s, n, "tpe", "asha"),
    "optuna tpe, median": lambda s, n: Optuna(s, n, "tpe", "median"),
    "syne tune asha": lambda s, n: SyneTune(s, n, "ASHA"),
    "syne tune bohb": lambda s, n: SyneTune(s, n, "BOHB"),
    "syne tune asha-bore": lambda s, n: SyneTune(s, n, "ASHABORE"),
    "syne tune asha-cqr": lambda s, n: SyneTune(s, n, "ASHACQR"),
    "ray tune asha": RayTune,
}
