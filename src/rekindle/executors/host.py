"""What holds for all runs of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rekindle.domain.training_job import STOP_GRACE_SECONDS, Owner, TrainingSpec
from rekindle.engine.ports import Run
from rekindle.executors import logfile
from rekindle.executors.images import ImageRule
from rekindle.executors.instances import InstanceType
from rekindle.executors.ledger import Amount
from rekindle.executors.programs import Elsewhere, Program


@dataclass(frozen=True)
class Host:
    """This machine, as the settings have it.

    Runs lie below ``root``, an absolute path. ``environment`` is what training jobs inherit. ``transfer`` is the command, to be
    followed by ``download URI FOLDER`` (any number of pairs) or ``upload PATH URI``, that moves objects; it exits with
    ``EX_TEMPFAIL`` where the store refuses the keys, ``EX_UNAVAILABLE`` where it was to give up, and ``NO_ROOM`` where a disk
    is full. ``transfer_variables`` are, for the owner of a run, added to what it sees: who it is and where the object store is.
    ``program_variables`` are how an owner's programs reach AWS's services here, as a role lets them on SageMaker.
    ``images`` is what the user says of images, before what we know of them. ``hidden`` are folders that no copy of a source
    holds. ``slots`` is how many runs this machine has at once (None: no limit), those of other executors with the same root
    among them; ``total`` the CPUs and memory that they share (None: not counted), of which ``instances`` says what each takes.
    ``cluster`` is where training jobs run; None: on this machine.
    """

    root: Path
    environment: Mapping[str, str]
    grace_seconds: float = STOP_GRACE_SECONDS
    log_head_bytes: int = logfile.HEAD_BYTES
    log_keep_bytes: int = logfile.KEEP_BYTES
    transfer: Sequence[str] = ()
    transfer_variables: Callable[[Owner], Mapping[str, str]] = lambda _owner: {}
    program_variables: Callable[[Owner], Mapping[str, str]] = lambda _owner: {}
    images: Sequence[ImageRule] = ()
    hidden: Sequence[Path] = ()
    slots: int | None = None
    instances: tuple[InstanceType, ...] = ()
    total: Amount | None = None
    cluster: Cluster | None = None

    @property
    def path(self) -> str:
        """PATH for training jobs: the user's, then the folder of the interpreter that runs us."""
        own = str(Path(sys.executable).parent)
        return _joined(self.environment.get("PATH", os.defpath), own)

    def path_of(self, spec: TrainingSpec, first: Sequence[str] = ()) -> str:
        """PATH for a training job: the folders that come ``first``, its own PATH, then everybody's."""
        return _joined(*first, spec.environment.get("PATH", ""), self.path)


class Cluster(Protocol):
    """A cluster on which training jobs run. All else, from the inputs to the journal, is their supervisors', which follow a
    program there by a process of ours (docs/decisions/0050)."""

    @property
    def name(self) -> str:
        """What it is called within a sentence."""
        ...

    def check(self, spec: TrainingSpec, host: Host) -> None:
        """Raises Unsupported for a training job that cannot be run there."""
        ...

    def check_answers(self, host: Host) -> None:
        """Raises ClusterUnavailable where it does not answer or does not let us in: told now, and not by the failure of
        training jobs, one after the other."""
        ...

    def absence(self, host: Host) -> str:
        """Why it cannot be reached, found out within a few seconds, for a worker waits; empty where it can."""
        ...

    def inherited(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """What a program there has of our environment."""
        ...

    def elsewhere(self, run: Run, folder: Path, host: Host, program: Program, environment: Mapping[str, str]) -> Elsewhere:
        """A run's program, with what it sees, as one that runs there. The command that follows it passes on what it prints,
        ends it at SIGTERM, ends with its exit code, and writes into ``workdir.LOST`` of the attempt why the cluster has lost
        it, where it has. ``removal`` ends it where that command was killed; it does not wait for a cluster that is silent."""
        ...


def _joined(*paths: str) -> str:
    """One PATH. An empty one adds nothing: it would stand for whatever folder somebody is in."""
    return os.pathsep.join(path for path in paths if path)
