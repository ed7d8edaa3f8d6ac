"""A real Ray cluster of one node, which wants a token; `make test-ray` installs Ray into an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from support.serving import until

#: The cluster wants one, as one that others can reach must.
TOKEN = "of-this-cluster-" * 3

#: `make test` has no Ray.
collect_ignore_glob = [] if os.environ.get("RAY_COMMAND") else ["test_*.py"]

pytest.register_assert_rewrite("conformance.executor_suite")


class RayHead:
    """The head of a cluster, which can be ended and started again at the same address."""

    def __init__(self, command: str) -> None:
        self._command = command
        self.port, self._gcs = _free_port(), _free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        # The paths of its sockets are limited to a hundred characters.
        self._folder = tempfile.mkdtemp(prefix="ray")
        ports = {
            "dashboard-port": self.port,
            "ray-client-server-port": _free_port(),
            "dashboard-agent-listen-port": _free_port(),
        }
        words = [
            *(f"--{name}={port}" for name, port in ports.items()),
            f"--port={self._gcs}",
            "--num-cpus=4",
            f"--temp-dir={self._folder}",
        ]
        self._process = self._started("--head", *words)
        until(self._answers, 120)

    @contextlib.contextmanager
    def another_node(self, cpus: int) -> Iterator[psutil.Process]:
        """One more node while the block lasts; its raylet."""
        ports = [f"--dashboard-agent-listen-port={_free_port()}"]
        process = self._started(f"--address=127.0.0.1:{self._gcs}", f"--num-cpus={cpus}", *ports)
        family = psutil.Process(process.pid)

        def raylets() -> list[psutil.Process]:
            return [p for p in family.children(recursive=True) if p.name() == "raylet"]

        try:
            until(lambda: bool(raylets()), 120)
            yield raylets()[0]
        finally:
            for one in (*family.children(recursive=True), family):
                one.kill()
            process.wait()

    def _started(self, *words: str) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        return subprocess.Popen(
            [self._command, "start", "--block", "--disable-usage-stats", *words],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self) -> None:
        """As a machine that goes down: nothing is told to anybody."""
        family = [*psutil.Process(self._process.pid).children(recursive=True), psutil.Process(self._process.pid)]
        for process in family:
            process.kill()
        psutil.wait_procs(family, 30)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def jobs(self) -> list[dict[str, Any]]:
        """What Ray says of its jobs."""
        return list(json.loads(self._ask("/api/jobs/")))

    def stop(self, job: str) -> None:
        """As somebody does at Ray's own command line."""
        self._ask(f"/api/jobs/{job}/stop", "POST")

    def dashboard(self) -> psutil.Process:
        """The process that answers at the address."""
        for process in psutil.Process(self._process.pid).children(recursive=True):
            if any("dashboard.py" in word for word in process.cmdline()):
                return process
        raise AssertionError("no dashboard")

    def _ask(self, path: str, method: str = "GET") -> bytes:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with urllib.request.urlopen(
            urllib.request.Request(self.address + path, None, headers, method=method), timeout=60
        ) as answer:
            return bytes(answer.read())

    def _answers(self) -> bool:
        try:
            return isinstance(self.jobs(), list)
        except (OSError, ValueError):
            assert self._process.poll() is None, "the head has ended"
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def head() -> Iterator[RayHead]:
    head = RayHead(os.environ["RAY_COMMAND"])
    yield head
    head.end()


@pytest.fixture(autouse=True)
def _nothing_runs_on(head: RayHead) -> Iterator[None]:
    yield
    for job in head.jobs():
        if job["status"] in ("PENDING", "RUNNING"):
            head.stop(job["submission_id"])
