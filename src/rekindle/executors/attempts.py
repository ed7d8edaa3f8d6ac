"""An attempt's folder: what it says of the attempt. Nothing that matters is in anybody's memory.

The lock says whether the attempt's supervisor lives, the journal's being there that it has begun, and the journal's end what
became of it::

    no orders                              never launched
    lock free, no journal                  a launcher died half-way: launch again
    lock held                              runs
    lock free, journal without an end      lost
    journal with an end                    ended
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rekindle.engine.ports import NO_POINTS, Clock, RunState, StoreUnavailable
from rekindle.engine.room import lacks_room
from rekindle.executors import leftovers, locks, records, workdir
from rekindle.executors.journal import JournalReader

#: Seconds between looks while another process launches the same run.
_GLANCE = 0.01
#: Seconds after which a launch by another process, which should take milliseconds, is taken for stuck.
_LAUNCH_PATIENCE = 60.0
#: Seconds after which a supervisor that did not come to begin is started again: whatever keeps it from that takes a while to
#: change, such as a package that is being replaced.
_RESTART_SECONDS = 5.0
#: Why a run is lost.
LOST = "The supervisor of the training job vanished."
#: What the system says of what is not there, or never can be.
NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG})


def away(folder: Path, error: OSError) -> StoreUnavailable:
    """What to raise where a folder cannot be looked up: a file system that is away for a moment has lost nothing."""
    hint = "Nothing that was recorded is lost; try again when the file system is there."
    return StoreUnavailable(f"the folder {folder}: {error.strerror}.", hint)


def is_there(path: Path) -> bool:
    """Whether there is a file or folder. Raises StoreUnavailable where that cannot be looked up; ``Path.exists`` calls some of
    that, and from Python 3.14 on all of it, not being there."""
    try:
        path.stat()
    except OSError as error:
        if error.errno in NOT_THERE:
            return False
        raise away(path.parent, error) from error
    return True


@dataclass(frozen=True)
class Attempt:
    """The attempt whose folder this is, which need not be there yet."""

    folder: Path

    @property
    def number(self) -> int:
        """Which of the training job's attempts it is."""
        return int(self.folder.name)

    @property
    def is_ordered(self) -> bool:
        """Whether it was launched."""
        return is_there(self.folder / workdir.ORDERS)

    @property
    def has_begun(self) -> bool:
        """Whether its supervisor has."""
        return is_there(self.folder / workdir.JOURNAL)

    @property
    def is_free(self) -> bool:
        """Whether nobody holds its lock."""
        return locks.is_free(self.folder / workdir.LOCK)

    @property
    def runs(self) -> bool:
        """Whether its end is still to come."""
        reader = self.journal()
        return not self.is_free and not (reader.read(NO_POINTS) and reader.ended)

    def stumbled(self, now: float) -> str:
        """The last that its supervisor said, which has ended just now, before it had begun; empty where none has."""
        path = self.folder / workdir.ERRORS
        with contextlib.suppress(OSError):
            if abs(now - path.stat().st_mtime) < _RESTART_SECONDS:
                return path.read_text(errors="replace").strip().rpartition("\n")[2]
        return ""

    def journal(self) -> JournalReader:
        """What its supervisor tells."""
        return JournalReader(self.folder / workdir.JOURNAL)

    def order(self, fields: records.Fields) -> None:
        """Writes its orders. Only for who holds its lock."""
        (self.folder / workdir.ORDERS).write_bytes(records.pack(fields))

    def ask_to_stop(self, give_up: bool) -> None:
        """Notes that it is to stop and, if so, to wait no longer for an object store. Raises StoreUnavailable."""
        with self._or_no_room():
            (self.folder / workdir.STOP).touch()
            if give_up:
                (self.folder / workdir.GIVE_UP).touch()

    def tell_transfers(self, environment: Sequence[str]) -> None:
        """Says what its transfers see from now on, for the user alone and whole or not at all. Raises OSError or ValueError."""
        path = self.folder / workdir.TRANSFER
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_bytes(records.pack({"transfer environment": environment}))
        draft.replace(path)

    @contextlib.contextmanager
    def launching(self, clock: Clock) -> Iterator[int | None]:
        """Its lock, for the one who is to launch it; None when it has begun or others see to it."""
        deadline = clock.now() + _LAUNCH_PATIENCE
        while not self.has_begun and clock.now() <= deadline:
            if (lock := locks.take(self.folder / workdir.LOCK)) is not None:
                try:
                    yield None if self.has_begun else lock
                finally:
                    # Our copy only: the lock lives on in the supervisor that was given it.
                    os.close(lock)
                return
            clock.sleep(_GLANCE)
        yield None

    def declare_lost(self, now: float, seen_alive: float) -> None:
        """Kills what a vanished supervisor left running and writes the end in its place: from here on, lost is final.
        ``seen_alive``: when somebody last saw the supervisor live; 0 where nobody who still knows has.

        To be called for an attempt that has begun and whose lock was free after that: nobody holds it for long any more.
        Raises StoreUnavailable.
        """
        with self._or_no_room(), (self.folder / workdir.LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            reader = self.journal()
            if reader.read(NO_POINTS) and not reader.ended:
                # Nobody may have looked for days, which are no part of its run time.
                self._end_as_lost(min(now, max(seen_alive, self._last_sign(now))))

    def _end_as_lost(self, at: float) -> None:
        leftovers.kill_marked(str(self.folder))
        ordered = self._orders()
        leftovers.end_elsewhere(ordered.get("remove", []), ordered.get("environment", []))
        for inside in ordered.get("fetched", []):
            # There may be no next attempt, and one that there is may bring the same data to the same place once this is told.
            with contextlib.suppress(OSError):
                workdir.remove_tree(str(self.folder.parent.parent / inside))
        with (self.folder / workdir.JOURNAL).open("ab") as journal:
            # A line that was cut short is ended first, and then fails to parse on its own.
            journal.write(b"\n" + records.end(RunState.LOST.value, at, None, LOST, None))

    def _orders(self) -> records.Fields:
        """Its orders; none where a power cut has left a part of them, or zeros in their place."""
        try:
            return records.unpack((self.folder / workdir.ORDERS).read_bytes())
        except ValueError:
            return {}

    def _last_sign(self, now: float) -> float:
        """Until when a vanished supervisor lived at least: when it last wrote what the training job printed."""
        with contextlib.suppress(OSError, ValueError):
            return max(p.stat().st_mtime for p in self.folder.iterdir() if p.name.startswith(("journal", "log-")))
        return now

    @contextlib.contextmanager
    def _or_no_room(self) -> Iterator[None]:
        """A full disk is no defect: who works on a job is told so, and tries again. Raises StoreUnavailable."""
        try:
            yield
        except OSError as error:
            if not lacks_room(error):
                raise
            hint = "Free some space and try again; nothing that was recorded is lost."
            raise StoreUnavailable(f"the folder {self.folder.parent.parent}: the disk is full.", hint) from error
