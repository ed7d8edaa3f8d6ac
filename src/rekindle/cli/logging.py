"""What becomes of log lines: a server writes all, coloured on a terminal and as JSON elsewhere; a command, what is amiss."""

from __future__ import annotations

import sys
from typing import Any


def log_to_stderr() -> None:
    """The access log and what goes wrong, to stderr."""
    import structlog

    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def quiet_log() -> None:
    """Log lines go to stderr, so that stdout holds what was asked for; only warnings and worse."""
    import logging

    import structlog

    structlog.configure(
        processors=[structlog.processors.add_log_level, _as_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _as_line(logger: object, method: str, event: Any) -> str:
    facts = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("event", "level"))
    return f"{event.get('level', method)}: {event.get('event', '')} {facts}".rstrip()
