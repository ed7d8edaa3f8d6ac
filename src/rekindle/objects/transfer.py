"""Moves objects in a process of its own: ``python -I -m rekindle.objects.transfer download URI FOLDER | upload PATH URI``.

Supervisors run it, so that gigabytes never pass through a worker. It tells what went wrong in one line.
"""

from __future__ import annotations

import sys

from rekindle.domain.errors import RekindleError
from rekindle.objects.store import Objects


def main(arguments: list[str]) -> int:
    """Does what the arguments say; the exit code."""
    try:
        match arguments:
            case ["download", uri, folder]:
                Objects().download(uri, folder)
            case ["upload", path, uri]:
                Objects().upload(path, uri)
            case _:
                sys.stderr.write("usage: transfer download URI FOLDER | upload PATH URI\n")
                return 2
    except (RekindleError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
