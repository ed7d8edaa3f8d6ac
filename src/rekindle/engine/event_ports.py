"""What the engine needs to tell other systems of events, as protocols with their guarantees (see ``ports``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rekindle.domain.training_job import TrainingJob
from rekindle.domain.tuning_job import TuningJob


@dataclass(frozen=True)
class Event:
    """A state change as other systems are told of it: an id of its own, when it was (seconds since the epoch), its JSON.
    One that has just been made says by ``sinks`` whom it is for."""

    id: str
    at: float
    body: str
    sinks: tuple[str, ...] = ()


class Announcer(Protocol):
    """Makes events of state changes, and says whom each is for. A store calls it within the transaction that saves them, so it
    is pure and quick."""

    def training_job(self, job: TrainingJob) -> Event:
        """The event of a training job's being in the state that it is in."""
        ...

    def tuning_job(self, job: TuningJob, jobs: Sequence[TrainingJob]) -> Event:
        """The event of a tuning job's being in the state that it is in, with its training jobs."""
        ...


class Undelivered(Exception):
    """A sink did not take an event; ``final`` when it never will take this one. The message holds nothing secret."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Sink(Protocol):
    """Where events go."""

    @property
    def name(self) -> str:
        """What its events are kept under in the outbox."""
        ...

    def deliver(self, event: Event) -> None:
        """Returns once the sink has the event for good; within a few seconds. Raises Undelivered. An event may come again."""
        ...


@dataclass(frozen=True)
class SinkState:
    """How the telling of a sink goes: how many events it was told, wait (the oldest since when) and were given up; how often
    it has failed in a row, when it is tried next and why it failed."""

    name: str
    told: int = 0
    waiting: int = 0
    oldest: float | None = None
    given_up: int = 0
    failures: int = 0
    due_at: float | None = None
    error: str | None = None


class Outbox(Protocol):
    """Events that have not been told yet, in the order of the state changes. One holder at a time tells a sink."""

    def claim_events(self, sink: str, holder: str, now: float, until: float, limit: int) -> Sequence[Event]:
        """The oldest events for a sink, which is this holder's until then; none where nothing waits, or the sink is another's
        or put off."""
        ...

    def told(self, sink: str, holder: str, event: Event, until: float) -> None:
        """Takes an event out; the sink stays the holder's until then. Raises LeaseLost."""
        ...

    def put_off(self, sink: str, holder: str, due: float, error: str) -> None:
        """Leaves a sink alone until ``due``. Raises LeaseLost."""
        ...

    def give_up(self, sink: str, holder: str, event: Event, now: float, error: str) -> None:
        """Sets an event aside: it is kept and not told. Raises LeaseLost."""
        ...

    def release_sink(self, sink: str, holder: str) -> None:
        """Gives a sink back; nothing happens if it is another's."""
        ...

    def sink_states(self) -> Sequence[SinkState]:
        """Every sink that ever had an event."""
        ...

    def try_again(self, sink: str = "") -> int:
        """Lets the events of a sink (empty: of all) that were set aside wait again, and it be tried at once; how many."""
        ...

    def drop_events(self, sink: str = "") -> int:
        """Throws away every event that a sink (empty: any) has not been told; how many."""
        ...
