"""Where the objects of a prefix go."""

from __future__ import annotations

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.domain.object_names import check_names, checked_relative, relative


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("data/train/a.csv", "data/train/", "a.csv"),
        ("data/train/a.csv", "data/train", "a.csv"),
        ("data/train/deep/a.csv", "data/train", "deep/a.csv"),
        ("data/train-2/a.csv", "data/train", "train-2/a.csv"),
        ("data/train.csv", "data/train.csv", "train.csv"),
        ("train.csv", "train.csv", "train.csv"),
        ("train.csv", "tr", "train.csv"),
        ("a/b", "", "a/b"),
        ("data/train/", "data/train/", ""),
        ("data/train/deep/", "data/train/", ""),
    ],
)
def test_names_relative_to_a_prefix(key: str, prefix: str, name: str) -> None:
    assert relative(key, prefix) == name


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//x", "./x", "a\0b", "x" * 256, "ü" * 128, f"a/{'x' * 256}/b"])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(InvalidValue, match="uri: 's3://b/p'"):
        checked_relative(name, "s3://b/p")
    assert checked_relative("a/b c.csv", "s3://b/p") == "a/b c.csv"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "a-b", "a/b"], "the object 'a/b' cannot be a file beside the others"),
        (["a/b/c", "a"], "the object 'a' cannot be a file beside the others"),
        (["a", "b/c", "a"], "two objects would be the file 'a'. End the prefix in '/'"),
        (["a", "b//c"], "the object 'b//c' has a name that is no path of a file"),
        (["a", "x" * 256], "at most 255 bytes"),
    ],
)
def test_names_that_cannot_be_files_of_one_folder(names: list[str], words: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        check_names(names, "s3://b/p")
    assert words in str(refusal.value)
    check_names(["a", "ab/c", "ab/d", "ab-c", "x" * 255], "s3://b/p")
