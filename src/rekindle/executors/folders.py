"""Where runs lie below a root: a folder for each training job, found by its owner and name."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import Owner
from rekindle.engine.log import log
from rekindle.engine.paths import path_in
from rekindle.engine.ports import Clock, Run, RunKey, StoreUnavailable
from rekindle.engine.room import lacks_room
from rekindle.executors import leftovers, locks, workdir
from rekindle.executors.attempts import NOT_THERE, Attempt, away, is_there

#: Links from a training job's name to its folder.
_INDEX = ".by-name"
#: The folder of the files of which who deletes a training job has locked one, by its name, and how many these are.
_DELETING, _DELETING_LOCKS = ".deleting", 64
#: Seconds for which somebody else's deletion is waited for, and between two looks.
_DELETING_PATIENCE, _GLANCE = 10.0, 0.05
#: Whose runs lie at the root.
_OWNER = Owner()


class Folders:
    """The run folders below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, owner: Owner, name: str) -> Path | None:
        """A training job's folder, though somebody may have removed it since it was made. Raises StoreUnavailable."""
        link = self._link(owner, name)
        try:
            return Path(os.path.normpath(link.parent / os.readlink(link)))
        except OSError as error:
            if error.errno in NOT_THERE:
                return None
            raise away(self._root, error) from error

    def moved(self, owner: Owner, name: str, uri: str) -> str:
        """Where a file of a training job's folder is that was at a URI before the root was moved; empty where it is not. Raises
        StoreUnavailable."""
        folder, before = self.find(owner, name), Path(path_in(uri))
        if folder is None or len(before.parts) < 2:
            return ""
        now = folder.joinpath(*before.parts[-2:])
        inside = now.relative_to(self._root).parts
        return now.as_uri() if before.parts[-len(inside) :] == inside and now.exists() else ""

    def place(self, run: Run) -> Path:
        """Where a run's folder is or would be made."""
        owner, name = run.key.owner, run.key.name
        return self.find(owner, name) or self._of(owner) / safe(run.group or "_", "group") / name

    def claim(self, run: Run) -> Path:
        """The run's folder, by its name: made with the first attempt, found again from then on. Raises OSError and
        StoreUnavailable."""
        known, link = self.find(run.key.owner, run.key.name), self._link(run.key.owner, run.key.name)
        folder = known or self.place(run)
        # A later attempt without a link: somebody has removed that too. Of a first one nothing runs yet, and to look would take
        # each launch as long again.
        if known is not None or run.key.attempt > 1:
            _end_removed(folder, run.key.attempt)
        folder.mkdir(parents=True, exist_ok=True)
        if known is not None:
            return known
        link.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(Path("..") / folder.relative_to(link.parent.parent))
        return self.place(run)

    def attempts(self, owner: Owner, name: str) -> list[Attempt]:
        """Those at a training job whose folders are there, in their order. Raises StoreUnavailable."""
        folder = self.find(owner, name)
        if folder is None or not is_there(folder / workdir.CONTROL):
            return []
        found = (Attempt(path) for path in (folder / workdir.CONTROL).iterdir() if path.name.isdigit())
        return sorted(found, key=lambda attempt: attempt.number)

    def attempt(self, key: RunKey) -> Attempt | None:
        """A run's attempt, where the training job has a folder."""
        folder = self.find(key.owner, key.name)
        return None if folder is None else Attempt(Path(workdir.attempt_of(folder, key.attempt)))

    @contextlib.contextmanager
    def deleting(self, owner: Owner, name: str, clock: Clock) -> Iterator[None]:
        """One at a time, of all processes. Raises StoreUnavailable."""
        # Few files, which stay: a lock that is removed with its job locks nothing.
        place = self._of(owner) / _DELETING / f"{zlib.crc32(name.encode()) % _DELETING_LOCKS:02}"
        with contextlib.ExitStack() as held:
            try:
                held.callback(os.close, _awaited(place, clock))
            except OSError as error:
                # A deletion makes room: a full disk must not be in its way.
                if not lacks_room(error):
                    raise away(place.parent, error) from error
            yield

    def end_removed(self, key: RunKey) -> None:
        """Ends what still runs of a training job up to an attempt, where somebody has removed its folder. Raises
        StoreUnavailable."""
        known = self.find(key.owner, key.name)
        if known is not None:
            _end_removed(known, key.attempt)

    def remove(self, owner: Owner, name: str) -> None:
        """Removes a training job's folder. What of it cannot be removed is told in the log."""
        folder = self.find(owner, name)
        if folder is None:
            return
        # Ours first: what is left of a job whose files will not go must not look like a run.
        for doomed in (folder / workdir.CONTROL, folder):
            _remove(doomed)
        self._link(owner, name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()

    def _of(self, owner: Owner) -> Path:
        """The folder of an owner's runs. It follows from the owner alone: were it to follow from a setting, to change that
        would start what runs once more."""
        # No tuning job's name holds a dot, so no group is called like this.
        return self._root if owner == _OWNER else self._root / safe(f"{owner.account}.{owner.region}", "owner")

    def _link(self, owner: Owner, name: str) -> Path:
        return self._of(owner) / _INDEX / safe(name, "training job")


def _awaited(place: Path, clock: Clock) -> int:
    """The lock on a file. Raises StoreUnavailable where somebody has it for long: who waits keeps others waiting."""
    deadline = clock.now() + _DELETING_PATIENCE
    while (lock := locks.take(place)) is None:
        if clock.now() >= deadline:
            busy = "another process that deletes training jobs there is not done."
            raise StoreUnavailable(f"the folder {place.parents[1]}: {busy}", "Try again when it is.")
        clock.sleep(_GLANCE)
    return lock


def safe(name: str, field: str) -> str:
    """The name, if a folder can be called so. Raises InvalidValue."""
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise InvalidValue(field, name, "not a name for a folder")
    return name


def _end_removed(folder: Path, attempt: int) -> None:
    """Ends what still runs of a training job whose folder somebody has removed, for no file tells of it any more: of its
    former attempts, and of this one, whose launcher may have died before anything was recorded of it."""

    def is_gone() -> bool:
        return not is_there(folder / workdir.CONTROL)

    if is_gone():
        for number in range(1, attempt + 1):
            leftovers.kill_supervisors(workdir.attempt_of(folder, number), is_gone)
            leftovers.kill_marked(workdir.attempt_of(folder, number), is_gone)


def _remove(folder: Path) -> None:
    try:
        workdir.remove_tree(str(folder))
    except OSError as error:
        log(__name__).warning("cannot remove all of a training job's files", reason=str(error))
