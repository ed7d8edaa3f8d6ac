"""A job file as a tree of tables, lists and scalars, each of which knows its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Scalar:
    """A single value, as it is written; ``quoted`` text is never a number, a switch or nothing."""

    line: int
    text: str
    quoted: bool = False

    @property
    def is_null(self) -> bool:
        """Whether nothing is written there."""
        return not self.quoted and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Items:
    """A list."""

    line: int
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Fields:
    """A table: its keys in the order of the file, each with its own line."""

    line: int
    nodes: Mapping[str, Node]
    lines: Mapping[str, int]


Node = Scalar | Items | Fields


def places(node: Node, path: str = "") -> Iterator[tuple[str, int]]:
    """The line of every key and of every text in a list, by dotted path: ``ranges.C.min``, ``warm_start.parents.first``."""
    if isinstance(node, Fields):
        for key, child in node.nodes.items():
            inner = f"{path}.{key}" if path else key
            yield inner, node.lines[key]
            yield from places(child, inner)
    elif isinstance(node, Items):
        for child in node.nodes:
            if isinstance(child, Scalar):
                yield f"{path}.{child.text}", child.line
