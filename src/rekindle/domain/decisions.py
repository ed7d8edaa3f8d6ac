"""The state machine of a tuning job: what to do next, decided from what is recorded and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from rekindle.domain.completion import final, reason_to_end
from rekindle.domain.training_job import TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import Ending, TuningJob
from rekindle.search.history import Observation, Trial


@dataclass(frozen=True)
class ParentJob:
    """A parent tuning job with its training jobs. ``direct`` is False for a parent's parent, and so on."""

    job: TuningJob
    jobs: tuple[TrainingJob, ...]
    direct: bool = True


@dataclass(frozen=True)
class CurvePoint:
    """One emission of the objective by a training job, placed in the tuning job's order of events."""

    seq: int
    observation: Observation


@dataclass(frozen=True)
class Snapshot:
    """Everything recorded about one tuning job: its training jobs by number, their curves by id, its parents. ``trials`` are
    those of training jobs that have ended, by id, where somebody has made them already. ``lost`` are the curves of attempts
    before the latest, by training job id and attempt: who looks back wants them, who goes on does not."""

    job: TuningJob
    jobs: tuple[TrainingJob, ...] = ()
    parents: tuple[ParentJob, ...] = ()
    curves: Mapping[int, tuple[CurvePoint, ...]] = field(default_factory=dict)
    trials: Mapping[int, Trial] = field(default_factory=dict, repr=False, compare=False)
    lost: Mapping[tuple[int, int], tuple[CurvePoint, ...]] = field(default_factory=dict, repr=False)

    @cached_property
    def running(self) -> tuple[TrainingJob, ...]:
        """Training jobs that have not ended."""
        # What has its place among the events has ended: most have, and are passed over at once.
        return tuple([j for j in self.jobs if j.finished_seq is None and j.is_running])


@dataclass(frozen=True)
class Launch:
    """Start ``count`` more training jobs."""

    count: int


@dataclass(frozen=True)
class StopTrial:
    """Stop a running training job; ``early`` when a rule, not a person, wants it."""

    name: str
    early: bool = False


@dataclass(frozen=True)
class WindDown:
    """Launch nothing more; end like this once nothing runs."""

    ending: Ending


@dataclass(frozen=True)
class Finish:
    """Nothing runs any more: the tuning job ends."""

    ending: Ending


Action = Launch | StopTrial | WindDown | Finish


def decide(snapshot: Snapshot, now: float, to_stop: tuple[int, ...] = ()) -> list[Action]:
    """What to do next. ``to_stop`` are numbers of training jobs that the search gives up. Empty: wait."""
    job = snapshot.job
    if job.status.is_terminal:
        return []
    ending = _ending(snapshot, now)
    if ending is not None:
        return _wind_down(snapshot, ending, to_stop)
    return [*_stops(snapshot, to_stop), *_launches(snapshot)]


def _ending(snapshot: Snapshot, now: float) -> Ending | None:
    job = snapshot.job
    reason = reason_to_end(job, snapshot.jobs, now)
    if job.ending is None or not job.ending.drain:
        return job.ending or reason
    # What drains may still be cut short: by a person, by the clock, or by a criterion that a late result meets.
    return reason or job.ending


def _wind_down(snapshot: Snapshot, ending: Ending, to_stop: tuple[int, ...]) -> list[Action]:
    if not snapshot.running:
        return [Finish(final(ending, snapshot.jobs))]
    actions: list[Action] = [] if snapshot.job.ending == ending else [WindDown(ending)]
    if ending.drain:
        # The last ones are judged like all others.
        return [*actions, *_stops(snapshot, to_stop)]
    return [*actions, *(StopTrial(t.name) for t in snapshot.running if _stoppable(t))]


def _stops(snapshot: Snapshot, to_stop: tuple[int, ...]) -> list[Action]:
    stops: list[Action] = []
    for trial in snapshot.running:
        if _stoppable(trial) and (trial.stop_requested or trial.number in to_stop):
            stops.append(StopTrial(trial.name, early=not trial.stop_requested))
    return stops


def _stoppable(trial: TrainingJob) -> bool:
    return trial.status is TrainingJobStatus.IN_PROGRESS


def _launches(snapshot: Snapshot) -> list[Action]:
    limits = snapshot.job.spec.limits
    room = limits.max_parallel - len(snapshot.running)
    if limits.max_jobs is not None:
        room = min(room, limits.max_jobs - len(snapshot.jobs))
    return [Launch(room)] if room > 0 else []
