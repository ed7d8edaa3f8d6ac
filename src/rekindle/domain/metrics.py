"""Metric definitions: regular expressions over log lines, run by a linear-time engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import re2

from rekindle.domain.errors import InvalidValue

#: The longest part of one log line that metric patterns see, in characters.
LINE_LIMIT = 65_536


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
    """Finds metric values in log lines.

    A pattern sees each line as printed and, where the line holds a TAB, once more with TAB written as ``#011``, as
    SageMaker's log pipeline writes it. What does not parse as a finite number is no emission.
    """

    def __init__(self, definitions: Sequence[MetricDefinition]) -> None:
        self._patterns = [(d.name, compile_regex(d.regex, f"metrics.{d.name}.regex")) for d in definitions]

    def scan(self, line: str) -> Iterator[Emission]:
        """The emissions of one line, in the order of the definitions; at most one for each."""
        line = line[:LINE_LIMIT]
        forms = (line, line.replace("\t", "#011")) if "\t" in line else (line,)
        for name, pattern in self._patterns:
            value = _first_value(pattern, forms)
            if value is not None:
                yield Emission(name, value)


def compile_regex(regex: str, field: str) -> re2._Regexp:
    """The compiled pattern. Raises InvalidValue, naming ``field``, for one that the engine cannot run or that has no group."""
    options = re2.Options()
    options.log_errors = False
    try:
        pattern = re2.compile(regex, options)
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


def _first_value(pattern: re2._Regexp, forms: Sequence[str]) -> float | None:
    for line in forms:
        match = pattern.search(line)
        if match is not None:
            value = _number(match.group(1))
            if value is not None:
                return value
    return None


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _reason(error: Exception) -> str:
    argument = error.args[0] if error.args else str(error)
    return argument.decode(errors="replace") if isinstance(argument, bytes) else str(argument)
