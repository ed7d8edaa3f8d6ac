"""Reading a job file from the disk."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from rekindle.domain.errors import RekindleError
from rekindle.jobfile.reader import MAX_BYTES

#: As others than people name it; ``-`` is this one.
STDIN = "/dev/stdin"

_WAY_OUT = "Give the path of a job file, such as job.yaml."


def read_bytes(path: Path) -> bytes:
    """The bytes of a job file, of a hopeless one only the first. Raises RekindleError for a file that cannot be read."""
    try:
        with open_given(path) as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # or a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise RekindleError(f"the job file cannot be read: {reason}.", _WAY_OUT) from error


def named(path: str) -> str:
    """The path of a file that an argument names: ``-`` is stdin, as other programs take it."""
    return STDIN if path == "-" else path


def open_given(path: str | Path) -> BinaryIO:
    """The bytes of a file that an argument names. Stdin is what we were given: a socket, as Node's children have, cannot be
    opened by its name."""
    is_stdin = str(path) == STDIN
    return open(0 if is_stdin else path, "rb", closefd=not is_stdin)


def folder_of(path: Path) -> Path:
    """Where the relative paths of a job file start: its folder. A pipe has none that anybody means; the current one counts."""
    return Path.cwd() if is_passing(path) else path.absolute().parent


def is_passing(path: Path) -> bool:
    """Whether a path such as ``/dev/stdin`` or ``/dev/fd/63`` names what this process was given, and nothing after it."""
    folder = path.absolute().parent
    return str(folder) in ("/dev", "/dev/fd") or folder.is_relative_to("/proc")
