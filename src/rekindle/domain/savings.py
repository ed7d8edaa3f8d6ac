"""What early stopping saved, by an estimate that says how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rekindle.domain.training_job import TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import Definition, StrategyName, TuningJobSpec, hyperband_resources


@dataclass(frozen=True)
class Savings:
    """An epoch is one emission of the objective.

    ``stopped`` training jobs were given up by a rule. Each is taken to have needed ``full_epochs`` epochs otherwise: the median
    of those that ran to their end, or Hyperband's largest resource; the rest of them is saved, at the pace of the training job
    itself between its emissions; what it took to begin is no part of it. ``epochs`` were trained in all, ``epochs_saved`` and
    ``seconds_saved`` were not.
    """

    stopped: int
    epochs: int
    epochs_saved: int
    seconds_saved: float
    full_epochs: float

    @property
    def share(self) -> float:
        """Of all epochs that there would have been, the share that was saved."""
        return self.epochs_saved / max(self.epochs + self.epochs_saved, 1)


def savings(spec: TuningJobSpec, jobs: Sequence[TrainingJob], times: Mapping[int, Sequence[float]]) -> Savings | None:
    """What was saved so far. ``times`` are when each training job, by its id, emitted the objective (in seconds, ascending).
    None where nobody was stopped early, or nobody's full length is known."""
    epochs = {job_id: len(emitted) for job_id, emitted in times.items()}
    total, saved, seconds, lengths = 0, 0.0, 0.0, []
    for definition in spec.definitions:
        mine = [j for j in jobs if j.definition_name == definition.name]
        total += sum(epochs.get(j.id, 0) for j in mine)
        stopped = [j for j in mine if j.cut_short and not j.is_running]
        most = _most(spec, definition)
        length = _usual_length(mine, epochs) if most is None else most
        stopped = [j for j in stopped if most is None or epochs.get(j.id, 0) < most]
        if not stopped or length is None:
            continue
        lengths += [length] * len(stopped)
        paces = {j.id: pace for j in stopped if (pace := _pace(times.get(j.id, ()))) is not None}
        # Where no stopped one emitted twice, those that ran on: beginning is a small part of them.
        others = [j for j in mine if j.status is TrainingJobStatus.COMPLETED and epochs.get(j.id, 0)] or stopped
        usual = median(paces.values() if paces else [_whole_pace(j, epochs) for j in others])
        for job in stopped:
            left = max(length - epochs.get(job.id, 0), 0)
            saved += left
            seconds += left * paces.get(job.id, usual)
    if not lengths:
        return None
    return Savings(len(lengths), total, round(saved), seconds, float(median(lengths)))


def ran_in_full(spec: TuningJobSpec, job: TrainingJob, epochs: int) -> bool:
    """Whether a training job that was stopped after so many epochs had reached Hyperband's largest resource."""
    most = _most(spec, next((d for d in spec.definitions if d.name == job.definition_name), spec.definition))
    return most is not None and epochs >= most


def _most(spec: TuningJobSpec, definition: Definition) -> int | None:
    """Hyperband's largest resource; None for other strategies, and where it is not known."""
    halving = spec.strategy is StrategyName.HYPERBAND
    resources = hyperband_resources(spec.hyperband, definition.statics) if halving else None
    return None if resources is None else resources[1]


def _usual_length(jobs: Sequence[TrainingJob], epochs: Mapping[int, int]) -> float | None:
    known = [epochs.get(j.id, 0) for j in jobs if j.status is TrainingJobStatus.COMPLETED and epochs.get(j.id, 0)]
    return float(median(known)) if known else None


def _pace(times: Sequence[float]) -> float | None:
    """Seconds from one emission to the next; None where there was only one."""
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None


def _whole_pace(job: TrainingJob, epochs: Mapping[int, int]) -> float:
    """Seconds of one epoch, with what it took to begin."""
    return max(job.seconds or 0.0, 0.0) / max(epochs.get(job.id, 0), 1)
