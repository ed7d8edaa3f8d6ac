"""The file: a line of JSON for each event, on the disk before it counts as told."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from rekindle.engine.event_ports import Event, Undelivered


@dataclass(frozen=True)
class EventFile:
    """A sink that appends to ``path``, made where it is not there, so that it may be moved away at any time; a pipe is one,
    too."""

    path: Path
    name: str = "file"

    def deliver(self, event: Event) -> None:
        """See Sink."""
        try:
            self._append(event.body.encode() + b"\n")
        except OSError as error:
            raise Undelivered(f"{self.path}: {self._why(error)}") from error

    def _why(self, error: OSError) -> object:
        if error.errno == errno.ENXIO and self.path.is_fifo():
            return "nobody reads it"
        # Linux says no such device or address of it, too, and macOS that it is not supported. Of no other error is it asked: in
        # a folder that may not be searched, to look would be the next one.
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP) and self.path.is_socket():
            return "it is a socket, which nothing can be appended to; name a file or a pipe"
        return error.strerror or error

    def _append(self, line: bytes) -> None:
        if self.path.exists() and not self.path.is_file():
            self._pass_on(line)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Hyperparameters are in it: nobody else's business.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # A line that a crash or a full disk cut short is ended first; it then fails to parse on its own.
            _write(descriptor, line if _ends_a_line(descriptor) else b"\n" + line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _pass_on(self, line: bytes) -> None:
        """To a pipe or a terminal, such as ``/dev/stdout``, which keeps nothing and cannot be synced."""
        # A pipe that nobody reads refuses to be opened so; what is written there would be lost.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.set_blocking(descriptor, True)
            _write(descriptor, line)
        finally:
            os.close(descriptor)


def _write(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]


def _ends_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
