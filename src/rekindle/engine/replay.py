"""Replays a tuning job: whether each suggestion is what the search gives for the history that it saw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.connection import Connection

from rekindle.domain.decisions import Snapshot
from rekindle.domain.errors import InvalidValue, shown
from rekindle.domain.search_plan import ALGORITHM_VERSION, configuration_of, history_for, strategy_for, trial_of, tuned_values
from rekindle.domain.training_job import Owner, TrainingJob
from rekindle.domain.tuning_job import Definition
from rekindle.engine.helper_process import HelperProcess
from rekindle.engine.ports import JobStore
from rekindle.engine.queries import parents_of
from rekindle.engine.suggestions import is_modelled
from rekindle.search.space import SpaceError
from rekindle.search.strategy import Strategy

#: A process is started for so many suggestions at least: it takes as long to start as they take to be made.
_WORTH_A_PROCESS = 40
_BEGUN_AGAIN = "they saw the curve of a training job that was lost and begun again since"


@dataclass(frozen=True)
class Checked:
    """One suggestion replayed: what is recorded and what the search gives now (None: nothing left to try).

    ``unreadable`` says what is wrong with a record that cannot be replayed. ``incomparable`` says why the two say nothing of
    each other: the suggestion was made by another version of the search, or from results that are not there any more. Both
    are None when they can be compared.
    """

    job: TrainingJob
    recorded: Mapping[str, str]
    replayed: Mapping[str, str] | None
    incomparable: str | None = None
    unreadable: str | None = None

    @property
    def comparable(self) -> bool:
        """Whether what is recorded and what is replayed say anything of each other."""
        return self.incomparable is None and self.unreadable is None

    @property
    def agrees(self) -> bool:
        """Whether both are the same, to the last bit."""
        return self.comparable and self.replayed is not None and dict(self.recorded) == dict(self.replayed)


@dataclass(frozen=True)
class Replay:
    """The replay of a tuning job: going through it gives every suggestion in the order in which they were made."""

    snapshot: Snapshot

    def __len__(self) -> int:
        """How many suggestions there are."""
        return len(self.suggested)

    def __iter__(self) -> Iterator[Checked]:
        return map(self.check, self.suggested)

    @property
    def suggested(self) -> Sequence[TrainingJob]:
        """The training jobs that a search suggested: what was imported was not suggested here."""
        return () if self.snapshot.job.imported else self.snapshot.jobs

    def processes(self, most: int) -> int:
        """How many processes, up to ``most``, are worth their start."""
        return max(1, min(most, len(self) // _WORTH_A_PROCESS)) if is_modelled(self.snapshot.job.spec) else 1

    def side_by_side(self, processes: int) -> Iterator[Checked]:
        """What going through it gives, in the same order, by so many processes at once: one takes every so many suggestions."""
        helpers = [HelperProcess(_send_share, self, first, processes) for first in range(processes)]
        try:
            for i, trial in enumerate(self.suggested):
                # One that died, killed or out of memory, leaves its share to us.
                yield helpers[i % processes].receive() or self.check(trial)
        finally:
            for helper in helpers:
                helper.end()

    @cached_property
    def missing(self) -> tuple[int, ...]:
        """Numbers of training jobs that the store does not have, though it has later ones."""
        there = [trial.number for trial in self.snapshot.jobs]
        return tuple(sorted(set(range(1, max(there, default=0))) - set(there)))

    def check(self, trial: TrainingJob) -> Checked:
        """The replay of one suggestion: that which ``trial`` was launched for."""
        wrong = self._unreadable.get(trial.number)
        incomparable = None if wrong else self._incomparable(trial)
        if wrong or incomparable:
            return Checked(trial, trial.tuned, None, incomparable, wrong)
        definition = self._definitions[trial.definition_name]
        history = history_for(self._seen, definition, trial.proposal["seen_seq"])
        proposal = self._strategies[definition.name].propose(history)
        return Checked(trial, trial.tuned, None if proposal is None else tuned_values(proposal))

    def _incomparable(self, trial: TrainingJob) -> str | None:
        if trial.proposal.get("algorithm") != ALGORITHM_VERSION:
            return "they were made by another version of the search"
        if self._gone is not None:
            return self._gone
        lost = min([*self.missing, *self._unreadable], default=trial.number)
        if lost < trial.number:
            return f"they come after training job #{lost}, whose record is lost"
        return _BEGUN_AGAIN if self._saw_a_lost_attempt(trial) else None

    def _saw_a_lost_attempt(self, trial: TrainingJob) -> bool:
        """Whether the search looked at curves of running training jobs, one of which was lost and begun again before it was
        recorded when: what was to be seen of which attempt cannot be told."""
        rule, seen = self.snapshot.job.spec.hyperband, trial.proposal["seen_seq"]
        if rule is None or rule.sampler == "random":
            return False
        again = [t for t in self.snapshot.jobs if t.definition_name == trial.definition_name and t.attempt_at(seen) is None]
        return any(t.launched_seq <= seen and (t.finished_seq is None or t.finished_seq > seen) for t in again)

    @cached_property
    def _definitions(self) -> Mapping[str | None, Definition]:
        return {d.name: d for d in self.snapshot.job.spec.definitions}

    @cached_property
    def _unreadable(self) -> Mapping[int, str]:
        """What is wrong with records that cannot be replayed, by number."""
        told = {t.number: _wrong(t, self._definitions.get(t.definition_name)) for t in self.snapshot.jobs}
        return {number: wrong for number, wrong in told.items() if wrong is not None}

    @cached_property
    def _gone(self) -> str | None:
        """Which parents were deleted since, in words; None when all are there."""
        job, there = self.snapshot.job, {p.job.id for p in self.snapshot.parents}
        warm = job.spec.warm_start
        names = () if warm is None else (*warm.parents, *warm.ancestors)
        missing = [repr(name) for name, parent in zip(names, job.parents, strict=True) if parent not in there]
        return f"they were made with the results of {', '.join(missing)}, deleted since" if missing else None

    @cached_property
    def _seen(self) -> Snapshot:
        """The snapshot with its training jobs that have ended made into trials once, not for each suggestion again."""
        s = self.snapshot
        ended = [j for j in s.jobs if j.finished_seq is not None and j.number not in self._unreadable]
        trials = {j.id: trial_of(j, self._definitions[j.definition_name], s.curves.get(j.id, ())) for j in ended}
        return replace(s, trials=trials)

    @cached_property
    def _strategies(self) -> Mapping[str | None, Strategy]:
        s = self.snapshot
        return {name: strategy_for(s.job, definition, s.parents) for name, definition in self._definitions.items()}


def _send_share(connection: Connection, replayed: Replay, first: int, step: int) -> None:
    """What a process does: every so many suggestions, in order."""
    for trial in replayed.suggested[first::step]:
        try:
            connection.send(replayed.check(trial))
        except Exception:
            # Whoever asked meets the same error, and says it, when making this suggestion itself.
            return


def replay(store: JobStore, owner: Owner, name: str) -> Replay:
    """The replay of a tuning job as it is recorded now. Raises NotFound."""
    job = store.tuning_job(owner, name)
    jobs, lost = store.jobs_of(job.id), dict(store.curves_of_attempts(job.id))
    curves = {j.id: lost.pop((j.id, j.attempt), ()) for j in jobs}
    return Replay(Snapshot(job, jobs, tuple(parents_of(store, job)), curves, lost=lost))


def _wrong(trial: TrainingJob, definition: Definition | None) -> str | None:
    """Why no search could have seen or made what is recorded of a training job; None when one could."""
    if definition is None:
        return f"it is of a definition that the tuning job does not have, {shown(trial.definition_name)}"
    if set(trial.tuned) != set(definition.space.names):
        return f"it has values of {_names(trial.tuned)}; the ranges are of {_names(definition.space.names)}"
    if trial.objective_value is not None and not math.isfinite(trial.objective_value):
        return f"its objective value is {trial.objective_value}"
    if not isinstance(trial.proposal.get("seen_seq"), int):
        return "what its suggestion saw is not recorded"
    try:
        definition.space.check(configuration_of(definition, trial.tuned))
    except InvalidValue as error:
        return error.message
    except SpaceError as error:
        return str(error)
    return None


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
