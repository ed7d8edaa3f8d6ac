"""A training job on a Ray cluster, within the job's own process: submits it, follows it to its end, stops it.

``ray_job.py run ATTEMPT``; ``ray_job.py end|ask ATTEMPT...`` for what others have left running: ``ask`` does not wait for a
cluster that is silent. Standard library only: Ray's Jobs API is HTTP, so that no Ray need be installed here. A Ray job's id
is that of one attempt, and Ray takes an id once: nobody starts the same attempt twice, and an attempt begins with the end of
those before it. What the program prints comes by a file, for the training job's folder is one that all
nodes have.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

# HTTP is loaded where it is spoken: processes that only take our names, as every command does, have no cluster to ask.
if TYPE_CHECKING:
    from urllib.error import HTTPError

#: Seconds between two looks at a job, that an answer may take, and that it may where somebody waits for us.
_GLANCE, ANSWER_SECONDS, GLIMPSE_SECONDS = 0.5, 30.0, 5.0
#: Seconds after which a node surely has ended what a head that is gone had told it to run: it notices after 60.
_ORPHAN_SECONDS = 75.0
#: Seconds that a cluster may be silent when a job is to be submitted.
_PATIENCE_SECONDS = 300.0
#: Seconds after which it is told that a job waits.
_WAITING_SECONDS = 60.0
#: The exit code of a job whose node does not have the training job's folder, and those of a program that cannot be started.
NO_FOLDER, _NOT_STARTED = 97, (126, 127)
#: The files of an attempt: what we are told, the script that runs the program, what it prints and by which pipe, its exit code.
DESCRIPTION, LAUNCH, OUTPUT, PIPE, EXIT = "ray.json", "launch.sh", "ray-output", "ray-pipe", "ray-exit"
WAY_OUT = "Set REKINDLE_RAY_ADDRESS to the URL of the cluster's dashboard, and RAY_AUTH_TOKEN where it wants a token"
#: Bytes of a program's output that are passed on between two looks at the job.
_PART = 1 << 20
#: Characters of what is said of a program that cannot be started.
_PROBLEM = 500
_NODES = "`ray status` on a node says what there is. Where no node ever has so much, stop the job and ask for less."
_NO_RAY = "what answers there is not the Jobs API of Ray"
#: What Ray says of a job that it does not have. A web server that is no Ray says 404, too, and knows nothing of what runs.
_UNKNOWN = "does not exist"
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
#: Our own word for a job that waits in Ray's queue, which it cannot leave, and that will find nothing to run.
_WITHDRAWN = "WITHDRAWN"
#: What Ray says of a job that waited too long for its resources: it never began.
_NEVER_BEGAN = ("JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE")


class Silent(Exception):
    """The cluster does not answer, or not to who shows our token: so it may be for a while."""


class Refused(Exception):
    """The cluster does not do what it is asked to."""


class Cluster:
    """A cluster's Jobs API; ``environ`` has the token of one that wants it."""

    def __init__(self, address: str, seconds: float = ANSWER_SECONDS, environ: Mapping[str, str] = os.environ) -> None:
        self.address = address
        self._seconds = seconds
        self._environ = environ

    def job(self, name: str) -> dict[str, Any] | None:
        """What Ray says of a job; None where it knows none of that id. Raises Silent or Refused."""
        found = self._ask("GET", f"/api/jobs/{quote(name)}")
        if found is not None and "status" not in found:
            raise Refused(_NO_RAY)
        return found

    def submit(self, request: Mapping[str, Any]) -> None:
        """Submits a job. Raises Silent, where it may be submitted all the same, or Refused."""
        self._ask("POST", "/api/jobs/", request)

    def stop(self, name: str) -> None:
        """Asks for the end of a job. Raises Silent or Refused."""
        self._ask("POST", f"/api/jobs/{quote(name)}/stop")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        import http.client
        import urllib.error
        import urllib.request

        # Looked for each time: a file may hold another by now, and jobs run for days.
        token = _token(self._environ)
        data = None if body is None else json.dumps(body).encode()
        # The address is one of http or https: the settings see to that.
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
        if token:
            if not (token.isascii() and token.isprintable()):
                # Whoever refuses such a header says what it holds.
                raise Silent("the token for it holds a line break, or another character that no token has")
            # Not for whoever we are sent on to.
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=self._seconds) as answer:  # noqa: S310
                _check_place(answer.url, request.full_url)
                return _as_ray_s(answer.read())
        except urllib.error.HTTPError as error:
            words = _text_of(error)
            _check_place(error.url, request.full_url)
            if error.code == 404 and _UNKNOWN in words:
                return None
            # So answer for a while a head that starts or lacks a part, a proxy before it, and who is shown a token that has run
            # out: its file may soon hold the next.
            kind = Silent if error.code in (401, 403, 500, 502, 503, 504) else Refused
            raise kind(f"{error.code}: {_last_line(words)}{_by_proxy(self.address)}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Silent((str(getattr(error, "reason", error)) or repr(error)) + _by_proxy(self.address)) from error


class Job:
    """One attempt at a training job, as Ray has it. ``told`` is what ``ray_cluster`` writes."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        self._cluster = Cluster(told["address"])
        #: How much of the program's output was passed on.
        self._passed = 0
        #: The beginning of it.
        self._first = b""
        self._try = 1
        self._asked = threading.Event()
        self._began = time.monotonic()
        self._said = ""
        signal.signal(signal.SIGTERM, self._ask_to_stop)

    @property
    def _id(self) -> str:
        return _name(self._told["id"], self._try)

    def run(self) -> int:
        """Submits and follows; the exit code."""
        while not self._asked.is_set():
            try:
                self._submit()
            except (Silent, Refused) as error:
                if self._asked.is_set():
                    break
                return _fail(f"The Ray cluster at {self._cluster.address} did not take the job: {error}. {WAY_OUT}")
            found = self._followed()
            if found is None or found.get("error_type") not in _NEVER_BEGAN:
                _discard(self._told["control"], OUTPUT)
                return self._end(found)
            self._try += 1
        return 128 + signal.SIGTERM

    def _ask_to_stop(self, _number: int, _frame: object) -> None:
        self._asked.set()

    def _submit(self) -> None:
        """Raises Silent or Refused, and then the cluster surely does not have the job."""
        deadline, sent = time.monotonic() + _PATIENCE_SECONDS, False
        while True:
            late = self._asked.is_set() or time.monotonic() > deadline
            try:
                if self._cluster.job(self._id) is None:
                    sent = True
                    self._cluster.submit({**self._told["request"], "submission_id": self._id})
                return
            except (Silent, Refused) as error:
                # A job that was sent may have arrived, though the answer did not, or was that its id is taken.
                if (late or isinstance(error, Refused)) and (not sent or self._never_arrives()):
                    raise
                self._say(f"the Ray cluster at {self._cluster.address} gives no answer ({error}); trying again.")
            time.sleep(_GLANCE)

    def _never_arrives(self) -> bool:
        """Whether a job that was sent is not there and, should it arrive after all, finds nothing to run."""
        with contextlib.suppress(Silent, Refused):
            if self._cluster.job(self._id) is None:
                withdraw(self._told["control"])
                return self._cluster.job(self._id) is None
        return False

    def _followed(self) -> dict[str, Any] | None:
        """What Ray says of the job at its end; None where it knows it no more. However long that takes: a head may be away
        while its jobs go on."""
        told, heard = False, time.monotonic()
        while True:
            try:
                if self._asked.is_set() and not told:
                    withdraw(self._told["control"])
                    self._cluster.stop(self._id)
                    told = True
                found = self._cluster.job(self._id)
                heard = time.monotonic()
                if found is None or found["status"] in _ENDED:
                    self._pass_on_all()
                    return found
                if found["status"] == "PENDING" and told:
                    return {**found, "status": _WITHDRAWN}
                if found["status"] == "PENDING" and time.monotonic() > self._began + _WAITING_SECONDS:
                    self._say(
                        f"the job waits in the Ray cluster for a node with {self._wanted()}: {found.get('message')} {_NODES}"
                    )
            except (Silent, Refused) as error:
                if self._asked.is_set() and _noted(self._told["control"]) is not None:
                    # The node has seen for itself that the program was to end.
                    self._pass_on_all()
                    return None
                if time.monotonic() > heard + _WAITING_SECONDS:
                    self._say(f"the Ray cluster at {self._cluster.address} says nothing of the job ({error}); waiting for it.")
            if not self._pass_on():
                time.sleep(_GLANCE)

    def _end(self, found: Mapping[str, Any] | None) -> int:
        """What became of the job, as an exit code."""
        if found is not None and found["status"] == "SUCCEEDED":
            return 0
        if found is not None and found["status"] == _WITHDRAWN:
            return 128 + signal.SIGTERM
        noted = code = _noted(self._told["control"])
        if found is not None and found["status"] == "STOPPED":
            # Without a word of the program's end it was killed.
            stopped = 128 + signal.SIGKILL if code is None else code
            return stopped if self._asked.is_set() else _fail("The job was stopped in the Ray cluster by somebody else.")
        code = found.get("driver_exit_code") if code is None and found is not None else code
        if code is None:
            return self._lost("it knows nothing of the job any more" if found is None else _last_line(found.get("message")))
        if code == NO_FOLDER and noted is None:
            where = f"The node of the Ray cluster does not have the folder {self._told['folder']!r}, or may not enter it. "
            return _fail(where + "Set REKINDLE_HOME to a folder on a file system that all nodes share.")
        if code in _NOT_STARTED and (problem := self._problem_of_env()):
            return _fail(f"The command could not be started: {problem}")
        return _as_ended(code)

    def _lost(self, message: str) -> int:
        """Not the program's doing: a node or the head went down."""
        withdraw(self._told["control"])
        with open(self._told["lost"], "w", encoding="utf-8") as file:
            file.write(f"The Ray cluster lost the training job: {message}")
        return os.EX_TEMPFAIL

    def _problem_of_env(self) -> str:
        """Why the program could not be started on its node, if it was that."""
        said = self._first.decode("utf-8", "replace")
        return said.removeprefix("env: ").strip() if said.startswith("env: ") else ""

    def _path(self, name: str) -> str:
        return os.path.join(self._told["control"], name)

    def _pass_on(self) -> bool:
        """Prints the next part of what the program has printed: all of it at once has no end where somebody prints faster than
        we do. Whether there may be more."""
        part = b""
        # Opened anew each time: that is what makes a network's file system look again.
        with contextlib.suppress(OSError), open(self._path(OUTPUT), "rb") as file:
            file.seek(self._passed)
            part = file.read(_PART)
        self._passed += len(part)
        self._first += part[: _PROBLEM - len(self._first)]
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return len(part) == _PART

    def _pass_on_all(self) -> None:
        while self._pass_on():
            pass

    def _wanted(self) -> str:
        """What the job asks for: no node may ever have that, and yet it is not refused, for a cluster may grow."""
        asked = self._told["request"]
        amounts = (
            (asked.get("entrypoint_num_cpus"), "CPUs"),
            (asked.get("entrypoint_num_gpus"), "GPUs"),
            (asked.get("entrypoint_memory", 0) / 1e9, "GB of memory"),
        )
        return ", ".join(f"{amount:g} {unit}" for amount, unit in amounts if amount)

    def _say(self, words: str) -> None:
        if words != self._said:
            self._said = words
            sys.stdout.buffer.write(os.fsencode(f"rekindle: {words}\n"))
            sys.stdout.buffer.flush()


def withdraw(attempt: str) -> None:
    """Takes away what a job would run: one that Ray has not begun by now never runs anything, and what has begun ends, should
    the cluster not hear of it."""
    _discard(attempt, LAUNCH)


def _noted(attempt: str) -> int | None:
    """The program's exit code, as its node has noted it; None where it has not."""
    try:
        with open(os.path.join(attempt, EXIT), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _discard(attempt: str, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(attempt, name))


def end(attempts: Sequence[str], waits: bool) -> None:
    """Returns once no job of the attempts, given by their folders, runs any more. A cluster that is silent is waited for, as
    long as that takes or until a node has noted the program's end, or the attempt's description is removed; unless ``waits``,
    it is left alone."""
    for attempt in attempts:
        withdraw(attempt)
        said = False
        while (told := _description(attempt)) is not None:
            try:
                _end_all(told, waits)
                break
            except (Silent, Refused) as error:
                if not waits or _noted(attempt) is not None:
                    break
                if not said:
                    words = f"waiting for the Ray cluster at {told['address']}, where a former attempt may run: {error}"
                    way_out = f"If that cluster is gone for good, remove {os.path.join(attempt, DESCRIPTION)}"
                    sys.stdout.write(f"rekindle: {words}. {way_out}\n")
                    sys.stdout.flush()
                said = True
            time.sleep(_GLANCE)


def _description(attempt: str) -> dict[str, Any] | None:
    """What ``ray_cluster`` wrote of an attempt; None where it has sent no job to a cluster."""
    try:
        with open(os.path.join(attempt, DESCRIPTION), encoding="utf-8") as file:
            told: dict[str, Any] = json.load(file)
            return told
    except (OSError, ValueError):
        # Half a description is that of a job that was never sent.
        return None


def _end_all(told: Mapping[str, Any], waits: bool) -> None:
    """Returns once none of an attempt's tries runs. Raises Silent or Refused."""
    cluster, number = Cluster(told["address"], ANSWER_SECONDS if waits else GLIMPSE_SECONDS), 1
    status = ""
    while (found := cluster.job(_name(told["id"], number))) is not None:
        status = found["status"]
        if status not in _ENDED:
            cluster.stop(_name(told["id"], number))
        if status in (*_ENDED, "PENDING"):
            number += 1
        else:
            time.sleep(_GLANCE)
    if waits and status != "STOPPED":
        _await_orphan(told["control"])
    _discard(told["control"], OUTPUT)


def _await_orphan(attempt: str) -> None:
    """A head that was started anew knows nothing of what its nodes still run, and one that has lost sight of a node says that
    its jobs have failed: nodes take a minute to notice, and end them then."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while os.path.exists(os.path.join(attempt, PIPE)) and not os.path.exists(os.path.join(attempt, EXIT)):
        if time.monotonic() > deadline:
            return
        time.sleep(_GLANCE)


def _name(first: str, number: int) -> str:
    """The id of a try: the first that began is the last, and ids are taken for good."""
    return first if number == 1 else f"{first}.{number}"


def _as_ended(code: int) -> int:
    """The exit code; where a shell says so of a signal, we end by it, too, so that it is told by its name."""
    number = code - 128
    if number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL):
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return code


def _fail(words: str) -> int:
    with open("../output/failure", "w", encoding="utf-8") as file:
        file.write(f"ClientError: {words}")
    return 1


def _token(environ: Mapping[str, str]) -> str:
    """The token of a cluster that wants one, as Ray's own clients find it."""
    if token := environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    path = environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


def _check_place(url: str, asked: str) -> None:
    """Raises Refused where somebody else answers than was asked: what is to be submitted or stopped does not get there."""
    if url != asked:
        raise Refused(f"it sends us on to {url}")


def _by_proxy(address: str) -> str:
    """What to say of the proxy by way of which an address is asked; empty where there is none."""
    import urllib.request

    url = urlsplit(address)
    if url.scheme not in urllib.request.getproxies() or urllib.request.proxy_bypass(url.netloc):
        return ""
    return f" (by way of the proxy in {url.scheme}_proxy; no_proxy names hosts that are asked without it)"


def _as_ray_s(answer: bytes) -> dict[str, Any]:
    """An answer of Ray's. Raises Refused for what somebody else says, such as the page of another server."""
    with contextlib.suppress(ValueError):
        if isinstance(found := json.loads(answer), dict):
            return found
    raise Refused(_NO_RAY)


def _text_of(error: HTTPError) -> str:
    """What was said with an error; of a page its title only."""
    import http.client

    with contextlib.suppress(OSError, http.client.HTTPException):
        words = error.read().decode("utf-8", "replace")
        return str(error.reason) if words.lstrip().startswith("<") else words
    return str(error.reason)


def _last_line(text: str | None) -> str:
    lines = [line for line in (text or "").splitlines() if line.strip()]
    return lines[-1].strip()[:_PROBLEM] if lines else "no word of why"


def main(verb: str, *attempts: str) -> None:
    """The command line."""
    if verb != "run":
        return end(attempts, waits={"end": True, "ask": False}[verb])
    with open(os.path.join(attempts[0], DESCRIPTION), encoding="utf-8") as file:
        told = json.load(file)
    sys.exit(Job(told).run())


if __name__ == "__main__":
    main(*sys.argv[1:])
