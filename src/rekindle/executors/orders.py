"""From a run to its supervisor's orders: the tree to build, the program with its variables, where results go."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rekindle.domain.errors import InvalidValue, RekindleError, Unsupported
from rekindle.domain.manifest import MARK
from rekindle.domain.object_names import MAX_KEY_BYTES
from rekindle.domain.training_job import FAILURE_REASON_LIMIT, SUBMITTED, Channel, Owner, TrainingSpec
from rekindle.engine.ports import Run
from rekindle.executors import access, container, contract, locations, machine, ray_cluster, records, workdir
from rekindle.executors.host import Host
from rekindle.executors.instances import asked
from rekindle.executors.leftovers import RUN_MARK
from rekindle.executors.programs import Container, Elsewhere, Program, command_program, first_word, is_python, name_elsewhere
from rekindle.executors.runtimes import JUMPSTART, image_program, runs_container, view, with_code
from rekindle.executors.slots import Held

_FOLDERS = ("input/config", "input/data", "model", "output/data", "code")
#: What each further host has of its own; the rest is links.
_HOST_FOLDERS = ("input/config", "input/data", "output", "code")
#: Where a package that is only loaded by path is found: what the supervisor scans metrics with.
_ENGINE = "re2"
#: Seconds that a container engine or a cluster has, besides the grace, to end a program.
_ENGINE_SECONDS = 10.0
#: How a program can have its data. A program cannot tell FastFile, which fetches a file when it is first read, from File.
_INPUT_MODES = ("File", "FastFile")
_MANIFEST = "ManifestFile"
_DATA_TYPES = ("S3Prefix", _MANIFEST)
#: What keys have at least behind the URIs of outputs and of checkpoints, besides a training job's name of so many bytes.
_BEHIND = {"output.uri": "//output/output.tar.gz", "checkpoints.uri": "//x"}
_LONGEST_NAME = 63
#: Files of a source folder of which it is found out before a job is created whether they can be read: a second or so.
_LOOKED_AT = 20_000
#: Where a container has its checkpoints in any case.
_CHECKPOINTS = f"{container.PLACE}/checkpoints"
#: The folder, below the root, of environments built for requirements.
ENVIRONMENTS = ".environments"


def orders_of(run: Run, folder: Path, host: Host) -> records.Fields:
    """The orders for a run. What cannot be done is an order too: to report why."""
    try:
        fields = _orders(run, folder, host)
        records.pack(fields)
        return fields
    except (RekindleError, ValueError) as error:
        reason = f"ClientError: {error}".replace("\0", "")[:FAILURE_REASON_LIMIT]
        return _base(run, folder, host) | {"refusal": [reason]}


def with_held(fields: records.Fields, run: Run, held: Held) -> records.Fields:
    """The orders, with what the run holds for its life: how many locks it is handed, and GPUs, so many for each host."""
    given = [str(len(held.gpus) // run.spec.resources.instance_count), *held.gpus] if held.gpus else []
    return fields | {"held": [str(len(held.locks))], "given gpus": given}


def check_channels(spec: TrainingSpec, transfer: Sequence[str]) -> None:
    """Raises InvalidValue or Unsupported for an input that this machine cannot give a training job."""
    for channel in spec.channels:
        _check_channel(channel, transfer)


def check_source(spec: TrainingSpec, host: Host) -> None:
    """Raises InvalidValue for a source folder of which something cannot be read: no training job could copy it."""
    source = spec.algorithm.source
    path = workdir.unreadable(source, skipped(spec, host), _LOOKED_AT) if source else ""
    if source and path:
        inside = os.path.relpath(path, os.path.realpath(source))
        way_out = "Make it readable, or name a folder without it as `source`."
        raise InvalidValue("source", source, f"{inside!r} in it cannot be read, and all of it is copied", way_out)


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
            _check_transfer(name, uri, transfer)
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
        raise InvalidValue("checkpoints.local_path", place, reason, f"Leave it out: checkpoints are at {_CHECKPOINTS} then.")


def check_environment(spec: TrainingSpec) -> None:
    """Raises InvalidValue for a variable that is too long for the operating system."""
    for name, value in spec.environment.items():
        if not contract.is_short_enough(name, value):
            reason = f"a variable of {len(value):,} characters is too long to start a program with; the limit is 128 KiB"
            raise InvalidValue(f"environment.{name}", value, reason, "Give the path of a file in its place.")


def _orders(run: Run, folder: Path, host: Host) -> records.Fields:
    spec = run.spec
    program = _program(run, host)
    inputs, wanted = _inputs(spec.channels, host.transfer, _sharded(spec))
    wanted += _code(program, host.transfer)
    checkpoints = _linked_checkpoints(run)
    others = spec.resources.hosts[1:]
    told = {name: _told(run, _home(folder, name), host, program, name) for name in (contract.HOST, *others)}
    files = {f"{t.folder}/{path}": text for t in told.values() for path, text in contract.config_files(t).items()}
    elsewhere = _elsewhere(run, folder, host, program, told[contract.HOST])
    if elsewhere is None:
        environments = {n: lines(_environment(run, folder, host, program, t)) for n, t in told.items()}
    else:
        # The program's own variables are in its description; these are those of the client that starts it.
        client = {**host.environment, RUN_MARK: workdir.attempt_of(folder, run.key.attempt)}
        environments = dict.fromkeys(told, lines(client))
    return _base(run, folder, host) | {
        "refusal": [],
        "folders": [*_FOLDERS, checkpoints or "checkpoints", *(f"hosts/{n}/{f}" for n in others for f in _HOST_FOLDERS)],
        "files": _by_turns({**files, **(elsewhere.files if elsewhere else {})}),
        "links": _by_turns({**inputs, **program.links, **_host_links(spec, program, folder, others)}),
        "hosts": list(others),
        "code": ["code", *(f"hosts/{name}/code" for name in others)],
        "sharded": _sharded(spec),
        "source": [str(program.source)] if program.source else [],
        "skip": skipped(spec, host),
        "checkpoints": [checkpoints] if checkpoints else [],
        **_synchronised_checkpoints(run, folder, host),
        "inputs": [channel.name for channel in spec.channels],
        # One process fetches everything: its start would cost more than most data.
        "fetch all": [*host.transfer, "download", *wanted] if wanted else [],
        "fetched": [place.removeprefix("../") for place in wanted[1::2]],
        "command": elsewhere.command if elsewhere else list(program.argv),
        "before": ray_cluster.end_of_former(run, folder),
        "remove": elsewhere.removal if elsewhere else [],
        "grace": [str(host.grace_seconds + (_ENGINE_SECONDS if elsewhere else 0))],
        "toolkit": [program.shown] if program.is_script else [],
        "hint": [program.hint] if program.hint else [],
        "environment": environments[contract.HOST],
        **{f"environment {name}": environments[name] for name in others},
        "transfer environment": lines(transfer_variables(run.key.owner, workdir.attempt_of(folder, run.key.attempt), host)),
        "limit": [str(max(0.0, spec.max_runtime_seconds - run.spent_seconds))],
        "metrics": [item for d in spec.algorithm.metrics for item in (d.name, d.regex)],
        "packages": [_packages()],
        "gpus": _gpus(run, host),
        **_results(run, folder, host),
    }


def _base(run: Run, folder: Path, host: Host) -> records.Fields:
    log = [str(host.log_head_bytes), str(host.log_keep_bytes)]
    return {"folder": [str(folder)], "grace": [str(host.grace_seconds)], "log": log}


def _program(run: Run, host: Host) -> Program:
    algorithm = run.spec.algorithm
    if algorithm.command is not None:
        # The Python of a cluster is its nodes'.
        program = command_program(algorithm, run.hyperparameters, None if host.ray else host.path_of(run.spec))
        # One host has nobody to look for, and to make a view takes almost as long as all else of a short job.
        several = run.spec.resources.instance_count > 1
        return replace(program, argv=(*view("hosts"), *program.argv)) if several else program
    hyperparameters = with_code(run.hyperparameters, run.spec.channels)
    return image_program(algorithm, hyperparameters, host.path, host.root / ENVIRONMENTS, host.images)


def _elsewhere(run: Run, folder: Path, host: Host, program: Program, told: contract.Told) -> Elsewhere | None:
    """The program where it does not run as a process of ours."""
    if host.ray:
        ray_cluster.check(run.spec, host)
        return ray_cluster.ray_job_of(run, folder, host, program, _environment(run, folder, host, program, told))
    return None if program.container is None else _container(run, folder, host, program, program.container)


def _container(run: Run, folder: Path, host: Host, program: Program, wanted: Container) -> Elsewhere:
    hosts = run.spec.resources.hosts
    local = run.spec.checkpoints.local_path if run.spec.checkpoints else ""
    described: dict[str, Any] = {
        "engine": wanted.engine,
        "name": name_elsewhere(run.key.name, folder),
        "attempt": run.key.attempt,
        "run": workdir.attempt_of(folder, run.key.attempt),
        "hosts": hosts,
        "image": wanted.image,
        "options": wanted.options,
        "entrypoint": wanted.entrypoint,
        "arguments": wanted.arguments,
        "environment": {
            "AWS_REGION": run.key.owner.region,
            **run.spec.environment,
            **_names(run),
        },
        "isolated": run.spec.network_isolation,
        "checkpoints": "" if os.path.normpath(local) == _CHECKPOINTS else local,
        "grace": int(host.grace_seconds),
    }
    place = f"{workdir.attempt_of(folder, run.key.attempt)}/container.json"
    command = [*program.argv, place]
    return Elsewhere({place: json.dumps(described)}, command, [*command, "remove"])


def skipped(spec: TrainingSpec, host: Host) -> list[str]:
    """What no copy of the source holds: our own files, and the results of other jobs, which would pile up in each copy."""
    uris = [spec.output.uri, spec.checkpoints.uri if spec.checkpoints else None]
    places = [locations.local_path(uri, "output.uri") for uri in uris if uri and not locations.is_remote(uri)]
    return [str(path) for path in (host.root, *host.hidden, *places)]


def _code(program: Program, transfer: Sequence[str]) -> list[str]:
    if program.fetch is None:
        return []
    uri, inside = program.fetch
    _check_transfer(f"hyperparameters.{SUBMITTED}", uri, transfer)
    return [uri, f"../{inside}"]


def _home(folder: Path, name: str) -> Path:
    """The folder of one of the job's hosts."""
    return folder if name == contract.HOST else folder / "hosts" / name


def _sharded(spec: TrainingSpec) -> list[str]:
    """The channels of which each host gets a part."""
    several = spec.resources.instance_count > 1
    return [c.name for c in spec.channels if several and c.distribution == "ShardedByS3Key"]


def _host_links(spec: TrainingSpec, program: Program, folder: Path, others: Sequence[str]) -> dict[str, str]:
    """What the further hosts share with the first."""
    sharded = _sharded(spec)
    shared = ["model", "output/data", "checkpoints", *(f"input/data/{c.name}" for c in spec.channels if c.name not in sharded)]
    if program.fetch is not None:
        shared.append(program.fetch[1])
    links = {f"hosts/{name}/{inside}": str(folder / inside) for name in others for inside in shared}
    return links | {f"hosts/{name}/{inside}": target for name in others for inside, target in program.links.items()}


def _told(run: Run, folder: Path, host: Host, program: Program, name: str) -> contract.Told:
    return contract.Told(
        folder=str(folder),
        job_name=run.key.name,
        raw=run.hyperparameters if program.raw is None else program.raw,
        values=program.values,
        arguments=program.arguments,
        channels=run.spec.channels,
        instance_type=run.spec.resources.instance_type,
        cpus=_cpus(run, host),
        gpus=_gpus_each(run, host),
        entry_point=program.entry_point,
        module_dir=program.module_dir,
        framework=program.framework,
        hosts=run.spec.resources.hosts,
        host=name,
        checkpoints=run.spec.checkpoints,
    )


def _environment(run: Run, folder: Path, host: Host, program: Program, told: contract.Told) -> dict[str, str]:
    """What the program sees; later wins: defaults, the user's shell, the way to AWS, the program's, the job's, the contract."""
    shell = ray_cluster.inherited(host.environment) if host.ray else host.environment
    base = {n: v for n, v in shell.items() if n != "PYTHONHOME" or not program.first_on_path}
    job = {
        **_names(run),
        "SM_CHECKPOINT_DIR": f"{told.folder}/checkpoints",
        "REKINDLE_CHECKPOINTS": f"{told.folder}/checkpoints",
    }
    defaults = {"PYTHONUNBUFFERED": "1", **machine.thread_variables(_cpus(run, host))}
    if len(told.hosts) > 1:
        # All hosts are this machine, and where there are no views their names are unknown.
        defaults["MASTER_ADDR"] = "127.0.0.1"
    return {
        **defaults,
        **base,
        **access.of_program(run, host),
        **program.variables,
        **job,
        **run.spec.environment,
        "PATH": host.path_of(run.spec, program.first_on_path),
        **contract.variables(told),
        **(contract.toolkit_variables(told, run.key.owner.region) if program.is_script else {}),
        RUN_MARK: workdir.attempt_of(folder, run.key.attempt),
    }


def _by_turns(pairs: Mapping[str, str]) -> list[str]:
    """Names and values as orders hold them: by turns."""
    return [item for pair in pairs.items() for item in pair]


def lines(variables: Mapping[str, str]) -> list[str]:
    """Variables as orders hold them: ``name=value``."""
    return [f"{name}={value}" for name, value in variables.items()]


def transfer_variables(owner: Owner, attempt: str, host: Host) -> dict[str, str]:
    """What the processes see that move an owner's objects; ``attempt`` is the attempt's folder."""
    return {**host.environment, **host.transfer_variables(owner), RUN_MARK: attempt}


def _names(run: Run) -> dict[str, str]:
    """What every training job is told of itself, in a container or not."""
    owner, name = run.key.owner, run.key.name
    arn = f"arn:aws:sagemaker:{owner.region}:{owner.account}:training-job/{name.lower()}"
    return {"TRAINING_JOB_NAME": name, "TRAINING_JOB_ARN": arn}


def _cpus(run: Run, host: Host) -> int:
    """How many CPUs each of a job's programs is meant to use: as it asks for, as its instance type has, or its share."""
    share = 1.0 if host.ray else machine.cpus() / _processes(run)
    return max(1, int(asked(host.instances, run.spec.resources).amount.cpus or share))


def _processes(run: Run) -> int:
    """How many programs are meant to run at once here."""
    return max(1, run.share) * run.spec.resources.instance_count


def _gpus_each(run: Run, host: Host) -> int:
    """How many GPUs each of a job's programs is to see: those that the job chooses, else as many as it asks for, as its
    instance type has, or its share."""
    if "CUDA_VISIBLE_DEVICES" in run.spec.environment:
        return len(machine.gpus(run.spec.environment))
    wanted = asked(host.instances, run.spec.resources).gpus
    if host.ray:
        return wanted
    names = machine.gpus(host.environment)
    return min(len(names), wanted or max(1, len(names) // _processes(run)))


def _gpus(run: Run, host: Host) -> list[str]:
    """The folder of the locks, how many to take, and of which."""
    names = machine.gpus(host.environment)
    if not names or host.ray or "CUDA_VISIBLE_DEVICES" in run.spec.environment:
        return []
    return [str(host.root), str(_gpus_each(run, host)), *names]


def _inputs(channels: Sequence[Channel], transfer: Sequence[str], sharded: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Links by path within the run folder, and what must be fetched: URI and folder by turns."""
    links: dict[str, str] = {}
    wanted: list[str] = []
    for channel in channels:
        _check_channel(channel, transfer)
        inside = f"input/{'shared' if channel.name in sharded else 'data'}/{channel.name}"
        if locations.is_remote(channel.uri):
            mark = MARK if channel.data_type == _MANIFEST else ""
            wanted += [mark + channel.uri, f"../{inside}"]
        else:
            links |= _links(inside, locations.local_path(channel.uri, _field(channel, "uri")))
    return links, wanted


def _links(inside: str, path: Path) -> dict[str, str]:
    if os.path.isdir(path):
        return {inside: str(path)}
    return {f"{inside}/{found.name}": str(found) for found in locations.matching(path)}


def _field(channel: Channel, name: str) -> str:
    return f"channels.{channel.name}.{name}"


def _check_channel(channel: Channel, transfer: Sequence[str]) -> None:
    if channel.name in (".", ".."):
        raise InvalidValue("channels", channel.name, "not a name for a channel")
    if channel.input_mode not in _INPUT_MODES:
        way_out = "Use File or FastFile; both copy the data before the program starts."
        raise InvalidValue(_field(channel, "input_mode"), channel.input_mode, "this mode is not available here", way_out)
    if channel.uri.startswith(JUMPSTART):
        field = _field(channel, "uri")
        raise Unsupported(f"{field}: {channel.uri!r}: data of JumpStart's, in a bucket of AWS's.", "Give your own.", field)
    if channel.data_type not in _DATA_TYPES:
        way_out = f"Use {' or '.join(_DATA_TYPES)}."
        raise InvalidValue(_field(channel, "data_type"), channel.data_type, "this type is not available here", way_out)
    if channel.data_type == _MANIFEST and not locations.is_remote(channel.uri):
        raise InvalidValue(_field(channel, "uri"), channel.uri, "a manifest can be at s3:// only")
    if locations.is_remote(channel.uri):
        _check_transfer(_field(channel, "uri"), channel.uri, transfer)
    else:
        _check_data(_field(channel, "uri"), channel.uri)


def _check_data(name: str, uri: str) -> None:
    found = locations.matching(locations.local_path(uri, name))
    if not found:
        raise InvalidValue(name, uri, "there is no such file or folder")
    closed = [path for path in found if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK)]
    if closed:
        raise InvalidValue(name, uri, f"{str(closed[0])!r} cannot be read by this user", "Make it readable.")


def _check_transfer(name: str, uri: str, transfer: Sequence[str]) -> None:
    if not transfer:
        raise Unsupported(f"{name}: {uri!r}: no object store is set up here.", "Use a path or a file:// URI.", name)


def _check_key(name: str, uri: str) -> None:
    """Raises InvalidValue for a prefix behind which no key has room: results would be refused after all the work."""
    room = MAX_KEY_BYTES - _LONGEST_NAME - len(_BEHIND[name])
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


def _linked_checkpoints(run: Run) -> str:
    """The folder of this machine where checkpoints are kept; empty where none was asked for."""
    if run.spec.checkpoints is None or locations.is_remote(run.spec.checkpoints.uri):
        return ""
    return str(locations.local_path(run.spec.checkpoints.uri, "checkpoints.uri") / _apart(run))


def _apart(run: Run) -> str:
    """Where a run's checkpoints are below the place that was asked for: those of a tuning job are kept apart; one of its own
    has the place itself, so that the next one goes on from there, as SageMaker's guide to checkpoints has it."""
    return run.key.name if run.group else ""


def _synchronised_checkpoints(run: Run, folder: Path, host: Host) -> records.Fields:
    """The commands that bring checkpoints from an object store, keep up with them, and copy them a last time."""
    if run.spec.checkpoints is None or not locations.is_remote(run.spec.checkpoints.uri):
        return {"restore": [], "follow": [], "mirror": []}
    uri = run.spec.checkpoints.uri
    _check_transfer("checkpoints.uri", uri, host.transfer)
    here, there = str(folder / "checkpoints"), "/".join(part for part in (uri.rstrip("/"), _apart(run)) if part) + "/"
    record = str(folder / workdir.CONTROL / "checkpoints.json")
    return {
        "restore": [*host.transfer, "restore", there, here, record],
        "follow": [*host.transfer, "follow", here, there, record],
        "mirror": [*host.transfer, "mirror", here, there, record, *_giving_up(run, folder, host)],
    }


def _giving_up(run: Run, folder: Path, host: Host) -> list[str]:
    """What ends a transfer's wait for an object store: a file, and the seconds that are left from then on."""
    return [f"{workdir.attempt_of(folder, run.key.attempt)}/{workdir.GIVE_UP}", str(host.grace_seconds)]


def _results(run: Run, folder: Path, host: Host) -> records.Fields:
    """For the model and the other output: the folder, where it goes here, its URI, the transfers that take it on."""
    packed = run.spec.output.compression != "NONE"
    fields: records.Fields = {}
    for kind, source in (("model", "model"), ("output", "output/data")):
        name = f"{kind}.tar.gz" if packed else kind
        fields |= _result(kind, source, name, run, folder, host)
    return fields


def _result(kind: str, source: str, name: str, run: Run, folder: Path, host: Host) -> records.Fields:
    uri = run.spec.output.uri
    if uri is not None and locations.is_remote(uri):
        _check_transfer("output.uri", uri, host.transfer)
        target = f"{uri.rstrip('/')}/{run.key.name}/output/{name}"
        here = str(folder / "output" / f"upload-{name}")
        put = [*host.transfer, "upload", here, target, *_giving_up(run, folder, host)]
        return {kind: [source, here, target, f"put {kind}"], f"put {kind}": put}
    parent = folder if uri is None else locations.local_path(uri, "output.uri") / run.key.name
    place = parent / "output" / name
    return {kind: [source, str(place), place.as_uri()]}


def _packages() -> str:
    module = sys.modules.get(_ENGINE) or __import__(_ENGINE)
    return str(Path(module.__file__ or "").parent.parent)
