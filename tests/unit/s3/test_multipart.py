from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rekindle.s3 import multipart
from rekindle.s3.checksums import from_digest, new_hasher
from rekindle.s3.errors import S3Error
from rekindle.s3.metadata import Metadata
from rekindle.s3.multipart import ABANDONED_SECONDS, MIN_PART_BYTES, REMEMBER_SECONDS, Chosen, Promised, Upload, Uploads
from rekindle.s3.payload import Received
from support.object_store import Shelf, shelf

LARGE = b"l" * MIN_PART_BYTES


@pytest.fixture
def made() -> Iterator[Shelf]:
    with shelf() as store:
        yield store


@pytest.fixture
def uploads(made: Shelf) -> Uploads:
    return Uploads(made.layout, made.bucket)


def start(uploads: Uploads, algorithm: str | None = None) -> Upload:
    return uploads.start("k", Metadata("", user={"a": "b"}), algorithm, "FULL_OBJECT" if algorithm else None)


def add(made: Shelf, uploads: Uploads, upload: Upload, number: int, content: bytes) -> Chosen:
    checksum = None
    if upload.algorithm:
        hasher = new_hasher(upload.algorithm)
        hasher.update(content)
        checksum = from_digest(upload.algorithm, hasher.digest())
    md5 = hashlib.md5(content).hexdigest()
    part = uploads.add(upload, number, made.draft(content), Received(len(content), md5, checksum))
    return Chosen(part.number, f'"{part.md5}"')


def test_parts_become_one_object(made: Shelf, uploads: Uploads) -> None:
    upload = start(uploads, "CRC64NVME")
    chosen = [add(made, uploads, upload, 7, LARGE), add(made, uploads, upload, 9, b"end")]
    assert made.keys() == []
    stored = uploads.complete(upload.id, "k", chosen, Promised(size=MIN_PART_BYTES + 3), None)
    md5s = b"".join(hashlib.md5(part).digest() for part in (LARGE, b"end"))
    assert stored.metadata.etag == hashlib.md5(md5s).hexdigest() + "-2"
    assert stored.metadata.parts == (MIN_PART_BYTES, 3)
    assert stored.metadata.user == {"a": "b"}
    hasher = new_hasher("CRC64NVME")
    hasher.update(LARGE + b"end")
    assert stored.metadata.checksum == from_digest("CRC64NVME", hasher.digest())
    assert made.get("k") == LARGE + b"end"
    assert made.bucket.find("k") == stored
    assert uploads.all() == []


def test_a_part_sent_again_replaces_the_first(made: Shelf, uploads: Uploads) -> None:
    upload = start(uploads)
    first = add(made, uploads, upload, 1, b"one")
    second = add(made, uploads, upload, 1, b"two")
    assert [part.size for part in uploads.parts(upload)] == [3]
    with pytest.raises(S3Error, match="InvalidPart"):
        uploads.complete(upload.id, "k", [first], Promised(), None)
    uploads.complete(upload.id, "k", [second], Promised(), None)
    assert made.get("k") == b"two"


def test_one_part_sent_from_many_sides_at_once(made: Shelf, uploads: Uploads) -> None:
    upload = start(uploads)
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda n: add(made, uploads, upload, 1, b"%d" % n), range(200)))
    assert len(sent) == 200
    (part,) = uploads.parts(upload)
    uploads.complete(upload.id, "k", [Chosen(1, part.md5)], Promised(), None)
    assert hashlib.md5(made.get("k")).hexdigest() == part.md5


def test_parts_and_aborts_at_once_end_as_sent_or_as_no_such_upload(made: Shelf, uploads: Uploads) -> None:
    def race(number: int, upload: Upload) -> str:
        try:
            if number % 3 == 2:
                uploads.abort(upload)
            else:
                add(made, uploads, upload, 1, b"one")
        except S3Error as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(8) as pool:
        for _ in range(60):
            upload = start(uploads)
            assert set(pool.map(race, range(9), [upload] * 9)) <= {"done", "NoSuchUpload"}


def test_completing_again_gives_the_same_answer_for_a_day(made: Shelf, uploads: Uploads) -> None:
    upload = start(uploads)
    chosen = [add(made, uploads, upload, 1, b"one")]
    stored = uploads.complete(upload.id, "k", chosen, Promised(), None)
    assert uploads.complete(upload.id, "k", chosen, Promised(), None) == stored
    made.clock.sleep(REMEMBER_SECONDS + 1)
    start(uploads)
    with pytest.raises(S3Error, match="NoSuchUpload"):
        uploads.complete(upload.id, "k", chosen, Promised(), None)


def test_what_a_client_left_is_given_up_a_week_after_its_last_part(made: Shelf, uploads: Uploads) -> None:
    left, slow = start(uploads), start(uploads)
    add(made, uploads, left, 1, b"one")
    made.clock.sleep(ABANDONED_SECONDS - 60)
    chosen = [add(made, uploads, slow, 1, b"one")]
    start(uploads)
    assert [len(uploads.parts(upload)) for upload in (left, slow)] == [1, 1], "a week has not gone by"
    made.clock.sleep(120)
    newest = start(uploads)
    with pytest.raises(S3Error, match="NoSuchUpload"):
        uploads.get(left.id, "k")
    assert {slow.id, newest.id} < {path.name for path in made.layout.uploads("shelf").iterdir()}
    assert not any(made.layout.uploads("shelf").glob(f"{left.id}*"))
    assert uploads.complete(slow.id, "k", chosen, Promised(), None).size == 3


def test_an_upload_that_somebody_goes_on_with_at_the_last_moment_is_not_given_up(
    made: Shelf, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, judged, chosen = start(uploads), uploads._is_old, []

    def and_then_goes_on(upload_id: str, now: float) -> bool:
        old = judged(upload_id, now)
        if not chosen:
            chosen.append(add(made, uploads, slow, 1, b"one"))
        return old

    made.clock.sleep(ABANDONED_SECONDS + 60)
    monkeypatch.setattr(uploads, "_is_old", and_then_goes_on)
    start(uploads)
    assert uploads.complete(slow.id, "k", chosen, Promised(), None).size == 3


def test_to_begin_an_upload_reads_nothing_of_those_of_the_day(
    made: Shelf, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        upload = start(uploads)
        uploads.complete(upload.id, "k", [add(made, uploads, upload, 1, b"one")], Promised(), None)
    opened: list[Path] = []
    monkeypatch.setattr(multipart, "read_json", lambda path: opened.append(path))
    start(uploads)
    assert opened == []


def test_completing_from_two_sides_at_once(made: Shelf, uploads: Uploads) -> None:
    upload = start(uploads)
    chosen = [add(made, uploads, upload, 1, LARGE), add(made, uploads, upload, 2, b"end")]
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: uploads.complete(upload.id, "k", chosen, Promised(), None).metadata.etag, range(4)))
    assert len(found) == 1
    assert made.get("k") == LARGE + b"end"


def test_a_part_that_comes_after_the_end_is_refused_and_not_kept(made: Shelf, uploads: Uploads) -> None:
    upload = start(uploads)
    uploads.complete(upload.id, "k", [add(made, uploads, upload, 1, b"one")], Promised(), None)
    with pytest.raises(S3Error, match="NoSuchUpload"):
        add(made, uploads, upload, 2, b"late")
    left = made.layout.uploads(made.bucket.name) / upload.id
    assert {path.name for path in left.iterdir()} == {"completed.json", "lock"}
    assert made.get("k") == b"one"


def test_a_refused_completion_can_be_tried_again(made: Shelf, uploads: Uploads) -> None:
    upload = start(uploads)
    small, end = add(made, uploads, upload, 1, b"small"), add(made, uploads, upload, 2, b"end")
    with pytest.raises(S3Error, match="EntityTooSmall"):
        uploads.complete(upload.id, "k", [small, end], Promised(), None)
    with pytest.raises(S3Error, match="InvalidPartOrder"):
        uploads.complete(upload.id, "k", [end, small], Promised(), None)
    with pytest.raises(S3Error, match="InvalidPart"):
        uploads.complete(upload.id, "k", [small, Chosen(3, end.etag)], Promised(), None)
    with pytest.raises(S3Error, match="x-amz-mp-object-size"):
        uploads.complete(upload.id, "k", [end], Promised(size=4), None)
    uploads.complete(upload.id, "k", [end], Promised(size=3), None)
    assert made.get("k") == b"end"


def test_an_aborted_upload_is_gone(made: Shelf, uploads: Uploads) -> None:
    upload = start(uploads)
    add(made, uploads, upload, 1, b"one")
    uploads.abort(upload)
    assert uploads.all() == []
    with pytest.raises(S3Error, match="NoSuchUpload"):
        add(made, uploads, upload, 2, b"two")
    with pytest.raises(S3Error, match="NoSuchUpload"):
        uploads.abort(upload)


@pytest.mark.parametrize("upload_id", ["", "..", "../../../etc", "x" * 59, "\0"])
def test_an_id_that_was_never_given(uploads: Uploads, upload_id: str) -> None:
    with pytest.raises(S3Error, match="NoSuchUpload"):
        uploads.get(upload_id, "k")
    with pytest.raises(S3Error, match="NoSuchUpload"):
        uploads.complete(upload_id, "k", [Chosen(1, "e")], Promised(), None)


def test_an_upload_belongs_to_its_key(uploads: Uploads) -> None:
    upload = start(uploads)
    with pytest.raises(S3Error, match="NoSuchUpload"):
        uploads.get(upload.id, "other")
