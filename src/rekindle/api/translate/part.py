"""Reading a request's structures: each member with its path, its type checked, what is absent told from what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from rekindle.domain.errors import InvalidValue, shown
from rekindle.domain.texts import unwanted

T = TypeVar("T")
Json = Mapping[str, Any]


def says_something(structure: Json | None) -> bool:
    """Whether a structure has a member that is not empty: empty lists of ranges, say, are as good as none."""
    return any((structure or {}).values())


class Part:
    """A structure of a request with its path; one that is absent reads as empty. Raises InvalidValue, naming the path."""

    def __init__(self, path: str, value: object) -> None:
        if value is not None and not isinstance(value, Mapping):
            raise InvalidValue(path, value, "must be an object")
        self.path = path
        self.value: Json = value or {}

    def __bool__(self) -> bool:
        return bool(self.value)

    def get(self, key: str, kind: type[Any] | tuple[type[Any], ...] | None = None) -> Any:
        """A member, or None."""
        found = self.value.get(key)
        wrong = kind is not None and (not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool))
        if found is not None and wrong:
            raise InvalidValue(self.inner(key), found, "has the wrong type")
        return found

    def need(self, key: str, kind: type[T]) -> T:
        """A member that must be there."""
        found: T | None = self.get(key, kind)
        if found is None:
            raise InvalidValue(self.inner(key), None, "missing")
        return found

    def part(self, key: str) -> Part:
        """A structure inside."""
        return Part(self.inner(key), self.get(key))

    def items(self, key: str) -> Iterator[Part]:
        """The structures of a list inside; paths count from 1, as AWS's do."""
        for number, item in enumerate(self.get(key, list) or [], start=1):
            yield Part(f"{self.inner(key)}.{number}", item)

    def strings(self, key: str) -> tuple[str, ...]:
        """The texts of a list inside."""
        found = self.get(key, list) or []
        for item in found:
            if not isinstance(item, str):
                raise InvalidValue(self.inner(key), item, "has the wrong type")
        return tuple(found)

    def texts(self, key: str) -> dict[str, str]:
        """A map from text to text."""
        part = self.part(key)
        return {name: part.need(name, str) for name in part.value}

    def integer(self, key: str) -> int | None:
        """A whole number, or None."""
        found: int | None = self.get(key, int)
        return found

    def switch(self, key: str) -> bool:
        """A truth value; false when it is absent."""
        return bool(self.get(key, bool))

    def choice(self, key: str, choices: Mapping[str, T], default: str | None = None) -> T:
        """What one of several words stands for."""
        found = self.get(key, str)
        found = default if found is None else found
        if found is None:
            raise InvalidValue(self.inner(key), None, "missing")
        if found not in choices:
            raise InvalidValue(self.inner(key), found, f"not one of {', '.join(choices)}")
        return choices[found]

    def inner(self, key: str) -> str:
        """The path of a member."""
        return f"{self.path}.{key}" if self.path else key


def tags_of(part: Part, key: str = "Tags") -> dict[str, str]:
    """A list of tags. Raises InvalidValue for a key that is there twice or that belongs to AWS."""
    tags: dict[str, str] = {}
    for item in part.items(key):
        name = item.need("Key", str)
        if name in tags:
            raise InvalidValue(part.inner(key), name, "the key is there twice")
        if name.lower().startswith("aws:"):
            reason = "aws: prefixed tag key names are not allowed for external use"
            raise InvalidValue(part.inner(key), name, reason, code="reserved-tag")
        tags[name] = item.need("Value", str)
    return tags


def without_nulls(value: Any) -> Any:
    """A request without the members that are null: they are as good as absent, and are not shown again."""
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def check_texts(value: object, path: str = "") -> None:
    """Refuses what no file, environment or database can hold: NUL characters and halves of surrogate pairs."""
    if isinstance(value, str):
        bad = unwanted(value)
        if bad:
            raise InvalidValue(path, value, f"cannot hold the character {shown(bad)}")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            check_texts(key, path)
            check_texts(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence):
        for number, inner in enumerate(value, start=1):
            check_texts(inner, f"{path}.{number}")
