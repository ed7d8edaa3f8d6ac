"""Search and GetSearchSuggestions: from the request to a query, and from what is found to the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rekindle.api.translate.listing import DEFAULT_PAGE, cursor_of, token_of
from rekindle.api.translate.search_expression import Searched, Test, filter_of, test_of, visibility_of
from rekindle.api.translate.search_order import Order, page
from rekindle.api.translate.search_properties import RESOURCES, Shapes
from rekindle.api.translate.stamps import Json, present
from rekindle.engine.ports import JobFilter

#: How many names are suggested.
MAX_SUGGESTIONS = 100


@dataclass(frozen=True)
class Query:
    """What is searched for. ``resource`` None: a kind of which there is never one here."""

    resource: str | None
    test: Test
    order: Order | None
    size: int
    token: str | None
    #: What Search shows of a resource: Describe shows more.
    members: frozenset[str] = frozenset()
    #: Lets all through that the test does: where the store finds what is searched for, the others are not read.
    where: JobFilter = field(default_factory=JobFilter)


def query_of(request: Mapping[str, Any], shapes: Shapes) -> Query:
    """The query of a Search request. Raises InvalidValue."""
    size, token = request.get("MaxResults") or DEFAULT_PAGE, cursor_of(request)
    resource = request["Resource"]
    # What other accounts share could only come from other installations.
    if resource not in RESOURCES or request.get("CrossAccountFilterOption") == "CrossAccount":
        return Query(None, lambda described: False, None, size, token)
    searched = Searched(shapes, resource)
    order = Order(
        searched.property(request.get("SortBy") or "LastModifiedTime"),
        (request.get("SortOrder") or "Descending") != "Ascending",
        resource,
    )
    expressed = test_of(request.get("SearchExpression"), searched)
    visible = visibility_of(request.get("VisibilityConditions") or (), searched)
    members = frozenset(shapes.shape_for(RESOURCES[resource]).members)
    where = filter_of(request.get("SearchExpression"), resource)
    return Query(resource, lambda described: expressed(described) and visible(described), order, size, token, members, where)


def answer(request: Mapping[str, Any], query: Query, candidates: Iterable[Json]) -> Json:
    """One page of the candidates that the request's query is for."""
    if query.resource is None or query.order is None:
        return {"Results": [], "TotalHits": _hits(0)}
    hits = _Counted(c for c in candidates if query.test(c))
    found = ((query.order.place(c, c[f"{query.resource}Arn"]), c) for c in hits)
    described, after = page(found, query.order, query.size, query.token)
    results = [{query.resource: _shown(d, query)} for d in described]
    return present({"Results": results, "NextToken": token_of(request, after), "TotalHits": _hits(hits.count)})


@dataclass
class _Counted:
    """Items as they pass by, and how many have."""

    items: Iterable[Json]
    count: int = 0

    def __iter__(self) -> Iterator[Json]:
        for item in self.items:
            self.count += 1
            yield item


def suggestions(request: Mapping[str, Any], names: Iterable[str]) -> Json:
    """The names that begin as the request says."""
    query = (request.get("SuggestionQuery") or {}).get("PropertyNameQuery") or {}
    hint = query.get("PropertyNameHint") or ""
    found = sorted(name for name in names if name.lower().startswith(hint.lower()))
    return {"PropertyNameSuggestions": [{"PropertyName": name} for name in found[:MAX_SUGGESTIONS]]}


def _shown(described: Json, query: Query) -> Json:
    return {name: value for name, value in described.items() if name in query.members}


def _hits(count: int) -> Json:
    return {"Value": count, "Relation": "EqualTo"}
