"""A piece of work: a tuning job, or a training job of its own, with what its mover knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from rekindle.domain.decisions import ParentJob
from rekindle.domain.training_job import TrainingSpec
from rekindle.engine.memory import Memory
from rekindle.engine.ports import Lease, RunKey


@dataclass
class Work:
    """One piece of work, as long as it is ours: what is known of it goes with it."""

    lease: Lease
    #: When the lease is to be renewed, by this host's clock.
    next_renewal: float
    #: At which turn it last had something running, or was claimed.
    idle_since: int
    #: None: not known.
    running: list[RunKey] | None = None
    #: When the first of the steps began after which that is not known.
    moved_at: float = 0.0
    #: Those that waited for room when they were looked at, and may have begun since.
    pending: list[RunKey] = field(default_factory=list)
    parents: tuple[ParentJob, ...] | None = None
    memory: Memory | None = None
    wants_more: bool = False
    #: Whether it found no room for all that it wanted.
    lacks_room: bool = False
    rests_until: float = 0.0
    looked: bool = False
    #: Whether this host is known to be able to run it, or no other host would take it.
    is_checked: bool = False
    #: What it is to start, and since when it has had nothing running for want of room.
    specs: tuple[TrainingSpec, ...] = ()
    waits_since: float | None = None
    #: When it is asked next whether it is to be offered to other hosts.
    next_offer: float = 0.0

    @property
    def busy(self) -> int:
        """How many runs it has."""
        return len(self.running or ())
