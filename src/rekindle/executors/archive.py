"""Results into archives or folders that appear whole or not at all. Used by the supervisor once training is over."""

from __future__ import annotations

import os

from rekindle.executors.workdir import copy_all, remove_tree, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile


def store(folder: str, target: str) -> None:
    """Writes the contents of ``folder`` to ``target``: a tar.gz if it is called so, else a folder. Raises OSError."""
    parent = os.path.dirname(target)
    os.makedirs(parent, exist_ok=True)
    draft = os.path.join(parent, f".{os.path.basename(target)}.{os.getpid()}")
    _remove_drafts(target)
    try:
        if target.endswith(".tar.gz"):
            _pack(folder, draft)
        else:
            copy_all(folder, draft)
    except OSError:
        # On a full disk it would be in everybody's way, for good.
        remove_tree(draft)
        raise
    if os.path.isdir(draft):
        remove_tree(target)
    os.replace(draft, target)


def _remove_drafts(target: str) -> None:
    """Removes what an attempt that was killed meanwhile has left half-way."""
    parent, name = os.path.split(target)
    for found in os.listdir(parent):
        if found.startswith(f".{name}.") and found[len(name) + 2 :].isdigit():
            remove_tree(os.path.join(parent, found))


def _pack(folder: str, draft: str) -> None:
    if not os.listdir(folder):
        with open(draft, "wb") as file:
            file.write(_empty())
        return
    import tarfile

    with tarfile.open(draft, "w:gz", compresslevel=6) as archive:
        for name in sorted(os.listdir(folder)):
            archive.add(os.path.join(folder, name), arcname=name, filter=_only_files)
    sync(draft)


def _empty() -> bytes:
    # tarfile takes 20 ms to import, more than the rest of a supervisor's life when a job leaves no model.
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(bytes(10240)) + packer.flush()


def _only_files(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return entry if entry.isfile() or entry.isdir() or entry.issym() or entry.islnk() else None
