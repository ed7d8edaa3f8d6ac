"""Reading a job file from the disk."""

from __future__ import annotations

from pathlib import Path

from rekindle.domain.errors import RekindleError
from rekindle.jobfile.reader import MAX_BYTES

_WAY_OUT = "Give the path of a job file, such as job.yaml."


def read_bytes(path: Path) -> bytes:
    """The bytes of a job file, of a hopeless one only the first. Raises RekindleError for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # or a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise RekindleError(f"the job file cannot be read: {reason}.", _WAY_OUT) from error


def folder_of(path: Path) -> Path:
    """Where the relative paths of a job file start: its folder. A pipe has none that anybody means; the current one counts."""
    return Path.cwd() if is_passing(path) else path.absolute().parent


def is_passing(path: Path) -> bool:
    """Whether a path such as ``/dev/stdin`` or ``/dev/fd/63`` names what this process was given, and nothing after it."""
    folder = path.absolute().parent
    return str(folder) in ("/dev", "/dev/fd") or folder.is_relative_to("/proc")
