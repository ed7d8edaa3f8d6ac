"""The object store as a process: killed at any moment, given large objects, and used by the aws CLI."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from support.object_store import client, memory_folder, served_store

TESTS = Path(__file__).parents[1]
MIB = 1 << 20
#: So many changes are made before a server is killed, however slow the machine is.
ENOUGH = 20


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    # It listens before the process has come to run, and no longer than that: who connects waits, and then is cut off.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, descriptor = listener.getsockname()[1], listener.fileno()
        command = [sys.executable, "-m", "support.object_store_process", str(folder), str(descriptor)]
        running = subprocess.Popen(command, cwd=TESTS, pass_fds=[descriptor])
    try:
        yield running, f"http://127.0.0.1:{port}"
    finally:
        running.kill()
        running.wait()


class Writer(threading.Thread):
    """Puts, replaces, copies and deletes until the server is gone, and writes down what it was promised."""

    def __init__(self, s3: Any, number: int) -> None:
        super().__init__()
        self._s3 = s3
        self._number = number
        #: How many changes were made.
        self.made = 0
        #: key: the contents that the object may have after a crash; None is absence.
        self.possible: dict[str, list[bytes | None]] = {}

    def run(self) -> None:
        choice = random.Random(self._number)
        for step in range(100_000):
            key = choice.choice([f"w{self._number}", f"w{self._number}/x", f"w{self._number}/x/{step % 3}"])
            content = choice.choice([None, bytes([choice.randrange(256)]) * choice.randrange(200_000)])
            before = self.possible.get(key, [None])
            self.possible[key] = [*before, content]
            try:
                self._change(key, content)
            except (BotoCoreError, ClientError):
                return
            self.possible[key] = [content]
            self.made += 1

    def _change(self, key: str, content: bytes | None) -> None:
        if content is None:
            self._s3.delete_object(Bucket="bucket", Key=key)
        else:
            said = {"etag": hashlib.md5(content).hexdigest()}
            self._s3.put_object(Bucket="bucket", Key=key, Body=content, Metadata=said, ContentType="text/x")


def check_survivors(s3: Any, possible: dict[str, list[bytes | None]]) -> None:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket")
    listed = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
    for key, contents in possible.items():
        if key not in listed:
            assert None in contents, key
            continue
        found = s3.get_object(Bucket="bucket", Key=key)
        content = found["Body"].read()
        assert content in contents, key
        assert found["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
        assert found["Metadata"] == {"etag": hashlib.md5(content).hexdigest()}
        assert found["ContentType"] == "text/x"
    assert listed <= possible.keys()


def kill_during_writes(folder: Path, round_number: int, possible: dict[str, list[bytes | None]]) -> None:
    with process(folder) as (running, url), closing(client(url)) as s3:
        if round_number == 0:
            s3.create_bucket(Bucket="bucket")
        check_survivors(s3, possible)
        found = {key: survivor(s3, key) for key in possible}
        writers = [Writer(s3, number) for number in range(3)]
        for writer in writers:
            writer.possible = {key: [content] for key, content in found.items() if key.split("/")[0] == f"w{writer._number}"}
            writer.start()
        while sum(writer.made for writer in writers) < ENOUGH and all(writer.is_alive() for writer in writers):
            time.sleep(0.01)
        time.sleep(0.1 * random.Random(round_number).random())
        running.kill()
        for writer in writers:
            writer.join()
            possible.update(writer.possible)


def survivor(s3: Any, key: str) -> bytes | None:
    try:
        content: bytes = s3.get_object(Bucket="bucket", Key=key)["Body"].read()
    except ClientError:
        return None
    return content


def crash(rounds: int) -> None:
    with memory_folder() as folder:
        possible: dict[str, list[bytes | None]] = {}
        for round_number in range(rounds):
            kill_during_writes(folder, round_number, possible)
        with process(folder) as (_, url), closing(client(url)) as s3:
            check_survivors(s3, possible)
        assert len(possible) > 3


def test_kill_9_during_puts_loses_and_tears_nothing() -> None:
    crash(rounds=2)


@pytest.mark.slow
def test_kill_9_many_times() -> None:
    crash(rounds=25)


class Zeros:
    """A readable of zeros that takes no memory."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        count = min(count if count >= 0 else self._size, self._size - self._at)
        self._at += count
        return bytes(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def transfer(s3: Any, size: int) -> None:
    """Through every path that moves content: one put, one get, one copy, and parts joined."""
    s3.put_object(Bucket="bucket", Key="large", Body=Zeros(size))
    body = s3.get_object(Bucket="bucket", Key="large")["Body"]
    assert sum(len(block) for block in body.iter_chunks(MIB)) == size
    s3.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/large")
    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    name = {"Bucket": "bucket", "Key": "parts", "UploadId": upload}
    etags = [s3.upload_part_copy(**name, PartNumber=n, CopySource="bucket/large")["CopyPartResult"]["ETag"] for n in (1, 2)]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
    s3.complete_multipart_upload(**name, MultipartUpload={"Parts": parts})
    assert s3.head_object(Bucket="bucket", Key="parts")["ContentLength"] == 2 * size


def growth(size: int, folder: Path) -> int:
    """By how many bytes the server's greatest memory grows from objects of 8 MiB to objects of `size`."""
    with process(folder) as (running, url), closing(client(url)) as s3:
        s3.create_bucket(Bucket="bucket")
        transfer(s3, 8 * MIB)
        before = peak(running.pid)
        transfer(s3, size)
        return peak(running.pid) - before


def peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.skipif(not psutil.LINUX, reason="reads the kernel's own account of the greatest memory")
def test_memory_does_not_grow_with_the_object(tmp_path: Path) -> None:
    assert growth(40 * MIB, tmp_path) < 16 * MIB


@pytest.mark.slow
@pytest.mark.skipif(not psutil.LINUX, reason="reads the kernel's own account of the greatest memory")
def test_memory_does_not_grow_with_a_large_object(tmp_path: Path) -> None:
    assert growth(1024 * MIB, tmp_path) < 16 * MIB


def aws_cli() -> str | None:
    beside = Path(sys.executable).with_name("aws")
    return str(beside) if beside.exists() else shutil.which("aws")


@pytest.mark.skipif(aws_cli() is None, reason="the aws CLI is not installed (pip install awscli)")
def test_the_aws_cli(tmp_path: Path) -> None:
    (tmp_path / "config").touch()
    source, back = tmp_path / "source", tmp_path / "back"
    files = {"a.txt": b"a", "deep/b c.txt": b"b", "deep/ü.bin": bytes(9 * MIB)}
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    with memory_folder() as folder, served_store(folder) as url:

        def aws(*words: str) -> str:
            keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
            places = {"AWS_ENDPOINT_URL": url, "AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_EC2_METADATA_DISABLED": "true"}
            kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            command = [str(aws_cli()), "s3", *words]
            done = subprocess.run(command, env=kept | keys | places, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout

        (folder / "bucket").mkdir()
        aws("sync", str(source), "s3://bucket/data")
        listed = aws("ls", "s3://bucket/data/")
        assert "a.txt" in listed
        assert "PRE deep/" in listed
        aws("cp", "s3://bucket/data/deep/ü.bin", "s3://bucket/copy/ü.bin")
        assert (folder / "bucket" / "copy" / "ü.bin").stat().st_size == 9 * MIB
        aws("sync", "s3://bucket/data", str(back))
    assert {str(path.relative_to(back)): path.read_bytes() for path in back.rglob("*") if path.is_file()} == files
