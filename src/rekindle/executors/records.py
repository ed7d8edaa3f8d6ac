"""The two small file formats that the engine's process and a supervisor share.

A supervisor must start in milliseconds, so it does without ``json``, whose import alone costs it as much as the
interpreter's start. Orders are fields of NUL-separated strings; what a supervisor has to tell is one JSON object a line.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

try:
    from _json import encode_basestring_ascii as _quoted
except ImportError:  # an interpreter without the C accelerator
    from json.encoder import encode_basestring_ascii as _quoted

Fields = dict[str, list[str]]


def pack(fields: Mapping[str, Sequence[str]]) -> bytes:
    """Fields as bytes. Raises ValueError where a string holds a NUL, which no argument or variable of a process can."""
    parts: list[str] = []
    for name, values in fields.items():
        parts += [name, str(len(values)), *values]
    if any("\0" in part for part in parts):
        raise ValueError("a NUL character cannot be passed to a process")
    return "\0".join(parts).encode("utf-8", "surrogateescape")


def unpack(data: bytes) -> Fields:
    """What ``pack`` was given."""
    parts = data.decode("utf-8", "surrogateescape").split("\0")
    fields: Fields = {}
    at = 0
    while at + 1 < len(parts):
        count = int(parts[at + 1])
        fields[parts[at]] = parts[at + 2 : at + 2 + count]
        at += 2 + count
    return fields


def line(fields: Mapping[str, str | int | float | None]) -> bytes:
    """One JSON object on one line; numbers must be finite."""
    body = ",".join(f"{_quoted(name)}:{_value(value)}" for name, value in fields.items())
    return f"{{{body}}}\n".encode("ascii")


def end(state: str, at: float, exit_code: int | None, reason: str | None, model: str | None) -> bytes:
    """A journal's last line."""
    return line({"end": state, "at": at, "exit_code": exit_code, "reason": reason, "model": model})


def _value(value: str | float | None) -> str:
    if value is None:
        return "null"
    return _quoted(value) if isinstance(value, str) else repr(value)
