"""The body of one upload: decoded, hashed, written, and checked against everything its headers promised, but for the hash of
the whole (``x-amz-content-sha256``): whoever checks who asks checks that too, and once is enough."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rekindle.s3 import checksums
from rekindle.s3.checksums import Checksum
from rekindle.s3.chunked import ChunkedDecoder, ChunkVerifier
from rekindle.s3.errors import S3Error

#: S3's limit on what one request may put.
MAX_UPLOAD_BYTES = 5 << 30


@dataclass(frozen=True)
class Received:
    """What arrived. `md5` is in hex."""

    size: int
    md5: str
    checksum: Checksum | None


@dataclass(frozen=True)
class Promise:
    """What the headers say of the body."""

    size: int
    md5: bytes | None
    checksum: Checksum | None
    #: The algorithm whose checksum comes in the trailer.
    trailing: str | None
    chunked: bool = False
    signed_chunks: bool = False
    trailer: bool = False


def read_promise(headers: Mapping[str, str]) -> Promise:
    """Read the headers that describe the body; refuses contradictions and what cannot be checked."""
    content = headers.get("x-amz-content-sha256", "")
    if content.startswith("STREAMING-") and not content.startswith(("STREAMING-UNSIGNED", "STREAMING-AWS4-HMAC-SHA256")):
        raise S3Error("NotImplemented", f"x-amz-content-sha256: {content} is not implemented; sign with AWS4-HMAC-SHA256.")
    streaming = content.startswith("STREAMING-")
    chunked = streaming or "aws-chunked" in headers.get("content-encoding", "")
    checksum, trailing = checksums.from_headers(headers), _trailing_algorithm(headers)
    _check_named_algorithm(headers, checksum, trailing)
    return Promise(
        size=_size(headers, "x-amz-decoded-content-length" if chunked else "content-length"),
        md5=_md5(headers.get("content-md5")),
        checksum=checksum,
        trailing=trailing,
        chunked=chunked,
        signed_chunks=content.startswith("STREAMING-AWS4"),
        trailer=content.endswith("-TRAILER") or (chunked and not streaming),
    )


def _size(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    if not text.isascii() or not text.isdigit():
        raise S3Error("MissingContentLength", f"You must provide the {name} HTTP header.")
    # Python reads no number of thousands of digits.
    if len(text) > 18 or int(text) > MAX_UPLOAD_BYTES:
        raise S3Error("EntityTooLarge", ProposedSize=text[:32], MaxSizeAllowed=str(MAX_UPLOAD_BYTES))
    return int(text)


def _md5(value: str | None) -> bytes | None:
    if value is None:
        return None
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise S3Error("InvalidDigest")
    return digest


def _trailing_algorithm(headers: Mapping[str, str]) -> str | None:
    names = [name.strip() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()]
    algorithms = [checksums.algorithm_of_header(name) for name in names]
    if len(names) > 1 or None in algorithms:
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    return algorithms[0] if algorithms else None


def _check_named_algorithm(headers: Mapping[str, str], checksum: Checksum | None, trailing: str | None) -> None:
    named = headers.get("x-amz-sdk-checksum-algorithm")
    if named is None:
        return
    given = checksum.algorithm if checksum else trailing
    if given is None:
        raise S3Error(
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            "were found.",
        )
    if checksums.check_algorithm(named) != given:
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")


class Payload:
    """Writes an upload's body to a new file, or to nowhere, and keeps the sums."""

    def __init__(self, promise: Promise, verifier: ChunkVerifier | None = None, *, algorithm: str | None = None) -> None:
        self._promise = promise
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._algorithm = promise.checksum.algorithm if promise.checksum else promise.trailing or algorithm
        self._checksum = checksums.new_hasher(self._algorithm) if self._algorithm else None
        self._size = 0
        self._decoder = (
            ChunkedDecoder(signed=promise.signed_chunks, trailing=promise.trailer, verifier=verifier)
            if promise.chunked
            else None
        )

    def take(self, data: bytes) -> Iterable[bytes]:
        """Take in a piece of the body and give the payload in it."""
        for piece in self._decoder.feed(data) if self._decoder else (data,):
            self._size += len(piece)
            if self._size > self._promise.size:
                raise S3Error("IncompleteBody", "The request body is longer than its headers say.")
            self._md5.update(piece)
            if self._checksum:
                self._checksum.update(piece)
            yield piece

    def finish(self) -> Received:
        """Check what arrived against what was promised."""
        promise = self._promise
        if self._size != promise.size or (self._decoder and not self._decoder.complete):
            raise S3Error("IncompleteBody")
        if promise.md5 not in (None, self._md5.digest()):
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")
        return Received(self._size, self._md5.hexdigest(), self._checked())

    def _checked(self) -> Checksum | None:
        if self._algorithm is None or self._checksum is None:
            return None
        computed = checksums.from_digest(self._algorithm, self._checksum.digest())
        expected = self._promise.checksum or self._trailing()
        if expected is not None and expected != computed:
            raise S3Error("BadDigest", f"The {self._algorithm} you specified did not match the calculated checksum.")
        return computed

    def _trailing(self) -> Checksum | None:
        if self._promise.trailing is None:
            return None
        trailer = checksums.from_headers(self._decoder.trailer) if self._decoder else None
        if trailer is None or trailer.algorithm != self._promise.trailing:
            raise S3Error(
                "InvalidRequest", f"The trailer has no {self._promise.trailing} checksum, which x-amz-trailer promised."
            )
        return trailer
