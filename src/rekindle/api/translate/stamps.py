"""Times on the wire: seconds since the epoch as a number, to the millisecond, as SageMaker sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def stamp(seconds: float) -> float:
    """A time as it goes over the wire."""
    return round(seconds, 3)


def optional_stamp(seconds: float | None) -> float | None:
    """A time that may not have come yet."""
    return None if seconds is None else stamp(seconds)


def present(members: Mapping[str, Any]) -> Json:
    """The members that are there: on the wire a member without a value is absent, never null."""
    return {name: value for name, value in members.items() if value is not None}
