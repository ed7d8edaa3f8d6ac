"""Moves objects in a process of its own: ``python -I -m rekindle.objects.transfer VERB ...`` (see ``USAGE``).

Supervisors run it, so that gigabytes never pass through a worker. It tells what went wrong in one line. An object store
that does not answer is waited for: the server that holds it may be on its way back, and no result may be lost for that.
One that refuses our keys is told by the exit code ``EX_TEMPFAIL``: who started us may have others. One that was silent until
we were told to give up (by a file GIVE_UP, SECONDS after which there are no more tries) is told by ``EX_UNAVAILABLE``, and a
full disk by ``NO_ROOM``.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable

from rekindle.domain.errors import InvalidValue, RekindleError
from rekindle.engine.clock import SystemClock
from rekindle.engine.inputs import fetch_inputs
from rekindle.engine.patience import MIRROR_PATIENCE_SECONDS, PATIENCE_SECONDS
from rekindle.engine.ports import Clock, ObjectStore, StoreUnavailable
from rekindle.engine.room import NO_ROOM, lacks_room
from rekindle.objects.mirror import mirror, restore
from rekindle.objects.store import Objects

#: A URI to download is a prefix or, as ``manifest+s3://...``, that of a manifest.
USAGE = (
    "usage: download URI FOLDER... | upload PATH URI [GIVE_UP SECONDS] | restore URI FOLDER RECORD | "
    "mirror FOLDER URI RECORD [GIVE_UP SECONDS] | follow FOLDER URI RECORD\n"
)
#: How many arguments of its own a verb has that may be told to give up.
_PATIENT = {"upload": 2, "mirror": 3}

#: Seconds between two tries of an object store that is silent, at first and at most.
_FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.25, 5.0
#: Seconds after which it is said once more that the store is waited for.
_SAID_SECONDS = 600.0
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
    arguments, give_up, grace = _told_apart(arguments)
    patience = MIRROR_PATIENCE_SECONDS if arguments[:1] == ["mirror"] else PATIENCE_SECONDS
    deadline, pause, giving_up, to_say = clock.now() + patience, _FIRST_PAUSE_SECONDS, False, clock.now()
    while True:
        try:
            return _move(objects, arguments)
        except StoreUnavailable as error:
            if os.path.exists(give_up) and not giving_up:
                giving_up, deadline = True, min(deadline, clock.now() + grace)
            if clock.now() >= deadline:
                return _fail(error, os.EX_UNAVAILABLE if giving_up else 1)
            if clock.now() >= to_say:
                sys.stderr.write(f"rekindle: {error}; trying again\n")
                to_say = clock.now() + _SAID_SECONDS
            clock.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)
        except (RekindleError, OSError) as error:
            return _fail(error, NO_ROOM if lacks_room(error) else 1)


def _told_apart(arguments: list[str]) -> tuple[list[str], str, float]:
    """What to do, the file that says to give up (empty: there is none), and the seconds after it."""
    own = 1 + _PATIENT.get(arguments[0] if arguments else "", len(arguments))
    match arguments[own:]:
        case [give_up, seconds]:
            return arguments[:own], give_up, float(seconds)
        case _:
            return arguments, "", 0.0


def _fail(error: Exception, code: int = 1) -> int:
    sys.stderr.write(f"{error}\n")
    return os.EX_TEMPFAIL if _refuses_keys(error) else code


def _refuses_keys(error: Exception) -> bool:
    return isinstance(error, InvalidValue) and bool(error.facts.get("keys"))


def _move(objects: ObjectStore, arguments: list[str]) -> int:
    match arguments:
        case ["download", *pairs] if pairs and len(pairs) % 2 == 0:
            fetch_inputs(objects, pairs)
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
    """Mirrors a folder again and again for as long as our supervisor lives, or until the store refuses our keys: the
    supervisor may have others. What goes wrong is said by the last copy, which the supervisor asks for itself."""
    folder, uri, record = arguments
    supervisor, store = parent(), objects()
    while parent() == supervisor:
        try:
            mirror(store, folder, uri, record)
        except (RekindleError, StoreUnavailable, OSError) as error:
            if _refuses_keys(error):
                return os.EX_TEMPFAIL
            # With the keys that a file holds by now.
            store = objects()
        clock.sleep(FOLLOW_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
