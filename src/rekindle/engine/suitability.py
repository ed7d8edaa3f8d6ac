"""Whether work, somebody's or nobody's yet, suits this host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rekindle.domain.errors import NotFound, RekindleError
from rekindle.domain.training_job import TrainingSpec
from rekindle.engine.ports import Executor, JobStore, StoreUnavailable, parse_subject


@dataclass(frozen=True)
class Suitability:
    """What this host, by its executor, could do."""

    store: JobStore
    executor: Executor

    def could_begin(self, subject: str, count: int) -> bool:
        """Whether so many training jobs of a piece of work could begin here now. Raises StoreUnavailable."""
        try:
            specs = [spec for spec, _ in self._to_run(subject)]
            return bool(specs) and all(self.executor.room(spec).takes(count) for spec in specs)
        except StoreUnavailable:
            raise
        except Exception:
            # A defect is told once the work is somebody's.
            return False

    def has_room_ever(self, specs: Iterable[TrainingSpec]) -> bool:
        """Whether there will be room here, at some time, for whatever is to start."""
        return all(self.executor.room(spec).ever for spec in specs)

    def refusal_of(self, subject: str) -> RekindleError | None:
        """Why work that was accepted where it was created cannot be run here, if so: a folder may be on that machine alone."""
        try:
            for spec, given in self._to_run(subject):
                self.executor.check(spec, given)
        except StoreUnavailable:
            return None
        except RekindleError as error:
            return error
        return None

    def _to_run(self, subject: str) -> list[tuple[TrainingSpec, Mapping[str, str]]]:
        """The specs of a piece of work, each with the hyperparameters that are known before it begins; none of what is gone."""
        kind, number = parse_subject(subject)
        try:
            if kind == "tuning":
                return [(d.training, d.statics) for d in self.store.tuning_job_by_id(number).spec.definitions]
            job = self.store.training_job_by_id(number)
            return [(job.spec, job.hyperparameters)]
        except NotFound:
            return []
