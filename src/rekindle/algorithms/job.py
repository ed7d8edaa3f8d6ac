"""What a training job's own process sees: its folders, hyperparameters, channels and hosts, by SageMaker's contract."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rekindle.domain.builtins.rules import Refused

#: The exit code of a job that failed by its user's data or values.
USER_ERROR = 1
#: What to do where the memory is too small.
LESS = "train on fewer rows, features or classes, let fewer training jobs run at once, or use a machine with more memory"


class UserError(Exception):
    """Something that the user of the algorithm can mend; the message is what they read."""


@dataclass(frozen=True)
class Job:
    """The training job that this process is, or is one host of. ``channels`` are the content types by name; ``checkpoints``
    is a folder that is there again at the next attempt, ``keeps_checkpoints`` whether the user asked for it."""

    hyperparameters: Mapping[str, str]
    channels: Mapping[str, str | None]
    data: Path
    model: Path
    output: Path
    checkpoints: Path
    keeps_checkpoints: bool
    host: str
    hosts: tuple[str, ...]

    def channel(self, name: str) -> Path:
        """The folder of a channel's files."""
        return self.data / name


class Stop:
    """Whether the job was asked to stop: SIGTERM, two minutes before SIGKILL."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def this_job() -> Job:
    """The job of this process, from the variables and files that it was started with."""
    folder = Path(os.environ["SM_INPUT_DIR"])
    config = folder / "config"
    resources = _read(config / "resourceconfig.json")
    channels = _read(config / "inputdataconfig.json")
    return Job(
        hyperparameters=_read(config / "hyperparameters.json"),
        channels={name: told.get("ContentType") for name, told in channels.items()},
        data=folder / "data",
        model=Path(os.environ["SM_MODEL_DIR"]),
        output=Path(os.environ["SM_OUTPUT_DATA_DIR"]),
        checkpoints=Path(os.environ["SM_CHECKPOINT_DIR"]),
        keeps_checkpoints=(config / "checkpointconfig.json").exists(),
        host=resources["current_host"],
        hosts=tuple(resources["hosts"]),
    )


def run(train: Callable[[Job], None]) -> int:
    """Trains, and leaves the reason where it fails; the exit code."""
    job = this_job()
    try:
        train(job)
    except (UserError, Refused) as error:
        return _failed(job, f"Customer Error: {error}")
    except MemoryError:
        return _failed(job, f"Out of memory: {LESS}")
    except Exception as error:  # whatever the library raises belongs into the failure reason, too
        traceback.print_exc()
        return _failed(job, f"{type(error).__name__}: {error}")
    return 0


def tell(text: str) -> None:
    """A line of the log. It may hold the name of a file, which need not be text, or letters that the log's encoding has not."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def _failed(job: Job, reason: str) -> int:
    tell(f"[ERROR] {reason}")
    (job.output.parent / "failure").write_text(reason, encoding="utf-8", errors="backslashreplace")
    return USER_ERROR


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found
