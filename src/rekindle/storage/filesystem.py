"""Whether a folder is on a disk of this machine: SQLite's locks and shared memory do not work over a network."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from rekindle.domain.errors import InvalidValue

#: File systems that other machines may write to at the same time. ``fuse.X`` counts as X.
NETWORK_TYPES = frozenset(
    {
        *("nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "9p", "afs", "afpfs", "coda", "ncp", "ncpfs"),
        *("lustre", "gpfs", "beegfs", "panfs", "ceph", "ceph-fuse", "glusterfs", "orangefs", "pvfs2", "wekafs", "quobyte"),
        *("ocfs2", "gfs", "gfs2", "acfs", "moosefs", "lizardfs", "saunafs", "mapr", "hdfs", "alluxio", "juicefs", "seaweedfs"),
        *("sshfs", "curlftpfs", "davfs", "davfs2", "webdav", "rclone", "cvmfs2", "smbnetfs"),
        *("s3fs", "goofys", "gcsfuse", "blobfuse", "blobfuse2", "mountpoint-s3"),
        *("vboxsf", "vmhgfs", "vmhgfs-fuse", "prl_fs"),
    }
)

_MOUNTINFO = Path("/proc/self/mountinfo")
_MOUNT_LINE = re.compile(r"^.*? on (?P<point>/.*) \((?P<type>[^,)]+)[,)]")


def check_local(folder: Path, mounts: str | None = None) -> None:
    """Raises InvalidValue when ``folder`` is on a network file system. ``mounts`` is text as in /proc/self/mountinfo."""
    kind = filesystem_type(folder, mounts)
    if kind is None or kind.removeprefix("fuse.") not in NETWORK_TYPES:
        return
    raise InvalidValue(
        "REKINDLE_HOME",
        str(folder),
        f"this folder is on a network file system ({kind}), on which SQLite loses data",
        "Set REKINDLE_HOME to a folder on a disk of this machine, or REKINDLE_DATABASE_URL to a PostgreSQL database"
        " (postgresql://user@host/database).",
    )


def filesystem_type(folder: Path, mounts: str | None = None) -> str | None:
    """The type of the file system that holds ``folder``, which need not exist yet; None where it cannot be told."""
    points = parse_mountinfo(mounts) if mounts is not None else _mounted()
    path = os.path.realpath(folder)
    best: tuple[int, str] | None = None
    for point, kind in points:
        # What is mounted later over the same place hides what was there, hence >=.
        if _is_below(path, point) and (best is None or len(point) >= best[0]):
            best = (len(point), kind)
    return None if best is None else best[1]


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """(mount point, type) of each line of /proc/self/mountinfo, in order; lines of another form are left out."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if separator and len(fields) >= 6 and kinds[0]:
            found.append((_unescaped(fields[4]), kinds[0]))
    return found


def parse_mount(text: str) -> list[tuple[str, str]]:
    """(mount point, type) of each line that ``mount`` prints on macOS and BSD."""
    matches = (_MOUNT_LINE.match(line) for line in text.splitlines())
    return [(m["point"], m["type"].strip()) for m in matches if m is not None]


def _mounted() -> list[tuple[str, str]]:
    try:
        if _MOUNTINFO.exists():
            return parse_mountinfo(_MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape"))
        done = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=False)
        return parse_mount(done.stdout)
    except (OSError, subprocess.SubprocessError):
        return []


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _unescaped(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)
