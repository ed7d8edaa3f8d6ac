"""The files below a folder, as object stores have them."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from functools import partial
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


def test_folders_that_link_to_one_another_by_more_ways_than_files_in_the_world_are_refused(tmp_path: Path) -> None:
    for at in range(12):
        (tmp_path / f"{at}").mkdir()
        (tmp_path / f"{at}" / "one").symlink_to(f"../{at + 1}")
        (tmp_path / f"{at}" / "other").symlink_to(f"../{at + 1}")
    with pytest.raises(OSError, match="links lead to it by more than 1,000 ways"):
        list(files_below(str(tmp_path), through_links=True))
    assert not list(files_below(str(tmp_path)))


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be read, between two others."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    monkeypatch.setattr(os, "scandir", partial(_scandir, os.scandir, tmp_path / "b"))
    return tmp_path / "b"


def _scandir(scandir: Callable[[str], object], closed: Path, path: str) -> object:
    if path == str(closed):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return scandir(path)


def test_a_folder_that_cannot_be_read_is_told_of_once_all_others_were(closed: Path) -> None:
    files = files_below(str(closed.parent))
    assert {next(files)[0], next(files)[0]} == {"a/file", "c/file"}
    with pytest.raises(PermissionError, match=f"{closed}"):
        next(files)


def test_nor_does_one_that_may_be_read_and_not_searched_keep_others_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    stat = os.stat

    def refusing(path: str | os.PathLike[str], **options: bool) -> os.stat_result:
        if Path(path).is_relative_to(tmp_path / "b"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return stat(path, **options)

    # As it is for all but root, who runs tests in containers.
    monkeypatch.setattr(os, "stat", refusing)
    files = files_below(str(tmp_path))
    assert {next(files)[0], next(files)[0]} == {"a/file", "c/file"}
    with pytest.raises(PermissionError, match="b"):
        next(files)
