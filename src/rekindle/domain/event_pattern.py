"""Event patterns, as Amazon EventBridge has them: which events somebody wants to be told.

A pattern has the shape of the event. Its leaves are lists: of values, one of which the event's own must be, and of filters
(``{"prefix": "digits-"}``). An event's list fits where one of its values does; of a list of groups, one must fit by itself.
What a pattern does not name does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rekindle.domain.errors import InvalidValue
from rekindle.domain.texts import number_of

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
#: Stands for what an event does not have.
_ABSENT = object()

Test = Callable[[Any], bool]


@dataclass(frozen=True)
class EventPattern:
    """Groups of the event that are looked into, and for each other name the tests, of which one must hold."""

    groups: Mapping[str, EventPattern] = field(default_factory=dict)
    leaves: Mapping[str, tuple[Test, ...]] = field(default_factory=dict)

    def fits(self, event: Mapping[str, Any]) -> bool:
        """Whether somebody with this pattern wants the event."""
        return all(_passes(event.get(name, _ABSENT), tests) for name, tests in self.leaves.items()) and all(
            any(group.fits(inner) for inner in _groups(event.get(name))) for name, group in self.groups.items()
        )


def read_pattern(value: Any, place: str) -> EventPattern:
    """The pattern of a tree of plain values. Raises InvalidValue, naming the place."""
    if not isinstance(value, Mapping) or not value:
        raise InvalidValue(place, value, "not a group of names", "Write: pattern: {detail: {TrainingJobStatus: [Failed]}}")
    groups, leaves = {}, {}
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            groups[str(name)] = read_pattern(inner, f"{place}.{name}")
        else:
            leaves[str(name)] = _tests(inner, f"{place}.{name}")
    return EventPattern(groups, leaves)


def _groups(value: Any) -> Sequence[Mapping[str, Any]]:
    """The groups that a value is, or is a list of; an empty one where it is none: a name may be asked not to be there."""
    found = value if isinstance(value, list) else [value]
    return [inner for inner in found if isinstance(inner, Mapping)] or [{}]


def _passes(value: Any, tests: Sequence[Test]) -> bool:
    values = value if isinstance(value, list) and value else [_ABSENT if value == [] else value]
    return any(test(one) for one in values for test in tests)


def _tests(value: Any, place: str) -> tuple[Test, ...]:
    if not isinstance(value, list) or not value:
        raise InvalidValue(place, value, "not a list of values", f"Write: {place.rsplit('.', 1)[-1]}: [VALUE]")
    return tuple(_test(one, f"{place}[{at}]") for at, one in enumerate(value, start=1))


def _test(value: Any, place: str) -> Test:
    if not isinstance(value, Mapping):
        return _equal(value, place)
    if len(value) != 1 or next(iter(value)) not in _FILTERS:
        raise InvalidValue(place, dict(value), f"not one of the filters {', '.join(_FILTERS)}")
    name, given = next(iter(value.items()))
    return _FILTERS[name](given, f"{place}.{name}")


def _equal(value: Any, place: str) -> Test:
    if not isinstance(value, str | bool | int | float | None):
        raise InvalidValue(place, value, "neither a text, a number, true, false nor null")
    return lambda found: _is_number(found) == _is_number(value) and found is not _ABSENT and bool(found == value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidValue(place, value, "not a text")
    return value


def _prefix(value: Any, place: str) -> Test:
    text = _text(value, place)
    return lambda found: isinstance(found, str) and found.startswith(text)


def _suffix(value: Any, place: str) -> Test:
    text = _text(value, place)
    return lambda found: isinstance(found, str) and found.endswith(text)


def _wildcard(value: Any, place: str) -> Test:
    form = re.compile(".*".join(re.escape(part) for part in _text(value, place).split("*")), re.DOTALL)
    return lambda found: isinstance(found, str) and form.fullmatch(found) is not None


def _exists(value: Any, place: str) -> Test:
    if not isinstance(value, bool):
        raise InvalidValue(place, value, "neither true nor false")
    return lambda found: (found is not _ABSENT) == value


def _anything_but(value: Any, place: str) -> Test:
    tests = [_test(one, place) for one in (value if isinstance(value, list) and value else [value])]
    return lambda found: found is not _ABSENT and not any(test(found) for test in tests)


def _numeric(value: Any, place: str) -> Test:
    """``[">", 0, "<=", 5]``: one comparison or two."""
    pairs = list(zip(value[::2], value[1::2], strict=False)) if isinstance(value, list) else []
    known = all(isinstance(sign, str) and sign in _COMPARISONS and _is_number(number) for sign, number in pairs)
    if not known or len(value) != 2 * len(pairs) or len(pairs) not in (1, 2):
        raise InvalidValue(
            place, value, "not a comparison or two", "Write: numeric: ['>', 0, '<=', 5]" + _text_for_a_number(value)
        )
    return lambda found: _is_number(found) and all(_COMPARISONS[sign](found, number) for sign, number in pairs)


def _text_for_a_number(value: Any) -> str:
    """The way out where a number is text, as YAML reads one without a point before its e."""
    for text in value if isinstance(value, list) else []:
        with suppress(ValueError):
            if isinstance(text, str):
                number_of(text)
                return f"; {text!r} is text here: leave its quotes out and, in YAML, write 1e-3 as 1.0e-3"
    return ""


_FILTERS: Mapping[str, Callable[[Any, str], Test]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "exists": _exists,
    "numeric": _numeric,
}
