"""The copy of a source folder, and archives of results."""

from __future__ import annotations

import errno
import os
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rekindle.executors import archive, workdir


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "run.sh").write_text("echo")
    (folder / "deep" / "run.sh").chmod(0o555)
    (folder / "train.py").write_text("print()")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_files_with_their_modes_and_times(source: Path, tmp_path: Path) -> None:
    os.utime(source / "train.py", (1, 2))
    workdir.copy_source(str(source), str(tmp_path / "code"), ())
    assert names(tmp_path / "code") == ["deep", "deep/run.sh", "train.py"]
    # Writable, so that a job can change its copy; the source itself is never changed.
    assert (tmp_path / "code" / "deep" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "code" / "train.py").stat().st_mtime == 2
    (tmp_path / "code" / "train.py").write_text("changed")
    assert (source / "train.py").read_text() == "print()"


def test_what_is_no_source_is_left_out(source: Path, tmp_path: Path) -> None:
    for name in (".git", "__pycache__", ".venv", "home", "myenv"):
        (source / name).mkdir()
        (source / name / "file").touch()
    (source / "myenv" / "pyvenv.cfg").touch()
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(source)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        workdir.copy_source(str(source), str(tmp_path / "code"), [str(source / "home")])
    assert names(tmp_path / "code") == ["deep", "deep/run.sh", "train.py"]


def test_what_would_be_copied_is_what_is_copied(source: Path, tmp_path: Path) -> None:
    for name in (".git", "home", "deep/__pycache__"):
        (source / name).mkdir()
        (source / name / "file").touch()
    os.mkfifo(source / "deep" / "pipe")
    (source / "link").symlink_to("deep")
    found = sorted(workdir.source_files(str(source), [str(source / "home")]))
    assert found == [("deep", 4), ("link", 0), ("train.py", 7)]
    workdir.copy_source(str(source), str(tmp_path / "code"), [str(source / "home")])
    assert names(tmp_path / "code") == ["deep", "deep/run.sh", "link", "train.py"]


def test_links_stay_links_and_point_where_they_did(source: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (source / "loop").symlink_to(".")
    (source / "deep" / "inside").symlink_to("../train.py")
    (source / "outside").symlink_to("../data")
    (source / "absolute").symlink_to(tmp_path / "data")
    (source / "dangling").symlink_to("nothing")
    workdir.copy_source(str(source), str(tmp_path / "far" / "away" / "code"), ())
    links = {p.name: os.readlink(p) for p in (tmp_path / "far" / "away" / "code").rglob("*") if p.is_symlink()}
    data = str(tmp_path / "data")
    inside = {"loop": ".", "inside": "../train.py", "dangling": "nothing"}
    assert links == {**inside, "outside": data, "absolute": data}


def test_a_link_to_the_source_is_the_source(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    workdir.copy_source(str(tmp_path / "link"), str(tmp_path / "code"), ())
    assert names(tmp_path / "code") == ["deep", "deep/run.sh", "train.py"]


def test_archives_hold_files_folders_and_links_only(source: Path, tmp_path: Path) -> None:
    (source / "link").symlink_to("train.py")
    os.mkfifo(source / "pipe")
    archive.store(str(source), str(tmp_path / "out" / "model.tar.gz"))
    with tarfile.open(tmp_path / "out" / "model.tar.gz") as packed:
        assert sorted(packed.getnames()) == ["deep", "deep/run.sh", "link", "train.py"]
    assert names(tmp_path / "out") == ["model.tar.gz"]


def test_an_empty_archive_is_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    archive.store(str(tmp_path / "empty"), str(tmp_path / "model.tar.gz"))
    with tarfile.open(tmp_path / "model.tar.gz") as packed:
        assert packed.getnames() == []


def test_a_plain_folder_replaces_the_one_before(source: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    (source / "__pycache__").mkdir()
    archive.store(str(source), str(tmp_path / "model"))
    # A model may hold folders that no source has.
    assert names(tmp_path / "model") == ["__pycache__", "deep", "deep/run.sh", "train.py"]


def test_what_is_protected_can_be_removed(source: Path) -> None:
    (source / "deep" / "link").symlink_to("..")
    (source / "deep").chmod(0o500)
    workdir.remove_tree(str(source))
    workdir.remove_tree(str(source))
    assert not source.exists()


def test_a_folder_that_is_protected_itself_can_be_removed(source: Path) -> None:
    # To root nothing is protected: there this cannot fail.
    source.chmod(0o500)
    workdir.remove_tree(str(source))
    assert not source.exists()


def test_what_a_program_put_in_a_folders_place_is_removed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "file").touch()
    for name in ("link", "dangling", "file"):
        workdir.remove_tree(str(tmp_path / name))
    assert [p.name for p in tmp_path.iterdir()] == ["source"]
    assert (source / "train.py").exists()


@pytest.mark.parametrize("gone", ["train.py", "deep"])
def test_what_is_gone_before_it_is_copied_is_left_out(
    source: Path, tmp_path: Path, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copies_late(root: str, entry: os.DirEntry[str], *rest: object) -> None:
        if entry.name == gone:
            workdir.remove_tree(entry.path)
        copy_entry(root, entry, *rest)  # type: ignore[arg-type]

    copy_entry = workdir._copy_entry
    monkeypatch.setattr(workdir, "_copy_entry", copies_late)
    workdir.copy_source(str(source), str(tmp_path / "code"), ())
    left = {"train.py": ["deep", "deep/run.sh"], "deep": ["deep", "train.py"]}
    assert names(tmp_path / "code") == left[gone]


@pytest.mark.parametrize("target", ["model", "model.tar.gz"])
def test_an_archive_that_cannot_be_completed_leaves_nothing_in_the_way(
    source: Path, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(name: str) -> Callable[..., None]:
        whole = getattr(archive, name)

        def fill(*arguments: object) -> None:
            whole(*arguments)
            raise OSError(errno.ENOSPC, "No space left on device")

        return fill

    for name in ("_pack", "copy_all"):
        monkeypatch.setattr(archive, name, full(name))
    with pytest.raises(OSError, match="No space left"):
        archive.store(str(source), str(tmp_path / "out" / target))
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("target", ["model", "model.tar.gz"])
def test_what_a_killed_attempt_left_half_way_is_removed(source: Path, tmp_path: Path, target: str) -> None:
    out = tmp_path / "out"
    (out / ".model.12").mkdir(parents=True)
    (out / ".model.12" / "half").touch()
    (out / ".model.tar.gz.345").touch()
    (out / ".model.of-mine").touch()
    archive.store(str(source), str(out / target))
    kept = {"model": {".model.tar.gz.345"}, "model.tar.gz": {".model.12"}}
    assert {p.name for p in out.iterdir()} == {target, ".model.of-mine", *kept[target]}


def test_links_that_lead_in_a_circle_are_dealt_once(tmp_path: Path) -> None:
    source, outside, targets = tmp_path / "source", tmp_path / "outside", [tmp_path / "one", tmp_path / "two"]
    for folder, link, to in ((source, "loop", "."), (source / "deep", "up", ".."), (outside, "back", source / "deep")):
        folder.mkdir()
        (folder / "a.csv").write_text(folder.name)
        (folder / link).symlink_to(to)
    (source / "twin").symlink_to("deep")
    (source / "deep" / "out").symlink_to(outside)
    workdir.deal(str(source), [str(target) for target in targets])
    dealt = [{p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_symlink()} for target in targets]
    assert dealt == [{"a.csv", "deep/out/a.csv", "twin/out/a.csv"}, {"deep/a.csv", "twin/a.csv"}]
