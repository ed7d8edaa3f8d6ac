"""The files below a folder, as object stores have them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rekindle.engine.trees import files_below

DEPTH = 1100


@pytest.mark.skipif(os.pathconf("/", "PC_PATH_MAX") < 4096, reason="no path is so long here")
def test_folders_may_lie_deeper_in_one_another_than_python_calls(tmp_path: Path) -> None:
    path = str(tmp_path)
    for _ in range(DEPTH):
        path += "/d"
        os.mkdir(path)
    Path(path, "file").touch()
    try:
        assert [name for name, _ in files_below(str(tmp_path))] == ["d/" * DEPTH + "file"]
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_links_to_folders_are_followed_where_that_is_asked_for_and_never_back(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "one" / "other").symlink_to("../two")
    (tmp_path / "two" / "other").symlink_to("../one")
    (tmp_path / "two" / "up").symlink_to("..")
    (tmp_path / "two" / "gone").symlink_to("none")
    (tmp_path / "two" / "alias").symlink_to("file")
    plain = {"one/file", "two/file", "two/alias"}
    assert {name for name, _ in files_below(str(tmp_path))} == plain
    linked = {"one/other/file", "one/other/alias", "two/other/file"}
    assert {name for name, _ in files_below(str(tmp_path), through_links=True)} == plain | linked
