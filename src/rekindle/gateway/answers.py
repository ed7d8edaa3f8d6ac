"""Refusals in each service's own words: the codes and sentences that AWS uses, in JSON, query XML or S3's XML.

Sources: the common errors of the SageMaker, STS and CloudWatch references, S3's list of error codes, and what clients of
the real services report.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Final
from xml.sax.saxutils import escape

from starlette.responses import Response

from rekindle.gateway.refusal import Reason, Refusal


class Dialect(Enum):
    """The form in which a service speaks of errors."""

    JSON = "json"
    QUERY = "query"
    S3 = "s3"


_MISMATCH = "The request signature we calculated does not match the signature you provided. Check your "
_AWS_MISMATCH = f"{_MISMATCH}AWS Secret Access Key and signing method. Consult the service documentation for details."
_S3_MISMATCH = f"{_MISMATCH}key and signing method."
_INTERNAL = "We encountered an internal error. Please try again."
_ENDING = "The server ends, and did not wait for the end of this request. Send it again when it runs."
_TOKEN = "The security token included in the request is invalid."  # noqa: S105
_NOT_SIGNED = "There were headers present in the request which were not signed: {}"
_SUPPORTED = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
_PAYLOAD_WORDS = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, one of its -TRAILER forms"

#: AWS's sentence says no more than the first two words, and its sample data are open to everybody.
_SIGN = "The request is not signed, and no bucket here is public: sign it (no UNSIGNED, no --no-sign-request, no form)."

#: What XML 1.0 has no way to say.
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: reason -> status, code, sentence; ``{}`` is where the refusal's own detail goes.
_Table = dict[Reason, tuple[int, str, str]]

_JSON: Final[_Table] = {
    Reason.HOST: (403, "AccessDeniedException", "{}"),
    Reason.ORIGIN: (403, "AccessDeniedException", "{}"),
    Reason.TOO_MANY_HEADERS: (400, "ValidationException", "{}"),
    Reason.TWO_LENGTHS: (400, "ValidationException", "{}"),
    Reason.AMBIGUOUS: (400, "IncompleteSignatureException", "{}"),
    Reason.MISSING: (400, "MissingAuthenticationTokenException", "Request is missing Authentication Token"),
    Reason.UNSUPPORTED: (400, "IncompleteSignatureException", f"{_SUPPORTED} Got '{{}}'."),
    Reason.INCOMPLETE: (400, "IncompleteSignatureException", "{}"),
    Reason.MALFORMED: (400, "IncompleteSignatureException", "{}"),
    Reason.MALFORMED_QUERY: (400, "IncompleteSignatureException", "{}"),
    Reason.MALFORMED_OLD_QUERY: (400, "IncompleteSignatureException", "{}"),
    Reason.UNKNOWN_SERVICE: (400, "UnknownOperationException", "{}"),
    Reason.WRONG_TARGET: (400, "UnknownOperationException", "{}"),
    Reason.UNSIGNED_HEADERS: (400, "InvalidSignatureException", _NOT_SIGNED),
    Reason.EXPIRED: (400, "InvalidSignatureException", "{}"),
    Reason.NOT_YET: (400, "InvalidSignatureException", "{}"),
    Reason.URL_EXPIRED: (400, "InvalidSignatureException", "{}"),
    Reason.URL_NOT_YET: (400, "InvalidSignatureException", "{}"),
    Reason.UNKNOWN_KEY: (400, "UnrecognizedClientException", _TOKEN),
    Reason.PAYLOAD_HASH_MISSING: (400, "InvalidSignatureException", _AWS_MISMATCH),
    Reason.PAYLOAD_HASH_INVALID: (400, "InvalidSignatureException", _AWS_MISMATCH),
    Reason.MISMATCH: (400, "InvalidSignatureException", _AWS_MISMATCH),
    Reason.PAYLOAD_MISMATCH: (400, "InvalidSignatureException", _AWS_MISMATCH),
    Reason.BODY_TOO_LARGE: (413, "ValidationException", "{}"),
    Reason.BODY_TOO_SLOW: (408, "RequestTimeoutException", "{}"),
    Reason.ENCODED_BODY: (400, "SerializationException", "{}"),
    Reason.INTERNAL: (500, "InternalFailure", _INTERNAL),
    Reason.ENDING: (503, "ServiceUnavailable", _ENDING),
}

_QUERY: Final[_Table] = {
    Reason.HOST: (403, "AccessDenied", "{}"),
    Reason.ORIGIN: (403, "AccessDenied", "{}"),
    Reason.TOO_MANY_HEADERS: (400, "ValidationError", "{}"),
    Reason.TWO_LENGTHS: (400, "ValidationError", "{}"),
    Reason.AMBIGUOUS: (400, "IncompleteSignature", "{}"),
    Reason.MISSING: (403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
    Reason.UNSUPPORTED: (400, "IncompleteSignature", f"{_SUPPORTED} Got '{{}}'."),
    Reason.INCOMPLETE: (400, "IncompleteSignature", "{}"),
    Reason.MALFORMED: (400, "IncompleteSignature", "{}"),
    Reason.MALFORMED_QUERY: (400, "IncompleteSignature", "{}"),
    Reason.MALFORMED_OLD_QUERY: (400, "IncompleteSignature", "{}"),
    Reason.UNKNOWN_SERVICE: (400, "InvalidAction", "{}"),
    Reason.WRONG_TARGET: (400, "InvalidAction", "{}"),
    Reason.UNSIGNED_HEADERS: (403, "SignatureDoesNotMatch", _NOT_SIGNED),
    Reason.EXPIRED: (403, "SignatureDoesNotMatch", "{}"),
    Reason.NOT_YET: (403, "SignatureDoesNotMatch", "{}"),
    Reason.URL_EXPIRED: (403, "SignatureDoesNotMatch", "{}"),
    Reason.URL_NOT_YET: (403, "SignatureDoesNotMatch", "{}"),
    Reason.UNKNOWN_KEY: (403, "InvalidClientTokenId", _TOKEN),
    Reason.PAYLOAD_HASH_MISSING: (403, "SignatureDoesNotMatch", _AWS_MISMATCH),
    Reason.PAYLOAD_HASH_INVALID: (403, "SignatureDoesNotMatch", _AWS_MISMATCH),
    Reason.MISMATCH: (403, "SignatureDoesNotMatch", _AWS_MISMATCH),
    Reason.PAYLOAD_MISMATCH: (403, "SignatureDoesNotMatch", _AWS_MISMATCH),
    Reason.BODY_TOO_LARGE: (413, "ValidationError", "{}"),
    Reason.BODY_TOO_SLOW: (408, "RequestTimeout", "{}"),
    Reason.ENCODED_BODY: (400, "ValidationError", "{}"),
    Reason.INTERNAL: (500, "InternalFailure", _INTERNAL),
    Reason.ENDING: (503, "ServiceUnavailable", _ENDING),
}

_S3: Final[_Table] = {
    Reason.HOST: (403, "AccessDenied", "{}"),
    Reason.ORIGIN: (403, "AccessDenied", "{}"),
    Reason.TOO_MANY_HEADERS: (400, "RequestHeaderSectionTooLarge", "{}"),
    Reason.TWO_LENGTHS: (400, "InvalidRequest", "{}"),
    Reason.AMBIGUOUS: (400, "InvalidArgument", "{}"),
    Reason.MISSING: (403, "AccessDenied", f"Access Denied. {_SIGN}"),
    Reason.UNSUPPORTED: (400, "InvalidRequest", _SUPPORTED),
    Reason.INCOMPLETE: (400, "AuthorizationHeaderMalformed", "The authorization header is malformed; {}"),
    Reason.MALFORMED: (400, "AuthorizationHeaderMalformed", "The authorization header is malformed; {}"),
    Reason.MALFORMED_QUERY: (400, "AuthorizationQueryParametersError", "{}"),
    Reason.MALFORMED_OLD_QUERY: (403, "AccessDenied", "{}"),
    Reason.UNKNOWN_SERVICE: (400, "AuthorizationHeaderMalformed", "The authorization header is malformed; {}"),
    Reason.WRONG_TARGET: (400, "InvalidRequest", "{}"),
    Reason.UNSIGNED_HEADERS: (403, "AccessDenied", _NOT_SIGNED),
    Reason.EXPIRED: (403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    Reason.NOT_YET: (403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    Reason.URL_EXPIRED: (403, "AccessDenied", "Request has expired"),
    Reason.URL_NOT_YET: (403, "AccessDenied", "Request is not valid yet"),
    Reason.UNKNOWN_KEY: (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    Reason.PAYLOAD_HASH_MISSING: (400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"),
    Reason.PAYLOAD_HASH_INVALID: (400, "InvalidArgument", f"{_PAYLOAD_WORDS} or a valid sha256 value. Got '{{}}'."),
    Reason.MISMATCH: (403, "SignatureDoesNotMatch", _S3_MISMATCH),
    Reason.PAYLOAD_MISMATCH: (
        400,
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
    Reason.BODY_TOO_LARGE: (413, "EntityTooLarge", "{}"),
    Reason.BODY_TOO_SLOW: (
        400,
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout period. "
        "Idle connections will be closed.",
    ),
    Reason.ENCODED_BODY: (400, "InvalidRequest", "{}"),
    Reason.INTERNAL: (500, "InternalError", _INTERNAL),
    Reason.ENDING: (503, "ServiceUnavailable", _ENDING),
}

TABLES: Final = {Dialect.JSON: _JSON, Dialect.QUERY: _QUERY, Dialect.S3: _S3}


def answer(refusal: Refusal, dialect: Dialect, request_id: str) -> Response:
    """The response that a client of this dialect understands."""
    status, code, sentence = TABLES[dialect][refusal.reason]
    message = sentence.replace("{}", _NOT_XML.sub("?", refusal.detail))
    if dialect is Dialect.JSON:
        return _json(status, code, message)
    return _xml(
        status, _s3_body(code, message, request_id) if dialect is Dialect.S3 else _query_body(status, code, message, request_id)
    )


def _json(status: int, code: str, message: str) -> Response:
    return Response(json.dumps({"__type": code, "message": message}), status, media_type="application/x-amz-json-1.1")


def _xml(status: int, body: str) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}', status, media_type="application/xml")


def _s3_body(code: str, message: str, request_id: str) -> str:
    return f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{request_id}</RequestId></Error>"


def _query_body(status: int, code: str, message: str, request_id: str) -> str:
    error = f"<Error><Type>{_blame(status)}</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"


def _blame(status: int) -> str:
    return "Sender" if status < 500 else "Receiver"
