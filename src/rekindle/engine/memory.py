"""What a worker need not read again: records of a tuning job that cannot change any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rekindle.domain.decisions import CurvePoint, ParentJob, Snapshot
from rekindle.domain.search_plan import given_up, trial_of, watches_curves
from rekindle.domain.training_job import TrainingJob
from rekindle.domain.tuning_job import TuningJob
from rekindle.engine.ports import JobStore
from rekindle.search.history import Observation, Trial

#: Before the first event.
_NOTHING = -1


@dataclass
class Memory:
    """The training jobs of one tuning job that had ended by event number ``seq``, and all emissions up to it.

    Neither can change, so reading on from there gives what reading everything would give: the same records, at a cost that
    follows what runs and not what has run. A new one knows nothing and reads everything. Whose step fails forgets it.
    """

    seq: int = _NOTHING
    #: By which event the search was asked last what it gives up.
    judged: int = _NOTHING
    _ended: dict[int, TrainingJob] = field(default_factory=dict, repr=False)
    _curves: dict[int, tuple[CurvePoint, ...]] = field(default_factory=dict, repr=False)
    _attempts: dict[int, int] = field(default_factory=dict, repr=False)
    _trials: dict[int, Trial] = field(default_factory=dict, repr=False)

    def read(self, store: JobStore, job_id: int, parents: tuple[ParentJob, ...]) -> Snapshot:
        """All that is recorded about the tuning job. Raises NotFound."""
        job = store.tuning_job_by_id(job_id)
        if job.seq < max(self.seq, self.judged):
            # A copy of the database was put back, or a replica goes on that had not received the last commits.
            self._forget()
        fresh = store.jobs_of(job_id, self.seq)
        known = {**self._ended, **{j.number: j for j in fresh}}
        jobs = tuple([known[number] for number in sorted(known)])
        if watches_curves(job.spec):
            self._read_on(store, job, fresh)
        self._remember(job, fresh)
        return Snapshot(job, jobs, parents, dict(self._curves), dict(self._trials))

    def given_up(self, snapshot: Snapshot) -> tuple[int, ...]:
        """Numbers of running training jobs that the search gives up; none where no event has come since it was last asked: the
        same history has the same answer, and what it was has been saved."""
        if snapshot.job.seq == self.judged:
            return ()
        found = given_up(snapshot)
        self.judged = snapshot.job.seq
        return found

    def _forget(self) -> None:
        self.seq = self.judged = _NOTHING
        for known in (self._ended, self._curves, self._attempts, self._trials):
            known.clear()

    def _read_on(self, store: JobStore, job: TuningJob, fresh: tuple[TrainingJob, ...]) -> None:
        for one in fresh:
            if self._attempts.get(one.id) != one.attempt:
                self._curves.pop(one.id, None)
                self._attempts[one.id] = one.attempt
        for job_id, points in store.curves(job.id, self.seq).items():
            self._curves[job_id] = continued(self._curves.get(job_id, ()), points)

    def _remember(self, job: TuningJob, fresh: tuple[TrainingJob, ...]) -> None:
        definitions = {d.name: d for d in job.spec.definitions}
        for one in fresh:
            if one.finished_seq is not None and one.finished_seq <= job.seq:
                self._ended[one.number] = one
                self._trials[one.id] = trial_of(one, definitions[one.definition_name], self._curves.get(one.id, ()))
        self.seq = job.seq


def continued(known: tuple[CurvePoint, ...], more: tuple[CurvePoint, ...]) -> tuple[CurvePoint, ...]:
    """A curve with later emissions behind it, their steps counted on."""
    return (*known, *_counted(len(known), more)) if more else known


def _counted(steps: int, points: tuple[CurvePoint, ...]) -> Iterator[CurvePoint]:
    for step, point in enumerate(points, start=steps + 1):
        yield CurvePoint(point.seq, Observation(step, point.observation.value))
