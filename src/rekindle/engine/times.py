"""Times as they come from outside."""

from __future__ import annotations

from datetime import UTC, datetime


def epoch_seconds(said: str | float) -> float:
    """Seconds since the epoch, from these or from ISO 8601. Where no zone is said it is UTC, in which AWS answers, so that the
    same file is the same history on every machine. Raises ValueError, TypeError or OverflowError for what is no time."""
    if not isinstance(said, str):
        return float(said)
    found = datetime.fromisoformat(said)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
