"""Reading what a supervisor has told, while it goes on telling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rekindle.domain.training_job import MetricPoint, SecondaryStatus
from rekindle.engine.ports import Report, RunKey, RunState

#: So many emissions are at hand at most: a worker that comes back after a night may find millions.
MOST_POINTS = 20_000
#: How an emission's line begins (see ``Supervisor._measured``).
_EMISSION = b'{"metric":'


class JournalReader:
    """One attempt's journal, read on from where the last call left off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: When whoever reads it last saw the supervisor live; 0: never.
        self.seen_alive = 0.0
        self._begin()

    def _begin(self) -> None:
        self._head = b""
        self._offset = 0
        #: Whether more was told than is read.
        self.is_behind = False
        #: The index of the first emission that is still at hand.
        self.first = 0
        self._count = 0
        self._points: list[MetricPoint] = []
        self._phases: list[tuple[SecondaryStatus, float, str]] = []
        self._started_at: float | None = None
        #: The supervisor's process id and start time, once it has told.
        self.supervisor: tuple[int, str] | None = None
        self._end: dict[str, Any] | None = None

    def read(self, seen: int = 0) -> bool:
        """Reads what is new, as long as it keeps no more than ``MOST_POINTS`` emissions; whether there is a journal. Those
        before index ``seen`` are counted and not kept."""
        try:
            with self._path.open("rb") as file:
                if file.read(len(self._head)) != self._head:
                    # The job was forgotten, and there is another of its name.
                    self._begin()
                file.seek(self._offset)
                self.is_behind = False
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    if len(self._points) - max(0, seen - self.first) >= MOST_POINTS:
                        self.is_behind = True
                        break
                    self._offset += len(line)
                    # Who tells it, since when: no other journal begins so.
                    self._head = self._head or line
                    self._take(line, seen)
        except FileNotFoundError:
            return False
        return True

    @property
    def ended(self) -> bool:
        """Whether the end is told."""
        return self._end is not None

    def report(self, key: RunKey, seen: int) -> Report:
        """What was told so far of the run ``key``, with emissions from index ``seen`` on. Those before it are then let go."""
        self._points = self._points[max(0, seen - self.first) :]
        self.first = max(self.first, min(seen, self._count))
        end = self._end or {}
        return Report(
            key=key,
            state=RunState(end.get("end", RunState.RUNNING)),
            phases=tuple(self._phases),
            points=tuple(self._points),
            started_at=self._started_at,
            ended_at=end.get("at"),
            exit_code=end.get("exit_code"),
            failure_reason=end.get("reason"),
            model_uri=end.get("model"),
        )

    def _take(self, line: bytes, seen: int) -> None:
        if self._end is not None:
            return
        if self._count < seen and line.startswith(_EMISSION):
            # It was read whole before: of millions of them, to read each again takes a worker that begins a minute.
            self._points.clear()
            self._count += 1
            self.first = self._count
            return
        try:
            told = json.loads(line)
        except ValueError:  # the line that a supervisor was killed in the middle of
            return
        if "metric" in told:
            self._points.append(MetricPoint(self._count, told["metric"], told["value"], told["at"]))
            self._count += 1
        elif "phase" in told:
            self._phase(SecondaryStatus(told["phase"]), told["at"], told["message"])
        elif "supervisor" in told:
            self.supervisor = told["supervisor"], told["start"]
        elif "end" in told:
            self._end = told

    def _phase(self, status: SecondaryStatus, at: float, message: str) -> None:
        self._phases.append((status, at, message))
        if status is SecondaryStatus.TRAINING:
            self._started_at = at
