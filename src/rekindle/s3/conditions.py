"""Conditional requests, byte ranges and HTTP's dates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from functools import partial

from rekindle.s3.bucket_folder import Check
from rekindle.s3.errors import NotModified, S3Error
from rekindle.s3.metadata import Stored

# Ends as large as an integer of 64 bits are in use for "to the end"; Python reads no number of thousands of digits.
_RANGE = re.compile(r"bytes=\s*(\d{0,999})-(\d{0,999})\s*", re.ASCII)


def http_date(seconds: float) -> str:
    """A moment as HTTP headers write it."""
    return formatdate(int(seconds), usegmt=True)


def _moment(text: str | None) -> float | None:
    """A date header in seconds since the epoch; None when it is absent or unreadable, which HTTP says to ignore."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None


def matches(header: str, stored: Stored | None) -> bool:
    """Whether a list of entity tags, or `*`, holds the object's."""
    if stored is None:
        return False
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or stored.metadata.etag in tags


def check_read(headers: Mapping[str, str], stored: Stored, *, prefix: str = "") -> bool:
    """Evaluate a read's conditions in the order of RFC 9110; False when the client's copy is still good."""
    match, none_match = headers.get(prefix + "if-match"), headers.get(prefix + "if-none-match")
    unmodified, modified = (
        _moment(headers.get(prefix + "if-unmodified-since")),
        _moment(headers.get(prefix + "if-modified-since")),
    )
    if match is not None:
        _require(matches(match, stored), "If-Match")
    elif unmodified is not None:
        _require(int(stored.modified) <= unmodified, "If-Unmodified-Since")
    if none_match is not None:
        return not matches(none_match, stored)
    return modified is None or int(stored.modified) > modified


def check_get(headers: Mapping[str, str], stored: Stored, answer: Mapping[str, str]) -> None:
    """The conditions of GET and HEAD; `answer` goes with a 304."""
    if not check_read(headers, stored):
        kept = ("etag", "last-modified", "cache-control", "expires")
        raise NotModified({name: value for name, value in answer.items() if name in kept})


def check_copy(headers: Mapping[str, str], stored: Stored) -> None:
    """The conditions of a copy's source."""
    _require(check_read(headers, stored, prefix="x-amz-copy-source-"), "x-amz-copy-source-If-*")


def check_write(headers: Mapping[str, str], stored: Stored | None) -> None:
    """The conditions of a write: If-None-Match takes `*` only, If-Match an entity tag of what is there."""
    none_match, match = headers.get("if-none-match"), headers.get("if-match")
    if none_match is not None:
        if none_match.strip() != "*":
            raise S3Error("NotImplemented", "If-None-Match on a write must be *.", Header="If-None-Match")
        _require(stored is None, "If-None-Match")
    if match is not None:
        if stored is None:
            raise S3Error("NoSuchKey")
        _require(matches(match, stored), "If-Match")


def write_check(headers: Mapping[str, str]) -> Check | None:
    """What decides whether a write may be; None where the client sets no condition."""
    return partial(check_write, headers) if {"if-match", "if-none-match"} & headers.keys() else None


def _require(holds: bool, condition: str) -> None:
    if not holds:
        raise S3Error("PreconditionFailed", Condition=condition)


@dataclass(frozen=True)
class Slice:
    """A run of bytes of an object."""

    start: int
    length: int
    total: int

    @property
    def content_range(self) -> str:
        """The Content-Range header."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.total}"


def read_range(header: str | None, total: int) -> Slice | None:
    """The part of an object that a Range header asks for; None for the whole: no, unreadable or several ranges."""
    match = _RANGE.fullmatch(header or "")
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, end = max(0, total - int(match[2])), total - 1
        satisfiable = int(match[2]) > 0 and total > 0
    else:
        start, end = int(match[1]), min(int(match[2] or total - 1), total - 1)
        if match[2] and int(match[2]) < start:
            return None
        satisfiable = start < total
    if not satisfiable:
        raise S3Error("InvalidRange", ActualObjectSize=str(total), RangeRequested=str(header))
    return Slice(start, end - start + 1, total)
