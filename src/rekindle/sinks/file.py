"""The file: a line of JSON for each event, on the disk before it counts as told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rekindle.engine.ports import Event, Undelivered


@dataclass(frozen=True)
class EventFile:
    """A sink that appends to ``path``, made where it is not there, so that it may be moved away at any time."""

    path: Path
    name: str = "file"

    def deliver(self, event: Event) -> None:
        """See Sink."""
        try:
            self._append(event.body.encode() + b"\n")
        except OSError as error:
            raise Undelivered(f"{self.path}: {error.strerror or error}") from error

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Hyperparameters are in it: nobody else's business.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # A line that a crash or a full disk cut short is ended first; it then fails to parse on its own.
            whole = line if _ends_a_line(descriptor) else b"\n" + line
            while whole:
                whole = whole[os.write(descriptor, whole) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _ends_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
