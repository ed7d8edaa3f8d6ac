"""Every field of every record goes through JSON text unchanged, and the text is what any JSON reader accepts."""

from __future__ import annotations

import base64
import json
import math
import zlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support import records

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.storage.cursors import Cursor, decode_cursor, encode_cursor
from rekindle.storage.encoding import (
    VERSION,
    check_version,
    decode_ending,
    decode_range,
    decode_training_spec,
    decode_transitions,
    decode_tuning_spec,
    dumps,
    encode_ending,
    encode_range,
    encode_training_spec,
    encode_transitions,
    encode_tuning_spec,
    loads,
    plain,
    quoted,
    unplain,
    unquoted,
)

generated = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def strict(text: str):
    """Reads JSON as a strict reader does: no NaN, no Infinity."""

    def refuse(word: str):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@generated
@given(records.training_specs)
def test_training_specs(spec):
    text = dumps(encode_training_spec(spec))
    assert text.isascii()
    assert decode_training_spec(strict(text)) == spec


@generated
@given(records.tuning_specs)
def test_tuning_specs(spec):
    text = dumps(encode_tuning_spec(spec))
    assert decode_tuning_spec(strict(text), spec.tags) == spec
    assert dumps(encode_tuning_spec(decode_tuning_spec(loads(text), {}))) == text, "what is read is written as it was"


@given(records.tuning_specs)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_names_count_in_a_tuning_job_that_is_older_than_their_switch(spec):
    document = encode_tuning_spec(spec)
    for definition in document["definitions"]:
        del definition["known_names"]
    assert all(d.known_names for d in decode_tuning_spec(document, {}).definitions)


@generated
@given(records.ranges)
def test_ranges_with_their_types(parameter):
    again = decode_range(strict(dumps(encode_range(parameter))))
    assert again == parameter
    assert type(again) is type(parameter)
    for field in ("low", "high", "values"):
        ours, theirs = getattr(again, field, None), getattr(parameter, field, None)
        assert type(ours) is type(theirs)
        if field == "values" and ours is not None:
            assert [type(v) for v in ours] == [type(v) for v in theirs]


@generated
@given(st.lists(records.transitions, max_size=3).map(tuple), st.none() | records.endings)
def test_histories_and_endings(transitions, ending):
    assert decode_transitions(strict(dumps(encode_transitions(transitions)))) == transitions
    kept = decode_ending(strict(dumps(encode_ending(ending))))
    assert kept == ending
    assert (kept and kept.because) == (ending and ending.because)


def same(a: object, b: object) -> bool:
    """Equal with equal types all the way down, NaN being itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return a == b


@generated
@given(records.free)
@example({"nan": math.nan, "inf": (-math.inf,), "zero": -0.0})
@example({"$float": "1.0", "$tuple": [1], "$": {"$$x": None}})
@example({"absent": None, "empty": {}, "list": [], "tuple": (), "nested": [((),)]})
@example({"big": 10**400, "small": 5e-324, "large": 1.7976931348623157e308, "third": 1 / 3})
def test_free_data_with_its_types_and_order(value):
    assert same(unplain(strict(dumps(plain(value)))), value)


@pytest.mark.parametrize("value", [{1: "a"}, {"a": object()}, {"a": {1, 2}}, {"a": b"bytes"}])
def test_what_is_not_plain_data_is_refused(value):
    with pytest.raises(TypeError):
        plain(value)


@generated
@given(records.texts | st.text(alphabet=st.characters(), max_size=5))
@example("\ud800 alone")
@example("a\\u0041")
def test_text_for_text_columns(text):
    kept = quoted(text)
    assert kept.isascii()
    assert "\x00" not in kept
    assert unquoted(kept) == text


def test_numbers_that_are_not_finite_never_become_json():
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="JSON"):
            dumps({"value": value})


def test_documents_of_a_newer_version_are_refused():
    check_version({"v": VERSION})
    with pytest.raises(Unsupported, match="Upgrade"):
        check_version({"v": VERSION + 1})


@generated
@given(st.floats(allow_nan=False, allow_infinity=False) | records.names, st.integers(0, 2**63 - 1))
def test_cursors(value, job_id):
    cursor = Cursor("an order", value, job_id)
    text = encode_cursor(cursor)
    assert decode_cursor(text, "an order") == cursor
    assert text.replace("-", "").replace("_", "").isalnum(), "safe in URLs and in JSON"
    with pytest.raises(InvalidValue, match="another order"):
        decode_cursor(text, "some order")


@pytest.mark.parametrize("value", [None, True, [], {}, "a\x00"])
def test_cursors_with_a_right_checksum_and_a_wrong_value(value):
    with pytest.raises(InvalidValue, match="next_token"):
        decode_cursor(encode_cursor(Cursor("o", value, 1)), "o")


@pytest.mark.parametrize("job_id", [-1, 2**63, 1.5, True, None, "1"])
def test_cursors_with_a_right_checksum_and_a_wrong_id(job_id):
    with pytest.raises(InvalidValue, match="next_token"):
        decode_cursor(encode_cursor(Cursor("o", "a", job_id)), "o")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"7",
        b"[" * 100_000,
        b'["o","a"]',
        b'["o",NaN,1]',
        b'["o",1e999,1]',
        b'["o",' + b"9" * 400 + b",1]",
        b'[1,"a",1]',
        b'["o","\\u2028",1]',
        b'["o","a",1]!',
        '["o","ä",1]'.encode("latin-1"),
    ],
)
def test_cursors_with_a_right_checksum_and_something_else(body):
    forged = base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4, "big") + body).decode()
    with pytest.raises(InvalidValue, match="next_token"):
        decode_cursor(forged, "o")


def test_a_cursor_with_a_character_too_many():
    text = encode_cursor(Cursor("o", "a", 1))
    assert decode_cursor(text, "o").id == 1
    with pytest.raises(InvalidValue, match="next_token"):
        decode_cursor(f"{text[:4]}!{text[4:]}", "o")
