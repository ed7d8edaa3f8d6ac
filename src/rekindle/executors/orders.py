"""From a run to its supervisor's orders: the tree to build, the program with its variables, where results go."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rekindle.domain.errors import RekindleError
from rekindle.domain.manifest import MARK
from rekindle.domain.training_job import FAILURE_REASON_LIMIT, SUBMITTED, Channel, Owner, TrainingSpec
from rekindle.engine.ports import Run
from rekindle.executors import access, contract, locations, machine, ray_cluster, records, workdir
from rekindle.executors.checks import CHECKPOINTS, MANIFEST, check_channel, check_transfer, field_of, skipped
from rekindle.executors.host import Host
from rekindle.executors.instances import asked
from rekindle.executors.leftovers import RUN_MARK
from rekindle.executors.programs import Container, Elsewhere, Program, command_program, name_elsewhere
from rekindle.executors.runtimes import image_program, view, with_code
from rekindle.executors.slots import Held

_FOLDERS = ("input/config", "input/data", "model", "output/data", "code")
#: What each further host has of its own; the rest is links.
_HOST_FOLDERS = ("input/config", "input/data", "output", "code")
#: Where a package that is only loaded by path is found: what the supervisor scans metrics with.
_ENGINE = "re2"
#: Seconds that a container engine or a cluster has, besides the grace, to end a program.
_ENGINE_SECONDS = 10.0
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
        program = command_program(algorithm, run.hyperparameters, None if host.cluster else host.path_of(run.spec))
        # One host has nobody to look for, and to make a view takes almost as long as all else of a short job.
        several = run.spec.resources.instance_count > 1
        return replace(program, argv=(*view("hosts"), *program.argv)) if several else program
    hyperparameters = with_code(run.hyperparameters, run.spec.channels)
    return image_program(algorithm, hyperparameters, host.path, host.root / ENVIRONMENTS, host.images)


def _elsewhere(run: Run, folder: Path, host: Host, program: Program, told: contract.Told) -> Elsewhere | None:
    """The program where it does not run as a process of ours."""
    if host.cluster:
        host.cluster.check(run.spec, host)
        return host.cluster.elsewhere(run, folder, host, program, _environment(run, folder, host, program, told))
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
        "checkpoints": "" if os.path.normpath(local) == CHECKPOINTS else local,
        "grace": int(host.grace_seconds),
    }
    place = f"{workdir.attempt_of(folder, run.key.attempt)}/container.json"
    command = [*program.argv, place]
    return Elsewhere({place: json.dumps(described)}, command, [*command, "remove"])


def _code(program: Program, transfer: Sequence[str]) -> list[str]:
    if program.fetch is None:
        return []
    uri, inside = program.fetch
    check_transfer(f"hyperparameters.{SUBMITTED}", uri, transfer)
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
    shell = host.cluster.inherited(host.environment) if host.cluster else host.environment
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
    share = 1.0 if host.cluster else machine.cpus() / _processes(run)
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
    if host.cluster:
        return wanted
    names = machine.gpus(host.environment)
    return min(len(names), wanted or max(1, len(names) // _processes(run)))


def _gpus(run: Run, host: Host) -> list[str]:
    """The folder of the locks, how many to take, and of which."""
    names = machine.gpus(host.environment)
    if not names or host.cluster or "CUDA_VISIBLE_DEVICES" in run.spec.environment:
        return []
    return [str(host.root), str(_gpus_each(run, host)), *names]


def _inputs(channels: Sequence[Channel], transfer: Sequence[str], sharded: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Links by path within the run folder, and what must be fetched: URI and folder by turns."""
    links: dict[str, str] = {}
    wanted: list[str] = []
    for channel in channels:
        check_channel(channel, transfer)
        inside = f"input/{'shared' if channel.name in sharded else 'data'}/{channel.name}"
        if locations.is_remote(channel.uri):
            mark = MARK if channel.data_type == MANIFEST else ""
            wanted += [mark + channel.uri, f"../{inside}"]
        else:
            links |= _links(inside, locations.local_path(channel.uri, field_of(channel, "uri")))
    return links, wanted


def _links(inside: str, path: Path) -> dict[str, str]:
    if os.path.isdir(path):
        return {inside: str(path)}
    return {f"{inside}/{found.name}": str(found) for found in locations.matching(path)}


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
    check_transfer("checkpoints.uri", uri, host.transfer)
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
        check_transfer("output.uri", uri, host.transfer)
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
