"""The five checksums of S3: of whole objects and of objects made of parts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rekindle.s3.errors import S3Error

Kind = Literal["FULL_OBJECT", "COMPOSITE"]

#: Algorithm: length of its digest in bytes.
ALGORITHMS: Mapping[str, int] = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
_PREFIX = "x-amz-checksum-"
#: Headers that are named like a checksum and say something of one.
_ABOUT = frozenset(_PREFIX + what for what in ("algorithm", "mode", "type"))


class Hasher(Protocol):
    """What all running checksums can do."""

    def update(self, data: bytes, /) -> None:
        """Take in further bytes."""

    def digest(self) -> bytes:
        """The checksum so far."""


class _Crc32:
    def __init__(self) -> None:
        self._state = 0

    def update(self, data: bytes) -> None:
        self._state = zlib.crc32(data, self._state)

    def digest(self) -> bytes:
        return self._state.to_bytes(4, "big")


def new_hasher(algorithm: str) -> Hasher:
    """A running checksum of that algorithm."""
    if algorithm == "CRC32":
        return _Crc32()
    if algorithm in ("CRC32C", "CRC64NVME"):
        # Where no such checksum is asked for, numpy stays out: transfers must start fast.
        from rekindle.s3.crc import Crc

        return Crc(algorithm)
    return hashlib.new(algorithm.lower(), usedforsecurity=False)


@dataclass(frozen=True)
class Checksum:
    """A checksum as S3 tells it: base64, and for a COMPOSITE one `-` and the number of parts."""

    algorithm: str
    value: str
    kind: Kind = "FULL_OBJECT"

    @property
    def header(self) -> str:
        """The name of the header that carries it."""
        return _PREFIX + self.algorithm.lower()

    @property
    def element(self) -> str:
        """The name of the XML element that carries it."""
        return "Checksum" + self.algorithm

    @property
    def digest(self) -> bytes:
        """The checksum's bytes."""
        return base64.b64decode(self.value.partition("-")[0])


def from_digest(algorithm: str, digest: bytes) -> Checksum:
    """The checksum of a whole object."""
    return Checksum(algorithm, base64.b64encode(digest).decode())


def check_algorithm(name: str) -> str:
    """The algorithm that a client named; refuses one that S3 does not have."""
    if name.upper() not in ALGORITHMS:
        raise S3Error("InvalidRequest", f"Checksum algorithm provided is unsupported. Use one of {', '.join(ALGORITHMS)}.")
    return name.upper()


def algorithm_of_header(header: str) -> str | None:
    """The algorithm whose checksum a header or trailer carries; None for any other header."""
    name = header.lower().removeprefix(_PREFIX).upper()
    return name if header.lower().startswith(_PREFIX) and name in ALGORITHMS else None


def parse(algorithm: str, value: str) -> Checksum:
    """A checksum that a client sent; refuses what cannot be one."""
    try:
        size = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        size = -1
    if size != ALGORITHMS[algorithm]:
        raise S3Error("InvalidRequest", f"Value for x-amz-checksum-{algorithm.lower()} header is invalid.")
    return Checksum(algorithm, value)


def from_headers(headers: Mapping[str, str]) -> Checksum | None:
    """The checksum that the headers promise, if any; S3 takes one at most. Refuses one of an algorithm that we cannot check."""
    for name in headers:
        if name.startswith(_PREFIX) and name not in _ABOUT:
            check_algorithm(name.removeprefix(_PREFIX))
    found = [(algorithm, value) for name, value in headers.items() if (algorithm := algorithm_of_header(name))]
    if len(found) > 1:
        raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    return parse(*found[0]) if found else None


def default_kind(algorithm: str) -> Kind:
    """How S3 joins the parts' checksums when the client does not say."""
    return "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"


def check_kind(algorithm: str, kind: str) -> Kind:
    """The way to join that a client named; a SHA cannot be FULL_OBJECT, CRC64NVME cannot be COMPOSITE."""
    if kind == "COMPOSITE" and algorithm != "CRC64NVME":
        return "COMPOSITE"
    if kind == "FULL_OBJECT" and algorithm.startswith("CRC"):
        return "FULL_OBJECT"
    raise S3Error("InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.")


def join(parts: Sequence[tuple[Checksum, int]], kind: Kind) -> Checksum:
    """The checksum of an object from those of its parts and the parts' sizes."""
    algorithm = parts[0][0].algorithm
    if kind == "COMPOSITE":
        hasher = new_hasher(algorithm)
        for checksum, _ in parts:
            hasher.update(checksum.digest)
        whole = from_digest(algorithm, hasher.digest())
        return Checksum(algorithm, f"{whole.value}-{len(parts)}", "COMPOSITE")
    from rekindle.s3.crc import combine

    total = 0
    for checksum, size in parts:
        total = combine(algorithm, total, int.from_bytes(checksum.digest, "big"), size)
    return from_digest(algorithm, total.to_bytes(ALGORITHMS[algorithm], "big"))
