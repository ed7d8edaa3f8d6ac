"""The log of commands that run for long: coloured lines on a terminal, JSON lines for machines."""

from __future__ import annotations


def log_to_stderr() -> None:
    """The access log and what goes wrong, to stderr."""
    import sys

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
