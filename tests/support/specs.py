"""Short ways to tuning job specs for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Algorithm, TrainingSpec
from rekindle.domain.tuning_job import (
    CompletionCriteria,
    Definition,
    Limits,
    Objective,
    StrategyName,
    TuningJobSpec,
    WarmStart,
)
from rekindle.search.history import Direction
from rekindle.search.space import Categorical, Continuous, Integer, Parameter

RANGES: tuple[Parameter, ...] = (
    Continuous("lr", 1e-5, 1e-1, "Logarithmic"),
    Integer("layers", 1, 5),
    Categorical("act", ("relu", "tanh")),
)


def tuning_spec(
    name: str = "job",
    *,
    strategy: StrategyName = StrategyName.RANDOM,
    jobs: int | None = 6,
    parallel: int = 2,
    runtime: int | None = None,
    ranges: Sequence[Parameter] = RANGES,
    statics: Mapping[str, str] | None = None,
    metric: str = "loss",
    direction: Direction = "minimize",
    completion: CompletionCriteria | None = None,
    warm_start: WarmStart | None = None,
    training: TrainingSpec | None = None,
    seed: int | None = 7,
) -> TuningJobSpec:
    """A small valid tuning job of one definition, with what a test wants to differ."""
    training = training or TrainingSpec(Algorithm(command="true", metrics=(MetricDefinition("loss", "loss=([0-9.]+)"),)))
    definition = Definition(training, Objective(metric, direction), tuple(ranges), statics or {})
    limits = Limits(jobs, parallel, runtime)
    return TuningJobSpec(
        name, strategy, limits, (definition,), warm_start, completion=completion or CompletionCriteria(), random_seed=seed
    )


def several(strategy: StrategyName, jobs: int | None, *ranges: tuple[Parameter, ...]) -> TuningJobSpec:
    """A tuning job with a definition for each list of ranges: d0, d1 and so on."""
    spec = tuning_spec(strategy=strategy, jobs=jobs)
    definitions = tuple(replace(spec.definition, name=f"d{i}", ranges=r) for i, r in enumerate(ranges))
    return replace(spec, definitions=definitions)
