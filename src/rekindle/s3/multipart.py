"""Multipart uploads: parts wait in a folder of their own until one rename makes them an object.

A part is a file whose name tells all of it: number, time, MD5 and checksum. The upload's other facts are in `upload.json`;
when the upload is complete, `completed.json` remains for a day so that a client which lost the answer may ask again. An upload
with which nobody goes on for a week is given up.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekindle.s3 import checksums
from rekindle.s3 import metadata as documents
from rekindle.s3.bucket_folder import BucketFolder, Check, unless_deleted
from rekindle.s3.checksums import Checksum, Kind
from rekindle.s3.drop import Drop
from rekindle.s3.errors import S3Error
from rekindle.s3.files import locked, read_json, remove_quietly, sync_folder_if_there, write_json
from rekindle.s3.layout import Layout
from rekindle.s3.metadata import Metadata, Stored
from rekindle.s3.payload import Received

#: S3's least size of a part that is not the last.
MIN_PART_BYTES = 5 << 20
#: S3's highest part number.
MAX_PARTS = 10_000
#: How long a completed upload answers a repeated request.
REMEMBER_SECONDS = 86_400.0
#: How long an upload waits for its next part, or for its end: a client that was killed can give up nothing.
ABANDONED_SECONDS = 7 * 86_400.0

_ID = re.compile(r"[0-9a-f]{16}[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Upload:
    """A multipart upload under way."""

    id: str
    key: str
    initiated: float
    metadata: Metadata
    algorithm: str | None
    kind: Kind | None


@dataclass(frozen=True)
class Part:
    """A part that has arrived; `md5` in hex."""

    number: int
    path: Path
    size: int
    modified: float
    md5: str
    checksum: Checksum | None


@dataclass(frozen=True)
class Chosen:
    """A part as the client names it when it completes the upload."""

    number: int
    etag: str
    checksum: Checksum | None = None


@dataclass(frozen=True)
class Promised:
    """What the client says the completed object will be."""

    size: int | None = None
    kind: str | None = None
    checksum: Checksum | None = None


class Uploads:
    """The multipart uploads into one bucket."""

    def __init__(self, layout: Layout, bucket: BucketFolder) -> None:
        self._layout = layout
        self._bucket = bucket
        self._root = layout.uploads(bucket.name)

    def start(self, key: str, metadata: Metadata, algorithm: str | None, kind: Kind | None) -> Upload:
        """Begin an upload."""
        self._forget_old()
        upload = Upload(self._new_id(), key, self._layout.clock.now(), metadata, algorithm, kind)
        with unless_deleted(self._bucket.name):
            write_json(self._root / upload.id / "upload.json", self._layout.scratch, _to_document(upload))
        return upload

    def _new_id(self) -> str:
        # The time in front makes the order of ids the order of age.
        return f"{self._layout.stamps.new():016x}{secrets.token_urlsafe(32)}"

    def get(self, upload_id: str, key: str) -> Upload:
        """The upload under way with this id, which must be one of this key."""
        upload = self._read(upload_id)
        if upload is None or upload.key != key:
            raise S3Error("NoSuchUpload", UploadId=upload_id)
        return upload

    def all(self) -> list[Upload]:
        """All uploads under way, in S3's order: by key, then by age."""
        found = (self._read(name) for name in self._ids())
        return sorted((u for u in found if u), key=lambda upload: (upload.key, upload.id))

    def add(self, upload: Upload, number: int, draft: Path, received: Received) -> Part:
        """Make the finished file `draft` the part of that number, in place of an earlier one."""
        checksum = received.checksum if received.checksum and received.checksum.algorithm == upload.algorithm else None
        name = f"{number:05d}.{self._layout.stamps.new():016x}.{received.md5}.{checksum.digest.hex() if checksum else ''}"
        path = self._root / upload.id / name
        # Asked before others can see it: a later part of that number, or the upload's end, may remove it at any time.
        modified = draft.lstat().st_mtime
        try:
            draft.replace(path)
        except FileNotFoundError:
            raise S3Error("NoSuchUpload", UploadId=upload.id) from None
        if not (path.parent / "upload.json").exists():
            # Completed since this part's body began: nobody would ever take it away.
            remove_quietly(path)
            raise S3Error("NoSuchUpload", UploadId=upload.id)
        sync_folder_if_there(path.parent)
        for entry in _scan(path.parent):
            if entry.name.startswith(f"{number:05d}.") and entry.name < name:
                remove_quietly(Path(entry.path))
        return _part(path, upload.algorithm, received.size, modified)

    def parts(self, upload: Upload) -> list[Part]:
        """The parts that have arrived, by number; of two with one number, the later."""
        latest: dict[int, Part] = {}
        for entry in sorted(_scan(self._root / upload.id), key=lambda entry: entry.name):
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat()
                part = _part(Path(entry.path), upload.algorithm, found.st_size, found.st_mtime)
                latest[part.number] = part
        return list(latest.values())

    def abort(self, upload: Upload) -> None:
        """Give the upload up."""
        with self._held(upload.id):
            self.get(upload.id, upload.key)
            self._discard(self._root / upload.id)

    def complete(self, upload_id: str, key: str, chosen: Sequence[Chosen], promise: Promised, check: Check | None) -> Stored:
        """Join the chosen parts to the object. Completing the same upload again gives the same answer."""
        with self._held(upload_id):
            done = self._completed(upload_id, key)
            if done is not None:
                return done
            upload = self.get(upload_id, key)
            parts = _choose(self.parts(upload), chosen)
            metadata = _joined(upload, parts)
            _check_promise(promise, metadata)
            stored = self._join(upload, parts, metadata, check)
            self._remember(upload, stored)
            return stored

    def _join(self, upload: Upload, parts: Sequence[Part], metadata: Metadata, check: Check | None) -> Stored:
        drop = Drop(self._layout.scratch.new())
        try:
            for part in parts:
                drop.append(part.path)
            drop.finish(self._layout.stamps.new())
            return self._bucket.put(upload.key, drop.path, metadata, check)
        except FileNotFoundError:
            raise S3Error("InvalidPart", "A part was replaced while the upload was being completed.") from None
        finally:
            drop.abandon()

    def _remember(self, upload: Upload, stored: Stored) -> None:
        folder = self._root / upload.id
        document = {
            "size": stored.size,
            "mtime_ns": stored.identity.mtime_ns,
            "at": self._layout.clock.now(),
            **documents.to_document(upload.key, stored.metadata),
        }
        write_json(folder / "completed.json", self._layout.scratch, document)
        remove_quietly(folder / "upload.json")
        for entry in _scan(folder):
            remove_quietly(Path(entry.path))

    def _completed(self, upload_id: str, key: str) -> Stored | None:
        document = read_json(self._root / upload_id / "completed.json")
        if document is None or document["key"] != key:
            return None
        identity = documents.Identity(document.pop("size"), document.pop("mtime_ns"))
        document.pop("at")
        return Stored(key, identity, documents.from_document(document))

    def _ids(self) -> list[str]:
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            # No upload has begun yet, or the bucket has just been deleted.
            return []
        return [name for name in names if _ID.fullmatch(name)]

    def _forget_old(self) -> None:
        """What was completed a day ago, and what nobody has gone on with for a week. An id tells when its upload began: nothing
        is read of those that are younger, however many they are."""
        now = self._layout.clock.now()
        for upload_id in self._ids():
            if now - _moment(upload_id) > REMEMBER_SECONDS and self._is_old(upload_id, now):
                with contextlib.suppress(S3Error), self._held(upload_id):
                    # Somebody may have gone on with it, or completed it, before it was ours.
                    if self._is_old(upload_id, now):
                        self._discard(self._root / upload_id)

    def _is_old(self, upload_id: str, now: float) -> bool:
        folder = self._root / upload_id
        done = read_json(folder / "completed.json")
        if done is not None:
            return bool(now - done["at"] > REMEMBER_SECONDS)
        arrived = (_moment(entry.name.split(".")[1]) for entry in _scan(folder))
        return now - max([_moment(upload_id), *arrived]) > ABANDONED_SECONDS

    def _discard(self, folder: Path) -> None:
        # Renamed away first: a crash leaves the upload whole or gone.
        aside = self._layout.scratch.new()
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    @contextlib.contextmanager
    def _held(self, upload_id: str) -> Iterator[None]:
        if not _ID.fullmatch(upload_id):
            raise S3Error("NoSuchUpload", UploadId=upload_id)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self._root / upload_id / "lock"))
            except FileNotFoundError:
                raise S3Error("NoSuchUpload", UploadId=upload_id) from None
            yield

    def _read(self, upload_id: str) -> Upload | None:
        document = read_json(self._root / upload_id / "upload.json") if _ID.fullmatch(upload_id) else None
        return _from_document(upload_id, document) if document else None


def _moment(stamped: str) -> float:
    """The time in seconds that an id, or a part's name, has in it."""
    return int(stamped[:16], 16) / 1e9


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name[:5].isdigit()]
    except FileNotFoundError:
        return []


def _part(path: Path, algorithm: str | None, size: int, modified: float) -> Part:
    number, _, md5, digest = path.name.split(".")
    checksum = checksums.from_digest(algorithm, bytes.fromhex(digest)) if algorithm and digest else None
    return Part(int(number), path, size, modified, md5, checksum)


def _choose(parts: Sequence[Part], chosen: Sequence[Chosen]) -> list[Part]:
    numbers = [choice.number for choice in chosen]
    if numbers != sorted(set(numbers)):
        raise S3Error("InvalidPartOrder")
    arrived = {part.number: part for part in parts}
    for choice in chosen:
        _check_choice(choice, arrived.get(choice.number))
    found = [arrived[number] for number in numbers]
    for part in found[:-1]:
        if part.size < MIN_PART_BYTES:
            sizes = {"ProposedSize": str(part.size), "MinSizeAllowed": str(MIN_PART_BYTES)}
            raise S3Error("EntityTooSmall", PartNumber=str(part.number), ETag=part.md5, **sizes)
    return found


def _check_choice(choice: Chosen, part: Part | None) -> None:
    if part is None or part.md5 != choice.etag.strip('"'):
        raise S3Error("InvalidPart", PartNumber=str(choice.number), ETag=choice.etag)
    if choice.checksum and part.checksum and choice.checksum != part.checksum:
        raise S3Error("InvalidPart", PartNumber=str(choice.number), ETag=choice.etag)


def _joined(upload: Upload, parts: Sequence[Part]) -> Metadata:
    md5s = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False)
    sums = [(part.checksum, part.size) for part in parts if part.checksum]
    whole = checksums.join(sums, upload.kind) if upload.kind and len(sums) == len(parts) else None
    sizes = tuple(part.size for part in parts)
    return documents.with_content(upload.metadata, f"{md5s.hexdigest()}-{len(parts)}", whole, sizes)


def _check_promise(promise: Promised, metadata: Metadata) -> None:
    if promise.size is not None and promise.size != sum(metadata.parts):
        raise S3Error("InvalidRequest", f"The provided 'x-amz-mp-object-size' header value {promise.size} does not match.")
    if promise.kind and metadata.checksum and promise.kind != metadata.checksum.kind:
        raise S3Error("InvalidRequest", f"The upload was created with the {metadata.checksum.kind} checksum type.")
    claimed = promise.checksum
    if claimed and metadata.checksum and claimed.algorithm == metadata.checksum.algorithm:
        if claimed.value.partition("-")[0] != metadata.checksum.value.partition("-")[0]:
            raise S3Error("BadDigest", f"The {claimed.algorithm} you specified did not match the calculated checksum.")


def _to_document(upload: Upload) -> dict[str, Any]:
    facts = {"initiated": upload.initiated, "algorithm": upload.algorithm, "kind": upload.kind}
    return {**facts, "key": upload.key, "metadata": documents.to_document(upload.key, upload.metadata)}


def _from_document(upload_id: str, document: dict[str, Any]) -> Upload:
    metadata = documents.from_document(document.pop("metadata"))
    return Upload(id=upload_id, metadata=metadata, **document)
