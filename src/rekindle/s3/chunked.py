"""The `aws-chunked` encoding: a body that carries its chunks' sizes, their signatures and a trailer.

`<hex size>[;chunk-signature=<hex>]CRLF <data> CRLF ... 0[;chunk-signature=<hex>]CRLF [<name>:<value>CRLF ...] CRLF`
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Protocol

from rekindle.s3.errors import S3Error

#: Longest chunk header or trailer line.
MAX_LINE_BYTES = 4096
#: Most trailer lines.
MAX_TRAILERS = 16

_HEADER = re.compile(r"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_SIGNATURE = "x-amz-trailer-signature"


class ChunkVerifier(Protocol):
    """Follows the chain of signatures of one body. The gateway puts it into the scope's state as `chunk_verifier`."""

    def chunk(self, payload_sha256: str, signature: str, /) -> bool:
        """Whether `signature` is right for the next chunk, whose data has this SHA-256 in hex; the empty last one too."""

    def trailer(self, canonical: bytes, signature: str, /) -> bool:
        """Whether `signature` is right for the trailer: `name:value\\n` of each line, names in lower case and sorted."""


class ChunkedDecoder:
    """Takes the encoded body in pieces of any size and gives the payload. Holds one line in memory at most.

    Without a verifier, signatures are read and not checked.
    """

    def __init__(self, *, signed: bool, trailing: bool, verifier: ChunkVerifier | None) -> None:
        self._signed = signed
        self._trailing = trailing
        self._verifier = verifier if signed else None
        self._line = b""
        self._left = 0
        self._signature = ""
        self._digest = hashlib.sha256()
        self._state = self._header
        #: The trailer's fields once the body is complete; names in lower case.
        self.trailer: dict[str, str] = {}
        self.complete = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payload in this piece of the body; to be used up before the next piece is fed."""
        rest = memoryview(data)
        while rest:
            if self.complete:
                raise S3Error("InvalidRequest", "There is more in the aws-chunked body after its end.")
            if self._left:
                piece, rest = rest[: self._left], rest[self._left :]
                self._left -= len(piece)
                if self._verifier:
                    self._digest.update(piece)
                yield bytes(piece)
            else:
                rest = self._read_line(rest)

    def _read_line(self, data: memoryview) -> memoryview:
        head = bytes(data[:MAX_LINE_BYTES])
        line, end, _ = (self._line + head).partition(b"\r\n")
        if len(line) > MAX_LINE_BYTES:
            raise S3Error("InvalidRequest", "A line of the aws-chunked body is too long.")
        if not end:
            self._line = line
            return data[len(head) :]
        used = len(line) + 2 - len(self._line)
        self._line = b""
        # Some clients end a trailer's value with a line feed of its own.
        self._state(line.decode("latin-1").strip("\n"))
        return data[used:]

    def _header(self, line: str) -> None:
        match = _HEADER.fullmatch(line)
        if match is None or (self._signed and match[2] is None):
            raise S3Error("InvalidRequest", f"The chunk header {line[:100]!r} of the aws-chunked body cannot be read.")
        self._left = int(match[1], 16)
        self._signature = match[2] or ""
        if self._left:
            self._state = self._data_end
        else:
            self._verify_chunk()
            self._state = self._trailer_line

    def _data_end(self, line: str) -> None:
        if line:
            raise S3Error("InvalidRequest", "A chunk of the aws-chunked body is longer than its header says.")
        self._verify_chunk()
        self._state = self._header

    def _verify_chunk(self) -> None:
        if self._verifier and not self._verifier.chunk(self._digest.hexdigest(), self._signature):
            raise S3Error("SignatureDoesNotMatch")
        self._digest = hashlib.sha256()

    def _trailer_line(self, line: str) -> None:
        if not line:
            self._end()
            return
        name, colon, value = line.partition(":")
        if not colon or not self._trailing or len(self.trailer) == MAX_TRAILERS:
            raise S3Error("InvalidRequest", f"The trailer {line[:100]!r} of the aws-chunked body cannot be read.")
        self.trailer[name.strip().lower()] = value.strip()

    def _end(self) -> None:
        signature = self.trailer.pop(_SIGNATURE, "")
        if self._verifier and self._trailing:
            canonical = "".join(f"{name}:{value}\n" for name, value in sorted(self.trailer.items()))
            if not self._verifier.trailer(canonical.encode("latin-1"), signature):
                raise S3Error("SignatureDoesNotMatch")
        self.complete = True
