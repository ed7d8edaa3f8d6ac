from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.s3.bucket_folder import HASHED_BY_HAND_BYTES
from rekindle.s3.errors import S3Error
from rekindle.s3.files import sync_folder_if_there
from rekindle.s3.metadata import Metadata, Stored
from rekindle.s3.multipart import Uploads
from support.object_store import ACCOUNT, Shelf, memory_folder, shelf

keys = st.sampled_from(
    ["a", "a/b", "a/b/c", "a/", "a//", "A", "..", "../a", ".", "b", "b%=", "b/x", "%", "é/ü", "z" * 300, "z" * 300 + "/z"]
)
steps = st.lists(st.tuples(st.sampled_from(["put", "put", "delete"]), keys, st.binary(max_size=3)), max_size=25)


@given(steps)
def test_a_bucket_is_a_dictionary(taken: list[tuple[str, str, bytes]]) -> None:
    with shelf() as made:
        model: dict[str, bytes] = {}
        for verb, key, content in taken:
            if verb == "put":
                made.put(key, content, etag=content.hex())
                model[key] = content
            else:
                assert made.bucket.delete(key) == (model.pop(key, None) is not None)
            assert made.keys() == sorted(model)
        for key, content in model.items():
            assert made.get(key) == content
            stored = made.bucket.find(key)
            assert stored is not None
            assert stored.metadata.etag == content.hex()
        for key in list(model):
            made.bucket.delete(key)
        assert os.listdir(made.root) == []
        assert list(made.layout.metadata("shelf").rglob("*.json")) == []


def test_objects_are_ordinary_files() -> None:
    with shelf() as made:
        made.put("data/train.csv", b"1,2")
        assert (made.root / "data" / "train.csv").read_bytes() == b"1,2"


def test_a_file_put_there_by_hand_is_an_object() -> None:
    with shelf() as made:
        (made.root / "by").mkdir()
        (made.root / "by" / "hand").write_bytes(b"abc")
        assert made.keys() == ["by/hand"]
        stored = made.bucket.find("by/hand")
        assert stored is not None
        assert stored.metadata.etag == hashlib.md5(b"abc").hexdigest()
        (made.root / "by" / "hand").write_bytes(b"abcd")
        changed = made.bucket.find("by/hand")
        assert changed is not None
        assert changed.metadata.etag == hashlib.md5(b"abcd").hexdigest()


def test_an_object_edited_by_hand_describes_itself_again() -> None:
    with shelf() as made:
        made.put("a", b"old", etag="old", user={"x": "y"})
        (made.root / "a").write_bytes(b"newer")
        stored = made.bucket.find("a")
        assert stored is not None
        assert stored.metadata == Metadata(hashlib.md5(b"newer").hexdigest(), headers={"content-type": "binary/octet-stream"})


@pytest.mark.parametrize("left", [b"", b'{"key":', b"{}", b"[]", b"\xff"])
def test_a_description_that_a_power_failure_cut_short_is_as_none(left: bytes) -> None:
    with shelf() as made:
        made.put("key", b"abc", etag="e")
        (document,) = made.layout.metadata("shelf").rglob("*.json")
        document.write_bytes(left)
        stored = made.bucket.find("key")
        assert stored is not None
        assert stored.metadata.etag == hashlib.md5(b"abc").hexdigest()
        assert made.get("key") == b"abc"


def test_a_large_file_by_hand_is_not_read_for_its_etag() -> None:
    with shelf() as made:
        with (made.root / "large").open("wb") as out:
            out.truncate(HASHED_BY_HAND_BYTES + 1)
        first, second = made.bucket.find("large"), made.bucket.find("large")
        assert first is not None
        assert first == second
        assert first.metadata.etag.endswith("-1")


def test_links_are_not_followed() -> None:
    with shelf() as made, memory_folder() as outside:
        (outside / "secret").write_bytes(b"secret")
        (made.root / "file").symlink_to(outside / "secret")
        (made.root / "folder").symlink_to(outside)
        assert made.keys() == []
        assert made.get("file") is None
        assert made.get("folder/secret") is None
        assert not made.bucket.delete("folder/secret")
        with pytest.raises(S3Error, match="symbolic link"):
            made.put("folder/new", b"x")
        made.put("file", b"mine")
        assert made.get("file") == b"mine"
        assert sorted(os.listdir(outside)) == ["secret"]
        assert (outside / "secret").read_bytes() == b"secret"


def test_a_reader_keeps_what_it_opened() -> None:
    with shelf() as made:
        made.put("a", b"old")
        opened = made.bucket.open("a")
        assert opened is not None
        made.put("a", b"new")
        made.bucket.delete("a")
        with opened.file:
            assert opened.file.read() == b"old"


def test_a_document_without_its_file_changes_nothing() -> None:
    """A crash between writing the metadata and the rename leaves the object that was there."""
    with shelf() as made:
        made.put("a", b"old", etag="old")
        kept = {path: path.read_bytes() for path in made.layout.metadata("shelf").rglob("*.json")}

        def crash(_: Stored | None) -> None:
            copied = made.layout.metadata("shelf")
            kept.update({path: path.read_bytes() for path in copied.rglob("*.json")})
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            made.bucket.put("a", made.draft(b"new"), Metadata("new"), crash)
        assert len(kept) == 2
        for path, content in kept.items():
            path.write_bytes(content)
        stored = made.bucket.find("a")
        assert stored is not None
        assert stored.metadata.etag == "old"
        assert made.get("a") == b"old"


def test_a_crash_while_a_file_moves_aside_loses_nothing() -> None:
    with shelf() as made:
        made.put("a", b"file")
        made.put("a/b", b"below")
        assert sorted(os.listdir(made.root)) == ["a", "a%="]
        # A crash after the file returned to its natural path, before the old name was removed:
        made.bucket.delete("a/b")
        shutil.copy2(made.root / "a%=", made.root / "a")
        assert made.keys() == ["a"]
        assert made.bucket.delete("a")
        assert made.keys() == []


def test_the_last_of_concurrent_puts_wins_whole() -> None:
    with shelf() as made:
        stop = threading.Event()
        torn: list[bytes] = []

        def read() -> None:
            while not stop.is_set():
                opened = made.bucket.open("k")
                if opened is not None:
                    with opened.file:
                        content = opened.file.read()
                    if hashlib.md5(content).hexdigest() != opened.stored.metadata.etag:
                        torn.append(content)

        def write(number: int) -> None:
            for step in range(20):
                content = bytes([number]) * (1000 + step)
                made.bucket.put("k", made.draft(content), Metadata(hashlib.md5(content).hexdigest()))
                made.put(f"k/{number}/{step}", b"")
                made.bucket.delete(f"k/{number}/{step}")

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        stop.set()
        for reader in readers:
            reader.join()
        assert torn == []
        assert made.keys() == ["k"]
        assert len(list(made.layout.metadata("shelf").rglob("*.json"))) == 1


def test_a_folder_that_gave_way_needs_no_sync(tmp_path: Path) -> None:
    """Between a deletion and the sync of its folder another may have removed the folder, and put a file in its place."""
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "gone", tmp_path / "file" / "below", tmp_path):
        sync_folder_if_there(path)


def test_only_one_of_many_may_create() -> None:
    with shelf() as made:

        def absent(stored: Stored | None) -> None:
            if stored is not None:
                raise S3Error("PreconditionFailed")

        def create(number: int) -> bool:
            try:
                made.bucket.put("k", made.draft(bytes([number])), Metadata(str(number)), absent)
            except S3Error:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(create, range(16)))
        assert outcomes.count(True) == 1
        assert made.get("k") == bytes([outcomes.index(True)])


def test_what_a_dead_process_left_unfinished_is_swept() -> None:
    with memory_folder() as folder:
        first = Shelf(folder)
        left = first.draft(b"unfinished")
        second = Shelf(folder)
        assert left.exists()
        first.layout.scratch.close()
        abandoned = folder / ".rekindle" / "scratch" / "dead"
        abandoned.mkdir()
        (abandoned / "draft").write_bytes(b"x")
        third = Shelf(folder)
        assert not abandoned.exists()
        second.layout.scratch.close()
        third.layout.scratch.close()


def test_a_bucket_with_anything_in_it_stays() -> None:
    with shelf() as made:
        (made.root / "not%41object").write_bytes(b"by hand")
        assert made.keys() == []
        with pytest.raises(S3Error, match="BucketNotEmpty"):
            made.buckets.delete("shelf", ACCOUNT)
        (made.root / "not%41object").unlink()
        (made.root / "empty" / "folders").mkdir(parents=True)
        made.buckets.delete("shelf", ACCOUNT)
        assert made.buckets.of(ACCOUNT) == []
        with pytest.raises(S3Error, match="NoSuchBucket"):
            made.put("a", b"")


def test_a_bucket_that_is_deleted_and_made_again_meanwhile_takes_objects_whole_or_not_at_all() -> None:
    with shelf() as made:
        done = threading.Event()

        def upload() -> list[str]:
            seen = []
            while not done.is_set():
                try:
                    made.put("key", b"x", etag="told")
                    stored = made.bucket.find("key")
                    seen.append(stored.metadata.etag if stored else "gone")
                    Uploads(made.layout, made.bucket).start("key", Metadata("e"), None, None)
                except S3Error as error:
                    seen.append(error.code)
            return seen

        with ThreadPoolExecutor() as threads:
            uploads = [threads.submit(upload) for _ in range(2)]
            for _ in range(50):
                with contextlib.suppress(S3Error):
                    made.bucket.delete("key")
                    made.buckets.delete("shelf", ACCOUNT)
                made.buckets.create("shelf", ACCOUNT, "us-east-1")
            done.set()
            seen = {code for found in uploads for code in found.result()}
        assert seen <= {"told", "gone", "NoSuchBucket"}


def test_a_folder_made_by_hand_is_a_bucket() -> None:
    with shelf() as made:
        (made.root.parent / "by-hand").mkdir()
        (made.root.parent / "Not_A_Bucket").mkdir()
        assert [bucket.name for bucket in made.buckets.of(ACCOUNT)] == ["by-hand", "shelf"]
