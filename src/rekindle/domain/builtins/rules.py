"""What a hyperparameter of a built-in algorithm may hold: text in, a value of its kind out, or the algorithm's refusal."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

#: The hyperparameter in which the service tells the metric that is tuned.
TUNED_METRIC = "_tuning_objective_metric"


class Refused(Exception):
    """What the algorithm says to a hyperparameter; ``name`` is the one to change."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


@dataclass(frozen=True)
class Interval:
    """Numbers from ``least`` to ``most``; None is no bound. An open end does not belong to it."""

    least: float | None = None
    most: float | None = None
    open_least: bool = False
    open_most: bool = False

    def __contains__(self, value: float) -> bool:
        above = self.least is None or (value > self.least if self.open_least else value >= self.least)
        below = self.most is None or (value < self.most if self.open_most else value <= self.most)
        return above and below

    def opens_at(self, value: float) -> bool:
        """Whether a number is one of the ends, and does not belong to the interval."""
        return (self.open_least and value == self.least) or (self.open_most and value == self.most)

    def __str__(self) -> str:
        least = "(-inf" if self.least is None else f"{'(' if self.open_least else '['}{self.least}"
        most = "+inf)" if self.most is None else f"{self.most}{')' if self.open_most else ']'}"
        return f"{least}, {most}"


class Rule(Protocol):
    """The rule of one hyperparameter. ``kind`` is what a range of it must be."""

    @property
    def kind(self) -> str:
        """``integer``, ``number`` or ``text``."""

    def parse(self, name: str, text: str) -> Any:
        """The value that a text stands for. Raises Refused."""


@dataclass(frozen=True)
class Whole:
    """A whole number within an interval, or one of a few words."""

    interval: Interval
    words: tuple[str, ...] = ()
    kind: str = "integer"

    def parse(self, name: str, text: str) -> int | str:
        """See Rule."""
        return text if text in self.words else _within(name, text, int, self.interval, self.words)


@dataclass(frozen=True)
class Real:
    """A number within an interval, or one of a few words. Of those nearer to 0 than ``smallest`` there is 0 alone."""

    interval: Interval
    words: tuple[str, ...] = ()
    smallest: float = 0.0
    kind: str = "number"

    def parse(self, name: str, text: str) -> float | str:
        """See Rule."""
        if text in self.words:
            return text
        value: float = _within(name, text, float, self.interval, self.words)
        if 0 < abs(value) < self.smallest:
            raise Refused(name, f"Hyperparameter {name}: {value} is nearer to 0 than {self.smallest}, and not 0")
        return value


@dataclass(frozen=True)
class OneOf:
    """One of some words. ``elsewhere`` are words that SageMaker takes and that nothing here can run, each with the reason."""

    words: tuple[str, ...]
    elsewhere: Mapping[str, str] | None = None
    kind: str = "text"

    def parse(self, name: str, text: str) -> str:
        """See Rule."""
        if self.elsewhere and text in self.elsewhere:
            raise Refused(name, f"Hyperparameter {name}: {text} is not available here: {self.elsewhere[text]}")
        if text not in self.words:
            raise Refused(name, f"Hyperparameter {name}: {text} is not in {list(self.words)}")
        return text


@dataclass(frozen=True)
class Switch:
    """``true`` or ``false``, or one of a few words. Amazon's own algorithms take Python's spelling, too: it is what SageMaker's
    Python SDK sends for them."""

    words: tuple[str, ...] = ()
    kind: str = "text"

    def parse(self, name: str, text: str) -> str:
        """See Rule."""
        lower = text.lower()
        return OneOf((*self.words, "true", "false")).parse(name, lower if lower in ("true", "false") else text)


@dataclass(frozen=True)
class Unavailable:
    """What SageMaker takes and nothing here can do, whatever the value."""

    reason: str
    kind: str = "text"

    def parse(self, name: str, text: str) -> str:
        """See Rule."""
        raise Refused(name, f"Hyperparameter {name} is not available here: {self.reason}")


@dataclass(frozen=True)
class Listed:
    """Words with commas between them; ``allowed`` raises Refused or says whether a word may be there."""

    words: tuple[str, ...]
    allowed: Callable[[str, str], bool]
    kind: str = "text"

    def parse(self, name: str, text: str) -> list[str]:
        """See Rule."""
        found = [word.strip() for word in text.split(",")]
        if not all(self.allowed(name, word) for word in found):
            raise Refused(name, f"Hyperparameter {name}: value {found} not in range {list(self.words)}")
        return found


@dataclass(frozen=True)
class Literal:
    """Whole numbers in brackets, ``(1, 0, -1)`` or ``[[0, 1], [2, 3]]`` (``depth`` 2); what a number may be is ``interval``."""

    depth: int
    interval: Interval
    kind: str = "text"

    def parse(self, name: str, text: str) -> Any:
        """See Rule."""
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise Refused(name, f"Hyperparameter {name}: could not parse value") from error
        if not _numbers(value, self.depth, self.interval):
            raise Refused(name, f"Hyperparameter {name}: value {value} not in range {self.interval}")
        return value


def plain(text: str) -> str:
    """A hyperparameter as it was meant: SageMaker's Python SDK sends some as JSON texts, with their quotes."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            found = json.loads(text)
        except ValueError:
            return text
        return found if isinstance(found, str) else text
    return text


def _within(name: str, text: str, number: Callable[[str], Any], interval: Interval, words: Sequence[str]) -> Any:
    try:
        value = number(text)
        finite = math.isfinite(value)
    except (ValueError, OverflowError) as error:  # the latter for a whole number beyond any double
        raise Refused(name, f"Hyperparameter {name}: could not parse value") from error
    if not finite or value not in interval:
        allowed = f"{interval} or {', '.join(words)}" if words else str(interval)
        raise Refused(name, f"Hyperparameter {name}: {value} is not in {allowed}")
    return value


def _numbers(value: object, depth: int, interval: Interval) -> bool:
    if depth == 0:
        return isinstance(value, int) and not isinstance(value, bool) and value in interval
    return isinstance(value, list | tuple) and all(_numbers(inner, depth - 1, interval) for inner in value)
