"""Moves objects in a process of its own: ``python -I -m rekindle.objects.transfer VERB ...`` (see ``USAGE``).

Supervisors run it, so that gigabytes never pass through a worker. It tells what went wrong in one line. An object store
that does not answer is waited for: the server that holds it may be on its way back, and no result may be lost for that.
One that refuses our keys is told by the exit code ``EX_TEMPFAIL``: who started us may have others.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable

from rekindle.domain.errors import InvalidValue, RekindleError
from rekindle.engine.clock import SystemClock
from rekindle.engine.inputs import fetch_input
from rekindle.engine.ports import Clock, ObjectStore, StoreUnavailable
from rekindle.objects.mirror import mirror, restore
from rekindle.objects.store import Objects

#: A URI to download is a prefix or, as ``manifest+s3://...``, that of a manifest.
USAGE = "usage: download URI FOLDER... | upload PATH URI | restore URI FOLDER RECORD | mirror|follow FOLDER URI RECORD\n"

#: Seconds that an object store may be silent, and between two tries at most.
PATIENCE_SECONDS = 86_400.0
MAX_PAUSE_SECONDS = 5.0
#: The same for the last copy of checkpoints: the training job's end waits for it.
MIRROR_PATIENCE_SECONDS = 600.0
#: Seconds between two looks at a folder of checkpoints.
FOLLOW_SECONDS = 3.0


def main(
    arguments: list[str],
    objects: ObjectStore | None = None,
    clock: Clock | None = None,
    parent: Callable[[], int] = os.getppid,
) -> int:
    """Does what the arguments say; the exit code."""
    make: Callable[[], ObjectStore] = Objects if objects is None else itertools.repeat(objects).__next__
    objects, clock = make(), clock or SystemClock()
    if arguments[:1] == ["follow"] and len(arguments) == 4:
        return _follow(make, clock, arguments[1:], parent)
    patience = MIRROR_PATIENCE_SECONDS if arguments[:1] == ["mirror"] else PATIENCE_SECONDS
    deadline, pause = clock.now() + patience, 0.25
    while True:
        try:
            return _move(objects, arguments)
        except StoreUnavailable as error:
            if clock.now() >= deadline:
                return _fail(error)
            clock.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)
        except (RekindleError, OSError) as error:
            return _fail(error)


def _fail(error: Exception) -> int:
    sys.stderr.write(f"{error}\n")
    return os.EX_TEMPFAIL if isinstance(error, InvalidValue) and error.facts.get("keys") else 1


def _move(objects: ObjectStore, arguments: list[str]) -> int:
    match arguments:
        case ["download", *pairs] if pairs and len(pairs) % 2 == 0:
            for uri, folder in zip(pairs[::2], pairs[1::2], strict=True):
                fetch_input(objects, uri, folder)
        case ["upload", path, uri]:
            objects.upload(path, uri)
        case ["restore", uri, folder, record]:
            restore(objects, uri, folder, record)
        case ["mirror", folder, uri, record]:
            mirror(objects, folder, uri, record)
        case _:
            sys.stderr.write(USAGE)
            return 2
    return 0


def _follow(objects: Callable[[], ObjectStore], clock: Clock, arguments: list[str], parent: Callable[[], int]) -> int:
    """Mirrors a folder again and again for as long as our supervisor lives. What goes wrong is said by the last copy, which
    the supervisor asks for itself."""
    folder, uri, record = arguments
    supervisor, store = parent(), objects()
    while parent() == supervisor:
        try:
            mirror(store, folder, uri, record)
        except (RekindleError, StoreUnavailable, OSError):
            # With the keys that a file holds by now.
            store = objects()
        clock.sleep(FOLLOW_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
