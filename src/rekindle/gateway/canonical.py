"""The canonical request of AWS Signature Version 4: what a client signs and a server rebuilds from the wire.

Source: "Signature Version 4 signing process" in the AWS General Reference, and the S3 API reference for S3's own path rule.
Everything here works on the bytes of the wire, so that nothing is decoded twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from urllib.parse import quote_from_bytes, unquote_to_bytes

#: The query parameter that holds a presigned URL's signature, and so cannot be part of what it signs.
SIGNATURE_PARAMETER = b"X-Amz-Signature"


@dataclass(frozen=True)
class WireRequest:
    """A request as it came: the undecoded path without its query, header names in lower case, in their order."""

    method: str
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def values(self, name: str) -> list[bytes]:
        """Every value of one header, in order."""
        key = name.encode("latin-1")
        return [value for header, value in self.headers if header == key]

    def header(self, name: str) -> str | None:
        """The one value of a header, stripped; None where it is absent. The first, where a header is repeated."""
        values = self.values(name)
        return values[0].decode("latin-1").strip() if values else None

    def parameters(self) -> list[tuple[bytes, bytes]]:
        """The query's names and values, decoded (``+`` is a space), in order, repeats included."""
        pairs = (part.partition(b"=") for part in self.query.split(b"&") if part)
        return [(_decoded(name), _decoded(value)) for name, _, value in pairs]


def canonical_requests(request: WireRequest, signed_headers: Sequence[str], payload: str, s3: bool) -> Iterator[bytes]:
    """Each canonical request that the wire request may stand for, the likeliest first.

    A client may sign its path and query as it sends them, or (as AWS says) decoded and encoded again by the rules. Both
    name the same resource, so accepting either gives nothing away. Normally there is exactly one.
    """
    headers = canonical_headers(request, signed_headers)
    names = ";".join(signed_headers).encode("latin-1")
    for path, query in product(_path_forms(request.path, s3), _query_forms(request.query)):
        yield b"\n".join([request.method.encode("latin-1"), path, query, headers, names, payload.encode("latin-1")])


def digest(canonical_request: bytes) -> str:
    """The SHA-256 of a canonical request in lower-case hex, as the string to sign holds it."""
    return sha256(canonical_request).hexdigest()


def canonical_headers(request: WireRequest, signed_headers: Sequence[str]) -> bytes:
    """``name:value`` and a newline for each signed header; the values of a repeated header are joined by commas."""
    return b"".join(
        name.encode("latin-1") + b":" + b",".join(map(_trimmed, request.values(name))) + b"\n" for name in signed_headers
    )


def normalised(path: bytes) -> bytes:
    """The path without empty, ``.`` and ``..`` segments (RFC 3986, 5.2.4, with runs of slashes made one); ``/`` at least."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    tail = b"/" if path.endswith(b"/") and kept else b""
    return b"/" + b"/".join(kept) + tail


def _path_forms(path: bytes, s3: bool) -> list[bytes]:
    """S3 neither normalises a path nor encodes it twice; every other service does both."""
    if s3:
        return _distinct(_encoded(unquote_to_bytes(path), safe="/"), path or b"/")
    return [_encoded(normalised(path), safe="/")]


def _query_forms(query: bytes) -> list[bytes]:
    pairs = [part.partition(b"=")[::2] for part in query.split(b"&")] if query else []
    pairs = [(name, value) for name, value in pairs if name != SIGNATURE_PARAMETER]
    recoded = [(_encoded(_decoded(name)), _encoded(_decoded(value))) for name, value in pairs if name or value]
    return _distinct(_joined(recoded), _joined(pairs))


def _joined(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"&".join(name + b"=" + value for name, value in sorted(pairs))


def _distinct(first: bytes, second: bytes) -> list[bytes]:
    return [first] if first == second else [first, second]


def _trimmed(value: bytes) -> bytes:
    return b" ".join(value.split())


def _decoded(part: bytes) -> bytes:
    return unquote_to_bytes(part.replace(b"+", b" "))


def _encoded(part: bytes, safe: str = "") -> bytes:
    return quote_from_bytes(part, safe=safe).encode("ascii")
