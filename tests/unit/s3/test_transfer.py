"""Objects moved straight between the store's folder and a training job's, by the process that does it."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.engine.clock import SystemClock
from rekindle.engine.room import NO_ROOM
from rekindle.s3.buckets import Buckets
from rekindle.s3.folder_objects import FolderObjects
from rekindle.s3.layout import Layout
from rekindle.s3.transfer import main

ACCOUNT, REGION = "000000000000", "us-east-1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    layout = Layout(root, SystemClock())
    Buckets(layout, region=REGION, default_account=ACCOUNT).create("bucket", ACCOUNT, REGION)
    Buckets(layout, region=REGION, default_account=ACCOUNT).create("others", "111111111111", REGION)
    layout.scratch.close()
    return root


def move(root: Path, *arguments: object) -> int:
    return main(str(root), ACCOUNT, REGION, ACCOUNT, *map(str, arguments))


def test_what_goes_in_comes_out_and_is_an_object(root: Path, tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    (tmp_path / "model").write_bytes(content)
    assert move(root, "upload", tmp_path / "model", "s3://bucket/out/job/model.tar.gz") == 0
    assert move(root, "upload", tmp_path / "model", "s3://bucket/out/job/model.tar.gz", tmp_path / "give-up", 120.0) == 0
    assert move(root, "download", "s3://bucket/out/job/model.tar.gz", tmp_path / "in") == 0
    assert (tmp_path / "in" / "model.tar.gz").read_bytes() == content
    layout = Layout(root, SystemClock())
    found = Buckets(layout, region=REGION, default_account=ACCOUNT).folder("bucket", ACCOUNT).find("out/job/model.tar.gz")
    layout.scratch.close()
    assert found is not None
    assert found.metadata.etag == hashlib.md5(content).hexdigest()


def test_a_folder_and_several_prefixes_at_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "a").write_text("1")
    (tmp_path / "tree" / "deep" / "b").write_text("2")
    (tmp_path / "tree" / "latest").symlink_to("gone")
    assert move(root, "upload", tmp_path / "tree", "s3://bucket/data/") == 0
    pairs = ("s3://bucket/data", tmp_path / "x", "s3://bucket/data/deep/b", tmp_path / "y")
    assert move(root, "download", *pairs) == 0
    assert sorted(p.relative_to(tmp_path / "x").as_posix() for p in (tmp_path / "x").rglob("*")) == ["a", "deep", "deep/b"]
    assert (tmp_path / "y" / "b").read_text() == "2"


def test_what_a_link_to_a_folder_leads_to_is_brought_in_with_a_folder(root: Path, tmp_path: Path) -> None:
    """Of an uncompressed model it was left out, without a word."""
    (tmp_path / "model" / "step-2").mkdir(parents=True)
    (tmp_path / "model" / "step-2" / "weights").write_text("7")
    (tmp_path / "model" / "latest").symlink_to("step-2")
    assert move(root, "upload", tmp_path / "model", "s3://bucket/model/") == 0
    assert move(root, "download", "s3://bucket/model/latest", tmp_path / "x") == 0
    assert (tmp_path / "x" / "weights").read_text() == "7"


def test_a_file_whose_name_is_no_text_is_told_by_name(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / os.fsdecode(b"m-\xff")).write_text("1")
    assert move(root, "upload", tmp_path / "tree", "s3://bucket/model") == 1
    told = capsys.readouterr().err
    assert told.startswith(r"uri: 's3://bucket/model/m-\udcff': the file's name is not UTF-8")
    assert told.count("\n") == 1
    with closing(FolderObjects(root, ACCOUNT, REGION, ACCOUNT)) as objects:
        objects.remove(f"s3://bucket/{os.fsdecode(bytes([255]))}")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://bucket/none", "uri: 's3://bucket/none': no objects are found there"),
        ("s3://missing-bucket/x", "uri: 's3://missing-bucket/x': The specified bucket does not exist"),
        ("s3://others/x", "uri: 's3://others/x': Access Denied"),
        ("https://bucket/x", "uri: 'https://bucket/x': not a URI of the form s3://bucket/prefix"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], uri: str, words: str
) -> None:
    assert move(root, "download", uri, tmp_path / "x") == 1
    told = capsys.readouterr().err
    assert told.startswith(words)
    assert told.count("\n") == 1


def test_a_store_that_cannot_be_opened_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert move(tmp_path / "file" / "store", "upload", tmp_path / "file", "s3://bucket/x") == 1
    assert capsys.readouterr().err == f"[Errno 17] File exists: '{tmp_path}/file'\n"


@pytest.mark.parametrize("manifest", [False, True])
def test_objects_that_cannot_be_files_side_by_side_are_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], manifest: bool
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "list").write_text('[{"prefix": "s3://bucket/data/"}, "a/b", "a"]')
    for key in ("data/a", "data/a/b"):
        assert move(root, "upload", tmp_path / "file", f"s3://bucket/{key}") == 0
    assert move(root, "upload", tmp_path / "list", "s3://bucket/list") == 0
    uri = "manifest+s3://bucket/list" if manifest else "s3://bucket/data"
    assert move(root, "download", uri, tmp_path / "x") == 1
    told = capsys.readouterr().err
    assert f"the object {'a' if manifest else 'a/b'!r} cannot be a file beside the others" in told
    assert told.count("\n") == 1


def test_nothing_is_left_under_construction(root: Path, tmp_path: Path) -> None:
    assert move(root, "upload", tmp_path / "store" / "nothing", "s3://bucket/x") == 1
    assert [p for p in (root / ".rekindle" / "scratch").iterdir() if p.is_dir()] == []


def test_it_starts_without_what_is_heavy() -> None:
    code = Path(sys.modules["rekindle"].__path__[0]).parent
    probe = f"import sys; sys.path.append({str(code)!r}); import rekindle.s3.transfer; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", probe], capture_output=True, text=True, check=True)
    assert not {"numpy", "boto3", "botocore", "starlette", "sqlalchemy"} & set(done.stdout.split())


def test_a_manifest_brings_what_it_lists_and_nothing_else(root: Path, tmp_path: Path) -> None:
    for name in ("a", "a2", "deep/b", "c"):
        put(root, tmp_path, f"data/{name}", name)
    put(root, tmp_path, "list.json", '[{"prefix": "s3://bucket/data/"}, "a", "deep/b"]')
    assert move(root, "download", "manifest+s3://bucket/list.json", tmp_path / "in") == 0
    found = {p.relative_to(tmp_path / "in").as_posix(): p.read_text() for p in (tmp_path / "in").rglob("*") if p.is_file()}
    assert found == {"a": "a", "deep/b": "deep/b"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"prefix": "s3://bucket/data/"}, "a", "none"]', "s3://bucket/data/none"),
        ('[{"prefix": "s3://bucket/data/"}, "../a"]', "no path of a file"),
        ("not json", "not a manifest"),
    ],
)
def test_a_manifest_that_cannot_be_followed_says_why(
    root: Path, tmp_path: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(root, tmp_path, "data/a", "a")
    put(root, tmp_path, "list.json", content)
    assert move(root, "download", "manifest+s3://bucket/list.json", tmp_path / "in") == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_another_account_has_its_own_buckets(root: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    theirs = (str(root), "111111111111", REGION, ACCOUNT)
    assert main(*theirs, "upload", str(tmp_path / "x"), "s3://others/x") == 0
    assert main(*theirs, "upload", str(tmp_path / "x"), "s3://bucket/x") == 1
    assert move(root, "download", "s3://others/x", tmp_path / "in") == 1


def put(root: Path, folder: Path, key: str, content: str) -> None:
    (folder / "draft").write_text(content)
    assert move(root, "upload", folder / "draft", f"s3://bucket/{key}") == 0


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("data/a", "data/a/b"), "the object 'a/b' cannot be a file beside the others"),
        (("data/a", "data/b//c"), "the object 'b//c' has a name that is no path"),
        (("data/a", "data/../../c"), "the object '../../c' has a name that is no path"),
        (("data/a", f"data/{'n' * 256}"), "too long for a file"),
        (("data/data.csv", "data.csv"), "two objects would be the file 'data.csv'"),
    ],
)
def test_what_could_not_be_brought_is_refused_when_it_is_looked_for(
    root: Path, tmp_path: Path, keys: tuple[str, ...], words: str
) -> None:
    for key in keys:
        put(root, tmp_path, f"in/{key}", "x")
    with closing(FolderObjects(root, ACCOUNT, REGION, ACCOUNT)) as objects:
        with pytest.raises(InvalidValue, match=words):
            objects.check("s3://bucket/in/data")
        with pytest.raises(InvalidValue, match=words):
            objects.download("s3://bucket/in/data", str(tmp_path / "in"))
    assert not (tmp_path / "in").exists()


def test_a_full_disk_keeps_nothing_of_inputs_and_is_told_apart(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        assert move(root, "upload", tmp_path / name, f"s3://bucket/data/{name}") == 0
    copy = shutil.copyfileobj

    def full(source: Any, target: Any, length: int) -> None:
        if Path(target.name).name == "b":
            raise OSError(errno.ENOSPC, "No space left on device")
        copy(source, target, length)

    monkeypatch.setattr(shutil, "copyfileobj", full)
    pairs = ("s3://bucket/data/a", tmp_path / "x", "s3://bucket/data", tmp_path / "y")
    assert move(root, "download", *pairs) == NO_ROOM
    assert not list((tmp_path / "x").rglob("*")) + list((tmp_path / "y").rglob("*"))
    assert capsys.readouterr().err == "[Errno 28] No space left on device\n"
