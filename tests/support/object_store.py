"""The embedded object store for tests: in a folder of its own, and behind a real server on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from starlette.types import ASGIApp

from rekindle.engine.clock import SystemClock
from rekindle.s3.app import create_app
from rekindle.s3.bucket_folder import BucketFolder
from rekindle.s3.buckets import Buckets
from rekindle.s3.drop import Drop
from rekindle.s3.layout import Layout
from rekindle.s3.metadata import Metadata
from support.http_server import serving

ACCOUNT = "123456789012"
MOMENT = 1_700_000_000.0


@dataclass
class StillClock:
    """A clock that moves when told."""

    at: float = MOMENT
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += seconds


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder on a file system in memory where there is one: the store syncs every write."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder).resolve()


class Shelf:
    """A store without HTTP, with one bucket."""

    def __init__(self, root: Path) -> None:
        self.clock = StillClock()
        self.layout = Layout(root, self.clock)
        self.buckets = Buckets(self.layout, region="us-east-1", default_account=ACCOUNT)
        self.buckets.create("shelf", ACCOUNT, "us-east-1")
        self.root = self.layout.bucket("shelf")

    @property
    def bucket(self) -> BucketFolder:
        return self.buckets.folder("shelf", ACCOUNT)

    def draft(self, content: bytes) -> Path:
        drop = Drop(self.layout.scratch.new())
        drop.write(content)
        drop.finish(self.layout.stamps.new())
        return drop.path

    def put(self, key: str, content: bytes, etag: str = "e", **metadata: Any) -> None:
        self.bucket.put(key, self.draft(content), Metadata(etag, **metadata))

    def get(self, key: str) -> bytes | None:
        opened = self.bucket.open(key)
        if opened is None:
            return None
        with opened.file:
            return opened.file.read()

    def keys(self) -> list[str]:
        return list(self.bucket.walk())


@contextmanager
def shelf() -> Iterator[Shelf]:
    with memory_folder() as folder:
        made = Shelf(folder)
        yield made
        made.layout.scratch.close()


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The application behind a real server; gives its URL."""
    with serving(app, access_log=False, ws="none", lifespan="on") as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def served_store(folder: Path, **settings: Any) -> Iterator[str]:
    """The object store with nobody in front of it."""
    known = {"region": "us-east-1", "default_account": ACCOUNT}
    with served(create_app(folder, clock=SystemClock(), **{**known, **settings})) as url:
        yield url


def client(url: str, *, account: str = "test", **config: Any) -> Any:
    """A boto3 client that says each thing once."""
    settings = Config(retries={"total_max_attempts": 1}, **config)
    keys = {"aws_access_key_id": account, "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.session.Session().client("s3", endpoint_url=url, config=settings, **keys)
