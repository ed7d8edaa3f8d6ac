"""A rule that was tried: what was found, and the error where it is broken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rekindle.domain.errors import RekindleError


@dataclass(frozen=True)
class Check:
    """One rule, in words, and what was found. ``subject`` is the parent that it is about; None: the tuning job itself.

    ``error`` is why it is broken; ``remark`` marks what is worth knowing and no rule.
    """

    subject: str | None
    rule: str
    found: str
    error: RekindleError | None = None
    remark: bool = False


def raise_first(checks: Iterable[Check]) -> None:
    """Raises the error of the first broken rule, if any."""
    for check in checks:
        if check.error is not None:
            raise check.error
