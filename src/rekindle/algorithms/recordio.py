"""RecordIO-wrapped protobuf, the format of Amazon's own algorithms: frames of one ``Record`` each.

A frame is a magic number, a length (both 4 bytes, little-endian) and the record, filled up to a multiple of 4. Of the
record's protobuf only what algorithms read is decoded: ``features["values"]`` and ``label["values"]``, each a tensor of
float32 (field 2), float64 (3) or int32 (7) with packed values (1), keys (2, where it is sparse) and shape (3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = 0xCED7230A
_LENGTH_BITS = 29
_FEATURES, _LABEL = 1, 2
_TENSORS: dict[int, Any] = {2: "<f4", 3: "<f8", 7: None}


class NotRecordIO(ValueError):
    """The bytes are not what they should be; the message says where."""


@dataclass(frozen=True)
class Tensor:
    """Values, and where they stand in a vector of ``size`` numbers if it is sparse (``keys``)."""

    values: NDArray[np.float64]
    keys: NDArray[np.int64] | None
    size: int | None


def records(data: bytes) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Features and label of each record. Raises NotRecordIO."""
    for record in frames(data):
        maps: dict[int, Tensor] = {}
        for field, value in _fields(record):
            if field in (_FEATURES, _LABEL) and isinstance(value, bytes):
                entry = dict(_fields(value))
                if entry.get(1) == b"values" and isinstance(entry.get(2), bytes):
                    maps[field] = _tensor(entry[2])  # type: ignore[arg-type]
        if _FEATURES not in maps:
            raise NotRecordIO("a record has no features called 'values'")
        yield maps[_FEATURES], maps.get(_LABEL)


def frames(data: bytes) -> Iterator[bytes]:
    """The records, each whole, though a long one may lie in several frames. Raises NotRecordIO."""
    at, parts = 0, b""
    while at < len(data):
        if at + 8 > len(data):
            raise NotRecordIO(f"the file ends within a record, at byte {at}")
        magic, length = struct.unpack_from("<II", data, at)
        if magic != MAGIC:
            raise NotRecordIO(f"there is no record at byte {at}")
        # 0: whole; 1, 2, 3: the first, a middle, the last part of one.
        place, length = length >> _LENGTH_BITS, length & ((1 << _LENGTH_BITS) - 1)
        at += 8
        if at + length > len(data):
            raise NotRecordIO(f"the file ends within a record, at byte {at}")
        parts += data[at : at + length]
        at += (length + 3) // 4 * 4
        if place in (0, 3):
            yield parts
            parts = b""
        else:
            parts += struct.pack("<I", MAGIC)


def _tensor(value: bytes) -> Tensor:
    for field, inner in _fields(value):
        if field in _TENSORS and isinstance(inner, bytes):
            return _decoded(inner, _TENSORS[field])
    raise NotRecordIO("a value is no tensor of numbers")


def _decoded(data: bytes, kind: str | None) -> Tensor:
    values: list[NDArray[np.float64]] = []
    keys: list[int] = []
    shape: list[int] = []
    for field, inner in _fields(data):
        if field == 1:
            values.append(_values(inner, kind))
        elif field in (2, 3):
            (keys if field == 2 else shape).extend(_varints(inner) if isinstance(inner, bytes) else [inner])
    found = np.concatenate(values) if values else np.zeros(0)
    size = int(np.prod(shape)) if shape else None
    sparse = bool(keys) or (size is not None and size != len(found))
    return Tensor(found, np.array(keys, dtype=np.int64) if sparse else None, size)


def _values(inner: bytes | int, kind: str | None) -> NDArray[np.float64]:
    if isinstance(inner, int):
        return np.array([_signed(inner)], dtype=np.float64)
    if kind is None:
        return np.array([_signed(n) for n in _varints(inner)], dtype=np.float64)
    return np.frombuffer(inner, dtype=kind).astype(np.float64)


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers and values of a protobuf message: bytes, or a whole number where the field is one."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            number, at = _varint(data, at)
            yield tag >> 3, number
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise NotRecordIO(f"a record holds what is no protobuf (wire type {kind})")
        if at + length > len(data):
            raise NotRecordIO("a record ends within a field")
        yield tag >> 3, data[at : at + length]
        at += length


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = _varint(data, at)
        yield number


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise NotRecordIO("a record ends within a number")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
