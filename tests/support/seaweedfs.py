"""SeaweedFS: a real object store that is not ours, from its wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from support.object_store import client
from support.ports import kept, number


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """A server that keeps everything in a folder; its URL. It knows one pair of keys: ``test``, ``test``."""
    with ExitStack() as keepers:
        names = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
        yield from _running(folder, {name: number(keepers.enter_context(kept())) for name in names})


def _running(folder: Path, ports: dict[str, int]) -> Iterator[str]:
    keys = {"name": "test", "credentials": [{"accessKey": "test", "secretKey": "test"}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [keys]}))
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 64,
        "volume.max": 300,
        "s3.config": folder / "s3.json",
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        **ports,
    }
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        "-s3",
        *(f"-{name}={value}" for name, value in options.items()),
    ]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**os.environ, "HOME": str(folder)})
        try:
            url = f"http://127.0.0.1:{ports['s3.port']}"
            with closing(client(url)) as s3:
                _wait_until_it_stores(s3, folder / "log")
            yield url
        finally:
            running.kill()
            running.wait()


def _wait_until_it_stores(s3: Any, log: Path) -> None:
    deadline = time.monotonic() + 240
    while True:
        try:
            # One that was made when its object could not be stored yet is there the next time.
            with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
                s3.create_bucket(Bucket="warm-up")
            s3.put_object(Bucket="warm-up", Key="k", Body=b"x")
        except (ClientError, BotoCoreError):
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
            time.sleep(0.3)
        else:
            return
