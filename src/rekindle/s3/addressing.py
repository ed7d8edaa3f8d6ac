"""Which bucket and key a request is about: path style and virtual-host style."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_to_bytes

from rekindle.s3.errors import S3Error

_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d"
#: Hosts under which `<bucket>.<host>` names a bucket.
_BASES = re.compile(
    r"(?:(?P<bucket>.+?)\.)?"
    rf"(?:s3(?:-fips|-accelerate|-external-1)?(?:\.dualstack|[.-](?:dualstack\.)?{_REGION})?\.amazonaws\.com(?:\.cn)?"
    rf"|s3(?:\.{_REGION})?\.localhost"
    r"|localhost)"
)
#: All of S3's hosts on AWS: of access points, of directory buckets, and so on.
_OF_S3 = re.compile(rf"(?:.+\.)?s3[a-z0-9-]*(?:\.dualstack)?(?:\.{_REGION})?\.amazonaws\.com(?:\.cn)?")


def bucket_of_host(host: str, domains: tuple[str, ...]) -> str:
    """The bucket that a Host header names; empty when the path names it. `domains` are further names of this server."""
    name = _name(host)
    # Of names that end alike, the longest: the gateway, which verifies what we do, must find the same bucket.
    for domain in sorted(domains, key=len, reverse=True):
        if name == domain:
            return ""
        if name.endswith("." + domain):
            return name.removesuffix("." + domain)
    match = _BASES.fullmatch(name)
    bucket = match["bucket"] if match else None
    return bucket if bucket and bucket != "s3" else ""


def _name(host: str) -> str:
    name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
    return name.lower().rstrip(".")


def _check_host(host: str) -> None:
    """Refuse AWS's names of what is not here, such as access points: the start of a key would be taken for the bucket."""
    name = _name(host)
    if _OF_S3.fullmatch(name) and not _BASES.fullmatch(name):
        way_out = "Ask for a bucket by its own name."
        raise S3Error("InvalidRequest", f"{name} is none of the hosts of S3 that this store answers for. {way_out}")


def address(raw_path: bytes, host: str, domains: tuple[str, ...] = ()) -> tuple[str, str]:
    """The bucket and the key of a request; each may be empty. The path is taken as it came: nothing in it is resolved."""
    try:
        path = unquote_to_bytes(raw_path.partition(b"?")[0]).decode().removeprefix("/")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
    bucket = bucket_of_host(host, domains)
    if bucket:
        return bucket, path
    _check_host(host)
    bucket, _, key = path.partition("/")
    return bucket, key


def url(scheme: str, raw_path: bytes, host: str) -> str:
    """The address that was asked for, without its query. To AWS's own names clients come through our proxy, which ends TLS."""
    path = raw_path.partition(b"?")[0].decode("ascii", "replace")
    return f"{'https' if _OF_S3.fullmatch(_name(host)) else scheme}://{host}{path}"


def query(raw: bytes) -> Mapping[str, str]:
    """The query's parameters; of one given twice, the first."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise S3Error("InvalidURI") from None
    return dict(reversed(pairs))


#: What signs a presigned request; all other x-amz-* parameters stand for headers.
_SIGNING = frozenset(
    f"x-amz-{name}" for name in ("algorithm", "credential", "date", "expires", "signedheaders", "signature", "security-token")
)


#: A checksum of the body, at which AWS does not look in a query: JavaScript's SDK signs that of no body into each upload's URL.
_OF_BODY = re.compile(r"x-amz-(?:sdk-checksum-algorithm|checksum-(?!algorithm$|mode$|type$).+)")
#: What a header can be called, and what it can hold: what is kept of these goes out as a header again.
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def hoisted(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """The headers that a presigned request carries in its query; refuses what no header could be."""
    names = ((name.lower(), value) for name, value in parameters.items())
    return {name: as_header(name, value) for name, value in names if _stands_for_a_header(name)}


def _stands_for_a_header(name: str) -> bool:
    return name.startswith("x-amz-") and name not in _SIGNING and not _OF_BODY.fullmatch(name)


def as_header(name: str, value: str) -> str:
    """What a query parameter says for a header; refuses what none can be called, and with AWS's sentence what none can hold."""
    if not _HEADER_NAME.fullmatch(name):
        raise S3Error("InvalidArgument", f"No header can have the name {name!r}.", ArgumentName=name)
    if not _HEADER_VALUE.fullmatch(value):
        raise S3Error("InvalidArgument", "Header value cannot be represented using ISO-8859-1.", ArgumentName=name)
    return value.strip(" \t")
