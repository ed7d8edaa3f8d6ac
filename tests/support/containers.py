"""A container engine that really runs here, and an image for it; with a configuration of our own where the machine's fails.

Some sandboxes let root make containers but neither set process limits nor see cgroups of one kind. There podman runs by a
runtime that does without both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.serving import until

IMAGE = "localhost/rekindle-test:1"
_BUSYBOX = "/bin/busybox"
_WORDS = ("sh", "cat", "echo", "sleep", "ls", "env", "kill", "hostname", "mkdir", "touch", "id")
#: The image's own entry point: what it is started with, then what it finds.
_TRAIN = """#!/bin/sh
echo "told: $*"
echo "objective=0.25;"
cat /opt/ml/input/config/hyperparameters.json
for file in /opt/ml/input/data/*/*; do echo "input: $(cat $file)"; done
ls -A /opt/ml/.rekindle
env
echo made > /opt/ml/model/weights
"""
_LAX_RUNTIME = """#!/bin/sh
previous=
for word in "$@"; do
  [ "$previous" = --bundle ] && sed -i 's/"rlimits":\\[[^]]*\\]/"rlimits":[]/' "$word/config.json"
  previous=$word
done
exec unshare --mount --propagation slave sh -c 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec crun "$@"' crun "$@"
"""


@dataclass(frozen=True)
class Engine:
    """The client's name, the variables under which it works, and the options without which a container has no network."""

    name: str
    environ: dict[str, str]
    options: tuple[str, ...] = ()

    def ask(self, *words: str) -> str:
        """What the client prints."""
        done = subprocess.run([self.name, *words], env=os.environ | self.environ, capture_output=True, text=True, check=True)
        return done.stdout

    def works(self) -> str:
        """Why a container cannot be run; empty where it can."""
        try:
            self.ask("create", "--name", "probe", *self.options, "--entrypoint", "/bin/true", IMAGE)
            self.ask("start", "--attach", "probe")
        except subprocess.CalledProcessError as error:
            return str(error.stderr)
        finally:
            subprocess.run(
                [self.name, "rm", "--force", "probe"], env=os.environ | self.environ, capture_output=True, check=False
            )
        return ""


@contextmanager
def podman() -> Iterator[Engine | str]:
    """Podman with a storage of its own, and the image in it; else why not."""
    # Not in pytest's folder: what podman leaves mounted would keep pytest from tidying up.
    folder = Path(tempfile.mkdtemp(prefix="rekindle-podman-"))
    try:
        yield _podman(folder)
    finally:
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for place in sorted((m for m in mounted if m.startswith(f"{folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _podman(folder: Path) -> Engine | str:
    if shutil.which("podman") is None or not Path(_BUSYBOX).exists():
        return "no podman, or no busybox to make an image of"
    (folder / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n')
    plain = Engine("podman", {"CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")})
    for engine in (plain, _lax(plain, folder)):
        done = subprocess.run(
            ["podman", "import", "--change", 'ENTRYPOINT ["/entry"]', str(_image(folder)), IMAGE],
            env=os.environ | engine.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        problem = done.stderr if done.returncode else engine.works()
        if not problem:
            return engine
    return problem


@contextmanager
def docker(podman: Engine, folder: Path) -> Iterator[Engine | str]:
    """Docker's client before podman's service, which speaks docker's protocol; else why not."""
    if shutil.which("docker") is None:
        yield "no docker client"
        return
    service = Service(podman, folder / "docker.sock")
    with service.running():
        engine = Engine("docker", {"DOCKER_HOST": service.address, "DOCKER_CONFIG": str(folder)}, ("--network", "host"))
        yield engine.works() or engine


class Service:
    """Podman's service at a socket, as docker's daemon: its containers go on without it, as those of a docker that is told to
    keep them."""

    def __init__(self, podman: Engine, socket: Path) -> None:
        self._podman = podman
        self._socket = socket
        self.address = f"unix://{socket}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs it."""
        self._socket.unlink(missing_ok=True)
        words = ["podman", "system", "service", "--time", "0", self.address]
        with subprocess.Popen(words, env=os.environ | self._podman.environ, stderr=subprocess.DEVNULL) as service:
            try:
                until(lambda: self._socket.exists() or service.poll() is not None)
                yield
            finally:
                service.kill()


def _lax(plain: Engine, folder: Path) -> Engine:
    runtime = folder / "crun-lax"
    runtime.write_text(_LAX_RUNTIME)
    runtime.chmod(0o755)
    (folder / "containers.conf").write_text(
        '[containers]\ncgroups = "disabled"\nnetns = "host"\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "crun"\n'
        f'[engine.runtimes]\ncrun = ["{runtime}"]\n'
    )
    return Engine(plain.name, {**plain.environ, "CONTAINERS_CONF": str(folder / "containers.conf")})


def _image(folder: Path) -> Path:
    root = folder / "image"
    (root / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(_BUSYBOX, root / "bin" / "busybox")
    for word in (*_WORDS, "true"):
        (root / "bin" / word).unlink(missing_ok=True)
        (root / "bin" / word).symlink_to("busybox")
    (root / "entry").write_text(_TRAIN)
    (root / "entry").chmod(0o755)
    with tarfile.open(folder / "image.tar", "w") as packed:
        packed.add(root, ".")
    return folder / "image.tar"
