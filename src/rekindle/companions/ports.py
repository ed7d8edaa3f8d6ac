"""What the companions read: training jobs' logs and metrics, as protocols with their guarantees.

Both are synchronous, read only, and safe to call from several threads. Each call sees one owner's jobs and no other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rekindle.domain.training_job import Owner


@dataclass(frozen=True)
class LogStream:
    """The log of one instance in one attempt of a training job; ``name`` is ``<training job>/algo-N-<milliseconds>``.
    Times in milliseconds since the epoch."""

    name: str
    created_ms: int
    #: None while the log is empty.
    first_ms: int | None = None
    last_ms: int | None = None


@dataclass(frozen=True)
class LogEvent:
    """One line of a log, without its line end."""

    at_ms: int
    message: str
    #: Where the event after this one begins; positions only grow along a log and mean nothing else.
    end: int


@dataclass(frozen=True)
class Point:
    """One value of a metric, at a time in seconds since the epoch."""

    at: float
    value: float


class TrainingLogs(Protocol):
    """The logs of training jobs."""

    def streams(self, owner: Owner, prefix: str, after: str, limit: int) -> Sequence[LogStream]:
        """At most ``limit`` streams whose names start with ``prefix`` and come after ``after`` (``""``: all), by name."""
        ...

    def events(self, owner: Owner, stream: str, position: int, limit: int) -> Sequence[LogEvent] | None:
        """At most ``limit`` events from ``position`` on (0: the oldest kept), in order; only complete lines, but for the
        last of a log that has ended. None where there is no such stream."""
        ...


class TrainingMetrics(Protocol):
    """The metrics that training jobs wrote to their logs."""

    def points(self, owner: Owner, job: str, metric: str, start: float, end: float) -> Sequence[Point]:
        """The values of one metric with ``start <= at < end``, in order; empty where there is no such job or metric."""
        ...

    def names(self, owner: Owner, job: str) -> Sequence[str]:
        """The metrics of which a training job has written a value, as ``points`` knows them, by name."""
        ...
