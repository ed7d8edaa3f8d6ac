"""Metric definitions: regular expressions over log lines, run by a linear-time engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import re2

from rekindle.domain.errors import InvalidValue
from rekindle.domain.scanning import LineScanner, compiled

#: The name of the copy of the objective's metric definition that SageMaker appends.
OBJECTIVE_METRIC = "ObjectiveMetric"


@dataclass(frozen=True)
class MetricDefinition:
    """A metric's name and the pattern whose first group is its value."""

    name: str
    regex: str


@dataclass(frozen=True)
class Emission:
    """One value of one metric, caught from a log line."""

    metric: str
    value: float


class MetricScanner:
    """Finds metric values in log lines, as ``LineScanner`` says. Raises InvalidValue for a pattern that cannot be run."""

    def __init__(self, definitions: Sequence[MetricDefinition]) -> None:
        for d in definitions:
            compile_regex(d.regex, f"metrics.{d.name}.regex")
        self._scanner = LineScanner((d.name, d.regex) for d in definitions)

    def scan(self, line: str) -> Iterator[Emission]:
        """The emissions of one line, in the order of the definitions; at most one for each."""
        return (Emission(metric, value) for metric, value in self._scanner.scan(line))


def compile_regex(regex: str, field: str) -> re2._Regexp:
    """The compiled pattern. Raises InvalidValue, naming ``field``, for one that the engine cannot run or that has no group."""
    try:
        pattern = compiled(regex)
    except (re2.error, UnicodeEncodeError) as error:
        raise InvalidValue(
            field,
            regex,
            f"the pattern cannot be run ({_reason(error)})",
            "Patterns use RE2 syntax, which has no look-around and no back-references.",
        ) from error
    if pattern.groups < 1:
        raise InvalidValue(
            field, regex, "the pattern has no group", "Put parentheses around the number, as in 'loss=([0-9.]+)'."
        )
    return pattern


def check_definitions(definitions: Iterable[MetricDefinition]) -> None:
    """Raises InvalidValue for a name that is there twice or a pattern that cannot be run."""
    names: set[str] = set()
    for d in definitions:
        if d.name in names:
            raise InvalidValue("metrics", d.name, "two metrics have this name")
        names.add(d.name)
        compile_regex(d.regex, f"metrics.{d.name}.regex")


def _reason(error: Exception) -> str:
    argument = error.args[0] if error.args else str(error)
    return argument.decode(errors="replace") if isinstance(argument, bytes) else str(argument)
