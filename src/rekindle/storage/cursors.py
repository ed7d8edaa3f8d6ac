"""Cursors: where a page of a list ends, as text that callers pass back and cannot read anything into."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from dataclasses import dataclass

from rekindle.domain.errors import InvalidValue

SortValue = str | float


@dataclass(frozen=True)
class Cursor:
    """The sort value and id of the last item of a page, and the order in which that was the last."""

    order: str
    value: SortValue
    id: int


def encode_cursor(cursor: Cursor) -> str:
    """The cursor as text, with a checksum against typing errors: it gives no rights, so it needs no signature."""
    body = json.dumps([cursor.order, cursor.value, cursor.id], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4, "big") + body).decode().rstrip("=")


def decode_cursor(text: str, order: str) -> Cursor:
    """What ``encode_cursor`` made for a list in this order. Raises InvalidValue for anything else."""
    raw = _decoded(text)
    if zlib.crc32(raw[4:]).to_bytes(4, "big") != raw[:4]:
        raise _invalid(text)
    try:
        found, value, job_id = json.loads(raw[4:])
    except (ValueError, TypeError, RecursionError) as error:
        raise _invalid(text) from error
    if not _is_sound(value, job_id):
        raise _invalid(text)
    if found != order:
        raise InvalidValue("next_token", text, "a token of another list, or in another order", "Start again without a token.")
    return Cursor(order, value, job_id)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise _invalid(text) from error


def _is_sound(value: object, job_id: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    whole = isinstance(job_id, int) and not isinstance(job_id, bool) and 0 <= job_id < 2**63
    text = isinstance(value, str) and value.isprintable()
    return (number or text) and whole


def _invalid(text: str) -> InvalidValue:
    return InvalidValue("next_token", text, "not a token that this service gave out", "Start again without a token.")
