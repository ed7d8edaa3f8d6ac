"""The order of search results, and tokens that name a place in it."""

from __future__ import annotations

import base64
import heapq
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from rekindle.api.translate.search_properties import Kind, Property
from rekindle.domain.errors import InvalidValue

Json = Mapping[str, Any]
#: How many characters of a text count: a token holds them, and no token is longer than the model's 8192 characters.
_COMPARED = 900
#: Kind of value, value as a number, value as text, ARN: no two resources are at the same place.
Place = tuple[int, float, str, str]


@dataclass(frozen=True)
class Order:
    """By which property results are sorted, and which way; resources without it come last in either. ``resource`` is their
    kind."""

    property: Property
    descending: bool
    resource: str = ""

    def __post_init__(self) -> None:
        if self.property.kind is Kind.WHOLE:
            raise InvalidValue("sortBy", self.property.name, "results cannot be sorted by a structure")

    def place(self, described: Json, arn: str) -> Place:
        """Where a resource stands."""
        values = self.property.values(described)
        value = values[0] if values else None
        if value is None:
            return (2 if not self.descending else -1, 0.0, "", arn)
        if isinstance(value, str) and self.property.kind is Kind.LOOSE:
            value = _number_or_text(value)
        if isinstance(value, bool | int | float):
            return (0, float(value), "", arn)
        return (1, 0.0, str(value)[:_COMPARED], arn)


def page(found: Iterable[tuple[Place, Any]], order: Order, size: int, token: str | None) -> tuple[list[Any], str | None]:
    """One page of what is found, and the token of the next, None at the end. No more is held than the page, however much is
    found. Raises InvalidValue for a token that is none."""
    if token is not None:
        last = _decoded(token, order)
        found = (f for f in found if (f[0] < last if order.descending else f[0] > last))
    take = heapq.nlargest if order.descending else heapq.nsmallest
    first = take(size + 1, found, key=itemgetter(0))
    after = _encoded(first[size - 1][0], order) if len(first) > size else None
    return [item for _, item in first[:size]], after


def _encoded(place: Place, order: Order) -> str:
    what = [order.resource, order.property.name, order.descending, *place]
    text = json.dumps(what, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(token: str, order: Order) -> Place:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        resource, name, descending, rank, number, text, arn = json.loads(raw)
        place = (int(rank), float(number), str(text), str(arn))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _no_token(token) from error
    if (resource, name, descending) != (order.resource, order.property.name, order.descending):
        reason = "the token is of a search for another resource, or in another order"
        raise InvalidValue("nextToken", token, reason, "Start again without a token.")
    return place


def _no_token(token: str) -> InvalidValue:
    return InvalidValue("nextToken", token, "not a token that this service gave out", "Start again without a token.")


def _number_or_text(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
