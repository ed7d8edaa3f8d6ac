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

    ``comparable`` is False for one made by another version of the algorithm, which says nothing about either.
    """

    job: TrainingJob
    recorded: Mapping[str, str]
    replayed: Mapping[str, str] | None
    comparable: bool

    @property
    def agrees(self) -> bool:
        """Whether both are the same, to the last bit."""
        return self.replayed is not None and dict(self.recorded) == dict(self.replayed)


def replay(store: JobStore, owner: Owner, name: str) -> Iterator[Checked]:
    """Every suggestion of a tuning job in the order in which they were made. Raises NotFound. Jobs without a recorded
    proposal (imported ones) are left out."""
    job = store.tuning_job(owner, name)
    snapshot = Snapshot(job, store.jobs_of(job.id), tuple(parents_of(store, job)), store.curves(job.id))
    definitions = {d.name: d for d in job.spec.definitions}
    for trial in snapshot.jobs:
        if "seen_seq" in trial.proposal:
            yield _check(snapshot, definitions[trial.definition_name], trial)


def _check(snapshot: Snapshot, definition: Definition, trial: TrainingJob) -> Checked:
    strategy = strategy_for(snapshot.job, definition, snapshot.parents)
    proposal = strategy.propose(history_for(snapshot, definition, trial.proposal["seen_seq"]))
    replayed = None if proposal is None else tuned_values(proposal)
    return Checked(trial, trial.tuned, replayed, trial.proposal.get("algorithm") == ALGORITHM_VERSION)
