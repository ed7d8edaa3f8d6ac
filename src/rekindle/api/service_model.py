"""Requests checked against AWS's own service model, which botocore carries: required, type, length, range, pattern, enum.

botocore's client-side validator leaves out maximum, pattern and enum, so this is where they are enforced, with AWS's
sentences. The model is read when the first request comes, once.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from rekindle.api.errors import Violation, missing, serialization, validation
from rekindle.api.patterns import Pattern, UnsupportedPattern, compiled

T = TypeVar("T")

#: Patterns that the service prints otherwise than today's model spells them: the model was stripped of its anchors, the
#: service's error messages were not. As in botocore 1.27.96 and in error reports.
_PRINTED: Final = {
    "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}": "^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}",
    "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}": "^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
    "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,63}": "^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,63}",
    "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}": "^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}",
    r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+": r"^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$",
    "(https|s3)://([^/]+)/?(.*)": "^(https|s3)://([^/]+)/?(.*)$",
    r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)": r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$",
    "[a-zA-Z0-9:/_-]*": "^[a-zA-Z0-9:/_-]*$",
}

_INTEGER_BITS: Final = {"integer": 32, "long": 64}
_ARTICLES: Final = {"string": "a String", "integer": "an Integer", "long": "a Long", "float": "a Float", "double": "a Double",
                    "boolean": "a Boolean", "timestamp": "a Date"}  # fmt: skip
_FIRST_MOMENT, _LAST_MOMENT = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1, 9999))


class Checker(Protocol):
    """Checks the values of one shape."""

    #: Whether a value is one thing, not made of others; a list or map then reports its members' constraints as its own.
    scalar: bool

    def check(self, value: Any, path: str, found: list[Violation]) -> Any:
        """The value, with unknown members dropped and numbers in their type. Adds what it breaks to ``found``; raises
        SerializationException for a value of another type."""
        ...

    def constraints(self) -> list[str]:
        """Every constraint of the shape, in AWS's words."""
        ...


class ServiceModel:
    """SageMaker's request shapes. Safe to use from several threads.

    ``optional`` names members (shape, member) that we do not insist on although the model does; ``further_values`` gives,
    for an enum shape, a pattern of values that are allowed next to the model's own.
    """

    def __init__(
        self,
        optional: Collection[tuple[str, str]] = (),
        further_values: Mapping[str, str] | None = None,
    ) -> None:
        self._optional = frozenset(optional)
        self._further_values = further_values or {}
        self._lock = threading.Lock()
        self._inputs: dict[str, Checker] = {}

    def check(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as the operation's handler may take them; raises ApiError with everything that is wrong."""
        found: list[Violation] = []
        checked: dict[str, Any] = self._input(operation).check(parameters, "", found)
        if found:
            raise validation(found)
        return checked

    @property
    def description(self) -> Mapping[str, Any]:
        """The model as botocore stores it, for those who look up the shapes of answers."""
        return _description()

    def _input(self, operation: str) -> Checker:
        with self._lock:
            if operation not in self._inputs:
                description = _description()
                builder = _Builder(description["shapes"], self._optional, self._further_values)
                self._inputs[operation] = builder.build(description["operations"][operation]["input"]["shape"])
            return self._inputs[operation]


def preload() -> None:
    """Reads the model now, so that no request has to wait for it."""
    _description()


def _description() -> Mapping[str, Any]:
    with _READING:
        return _read()


#: Two threads that ask at once must not both do the work.
_READING = threading.Lock()


@cache
def _read() -> Mapping[str, Any]:
    """The model as it is on disk: a second's work, done once for all."""
    # Only botocore's own data: the user's folder (~/.aws/models) may say anything.
    from botocore.loaders import Loader

    loader = Loader([Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    loaded: Mapping[str, Any] = loader.load_service_model("sagemaker", "service-2", "2017-07-24")
    return loaded


class _Builder:
    """Makes checkers of shapes; each shape once, as shapes may hold themselves."""

    def __init__(self, shapes: Mapping[str, Any], optional: Collection[tuple[str, str]], further: Mapping[str, str]) -> None:
        self._shapes = shapes
        self._optional = optional
        self._further = further
        self._built: dict[str, Checker] = {}

    def build(self, name: str) -> Checker:
        if name not in self._built:
            shape = self._shapes[name]
            kind = shape["type"]
            if kind == "structure":
                self._structure(name, shape)
            elif kind == "list":
                self._built[name] = _List(_Bounds.of(shape, "length"), self.build(shape["member"]["shape"]))
            elif kind == "map":
                key, value = self.build(shape["key"]["shape"]), self.build(shape["value"]["shape"])
                self._built[name] = _Map(_Bounds.of(shape, "length"), key, value)
            else:
                self._built[name] = self._scalar(name, shape)
        return self._built[name]

    def _structure(self, name: str, shape: Mapping[str, Any]) -> None:
        members: dict[str, Checker] = {}
        required = frozenset(member for member in shape.get("required", ()) if (name, member) not in self._optional)
        # Known before its members are: one of them may be the same shape again.
        self._built[name] = _Structure(members, required)
        members.update({member: self.build(target["shape"]) for member, target in shape["members"].items()})

    def _scalar(self, name: str, shape: Mapping[str, Any]) -> Checker:
        kind = shape["type"]
        if kind == "string":
            values = tuple(shape.get("enum", ()))
            return _String(
                _Bounds.of(shape, "length"), _pattern(shape.get("pattern")), values, _pattern(self._further.get(name))
            )
        if kind in _INTEGER_BITS:
            return _Number(kind, _integer, _Bounds.of(shape, "value"))
        if kind in ("float", "double"):
            return _Number(kind, _float, _Bounds.of(shape, "value"))
        return _Number(kind, {"boolean": _boolean, "timestamp": _timestamp}[kind], _Bounds())


@dataclass(frozen=True)
class _Bounds:
    """The least and the most that a length or a value may be."""

    what: str = "value"
    least: float | None = None
    most: float | None = None

    @classmethod
    def of(cls, shape: Mapping[str, Any], what: str) -> _Bounds:
        return cls(what, shape.get("min"), shape.get("max"))

    def sentences(self) -> list[str]:
        return [*self.broken(math.inf), *self.broken(-math.inf)]

    def allowed(self, items: Iterable[T]) -> Iterator[T]:
        """Of items that are counted as many as there may be."""
        return islice(items, None if self.most is None else int(self.most))

    def broken(self, size: float) -> Iterator[str]:
        if self.most is not None and size > self.most:
            yield f"Member must have {self.what} less than or equal to {self.most}"
        if self.least is not None and size < self.least:
            yield f"Member must have {self.what} greater than or equal to {self.least}"


@dataclass(frozen=True)
class _String:
    bounds: _Bounds
    pattern: Pattern | None
    values: Sequence[str]
    further: Pattern | None
    scalar = True

    def check(self, value: Any, path: str, found: list[Violation]) -> str:
        if not isinstance(value, str):
            raise _wrong_type(value, "string", path)
        found.extend(Violation(path, value, constraint) for constraint in self._broken(value))
        return value

    def constraints(self) -> list[str]:
        return [*self.bounds.sentences(), *self._pattern_sentence(), *self._enum_sentence()]

    def _broken(self, value: str) -> Iterator[str]:
        # Java counts UTF-16 units.
        yield from self.bounds.broken(len(value) + sum(character > "\uffff" for character in value))
        if self.pattern is not None and not self.pattern.matches(value):
            yield from self._pattern_sentence()
        if self.values and value not in self.values and not (self.further and self.further.matches(value)):
            yield from self._enum_sentence()

    def _pattern_sentence(self) -> list[str]:
        if self.pattern is None:
            return []
        printed = _PRINTED.get(self.pattern.source, self.pattern.source)
        return [f"Member must satisfy regular expression pattern: {printed}"]

    def _enum_sentence(self) -> list[str]:
        return [f"Member must satisfy enum value set: [{', '.join(self.values)}]"] if self.values else []


@dataclass(frozen=True)
class _Number:
    """Numbers, booleans and times: whatever ``read`` makes of a JSON value, or None where it is of another type."""

    kind: str
    read: Callable[[Any, str], Any]
    bounds: _Bounds
    scalar = True

    def check(self, value: Any, path: str, found: list[Violation]) -> Any:
        read = self.read(value, self.kind)
        if read is None:
            raise _wrong_type(value, self.kind, path)
        found.extend(Violation(path, read, constraint) for constraint in self.bounds.broken(read))
        return read

    def constraints(self) -> list[str]:
        return self.bounds.sentences()


@dataclass(frozen=True)
class _Structure:
    members: Mapping[str, Checker]
    required: frozenset[str]
    scalar = False

    def check(self, value: Any, path: str, found: list[Violation]) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong_type(value, "structure", path)
        checked: dict[str, Any] = {}
        for name, checker in self.members.items():
            where = _below(path, name[0].lower() + name[1:])
            entry = value.get(name)
            if entry is not None:
                checked[name] = checker.check(entry, where, found)
            elif name in self.required:
                found.append(missing(where))
        return checked

    def constraints(self) -> list[str]:
        return []


@dataclass(frozen=True)
class _List:
    bounds: _Bounds
    member: Checker
    scalar = False

    def check(self, value: Any, path: str, found: list[Violation]) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong_type(value, "list", path)
        broken = [Violation(path, value, constraint) for constraint in self.bounds.broken(len(value))]
        found.extend(broken)
        own: list[Violation] = []
        allowed = enumerate(self.bounds.allowed(value), 1)
        checked = [self._check_member(entry, f"{path}.{number}.member", own) for number, entry in allowed]
        if self.member.scalar and any(violation.value is not None for violation in own):
            own = [Violation(path, value, f"Member must satisfy constraint: [{', '.join(self.member.constraints())}]")]
        # What is wrong within a list that is too long is not told, too: there would be no end to it, nor to the search for it.
        found.extend([] if broken else own)
        return checked

    def _check_member(self, entry: Any, path: str, found: list[Violation]) -> Any:
        if entry is None:
            found.append(missing(path))
            return None
        return self.member.check(entry, path, found)

    def constraints(self) -> list[str]:
        return self.bounds.sentences()


@dataclass(frozen=True)
class _Map:
    bounds: _Bounds
    key: Checker
    value: Checker
    scalar = False

    def check(self, value: Any, path: str, found: list[Violation]) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong_type(value, "map", path)
        broken = [Violation(path, value, constraint) for constraint in self.bounds.broken(len(value))]
        found.extend(broken)
        own: list[Violation] = []
        checked = {n: self._check_entry(n, entry, path, value, own) for n, entry in self.bounds.allowed(value.items())}
        # A rule that several entries break is told once, with the whole map.
        found.extend([] if broken else {str(violation): violation for violation in own}.values())
        return checked

    def _check_entry(self, name: str, entry: Any, path: str, whole: Any, found: list[Violation]) -> Any:
        if self._breaks(self.key, name, path):
            found.append(Violation(path, whole, f"Map keys must satisfy constraint: [{', '.join(self.key.constraints())}]"))
        if entry is None:
            found.append(missing(f"{path}.{name[:128]}.member"))
            return None
        if self.value.scalar and self._breaks(self.value, entry, path):
            found.append(Violation(path, whole, f"Map value must satisfy constraint: [{', '.join(self.value.constraints())}]"))
            return entry
        return self.value.check(entry, f"{path}.{name[:128]}.member", found)

    def _breaks(self, checker: Checker, value: Any, path: str) -> bool:
        broken: list[Violation] = []
        checker.check(value, path, broken)
        return bool(broken)

    def constraints(self) -> list[str]:
        return self.bounds.sentences()


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _pattern(source: str | None) -> Pattern | None:
    if source is None:
        return None
    try:
        return compiled(source)
    except UnsupportedPattern:
        # A newer botocore may bring a form that we cannot match; a rule that is not checked beats a service that is not there.
        return None


def _integer(value: Any, kind: str) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    limit = 1 << (_INTEGER_BITS[kind] - 1)
    return value if -limit <= value < limit else None


def _float(value: Any, kind: str) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _boolean(value: Any, kind: str) -> bool | None:
    return value if isinstance(value, bool) else None


def _timestamp(value: Any, kind: str) -> float | None:
    """Seconds since the epoch; ISO 8601 text is read, too, in UTC where it names no zone."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            seconds: float | None = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        else:
            seconds = _float(value, kind)
    except (ValueError, OverflowError):
        return None
    if seconds is None or not math.isfinite(seconds) or not _FIRST_MOMENT <= seconds < _LAST_MOMENT:
        return None
    return seconds


def _wrong_type(value: Any, kind: str, path: str) -> Exception:
    """AWS's sentences for a value of another JSON type, and the place."""
    if kind == "list":
        return serialization("Expected list or null", path)
    if kind in ("structure", "map"):
        return serialization("Unexpected field type", path)
    if isinstance(value, Mapping):
        return serialization("Start of structure or map found where not expected.", path)
    if isinstance(value, list):
        return serialization("Start of list found where not expected", path)
    if isinstance(value, str):
        token = "STRING_VALUE"  # noqa: S105 - a JSON token
    elif isinstance(value, bool):
        token = "TRUE_VALUE" if value else "FALSE_VALUE"
    else:
        token = "NUMBER_VALUE" if kind in ("string", "boolean") else str(value)[:40]
    return serialization(f"{token} can not be converted to {_ARTICLES[kind]}", path)
