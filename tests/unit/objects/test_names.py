"""Where the objects of a prefix go."""

from __future__ import annotations

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.objects.names import checked_relative, relative


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


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//x", "./x", "a\0b"])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(InvalidValue, match="uri: 's3://b/p'"):
        checked_relative(name, "s3://b/p")
    assert checked_relative("a/b c.csv", "s3://b/p") == "a/b c.csv"
