"""`rekindle serve` as a user has it: a process of its own, known to clients by its printed variables alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from support.ports import kept_pair, number

#: The command; another one where the tests run in an environment of their own, as those of the SDKs do.
REKINDLE = os.environ.get("REKINDLE_COMMAND") or str(Path(sys.executable).parent / "rekindle")


#: On a crowded machine an answer may take its time, and a creation that is sent again is refused.
PATIENT = Config(read_timeout=600, retries={"max_attempts": 0})


class Serving:
    """A server with a home of its own, and clients that know it by its printed variables alone."""

    def __init__(self, home: Path, **settings: str) -> None:
        keepers = kept_pair()
        self.port = number(keepers[0])
        for keeper in keepers:
            weakref.finalize(self, keeper.close)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.home = home
        self.environ = {**kept, "REKINDLE_HOME": str(home), **settings}
        self.log = home.with_name(f"{home.name}.log")
        self.start()

    def start(self) -> None:
        command = [REKINDLE, "serve", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environ, stderr=log)
        until(self._listens)
        self.told = json.loads(self.run("env", "--json"))

    def run(self, *arguments: str) -> str:
        """What a command prints."""
        return subprocess.run([REKINDLE, *arguments], env=self.environ, capture_output=True, check=True, text=True).stdout

    def workers(self) -> list[int]:
        """The processes of the server's worker."""
        import psutil  # not in every environment of the SDKs' suites

        found = psutil.process_iter(["cmdline", "environ", "ppid"])
        ours = [p for p in found if "serve-worker" in (p.info["cmdline"] or ())]
        here = [p for p in ours if (p.info["environ"] or {}).get("REKINDLE_HOME") == str(self.home)]
        # What a worker starts looks like it for a moment, until it has become another program.
        return [p.pid for p in here if p.info["ppid"] not in {other.pid for other in here}]

    def _listens(self) -> bool:
        assert self.process.poll() is None, f"it has ended:\n{self.log.read_text(errors='replace')[-2000:]}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=240)

    def client(self, service: str, access_key: str = "", secret_key: str = "") -> Any:
        """A client of the installation's account, or with keys of another."""
        told = self.told
        keys = (access_key or told["AWS_ACCESS_KEY_ID"], secret_key or told["AWS_SECRET_ACCESS_KEY"])
        session = boto3.Session(*keys, region_name=told["AWS_REGION"])
        return session.client(
            service, endpoint_url=told.get(f"AWS_ENDPOINT_URL_{service.upper()}", told["AWS_ENDPOINT_URL"]), config=PATIENT
        )


def until(condition: Callable[[], bool], seconds: float = 400.0) -> None:
    """Waits for what must become true and stay so: under load, moments between two looks are long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)
