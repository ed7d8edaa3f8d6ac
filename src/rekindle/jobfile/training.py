"""The part of a job file that says how one training job runs: program, data, results."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rekindle.domain.builtins.catalogue import BUILTINS, Builtin, builtin_named
from rekindle.domain.errors import InvalidValue
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import (
    DEFAULT_MAX_RUNTIME_SECONDS,
    MAX_INSTANCES,
    PROGRAM,
    Algorithm,
    Channel,
    Checkpoints,
    Output,
    Resources,
    TrainingSpec,
)
from rekindle.engine.paths import with_home
from rekindle.jobfile.errors import JobFileError
from rekindle.jobfile.values import Table, Value

MAX_CHANNELS = 20
MAX_RETRIES = 30
ARGUMENT_STYLES = {"cli": "cli", "none": "none"}
#: What says how a command runs, and what says the same of an image.
OF_A_COMMAND = {
    "source": "Where an image's script is stands in static.sagemaker_submit_directory.",
    "python": "Which Python an image's script runs with stands in images.yaml (docs/settings.md).",
    "arguments": "An image's script has its values as arguments.",
}
COMPRESSIONS = {"gzip": "GZIP", "none": "NONE"}

#: The content types of files by the ends of their names; a folder's is said, or the algorithm's default.
CONTENT_TYPES = {
    ".csv": "text/csv",
    ".csv.gz": "text/csv",
    ".tsv": "text/csv",
    ".libsvm": "text/libsvm",
    ".svm": "text/libsvm",
    ".parquet": "application/x-parquet",
    ".recordio": "application/x-recordio-protobuf",
    ".pbr": "application/x-recordio-protobuf",
}

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_CHANNEL = re.compile(r"[A-Za-z0-9.\-_]{1,64}")
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
#: A part of a path that is a variable, as a shell reads it.
_IN_PATH = re.compile(r"(?:^|/)(\$\w+|\$\{\w+\})(?:/|$)")


def read_training(table: Table, folder: Path, metrics: tuple[MetricDefinition, ...]) -> TrainingSpec:
    """What every training job of the job file has in common; relative paths start from ``folder``."""
    limits, retries, builtin = table.get("limits"), table.get("retries"), read_builtin(table)
    runtime = None if limits is None else limits.table().get("job_runtime")
    return TrainingSpec(
        algorithm=_algorithm(table, folder, metrics, builtin),
        channels=tuple(_with_type(c) if builtin else c for c in _channels(table.get("channels"), folder)),
        output=_output(table.get("output"), folder),
        checkpoints=_checkpoints(table.get("checkpoints"), folder),
        resources=_resources(table.get("resources")),
        max_runtime_seconds=DEFAULT_MAX_RUNTIME_SECONDS if runtime is None else runtime.seconds(),
        environment=_environment(table.get("environment")),
        max_retries=0 if retries is None else retries.whole(least=0, most=MAX_RETRIES),
    )


def read_builtin(table: Table) -> Builtin | None:
    """The built-in algorithm that a job file names, by ``algorithm`` or as an image."""
    named, image, static = table.get("algorithm"), table.get("image"), table.get("static")
    if named is None:
        script = static is not None and PROGRAM in static.texts()
        return None if image is None or script or table.get("command") else builtin_named(image.text("a name"))
    for key in ("command", "image", "source", "python", "arguments"):
        other = table.get(key)
        if other is not None:
            raise other.refuse("a built-in algorithm has its own program", f"Remove `{key}`, or `algorithm`.")
    return named.choice({builtin.name: builtin for builtin in BUILTINS})


def _with_type(channel: Channel) -> Channel:
    """A built-in algorithm's channel with the content type that its file's name tells, where none is given."""
    found = next((kind for end, kind in CONTENT_TYPES.items() if channel.uri.lower().endswith(end)), None)
    return channel if channel.content_type is not None else replace(channel, content_type=found)


def _algorithm(table: Table, folder: Path, metrics: tuple[MetricDefinition, ...], builtin: Builtin | None) -> Algorithm:
    if builtin is not None and table.get("algorithm") is not None:
        return Algorithm(image=builtin.name, metrics=metrics)
    command, image = table.get("command"), table.get("image")
    if command is None and image is None:
        raise JobFileError("command: missing", "Say what to run: command: python train.py, or algorithm: xgboost")
    if command is None:
        _check_image_alone(table)
        return Algorithm(image=image.text("a name") if image else None, metrics=metrics)
    if image is not None:
        raise image.refuse("an image goes instead of `command`, which is run on this machine as it is", "Remove one of them.")
    source, python, style = table.get("source"), table.get("python"), table.get("arguments")
    return Algorithm(
        command=_command(command),
        source=str(folder) if source is None else _path(source, folder),
        python=None if python is None else _path(python, folder),
        arguments_style="cli" if style is None else style.choice(ARGUMENT_STYLES),
        metrics=metrics,
    )


def _check_image_alone(table: Table) -> None:
    """An image has no use for what says how a command runs."""
    for key, instead in OF_A_COMMAND.items():
        value = table.get(key)
        if value is not None:
            raise value.refuse("goes with `command` only", f"Remove it. {instead}")


def _command(value: Value) -> str:
    if value.is_list:
        command = shlex.join(part.text("a word of the command") for part in value.items())
    else:
        command = value.text("a command line").strip()
    if not command:
        raise value.refuse("the command is empty")
    try:
        shlex.split(command)
    except ValueError as error:
        raise value.refuse(f"not a command line: {str(error).lower()}") from error
    return command


def _channels(value: Value | None, folder: Path) -> tuple[Channel, ...]:
    if value is None:
        return ()
    found = [_channel(name, v, folder) for name, v in value.table(expected="a table of `name: path`").values()]
    if len(found) > MAX_CHANNELS:
        raise value.refuse(f"{len(found)} channels; there may be {MAX_CHANNELS}")
    _check_variables(value.table(), found)
    return tuple(found)


def _check_variables(table: Table, channels: Sequence[Channel]) -> None:
    """A program finds its data by variables in upper case: channels whose names differ in case only would share one."""
    first: dict[str, str] = {}
    for channel in channels:
        other = first.setdefault(channel.name.upper(), channel.name)
        if other != channel.name:
            reason = f"the channel {other!r} has the same variable, SM_CHANNEL_{other.upper()}"
            raise table.need(channel.name, "").refuse(reason, "Let their names differ by more than case.")


def _channel(name: str, value: Value, folder: Path) -> Channel:
    if not _CHANNEL.fullmatch(name):
        raise value.refuse("a channel's name has 1 to 64 letters, digits and . - _")
    if value.is_scalar:
        return Channel(name, _place(value, folder))
    fields = value.table(("uri", "content_type"))
    uri, content_type = fields.need("uri", "Say where the data is."), fields.get("content_type")
    return Channel(name, _place(uri, folder), content_type=None if content_type is None else content_type.text())


def _output(value: Value | None, folder: Path) -> Output:
    if value is None:
        return Output()
    if value.is_scalar:
        return Output(_place(value, folder))
    fields = value.table(("uri", "compression"))
    uri, compression = fields.get("uri"), fields.get("compression")
    return Output(
        None if uri is None else _place(uri, folder),
        "GZIP" if compression is None else compression.choice(COMPRESSIONS),
    )


def _checkpoints(value: Value | None, folder: Path) -> Checkpoints | None:
    if value is None:
        return None
    if value.is_scalar:
        return Checkpoints(_place(value, folder))
    fields = value.table(("uri", "local_path"))
    place, local = _place(fields.need("uri", "Say where checkpoints are kept."), folder), fields.get("local_path")
    return Checkpoints(place) if local is None else Checkpoints(place, local.text("a path"))


def _resources(value: Value | None) -> Resources:
    if value is None:
        return Resources()
    fields = value.table(("instances", "gpus", "cpus"))
    instances, gpus, cpus = fields.get("instances"), fields.get("gpus"), fields.get("cpus")
    return Resources(
        instance_count=1 if instances is None else instances.whole(least=1, most=MAX_INSTANCES),
        gpus=0 if gpus is None else gpus.whole(least=0, most=1024),
        cpus=0 if cpus is None else cpus.whole(least=0, most=65_536),
    )


def _environment(value: Value | None) -> dict[str, str]:
    if value is None:
        return {}
    for name, field in value.table().values():
        if not _VARIABLE.fullmatch(name) or len(name) > 512:
            raise field.refuse("a variable's name has letters, digits and _, and starts with no digit")
    return value.texts()


def _place(value: Value, folder: Path) -> str:
    """A URI as it is, a path made absolute."""
    text = value.text("a path or a URI")
    return text if _URI.match(text) else _path(value, folder)


def _path(value: Value, folder: Path) -> str:
    text = value.text("a path")
    if not text.strip():
        raise value.refuse("the path is empty")
    try:
        path = os.path.abspath(folder / with_home(text, value.path))
    except InvalidValue as error:
        raise value.refuse(error.reason, error.hint) from error
    variable = _IN_PATH.search(text)
    if variable and not os.path.lexists(path):
        # It would become a folder of this name beside the job file.
        raise value.refuse(f"{variable[1]}: job files read no variables", "Write the whole path; ~ is your home.")
    return path
