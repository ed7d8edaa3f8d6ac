"""What a tuning job is: a search over training jobs, its limits, its state."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from rekindle.domain.builtins.checks import searched
from rekindle.domain.builtins.rules import TUNED_METRIC
from rekindle.domain.errors import InvalidValue
from rekindle.domain.note import Note
from rekindle.domain.training_job import Owner, TrainingSpec
from rekindle.search.history import Direction
from rekindle.search.space import Continuous, Integer, Parameter, Space, Value, size_of

#: SageMaker's own hyperparameter: the name of the objective metric, given to every training job.
OBJECTIVE_HYPERPARAMETER = TUNED_METRIC
#: Static names from which Hyperband infers its largest resource.
EPOCH_NAMES = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
#: What may draw Hyperband's configurations.
SAMPLERS = ("random", "bayesian")


class StrategyName(StrEnum):
    """How the next configurations are chosen."""

    BAYESIAN = "Bayesian"
    RANDOM = "Random"
    GRID = "Grid"
    HYPERBAND = "Hyperband"


#: Strategies that may have parents.
WARM_STRATEGIES = (StrategyName.BAYESIAN, StrategyName.RANDOM)


class TuningJobStatus(StrEnum):
    """The state of a tuning job.

    ::

        IN_PROGRESS --+--> COMPLETED     budget spent, a criterion met, or nothing left to try
             |        +--> FAILED        no training job bears fruit
             +--> STOPPING --> STOPPED   somebody stopped it
    """

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will be launched."""
        return self not in (TuningJobStatus.IN_PROGRESS, TuningJobStatus.STOPPING)


class WarmStartType(StrEnum):
    """What a tuning job promises about its parents."""

    IDENTICAL = "IdenticalDataAndAlgorithm"
    TRANSFER = "TransferLearning"


@dataclass(frozen=True)
class Objective:
    """The metric to optimise and which way."""

    metric: str
    direction: Direction


@dataclass(frozen=True)
class Limits:
    """How much a tuning job may use. ``max_jobs`` None: as many as a grid has, or until another limit ends it."""

    max_jobs: int | None
    max_parallel: int = 1
    max_runtime_seconds: int | None = None


@dataclass(frozen=True)
class CompletionCriteria:
    """Reasons to end before the budget: any one suffices."""

    target: float | None = None
    max_not_improving: int | None = None
    on_convergence: bool = False


@dataclass(frozen=True)
class Hyperband:
    """The resource range of Hyperband, in emissions of the objective, and what draws its configurations: ``random``, as
    SageMaker does, or ``bayesian``."""

    min_resource: int | None = None
    max_resource: int | None = None
    sampler: str = "random"


@dataclass(frozen=True)
class Definition:
    """One algorithm with its own search space. ``name`` is None in a tuning job of a single definition."""

    training: TrainingSpec
    objective: Objective
    ranges: tuple[Parameter, ...]
    statics: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    #: Whether what is known of well-known hyperparameters counts (search/bayesian/known_names.py).
    known_names: bool = True

    @property
    def space(self) -> Space:
        """The search space."""
        return Space(searched(self.training, self.statics, self.ranges), known_names=self.known_names)

    @property
    def where(self) -> str:
        """What the names of its fields begin with in errors."""
        return f"definitions.{self.name}." if self.name else ""


@dataclass(frozen=True)
class WarmStart:
    """The parents of a tuning job, by name, and what it promises about them.

    ``relaxed``: the parents' hyperparameters may have other names, and be more or fewer. ``names`` tells for a parent (its
    name in lower case) which of its hyperparameters a name here stands for. ``recursive``: what the parents started from
    counts, too; those tuning jobs are looked up when the job is created, and are ``ancestors`` from then on.
    """

    type: WarmStartType
    parents: tuple[str, ...]
    relaxed: bool = False
    recursive: bool = False
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ancestors: tuple[str, ...] = ()

    def names_in(self, parent: str) -> Mapping[str, str]:
        """From names here to names in a parent, where they differ."""
        return self.names.get(parent.lower(), {})


@dataclass(frozen=True)
class TuningJobSpec:
    """What a user asked for. ``extras`` keeps what only a face understands, for its echo."""

    name: str
    strategy: StrategyName
    limits: Limits
    definitions: tuple[Definition, ...]
    warm_start: WarmStart | None = None
    early_stopping: bool = False
    completion: CompletionCriteria = CompletionCriteria()
    hyperband: Hyperband | None = None
    random_seed: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def definition(self) -> Definition:
        """The only definition, or the first."""
        return self.definitions[0]

    @property
    def metrics(self) -> str:
        """What is optimised, for people: each of several definitions may have a metric of its own."""
        return " or ".join(dict.fromkeys(d.objective.metric for d in self.definitions))

    @property
    def seed(self) -> int:
        """The seed of the search: the user's, else one made from the name, so that a job file repeats itself."""
        return zlib.crc32(self.name.lower().encode()) if self.random_seed is None else self.random_seed


@dataclass(frozen=True)
class Ending:
    """How a tuning job that is winding down will end. ``drain``: what runs may finish; else it is stopped. ``because`` says
    what made it end before its number of training jobs, for people; empty where nothing did, or ``reason`` says it."""

    status: TuningJobStatus
    reason: str | None = None
    drain: bool = False
    because: str = field(default="", compare=False)


@dataclass(frozen=True)
class TuningJob:
    """The record of a tuning job. Times are seconds since the epoch; ``id`` is 0 until it is stored.

    ``uid`` makes the training jobs' names, so that a name used again after a deletion makes new ones. ``seq`` is the
    number of the last event (a launch, an end, an emission) and only grows. ``stop_requested`` is written by commands
    alone, everything else by the holder of the job's lease. ``parents`` are the ids of the parents and then of
    their ancestors that count, fixed at creation. ``waiting_for`` says why no further training job is begun although there
    may be one. ``notes`` are the findings on its health when it ended; None where they were not written down.
    """

    spec: TuningJobSpec
    owner: Owner
    uid: str
    created_at: float
    id: int = 0
    status: TuningJobStatus = TuningJobStatus.IN_PROGRESS
    modified_at: float = 0.0
    ended_at: float | None = None
    failure_reason: str | None = None
    ending: Ending | None = None
    seq: int = 0
    not_improving: int = 0
    converged_at: float | None = None
    stop_requested: bool = False
    imported: bool = False
    parents: tuple[int, ...] = ()
    waiting_for: str | None = None
    notes: tuple[Note, ...] | None = None

    @property
    def ended_because(self) -> str | None:
        """What made a tuning job that has ended end before its number of training jobs; None where nothing did."""
        return self.ending.because or None if self.ending is not None and self.ended_at is not None else None

    @property
    def name(self) -> str:
        """The tuning job's name, in the case in which it was given."""
        return self.spec.name

    @property
    def shown_status(self) -> TuningJobStatus:
        """The status for people: Stopping from the moment somebody asks."""
        if self.stop_requested and self.status is TuningJobStatus.IN_PROGRESS:
            return TuningJobStatus.STOPPING
        return self.status


def format_value(value: Value) -> str:
    """A configuration's value as a hyperparameter: shortest decimal that reads back the same, integers plain."""
    if isinstance(value, bool | str):
        return str(value)
    return repr(float(value)) if isinstance(value, float) else str(int(value))


def parse_value(parameter: Parameter, text: str) -> Value:
    """The configuration's value that ``format_value`` wrote. Raises InvalidValue for text that is none."""
    try:
        if isinstance(parameter, Continuous):
            return float(text)
        if isinstance(parameter, Integer):
            return int(text)
    except ValueError as error:
        what = "a number" if isinstance(parameter, Continuous) else "a whole number"
        raise InvalidValue(parameter.name, text, f"not {what}") from error
    return text


def with_defaults(spec: TuningJobSpec) -> TuningJobSpec:
    """The spec with what follows from it filled in: a grid's number of training jobs."""
    if spec.strategy is StrategyName.GRID and spec.limits.max_jobs is None:
        return replace(spec, limits=replace(spec.limits, max_jobs=combinations(spec)))
    return spec


def combinations(spec: TuningJobSpec) -> int | None:
    """How many configurations all definitions have together; None when there is no end of them."""
    sizes = [size_of(d.ranges) for d in spec.definitions]
    return None if None in sizes else sum(s for s in sizes if s is not None)


def hyperband_resources(hyperband: Hyperband | None, statics: Mapping[str, str]) -> tuple[int, int] | None:
    """The least and the most resource of one definition; the most from an epochs-like static where it is not given. None
    where nothing says it."""
    given = hyperband or Hyperband()
    most = epochs_of(statics) if given.max_resource is None else given.max_resource
    return None if most is None else (1 if given.min_resource is None else given.min_resource, most)


def epochs_of(statics: Mapping[str, str]) -> int | None:
    """How many epochs a training job is told to train, where one of the usual names says it."""
    return next((n for n in map(_whole, map(statics.get, EPOCH_NAMES)) if n), None)


def _whole(text: str | None) -> int | None:
    """The number in a static hyperparameter, which may be JSON in quotes."""
    bare = (text or "").strip().strip('"')
    return int(bare) if bare.isascii() and bare.isdigit() and len(bare) < 10 else None
