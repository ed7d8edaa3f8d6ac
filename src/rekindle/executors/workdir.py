"""A training job's folder: SageMaker's ``/opt/ml`` tree, built by the supervisor from its orders, and our own files in it.

::

    <run folder>/
      input/config/   hyperparameters.json inputdataconfig.json resourceconfig.json
      input/data/     one entry a channel, links to where the data is
      code/           a copy of the source folder; the command runs here
      model/          -> output/model.tar.gz
      output/data/    -> output/output.tar.gz
      output/failure  why it failed, in the program's own words
      checkpoints/    survives from one attempt to the next
      hosts/algo-N/   the same for each further instance; its model, output/data and checkpoints are links to ours
      .rekindle/N/    attempt N: orders, journal, lock, log
"""

from __future__ import annotations

import errno
import os
import stat
import sys

# The supervisor starts light: no contextlib.
# ruff: noqa: SIM105

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from rekindle.executors.records import Fields

#: The folder of our own files within a run folder.
CONTROL = ".rekindle"
#: The files of an attempt (see ``attempts``): what is to be done, what its supervisor tells, the lock that this one holds for
#: life, and that it is to stop.
ORDERS, JOURNAL, LOCK, STOP = "orders", "journal.jsonl", "lock", "stop"
#: The file of an attempt that says what its transfers see, where somebody else than its launcher works on it by now.
TRANSFER = "transfer"
#: The file of an attempt that has what its supervisor could tell nowhere else, such as why it does not begin.
ERRORS = "supervisor.err"
#: The file of an attempt that says which processes its supervisor has started, where they do not die with it.
STARTED = "started"
#: The file of an attempt that says that its results are to wait no longer than a stop's grace for an object store.
GIVE_UP = "give-up"
#: The file of an attempt that says why the cluster on which it ran has lost it.
LOST = "lost"
#: What an attempt starts without: its predecessor's traces. ``checkpoints`` stays.
_CLEARED = ("input", "code", "model", "output", "hosts")
#: Never part of a copy of the source folder.
_SKIPPED_NAMES = frozenset({".git", ".hg", ".svn", ".venv", "venv", "__pycache__", ".ipynb_checkpoints", ".mypy_cache"})
_CHUNK = 1 << 20


def attempt_of(folder: str | os.PathLike[str], number: int) -> str:
    """The folder of an attempt at the training job of a run folder."""
    return os.path.join(folder, CONTROL, str(number))


def build(folder: str, orders: Fields) -> None:
    """Makes the tree anew: folders, files (path and text by turns), links (path and target), the copy of the source.

    Raises OSError.
    """
    clear(folder)
    for name in orders["folders"]:
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for name, text in _pairs(orders["files"]):
        _write(os.path.join(folder, name), text)
    for name, target in _pairs(orders["links"]):
        _link(os.path.join(folder, name), target)
    keep_checkpoints(folder, orders)
    for kept in orders["checkpoints"]:
        _link(os.path.join(folder, "checkpoints"), kept)
    for source in orders["source"]:
        for code in orders["code"]:
            copy_source(source, os.path.join(folder, code), orders["skip"])


def clear(folder: str) -> None:
    """Removes what an attempt starts without. Raises OSError."""
    for name in _CLEARED:
        remove_tree(os.path.join(folder, name))


def deal(source: str, targets: Sequence[str]) -> None:
    """Shares a folder's files among several, as links, in the order of their names: ``ShardedByS3Key``. Links to folders are
    followed, but not back into one that they lie in. Raises OSError."""
    from rekindle.engine.trees import files_below

    found = [path for _, path in files_below(source, through_links=True)]
    for target in targets:
        os.makedirs(target, exist_ok=True)
    for at, path in enumerate(sorted(found)):
        _link(os.path.join(targets[at % len(targets)], os.path.relpath(path, source)), os.path.realpath(path))


def keep_checkpoints(folder: str, orders: Fields) -> None:
    """Takes checkpoints to where they are kept, if that is a folder of this machine. There is a link to it, but a program may
    have put a folder in its place, as ``rm -r`` and ``mkdir`` do. Raises OSError."""
    place = os.path.join(folder, "checkpoints")
    for kept in orders["checkpoints"]:
        if os.path.isdir(place) and not os.path.islink(place):
            _make_way(place, kept)
            copy_all(place, kept)
            remove_tree(place)


def copy_source(source: str, target: str, skip: Collection[str]) -> None:
    """Copies a source folder, leaving out version control, virtual environments, caches and the paths in ``skip``."""
    root = os.path.realpath(source)
    _copy_folder(root, root, target, _source_rule(skip))


def source_files(source: str, skip: Collection[str]) -> Iterator[tuple[str, int]]:
    """Every file that ``copy_source`` would copy: the entry of the source folder that it is or is in, and its bytes (none of a
    link). What cannot be read is passed over."""
    root = os.path.realpath(source)
    for folder, entries in _folders(root, skip):
        top = os.path.relpath(folder, root).split(os.sep, 1)[0]
        for entry in entries:
            if entry.is_symlink() or entry.is_file():
                yield entry.name if folder == root else top, _bytes_of(entry)


def copy_all(source: str, target: str) -> None:
    """Copies a folder: files with their modes and times, links as links, never what is neither (sockets, pipes, devices).

    A link that points out of the folder by a relative path is made absolute, for it would point elsewhere in the copy.
    """
    root = os.path.realpath(source)
    _copy_folder(root, root, target, lambda _entry: True)


def remove_tree(path: str) -> None:
    """Removes a folder, if it is there, with all in it; also what its maker has protected from writing, and what a program
    has put in the folder's place: a link or a file. Somebody else may remove the same: all is gone then for both.
    Raises OSError."""
    if os.path.islink(path) or not os.path.isdir(path):
        if os.path.lexists(path):
            os.unlink(path)
        return
    try:
        _remove_folder(path)
    except (RecursionError, OSError) as error:
        # Python's own way calls itself and keeps a folder open for each level; systems have a way that is as deep as they go.
        if isinstance(error, OSError) and error.errno != errno.EMFILE:
            raise
        import subprocess

        subprocess.run(["chmod", "-R", "u+rwx", path], stderr=subprocess.DEVNULL, check=False)
        removed = subprocess.run(["rm", "-rf", path], stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        if removed.returncode != 0:
            raise OSError(removed.stderr.strip()) from error


def _remove_folder(path: str) -> None:
    from shutil import rmtree

    _open_up(path)
    for parent, names, _ in os.walk(path):
        for name in names:
            _open_up(os.path.join(parent, name))
    if sys.version_info >= (3, 12):
        rmtree(path, onexc=_unless_gone)
    else:
        rmtree(path, onerror=_unless_gone)


def _unless_gone(*_: object) -> None:
    """Raises what ``rmtree`` met, unless that is what it wants; Python does so itself from 3.13 on."""
    problem = sys.exc_info()[1]
    if problem is not None and not isinstance(problem, FileNotFoundError):
        raise problem


def sync(path: str) -> None:
    """Makes what was written to a file or folder survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_folder(root: str, source: str, target: str, wanted: Callable[[os.DirEntry[str]], bool]) -> None:
    os.makedirs(target, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            if not wanted(entry):
                continue
            try:
                _copy_entry(root, entry, os.path.join(target, entry.name), wanted)
            except FileNotFoundError:
                # Editors and other programs make and remove files all the time: what is gone by now is not to be copied.
                if os.path.lexists(entry.path):
                    raise


def _copy_entry(root: str, entry: os.DirEntry[str], target: str, wanted: Callable[[os.DirEntry[str]], bool]) -> None:
    if entry.is_symlink():
        os.symlink(_link_target(root, entry.path), target)
    elif entry.is_dir():
        _copy_folder(root, entry.path, target, wanted)
    elif entry.is_file():
        _copy_file(entry.path, target)


def unreadable(source: str, skip: Collection[str], most: int) -> str:
    """The first file or folder that ``copy_source`` could not read, by its path; empty where there is none among so many."""
    for folder, entries in _folders(os.path.realpath(source), skip):
        if not os.access(folder, os.R_OK | os.X_OK):
            return folder
        files = (entry.path for entry in entries if entry.is_file(follow_symlinks=False))
        if path := next((file for file in files if not os.access(file, os.R_OK)), ""):
            return path
        most -= len(entries)
        if most <= 0:
            break
    return ""


def _source_rule(skip: Collection[str]) -> Callable[[os.DirEntry[str]], bool]:
    """What belongs to a copy of the source folder."""
    unwanted = {os.path.realpath(path) for path in skip}
    return lambda entry: _is_source(entry) and entry.path not in unwanted


def _folders(root: str, skip: Collection[str]) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Each folder that a copy of the source would have, and what of it belongs to the copy: nothing of one that cannot be
    read."""
    wanted = _source_rule(skip)
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        entries = _entries(folder, wanted)
        yield folder, entries
        waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _entries(folder: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if wanted(entry)]
    except OSError:
        return []


def _bytes_of(entry: os.DirEntry[str]) -> int:
    try:
        return 0 if entry.is_symlink() else entry.stat().st_size
    except OSError:
        return 0


def _is_source(entry: os.DirEntry[str]) -> bool:
    if entry.name in _SKIPPED_NAMES:
        return False
    return entry.is_symlink() or not entry.is_dir() or not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))


def _link_target(root: str, path: str) -> str:
    target = os.readlink(path)
    if os.path.isabs(target):
        return target
    absolute = os.path.normpath(os.path.join(os.path.dirname(path), target))
    inside = absolute == root or absolute.startswith(root + os.sep)
    return target if inside else absolute


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb", buffering=0) as reader:
        status = os.fstat(reader.fileno())
        mode = stat.S_IMODE(status.st_mode) | stat.S_IWUSR
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(descriptor, "wb") as writer:
            while chunk := reader.read(_CHUNK):
                writer.write(chunk)
            # What is written later would be the file's time again.
            writer.flush()
            os.utime(writer.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _write(path: str, text: str) -> None:
    with open(path, "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def _link(path: str, target: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.unlink(path)
    os.symlink(target, path)


def _make_way(source: str, target: str) -> None:
    """Removes from a folder what a copy of ``source`` brings anew: the copy would not replace a link, or would write to where
    it leads. Raises OSError."""
    with os.scandir(source) as entries:
        for entry in entries:
            there = os.path.join(target, entry.name)
            if entry.is_dir(follow_symlinks=False) and os.path.isdir(there) and not os.path.islink(there):
                _make_way(entry.path, there)
            elif entry.is_symlink() and _leads_into(entry.path, there):
                # A link to what is kept under its very name: that stays, and the link has nothing to bring.
                os.unlink(entry.path)
            else:
                remove_tree(there)


def _leads_into(link: str, path: str) -> bool:
    """Whether a link leads to a path, or to something in it."""
    real, there = os.path.realpath(link), os.path.realpath(path)
    return real == there or real.startswith(there + os.sep)


def _open_up(folder: str) -> None:
    if not os.path.islink(folder):
        try:
            os.chmod(folder, stat.S_IRWXU)
        except FileNotFoundError:
            # Removed by somebody else.
            pass


def _pairs(items: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(items[::2], items[1::2], strict=True))
