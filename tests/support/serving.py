"""`rekindle serve` as a user has it: a process of its own, known to clients by its printed variables alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

#: The command; another one where the tests run in an environment of their own, as those of the SDKs do.
REKINDLE = os.environ.get("REKINDLE_COMMAND") or str(Path(sys.executable).parent / "rekindle")


class Serving:
    """A server with a home of its own, and clients that know it by its printed variables alone."""

    def __init__(self, home: Path, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.environ = {**kept, "REKINDLE_HOME": str(home), **settings}
        self.start()

    def start(self) -> None:
        command = [REKINDLE, "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=self.environ, stderr=subprocess.DEVNULL)
        until(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def client(self, service: str) -> Any:
        printed = subprocess.run([REKINDLE, "env", "--json"], env=self.environ, capture_output=True, check=True)
        told = json.loads(printed.stdout)
        session = boto3.Session(told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"], region_name=told["AWS_REGION"])
        return session.client(service, endpoint_url=told["AWS_ENDPOINT_URL"])


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)
