"""Why a request is not let in.

Refusal (an exception) carries a Reason; ``gateway/answers.py`` turns it into each service's own code and sentence.
"""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """What was wrong, in one word; the order is the order in which the checks run."""

    HOST = "host"
    ORIGIN = "origin"
    TOO_MANY_HEADERS = "too many headers"
    TWO_LENGTHS = "two lengths"
    AMBIGUOUS = "ambiguous"
    MISSING = "missing"
    UNSUPPORTED = "unsupported"
    INCOMPLETE = "incomplete"
    MALFORMED = "malformed"
    MALFORMED_QUERY = "malformed query"
    MALFORMED_OLD_QUERY = "malformed old query"
    UNKNOWN_SERVICE = "unknown service"
    WRONG_TARGET = "wrong target"
    UNSIGNED_HEADERS = "unsigned headers"
    EXPIRED = "expired"
    NOT_YET = "not yet"
    URL_EXPIRED = "url expired"
    URL_NOT_YET = "url not yet"
    UNKNOWN_KEY = "unknown key"
    PAYLOAD_HASH_MISSING = "payload hash missing"
    PAYLOAD_HASH_INVALID = "payload hash invalid"
    MISMATCH = "mismatch"
    PAYLOAD_MISMATCH = "payload mismatch"
    BODY_TOO_LARGE = "body too large"
    BODY_TOO_SLOW = "body too slow"
    ENCODED_BODY = "encoded body"
    INTERNAL = "internal"
    ENDING = "ending"


class Refusal(Exception):
    """A request that is refused: the reason, and the part of the sentence that only this request knows."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
