"""Moves objects of the embedded store in a process of its own, straight between its folder and a training job's.

The store is a folder of this machine and may be opened by several processes, so no request, no client and no server are
needed: jobs that run while the server is down bring their results in. It starts light; it tells what went wrong in one line,
and of a full disk by the exit code ``NO_ROOM``.
A URI to download is a prefix or, as ``manifest+s3://...``, that of a manifest. What says when to give up is not looked at: a
folder is never waited for.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from rekindle.domain.errors import RekindleError
from rekindle.engine.inputs import fetch_inputs
from rekindle.engine.room import NO_ROOM, lacks_room
from rekindle.s3.folder_objects import FolderObjects

USAGE = "usage: ROOT ACCOUNT REGION DEFAULT_ACCOUNT download URI FOLDER [URI FOLDER ...] | upload PATH URI [GIVE_UP SECONDS]\n"


def main(root: str, account: str, region: str, default_account: str, *arguments: str) -> int:
    """Does what the arguments say; the exit code."""
    try:
        with closing(FolderObjects(Path(root), account, region, default_account)) as objects:
            match arguments:
                case ["download", *pairs] if pairs and len(pairs) % 2 == 0:
                    fetch_inputs(objects, pairs)
                case ["upload", path, uri] | ["upload", path, uri, _, _]:
                    objects.upload(path, uri)
                case _:
                    sys.stderr.write(USAGE)
                    return 2
    except (RekindleError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return NO_ROOM if lacks_room(error) else 1
    return 0
