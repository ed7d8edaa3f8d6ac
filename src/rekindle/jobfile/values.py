"""Reading one value of a job file: its type, its limits, and an error that names field, value and line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rekindle.domain.errors import did_you_mean, plain_word, shown
from rekindle.jobfile.errors import JobFileError
from rekindle.jobfile.nodes import Fields, Items, Node, Scalar

T = TypeVar("T")

_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.?(nan|inf|infinity)", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([dhms])\s*")
#: Text that is as good inside the brackets of a list as without.
_PLAIN = re.compile(r"[\w .,+-]{1,100}")
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
#: No number of a job file has more digits than any double needs.
_MAX_DIGITS = 400


@dataclass(frozen=True)
class Value:
    """A value of a job file and the dotted path of its field."""

    path: str
    node: Node

    def refuse(self, reason: str, hint: str = "") -> JobFileError:
        """The error that says what is wrong with this value."""
        return JobFileError(f"{_cut(self.path)}: {_written(self.node)}: {reason}", hint, self.node.line)

    @property
    def is_scalar(self) -> bool:
        """Whether it is a single value."""
        return isinstance(self.node, Scalar)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, Items)

    def text(self, expected: str = "text") -> str:
        """The text, as written. Raises JobFileError for a list, a table or nothing at all."""
        return self._scalar(expected).text

    def number(self) -> int | float:
        """A finite number; whole numbers written without a point or an exponent are ints."""
        text = self._scalar("a number").text.strip()
        if _NOT_FINITE.fullmatch(text):
            raise self.refuse("not a finite number")
        if not _NUMBER.fullmatch(text) or len(text) > _MAX_DIGITS:
            raise self.refuse("not a number", _number_hint(text))
        number = int(text) if _INTEGER.fullmatch(text) else float(text)
        if not _is_finite(number):
            raise self.refuse("too large for a floating point number")
        return number

    def whole(self, least: int | None = None, most: int | None = None) -> int:
        """A whole number within both ends."""
        number = self.number()
        if number != int(number):
            raise self.refuse("not a whole number")
        self._check_between(number, least, most)
        return int(number)

    def seconds(self) -> int:
        """A duration: a number of seconds, or parts such as ``1h30m``, ``90s``, ``2d``; rounded up to whole seconds."""
        text = self._scalar("a duration").text.strip()
        number = float(text) if _NUMBER.fullmatch(text) and len(text) <= _MAX_DIGITS else _parts(text)
        if number is None:
            raise self.refuse("not a duration", "Write 90s, 30m, 1h30m, 2d, or a number of seconds.")
        if not 0 < number <= 10**9:
            raise self.refuse("a duration is more than 0 and at most 10**9 seconds")
        return math.ceil(number)

    def switch(self) -> bool:
        """On or off: ``true``, ``yes``, ``on`` and their opposites."""
        text = self._scalar("true or false").text.lower()
        if text not in _SWITCH:
            raise self.refuse("neither true nor false")
        return _SWITCH[text]

    def choice(self, choices: Mapping[str, T]) -> T:
        """One of a few words; case, hyphens and underscores do not matter."""
        plain = {plain_word(name): meaning for name, meaning in choices.items()}
        key = plain_word(self._scalar("a word").text)
        if key not in plain:
            raise self.refuse(f"not one of {', '.join(choices)}", did_you_mean(self.text(), choices))
        return plain[key]

    def items(self, expected: str = "a list") -> list[Value]:
        """The values of a list."""
        if not isinstance(self.node, Items):
            raise self._no(expected, _list_hint(self.node))
        return [Value(self.path, node) for node in self.node.nodes]

    def texts(self) -> dict[str, str]:
        """A table of names and texts, each as it is written: ``true`` and ``1e-3`` stay the text that they are."""
        return {name: value.text("a single value") for name, value in self.table().values()}

    def table(self, known: Sequence[str] | None = None, expected: str = "a table of `key: value`") -> Table:
        """The table; with ``known`` keys, any other key is refused."""
        if not isinstance(self.node, Fields):
            raise self._no(expected)
        table = Table(self.path, self.node)
        if known is not None:
            table.check_keys(known)
        return table

    def _scalar(self, expected: str) -> Scalar:
        if not isinstance(self.node, Scalar) or self.node.is_null:
            raise self._no(expected)
        return self.node

    def _no(self, expected: str, way_out: str = "") -> JobFileError:
        """The error for what is something else than it must be, or nothing."""
        if not isinstance(self.node, Scalar) or not self.node.is_null:
            return self.refuse(f"must be {expected}", way_out)
        hint = _colon_hint(self.path.rpartition(".")[2]) or "Remove the key, or give it a value."
        if self.node.text and expected == "a single value":
            hint = f"Put it in quotes if the text is meant: '{self.node.text}'."
        return self.refuse(f"nothing is written here; it must be {expected}", hint)

    def _check_between(self, number: float, least: int | None, most: int | None) -> None:
        if least is not None and number < least:
            raise self.refuse(f"must be at least {least}")
        if most is not None and number > most:
            raise self.refuse(f"must be at most {most}")


@dataclass(frozen=True)
class Table:
    """A table of a job file and the dotted path of its field (empty for the whole file)."""

    path: str
    node: Fields

    def get(self, key: str) -> Value | None:
        """The value of a key, None where it is not there."""
        node = self.node.nodes.get(key)
        return None if node is None else Value(self._inner(key), node)

    def need(self, key: str, hint: str) -> Value:
        """The value of a key. Raises JobFileError, with a hint, where it is not there."""
        value = self.get(key)
        if value is None:
            raise JobFileError(f"{_cut(self._inner(key))}: missing", hint, self.node.line if self.path else None)
        return value

    def values(self) -> Iterator[tuple[str, Value]]:
        """All keys and values, in the order of the file."""
        for key, node in self.node.nodes.items():
            yield key, Value(self._inner(key), node)

    def check_keys(self, known: Sequence[str], elsewhere: Mapping[str, str] | None = None) -> None:
        """Raises JobFileError for the first key that is not known, with the one that was probably meant: one of ``known``,
        or what ``elsewhere`` has for a word, the dotted path to a key."""
        for key in self.node.nodes:
            if key not in known:
                meant = _colon_hint(key) or _comma_hint(key) or did_you_mean(key, known, elsewhere)
                hint = meant or f"The keys here are: {', '.join(known)}."
                raise JobFileError(f"{_cut(self._inner(key))}: unknown key", hint, self.node.lines[key])

    def _inner(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _colon_hint(key: str) -> str:
    """The way out for ``{cv:5}``, which is a key without a value to YAML."""
    name, colon, value = key.partition(":")
    return f"Write a space after the colon: {name}: {value.strip()}." if colon and name and value.strip() else ""


def _comma_hint(key: str) -> str:
    """The way out for ``{min: 0,5}``, whose 5 is a key without a value to YAML."""
    return f"A comma ends a value here: write numbers with a decimal point, as in 0.{key}." if key.isdecimal() else ""


def _cut(path: str) -> str:
    return path if len(path) <= 120 else path[:117] + "..."


def _written(node: Node) -> str:
    if isinstance(node, Scalar):
        return shown(node.text)
    return "a list" if isinstance(node, Items) else "a table"


def _list_hint(node: Node) -> str:
    """The way out for one value where a list is meant; several in a text stand between commas already."""
    if isinstance(node, Fields):
        return "Put it in brackets: [{...}]."
    return f"Write [{node.text}]." if isinstance(node, Scalar) and _PLAIN.fullmatch(node.text) else ""


def _number_hint(text: str) -> str:
    if "," in text:
        return "Write a decimal point, and no separators between digits."
    return "Write digits without separators." if "_" in text else "Write it as 10, 0.1 or 1e-3."


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False


def _parts(text: str) -> float | None:
    if not text or len(text) > _MAX_DIGITS:
        return None
    total, place = 0.0, 0
    for match in _DURATION.finditer(text):
        if match.start() != place:
            return None
        total += float(match[1]) * _SECONDS[match[2]]
        place = match.end()
    return total if place == len(text) else None
