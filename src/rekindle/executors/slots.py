"""What a host has a limited number of: slots for runs, GPUs, CPUs, memory. Held as locks on files, by the run's supervisor.

A lock goes with the process that holds it, so nothing stays taken whatever becomes of anybody, and all processes of this
machine that share a home count the same.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rekindle.domain.capacity import Room
from rekindle.domain.errors import Unsupported
from rekindle.domain.training_job import TrainingSpec
from rekindle.executors import locks, machine
from rekindle.executors.host import Host
from rekindle.executors.instances import asked
from rekindle.executors.ledger import Amount, Ledger

#: The folders, below the root, of the slots' locks and of the ledger.
_SLOTS, _LEDGER = ".slots", ".ledger"


@dataclass(frozen=True)
class Held:
    """What was taken for one run: descriptors of locks, and the names of the GPUs that it has."""

    locks: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()

    def close(self) -> None:
        """Gives it back, unless it was handed on."""
        for lock in self.locks:
            os.close(lock)


class Slots:
    """The slots, GPUs, CPUs and memory of a host; their locks lie below its root."""

    def __init__(self, host: Host) -> None:
        self._elsewhere = host.cluster is not None
        gpus = () if self._elsewhere else machine.gpus(host.environment)
        self._gpus = [(name, host.root / f"{name}.lock") for name in gpus]
        self._slots = [(str(n), host.root / _SLOTS / f"{n}.lock") for n in range(host.slots or 0)]
        self._instances = host.instances
        self._ledger = None if host.total is None else Ledger(host.root / _LEDGER, host.total)

    def check(self, spec: TrainingSpec) -> None:
        """Raises Unsupported for what this host will never have."""
        lack = self._lack(spec)
        if lack is not None:
            field, value, text = lack
            raise Unsupported(f"{field}: {value}: the job {text}.", "Ask for less, or for fewer instances.", field)

    def room(self, spec: TrainingSpec) -> Room:
        """How many more runs of a spec could start now."""
        lack = self._lack(spec)
        if lack is not None:
            return Room(0, lack[2], ever=False)
        rooms = [self._slots_room(), self._gpus_room(self._gpus_of(spec)), *self._amount_rooms(self._amount_of(spec))]
        limited = [room for room in rooms if room.runs is not None]
        # What is the scarcest says why.
        return min(limited, key=lambda room: room.runs or 0) if limited else Room()

    def take(self, spec: TrainingSpec) -> Held | None:
        """A slot, the GPUs, CPUs and memory that a run of the spec takes; None, and nothing is taken, where they are not
        free."""
        with contextlib.ExitStack() as unless_all:
            slot = _take(self._slots, min(1, len(self._slots)), unless_all)
            gpus = None if slot is None else _take(self._gpus, self._gpus_of(spec), unless_all)
            amount = None if gpus is None else self._take_amount(self._amount_of(spec))
            if slot is None or gpus is None or amount is None:
                return None
            unless_all.pop_all()
        return Held((*slot.values(), *gpus.values(), *amount), tuple(gpus))

    def _slots_room(self) -> Room:
        if not self._slots:
            return Room()
        free = sum(locks.is_free(path) for _, path in self._slots)
        return Room(free, f"waits for a free slot: {len(self._slots) - free} of {len(self._slots)} in use")

    def _gpus_room(self, wanted: int) -> Room:
        if not wanted:
            return Room()
        free = sum(locks.is_free(path) for _, path in self._gpus)
        reason = f"waits for {_counted(wanted, 'GPU')}: {len(self._gpus) - free} of {len(self._gpus)} in use"
        return Room(free // wanted, reason)

    def _amount_rooms(self, wanted: Amount) -> list[Room]:
        if self._ledger is None or wanted == Amount():
            return []
        held, total = self._ledger.held(), self._ledger.total
        cpus = f"waits for {_counted(wanted.cpus, 'CPU')}: {held.cpus:g} of {total.cpus:g} in use"
        memory = f"waits for {wanted.memory:g} GB of memory: {held.memory:g} of {total.memory:g} GB in use"
        return [
            *([Room(_fits(total.cpus - held.cpus, wanted.cpus), cpus)] if wanted.cpus else []),
            *([Room(_fits(total.memory - held.memory, wanted.memory), memory)] if wanted.memory else []),
        ]

    def _take_amount(self, wanted: Amount) -> tuple[int, ...] | None:
        if self._ledger is None or wanted == Amount():
            return ()
        lock = self._ledger.take(wanted)
        return None if lock is None else (lock,)

    def _gpus_of(self, spec: TrainingSpec) -> int:
        """How many GPUs of this host a job takes; one that chooses devices itself takes none."""
        if self._elsewhere or "CUDA_VISIBLE_DEVICES" in spec.environment:
            return 0
        return asked(self._instances, spec.resources).gpus * spec.resources.instance_count

    def _amount_of(self, spec: TrainingSpec) -> Amount:
        return asked(self._instances, spec.resources).amount * spec.resources.instance_count

    def _lack(self, spec: TrainingSpec) -> tuple[str, object, str] | None:
        """The field that asks for more than this host has, its value, and the reason."""
        resources, gpus, amount = spec.resources, self._gpus_of(spec), self._amount_of(spec)
        by_type = ("resources.instance_type", repr(resources.instance_type))
        if gpus > len(self._gpus):
            field = ("resources.gpus", resources.gpus) if resources.gpus else by_type
            return *field, f"needs {_counted(gpus, 'GPU')}; {len(self._gpus) or 'none'} on this host"
        if self._ledger is None:
            return None
        total = self._ledger.total
        if not Amount(cpus=amount.cpus).fits(total):
            field = ("resources.cpus", resources.cpus) if resources.cpus else by_type
            return *field, f"needs {_counted(amount.cpus, 'CPU')}; {total.cpus:g} on this host"
        if not Amount(memory=amount.memory).fits(total):
            return *by_type, f"needs {amount.memory:g} GB of memory; {total.memory:g} GB on this host"
        return None


def _fits(free: float, wanted: float) -> int:
    return max(0, math.floor(free / wanted + 1e-9))


def _counted(count: float, unit: str) -> str:
    return f"1 {unit}" if count == 1 else f"{count:g} {unit}s"


def _take(places: Sequence[tuple[str, Path]], count: int, taken: contextlib.ExitStack) -> dict[str, int] | None:
    """Locks by their names, so many of those that are free, which ``taken`` closes; None where there are fewer."""
    found: dict[str, int] = {}
    for name, path in places:
        if len(found) == count:
            break
        if (lock := locks.take(path)) is not None:
            taken.callback(os.close, lock)
            found[name] = lock
    return found if len(found) == count else None
