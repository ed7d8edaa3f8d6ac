from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.s3 import listing
from rekindle.s3.listing import page
from support.object_store import shelf

_segments = st.sampled_from(
    ["a", "b", "ab", "a.b", "a-", "", ".", "..", "%", "é", "x" * 130, "x" * 250, "x" * 250 + "y", "x" * 500]
)
keys = st.lists(_segments, min_size=1, max_size=4).map("/".join).filter(lambda key: 0 < len(key.encode()) <= 1024)
pieces = st.sampled_from(["", "a", "a/", "a/b", "b/", "/", "x", "x" * 130, "ab", "a.b/", "//", "../"])


def expected(stored: set[str], prefix: str, delimiter: str, after: str) -> list[str]:
    """The listing by the book: what comes after `after`, keys and common prefixes in one order."""
    found = set()
    for key in stored:
        if key.startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            found.add(key if cut < 0 else key[: cut + len(delimiter)])
    return sorted(entry for entry in found if entry > after)


@given(st.sets(keys, max_size=12), pieces, st.sampled_from(["", "/", "a", "b/", "//"]), pieces, st.integers(1, 5))
def test_the_pages_of_a_listing_make_the_listing(stored: set[str], prefix: str, delimiter: str, after: str, limit: int) -> None:
    with shelf() as made:
        for key in stored:
            made.put(key, b"")
        assert made.keys() == sorted(stored)
        listed: list[str] = []
        position, more = after, True
        while more:
            walk = made.bucket.walk(prefix, position, delimiter)
            found = page(walk, made.bucket.find, prefix=prefix, delimiter=delimiter, after=position, limit=limit)
            entries = sorted([stored.key for stored in found.entries] + found.prefixes)
            assert len(entries) <= limit
            assert not found.next or (len(entries) == limit and entries[-1] == found.next)
            listed += entries
            position, more = found.next, bool(found.next)
        assert listed == expected(stored, prefix, delimiter, after)


def test_a_thousand_levels() -> None:
    with shelf() as made:
        made.put("/" * 1024, b"deep")
        made.put("a/" * 512, b"deep")
        assert made.keys() == ["/" * 1024, "a/" * 512]
        assert made.get("/" * 1024) == b"deep"
        for key in list(made.bucket.walk()):
            made.bucket.delete(key)


def test_what_vanishes_during_the_walk_is_left_out() -> None:
    with shelf() as made:
        for key in ("a", "b/c", "d"):
            made.put(key, b"")
        walk = iter(made.bucket.walk())
        assert next(walk) == "a"
        made.bucket.delete("b/c")
        assert list(walk) == ["d"]


def test_a_common_prefix_takes_a_look_at_one_key_however_many_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    look = listing._read

    def counted(entry: os.DirEntry[str], *others: Any) -> Any:
        looks.append(entry.name)
        return look(entry, *others)

    monkeypatch.setattr(listing, "_read", counted)
    with shelf() as made:
        for number in range(50):
            made.put(f"out/job-{number}/output/model.tar.gz", b"")
        found = page(made.bucket.walk("", "", "/"), made.bucket.find, prefix="", delimiter="/", after="", limit=10)
    assert found.prefixes == ["out/"]
    assert len(looks) == 4, "at out, one of the jobs, its output and its model"


def test_an_empty_folder_is_no_common_prefix() -> None:
    with shelf() as made:
        made.put("b", b"")
        (made.root / "a" / "deep").mkdir(parents=True)
        assert made.keys() == ["b"]
        assert list(made.bucket.walk("", "", "/")) == ["b"]
        made.put("a/x/y", b"")
        assert list(made.bucket.walk("", "", "/")) == ["a/x/y", "b"]
