"""The real aws CLI's own S3 commands against the composed server: cp, sync, ls, rm, presign."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from hashlib import shake_128
from pathlib import Path

import pytest

from rekindle.gateway.credentials import load_or_create
from rekindle.serving import Address, build_server
from rekindle.settings import Settings
from support.gateway import serving

Aws = Callable[..., str]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """Runs one s3 command of the aws CLI, which must succeed."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home, f"sqlite:///{home / 'rekindle.db'}")
    with serving(build_server(settings, Address()).asgi) as port:
        pair = load_or_create(home).first
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.devnull,
            "AWS_ACCESS_KEY_ID": pair.access_key,
            "AWS_SECRET_ACCESS_KEY": pair.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

        def run(*arguments: str) -> str:
            command = [str(Path(sys.executable).parent / "aws"), "s3", *arguments]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        yield run


def test_folders_go_in_and_come_out(aws: Aws, tmp_path: Path) -> None:
    files = {"a.txt": b"a", "b/c d.bin": shake_128(b"large").digest(9 << 20), "b/ü.txt": b""}
    for name, content in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    aws("mb", "s3://by-cli")
    # Above 8 MiB the CLI uploads in parts.
    aws("cp", "--recursive", str(tmp_path / "in"), "s3://by-cli/data")
    aws("sync", "s3://by-cli/data", str(tmp_path / "out"))
    assert {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")} == files
    assert aws("sync", "s3://by-cli/data", str(tmp_path / "out")) == ""

    listed = aws("ls", "--recursive", "s3://by-cli/")
    assert [line.split(maxsplit=3)[2:] for line in listed.splitlines()] == [
        ["1", "data/a.txt"],
        [str(9 << 20), "data/b/c d.bin"],
        ["0", "data/b/ü.txt"],
    ]
    assert aws("ls", "s3://by-cli/data/").split()[:2] == ["PRE", "b/"]
    aws("mv", "s3://by-cli/data/a.txt", "s3://by-cli/moved")
    link = aws("presign", "s3://by-cli/moved").strip()
    with urllib.request.urlopen(link, timeout=20) as answer:
        assert answer.read() == b"a"
    aws("rb", "--force", "s3://by-cli")
    assert "by-cli" not in aws("ls")
