"""A training job in a container, within the job's own process: makes the container, follows it to its end, removes it.

``container.py FILE``, run in the code folder, or ``container.py FILE remove``, which removes it and those of other hosts, and
exits with ``EX_TEMPFAIL`` where the engine does not answer. Standard library only. The container's name follows from the
training job, its attempt and its host, and a name can be given once: nobody starts the same attempt twice, and the next
attempt ends what a former one left running. The engine's client is docker's or podman's; both take the same words.

An engine may be away for a while, as docker's is while it is updated. It is waited for: its containers may have gone on, and
are followed further. One that its engine took with it says nothing of its program: the training job is lost, and tried again.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

PLACE = "/opt/ml"

#: Variables that tell the engine's client itself what to do; the container's must not.
_OF_THE_CLIENT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_",
    "DOCKER_",
    "BUILDKIT_",
    "CONTAINER",
    "PODMAN_",
    "XDG_",
    "REGISTRY_",
    "SSH_",
    "GO",
)
_OF_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy")
#: More files than this are shown to the container by their folders.
_MOST_FILES = 32
#: A container's states, in docker's and podman's words, before its program ran, and while it does.
_NEVER_RAN = ("created", "configured", "initialized")
_RUNS = ("running", "paused", "stopping")
#: The file, beside the one that describes the container, that says why the training job is lost.
_LOST = "lost"
#: Seconds for which an engine that does not answer is waited for, and between two questions.
_PATIENCE_SECONDS, _PAUSE_SECONDS = 600.0, 1.0
#: Seconds within which an engine answers; what it says to a user who may not ask, which no waiting mends.
_ANSWER_SECONDS, _DENIED = 60.0, "permission denied"


class AskedToStop(BaseException):
    """Somebody wants the training job to end."""


def main(path: str, verb: str = "run") -> None:
    """Runs the container that the file describes, and exits as it did; or removes it."""
    with open(path, encoding="utf-8") as file:
        told = json.load(file)
    if verb == "remove":
        sys.exit(end(told))
    folder = os.path.dirname(os.getcwd())
    signal.signal(signal.SIGTERM, _ask)
    sys.exit(run(told, folder, host_of(folder, told["hosts"]), os.path.join(os.path.dirname(path), _LOST)))


def run(told: Mapping[str, Any], folder: str, host: str, lost: str) -> int:
    """The container's exit code; 125 where it could not be made, 143 where it was not to be started any more. Writes into the
    file ``lost`` why that says nothing of the program, where it does not."""
    engine = Engine(told["engine"])
    container = Container(engine, names(told, host)[-1])
    try:
        problem = _made(engine, told, folder, host)
        if problem is not None:
            return _not_made(engine.client, problem)
        container.follow()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except AskedToStop:
        container.stop(int(told["grace"]))
    code = container.exit_code()
    if engine.was_away and (code or engine.takes_containers()):
        # A program may well end with 0 when its engine, going down, asks it to end.
        code = code or 143
        with open(lost, "w", encoding="utf-8") as file:
            client = os.path.basename(engine.client)
            file.write(f"The container engine, {client}, was away while the training job ran, which ended with {code}.")
    remove(engine.client, [container.name])
    return code


def end(told: Mapping[str, Any]) -> int:
    """Removes the containers of all hosts; the exit code."""
    if not Engine(told["engine"], patience=0.0).answers():
        return os.EX_TEMPFAIL
    remove(told["engine"], [names(told, host)[-1] for host in told["hosts"]])
    return 0


class Engine:
    """Docker or podman, by its client; one that does not answer is waited for, ``patience`` seconds."""

    def __init__(self, client: str, patience: float = _PATIENCE_SECONDS) -> None:
        self.client = client
        #: Whether it did not answer at some time, and what it said, or its client.
        self.was_away = False
        self.problem = ""
        self._patience = patience

    def answers(self) -> bool:
        """Whether it does, if need be after a while; one that has been waited for in vain is asked once."""
        until, told = time.monotonic() + self._patience, False
        while (asked := self._run("ps", "--quiet")).returncode:
            self.was_away, self.problem = True, " ".join(asked.stderr.split())
            if time.monotonic() >= until or _DENIED in self.problem.lower():
                self._patience = 0.0
                return False
            if not told:
                sys.stderr.write(f"rekindle: {os.path.basename(self.client)} does not answer; waiting for it: {self.problem}\n")
                told = True
            time.sleep(_PAUSE_SECONDS)
        return True

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        seconds = _ANSWER_SECONDS if words[0] == "ps" else None
        try:
            return subprocess.run([self.client, *words], capture_output=True, text=True, check=False, timeout=seconds)
        except (OSError, subprocess.TimeoutExpired) as error:
            # Also where the client itself is not there, as while it is replaced.
            return subprocess.CompletedProcess(words, 127, "", str(error))

    def asked(self, *words: str) -> str:
        """What it answers, in one word; empty where it has no answer. One that goes while it is asked is waited for."""
        while self.answers():
            answer = self._run(*words)
            if not answer.returncode or not self._run("ps", "--quiet").returncode:
                return (answer.stdout.split() or [""])[-1]
        return ""

    def takes_containers(self) -> bool:
        """Whether its containers end with it. Docker's do, but where it is told to keep them."""
        return self.asked("info", "--format", "{{.LiveRestoreEnabled}}") == "false"


class Container:
    """A container that was made, by its name."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self._engine = engine
        self._follower: subprocess.Popen[bytes] | None = None
        #: When the last follower ended.
        self._left = ""

    def follow(self) -> None:
        """Starts it and passes on what it prints, to its end, or until its engine is away for too long."""
        self._pass_on("start", "--attach", self.name)
        while self._status() in _RUNS:
            # It outlived whatever was: what it ends with from here on is its own.
            self._engine.was_away = False
            if self._pass_on("logs", "--follow", "--since", self._left, self.name):
                # Perhaps its log cannot be read.
                time.sleep(_PAUSE_SECONDS)

    def _pass_on(self, *words: str) -> int:
        # In a session of its own: what ends our group is not to be passed on a second time by the client.
        began = time.monotonic()
        self._follower = subprocess.Popen([self._engine.client, *words], stdin=subprocess.DEVNULL, start_new_session=True)
        code = self._follower.wait()
        if not code or not self._left or time.monotonic() - began > _PAUSE_SECONDS:
            # One that fails at once has passed on nothing: the next begins where it was to begin.
            self._left = datetime.fromtimestamp(time.time(), UTC).isoformat()
        return code

    def _status(self) -> str:
        return self._engine.asked("inspect", "--format", "{{.State.Status}}", self.name)

    def stop(self, grace: int) -> None:
        """Asks it to end, until it has."""
        follower = self._follower
        # Again and again: at first it may not have been started yet; or nobody follows it, for its engine is away.
        while follower is not None and (follower.poll() is None or self._status() in _RUNS):
            words = [self._engine.client, "stop", "-t", str(grace), self.name]
            subprocess.run(words, capture_output=True, check=False)
            time.sleep(0.2)

    def exit_code(self) -> int:
        """Its own, once it has ended: the client's end may have another cause. 143 where it was never started."""
        if self._follower is None:
            return 143
        of_the_client = self._follower.wait() or 125
        if self._status() in _NEVER_RAN:
            return of_the_client
        code = self._engine.asked("wait", self.name)
        return int(code) & 0xFF if code.isdigit() else of_the_client


def host_of(folder: str, hosts: Sequence[str]) -> str:
    """Which of the job's hosts a folder belongs to. A tuning job may be called "hosts", too."""
    parent, name = os.path.split(folder)
    return name if os.path.basename(parent) == "hosts" and name in hosts else hosts[0]


def names(told: Mapping[str, Any], host: str) -> list[str]:
    """The names of a host's containers, attempt by attempt; the last is this one's."""
    return [f"{told['name']}-{attempt}-{host}" for attempt in range(1, told["attempt"] + 1)]


def create_words(told: Mapping[str, Any], folder: str, host: str) -> list[str]:
    """The command that makes the container."""
    entrypoint, arguments = told["entrypoint"], told["arguments"]
    words = [told["engine"], "create", "--name", names(told, host)[-1], "--hostname", host]
    words += ["--label", f"rekindle.run={told['run']}", *_network(told)]
    # Where SELinux labels files, a container may not read ours otherwise, and we may not label the user's.
    words += ["--security-opt", "label=disable"]
    # Our own files hold the environment of whoever runs us.
    words += [*_bind(folder, PLACE), "--mount", f"type=tmpfs,destination={PLACE}/.rekindle"]
    for path, writable in mounts(folder):
        words += _bind(path, path, writable)
    if told["checkpoints"]:
        words += _bind(os.path.join(folder, "checkpoints"), told["checkpoints"])
    words += [*_devices(told["engine"]), *_variables(told["environment"]), *told["options"]]
    if entrypoint:
        words += ["--entrypoint", entrypoint[0]]
    return [*words, told["image"], *entrypoint[1:], *(arguments or ([] if entrypoint else ["train"]))]


def _bind(source: str, target: str, writable: bool = True) -> list[str]:
    """Shows the container what lies here at a path of its own."""
    if ":" not in source + target:
        return ["--volume", f"{source}:{target}" + ("" if writable else ":ro")]
    # A line of CSV, in which a colon is nothing special. It knows no source that is not there, which `--volume` makes.
    fields, line = ["type=bind", f"source={source}", f"target={target}"], io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields if writable else [*fields, "readonly"])
    return ["--mount", line.getvalue()]


def client_environment(told: Mapping[str, Any]) -> dict[str, str]:
    """What the client sees: its own variables, and the container's, so that no value stands in the list of processes."""
    return {**os.environ, **{n: v for n, v in told["environment"].items() if not _steers_the_client(n)}}


def mounts(folder: str) -> list[tuple[str, bool]]:
    """What the folder's links lead to, which must be found at the same path in the container, and whether it is written to."""
    found = dict(_links(folder))
    files = [path for path in found if not os.path.isdir(path)]
    for path in files if len(files) > _MOST_FILES else ():
        parent = os.path.dirname(path)
        found[parent] = found.pop(path) or found.get(parent, False)
    return sorted(found.items())


def remove(engine: str, doomed: Sequence[str]) -> None:
    """Ends and removes containers, those that are there."""
    for name in doomed:
        subprocess.run([engine, "rm", "--force", "--volumes", name], capture_output=True, check=False)


def _ask(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise AskedToStop


def _made(engine: Engine, told: Mapping[str, Any], folder: str, host: str) -> str | None:
    """Makes the container; why it could not be, or None."""
    words, environment = create_words(told, folder, host), client_environment(told)
    doomed = names(told, host)[:-1]
    while engine.answers():
        remove(engine.client, doomed)
        made = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        # From here on it counts: a container that nobody has started is not lost.
        engine.was_away = False
        if not made.returncode:
            return None
        if not engine.answers() or not engine.was_away:
            return made.stderr
        doomed = names(told, host)
    return engine.problem


def _not_made(engine: str, problem: str) -> int:
    words = " ".join(problem.split()) or "it does not say why"
    sys.stderr.write(f"{os.path.basename(engine)}: {words}\n")
    with open("../output/failure", "w", encoding="utf-8") as file:
        file.write(f"ClientError: The container could not be made: {words}")
    return 125


def _network(told: Mapping[str, Any]) -> list[str]:
    if told["isolated"]:
        return ["--network", "none"]
    if len(told["hosts"]) > 1:
        # All hosts are this machine, and must find each other by name.
        return ["--network", "host", *(w for host in told["hosts"] for w in ("--add-host", f"{host}:127.0.0.1"))]
    return []


def _devices(engine: str) -> list[str]:
    """The GPUs that the supervisor chose for us."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if not chosen or not os.path.exists("/dev/nvidiactl"):
        return []
    if os.path.basename(engine) == "docker":
        return ["--gpus", f'"device={chosen}"']
    return [word for name in chosen.split(",") for word in ("--device", f"nvidia.com/gpu={name}")]


def _variables(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        yield "--env"
        yield f"{name}={value}" if _steers_the_client(name) else name


def _steers_the_client(name: str) -> bool:
    return name.startswith(_OF_THE_CLIENT) or name.lower() in _OF_PROXIES


def _links(folder: str) -> Iterator[tuple[str, bool]]:
    for name in ("model", "checkpoints", "output/data"):
        path = os.path.join(folder, name)
        if os.path.islink(path):
            yield os.path.join(os.path.dirname(path), os.readlink(path)), True
    for parent, folders, files in os.walk(os.path.join(folder, "input")):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            if os.path.islink(path):
                yield os.path.join(parent, os.readlink(path)), False


if __name__ == "__main__":
    main(*sys.argv[1:])
