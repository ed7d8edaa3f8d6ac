"""The filters, orders and tokens of the list operations.

A token that leaves is the cursor of the page that follows, and before it a digest of what was asked: with another filter it
would go on in the middle of a list that nobody has seen the beginning of.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from rekindle.api.translate.stamps import Json, present
from rekindle.domain.errors import InvalidValue
from rekindle.engine.ports import JobFilter, Page, SortKey

#: How many items a page has unless the request says.
DEFAULT_PAGE = 10
#: What may differ from one page to the next.
_OF_PAGE: Final = frozenset(("MaxResults", "NextToken"))
_DIGEST_CHARACTERS: Final = 16


def page_of(request: Mapping[str, Any], sort: SortKey, order: str = "Ascending") -> Page:
    """Which part of a list is asked for; ``sort`` and ``order`` are the operation's defaults."""
    return Page(
        size=request.get("MaxResults") or DEFAULT_PAGE,
        after=cursor_of(request),
        sort=SortKey(request.get("SortBy") or sort),
        descending=(request.get("SortOrder") or order) == "Descending",
    )


def filter_of(request: Mapping[str, Any], status: bool = True) -> JobFilter:
    """Which jobs are asked for; without ``status``, whatever their status is."""
    return JobFilter(
        name_contains=request.get("NameContains") or None,
        status=request.get("StatusEquals") if status else None,
        created_after=_after(request.get("CreationTimeAfter")),
        created_before=_before(request.get("CreationTimeBefore")),
        modified_after=_after(request.get("LastModifiedTimeAfter")),
        modified_before=_before(request.get("LastModifiedTimeBefore")),
    )


def listed(request: Mapping[str, Any], member: str, items: list[Json], after: str | None) -> Json:
    """A page as it is answered: without a token when it is the last."""
    return present({member: items, "NextToken": token_of(request, after)})


def token_of(request: Mapping[str, Any], cursor: str | None) -> str | None:
    """The token that stands for a cursor in answers to this request and to those that differ in the page only."""
    return None if cursor is None else _digest(request) + cursor


def cursor_of(request: Mapping[str, Any]) -> str | None:
    """The cursor in the request's token, None without one. Raises InvalidValue for a token of another request."""
    token = str(request.get("NextToken") or "")
    if not token:
        return None
    digest, cursor = token[:_DIGEST_CHARACTERS], token[_DIGEST_CHARACTERS:]
    if not cursor or any(character not in "0123456789abcdef" for character in digest):
        raise InvalidValue("nextToken", token, "not a token that this service gave out", "Start again without a token.")
    if digest != _digest(request):
        reason = "a token of another list or search, in another order or with another filter"
        raise InvalidValue("nextToken", token, reason, "Ask as for the page before, or start again without a token.")
    return cursor


def _digest(request: Mapping[str, Any]) -> str:
    asked = {name: value for name, value in request.items() if name not in _OF_PAGE}
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _after(shown: float | None) -> float | None:
    """The time behind which jobs lie whose time, as it is shown, comes after this one."""
    return None if shown is None else (math.floor(_milliseconds(shown)) + 0.5) / 1000


def _before(shown: float | None) -> float | None:
    """The time before which jobs lie whose time, as it is shown, comes before this one."""
    return None if shown is None else (math.ceil(_milliseconds(shown)) - 0.5) / 1000


def _milliseconds(seconds: float) -> float:
    # What floating point adds to a whole number of them is no part of it.
    return round(1000.0 * seconds, 2)
