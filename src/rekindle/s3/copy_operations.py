"""Copies inside the store: of an object, and of a range of one as a part."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from rekindle.s3 import checksums, xml
from rekindle.s3.bucket_folder import Opened
from rekindle.s3.bucket_operations import check_acl
from rekindle.s3.checksums import Checksum
from rekindle.s3.conditions import Slice, check_copy, write_check
from rekindle.s3.drop import BLOCK_BYTES, Drop
from rekindle.s3.errors import S3Error
from rekindle.s3.exchange import Answer, Call, Store
from rekindle.s3.metadata import Metadata, with_content
from rekindle.s3.multipart import MAX_PARTS
from rekindle.s3.names import check_key
from rekindle.s3.object_headers import checksum_elements, read_encryption, read_metadata, read_storage_class
from rekindle.s3.object_operations import absent
from rekindle.s3.payload import MAX_UPLOAD_BYTES, Received

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class Source:
    """What x-amz-copy-source names."""

    bucket: str
    key: str


def read_source(call: Call) -> Source:
    """The source of a copy: `bucket/key`, percent-encoded, with or without a slash in front."""
    name, _, version = call.headers["x-amz-copy-source"].partition("?versionId=")
    try:
        path = unquote_to_bytes(name.encode("latin-1")).decode().removeprefix("/")
    except UnicodeError:
        raise S3Error("InvalidArgument", "Copy Source must be UTF-8.", ArgumentName="x-amz-copy-source") from None
    bucket, slash, key = path.partition("/")
    if not (bucket and slash and key):
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key", ArgumentName="x-amz-copy-source")
    if version not in ("", "null"):
        raise S3Error("NoSuchVersion", Key=key, VersionId=version)
    return Source(bucket, key)


def _open(store: Store, call: Call, source: Source) -> Opened:
    origin = {"x-amz-expected-bucket-owner": call.headers.get("x-amz-source-expected-bucket-owner", call.account)}
    folder = store.folder(replace(call, bucket=source.bucket, headers=origin))
    opened = folder.open(source.key)
    if opened is None:
        raise absent(source.key)
    return opened


def _blocks(opened: Opened, run: Slice) -> Iterator[bytes]:
    opened.file.seek(run.start)
    left = run.length
    while left:
        block = opened.file.read(min(BLOCK_BYTES, left))
        if not block:
            raise S3Error("InternalError", "The source of the copy was cut short while it was read.")
        left -= len(block)
        yield block


def _copy(opened: Opened, run: Slice, drop: Drop, algorithm: str | None) -> Received:
    md5 = hashlib.md5(usedforsecurity=False)
    checksum = checksums.new_hasher(algorithm) if algorithm else None
    for block in _blocks(opened, run):
        md5.update(block)
        if checksum:
            checksum.update(block)
        drop.write(block)
    summed = checksums.from_digest(algorithm, checksum.digest()) if algorithm and checksum else None
    return Received(run.length, md5.hexdigest(), summed)


def copy_object(store: Store, call: Call) -> Answer:
    """Copy an object of at most 5 GiB, with its metadata or with new."""
    check_key(call.key)
    check_acl(call)
    source, folder = read_source(call), store.folder(call)
    opened = _open(store, call, source)
    drop = Drop(store.layout.scratch.new())
    try:
        stored = opened.stored
        check_copy(call.headers, stored)
        if stored.size > MAX_UPLOAD_BYTES:
            raise S3Error("InvalidRequest", f"The specified copy source is larger than the maximum {MAX_UPLOAD_BYTES} bytes.")
        metadata = _copied_metadata(call, source, stored.metadata)
        received = _copy(opened, Slice(0, stored.size, stored.size), drop, _algorithm(call, stored.metadata))
        drop.finish(store.layout.stamps.new())
        whole = with_content(metadata, received.md5, received.checksum)
        made = folder.put(call.key, drop.path, whole, write_check(call.headers))
        body = _result("CopyObjectResult", whole.etag, made.modified, whole.checksum)
        return Answer(headers=dict(metadata.encryption), body=body)
    finally:
        opened.file.close()
        drop.abandon()


def _algorithm(call: Call, metadata: Metadata) -> str | None:
    wanted = call.headers.get("x-amz-checksum-algorithm")
    if wanted:
        return checksums.check_algorithm(wanted)
    return metadata.checksum.algorithm if metadata.checksum else None


def _directive(call: Call, name: str) -> bool:
    """Whether to replace, rather than copy."""
    value = call.headers.get(name, "COPY")
    if value not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", f"Unknown {name}: {value}. Use COPY or REPLACE.", ArgumentName=name)
    return value == "REPLACE"


def _copied_metadata(call: Call, source: Source, old: Metadata) -> Metadata:
    new, fresh = read_metadata(call), _directive(call, "x-amz-metadata-directive")
    changed = fresh or {"x-amz-storage-class", "x-amz-server-side-encryption"} & call.headers.keys()
    if source == Source(call.bucket, call.key) and not changed:
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
            "metadata, storage class, website redirect location or encryption attributes.",
        )
    return replace(
        new if fresh else old,
        tags=new.tags if _directive(call, "x-amz-tagging-directive") else old.tags,
        encryption=read_encryption(call.headers),
        storage_class=read_storage_class(call.headers),
    )


def _result(name: str, etag: str, modified: float, checksum: Checksum | None) -> bytes:
    facts = [xml.leaf("LastModified", xml.timestamp(modified)), xml.leaf("ETag", f'"{etag}"')]
    return xml.document(name, *facts, *checksum_elements(checksum))


def upload_part_copy(store: Store, call: Call) -> Answer:
    """Make a range of an object a part of a multipart upload."""
    number = part_number(call)
    uploads = store.uploads(call)
    upload = uploads.get(call.query["uploadId"], call.key)
    opened = _open(store, call, read_source(call))
    drop = Drop(store.layout.scratch.new())
    try:
        check_copy(call.headers, opened.stored)
        received = _copy(opened, _part_range(call, opened.stored.size), drop, upload.algorithm)
        drop.finish(store.layout.stamps.new())
        part = uploads.add(upload, number, drop.path, received)
        body = _result("CopyPartResult", part.md5, part.modified, part.checksum)
        return Answer(headers=dict(upload.metadata.encryption), body=body)
    finally:
        opened.file.close()
        drop.abandon()


def part_number(call: Call) -> int:
    """The part's number."""
    text = call.query["partNumber"]
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PARTS):
        message = f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        raise S3Error("InvalidArgument", message, ArgumentName="partNumber", ArgumentValue=text)
    return int(text)


def _part_range(call: Call, total: int) -> Slice:
    header = call.headers.get("x-amz-copy-source-range")
    if header is None:
        return Slice(0, total, total)
    match = _RANGE.fullmatch(header)
    first, last = (int(match[1]), int(match[2])) if match else (1, 0)
    if first > last:
        message = "The x-amz-copy-source-range value must be of the form bytes=first-last, with zero-based offsets"
        raise S3Error("InvalidArgument", message, ArgumentName="x-amz-copy-source-range", ArgumentValue=header)
    if last >= total:
        raise S3Error(
            "InvalidArgument", f"Range specified is not valid for source object of size: {total}", ArgumentValue=header
        )
    return Slice(first, last - first + 1, total)
