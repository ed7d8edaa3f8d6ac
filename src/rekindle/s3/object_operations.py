"""Operations on objects."""

from __future__ import annotations

from dataclasses import replace

from rekindle.s3 import checksums, xml
from rekindle.s3.bucket_folder import BucketFolder
from rekindle.s3.bucket_operations import check_acl
from rekindle.s3.conditions import Slice, check_get, check_write, matches, read_range, write_check
from rekindle.s3.drop import Drop
from rekindle.s3.errors import S3Error
from rekindle.s3.exchange import MAX_PAGE, Answer, Call, Content, Sink, Store, no_such
from rekindle.s3.metadata import Metadata, Stored, with_content
from rekindle.s3.names import check_key
from rekindle.s3.object_headers import check_tags, checksum_elements, checksum_headers, read_metadata, tell
from rekindle.s3.payload import Payload, read_promise

#: How an unversioned object's one version is called.
NULL_VERSION = "null"
#: Conditions of a deletion that AWS knows for directory buckets alone: as headers, and as elements.
_CONDITIONS = ("x-amz-if-match-last-modified-time", "x-amz-if-match-size")
_CONDITION_ELEMENTS = ("LastModifiedTime", "Size")


def check_version(call: Call) -> None:
    """Objects have no versions but the one called null."""
    if call.query.get("versionId", NULL_VERSION) != NULL_VERSION:
        raise S3Error("NoSuchVersion", Key=call.key, VersionId=call.query["versionId"])


def absent(key: str) -> S3Error:
    """The error of a key without object."""
    return S3Error("NoSuchKey", Key=key)


class ObjectSink(Sink):
    """An object on its way in."""

    def __init__(self, store: Store, call: Call) -> None:
        check_key(call.key)
        check_acl(call)
        self._call = call
        self._store = store
        self._folder = store.folder(call)
        self._metadata = read_metadata(call)
        self._payload = Payload(read_promise(call.headers), call.verifier)
        # Refuse early what cannot succeed; the answer that counts is asked again at the moment of change.
        self._check = write_check(call.headers)
        if self._check:
            self._check(self._folder.find(call.key))
        self._drop = Drop(store.layout.scratch.new())

    def finish(self) -> Answer:
        """Check the body and make it the object."""
        received = self._payload.finish()
        self._drop.finish(self._store.layout.stamps.new())
        metadata = with_content(self._metadata, received.md5, received.checksum)
        self._folder.put(self._call.key, self._drop.path, metadata, self._check)
        return Answer(headers=written_headers(metadata))


def written_headers(metadata: Metadata) -> dict[str, str]:
    """The headers that answer a write."""
    return {"etag": f'"{metadata.etag}"', **metadata.encryption, **checksum_headers(metadata.checksum)}


def get_object(store: Store, call: Call) -> Answer:
    """An object, or a range or a part of it."""
    check_version(call)
    opened = store.folder(call).open(call.key)
    if opened is None:
        raise absent(call.key)
    try:
        answer = _read_answer(call, opened.stored)
        run = read_slice(call, opened.stored) or Slice(0, opened.stored.size, opened.stored.size)
        return replace(answer, content=Content(opened.file, run.start, run.length))
    except BaseException:
        opened.file.close()
        raise


def head_object(store: Store, call: Call) -> Answer:
    """What is known of an object."""
    check_version(call)
    return _read_answer(call, find(store.folder(call), call.key))


def find(folder: BucketFolder, key: str) -> Stored:
    """The object, which must be there."""
    stored = folder.find(key)
    if stored is None:
        raise absent(key)
    return stored


def _read_answer(call: Call, stored: Stored) -> Answer:
    headers = tell(call, stored)
    check_get(call.headers, stored, headers)
    run = read_slice(call, stored)
    if "partNumber" in call.query:
        headers["x-amz-mp-parts-count"] = str(len(stored.metadata.parts) or 1)
    if run is None:
        return Answer(headers={**headers, "content-length": str(stored.size)})
    # A range has no checksum of its own, and the whole object's would be taken for it.
    told = {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum-")}
    return Answer(206, {**told, "content-length": str(run.length), "content-range": run.content_range})


def read_slice(call: Call, stored: Stored) -> Slice | None:
    """The part of the object that the call asks for; None for the whole."""
    if "partNumber" in call.query:
        return _part_slice(call, stored)
    if "if-range" in call.headers and not matches(call.headers["if-range"], stored):
        return None
    return read_range(call.headers.get("range"), stored.size)


def _part_slice(call: Call, stored: Stored) -> Slice | None:
    number, sizes = call.number("partNumber", 1, least=1), stored.metadata.parts
    if number > max(1, len(sizes)):
        raise S3Error("InvalidRange", "The requested partnumber is not satisfiable", ActualPartCount=str(len(sizes) or 1))
    return Slice(sum(sizes[: number - 1]), sizes[number - 1], stored.size) if sizes and stored.size else None


def delete_object(store: Store, call: Call) -> Answer:
    """Remove an object; that there is none is no error."""
    check_version(call)
    no_such(_CONDITIONS, call)
    match = call.headers.get("if-match")
    folder = store.folder(call)
    folder.delete(call.key, None if match is None else lambda stored: check_write({"if-match": match}, stored))
    return Answer(204)


def delete_objects(store: Store, call: Call) -> Answer:
    """Remove up to a thousand objects."""
    folder = store.folder(call)
    if (
        "content-md5" not in call.headers
        and checksums.from_headers(call.headers) is None
        and "x-amz-trailer" not in call.headers
    ):
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    wish = xml.parse(call.body, "Delete")
    chosen = list(wish.all("Object"))
    if not 1 <= len(chosen) <= MAX_PAGE:
        raise S3Error("MalformedXML")
    quiet = wish.get("Quiet") == "true"
    # Each must be named before any is removed.
    named = [(one.need("Key"), one) for one in chosen]
    answers = [_delete_one(folder, key, one, quiet) for key, one in named]
    return Answer(body=xml.document("DeleteResult", *answers))


def _delete_one(folder: BucketFolder, key: str, one: xml.Element, quiet: bool) -> str:
    version, etag = one.get("VersionId"), one.get("ETag")
    try:
        if version not in (None, "", NULL_VERSION):
            raise S3Error("NoSuchVersion")
        for name in _CONDITION_ELEMENTS:
            if one.get(name) is not None:
                raise S3Error("NotImplemented", f"The element {name} is not supported by this store.")
        folder.delete(key, None if etag is None else lambda stored: check_write({"if-match": str(etag)}, stored))
    except S3Error as error:
        return xml.group("Error", xml.leaf("Key", key), xml.leaf("Code", error.code), xml.leaf("Message", error.message))
    told = [xml.leaf("VersionId", version)] if version else []
    return "" if quiet else xml.group("Deleted", xml.leaf("Key", key), *told)


def get_attributes(store: Store, call: Call) -> Answer:
    """Those facts of an object that x-amz-object-attributes names."""
    check_version(call)
    stored = find(store.folder(call), call.key)
    wanted = {name.strip() for name in call.headers.get("x-amz-object-attributes", "").split(",")}
    told = {
        "ETag": xml.leaf("ETag", stored.metadata.etag),
        "Checksum": _checksum_element(stored.metadata),
        "ObjectParts": _parts_element(stored.metadata),
        "StorageClass": xml.leaf("StorageClass", stored.metadata.storage_class),
        "ObjectSize": xml.leaf("ObjectSize", stored.size),
    }
    if not wanted <= told.keys():
        raise S3Error("InvalidArgument", "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes")
    body = xml.document("GetObjectAttributesResponse", *(element for name, element in told.items() if name in wanted))
    return Answer(headers={"last-modified": tell(call, stored)["last-modified"]}, body=body)


def _checksum_element(metadata: Metadata) -> str:
    checksum = metadata.checksum
    return xml.group("Checksum", *checksum_elements(checksum)) if checksum else ""


def _parts_element(metadata: Metadata) -> str:
    return xml.group("ObjectParts", xml.leaf("PartsCount", len(metadata.parts))) if metadata.parts else ""


def get_tagging(store: Store, call: Call) -> Answer:
    """An object's tags."""
    check_version(call)
    tags = find(store.folder(call), call.key).metadata.tags
    elements = (xml.group("Tag", xml.leaf("Key", name), xml.leaf("Value", value)) for name, value in tags.items())
    return Answer(body=xml.document("Tagging", xml.group("TagSet", *elements)))


def put_tagging(store: Store, call: Call) -> Answer:
    """Replace an object's tags."""
    check_version(call)
    sets = [element for child in xml.parse(call.body, "Tagging").all("TagSet") for element in child.all("Tag")]
    tags = check_tags([(tag.need("Key"), tag.get("Value") or "") for tag in sets])
    if store.folder(call).change(call.key, lambda metadata: replace(metadata, tags=tags)) is None:
        raise absent(call.key)
    return Answer()


def delete_tagging(store: Store, call: Call) -> Answer:
    """Remove an object's tags."""
    check_version(call)
    if store.folder(call).change(call.key, lambda metadata: replace(metadata, tags={})) is None:
        raise absent(call.key)
    return Answer(204)
