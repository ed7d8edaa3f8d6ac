"""Replays a tuning job: whether each suggestion is what the search gives for the history that it saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rekindle.domain.decisions import Snapshot
from rekindle.domain.search_plan import ALGORITHM_VERSION, history_for, strategy_for, tuned_values
from rekindle.domain.training_job import Owner, TrainingJob
from rekindle.domain.tuning_job import Definition
from rekindle.engine.ports import JobStore
from rekindle.engine.queries import parents_of


@dataclass(frozen=True)
class Checked:
    """One suggestion replayed: what is recorded and what the search gives now (None: nothing left to try).

    ``incomparable`` says why the two say nothing of each other: the suggestion was made by another version of the search, or
    from parents that are not there any more. None when they can be compared.
    """

    job: TrainingJob
    recorded: Mapping[str, str]
    replayed: Mapping[str, str] | None
    incomparable: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether both are the same, to the last bit."""
        return self.incomparable is None and self.replayed is not None and dict(self.recorded) == dict(self.replayed)


def replay(store: JobStore, owner: Owner, name: str) -> Iterator[Checked]:
    """Every suggestion of a tuning job in the order in which they were made. Raises NotFound. Jobs without a recorded
    proposal (imported ones) are left out."""
    job = store.tuning_job(owner, name)
    snapshot = Snapshot(job, store.jobs_of(job.id), tuple(parents_of(store, job)), store.curves(job.id))
    definitions = {d.name: d for d in job.spec.definitions}
    gone = _gone(snapshot)
    for trial in snapshot.jobs:
        if "seen_seq" in trial.proposal:
            yield _check(snapshot, definitions[trial.definition_name], trial, gone)


def _gone(snapshot: Snapshot) -> str | None:
    """Which parents of a tuning job were deleted since, in words; None when all are there."""
    job, there = snapshot.job, {p.job.id for p in snapshot.parents}
    warm = job.spec.warm_start
    names = () if warm is None else (*warm.parents, *warm.ancestors)
    missing = [repr(name) for name, parent in zip(names, job.parents, strict=True) if parent not in there]
    return f"they were made with the results of {', '.join(missing)}, deleted since" if missing else None


def _check(snapshot: Snapshot, definition: Definition, trial: TrainingJob, gone: str | None) -> Checked:
    if trial.proposal.get("algorithm") != ALGORITHM_VERSION:
        return Checked(trial, trial.tuned, None, "they were made by another version of the search")
    if gone is not None:
        return Checked(trial, trial.tuned, None, gone)
    strategy = strategy_for(snapshot.job, definition, snapshot.parents)
    proposal = strategy.propose(history_for(snapshot, definition, trial.proposal["seen_seq"]))
    return Checked(trial, trial.tuned, None if proposal is None else tuned_values(proposal))
