"""What goes into an operation and what comes out, free of any web framework."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rekindle.s3.bucket_folder import BucketFolder
from rekindle.s3.buckets import Buckets
from rekindle.s3.chunked import ChunkVerifier
from rekindle.s3.drop import Drop
from rekindle.s3.errors import S3Error
from rekindle.s3.layout import Layout
from rekindle.s3.multipart import Uploads
from rekindle.s3.payload import Payload

#: S3's greatest number of keys, parts or uploads on a page.
MAX_PAGE = 1000


@dataclass(frozen=True)
class Call:
    """One request, authenticated and addressed. Header names are in lower case."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    account: str
    scheme: str = "http"
    raw_path: bytes = b""
    body: bytes = b""
    verifier: ChunkVerifier | None = None

    def number(self, name: str, default: int, *, least: int = 0) -> int:
        """A whole number from the query."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) < least:
            raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name)
        return int(text)

    def page_size(self, name: str) -> int:
        """How many entries the client wants on a page, at most S3's limit."""
        return min(self.number(name, MAX_PAGE), MAX_PAGE)


@dataclass(frozen=True)
class Content:
    """A run of bytes of an open file, to be sent and then closed."""

    file: io.FileIO
    start: int
    length: int


@dataclass(frozen=True)
class Answer:
    """One answer: a small body, or the content of an object."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content: Content | None = None


class Sink(ABC):
    """Takes the body of an upload in pieces into a new file."""

    _payload: Payload
    _drop: Drop

    def write(self, data: bytes) -> None:
        """Take in a piece."""
        for piece in self._payload.take(data):
            self._drop.write(piece)

    @abstractmethod
    def finish(self) -> Answer:
        """The body is complete: check it and make the file what it is to be."""

    def abandon(self) -> None:
        """Clean up; called at the end in any case."""
        self._drop.abandon()


@dataclass(frozen=True)
class Store:
    """All that operations work on."""

    layout: Layout
    buckets: Buckets
    region: str

    def folder(self, call: Call) -> BucketFolder:
        """The objects of the call's bucket, if the account may see them and is the owner that the client expects."""
        expected = call.headers.get("x-amz-expected-bucket-owner")
        folder = self.buckets.folder(call.bucket, call.account)
        if expected not in (None, call.account):
            raise S3Error("AccessDenied")
        return folder

    def uploads(self, call: Call) -> Uploads:
        """The multipart uploads into the call's bucket."""
        return Uploads(self.layout, self.folder(call))


Handler = Callable[[Store, Call], Answer]
Opener = Callable[[Store, Call], Sink]


def no_such(headers: Iterable[str], call: Call) -> None:
    """Refuse headers that ask for what this store does not do; silence would be a lie."""
    for name in headers:
        if name in call.headers:
            raise S3Error("NotImplemented", f"The header {name} is not supported by this store.", Header=name)
