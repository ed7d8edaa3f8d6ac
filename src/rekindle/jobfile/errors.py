"""What is wrong with a job file, and where."""

from __future__ import annotations

from rekindle.domain.errors import RekindleError


class JobFileError(RekindleError):
    """A job file that cannot be used: ``line`` counts from 1 and is None where no line is to blame."""

    def __init__(self, message: str, hint: str = "", line: int | None = None) -> None:
        super().__init__(message, hint)
        self.line = line
