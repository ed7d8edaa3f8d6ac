"""What S3 knows of an object beside its bytes, and how that is kept.

Each object's metadata is a small JSON document that names the one file it describes by size and time of change: the time
is set to a value no other object has. The document is written before the object's file gets its name, so that one rename
makes the object and its metadata visible together; a document whose file never came describes nothing and does no harm.
A file that a person put there or edited has no document, and describes itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rekindle.s3.checksums import Checksum

DEFAULT_CONTENT_TYPE = "binary/octet-stream"


@dataclass(frozen=True)
class Identity:
    """Which content a file holds: its size in bytes and its time of change in nanoseconds."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Metadata:
    """What the client said of an object, and the sums of its content."""

    #: Without quotes: the MD5 in hex, or for parts the MD5 of their MD5s, `-` and their number.
    etag: str
    #: Standard headers to give back, such as content-type; names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: x-amz-meta-*, without that prefix.
    user: Mapping[str, str] = field(default_factory=dict)
    #: Encryption headers to echo.
    encryption: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    tags: Mapping[str, str] = field(default_factory=dict)
    checksum: Checksum | None = None
    #: Sizes in bytes of the parts of a multipart upload.
    parts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stored:
    """An object as it is found."""

    key: str
    identity: Identity
    metadata: Metadata

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.identity.size

    @property
    def modified(self) -> float:
        """The time of the last change, in seconds since the epoch."""
        return self.identity.mtime_ns / 1e9


def document_name(key: str, identity: Identity) -> str:
    """The path of the document for this content under this key."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:40]
    return f"{digest[:2]}/{digest}.{identity.mtime_ns:x}.{identity.size:x}.json"


def to_document(key: str, metadata: Metadata) -> dict[str, Any]:
    """The document as it is written."""
    return {"key": key, **asdict(metadata)}


def from_document(document: Mapping[str, Any]) -> Metadata:
    """Metadata from its document."""
    values = {name: value for name, value in document.items() if name != "key"}
    checksum = values.pop("checksum")
    return Metadata(**{**values, "checksum": Checksum(**checksum) if checksum else None, "parts": tuple(values["parts"])})


def with_content(metadata: Metadata, etag: str, checksum: Checksum | None, parts: tuple[int, ...] = ()) -> Metadata:
    """What the client said, completed with the sums of the content that came."""
    return replace(metadata, etag=etag, checksum=checksum, parts=parts)
