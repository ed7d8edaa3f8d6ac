"""Reading a job file from the disk."""

from __future__ import annotations

from pathlib import Path

from rekindle.domain.errors import RekindleError
from rekindle.jobfile.parse import JobFile, parse
from rekindle.jobfile.reader import MAX_BYTES

_WAY_OUT = "Give the path of a job file, such as job.yaml."


def read_bytes(path: Path) -> bytes:
    """The bytes of a job file, of a hopeless one only the first. Raises RekindleError for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RekindleError(f"the job file cannot be read: {reason}.", _WAY_OUT) from error
    except ValueError as error:  # a NUL in the path
        raise RekindleError(f"the job file cannot be read: {error}.", _WAY_OUT) from error


def load(path: Path) -> JobFile:
    """The job file at ``path``; relative paths in it start from its folder."""
    return parse(read_bytes(path), path.absolute().parent)
