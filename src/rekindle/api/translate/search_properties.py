"""What a search may ask about: the properties of a resource, their kinds, and their values in one resource's description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from botocore.model import ListShape, MapShape, Shape, StructureShape

from rekindle.domain.errors import InvalidValue

Json = Mapping[str, Any]

#: The shape of each resource's description, and the member of a result that holds it.
RESOURCES = {"TrainingJob": "TrainingJob", "HyperParameterTuningJob": "HyperParameterTuningJobSearchEntity"}


class Shapes(Protocol):
    """The shapes of the service's model, by name."""

    def shape_for(self, name: str) -> Any:
        """A shape of botocore's."""
        ...


class Kind(Enum):
    """How values of a property compare."""

    TEXT = "text"
    NUMBER = "numeric"
    TIME = "timestamp"
    TRUTH = "Boolean"
    #: A hyperparameter: text that may be a number.
    LOOSE = "hyperparameter"
    #: A structure: it can only be there or not.
    WHOLE = "structure"


_KINDS = {
    "string": Kind.TEXT,
    "integer": Kind.NUMBER,
    "long": Kind.NUMBER,
    "float": Kind.NUMBER,
    "double": Kind.NUMBER,
    "timestamp": Kind.TIME,
    "boolean": Kind.TRUTH,
}


_HYPERPARAMETERS = frozenset(("HyperParameters", "TunedHyperParameters", "StaticHyperParameters"))


@dataclass(frozen=True)
class Property:
    """A property by its path: ``name`` as it was asked for, ``path`` as it is found, and how its values compare."""

    name: str
    path: tuple[str, ...]
    kind: Kind

    def values(self, described: Json) -> list[Any]:
        """Its values in a description: none, one, or as many as a list on the way has."""
        return list(_values(described, self.path))

    def below(self, parent: Property) -> Property:
        """The property as an element of a list property sees it."""
        return Property(self.name, self.path[len(parent.path) :], self.kind)


def find_property(shapes: Shapes, resource: str, name: str) -> Property:
    """The property of a resource by name. Raises InvalidValue for one that the resource does not have."""
    head, _, rest = name.partition(".")
    if head == "Metrics" and rest and resource == "TrainingJob":
        return Property(name, ("Metrics", rest), Kind.NUMBER)
    if head == "Tags" and rest and rest not in ("Key", "Value"):
        return Property(name, ("Tags", f"={rest}"), Kind.TEXT)
    shape: Shape | None = shapes.shape_for(RESOURCES[resource])
    path: list[str] = []
    left = name
    while left and shape is not None:
        step, left, shape = _step(shape, left)
        path.append(step)
    if shape is None:
        raise unknown_property(name)
    return Property(name, tuple(path), _kind(shape, path))


def _step(shape: Shape, name: str) -> tuple[str, str, Shape | None]:
    """One step down a path: the step, what is left of the path, and the shape there, if there is one."""
    while isinstance(shape, ListShape):
        shape = shape.member
    if isinstance(shape, MapShape):
        # Keys may hold dots: what is left is the key.
        return name, "", shape.value
    head, _, rest = name.partition(".")
    members = shape.members if isinstance(shape, StructureShape) else {}
    return head, rest, members.get(head)


def unknown_property(name: str) -> InvalidValue:
    """The refusal of a property that a resource does not have."""
    return InvalidValue("searchExpression", name, f"Unknown property name: {name}", code="verbatim")


def _kind(shape: Shape, path: list[str]) -> Kind:
    if path[-2:-1] and path[-2] in _HYPERPARAMETERS:
        return Kind.LOOSE
    while isinstance(shape, ListShape):
        shape = shape.member
    return _KINDS.get(shape.type_name, Kind.WHOLE)


def _values(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _values(item, path)
    elif not path:
        yield value
    elif path[0] == "Metrics" and isinstance(value, Mapping):
        yield from (m["Value"] for m in value.get("FinalMetricDataList", ()) if m["MetricName"] == path[1])
    elif path[0].startswith("=") and isinstance(value, Mapping) and "Key" in value:
        if value["Key"] == path[0][1:]:
            yield value["Value"]
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _values(value[path[0]], path[1:])
