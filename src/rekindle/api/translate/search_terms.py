"""One filter of a search: whether a property of a description satisfies an operator and a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import Any

from rekindle.api.translate.search_properties import Kind, Property
from rekindle.domain.errors import InvalidValue

Json = Mapping[str, Any]

#: Operators that compare numbers and times.
ORDERS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThan": gt,
    "GreaterThanOrEqualTo": ge,
    "LessThan": lt,
    "LessThanOrEqualTo": le,
}


@dataclass(frozen=True)
class Term:
    """A filter, ready to be asked."""

    property: Property
    operator: str
    holds: Callable[[list[Any]], bool]

    def satisfied_by(self, described: Json) -> bool:
        """Whether a description, or an element of a list in one, satisfies it."""
        return self.holds(self.property.values(described))


def term_of(found: Property, operator: str, value: str | None) -> Term:
    """A filter on a property. Raises InvalidValue for an operator or a value that the property's kind does not know."""
    if operator in ("Exists", "NotExists"):
        if value is not None:
            raise _refused(found, value, f"{operator} takes no Value")
        wanted = operator == "Exists"
        return Term(found, operator, lambda values: bool(values) is wanted)
    if value is None:
        raise _refused(found, None, f"{operator} needs a Value")
    if found.kind is Kind.WHOLE:
        raise _refused(found, value, f"{operator} cannot be used with a structure: only Exists and NotExists can")
    return Term(found, operator, _test(found, operator, value))


def _test(found: Property, operator: str, value: str) -> Callable[[list[Any]], bool]:
    if operator in ("Contains", "In"):
        return _text_test(found, operator, value)
    if operator in ORDERS:
        return _order_test(found, operator, value)
    equals = _equality(found, value)
    if operator == "NotEquals":
        return lambda values: not any(equals(v) for v in values)
    return lambda values: any(equals(v) for v in values)


def _text_test(found: Property, operator: str, value: str) -> Callable[[list[Any]], bool]:
    if found.kind not in (Kind.TEXT, Kind.LOOSE):
        raise _refused(found, value, f"{operator} is supported for text properties only, and this one is {found.kind.value}")
    if operator == "Contains":
        return lambda values: any(value in v for v in values)
    wanted = choices(value)
    return lambda values: any(v in wanted for v in values)


def choices(value: str) -> frozenset[str]:
    """What In chooses from."""
    return frozenset(part.strip() for part in value.split(","))


def _order_test(found: Property, operator: str, value: str) -> Callable[[list[Any]], bool]:
    if found.kind in (Kind.TEXT, Kind.TRUTH):
        raise _refused(found, value, f"{operator} is not supported for {found.kind.value} properties")
    compare, bound = ORDERS[operator], _bound(found, value)
    as_whole = found.kind is Kind.LOOSE and _is_whole(value)

    def holds(values: list[Any]) -> bool:
        numbers = (_number(v, as_whole) for v in values)
        return any(n is not None and compare(n, bound) for n in numbers)

    return holds


def _equality(found: Property, value: str) -> Callable[[Any], bool]:
    if found.kind is Kind.TRUTH:
        wanted = _truth(found, value)
        return lambda v: v is wanted
    if found.kind is Kind.TEXT or (found.kind is Kind.LOOSE and _number(value, False) is None):
        return lambda v: bool(v == value)
    bound, as_whole = _bound(found, value), found.kind is Kind.LOOSE and _is_whole(value)
    if found.kind is Kind.TIME:
        # The form of a Value has no fractions of a second, so those of the property do not count.
        return lambda v: math.floor(v) == math.floor(bound)
    return lambda v: v == value or _number(v, as_whole) == bound


def _bound(found: Property, value: str) -> float:
    bound = seconds(value) if found.kind is Kind.TIME else _number(value, False)
    if bound is None:
        form = "an ISO 8601 time such as 2026-01-31T12:00:00" if found.kind is Kind.TIME else "a number"
        raise _refused(found, value, f"the value of a {found.kind.value} property must be {form}")
    return bound


def _number(value: Any, as_whole: bool) -> float | None:
    """The number that a value is or spells; cut to a whole one where the filter compares whole numbers."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return float(math.trunc(number)) if as_whole else number


def _is_whole(value: str) -> bool:
    return value.strip().lstrip("+-").isdigit()


def seconds(value: str) -> float | None:
    """The time that the Value of a filter spells, in seconds since the epoch; None for none."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None


def _truth(found: Property, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise _refused(found, value, "the value of a Boolean property is true or false")
    return value.lower() == "true"


def _refused(found: Property, value: object, reason: str) -> InvalidValue:
    return InvalidValue(f"searchExpression.{found.name}", value, reason)
