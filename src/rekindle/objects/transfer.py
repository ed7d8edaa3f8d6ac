"""Moves objects in a process of its own: ``python -I -m rekindle.objects.transfer download URI FOLDER | upload PATH URI``.

Supervisors run it, so that gigabytes never pass through a worker. It tells what went wrong in one line. An object store
that does not answer is waited for: the server that holds it may be on its way back, and no result may be lost for that.
"""

from __future__ import annotations

import sys

from rekindle.domain.errors import RekindleError
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Clock, ObjectStore, StoreUnavailable
from rekindle.objects.store import Objects

#: Seconds that an object store may be silent, and between two tries at most.
PATIENCE_SECONDS = 86_400.0
MAX_PAUSE_SECONDS = 5.0


def main(arguments: list[str], objects: ObjectStore | None = None, clock: Clock | None = None) -> int:
    """Does what the arguments say; the exit code."""
    objects, clock = objects or Objects(), clock or SystemClock()
    deadline, pause = clock.now() + PATIENCE_SECONDS, 0.25
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


def _move(objects: ObjectStore, arguments: list[str]) -> int:
    match arguments:
        case ["download", uri, folder]:
            objects.download(uri, folder)
        case ["upload", path, uri]:
            objects.upload(path, uri)
        case _:
            sys.stderr.write("usage: transfer download URI FOLDER | upload PATH URI\n")
            return 2
    return 0


def _fail(error: Exception) -> int:
    sys.stderr.write(f"{error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
