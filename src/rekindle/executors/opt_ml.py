"""Gives a program its own view of the machine, in which ``/opt/ml`` is its training job's folder and the job's hosts have
names, and becomes it.

``opt_ml.py need|try|hosts PROGRAM ARGUMENT...``, run in the code folder. ``try`` and ``hosts`` start the program in any case,
``need`` only with the view; ``hosts`` leaves ``/opt/ml`` as it is. Standard library only. The view is a mount namespace, which
ends with the program and which nobody else sees: nothing on the disk changes. It needs Linux, and root or unprivileged user
namespaces.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence

# ruff: noqa: SIM105

PLACE = "/opt/ml"
#: Where an image's own entry point installs what it likes: the job's folder, not the interpreter's.
PACKAGES = f"{PLACE}/packages"

_PARENT = "/opt"
_HOSTS = "/etc/hosts"
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_BIND, _RECURSIVE, _SLAVE = 0x1000, 0x4000, 0x80000
_DETACH = 2
_ALLOW = (
    "Allow unprivileged user namespaces (sysctl user.max_user_namespaces; on Ubuntu also "
    "kernel.apparmor_restrict_unprivileged_userns=0)"
)
_CONTAIN = "Let the image run as a container (images.yaml, docs/settings.md)"
_SCRIPT = "or use a script that takes its paths from SM_MODEL_DIR and SM_CHANNEL_*."


def main(arguments: Sequence[str]) -> None:
    """Becomes the program. Returns never; exits with 1 where that is not possible."""
    mode, *command = arguments
    # Our own words, ["algo-1","algo-2"]: to load json would take as long as all that we do.
    hosts = hosts_file(os.environ.get("SM_HOSTS", "")[2:-2].replace('","', " ").split())
    view = (os.path.dirname(os.getcwd()), hosts, mode != "hosts")
    try:
        if mode == "hosts" and not hosts:
            become(command)
        problem = probe(*view)
        if not problem:
            enter(*view)
            if mode == "need":
                # An interpreter does not look again at a folder that was not there when it started, and may install there.
                os.makedirs(PACKAGES, exist_ok=True)
        elif mode == "need":
            hint = f"{_ALLOW if sys.platform.startswith('linux') else _CONTAIN}, {_SCRIPT}"
            raise OSError(f"this job needs {PLACE}, and this machine does not let it have one: {problem}. {hint}")
        become(command)
    except OSError as error:
        sys.stderr.write(f"ClientError: {error}\n")
        sys.exit(1)


def become(command: Sequence[str]) -> None:
    """Becomes the program, which is looked up on PATH. Raises OSError, which names it."""
    try:
        os.execvp(command[0], [*command])  # noqa: S606
    except OSError as error:
        raise OSError(f"the program {command[0]!r} could not be started: {error.strerror}") from error


def hosts_file(names: Sequence[str], path: str = _HOSTS) -> bytes:
    """What ``/etc/hosts`` is to say: all that it says, and that the names which it does not have are this machine. Empty where
    it has them all, or cannot be read."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return b""
    known = {word for line in text.splitlines() for word in line.partition(b"#")[0].split()[1:]}
    added = [b"127.0.0.1 " + name for name in map(os.fsencode, names) if name not in known]
    return b"\n".join([text, *added, b""]) if added else b""


def probe(folder: str, hosts: bytes = b"", has_place: bool = True) -> str:
    """Why the view is not possible; empty where it is. Tried in a process of its own, as half a view would be worse."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        problem = ""
        try:
            enter(folder, hosts, has_place)
        except OSError as error:
            problem = error.strerror or str(error)
        os.write(writing, problem.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as told:
        problem = told.read()
    os.waitpid(pid, 0)
    return problem


def enter(folder: str, hosts: bytes = b"", has_place: bool = True) -> None:
    """From now on, for this process and its children, ``/opt/ml`` is the folder if it ``has_place``, and ``/etc/hosts`` says
    what ``hosts`` does, if anything, as far as the machine allows that. Raises OSError."""
    _unshare()
    # What the machine mounts later still appears here; what we mount does not appear there.
    _mount(None, "/", None, _SLAVE | _RECURSIVE)
    if hosts:
        try:
            _name_hosts(folder, hosts)
        except OSError:
            # Few programs ask for the names; they hear that there are none, as without a view.
            pass
    if not has_place:
        return
    if not os.path.isdir(PLACE):
        _make_place()
    _mount(folder, PLACE, None, _BIND | _RECURSIVE)


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        try:
            _call("unshare", _NEW_MOUNTS)
            return
        except OSError:
            pass
    _call("unshare", _NEW_MOUNTS | _NEW_USER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _name_hosts(folder: str, hosts: bytes) -> None:
    """Lays a file in memory over ``/etc/hosts``. It is made in the folder, over which memory is laid meanwhile."""
    _mount("tmpfs", folder, "tmpfs", 0)
    try:
        made = os.path.join(folder, "hosts")
        with open(made, "wb") as file:
            file.write(hosts)
        os.chmod(made, 0o644)
        _mount(made, _HOSTS, None, _BIND)
    finally:
        _call("umount2", os.fsencode(folder), _DETACH)


def _make_place() -> None:
    """Lays a folder in memory over ``/opt``, with all that was there before, and ``ml``."""
    before = os.open(_PARENT, os.O_RDONLY | os.O_DIRECTORY)
    with os.scandir(_PARENT) as found:
        entries = [(e.name, e.is_symlink(), e.is_dir()) for e in found if e.name != "ml"]
    _mount("tmpfs", _PARENT, "tmpfs", 0)
    for name, is_link, is_folder in entries:
        there, here = f"/proc/self/fd/{before}/{name}", f"{_PARENT}/{name}"
        if is_link:
            os.symlink(os.readlink(name, dir_fd=before), here)
            continue
        if is_folder:
            os.mkdir(here)
        else:
            os.close(os.open(here, os.O_WRONLY | os.O_CREAT))
        _mount(there, here, None, _BIND | _RECURSIVE)
    os.mkdir(PLACE)
    os.close(before)


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _call("mount", *words, ctypes.c_ulong(flags), None)


def _call(name: str, *arguments: object) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if not sys.platform.startswith("linux") or function is None:
        raise OSError(f"{sys.platform} has no mount namespaces")
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
