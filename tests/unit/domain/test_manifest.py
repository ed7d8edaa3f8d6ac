"""What is a manifest and what is not, and what is said of the latter."""

from __future__ import annotations

import json

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.domain.manifest import parse_manifest

URI = "s3://b/list.json"


def test_a_manifest() -> None:
    found = parse_manifest(json.dumps([{"prefix": "s3://b/some/"}, "x", "deep/y ü"]).encode(), URI)
    assert (found.prefix, found.names) == ("s3://b/some/", ("x", "deep/y ü"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "it is no JSON document"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"{}", "it is no list"),
        (b"[]", "it is no list"),
        (b'["a"]', "its first element is not of the form"),
        (b'[{"prefix": ""}, "a"]', "its first element is not of the form"),
        (b'[{"prefix": "s3://"}, "a"]', "its first element is not of the form"),
        (b'[{"prefix": 3}, "a"]', "its first element is not of the form"),
        (b'[{"prefix": "s3://b/"}]', "it lists no object"),
        (b'[{"prefix": "s3://b/"}, "a", 3]', "element 3 is not the name of an object"),
        (b'[{"prefix": "s3://b/"}, ""]', "element 2 is not the name of an object"),
        (b'[{"prefix": "s3://b/"}, "../a"]', "no path of a file"),
        (b'[{"prefix": "s3://b/"}, "/a"]', "no path of a file"),
    ],
)
def test_what_is_none_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        parse_manifest(content, URI)
