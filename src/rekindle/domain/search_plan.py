"""From a tuning job and its training jobs to a strategy and the history it sees: the only bridge to the library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rekindle.domain.completion import best_job
from rekindle.domain.decisions import CurvePoint, ParentJob, Snapshot
from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import ObjectiveStatus, TrainingJob
from rekindle.domain.tuning_job import (
    OBJECTIVE_HYPERPARAMETER,
    Definition,
    StrategyName,
    TuningJob,
    TuningJobSpec,
    WarmStartType,
    epochs_of,
    format_value,
    hyperband_resources,
    parse_value,
)
from rekindle.domain.warm_start import namer, renamed
from rekindle.search.early_stopping import MedianStopping
from rekindle.search.history import History, Observation, Parent, ParentKind, Trial, TrialState
from rekindle.search.hyperband import Hyperband, sampler
from rekindle.search.space import Categorical, Configuration, Continuous, Integer, Parameter, Space, Value, size_of
from rekindle.search.strategy import Proposal, Strategy
from rekindle.search.tuner import make_strategy

if TYPE_CHECKING:
    from rekindle.search.transfer import TransferReport

#: Changes whenever the same history could give another suggestion than before.
ALGORITHM_VERSION = 21

#: Numbers of the training jobs at whose turn the parents give no configuration of theirs but a point for contrast, where they
#: give any (search/transfer.py: its count of asked trials begins at 0).
CONTRAST_AT = (3, 6, 9, 12)

#: A parent's results with another value of what is static here are set aside when this many others are left.
LEAST_ALIKE = 5

_STRATEGIES = {StrategyName.BAYESIAN: "bayesian", StrategyName.RANDOM: "random", StrategyName.GRID: "grid"}


def strategy_for(job: TuningJob, definition: Definition, parents: Sequence[ParentJob] = ()) -> Strategy:
    """The search strategy of one definition of a tuning job."""
    if job.spec.strategy is StrategyName.HYPERBAND:
        return _hyperband(job, definition)
    kin = [_parent(p, definition, job) for p in parents]
    direction = definition.objective.direction
    strategy = make_strategy(_STRATEGIES[job.spec.strategy], definition.space, direction, job.spec.seed, kin)
    return MedianStopping(strategy, direction) if job.spec.early_stopping else strategy


def _hyperband(job: TuningJob, definition: Definition) -> Strategy:
    resources = hyperband_resources(job.spec.hyperband, definition.statics)
    if resources is None:
        raise InvalidValue("hyperband.max_resource", None, "neither given nor inferable", code="max-resource")
    direction = definition.objective.direction
    name = job.spec.hyperband.sampler if job.spec.hyperband else "random"
    drawn = sampler(name, definition.space, direction, job.spec.seed)
    return Hyperband(drawn, direction, *resources, self_ending=epochs_of(definition.statics) == resources[1])


def known_names(spec: TuningJobSpec) -> list[str]:
    """The hyperparameters of which the search knows more by their names than that the middle of their range is good."""
    drawn_by_model = spec.hyperband is not None and spec.hyperband.sampler == "bayesian"
    if spec.strategy is not StrategyName.BAYESIAN and not drawn_by_model:
        return []
    from rekindle.search.bayesian.known_names import known

    return list(dict.fromkeys(name for d in spec.definitions for name in known(d.space)))


def watches_curves(spec: TuningJobSpec) -> bool:
    """Whether the search may give up running training jobs by their curves."""
    return spec.early_stopping or spec.strategy is StrategyName.HYPERBAND


def given_up(snapshot: Snapshot) -> tuple[int, ...]:
    """Numbers of running training jobs that the search gives up by what is recorded."""
    if not watches_curves(snapshot.job.spec):
        return ()
    numbers: list[int] = []
    for definition in snapshot.job.spec.definitions:
        strategy = strategy_for(snapshot.job, definition, snapshot.parents)
        numbers += strategy.to_stop(history_for(snapshot, definition))
    return tuple(numbers)


def next_definition(snapshot: Snapshot) -> Definition:
    """Whose turn it is. Half of the training jobs are shared evenly, so that no definition starves; the other half go to
    the definition with the best objective so far (compared by raw value, as SageMaker does). One whose every configuration
    was launched has no more turns, as if it were not there; where that is so of all, any will tell."""
    every = snapshot.job.spec.definitions
    if len(every) == 1:
        return every[0]
    definitions = [d for d in every if not _used_up(snapshot, d)] or list(every)
    counts = {d.name: 0 for d in definitions}
    jobs = [j for j in snapshot.jobs if j.definition_name in counts]
    for job in jobs:
        counts[job.definition_name] += 1
    poorest = min(definitions, key=lambda d: counts[d.name])
    fair_share = len(jobs) / (2 * len(definitions))
    if counts[poorest.name] <= fair_share:
        return poorest
    best = best_job(jobs, definitions[0].objective.direction)
    return poorest if best is None else next(d for d in definitions if d.name == best.definition_name)


def _used_up(snapshot: Snapshot, definition: Definition) -> bool:
    """Whether each configuration of a definition was launched, told apart as its search does."""
    size = size_of(definition.ranges)
    if size is None:
        return False
    jobs = [j for j in snapshot.jobs if j.definition_name == definition.name]
    if len(jobs) < size:
        return False
    space = definition.space
    return len({space.key(configuration_of(definition, j.tuned)) for j in jobs}) >= size


def history_for(snapshot: Snapshot, definition: Definition, seq: int | None = None) -> History:
    """What the search of ``definition`` has seen up to event number ``seq`` (None: all of it)."""
    seq = snapshot.job.seq if seq is None else seq
    jobs = [j for j in snapshot.jobs if j.definition_name == definition.name and j.launched_seq <= seq]
    done = sorted((j for j in jobs if _done(j, seq)), key=lambda j: j.finished_seq or 0)
    pending = sorted((j for j in jobs if not _done(j, seq)), key=lambda j: j.launched_seq)
    made = (snapshot.trials.get(j.id) or trial_of(j, definition, snapshot.curves.get(j.id, ())) for j in done)
    rest = (_pending(j, definition, _curve_at(snapshot, j, seq), seq) for j in pending)
    return History((*made, *rest), asked=len(jobs))


def propose(snapshot: Snapshot, definition: Definition) -> Proposal | None:
    """The next configuration of ``definition`` from all that is recorded; None when its space is exhausted."""
    strategy = strategy_for(snapshot.job, definition, snapshot.parents)
    return strategy.propose(history_for(snapshot, definition))


def taken_from_parents(trial: TrainingJob) -> bool:
    """Whether a configuration was suggested since a parent did well with it. One that is there for contrast was not, even
    where a parent happens to have had it, too."""
    return trial.proposal.get("source") == "parent" and trial.number not in CONTRAST_AT


def warm_start_report(snapshot: Snapshot) -> TransferReport:
    """What the search took from each parent, judged by all that is recorded."""
    # Imported where it is used: it brings scipy.
    from rekindle.search.transfer import report

    definition = snapshot.job.spec.definition
    kin = [_parent(p, definition, snapshot.job) for p in snapshot.parents]
    return report(definition.space, definition.objective.direction, kin, history_for(snapshot, definition))


def tuned_values(proposal: Proposal) -> dict[str, str]:
    """The proposed configuration as hyperparameters."""
    return {name: format_value(value) for name, value in proposal.configuration.items()}


def hyperparameters(definition: Definition, tuned: Mapping[str, str]) -> dict[str, str]:
    """All that a training job is given: statics, tuned values and the name of the objective metric."""
    return {**definition.statics, **tuned, OBJECTIVE_HYPERPARAMETER: definition.objective.metric}


def configuration_of(definition: Definition, tuned: Mapping[str, str]) -> dict[str, Value]:
    """The configuration behind a training job's tuned hyperparameters."""
    return {p.name: _category(p, tuned[p.name]) for p in definition.ranges}


def _category(p: Parameter, text: str) -> Value:
    if isinstance(p, Categorical):
        return next((v for v in p.values if format_value(v) == text), text)
    return parse_value(p, text)


def _done(job: TrainingJob, seq: int) -> bool:
    return job.finished_seq is not None and job.finished_seq <= seq


def trial_of(job: TrainingJob, definition: Definition, curve: Sequence[CurvePoint]) -> Trial:
    """A training job that has ended, as the search sees it from then on."""
    value = _value(job)
    state = TrialState.FAILED if value is None else TrialState.SUCCEEDED
    points = _observations(curve, job.finished_seq or 0)
    configuration = configuration_of(definition, job.tuned)
    return Trial(job.number, configuration, state, value, points, job.stopped_early, job.finished_seq)


def _curve_at(snapshot: Snapshot, job: TrainingJob, seq: int) -> Sequence[CurvePoint]:
    """What a training job had emitted in the attempt that it was at by event ``seq``, and maybe later; where that is not
    recorded, what it emitted in its latest."""
    attempt = job.attempt_at(seq) or job.attempt
    return snapshot.curves.get(job.id, ()) if attempt == job.attempt else snapshot.lost.get((job.id, attempt), ())


def _pending(job: TrainingJob, definition: Definition, curve: Sequence[CurvePoint], seq: int) -> Trial:
    return Trial(job.number, configuration_of(definition, job.tuned), curve=_observations(curve, seq))


def _observations(curve: Sequence[CurvePoint], seq: int) -> tuple[Observation, ...]:
    return tuple(Observation(p.observation.step, p.observation.value, p.seq) for p in curve if p.seq <= seq)


def _value(job: TrainingJob) -> float | None:
    return job.objective_value if job.objective_status is ObjectiveStatus.SUCCEEDED else None


def _parent(parent: ParentJob, definition: Definition, job: TuningJob) -> Parent:
    """A parent as the search sees it: with this job's names, and what it held constant as parameters of one value."""
    warm, theirs = job.spec.warm_start, parent.job.spec.definition
    names = {} if warm is None else warm.names_in(parent.job.name)
    # What it searched, as the space here is what this job searches: of the same ranges the two are the same.
    called, seen = namer(names), renamed(replace(theirs, ranges=tuple(theirs.space.parameters)), names)
    constants = _constants(seen, definition)
    read = comparable(parent, definition, names)
    rows: list[tuple[Configuration, float | None]] = []
    for trial in read.jobs:
        own = {called(name): value for name, value in configuration_of(theirs, trial.tuned).items()}
        rows.append(({**constants, **own}, _value(trial)))
    space = Space((*seen.ranges, *(_point(p, constants[p.name]) for p in definition.ranges if p.name in constants)))
    identical = warm is not None and warm.type is WarmStartType.IDENTICAL and not read.mixed
    kind: ParentKind = "identical" if identical else "transfer"
    return Parent(space, rows, kind, parent.job.name, _held(seen, definition, read.mixed))


def _held(theirs: Definition, ours: Definition, names: Sequence[str]) -> dict[str, Value]:
    """What the parent tuned and the child holds, at the child's value; left out where it is none of the parent's type."""
    values = {p.name: _constant(p, ours.statics[p.name]) for p in theirs.ranges if p.name in names}
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Comparable:
    """Training jobs of a parent that a search reads, by number. ``aside`` tells how many it does not, by the reason. ``mixed``
    names parameters that are static here, and had other values in some that it does read: results of another task."""

    jobs: tuple[TrainingJob, ...]
    aside: Mapping[str, int]
    mixed: tuple[str, ...]


def comparable(parent: ParentJob, ours: Definition, names: Mapping[str, str]) -> Comparable:
    """What of a parent a search reads. Where the parent tuned a list of values of which the child holds one, those with
    another value are set aside, as long as enough are left; numbers are hardly ever the same, and are all read."""
    seen, called = renamed(parent.job.spec.definition, names), namer(names)
    jobs = tuple(sorted((j for j in parent.jobs if not j.is_running), key=lambda j: j.number))
    aside: dict[str, int] = {}
    mixed: list[str] = []
    for p in seen.ranges:
        if p.name not in ours.statics:
            continue
        held = ours.statics[p.name]
        same = tuple(j for j in jobs if alike(p, {called(n): v for n, v in j.tuned.items()}[p.name], held))
        if len(same) == len(jobs):
            continue
        if isinstance(p, Categorical) and sum(_value(j) is not None for j in same) >= LEAST_ALIKE:
            aside[f"{p.name} is not {held}"] = len(jobs) - len(same)
            jobs = same
        else:
            mixed.append(p.name)
    return Comparable(jobs, aside, tuple(mixed))


def alike(p: Parameter, one: str, other: str) -> bool:
    """Whether two hyperparameters are one value of a range: of numbers 1e-3 and 0.001 are, of a list's values, which may be
    called 1 and 1.0, no two; nor are two whole numbers that floating point takes for one."""
    if isinstance(p, Categorical) or one == other:
        return one == other
    value = _constant(p, other)
    return value is not None and _constant(p, one) == value


def _constants(theirs: Definition, ours: Definition) -> dict[str, Value]:
    """What the parent held constant and the child tunes, as values of the child's type."""
    constants: dict[str, Value] = {}
    for p in ours.ranges:
        text = theirs.statics.get(p.name)
        if text is None or p.name in theirs.space.names:
            continue
        value = _constant(p, text)
        if value is not None and _is_point(p, value):
            constants[p.name] = value
    return constants


def _constant(p: Parameter, text: str) -> Value | None:
    """What a parent held constant, as a value of the child's type; None where it is none."""
    try:
        value = _category(p, text)
        return value if isinstance(p, Categorical) or math.isfinite(float(value)) else None
    except (InvalidValue, OverflowError):
        return None


def _is_point(p: Parameter, value: Value) -> bool:
    """Whether a range can be of this value alone: one of whole numbers takes none for its ends that would be rounded."""
    return not isinstance(p, Integer) or float(value) == value


def _point(p: Parameter, value: Value) -> Parameter:
    if isinstance(p, Continuous):
        return Continuous(p.name, float(value), float(value), "Linear")
    if isinstance(p, Integer):
        return Integer(p.name, int(value), int(value), "Linear")
    return Categorical(p.name, (value,))
