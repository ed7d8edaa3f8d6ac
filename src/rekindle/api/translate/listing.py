"""The filters, orders and tokens of the list operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rekindle.api.translate.stamps import Json, present
from rekindle.engine.ports import JobFilter, Page, SortKey

#: How many items a page has unless the request says.
DEFAULT_PAGE = 10


def page_of(request: Mapping[str, Any], sort: SortKey, order: str = "Ascending") -> Page:
    """Which part of a list is asked for; ``sort`` and ``order`` are the operation's defaults."""
    return Page(
        size=request.get("MaxResults") or DEFAULT_PAGE,
        after=request.get("NextToken") or None,
        sort=SortKey(request.get("SortBy") or sort),
        descending=(request.get("SortOrder") or order) == "Descending",
    )


def filter_of(request: Mapping[str, Any], status: bool = True) -> JobFilter:
    """Which jobs are asked for; without ``status``, whatever their status is."""
    return JobFilter(
        name_contains=request.get("NameContains") or None,
        status=request.get("StatusEquals") if status else None,
        created_after=_seconds(request.get("CreationTimeAfter")),
        created_before=_seconds(request.get("CreationTimeBefore")),
        modified_after=_seconds(request.get("LastModifiedTimeAfter")),
        modified_before=_seconds(request.get("LastModifiedTimeBefore")),
    )


def listed(member: str, items: list[Json], after: str | None) -> Json:
    """A page as it is answered: without a token when it is the last."""
    return present({member: items, "NextToken": after})


def _seconds(value: float | None) -> float | None:
    return None if value is None else float(value)
