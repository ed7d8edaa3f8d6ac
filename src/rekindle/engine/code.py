"""The code of a script: whether its archive can be unpacked, and holds the file that is to be started."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Collection

from rekindle.domain.errors import InvalidValue, first_of
from rekindle.domain.training_job import PROGRAM, SUBMITTED

#: Archives that are longer, or that unpack to more, are not looked into before a job is created; in bytes.
MAX_BYTES = 4 << 20
_MAX_UNPACKED = 64 << 20
#: Whose file must be there: anything else may be a module that is installed.
_SCRIPTS = (".py", ".sh")


def check_archive(content: bytes, uri: str, program: str, field: str) -> None:
    """Raises InvalidValue for an archive that cannot be unpacked, or that surely lacks the program. ``field`` is where the
    hyperparameters are."""
    import lzma
    import tarfile

    names: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as packed:
            for member in packed:
                if packed.offset > _MAX_UNPACKED or member.issym() or member.islnk():
                    # Too large to read on; or a link, by which any path may be there.
                    return
                if member.isfile():
                    names.add(os.path.normpath(member.name))
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        way_out = "Make it anew: tar -czf sourcedir.tar.gz -C FOLDER ."
        raise InvalidValue(f"{field}.{SUBMITTED}", uri, f"the archive cannot be unpacked: {error}", way_out) from error
    check_program(names, program, field)


def check_program(names: Collection[str], program: str, field: str) -> None:
    """Raises InvalidValue where the code, whose files have these ``names``, surely lacks the program."""
    is_module = program.endswith(".py") and "setup.py" in names
    if not program.endswith(_SCRIPTS) or is_module or os.path.normpath(program) in names:
        return
    base = os.path.basename(program)
    # What is likely meant comes first.
    known = sorted(names, key=lambda name: (os.path.basename(name) != base, not name.endswith(_SCRIPTS), name))
    way_out = f"It has: {first_of([repr(name) for name in known])}." if known else "It has no files at all."
    raise InvalidValue(f"{field}.{PROGRAM}", program, "the code has no such file", way_out)
