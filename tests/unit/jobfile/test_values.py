"""How single values of a job file are read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.domain.errors import RekindleError, did_you_mean
from rekindle.jobfile.parse import parse
from rekindle.jobfile.reader import read
from rekindle.jobfile.values import Table, Value


def value(text: str) -> Value:
    found = Table("", read(f"x: {text}".encode())).get("x")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("+5", 5),
        ("-5", -5),
        (".5", 0.5),
        ("5.", 5.0),
        ("007", 7),
        ("'0.1'", 0.1),
        ("1e-400", 0.0),
        ("-0", 0),
    ],
)
def test_numbers(text, number):
    found = value(text).number()
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    "text", ["0x10", "0o7", "1_000", "1:30", "1,5", "e5", ".", "1e", "one", "true", "2024-01-01", "½", "٣"]
)
def test_no_numbers(text):
    with pytest.raises(RekindleError, match="not a number"):
        value(text).number()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_reads_back(x):
    assert value(repr(x)).number() == x


@given(st.integers(min_value=-(10**300), max_value=10**300))
def test_every_integer_reads_back(x):
    assert value(str(x)).number() == x


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("2d", 172_800),
        ("1.5h", 5400),
        ("0.2s", 1),
        ("1e3", 1000),
    ],
)
def test_durations(text, seconds):
    assert value(text).seconds() == seconds


@pytest.mark.parametrize("text", ["1:30", "h", "5 minutes", "1h30", "-5s", "0", "1e99", "30m x", "s5", "1hh", "1e400"])
def test_no_durations(text):
    with pytest.raises(RekindleError, match="duration"):
        value(text).seconds()


@pytest.mark.parametrize("word", ["yes", "on", "true", "True", "TRUE"])
def test_switches_on(word):
    assert value(word).switch() is True


@pytest.mark.parametrize("word", ["no", "off", "false"])
def test_switches_off(word):
    assert value(word).switch() is False


@pytest.mark.parametrize("word", ["log", "Log", "REVERSE-LOGARITHMIC", "ReverseLogarithmic", "reverse logarithmic"])
def test_choices_do_not_mind_case_and_hyphens(word):
    assert value(word).choice({"log": 1, "reverse_logarithmic": 1}) == 1


def test_did_you_mean():
    assert did_you_mean("paralel", ["jobs"], {"parallel": "limits.parallel"}) == "Did you mean 'limits.parallel'?"
    assert did_you_mean("xyz", ["jobs"]) == ""


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    with pytest.raises(RekindleError):
        parse(data, Path("/"))


@given(st.text(alphabet="ab:{}[]-\n ,'\"#&*!|>%@`~?\t0", max_size=80))
def test_any_yaml_like_text_is_read_or_refused(text):
    with pytest.raises(RekindleError):
        parse(text.encode(), Path("/"))
