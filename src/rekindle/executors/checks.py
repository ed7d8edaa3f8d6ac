"""Whether this machine can run a training job as its spec has it: what it reads, and where it writes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.object_names import MAX_KEY_BYTES
from rekindle.domain.training_job import LONGEST_NAME, SUBMITTED, Channel, TrainingSpec
from rekindle.executors import container, contract, locations, workdir
from rekindle.executors.host import Host
from rekindle.executors.programs import first_word, is_python
from rekindle.executors.runtimes import JUMPSTART, runs_container, script_of

#: How a program can have its data. A program cannot tell FastFile, which fetches a file when it is first read, from File.
_INPUT_MODES = ("File", "FastFile")
MANIFEST = "ManifestFile"
_DATA_TYPES = ("S3Prefix", MANIFEST)
#: What keys have at least behind the URIs of outputs and of checkpoints, besides a training job's name.
_BEHIND = {"output.uri": "//output/output.tar.gz", "checkpoints.uri": "//x"}
#: Files of a source folder of which it is found out before a job is created whether they can be read: a second or so.
_LOOKED_AT = 20_000
#: Where a container has its checkpoints in any case.
CHECKPOINTS = f"{container.PLACE}/checkpoints"


def check_channels(spec: TrainingSpec, transfer: Sequence[str]) -> None:
    """As ``check_channel``, for all inputs."""
    for channel in spec.channels:
        check_channel(channel, transfer)


def check_source(spec: TrainingSpec, static: Mapping[str, str] | None, host: Host) -> None:
    """Raises InvalidValue for a folder of code of which something cannot be read: no training job could copy it. ``static`` are
    the hyperparameters that may name a script's, where they are known."""
    field, folder = "source", spec.algorithm.source
    script = None if static is None else script_of(spec.algorithm, static, host.images)
    if script is not None and not locations.is_remote(script[0]):
        field = f"hyperparameters.{SUBMITTED}"
        path = locations.local_path(script[0], field)
        folder = str(path) if path.is_dir() else None
    closed = workdir.unreadable(folder, skipped(spec, host), _LOOKED_AT) if folder else ""
    if folder and closed:
        inside = os.path.relpath(closed, os.path.realpath(folder))
        way_out = f"Make it readable, or name a folder without it as `{field.rpartition('.')[2]}`."
        raise InvalidValue(field, folder, f"{inside!r} in it cannot be read, and all of it is copied", way_out)


def away(spec: TrainingSpec) -> str:
    """What a training job would read of this machine's files and is not there (any more); empty where all is."""
    source = spec.algorithm.source
    if source is not None and not os.path.isdir(source):
        return f"its source folder, {source!r}"
    for channel in spec.channels:
        if not locations.is_remote(channel.uri) and not locations.matches(locations.local_path(channel.uri, "uri")):
            return f"its input {channel.name!r}, {channel.uri!r}"
    return _interpreter_away(spec)


def _interpreter_away(spec: TrainingSpec) -> str:
    """The same for the Python, or the program, that a path names: an environment is moved, or built anew, as a folder is."""
    algorithm = spec.algorithm
    if algorithm.python is not None and not is_python(algorithm.python):
        return f"its Python, {algorithm.python!r}"
    program = first_word(algorithm.command or "")
    return f"its program, {program!r}" if os.path.isabs(program) and not os.path.exists(program) else ""


def check_places(spec: TrainingSpec, transfer: Sequence[str]) -> None:
    """Raises InvalidValue or Unsupported for an output or checkpoint folder that cannot be written to."""
    places = {"output.uri": spec.output.uri, "checkpoints.uri": spec.checkpoints.uri if spec.checkpoints else None}
    for name, uri in places.items():
        if uri is not None and locations.is_remote(uri):
            check_transfer(name, uri, transfer)
            _check_key(name, uri)
        elif uri is not None:
            _check_writable(name, uri, locations.local_path(uri, name))


def check_checkpoints(spec: TrainingSpec, host: Host) -> None:
    """Raises InvalidValue for a place in a container at which no engine shows it a folder."""
    if spec.checkpoints is None or not runs_container(spec.algorithm, host.images):
        return
    place = spec.checkpoints.local_path
    if place and (not os.path.isabs(place) or os.path.normpath(place) in ("/", "//", container.PLACE)):
        reason = f"in a container this must be the whole path of a folder, and neither / nor {container.PLACE}"
        raise InvalidValue("checkpoints.local_path", place, reason, f"Leave it out: checkpoints are at {CHECKPOINTS} then.")


def check_environment(spec: TrainingSpec) -> None:
    """Raises InvalidValue for a variable that is too long for the operating system."""
    for name, value in spec.environment.items():
        if not contract.is_short_enough(name, value):
            reason = f"a variable of {len(value):,} characters is too long to start a program with; the limit is 128 KiB"
            raise InvalidValue(f"environment.{name}", value, reason, "Give the path of a file in its place.")


def skipped(spec: TrainingSpec, host: Host) -> list[str]:
    """What no copy of the source holds: our own files, and the results of other jobs, which would pile up in each copy."""
    uris = [spec.output.uri, spec.checkpoints.uri if spec.checkpoints else None]
    places = [locations.local_path(uri, "output.uri") for uri in uris if uri and not locations.is_remote(uri)]
    return [str(path) for path in (host.root, *host.hidden, *places)]


def field_of(channel: Channel, name: str) -> str:
    """What a field of a channel is called in errors."""
    return f"channels.{channel.name}.{name}"


def check_channel(channel: Channel, transfer: Sequence[str]) -> None:
    """Raises InvalidValue or Unsupported for an input that this machine cannot give a training job. ``transfer`` is the command
    that moves objects; empty where there is no object store."""
    if channel.name in (".", ".."):
        raise InvalidValue("channels", channel.name, "not a name for a channel")
    if channel.input_mode not in _INPUT_MODES:
        way_out = "Use File or FastFile; both copy the data before the program starts."
        raise InvalidValue(field_of(channel, "input_mode"), channel.input_mode, "this mode is not available here", way_out)
    if channel.uri.startswith(JUMPSTART):
        field = field_of(channel, "uri")
        raise Unsupported(f"{field}: {channel.uri!r}: data of JumpStart's, in a bucket of AWS's.", "Give your own.", field)
    if channel.data_type not in _DATA_TYPES:
        way_out = f"Use {' or '.join(_DATA_TYPES)}."
        raise InvalidValue(field_of(channel, "data_type"), channel.data_type, "this type is not available here", way_out)
    if channel.data_type == MANIFEST and not locations.is_remote(channel.uri):
        raise InvalidValue(field_of(channel, "uri"), channel.uri, "a manifest can be at s3:// only")
    if locations.is_remote(channel.uri):
        check_transfer(field_of(channel, "uri"), channel.uri, transfer)
    else:
        _check_data(field_of(channel, "uri"), channel.uri)


def _check_data(name: str, uri: str) -> None:
    found = locations.matching(locations.local_path(uri, name))
    if not found:
        raise InvalidValue(name, uri, "there is no such file or folder")
    closed = [path for path in found if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK)]
    if closed:
        raise InvalidValue(name, uri, f"{str(closed[0])!r} cannot be read by this user", "Make it readable.")


def check_transfer(name: str, uri: str, transfer: Sequence[str]) -> None:
    """Raises Unsupported for a URI of an object store, in the field ``name``, where there is none."""
    if not transfer:
        raise Unsupported(f"{name}: {uri!r}: no object store is set up here.", "Use a path or a file:// URI.", name)


def _check_key(name: str, uri: str) -> None:
    """Raises InvalidValue for a prefix behind which no key has room: results would be refused after all the work."""
    room = MAX_KEY_BYTES - LONGEST_NAME - len(_BEHIND[name])
    size = len(uri.removeprefix("s3://").partition("/")[2].rstrip("/").encode(errors="surrogatepass"))
    if size > room:
        reason = f"behind it keys would be longer than S3's {MAX_KEY_BYTES:,} bytes"
        raise InvalidValue(name, uri, reason, f"Name a prefix of at most {room} bytes, not {size:,}.")


def _check_writable(name: str, uri: str, path: Path) -> None:
    way_out = "Name a folder that you may write to."
    try:
        existing = next(p for p in (path, *path.parents) if p.exists() or p.is_symlink())
        if not existing.is_dir():
            raise InvalidValue(name, uri, f"{str(existing)!r} is not a folder", way_out)
        # Permissions do not tell it all: no folder can be made in /proc, on a full disk or beyond a quota.
        os.rmdir(tempfile.mkdtemp(prefix=".rekindle-", dir=existing))
    except OSError as error:
        raise InvalidValue(name, uri, f"no folder can be made there ({error.strerror})", way_out) from error
