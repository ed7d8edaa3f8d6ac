"""Operations on multipart uploads."""

from __future__ import annotations

from rekindle.s3 import checksums, xml
from rekindle.s3.addressing import url
from rekindle.s3.bucket_operations import check_acl, owner
from rekindle.s3.checksums import ALGORITHMS, Checksum, Kind
from rekindle.s3.conditions import write_check
from rekindle.s3.copy_operations import part_number
from rekindle.s3.drop import Drop
from rekindle.s3.errors import S3Error
from rekindle.s3.exchange import Answer, Call, Sink, Store, no_such
from rekindle.s3.list_operations import encoder
from rekindle.s3.listing import Page, common_prefix
from rekindle.s3.multipart import MAX_PARTS, Chosen, Promised, Upload
from rekindle.s3.names import check_key
from rekindle.s3.object_headers import checksum_elements, checksum_headers, read_metadata
from rekindle.s3.payload import Payload, read_promise


def create_upload(store: Store, call: Call) -> Answer:
    """Begin an upload."""
    check_key(call.key)
    check_acl(call)
    algorithm, kind = _algorithm(call)
    upload = store.uploads(call).start(call.key, read_metadata(call), algorithm, kind)
    sums = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind} if algorithm and kind else {}
    where = [xml.leaf("Bucket", call.bucket), xml.leaf("Key", call.key), xml.leaf("UploadId", upload.id)]
    body = xml.document("InitiateMultipartUploadResult", *where)
    return Answer(headers={**upload.metadata.encryption, **sums}, body=body)


def _algorithm(call: Call) -> tuple[str | None, Kind | None]:
    name, kind = call.headers.get("x-amz-checksum-algorithm"), call.headers.get("x-amz-checksum-type")
    if name is None:
        if kind is not None:
            message = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            raise S3Error("InvalidRequest", message)
        return None, None
    algorithm = checksums.check_algorithm(name)
    return algorithm, checksums.check_kind(algorithm, kind) if kind else checksums.default_kind(algorithm)


class PartSink(Sink):
    """A part on its way in."""

    def __init__(self, store: Store, call: Call) -> None:
        self._store = store
        self._number = part_number(call)
        self._uploads = store.uploads(call)
        self._upload = self._uploads.get(call.query["uploadId"], call.key)
        promise = read_promise(call.headers)
        _check_algorithm(self._upload, promise.checksum.algorithm if promise.checksum else promise.trailing)
        self._payload = Payload(promise, call.verifier, algorithm=self._upload.algorithm)
        self._drop = Drop(store.layout.scratch.new())

    def finish(self) -> Answer:
        """Check the body and make it the part."""
        received = self._payload.finish()
        self._drop.finish(self._store.layout.stamps.new())
        part = self._uploads.add(self._upload, self._number, self._drop.path, received)
        told = checksum_headers(part.checksum or received.checksum)
        told.pop("x-amz-checksum-type", None)
        return Answer(headers={"etag": f'"{part.md5}"', **self._upload.metadata.encryption, **told})


def _check_algorithm(upload: Upload, given: str | None) -> None:
    if upload.algorithm and given and given != upload.algorithm:
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm.lower()}, "
            f"actual checksum Type: {given.lower()}",
        )


def complete_upload(store: Store, call: Call) -> Answer:
    """Join the parts."""
    wish = xml.parse(call.body, "CompleteMultipartUpload")
    chosen = [_choice(part) for part in wish.all("Part")]
    if not 1 <= len(chosen) <= MAX_PARTS:
        raise S3Error("MalformedXML")
    check = write_check(call.headers)
    stored = store.uploads(call).complete(call.query["uploadId"], call.key, chosen, _promised(call), check)
    etag, sums = stored.metadata.etag, checksum_elements(stored.metadata.checksum)
    location = url(call.scheme, call.raw_path, call.headers.get("host", ""))
    where = [xml.leaf("Location", location), xml.leaf("Bucket", call.bucket), xml.leaf("Key", call.key)]
    body = xml.document("CompleteMultipartUploadResult", *where, xml.leaf("ETag", f'"{etag}"'), *sums)
    return Answer(headers=dict(stored.metadata.encryption), body=body)


def _choice(part: xml.Element) -> Chosen:
    number = part.need("PartNumber")
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise S3Error("MalformedXML")
    sums = [(name, value) for name in ALGORITHMS if (value := part.get("Checksum" + name))]
    return Chosen(int(number), part.need("ETag"), checksums.parse(*sums[0]) if sums else None)


def _promised(call: Call) -> Promised:
    size = call.headers.get("x-amz-mp-object-size")
    if size is not None and not (size.isascii() and size.isdigit() and len(size) < 16):
        raise S3Error("InvalidRequest", f"x-amz-mp-object-size: {size} is not a size.")
    return Promised(None if size is None else int(size), call.headers.get("x-amz-checksum-type"), _claimed(call))


def _claimed(call: Call) -> Checksum | None:
    # A composite checksum ends with the number of parts, which is no base64.
    plain = {
        name: value.partition("-")[0] if name.startswith("x-amz-checksum-") else value for name, value in call.headers.items()
    }
    return checksums.from_headers(plain)


def abort_upload(store: Store, call: Call) -> Answer:
    """Give an upload up."""
    no_such(["x-amz-if-match-initiated-time"], call)
    uploads = store.uploads(call)
    uploads.abort(uploads.get(call.query["uploadId"], call.key))
    return Answer(204)


def list_parts(store: Store, call: Call) -> Answer:
    """The parts that have arrived."""
    uploads = store.uploads(call)
    upload = uploads.get(call.query["uploadId"], call.key)
    marker, limit = call.number("part-number-marker", 0), call.page_size("max-parts")
    parts = [part for part in uploads.parts(upload) if part.number > marker]
    page, more = parts[:limit], len(parts) > limit > 0
    frame = [
        xml.leaf("Bucket", call.bucket),
        xml.leaf("Key", call.key),
        xml.leaf("UploadId", upload.id),
        *_people(call),
        xml.leaf("StorageClass", upload.metadata.storage_class),
        xml.leaf("PartNumberMarker", marker),
        xml.leaf("NextPartNumberMarker", page[-1].number if page else 0),
        xml.leaf("MaxParts", limit),
        xml.leaf("IsTruncated", more),
        *_sums(upload),
    ]
    entries = [
        xml.group(
            "Part",
            xml.leaf("PartNumber", part.number),
            xml.leaf("LastModified", xml.timestamp(part.modified)),
            xml.leaf("ETag", f'"{part.md5}"'),
            xml.leaf("Size", part.size),
            *([xml.leaf(part.checksum.element, part.checksum.value)] if part.checksum else []),
        )
        for part in page
    ]
    return Answer(body=xml.document("ListPartsResult", *frame, *entries))


def _sums(upload: Upload) -> list[str]:
    if not (upload.algorithm and upload.kind):
        return []
    return [xml.leaf("ChecksumAlgorithm", upload.algorithm), xml.leaf("ChecksumType", upload.kind)]


def _people(call: Call) -> list[str]:
    return [owner(call.account).replace("Owner>", "Initiator>"), owner(call.account)]


def list_uploads(store: Store, call: Call) -> Answer:
    """The uploads under way."""
    encode = encoder(call)
    found = _page_of_uploads(store, call)
    head = {name: call.query.get(name, "") for name in ("prefix", "delimiter", "key-marker", "upload-id-marker")}
    last = found.entries[-1] if found.entries else None
    frame = [
        xml.leaf("Bucket", call.bucket),
        xml.leaf("KeyMarker", encode(head["key-marker"])),
        xml.leaf("UploadIdMarker", head["upload-id-marker"]),
        xml.leaf("Prefix", encode(head["prefix"])),
        *([xml.leaf("Delimiter", encode(head["delimiter"]))] if head["delimiter"] else []),
        *([xml.leaf("EncodingType", "url")] if call.query.get("encoding-type") else []),
        xml.leaf("MaxUploads", call.page_size("max-uploads")),
        xml.leaf("IsTruncated", bool(found.next)),
    ]
    if found.next:
        at_key = last is not None and last.key == found.next
        frame += [
            xml.leaf("NextKeyMarker", encode(found.next)),
            xml.leaf("NextUploadIdMarker", last.id if at_key and last else ""),
        ]
    entries = [_upload_element(call, encode(upload.key), upload) for upload in found.entries]
    prefixes = [xml.group("CommonPrefixes", xml.leaf("Prefix", encode(prefix))) for prefix in found.prefixes]
    return Answer(body=xml.document("ListMultipartUploadsResult", *frame, *entries, *prefixes))


def _page_of_uploads(store: Store, call: Call) -> Page[Upload]:
    prefix, delimiter, limit = call.query.get("prefix", ""), call.query.get("delimiter", ""), call.page_size("max-uploads")
    key_marker, id_marker = call.query.get("key-marker", ""), call.query.get("upload-id-marker", "")
    entries: list[Upload] = []
    prefixes: list[str] = []
    last = ""
    for upload in store.uploads(call).all():
        common = common_prefix(upload.key, prefix, delimiter)
        ahead = upload.key > key_marker or (id_marker and upload.key == key_marker and upload.id > id_marker)
        if not upload.key.startswith(prefix) or not (common > key_marker if common else ahead) or common in prefixes:
            continue
        if len(entries) + len(prefixes) == limit:
            return Page(entries, prefixes, last)
        if common:
            prefixes.append(common)
        else:
            entries.append(upload)
        last = common or upload.key
    return Page(entries, prefixes)


def _upload_element(call: Call, key: str, upload: Upload) -> str:
    return xml.group(
        "Upload",
        xml.leaf("Key", key),
        xml.leaf("UploadId", upload.id),
        *_people(call),
        xml.leaf("StorageClass", upload.metadata.storage_class),
        xml.leaf("Initiated", xml.timestamp(upload.initiated)),
        *_sums(upload),
    )
