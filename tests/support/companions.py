"""Training logs and metrics in memory, small but real: what the companions' ports promise, in a few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rekindle.companions.ports import LogEvent, LogStream, Point
from rekindle.domain.training_job import Owner


@dataclass(frozen=True)
class WrittenLogs:
    """Logs by owner and stream name: (milliseconds, line). A position is the number of lines before it, times ten."""

    written: Mapping[tuple[Owner, str], Sequence[tuple[int, str]]]

    def streams(self, owner: Owner, prefix: str, after: str, limit: int) -> Sequence[LogStream]:
        names = sorted(name for whose, name in self.written if whose == owner and name.startswith(prefix) and name > after)
        return [self._stream(name, self.written[owner, name]) for name in names[:limit]]

    def events(self, owner: Owner, stream: str, position: int, limit: int) -> Sequence[LogEvent] | None:
        lines = self.written.get((owner, stream))
        if lines is None:
            return None
        first = position // 10
        return [LogEvent(at, line, (first + n + 1) * 10) for n, (at, line) in enumerate(lines[first : first + limit])]

    def _stream(self, name: str, lines: Sequence[tuple[int, str]]) -> LogStream:
        return LogStream(name, 1000, lines[0][0], lines[-1][0]) if lines else LogStream(name, 1000)


@dataclass(frozen=True)
class WrittenMetrics:
    """Values by owner, job and metric."""

    written: Mapping[tuple[Owner, str, str], Sequence[Point]]

    def points(self, owner: Owner, job: str, metric: str, start: float, end: float) -> Sequence[Point]:
        return [point for point in self.written.get((owner, job, metric), ()) if start <= point.at < end]

    def names(self, owner: Owner, job: str) -> Sequence[str]:
        return sorted(metric for whose, name, metric in self.written if (whose, name) == (owner, job))
