"""Inputs of training jobs in an object store: what lies below a prefix, or what a manifest lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.domain.errors import InvalidValue
from rekindle.domain.manifest import MARK, MAX_BYTES, parse_manifest
from rekindle.domain.object_names import checked_relative, in_the_way
from rekindle.engine.room import lacks_room

if TYPE_CHECKING:  # a transfer must start light: the ports bring half of the domain
    from rekindle.engine.ports import ObjectStore

#: How many of a manifest's objects are looked for before a job is created, and at how many names below a prefix is looked: as
#: many as S3 lists at once. What is wrong with the rest is found when it is fetched.
LOOKED_FOR = 1000


def check_manifest(objects: ObjectStore, uri: str) -> None:
    """Whether a manifest can be read and its objects are there. Raises InvalidValue."""
    manifest = parse_manifest(objects.read(uri, MAX_BYTES), uri)
    for name in manifest.names[:LOOKED_FOR]:
        listed = manifest.prefix + name
        try:
            found = objects.has(listed)
        except InvalidValue as error:
            raise InvalidValue(
                "uri", uri, f"{listed!r}, which it lists: {error.reason}", error.hint, code="manifest"
            ) from error
        if not found:
            raise InvalidValue("uri", uri, f"there is no object {listed!r}, which it lists", code="manifest")


def fetch_inputs(objects: ObjectStore, pairs: Sequence[str]) -> None:
    """Brings inputs into folders: a URI and a folder by turns. Nothing of them stays where the disk is full, for half of them
    would be in the way of all who wait for room. Raises as ``fetch_input`` does, and OSError."""
    try:
        for uri, folder in zip(pairs[::2], pairs[1::2], strict=True):
            fetch_input(objects, uri, folder)
    except (InvalidValue, OSError) as error:
        if lacks_room(error):
            from shutil import rmtree

            for folder in pairs[1::2]:
                rmtree(folder, ignore_errors=True)
        raise


def fetch_input(objects: ObjectStore, uri: str, folder: str) -> None:
    """Brings an input into a folder: all below a prefix or, marked so, all that a manifest lists. Raises InvalidValue."""
    if not uri.startswith(MARK):
        objects.download(uri, folder)
        return
    uri = uri.removeprefix(MARK)
    manifest = parse_manifest(objects.read(uri, MAX_BYTES), uri)
    for name in manifest.names:
        objects.fetch(manifest.prefix + name, str(made_way(folder, name, uri)))


def made_way(folder: str, name: str, uri: str) -> Path:
    """Where an object goes below a folder, with the folders down to there. Raises InvalidValue where another object is in the
    way."""
    target = Path(folder) / checked_relative(name, uri)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise in_the_way(name, uri) from error
    if target.is_dir():
        raise in_the_way(name, uri)
    return target
