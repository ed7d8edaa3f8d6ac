"""A search expression: filters, filters on one element of a list, and expressions inside, joined by And or Or."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rekindle.api.translate.search_properties import Kind, Property, Shapes, find_property, unknown_property
from rekindle.api.translate.search_terms import ORDERS, Term, choices, seconds, term_of
from rekindle.domain.errors import InvalidValue
from rekindle.engine.ports import JobFilter

Json = Mapping[str, Any]
Test = Callable[[Json], bool]

#: How many elements one expression, and all of them together, may have.
MAX_ELEMENTS = 20
MAX_TOTAL = 50

_LISTS = ("Filters", "NestedFilters", "SubExpressions")

#: By the property: what of the store's filter bounds it.
_BOUNDS = {
    "CreationTime": ("created_after", "created_before"),
    "LastModifiedTime": ("modified_after", "modified_before"),
}
#: Seconds by which the store's bounds are wider than a filter's: Equals looks at whole seconds, others at rounded times.
_WIDER = 2.0


@dataclass(frozen=True)
class Searched:
    """Where properties are looked up: the service's shapes, and the kind of resource."""

    shapes: Shapes
    resource: str

    def property(self, name: str) -> Property:
        """The property of that name. Raises InvalidValue."""
        return find_property(self.shapes, self.resource, name)


def test_of(expression: Json | None, searched: Searched) -> Test:
    """The test that a resource's description must pass; without an expression each does. Raises InvalidValue."""
    if expression is None:
        return lambda described: True
    elements = list(_elements(expression))
    if len(elements) > MAX_TOTAL:
        raise InvalidValue("searchExpression", len(elements), f"at most {MAX_TOTAL} filters and expressions in all")
    contains = [e for e in elements if e.get("Operator") == "Contains"]
    if len(contains) > 1:
        reason = "'CONTAINS' operator usage limit of 1 exceeded."
        raise InvalidValue("searchExpression", len(contains), reason, code="verbatim")
    return _test(expression, searched)


def filter_of(expression: Json | None, resource: str) -> JobFilter:
    """A filter of the store's that lets through all that passes an expression which is valid, and maybe more."""
    where = JobFilter()
    if expression is None or expression.get("Operator") == "Or":
        return where
    for sent in expression.get("Filters", ()):
        where = _narrowed(where, resource, sent["Name"], sent.get("Operator") or "Equals", sent.get("Value"))
    return where


def visibility_of(conditions: Sequence[Json], searched: Searched) -> Test:
    """The test of VisibilityConditions: a resource that has the tag of one has it with that value. Raises InvalidValue for a
    key that is not of the form ``Tags.<key>``."""
    terms: list[tuple[Property, str | None]] = []
    for sent in conditions:
        key = sent.get("Key") or ""
        if not key.removeprefix("Tags.") or not key.startswith("Tags."):
            raise InvalidValue("visibilityConditions", key, "a condition's Key is of the form Tags.<key>")
        terms.append((searched.property(key), sent.get("Value")))
    return lambda described: all(set(found.values(described)) <= {value} for found, value in terms)


def _elements(expression: Json) -> Iterator[Json]:
    """All filters, nested filters with their own, and expressions below one."""
    for kind in _LISTS:
        for element in expression.get(kind, ()):
            yield element
            yield from _elements(element)


def _narrowed(where: JobFilter, resource: str, name: str, operator: str, value: Any) -> JobFilter:
    """The filter with what one more element says, where the store can tell."""
    if name == f"{resource}Name":
        if operator == "Contains":
            return replace(where, name_contains=value)
        if operator in ("Equals", "In"):
            return replace(where, named=tuple(choices(value)) if operator == "In" else (value,))
    if name == f"{resource}Status" and operator == "Equals":
        return replace(where, status=value)
    if name.startswith("Tags.") and name not in ("Tags.Key", "Tags.Value") and operator == "Equals":
        return replace(where, tagged=(*where.tagged, (name.removeprefix("Tags."), value)))
    if name in _BOUNDS and operator in ("Equals", *ORDERS):
        return _bounded(where, name, operator, seconds(value))
    return where


def _bounded(where: JobFilter, name: str, operator: str, at: float | None) -> JobFilter:
    if at is None:
        return where
    after, before = _BOUNDS[name]
    bounds: dict[str, Any] = {} if operator.startswith("Less") else {after: at - _WIDER}
    if not operator.startswith("Greater"):
        bounds[before] = at + _WIDER
    return replace(where, **bounds)


def _test(expression: Json, searched: Searched) -> Test:
    size = sum(len(expression.get(kind, ())) for kind in _LISTS)
    if not 1 <= size <= MAX_ELEMENTS:
        raise InvalidValue("searchExpression", size, f"an expression has 1 to {MAX_ELEMENTS} filters and expressions")
    terms = [_term(f, searched).satisfied_by for f in expression.get("Filters", ())]
    nested = [_nested(n, searched) for n in expression.get("NestedFilters", ())]
    inner = [_test(e, searched) for e in expression.get("SubExpressions", ())]
    tests: list[Test] = [*terms, *nested, *inner]
    join = any if expression.get("Operator") == "Or" else all
    return lambda described: join(test(described) for test in tests)


def _term(sent: Json, searched: Searched) -> Term:
    return term_of(searched.property(sent["Name"]), sent.get("Operator") or "Equals", sent.get("Value"))


def _nested(sent: Json, searched: Searched) -> Test:
    """All filters hold on the same element of a list."""
    parent = searched.property(sent["NestedPropertyName"])
    if parent.kind is not Kind.WHOLE:
        raise InvalidValue("searchExpression.nestedFilters", parent.name, "not a list of structures")
    terms = [_inner_term(f, parent, searched) for f in sent["Filters"]]

    def holds(described: Json) -> bool:
        return any(all(t.satisfied_by(element) for t in terms) for element in parent.values(described))

    return holds


def _inner_term(sent: Json, parent: Property, searched: Searched) -> Term:
    found = searched.property(sent["Name"])
    if found.path[: len(parent.path)] != parent.path or found.path == parent.path:
        raise unknown_property(sent["Name"])
    return term_of(found.below(parent), sent.get("Operator") or "Equals", sent.get("Value"))
