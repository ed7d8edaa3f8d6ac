from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.s3.conditions import check_get, check_write, http_date, read_range
from rekindle.s3.errors import NotModified, S3Error
from rekindle.s3.metadata import Identity, Metadata, Stored
from support.object_store import MOMENT

STORED = Stored("k", Identity(10, int(MOMENT * 1e9) + 5), Metadata("abc"))
NOW, BEFORE, AFTER = http_date(MOMENT), http_date(MOMENT - 1), http_date(MOMENT + 1)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"if-match": '"abc"'},
        {"if-match": "abc"},
        {"if-match": "*"},
        {"if-match": '"x", "abc"'},
        {"if-none-match": '"x"'},
        {"if-modified-since": BEFORE},
        {"if-unmodified-since": NOW},
        {"if-modified-since": "no date"},
        # An entity tag outranks a date.
        {"if-match": '"abc"', "if-unmodified-since": BEFORE},
        {"if-none-match": '"x"', "if-modified-since": AFTER},
    ],
)
def test_conditions_that_hold(headers: dict[str, str]) -> None:
    check_get(headers, STORED, {})


@pytest.mark.parametrize("headers", [{"if-match": '"x"'}, {"if-unmodified-since": BEFORE}])
def test_conditions_that_fail(headers: dict[str, str]) -> None:
    with pytest.raises(S3Error, match="PreconditionFailed"):
        check_get(headers, STORED, {})


@pytest.mark.parametrize("headers", [{"if-none-match": 'W/"abc"'}, {"if-none-match": "*"}, {"if-modified-since": NOW}])
def test_a_copy_that_is_current(headers: dict[str, str]) -> None:
    with pytest.raises(NotModified) as caught:
        check_get(headers, STORED, {"etag": '"abc"', "content-length": "10"})
    assert caught.value.headers == {"etag": '"abc"'}


@pytest.mark.parametrize(
    ("headers", "stored", "code"),
    [
        ({"if-none-match": "*"}, STORED, "PreconditionFailed"),
        ({"if-none-match": '"abc"'}, STORED, "NotImplemented"),
        ({"if-match": '"x"'}, STORED, "PreconditionFailed"),
        ({"if-match": '"abc"'}, None, "NoSuchKey"),
    ],
)
def test_writes_that_are_refused(headers: dict[str, str], stored: Stored | None, code: str) -> None:
    with pytest.raises(S3Error, match=code):
        check_write(headers, stored)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20))
def test_a_range_is_a_slice(start: int, end: int, total: int) -> None:
    content = bytes(range(total))
    if start < total and start <= end:
        run = read_range(f"bytes={start}-{end}", total)
        assert run is not None
        assert content[run.start : run.start + run.length] == content[start : end + 1]
        assert run.content_range == f"bytes {start}-{min(end, total - 1)}/{total}"
    if end:
        tail = read_range(f"bytes=-{end}", total)
        assert tail is not None
        assert content[tail.start : tail.start + tail.length] == content[-end:]


@pytest.mark.parametrize(
    ("header", "total"),
    [
        ("bytes=10-", 10),
        ("bytes=0-", 0),
        ("bytes=-0", 10),
        ("bytes=-5", 0),
        ("bytes=99-100", 10),
        ("bytes=" + "9" * 30 + "-", 10),
    ],
)
def test_ranges_beyond_the_end(header: str, total: int) -> None:
    with pytest.raises(S3Error, match="InvalidRange") as caught:
        read_range(header, total)
    assert caught.value.status == 416
    assert caught.value.details["ActualObjectSize"] == str(total)


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=" + "9" * 5000 + "-"],
)
def test_ranges_that_http_says_to_ignore(header: str | None) -> None:
    assert read_range(header, 10) is None
