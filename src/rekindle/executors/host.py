"""What holds for all runs of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rekindle.domain.training_job import STOP_GRACE_SECONDS, Owner, TrainingSpec
from rekindle.executors import logfile
from rekindle.executors.images import ImageRule
from rekindle.executors.instances import InstanceType
from rekindle.executors.ledger import Amount


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
    ``ray`` is the address of the Ray cluster on which training jobs run; empty: they run on this machine.
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
    ray: str = ""

    @property
    def path(self) -> str:
        """PATH for training jobs: the user's, then the folder of the interpreter that runs us."""
        own = str(Path(sys.executable).parent)
        return _joined(self.environment.get("PATH", os.defpath), own)

    def path_of(self, spec: TrainingSpec, first: Sequence[str] = ()) -> str:
        """PATH for a training job: the folders that come ``first``, its own PATH, then everybody's."""
        return _joined(*first, spec.environment.get("PATH", ""), self.path)


def _joined(*paths: str) -> str:
    """One PATH. An empty one adds nothing: it would stand for whatever folder somebody is in."""
    return os.pathsep.join(path for path in paths if path)
