"""Searches behind one small face: ours and the peers'. A peer is imported only when it is asked for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from rekindle.search import Categorical, Continuous, Direction, Integer, Space, Tuner
from rekindle.search.space import Configuration, Parameter, Value, resolved_scaling


class Method(Protocol):
    """A search: ``ask`` gives a handle and a configuration, ``tell`` ends it with a value, or None when it failed."""

    def ask(self) -> tuple[Any, dict[str, Value]]: ...

    def tell(self, handle: Any, value: float | None) -> None: ...


class Ours:
    """Rekindle's own strategies."""

    def __init__(self, space: Space, direction: Direction, seed: int, strategy: str = "bayesian", **more: Any) -> None:
        self.tuner = Tuner(space, strategy=strategy, direction=direction, seed=seed, **more)

    def ask(self) -> tuple[Any, dict[str, Value]]:
        trial = self.tuner.ask()
        return trial.id, trial.values

    def tell(self, handle: Any, value: float | None) -> None:
        self.tuner.tell(handle, math.nan if value is None else value)


class Sobol:
    """A scrambled Sobol sequence."""

    def __init__(self, space: Space, direction: Direction, seed: int) -> None:
        from scipy.stats import qmc

        self.space, self.points = space, iter(qmc.Sobol(len(space), seed=seed).random_base2(10))

    def ask(self) -> tuple[Any, dict[str, Value]]:
        return None, self.space.decode(next(self.points))

    def tell(self, handle: Any, value: float | None) -> None:
        pass


def logarithmic(p: Parameter) -> bool:
    """Whether a parameter is logarithmic."""
    return not isinstance(p, Categorical) and resolved_scaling(p) == "Logarithmic"


def one_thread() -> None:
    """Keeps torch to one thread, as everything else here."""
    import torch

    torch.set_num_threads(1)


class Optuna:
    """Optuna's samplers. A failed trial is told as failed, which Optuna's samplers leave out."""

    def __init__(self, space: Space, direction: Direction, seed: int, sampler: str = "tpe") -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        if sampler == "gp":
            one_thread()
        samplers: dict[str, Callable[[], Any]] = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed),
            "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed),
        }
        self.optuna, self.space = optuna, space
        self.study = optuna.create_study(direction=direction, sampler=samplers[sampler]())
        self.distributions = {p.name: self.distribution(p) for p in space.parameters}

    def distribution(self, p: Parameter) -> Any:
        d = self.optuna.distributions
        match p:
            case Categorical():
                return d.CategoricalDistribution(p.values)
            case Integer():
                return d.IntDistribution(p.low, p.high, log=logarithmic(p))
            case _:
                return d.FloatDistribution(p.low, p.high, log=logarithmic(p))

    def ask(self) -> tuple[Any, dict[str, Value]]:
        trial = self.study.ask(self.distributions)
        return trial, dict(trial.params)

    def tell(self, handle: Any, value: float | None) -> None:
        if value is None:
            self.study.tell(handle, state=self.optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(handle, value)

    def add(self, configuration: Configuration, value: float) -> None:
        """Puts a finished trial of somebody else into the study."""
        make = self.optuna.trial.create_trial
        self.study.add_trial(make(params=dict(configuration), distributions=self.distributions, value=value))


class _Penalised:
    """What is left to a peer that knows no failures: the worst value seen so far."""

    def __init__(self, direction: Direction) -> None:
        self.sign = 1.0 if direction == "minimize" else -1.0
        self.worst: float | None = None

    def cost(self, value: float | None) -> float:
        if value is None:
            return 0.0 if self.worst is None else self.worst
        cost = self.sign * value
        self.worst = cost if self.worst is None else max(self.worst, cost)
        return cost


class ScikitOptimize(_Penalised):
    """scikit-optimize's Gaussian process with its portfolio of acquisitions."""

    def __init__(self, space: Space, direction: Direction, seed: int) -> None:
        import skopt

        super().__init__(direction)
        warnings.simplefilter("ignore")
        kinds = {True: "log-uniform", False: "uniform"}
        s = skopt.space
        dims = [
            s.Categorical([str(v) for v in p.values])
            if isinstance(p, Categorical)
            else (s.Real if isinstance(p, Continuous) else s.Integer)(p.low, p.high, prior=kinds[logarithmic(p)])
            for p in space.parameters
        ]
        self.space, self.optimizer = space, skopt.Optimizer(dims, "GP", n_initial_points=10, random_state=seed)

    def ask(self) -> tuple[Any, dict[str, Value]]:
        point = self.optimizer.ask()
        return point, {p.name: native(p, v) for p, v in zip(self.space.parameters, point, strict=True)}

    def tell(self, handle: Any, value: float | None) -> None:
        self.optimizer.tell(handle, self.cost(value))


def native(p: Parameter, value: Any) -> Value:
    """A peer's value as ours."""
    match p:
        case Categorical():
            return next(v for v in p.values if str(v) == str(value))
        case Integer():
            return min(max(round(float(value)), p.low), p.high)
        case _:
            return min(max(float(value), p.low), p.high)


def _duplicates_by_hash() -> type:
    """pymoo's removal of duplicates among candidates, with the same outcome in linear time. Its own compares all pairs in
    Python, which is a third to two thirds of HEBO's time."""
    from pymoo.core.mixed import MixedVariableDuplicateElimination

    class ByHash(MixedVariableDuplicateElimination):  # type: ignore[misc]
        """An individual is a duplicate of an equal one of the others, or of one that comes later in its own population."""

        def _do(self, pop: Any, other: Any, is_duplicate: np.ndarray) -> np.ndarray:
            seen = set() if other is None else {tuple(individual.X.values()) for individual in other}
            for i in reversed(range(len(pop))):
                key = tuple(pop[i].X.values())
                is_duplicate[i] |= key in seen
                if other is None:
                    seen.add(key)
            return is_duplicate

    return ByHash


class Hebo(_Penalised):
    """HEBO."""

    def __init__(self, space: Space, direction: Direction, seed: int) -> None:
        import pandas
        from hebo.acq_optimizers import evolution_optimizer
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        super().__init__(direction)
        evolution_optimizer.MixedVariableDuplicateElimination = _duplicates_by_hash()
        warnings.simplefilter("ignore")
        self.pandas, self.space = pandas, space
        self.optimizer = HEBO(DesignSpace().parse([self.dimension(p) for p in space.parameters]), scramble_seed=seed)
        np.random.seed(seed)

    def dimension(self, p: Parameter) -> dict[str, Any]:
        if isinstance(p, Categorical):
            return {"name": p.name, "type": "cat", "categories": [str(v) for v in p.values]}
        kind = (
            ("pow" if isinstance(p, Continuous) else "pow_int")
            if logarithmic(p)
            else "num"
            if isinstance(p, Continuous)
            else "int"
        )
        return {"name": p.name, "type": kind, "lb": p.low, "ub": p.high, **({"base": 10} if logarithmic(p) else {})}

    def ask(self) -> tuple[Any, dict[str, Value]]:
        frame = self.optimizer.suggest(1)
        row = frame.iloc[0]
        return frame, {p.name: native(p, row[p.name]) for p in self.space.parameters}

    def tell(self, handle: Any, value: float | None) -> None:
        self.optimizer.observe(handle, np.array([[self.cost(value)]]))


class Smac(_Penalised):
    """SMAC3's hyperparameter facade: random forest and log expected improvement."""

    def __init__(self, space: Space, direction: Direction, seed: int, evaluations: int = 100) -> None:
        import logging
        import tempfile

        import ConfigSpace as cs
        from smac import HyperparameterOptimizationFacade as Facade
        from smac import Scenario

        super().__init__(direction)
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        made = cs.ConfigurationSpace(seed=seed)
        for p in space.parameters:
            if isinstance(p, Categorical):
                made.add(cs.Categorical(p.name, [str(v) for v in p.values]))
            else:
                kind = cs.Float if isinstance(p, Continuous) else cs.Integer
                made.add(kind(p.name, (p.low, p.high), log=logarithmic(p)))
        self.space, self.seed = space, seed
        folder = tempfile.mkdtemp(prefix="smac-")
        scenario = Scenario(made, n_trials=evaluations + 100, seed=seed, deterministic=True, output_directory=folder)
        self.facade = Facade(scenario, lambda c, seed=0: 0.0, overwrite=True, logging_level=False)

    def ask(self) -> tuple[Any, dict[str, Value]]:
        info = self.facade.ask()
        return info, {p.name: native(p, info.config[p.name]) for p in self.space.parameters}

    def tell(self, handle: Any, value: float | None) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self.facade.tell(handle, TrialValue(cost=self.cost(value)))


class Ax:
    """Ax's client with its default generation strategy: Sobol, then BoTorch's Gaussian process and log EI."""

    def __init__(self, space: Space, direction: Direction, seed: int) -> None:
        import logging

        from ax.api.client import Client
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        one_thread()
        self.space, self.client = space, Client(random_seed=seed)
        made: list[Any] = []
        for p in space.parameters:
            if isinstance(p, Categorical):
                made.append(
                    ChoiceParameterConfig(
                        name=p.name, parameter_type="str", values=[str(v) for v in p.values], is_ordered=False
                    )
                )
            else:
                kind = "float" if isinstance(p, Continuous) else "int"
                scaling = "log" if logarithmic(p) else "linear"
                made.append(RangeParameterConfig(name=p.name, parameter_type=kind, bounds=(p.low, p.high), scaling=scaling))
        self.client.configure_experiment(parameters=made)
        self.client.configure_optimization(objective="-loss" if direction == "minimize" else "loss")

    def ask(self) -> tuple[Any, dict[str, Value]]:
        (index, values), *_ = self.client.get_next_trials(max_trials=1).items()
        return index, {p.name: native(p, values[p.name]) for p in self.space.parameters}

    def tell(self, handle: Any, value: float | None) -> None:
        if value is None:
            self.client.mark_trial_failed(trial_index=handle)
        else:
            self.client.complete_trial(trial_index=handle, raw_data={"loss": value})


Maker = Callable[[Space, Direction, int], Method]

#: Every method by its name in the reports.
METHODS: Mapping[str, Maker] = {
    "rekindle": Ours,
    "random": lambda s, d, n: Ours(s, d, n, "random"),
    "sobol": Sobol,
    "optuna-tpe": Optuna,
    "optuna-gp": lambda s, d, n: Optuna(s, d, n, "gp"),
    "optuna-cmaes": lambda s, d, n: Optuna(s, d, n, "cmaes"),
    "skopt": ScikitOptimize,
    "hebo": Hebo,
    "smac": Smac,
    "ax": Ax,
}
#: Methods that take seconds for one suggestion: they get fewer seeds.
SLOW = frozenset({"skopt", "hebo", "smac", "ax"})
