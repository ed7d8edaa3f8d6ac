"""Suggestions for what to try next: made where they are asked for, or by processes beside the worker (``suggestion_pool``)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from rekindle.domain.decisions import Snapshot
from rekindle.domain.search_plan import propose
from rekindle.domain.tuning_job import Definition, StrategyName, TuningJobSpec
from rekindle.search.strategy import Proposal

Proposer = Callable[[Snapshot, Definition], Proposal | None]


@dataclass(frozen=True)
class Suggestion:
    """What to try next; ``proposal`` is None where the space is exhausted. It follows from what was recorded up to event
    number ``seen_seq`` of the tuning job and from nothing else."""

    proposal: Proposal | None
    seen_seq: int


class Suggester(Protocol):
    """Makes suggestions, one at a time for each tuning job."""

    def suggest(self, snapshot: Snapshot, definition: Definition) -> Suggestion | None:
        """The next configuration of a definition. None while it is being made: whoever asks again once it is ``answered`` gets
        it. One that was asked for before and no longer follows from what is recorded is thrown away and made anew."""
        ...

    def forget(self, job_id: int) -> None:
        """Nothing is wanted for a tuning job any more, for now."""
        ...

    def asked_for_others(self, job_id: int) -> int:
        """For how many other tuning jobs a suggestion is being made or waits to be used: each may soon start a training job."""
        ...

    def answered(self) -> Collection[int]:
        """The tuning jobs whose suggestion has come and waits to be used."""
        ...

    def descriptors(self) -> Sequence[int]:
        """File descriptors, one of which can be read once an answer comes."""
        ...

    def close(self) -> None:
        """Ends what was started."""
        ...


def is_modelled(spec: TuningJobSpec) -> bool:
    """Whether the search fits a model to results, which takes its time."""
    sampler = spec.hyperband.sampler if spec.strategy is StrategyName.HYPERBAND and spec.hyperband else None
    return spec.strategy is StrategyName.BAYESIAN or sampler == "bayesian"


@dataclass(frozen=True)
class HereAndNow(Suggester):
    """Makes every suggestion in this process when it is asked for."""

    propose: Proposer = propose

    def suggest(self, snapshot: Snapshot, definition: Definition) -> Suggestion | None:
        """See Suggester; never None."""
        return Suggestion(self.propose(snapshot, definition), snapshot.job.seq)

    def forget(self, job_id: int) -> None:
        """See Suggester."""

    def asked_for_others(self, job_id: int) -> int:
        """See Suggester."""
        return 0

    def answered(self) -> Collection[int]:
        """See Suggester."""
        return ()

    def descriptors(self) -> Sequence[int]:
        """See Suggester."""
        return ()

    def close(self) -> None:
        """See Suggester."""
