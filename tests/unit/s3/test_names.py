from __future__ import annotations

import posixpath
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rekindle.s3.errors import S3Error
from rekindle.s3.names import CONTINUED, DISPLACED, Names, check_bucket_name, check_key

_tricky = st.text(st.sampled_from("/.%-=~2eaA\0\x1f\x7fé界 "), min_size=1, max_size=40)
_any = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
_long = st.builds(lambda a, n, b: a * n + b, _any, st.integers(1, 300), _tricky)
keys = st.one_of(_tricky, _any, _long).filter(lambda key: len(key.encode()) <= 1024)
both = st.sampled_from([Names(), Names(folding=True)])


def decode(names: Names, path: tuple[str, ...]) -> str | None:
    """The key of a path, read as the walk reads it."""
    segments, pieces = [], []
    for name in (*path[:-1], path[-1].removesuffix(DISPLACED) if path[-1] != DISPLACED else path[-1]):
        pieces.append(name.removesuffix(CONTINUED))
        if not name.endswith(CONTINUED):
            segments.append(names.text(pieces))
            pieces = []
    return None if None in segments or pieces else "/".join(str(segment) for segment in segments)


@given(keys, both)
@example("a" * 1024, Names())
@example("/" * 1024, Names())
@example("\0" * 1024, Names(folding=True))
@example("界" * 341, Names(folding=True))
@example("a" * 241 + ".", Names())
@example("%=", Names())
@example("%/%25/%2e", Names())
def test_a_key_comes_back_from_its_path(key: str, names: Names) -> None:
    assert decode(names, names.path(key)) == key
    assert decode(names, names.displaced(key)) == key


@given(keys, both)
@example("../../etc/passwd", Names())
@example("/etc/passwd", Names())
@example("./.", Names())
def test_no_key_leaves_its_folder(key: str, names: Names) -> None:
    for path in (names.path(key), names.displaced(key)):
        joined = posixpath.join("/root/bucket", *path)
        assert posixpath.normpath(joined) == joined
        assert joined.startswith("/root/bucket/")
        assert all(name and name not in (".", "..") and not set(name) & {"/", "\0"} for name in path)
        assert all(len(name.encode()) <= 255 for name in path)
        assert len(joined.encode()) < 3300


@given(keys, keys, both)
@example("a", "a/", Names())
@example("%2e", ".", Names())
@example("a%=", "a", Names())
@example("A", "a", Names(folding=True))
def test_two_keys_never_share_a_path(first: str, second: str, names: Names) -> None:
    def paths(key: str) -> set[tuple[str, ...]]:
        return {names.path(key), names.displaced(key)}

    if first != second:
        assert not paths(first) & paths(second)


@given(keys, keys)
@example("README", "readme")
@example("e\u0301", "\u00e9")
def test_on_a_folding_file_system_they_do_not_meet_either(first: str, second: str) -> None:
    def folded(key: str) -> str:
        return unicodedata.normalize("NFC", "/".join(Names(folding=True).path(key))).casefold()

    if first != second:
        assert folded(first) != folded(second)


@given(keys)
def test_a_folder_is_never_taken_for_a_piece_of_a_long_name(key: str) -> None:
    *folders, last = Names().path(key)
    assert not last.endswith((CONTINUED, DISPLACED))
    if all(len(segment.encode()) <= 80 for segment in key.split("/")):
        assert not any(name.endswith(CONTINUED) for name in folders)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("data/train.csv", ("data", "train.csv")),
        ("models/Übung 100%.tar.gz", ("models", "Übung 100%.tar.gz")),
        (".hidden/..file", (".hidden", "..file")),
        ("a//b", ("a", "%", "b")),
        ("a/", ("a", "%")),
        ("../x", ("%2e%2e", "x")),
        ("line\nbreak", ("line%0abreak",)),
        ("50%25", ("50%2525",)),
        ("%", ("%25",)),
    ],
)
def test_the_table_of_the_documentation(key: str, path: tuple[str, ...]) -> None:
    assert Names().path(key) == path


def test_a_name_that_no_key_has_is_no_object() -> None:
    assert Names().text(["%41"]) is None
    assert Names().text(["bad%ff"]) is None
    assert Names().text(["x" * 241]) is None
    assert Names(folding=True).text(["Capital"]) is None


def test_a_key_has_at_most_1024_bytes() -> None:
    check_key("é" * 512)
    with pytest.raises(S3Error, match="KeyTooLongError"):
        check_key("é" * 512 + "a")


@pytest.mark.parametrize("name", ["abc", "my.bucket-1", "0" * 63, "sagemaker-us-east-1-123456789012"])
def test_bucket_names_that_aws_takes(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 64,
        "Abc",
        "a_b",
        "-abc",
        "abc-",
        ".abc",
        "a..b",
        "192.168.1.1",
        "xn--abc",
        "abc-s3alias",
        ".rekindle",
        "..",
    ],
)
def test_bucket_names_that_aws_refuses(name: str) -> None:
    with pytest.raises(S3Error, match="InvalidBucketName"):
        check_bucket_name(name)
