"""Metric values out of log lines. A module of its own, because a supervisor loads it and little else."""

from __future__ import annotations

import math

import re2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: The longest part of one log line that metric patterns see, in characters.
LINE_LIMIT = 65_536


class LineScanner:
    """Finds metric values in log lines; made of (metric, pattern) pairs.

    A pattern sees each line as printed and, where the line holds a TAB, once more with TAB written as ``#011``, as
    SageMaker's log pipeline writes it. What is no finite decimal number is no emission.
    """

    def __init__(self, definitions: Iterable[tuple[str, str]]) -> None:
        self._patterns = [(name, compiled(regex)) for name, regex in definitions]

    def scan(self, line: str) -> Iterator[tuple[str, float]]:
        """Metric and value for each that one line holds, in the order of the definitions; at most one for each."""
        line = line[:LINE_LIMIT]
        forms = (line, line.replace("\t", "#011")) if "\t" in line else (line,)
        for name, pattern in self._patterns:
            value = _first_value(pattern, forms)
            if value is not None:
                yield name, value


def compiled(regex: str) -> re2._Regexp:
    """The pattern, ready to run. Raises re2.error or UnicodeEncodeError for one that the engine cannot run."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(regex, options)


def _first_value(pattern: re2._Regexp, forms: Sequence[str]) -> float | None:
    for line in forms:
        match = pattern.search(line)
        if match is not None:
            value = _number(match.group(1))
            if value is not None:
                return value
    return None


def _number(text: str | None) -> float | None:
    """A decimal number in ASCII. Python alone would also take ``1_0``, and the digits of other scripts."""
    found = (text or "").strip()
    if "_" in found or not found.isascii():
        return None
    try:
        value = float(found)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
