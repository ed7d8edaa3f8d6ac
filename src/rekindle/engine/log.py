"""The log, for those who seldom have something to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import structlog


def log(name: str) -> structlog.BoundLogger:
    """The log of the module ``name``. structlog is loaded by the first call: a command that says nothing is spared 60 ms."""
    import structlog

    found: structlog.BoundLogger = structlog.get_logger(name)
    return found
