"""What runs hold of quantities that have no pieces: CPUs and memory. An entry is a file, locked by its run's supervisor."""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rekindle.executors import locks

#: More than sums of amounts are off by, and less than anybody asks for.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Amount:
    """So many CPUs, and so much memory in GB."""

    cpus: float = 0.0
    memory: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cpus + other.cpus, self.memory + other.memory)

    def __mul__(self, count: int) -> Amount:
        return Amount(self.cpus * count, self.memory * count)

    def fits(self, total: Amount) -> bool:
        """Whether there is so much in ``total``: three times 0.1 is in 0.3, though not to a computer."""
        return self.cpus <= total.cpus + _ROUNDING and self.memory <= total.memory + _ROUNDING


class Ledger:
    """The entries below ``folder``; together they never exceed ``total``."""

    def __init__(self, folder: Path, total: Amount) -> None:
        self._folder = folder
        self.total = total

    def held(self) -> Amount:
        """What runs hold now."""
        found = Amount()
        for path in self._folder.glob("*.held"):
            found += _held_by(path)
        return found

    def take(self, wanted: Amount) -> int | None:
        """The lock of a new entry; None, and nothing is taken, where there is not so much left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._sweep()
            if not (self.held() + wanted).fits(self.total):
                return None
            path = self._folder / f"{uuid.uuid4().hex}.held"
            lock = locks.take(path)
            try:
                path.write_text(f"{wanted.cpus!r} {wanted.memory!r}\n")
            except OSError:
                if lock is not None:
                    os.close(lock)
                raise
            return lock

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While one looks what is left and takes it, no other does."""
        opened = os.open(self._folder / "mutex", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield
        finally:
            os.close(opened)

    def _sweep(self) -> None:
        """Removes entries that nobody holds any more. Only within ``_alone``: nobody is about to lock a new one."""
        for path in self._folder.glob("*.held"):
            if locks.is_free(path):
                path.unlink(missing_ok=True)


def _held_by(path: Path) -> Amount:
    """What an entry holds: nothing once its lock is free."""
    try:
        cpus, memory = path.read_text().split()
        return Amount() if locks.is_free(path) else Amount(float(cpus), float(memory))
    except (OSError, ValueError):
        # Gone, or not written yet: its writer is within _alone, where it is counted.
        return Amount()
