"""What a host has a limited number of: slots for runs, and GPUs. Held as locks on files, by the run's supervisor.

A lock goes with the process that holds it, so nothing stays taken whatever becomes of anybody, and all processes of this
machine that share a home count the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rekindle.domain.capacity import Room
from rekindle.domain.errors import Unsupported
from rekindle.domain.training_job import TrainingSpec

#: The folder, below the root, of the slots' locks.
_SLOTS = ".slots"
#: From where on our descriptors are, so that handing them to a supervisor overwrites none.
_HIGH = 100


@dataclass(frozen=True)
class Held:
    """What was taken for one run: descriptors of locks, and the names of the GPUs that it asked for."""

    locks: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()

    def close(self) -> None:
        """Gives it back, unless it was handed on."""
        for lock in self.locks:
            os.close(lock)


class Slots:
    """The slots (None: no limit) and GPUs of a host, their locks below ``root``."""

    def __init__(self, root: Path, count: int | None, gpus: Sequence[str]) -> None:
        self._gpus = [(name, root / f"{name}.lock") for name in gpus]
        self._slots = [(str(n), root / _SLOTS / f"{n}.lock") for n in range(count or 0)]

    def check(self, spec: TrainingSpec) -> None:
        """Raises Unsupported for what this host will never have."""
        if _gpus_of(spec) > len(self._gpus):
            message = f"resources.gpus: {spec.resources.gpus}: the job {self._lack(spec)}."
            raise Unsupported(message, "Ask for fewer GPUs or instances, or leave resources.gpus out.")

    def room(self, spec: TrainingSpec) -> Room:
        """How many more runs of a spec could start now."""
        slots = [path for _, path in self._slots if _is_free(path)]
        if self._slots and not slots:
            return Room(0, f"waits for a free slot: {len(self._slots)} of {len(self._slots)} in use")
        runs = len(slots) if self._slots else None
        wanted = _gpus_of(spec)
        if not wanted:
            return Room(runs, "waits for a free slot")
        if wanted > len(self._gpus):
            return Room(0, self._lack(spec))
        free = sum(_is_free(path) for _, path in self._gpus)
        reason = f"waits for {_gpus_text(wanted)}: {len(self._gpus) - free} of {len(self._gpus)} in use"
        return Room(min(free // wanted, len(slots) if self._slots else free), reason)

    def take(self, spec: TrainingSpec) -> Held | None:
        """A slot, and as many GPUs as the spec asks for; None, and nothing is taken, where they are not free."""
        slot = _take(self._slots, 1 if self._slots else 0)
        gpus = _take(self._gpus, _gpus_of(spec)) if slot is not None else None
        if slot is None or gpus is None:
            if slot is not None:
                slot.close()
            return None
        return Held((*slot.locks, *gpus.locks), gpus.gpus)

    def _lack(self, spec: TrainingSpec) -> str:
        return f"needs {_gpus_text(_gpus_of(spec))}; {len(self._gpus) or 'none'} on this host"


def _gpus_of(spec: TrainingSpec) -> int:
    """How many GPUs a job asks for; one that chooses devices itself asks for none."""
    chosen = "CUDA_VISIBLE_DEVICES" in spec.environment
    return 0 if chosen else spec.resources.gpus * spec.resources.instance_count


def _gpus_text(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _take(places: Sequence[tuple[str, Path]], count: int) -> Held | None:
    locks: list[int] = []
    names: list[str] = []
    for name, path in places:
        if len(locks) == count:
            break
        if (lock := _lock(path)) is not None:
            locks.append(lock)
            names.append(name)
    held = Held(tuple(locks), tuple(names))
    if len(locks) < count:
        held.close()
        return None
    return held


def _lock(path: Path) -> int | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except BlockingIOError:
        return None
    finally:
        os.close(opened)


def _is_free(path: Path) -> bool:
    """Whether nobody holds it. We take it for a moment, so who wants it then comes again."""
    with contextlib.suppress(FileNotFoundError):
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(opened)
    return True
