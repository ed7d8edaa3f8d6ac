"""The listings: objects in three forms."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from urllib.parse import quote

from rekindle.s3 import xml
from rekindle.s3.bucket_operations import owner
from rekindle.s3.errors import S3Error
from rekindle.s3.exchange import Answer, Call, Store
from rekindle.s3.listing import Page, page
from rekindle.s3.metadata import Stored

Encoder = Callable[[str], str]


def encoder(call: Call) -> Encoder:
    """How keys are written in the answer."""
    kind = call.query.get("encoding-type", "")
    if kind not in ("", "url"):
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type")
    return (lambda text: quote(text, safe="/-_.~*")) if kind else (lambda text: text)


def _read(store: Store, call: Call, after: str) -> Page[Stored]:
    folder = store.folder(call)
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    walk = folder.walk(prefix, after, delimiter)
    return page(walk, folder.find, prefix=prefix, delimiter=delimiter, after=after, limit=call.page_size("max-keys"))


def _contents(call: Call, stored: Stored, encode: Encoder, with_owner: bool) -> list[str]:
    checksum = stored.metadata.checksum
    sums = [xml.leaf("ChecksumAlgorithm", checksum.algorithm), xml.leaf("ChecksumType", checksum.kind)] if checksum else []
    return [
        xml.leaf("Key", encode(stored.key)),
        xml.leaf("LastModified", xml.timestamp(stored.modified)),
        xml.leaf("ETag", f'"{stored.metadata.etag}"'),
        *sums,
        xml.leaf("Size", stored.size),
        *([owner(call.account)] if with_owner else []),
        xml.leaf("StorageClass", stored.metadata.storage_class),
    ]


def _frame(call: Call, encode: Encoder, found: Page[Stored]) -> list[str]:
    head = [xml.leaf("Name", call.bucket), xml.leaf("Prefix", encode(call.query.get("prefix", "")))]
    if call.query.get("delimiter"):
        head.append(xml.leaf("Delimiter", encode(call.query["delimiter"])))
    if call.query.get("encoding-type"):
        head.append(xml.leaf("EncodingType", call.query["encoding-type"]))
    return [*head, xml.leaf("MaxKeys", call.page_size("max-keys")), xml.leaf("IsTruncated", bool(found.next))]


def _prefixes(encode: Encoder, found: Page[Stored]) -> list[str]:
    return [xml.group("CommonPrefixes", xml.leaf("Prefix", encode(prefix))) for prefix in found.prefixes]


def list_objects(store: Store, call: Call) -> Answer:
    """The first version of the listing: pages go on from a marker."""
    encode, marker = encoder(call), call.query.get("marker", "")
    found = _read(store, call, marker)
    frame = [*_frame(call, encode, found), xml.leaf("Marker", encode(marker))]
    if found.next and call.query.get("delimiter"):
        frame.append(xml.leaf("NextMarker", encode(found.next)))
    contents = [xml.group("Contents", *_contents(call, stored, encode, with_owner=True)) for stored in found.entries]
    return Answer(body=xml.document("ListBucketResult", *frame, *contents, *_prefixes(encode, found)))


def list_objects_v2(store: Store, call: Call) -> Answer:
    """The second version of the listing: pages go on from an opaque token."""
    if call.query["list-type"] != "2":
        raise S3Error("InvalidArgument", "Invalid List Type specified in Request", ArgumentName="list-type")
    encode, token, start = encoder(call), call.query.get("continuation-token"), call.query.get("start-after", "")
    found = _read(store, call, start if token is None else _from_token(token))
    frame = [*_frame(call, encode, found), xml.leaf("KeyCount", len(found.entries) + len(found.prefixes))]
    if token is not None:
        frame.append(xml.leaf("ContinuationToken", token))
    if found.next:
        frame.append(xml.leaf("NextContinuationToken", _to_token(found.next)))
    if start:
        frame.append(xml.leaf("StartAfter", encode(start)))
    with_owner = call.query.get("fetch-owner") == "true"
    contents = [xml.group("Contents", *_contents(call, stored, encode, with_owner)) for stored in found.entries]
    return Answer(body=xml.document("ListBucketResult", *frame, *contents, *_prefixes(encode, found)))


def list_versions(store: Store, call: Call) -> Answer:
    """All versions: each object's one, called null."""
    encode, marker = encoder(call), call.query.get("key-marker", "")
    found = _read(store, call, marker)
    frame = [*_frame(call, encode, found), xml.leaf("KeyMarker", encode(marker))]
    if found.next:
        frame += [xml.leaf("NextKeyMarker", encode(found.next)), xml.leaf("NextVersionIdMarker", "null")]
    one = [xml.leaf("VersionId", "null"), xml.leaf("IsLatest", True)]
    versions = [xml.group("Version", *_contents(call, stored, encode, with_owner=True), *one) for stored in found.entries]
    return Answer(body=xml.document("ListVersionsResult", *frame, *versions, *_prefixes(encode, found)))


def _to_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _from_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise S3Error(
            "InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token"
        ) from None
