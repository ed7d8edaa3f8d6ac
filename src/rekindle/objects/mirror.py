"""A folder and its copy in an object store: brought here before a training job starts, kept alike while it runs.

``record`` is a file of ours that says what the copy has of the folder. Once it is there the folder is the truth and the
copy follows: what others put beside it is neither brought here nor removed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from rekindle.domain.errors import RekindleError
from rekindle.engine.ports import ObjectStore, StoreUnavailable
from rekindle.engine.trees import files_below

#: What says that a file is still the one that was copied: its size and the time of its last change.
Mark = list[int]


def restore(objects: ObjectStore, uri: str, folder: str, record: str) -> None:
    """Brings all objects below ``uri`` into the folder; does nothing where that was done before on this machine."""
    if os.path.exists(record):
        return
    if objects.list(uri):
        objects.download(uri, folder)
    _write(record, _marks(folder)[0])


def mirror(objects: ObjectStore, folder: str, uri: str, record: str) -> None:
    """Makes the copy at ``uri`` like the folder: what changed is uploaded, what is gone is removed. One file that cannot be
    copied keeps no other from it; its error is raised in the end. Where something cannot be read nothing is removed."""
    if not os.path.isdir(folder):
        return
    known, (found, problem) = _read(record), _marks(folder)
    changed = [name for name, mark in found.items() if known.get(name) != mark]
    gone = [name for name in known if name not in found and problem is None]
    if not (changed or gone):
        if problem is not None:
            raise problem
        return
    # Intended first: a copy that we are killed over is known to be there.
    known |= {name: [] for name in changed}
    _write(record, known)
    for name in (*changed, *gone):
        try:
            _follow(objects, name, folder, uri, known, found)
        except StoreUnavailable as error:
            problem = error
            if not error.answered:
                break
        except (RekindleError, OSError) as error:
            problem = error
    _write(record, known)
    if problem is not None:
        raise problem


def _follow(objects: ObjectStore, name: str, folder: str, uri: str, known: dict[str, Mark], found: dict[str, Mark]) -> None:
    target = f"{uri.rstrip('/')}/{name}"
    if name in found:
        objects.upload(os.path.join(folder, name), target)
        known[name] = found[name]
    else:
        objects.remove(target)
        del known[name]


def _marks(folder: str) -> tuple[dict[str, Mark], Exception | None]:
    """Every file below a folder, and what kept some of them from being found."""
    found: dict[str, Mark] = {}
    problem: Exception | None = None
    try:
        for name, path in files_below(folder):
            try:
                status = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):  # gone since
                continue
            except OSError as error:
                problem = error
                continue
            found[name] = [status.st_size, status.st_mtime_ns]
    except OSError as error:
        problem = error
    return found, problem


def _read(record: str) -> dict[str, Mark]:
    try:
        known: dict[str, Mark] = json.loads(Path(record).read_text())
    except (FileNotFoundError, ValueError):
        # A power failure may leave it empty: then nothing is known of the copy, and all of the folder goes out once more.
        return {}
    return known


def _write(record: str, known: dict[str, Mark]) -> None:
    draft = Path(f"{record}.new")
    draft.write_text(json.dumps(known))
    draft.replace(record)
