"""The headers that describe an object: read from a request, kept, and told again."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from rekindle.s3 import xml
from rekindle.s3.addressing import as_header
from rekindle.s3.checksums import Checksum
from rekindle.s3.conditions import http_date
from rekindle.s3.errors import S3Error
from rekindle.s3.exchange import Call, no_such
from rekindle.s3.metadata import DEFAULT_CONTENT_TYPE, Metadata, Stored

#: Kept and given back as they came.
KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")
#: S3's limits.
MAX_USER_BYTES = 2048
MAX_TAGS = 10
STORAGE_CLASSES = frozenset(
    ["STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "EXPRESS_ONEZONE"]
)

_META = "x-amz-meta-"
_ENCRYPTION = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
)
_UNSUPPORTED = (
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-event-hold",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
)


def read_metadata(call: Call) -> Metadata:
    """What the client says of the object it puts; the sums come with the content."""
    no_such(_UNSUPPORTED, call)
    return Metadata(
        etag="",
        headers=_standard(call.headers),
        user=_user(call.headers),
        encryption=read_encryption(call.headers),
        storage_class=read_storage_class(call.headers),
        tags=read_tags(call.headers.get("x-amz-tagging", "")),
    )


def _standard(headers: Mapping[str, str]) -> Mapping[str, str]:
    kept = {name: headers[name] for name in KEPT if headers.get(name)}
    codings = [coding.strip() for coding in kept.pop("content-encoding", "").split(",")]
    codings = [coding for coding in codings if coding not in ("", "aws-chunked")]
    encoding = {"content-encoding": ",".join(codings)} if codings else {}
    return {"content-type": DEFAULT_CONTENT_TYPE} | kept | encoding


def _user(headers: Mapping[str, str]) -> Mapping[str, str]:
    user = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
    size = sum(len(name) + len(value) for name, value in user.items())
    if size > MAX_USER_BYTES:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(MAX_USER_BYTES))
    return user


def read_encryption(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The encryption headers, to be echoed. A KMS key need not be named."""
    algorithm = headers.get(_ENCRYPTION[0])
    if algorithm not in (None, "AES256", "aws:kms", "aws:kms:dsse"):
        raise S3Error("InvalidArgument", "The encryption method specified is not supported", ArgumentValue=str(algorithm))
    return {name: headers[name] for name in _ENCRYPTION if name in headers}


def read_storage_class(headers: Mapping[str, str]) -> str:
    """The storage class; those whose objects must be restored before reading are refused, as we would not do that."""
    name = headers.get("x-amz-storage-class", "STANDARD")
    if name not in STORAGE_CLASSES:
        raise S3Error("InvalidStorageClass", StorageClassRequested=name)
    return name


def read_tags(text: str) -> Mapping[str, str]:
    """Tags as a query string."""
    return check_tags(parse_qsl(text, keep_blank_values=True))


def check_tags(pairs: list[tuple[str, str]]) -> Mapping[str, str]:
    """Refuse tags beyond S3's limits."""
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > MAX_TAGS:
        raise S3Error("InvalidTag", f"Object tags cannot be greater than {MAX_TAGS}")
    for name, value in tags.items():
        if not 1 <= len(name) <= 128 or len(value) > 256:
            raise S3Error("InvalidTag", TagKey=name, TagValue=value)
    return tags


def checksum_headers(checksum: Checksum | None) -> dict[str, str]:
    """The headers that tell a checksum."""
    return {} if checksum is None else {checksum.header: checksum.value, "x-amz-checksum-type": checksum.kind}


def checksum_elements(checksum: Checksum | None) -> list[str]:
    """The elements that tell a checksum."""
    return [xml.leaf(checksum.element, checksum.value), xml.leaf("ChecksumType", checksum.kind)] if checksum else []


def tell(call: Call, stored: Stored) -> dict[str, str]:
    """The headers of GET and HEAD."""
    metadata = stored.metadata
    headers = {
        **metadata.headers,
        **{_META + name: value for name, value in metadata.user.items()},
        **metadata.encryption,
        "etag": f'"{metadata.etag}"',
        "last-modified": http_date(stored.modified),
        "accept-ranges": "bytes",
    }
    if metadata.storage_class != "STANDARD":
        headers["x-amz-storage-class"] = metadata.storage_class
    if metadata.tags:
        headers["x-amz-tagging-count"] = str(len(metadata.tags))
    if call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= checksum_headers(metadata.checksum)
    return headers | _overrides(call)


def _overrides(call: Call) -> dict[str, str]:
    wanted = {name: f"response-{name}" for name in KEPT if f"response-{name}" in call.query}
    return {name: as_header(parameter, call.query[parameter]) for name, parameter in wanted.items()}
