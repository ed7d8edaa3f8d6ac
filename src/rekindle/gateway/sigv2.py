"""Presigned URLs of AWS Signature Version 2: what an unmodified boto3 still makes for S3 in us-east-1.

The query carries ``AWSAccessKeyId``, ``Expires`` (seconds since the epoch) and ``Signature``, an HMAC-SHA1 over the method,
Content-MD5, Content-Type, the end, the ``x-amz-*`` headers and the resource with its sub-resources. The host is not signed: so
the resource must be read exactly as the object store reads it. The header form of version 2 is not served: nobody's default.
Source: S3 developer guide, "Signing and authenticating REST requests", "Query string request authentication alternative".
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from rekindle.gateway import sigv4
from rekindle.gateway.canonical import WireRequest
from rekindle.gateway.origin import is_address
from rekindle.gateway.refusal import Reason, Refusal
from rekindle.s3.addressing import bucket_of_host

_KEY, _END, _SIGNATURE = b"AWSAccessKeyId", b"Expires", b"Signature"
_NEEDED = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
_HEADER_NAME = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+")
_DIGITS = re.compile(r"[0-9]{1,12}", re.ASCII)

#: The query parameters that are part of the resource. Of all others, none is signed.
# fmt: off
_SUBRESOURCES: Final = frozenset(name.encode("ascii") for name in (
    "accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location", "logging",
    "metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment", "restore", "select",
    "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions",
    "website", *(f"response-{part}" for part in (
        "cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires",
    )),
))
# fmt: on


@dataclass(frozen=True)
class OldClaim:
    """What a URL says of its signature; nothing of it is true before ``verify``."""

    access_key: str
    #: When the URL's life ends, as it stands in the URL: seconds since the epoch.
    expires: str
    signature: str


def carries_signature(request: WireRequest) -> bool:
    """Whether the request is a presigned URL of version 2."""
    return any(name == _KEY for name, _ in request.parameters())


def read_claim(request: WireRequest) -> OldClaim:
    """The signature in the query: AMBIGUOUS or MALFORMED_OLD_QUERY where it is not one, once and whole."""
    sigv4.check_single_headers(request)
    if sigv4.carries_signature(request):
        raise Refusal(Reason.AMBIGUOUS, "Only one auth mechanism allowed; this request brings two.")
    _check_query(request)
    values = {name: value.decode("latin-1") for name, value in request.parameters() if name in (_KEY, _END, _SIGNATURE)}
    if len(values) < 3 or not all(values.values()):
        raise Refusal(Reason.MALFORMED_OLD_QUERY, _NEEDED)
    if not _DIGITS.fullmatch(values[_END]):
        raise Refusal(Reason.MALFORMED_OLD_QUERY, f"Invalid date (should be seconds since epoch): {values[_END][:40]}")
    return OldClaim(values[_KEY], values[_END], values[_SIGNATURE])


def check_end(claim: OldClaim, now: datetime) -> None:
    """The URL's life is not over; else URL_EXPIRED."""
    if now.timestamp() >= int(claim.expires):
        raise Refusal(Reason.URL_EXPIRED, f"the URL lived until {claim.expires}")


def verify(request: WireRequest, claim: OldClaim, secret: str, domains: Collection[str]) -> None:
    """The signature is what ``secret`` makes of this request; else MISMATCH. Takes constant time.

    ``domains`` are the names of this server under which a Host may name a bucket, as the object store knows them.
    """
    given = claim.signature.encode("latin-1", "replace")
    matched = False
    for text in strings_to_sign(request, claim, domains):
        matched |= hmac.compare_digest(b64encode(hmac.digest(secret.encode("utf-8"), text, "sha1")), given)
    if not matched:
        raise Refusal(Reason.MISMATCH)


def strings_to_sign(request: WireRequest, claim: OldClaim, domains: Collection[str]) -> Iterator[bytes]:
    """Each text that the request may stand for: its path as sent, encoded anew, and (where it names a bucket alone) with the
    final slash that botocore signs and does not send. All name the same resource."""
    head = [request.method, request.header("content-md5") or "", request.header("content-type") or "", claim.expires]
    start = b"".join(line.encode("latin-1") + b"\n" for line in head) + _amz_headers(request)
    bucket = bucket_of_host(request.header("host") or "", _names(domains)).encode("latin-1", "replace")
    # Without the slash, the end of a bucket's name in the Host could be moved into the key.
    path = b"/" + request.path.removeprefix(b"/")
    resource = (b"/" + bucket if bucket else b"") + path
    forms = [resource, quote_from_bytes(unquote_to_bytes(resource), "/").encode("ascii")]
    if resource.count(b"/") == 1:
        forms.append(resource + b"/")
    for form in dict.fromkeys(forms):
        yield start + form + _subresources(request.query)


def body_sha256(request: WireRequest) -> str | None:
    """The hash that the body must turn out to have, if the URL or a header of it fixes one; no URL signs a body's chunks."""
    declared = _amz_values(request).get(b"x-amz-content-sha256", [b"UNSIGNED-PAYLOAD"])[0].decode("latin-1")
    if declared == "UNSIGNED-PAYLOAD":
        return None
    if not sigv4.HEX64.fullmatch(declared):
        raise Refusal(Reason.PAYLOAD_HASH_INVALID, declared[:80])
    return declared


def _names(domains: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in domains if not is_address(name))


def _check_query(request: WireRequest) -> None:
    """What is signed may stand in the query once, and cannot look like two: signature and application would differ on it."""
    names = Counter(name.lower() if name.lower().startswith(b"x-amz-") else name for name, _ in request.parameters())
    for name, count in names.items():
        if count > 1 and (name in _SUBRESOURCES or name in (_KEY, _END, _SIGNATURE) or name.startswith(b"x-amz-")):
            sentence = f"The query parameter {name[:64].decode('latin-1')} may be given once only."
            raise Refusal(Reason.MALFORMED_OLD_QUERY, sentence)
        if name.startswith(b"x-amz-") and not _HEADER_NAME.fullmatch(name):
            raise Refusal(Reason.MALFORMED_OLD_QUERY, f"{name[:64].decode('latin-1')} cannot be the name of a header.")
    if any(b"\n" in value for _, value in request.parameters()):
        raise Refusal(Reason.MALFORMED_OLD_QUERY, "No query parameter may hold a line break.")


def _amz_headers(request: WireRequest) -> bytes:
    found = _amz_values(request)
    return b"".join(name + b":" + b",".join(found[name]) + b"\n" for name in sorted(found))


def _amz_values(request: WireRequest) -> dict[bytes, list[bytes]]:
    """The ``x-amz-*`` headers, and those that the query stands in for: the object store reads both."""
    found = {name.lower(): [value.strip()] for name, value in request.parameters() if name.lower().startswith(b"x-amz-")}
    for name in {name for name, _ in request.headers if name.startswith(b"x-amz-")}:
        values = [value.strip() for value in request.values(name.decode("latin-1"))]
        if found.setdefault(name, values) != values:
            raise Refusal(Reason.AMBIGUOUS, f"{name.decode('latin-1')[:64]} is one thing as a header and another in the query.")
    return found


def _subresources(query: bytes) -> bytes:
    """``?name=value&...``, sorted, names and values decoded as the object store decodes them."""
    pairs = [part.replace(b"+", b" ").partition(b"=") for part in query.split(b"&")]
    decoded = [(unquote_to_bytes(name), sign + unquote_to_bytes(value)) for name, sign, value in pairs]
    kept = [name + value for name, value in sorted(decoded) if name in _SUBRESOURCES]
    return b"?" + b"&".join(kept) if kept else b""
