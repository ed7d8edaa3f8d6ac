"""What all tests share: how hard hypothesis tries. ``make test`` uses "ci"; ``make fuzz`` sets REKINDLE_HYPOTHESIS=fuzz."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

# "ci" is derandomised: the same commit gives the same verdict. "fuzz" looks for what "ci" did not.
settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=_CHECKS)
settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("REKINDLE_FUZZ_EXAMPLES", "5000")),
    deadline=None,
    database=None,
    suppress_health_check=_CHECKS,
)
settings.load_profile(os.environ.get("REKINDLE_HYPOTHESIS", "ci"))

#: How many requests of tests with generated ones were answered: what `make fuzz` says in the end.
ANSWERED: Counter[str] = Counter()


@pytest.fixture(scope="session")
def answered() -> Counter[str]:
    """To be told of each generated request that got an answer, by the kind of it."""
    return ANSWERED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if ANSWERED:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(ANSWERED.items()))
        terminalreporter.write_line(f"generated requests answered: {ANSWERED.total():,} ({kinds})")


# Servers in threads would write their access log between pytest's own lines; tests of logs use structlog.testing.
# A traceback is plain, as commands write it: structlog's own shows every local variable, which of a store takes half a minute.
structlog.configure(
    processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()],
    logger_factory=structlog.ReturnLoggerFactory(),
)
