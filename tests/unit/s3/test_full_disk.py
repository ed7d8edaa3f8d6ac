"""What a disk that takes no more bytes leaves behind: nothing."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from rekindle.domain.errors import RekindleError
from rekindle.s3.drop import Drop
from rekindle.s3.files import Scratch, write_json
from rekindle.s3.folder_objects import FolderObjects

#: More than a file may have, and less than is written through at once: the error comes when the buffer is flushed.
LIMIT, CONTENT = 1000, b"x" * 3000


@contextlib.contextmanager
def _full(limit: int = LIMIT) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_abandoned_drop_is_gone_also_when_its_last_bytes_find_no_room(tmp_path: Path) -> None:
    drop = Drop(tmp_path / "draft")
    with _full():
        drop.write(CONTENT)
        with pytest.raises(OSError, match="too large"):
            drop.finish(1)
        drop.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_document_that_finds_no_room_leaves_no_draft(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    with _full(), pytest.raises(OSError, match="too large"):
        write_json(tmp_path / "document.json", scratch, {"text": CONTENT.decode()})
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["alive", "scratch.lock"]
    scratch.close()


def test_an_upload_past_the_server_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    (tmp_path / "model").write_bytes(CONTENT)
    objects = FolderObjects(tmp_path / "s3", "000000000000", "us-east-1", "000000000000")
    with _full(), pytest.raises((OSError, RekindleError)):
        objects.upload(str(tmp_path / "model"), "s3://bucket/model")
    assert [p.name for p in (tmp_path / "s3" / ".rekindle" / "scratch").rglob("*") if p.is_file()] == ["alive"]
    assert not objects.has("s3://bucket/model")
    objects.close()


def test_a_file_put_there_by_hand_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    (tmp_path / "s3" / "bucket" / "file").write_bytes(b"x")
    os.utime(tmp_path / "s3" / "bucket" / "file", (1e9, 1e9))
    objects = FolderObjects(tmp_path / "s3", "000000000000", "us-east-1", "000000000000")
    with _full(0):
        assert objects.list("s3://bucket/") == [("file", 1)]
        assert objects.read("s3://bucket/file", 9) == b"x"
    objects.close()
