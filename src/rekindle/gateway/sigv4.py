"""AWS Signature Version 4, verified: pure functions of a request, a claim, a secret and the time.

``read_claim`` says who a request claims to be from (``Authorization`` header or presigned query), ``check_times`` and
``check_signed_headers`` apply the rules that need no secret, ``verify`` compares the signature, and ``payload_rule`` says
how the body is bound to it. Each raises Refusal. Source: AWS General Reference, "Signature Version 4"; S3 API reference,
"Authenticating Requests".
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from hashlib import sha256
from typing import Final

from rekindle.gateway.canonical import WireRequest, canonical_requests, digest
from rekindle.gateway.refusal import Reason, Refusal

ALGORITHM: Final = "AWS4-HMAC-SHA256"
#: How far a client's clock may be from ours, in either direction.
CLOCK_SKEW: Final = timedelta(minutes=15)
#: The longest life of a presigned URL, in seconds: seven days.
MAX_EXPIRES: Final = 604_800
HEX64: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
EMPTY_SHA256: Final = sha256(b"").hexdigest()

_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_QUERY_PARAMETERS = tuple(
    f"X-Amz-{part}" for part in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
)
#: Headers that mean one thing only; a second one could be read by the application and not by the signature, or the reverse.
_SINGLE_HEADERS = (
    *(
        "host",
        "authorization",
        "date",
        "content-type",
        "content-length",
        "content-md5",
        "content-encoding",
        "transfer-encoding",
    ),
    *("x-amz-date", "x-amz-target", "x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-security-token"),
    *("x-amz-trailer", "x-amz-copy-source"),
)
_SCOPE_PART = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True)
class Scope:
    """What a signature is good for: one day (YYYYMMDD), one region, one service."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True)
class Claim:
    """What a request says of its signature; nothing of it is true before ``verify``."""

    access_key: str
    scope: Scope
    timestamp: str
    signed_headers: tuple[str, ...]
    signature: str
    #: Seconds a presigned URL lives; None for the header form.
    expires: int | None = None

    @property
    def is_s3(self) -> bool:
        """Whether S3's rules for path and payload hold."""
        return self.scope.service == "s3"


class Payload(Enum):
    """How the body is bound to the signature."""

    EXACT = "the SHA-256 of the whole body is signed"
    UNSIGNED = "the body is not signed"
    SIGNED_CHUNKS = "aws-chunked, each chunk signed"
    SIGNED_CHUNKS_TRAILER = "aws-chunked, each chunk and the trailer signed"
    UNSIGNED_CHUNKS_TRAILER = "aws-chunked, not signed, with a checksum in the trailer"


_PAYLOADS: Final = {
    "UNSIGNED-PAYLOAD": Payload.UNSIGNED,
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": Payload.SIGNED_CHUNKS,
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": Payload.SIGNED_CHUNKS_TRAILER,
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": Payload.UNSIGNED_CHUNKS_TRAILER,
}


def carries_signature(request: WireRequest) -> bool:
    """Whether the request brings any credentials at all, in its header or its query."""
    return bool(request.values("authorization")) or _is_presigned(request)


def read_claim(request: WireRequest) -> Claim:
    """The signature that the request carries: MISSING, AMBIGUOUS, UNSUPPORTED, INCOMPLETE or MALFORMED where there is none."""
    check_single_headers(request)
    authorization = request.header("authorization")
    presigned = _is_presigned(request)
    if authorization is not None and presigned:
        both = "use the Authorization header or the X-Amz-Algorithm query parameter"
        raise Refusal(Reason.AMBIGUOUS, f"Only one auth mechanism allowed; {both}.")
    if authorization is not None:
        return _header_claim(request, authorization)
    if presigned:
        return _query_claim(request)
    raise Refusal(Reason.MISSING)


def check_single_headers(request: WireRequest) -> None:
    """Headers that mean one thing only are there once at most; else AMBIGUOUS."""
    for name in _SINGLE_HEADERS:
        if len(request.values(name)) > 1:
            raise Refusal(Reason.AMBIGUOUS, f"The header {name} may be given once only.")


def check_times(claim: Claim, now: datetime) -> None:
    """The signature's time lies within the clock skew, or the presigned URL's life is not over."""
    age = now - _parse_timestamp(claim.timestamp)
    if -age > CLOCK_SKEW:
        limit = f"{_stamp(now + CLOCK_SKEW)} ({_stamp(now)} + 15 min.)"
        reason = Reason.NOT_YET if claim.expires is None else Reason.URL_NOT_YET
        raise Refusal(reason, f"Signature not yet current: {claim.timestamp} is still later than {limit}")
    if claim.expires is None and age > CLOCK_SKEW:
        limit = f"{_stamp(now - CLOCK_SKEW)} ({_stamp(now)} - 15 min.)"
        raise Refusal(Reason.EXPIRED, f"Signature expired: {claim.timestamp} is now earlier than {limit}")
    if claim.expires is not None and age >= timedelta(seconds=claim.expires):
        raise Refusal(Reason.URL_EXPIRED, f"Signature expired: {claim.timestamp} lived for {claim.expires} s.")


def check_signed_headers(request: WireRequest, claim: Claim) -> None:
    """``host`` and every ``x-amz-*`` header of the request are signed, the date too, and every signed header is there."""
    present = {name.decode("latin-1") for name, _ in request.headers}
    required = {name for name in present if name.startswith("x-amz-")} | {"host"}
    if claim.expires is None and "x-amz-date" not in present:
        required.add("date")
    unsigned = sorted(required - set(claim.signed_headers))
    if unsigned:
        raise Refusal(Reason.UNSIGNED_HEADERS, ", ".join(unsigned))
    gone = sorted(set(claim.signed_headers) - present)
    if gone:
        raise Refusal(Reason.MISMATCH, f"signed but not sent: {', '.join(gone)}")


def payload_rule(request: WireRequest, claim: Claim) -> tuple[Payload, str]:
    """For S3: how the body is bound, and the word that stands for it in the canonical request."""
    declared = request.header("x-amz-content-sha256")
    words = _PAYLOADS
    if declared is None and claim.expires is not None:
        # A presigned URL may fix the hash of its body, but a stream's chunks are announced by the header alone.
        declared = _parameter(request, "X-Amz-Content-Sha256") or "UNSIGNED-PAYLOAD"
        words = {"UNSIGNED-PAYLOAD": Payload.UNSIGNED}
    if declared is None:
        raise Refusal(Reason.PAYLOAD_HASH_MISSING)
    if declared in words:
        return words[declared], declared
    if not HEX64.fullmatch(declared):
        raise Refusal(Reason.PAYLOAD_HASH_INVALID, declared[:80])
    return Payload.EXACT, declared


def verify(request: WireRequest, claim: Claim, secret: str, payload: str) -> None:
    """The signature is what ``secret`` makes of this request with this payload word; else MISMATCH. Takes constant time."""
    key = signing_key(secret, claim.scope)
    given = claim.signature.encode("latin-1", "replace")
    matched = False
    for canonical in canonical_requests(request, claim.signed_headers, payload, claim.is_s3):
        text = f"{ALGORITHM}\n{claim.timestamp}\n{claim.scope}\n{digest(canonical)}"
        matched |= hmac.compare_digest(hmac_hex(key, text), given)
    if not matched:
        raise Refusal(Reason.MISMATCH)


def signing_key(secret: str, scope: Scope) -> bytes:
    """The key of one day, region and service: HMAC of HMAC of HMAC of HMAC of the secret."""
    key = b"AWS4" + secret.encode("utf-8")
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode("utf-8"), sha256)
    return key


def hmac_hex(key: bytes, text: str) -> bytes:
    """HMAC-SHA256 in lower-case hex, as ASCII bytes."""
    return hmac.digest(key, text.encode("utf-8"), sha256).hex().encode("ascii")


def _is_presigned(request: WireRequest) -> bool:
    return any(name == b"X-Amz-Algorithm" for name, _ in request.parameters())


def _header_claim(request: WireRequest, authorization: str) -> Claim:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise Refusal(Reason.UNSUPPORTED, algorithm[:80])
    parts = _authorization_parts(rest)
    access_key, scope = _credential(parts["Credential"], Reason.MALFORMED)
    signed_headers = _signed_headers(parts["SignedHeaders"], Reason.MALFORMED)
    timestamp = _timestamp_of_day(_header_timestamp(request), scope, Reason.MALFORMED)
    return Claim(access_key, scope, timestamp, signed_headers, parts["Signature"])


def _authorization_parts(rest: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for piece in rest.split(","):
        name, separator, value = piece.strip().partition("=")
        if not separator or name in parts:
            raise Refusal(Reason.MALFORMED, f"'{piece.strip()[:80]}' is not a name=value pair, or is one too many.")
        parts[name] = value
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if not parts.get(name)]
    if missing:
        raise Refusal(Reason.INCOMPLETE, " ".join(f"Authorization header requires '{name}' parameter." for name in missing))
    return parts


def _header_timestamp(request: WireRequest) -> str:
    stamp = request.header("x-amz-date") or _http_date(request.header("date"))
    if stamp is None:
        raise Refusal(Reason.INCOMPLETE, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    return stamp


def _http_date(value: str | None) -> str | None:
    if value is None or re.fullmatch(r"\d{8}T\d{6}Z", value, re.ASCII):
        return value
    try:
        return _stamp(parsedate_to_datetime(value).astimezone(UTC))
    except (ValueError, TypeError, IndexError, OverflowError):
        raise Refusal(Reason.MALFORMED, f"Date must be in ISO-8601 'basic format'. Got '{value[:80]}'.") from None


def _query_claim(request: WireRequest) -> Claim:
    values = {name: _required_parameter(request, name) for name in _QUERY_PARAMETERS}
    if values["X-Amz-Algorithm"] != ALGORITHM:
        raise Refusal(Reason.UNSUPPORTED, values["X-Amz-Algorithm"][:80])
    access_key, scope = _credential(values["X-Amz-Credential"], Reason.MALFORMED_QUERY)
    signed_headers = _signed_headers(values["X-Amz-SignedHeaders"], Reason.MALFORMED_QUERY)
    timestamp = _timestamp_of_day(values["X-Amz-Date"], scope, Reason.MALFORMED_QUERY)
    return Claim(access_key, scope, timestamp, signed_headers, values["X-Amz-Signature"], _expires(values["X-Amz-Expires"]))


def _parameter(request: WireRequest, name: str) -> str | None:
    values = [value for parameter, value in request.parameters() if parameter == name.encode("latin-1")]
    if len(values) > 1:
        raise Refusal(Reason.MALFORMED_QUERY, f"The query parameter {name} may be given once only.")
    return values[0].decode("latin-1") if values else None


def _required_parameter(request: WireRequest, name: str) -> str:
    value = _parameter(request, name)
    if not value:
        needed = f"Query-string authentication version 4 requires the {', '.join(_QUERY_PARAMETERS)} parameters"
        raise Refusal(Reason.MALFORMED_QUERY, f"{needed}; {name} is missing.")
    return value


def _expires(value: str) -> int:
    if not _DIGITS.fullmatch(value):
        raise Refusal(Reason.MALFORMED_QUERY, f"X-Amz-Expires should be a non-negative number, not '{value[:40]}'.")
    if int(value) > MAX_EXPIRES:
        raise Refusal(Reason.MALFORMED_QUERY, "X-Amz-Expires must be less than a week (in seconds) that is 604800 seconds.")
    return int(value)


def _credential(value: str, malformed: Reason) -> tuple[str, Scope]:
    access_key, *rest = value.rsplit("/", 4)
    scope_parts, terminator = rest[:3], rest[3:]
    if not access_key or terminator != ["aws4_request"] or not all(map(_SCOPE_PART.fullmatch, scope_parts)):
        shape = "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"
        raise Refusal(malformed, f'the Credential is mal-formed; expecting "{shape}".')
    return access_key, Scope(*scope_parts)


def _timestamp_of_day(stamp: str, scope: Scope, malformed: Reason) -> str:
    try:
        _parse_timestamp(stamp)
    except ValueError:
        raise Refusal(malformed, f"Date must be in ISO-8601 'basic format'. Got '{stamp[:80]}'.") from None
    if stamp[:8] != scope.date:
        day = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP"
        raise Refusal(malformed, f"{day}: '{scope.date}' != '{stamp[:8]}', from '{stamp}'.")
    return stamp


def _signed_headers(value: str, malformed: Reason) -> tuple[str, ...]:
    names = tuple(value.split(";"))
    if list(names) != sorted(set(names)) or value != value.lower():
        raise Refusal(malformed, "SignedHeaders must be lower-case, sorted and without repeats.")
    return names


def _parse_timestamp(stamp: str) -> datetime:
    if not re.fullmatch(r"\d{8}T\d{6}Z", stamp, re.ASCII):
        raise ValueError(stamp)
    return datetime.strptime(stamp, _TIMESTAMP).replace(tzinfo=UTC)


def _stamp(moment: datetime) -> str:
    return moment.strftime(_TIMESTAMP)
