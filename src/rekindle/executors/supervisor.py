"""The small process that runs one attempt at one training job, and outlives whoever launched it.

It is started with the attempt's lock held (descriptor 3) and keeps it for life: who finds the lock free and no end in the
journal knows that it was killed. It must start in milliseconds, so it imports next to nothing; it is the home of its own
clock, for nobody is there to give it one.

::

    orders -> build the tree -> fetch inputs -> run the command -> store results -> journal the end -> drop what was fetched
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import sys
import time

from rekindle.engine.patience import MIRROR_PATIENCE_SECONDS, PATIENCE_SECONDS
from rekindle.engine.processes import start_of
from rekindle.engine.room import NO_ROOM, lacks_room
from rekindle.executors import children, logfile, records, workdir
from rekindle.executors.children import CannotStart, signal
from rekindle.executors.crew import FIRST_PAUSE, KEYS_PAUSE, LEFTOVERS_SECONDS, Companion, Crew, Member, Output
from rekindle.executors.guard import stand_guard
from rekindle.executors.reasons import (
    OF_MEMORY,
    REASON_LIMIT,
    SILENT,
    failure_file,
    last_words,
    misspelt,
    with_place,
    without_driver,
)

# We start light: no contextlib.
# ruff: noqa: SIM105

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rekindle.domain.scanning import LineScanner

#: The descriptor on which the launcher hands over the attempt's lock.
LOCK = 3
#: Seconds that go on whatever is done to the machine's clock, and while it sleeps, where ``time.monotonic`` stands still.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: When those began, as the clock says when we do. All that we tell has its time by this: a clock that is set makes no training
#: job longer or shorter than it was, nor puts a metric before the training.
_ORIGIN = time.time() - time.clock_gettime(_STEADY)
#: The exit code that the training toolkit takes for a lack of memory.
_KILLED = 137
#: The exit code of a program that was called with the wrong arguments.
_USAGE = 2
_KEYS_WANTED = (
    "the object store refuses the keys; trying again. Put new ones into the shared credentials file, or "
    "start rekindle again with new ones in its environment."
)
_ROOM_WANTED = "the disk is full; waiting for room for the results"
#: Seconds for which a full disk's having room again is waited for, and between two looks.
_ROOM_PATIENCE_SECONDS, _ROOM_LOOK_SECONDS = 600.0, 5.0
#: What a disk says that fails, one that its system has closed to writing since, and one of another host that was restarted.
_OF_THE_DISK = (errno.EIO, errno.EROFS, errno.ESTALE)
#: Seconds that a container engine or a cluster gets to end what runs there.
_REMOVAL_SECONDS = 120.0
#: Seconds for which an engine that is away is waited for, so that what it runs ends.
_ENGINE_PATIENCE_SECONDS = 600.0
#: The longest that we sleep at a time: poll's clock is an int.
_DAY_MS = 86_400_000
#: How many calls in one another the longest path that a system takes can need: it has 2,048 names, and copying and packing
#: take up to three calls for each. With Python's 1,000 a model was lost of which folders lie deeper.
_CALLS = 10_000


def _now() -> float:
    """Seconds since the epoch."""
    return _ORIGIN + time.clock_gettime(_STEADY)


class Journal:
    """What the supervisor tells: JSON lines, appended; all emissions precede the end. Survives a full disk by waiting."""

    def __init__(self, path: str) -> None:
        # The journal's being there is the mark that this attempt has begun: it is made once and never again.
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._unwritten = b""

    def tell(self, *lines: bytes) -> None:
        """Appends lines; what a full disk does not take is kept for the next time."""
        self._unwritten += b"".join(lines)
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._fd, self._unwritten) :]
        except OSError:
            pass

    def end(self, line: bytes) -> None:
        """Appends the last line and returns once it is on the disk, however long that takes."""
        self.tell(line)
        while self._unwritten:
            time.sleep(1.0)
            self.tell()
        os.fsync(self._fd)


class Wishes:
    """Signals as they arrive: someone wants us to stop, or a child has ended."""

    def __init__(self, attempt: str) -> None:
        self._stop_file = os.path.join(attempt, workdir.STOP)
        self._give_up_file = os.path.join(attempt, workdir.GIVE_UP)
        self._told, telling = os.pipe()
        os.set_blocking(self._told, False)
        os.set_blocking(telling, False)
        signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
        self.terminated = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        # A hang-up or an interrupt is meant for a terminal's programs, and we are none.
        self.terminated = self.terminated or number == signal.SIGTERM

    @property
    def stop(self) -> bool:
        """Whether the run was asked to stop."""
        return os.path.exists(self._stop_file)

    @property
    def give_up(self) -> bool:
        """Whether somebody who wants us to stop would rather have an end than results in an object store that has no keys
        or no answer for us."""
        return os.path.exists(self._give_up_file)

    def wait(self, seconds: float | None, *readable: int) -> list[int]:
        """Waits for a signal or for input; which descriptors have input or are at their end."""
        poll = select.poll()
        for descriptor in (self._told, *readable):
            poll.register(descriptor, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(None if seconds is None else min(max(0, int(seconds * 1000) + 1), _DAY_MS))]
        if self._told in ready:
            os.read(self._told, 4096)
        return [fd for fd in ready if fd != self._told]


class Ended(Exception):
    """The run is over: its state (as RunState has it), exit code, failure reason and, once it is stored, model."""

    def __init__(self, state: str, exit_code: int | None = None, reason: str | None = None) -> None:
        super().__init__(state)
        self.state = state
        self.exit_code = exit_code
        self.reason = reason
        self.model: str | None = None

    def line(self) -> bytes:
        """The journal's last line."""
        # A path in it need not be text.
        reason = None if self.reason is None else os.fsencode(self.reason).decode("utf-8", "replace")[:REASON_LIMIT]
        return records.end(self.state, _now(), self.exit_code, reason, self.model)


class NoRoom(Ended):
    """It has failed for want of room on a disk."""


class Supervisor:
    """One attempt, from its orders to its end."""

    def __init__(self, attempt: str, orders: records.Fields, journal: Journal, wishes: Wishes) -> None:
        self._attempt = attempt
        self._folder = orders["folder"][0]
        self._orders = orders
        self._journal = journal
        self._wishes = wishes
        self._grace = float(orders["grace"][0])
        self._output = self._output_into(attempt)
        self._gpus: list[int] = []
        self._given = orders.get("given gpus", [])

    def run(self) -> Ended:
        """Does all of it."""
        try:
            self._phase("Starting", "Starting the training job")
            self._prepare()
            ended = self._train()
            self._keep_checkpoints(ended)
            return self._keep_results(ended)
        except Ended as ended:
            return ended

    def _phase(self, status: str, message: str) -> None:
        self._journal.tell(records.line({"phase": status, "at": _now(), "message": message}))

    def _prepare(self) -> None:
        for reason in self._orders["refusal"]:
            raise Ended("failed", reason=reason)
        self._give_way()
        try:
            self._end_former_attempts()
            self._build()
        except OSError as error:
            raise Ended("failed", reason=f"{_whose(error)}: The training job's folder could not be made: {error}") from error
        if self._orders["inputs"] or self._orders["restore"]:
            self._phase("Downloading", "Downloading input data")
        # Not there in orders of a worker that goes on while its package is replaced, where there is nothing to fetch.
        if self._orders.get("fetch all"):
            self._bring("fetch all", "Data download failed")
        if self._orders["restore"]:
            self._bring("restore", "Checkpoint download failed")
        self._deal()
        self._give_way()

    def _build(self) -> None:
        """Makes the job's folder. Raises OSError."""
        # Half of a copy is in the way of all who wait.
        self._await_room(lambda: workdir.build(self._folder, self._orders), lambda: workdir.clear(self._folder))

    def _bring(self, name: str, problem: str) -> None:
        """Runs a command that brings data in."""
        self._await_room(lambda: self._transfer(name, problem, self._called_off), lambda: None)

    def _await_room(self, act: Callable[[], None], undo: Callable[[], None]) -> None:
        """Does something, again while the disk is full, as at a launch: that is no fault of the training job's, and would be
        the end of one after the other. Raises what else it meets."""
        until: float | None = None
        while True:
            try:
                return act()
            except (OSError, NoRoom) as error:
                deadline = time.monotonic() + _ROOM_PATIENCE_SECONDS if until is None else until
                if not (isinstance(error, NoRoom) or lacks_room(error)) or time.monotonic() >= deadline:
                    raise
                undo()
            if until is None:
                self._say("the disk is full; waiting for room")
            until = deadline
            self._wishes.wait(_ROOM_LOOK_SECONDS)
            self._give_way()

    def _end_former_attempts(self) -> None:
        """Those on a cluster, which must not find the folder changed under their feet."""
        if self._orders.get("before"):
            # Commands start there, and a former attempt may have ended without one.
            os.makedirs(os.path.join(self._folder, "code"), exist_ok=True)
            self._transfer("before", "A former attempt could not be ended", self._called_off)

    def _deal(self) -> None:
        """Shares channels among the hosts."""
        for channel in self._orders["sharded"]:
            homes = [self._folder, *(os.path.join(self._folder, "hosts", host) for host in self._orders["hosts"])]
            targets = [os.path.join(home, "input", "data", channel) for home in homes]
            try:
                workdir.deal(os.path.join(self._folder, "input", "shared", channel), targets)
            except OSError as error:
                reason = f"{_whose(error)}: The channel {channel!r} could not be shared: {error}"
                raise Ended("failed", reason=reason) from error

    def _give_way(self) -> None:
        if cause := self._called_off() or ("stopped" if self._wishes.stop else ""):
            raise Ended(cause)

    def _called_off(self) -> str:
        """``stopped`` if that was asked for; ``lost`` if the machine is going down."""
        if not self._wishes.terminated:
            return ""
        return "stopped" if self._wishes.stop else "lost"

    def _train(self) -> Ended:
        """Runs the command; how it ended, with no model yet."""
        self._phase("Training", "Training image download completed. Training in progress.")
        limit = time.monotonic() + float(self._orders["limit"][0])
        crew = Crew(self._wishes.wait, self._grace)
        try:
            # What copies checkpoints out while the training job runs.
            follower = Companion(self._start_follower) if self._orders["follow"] else None
            member, cause = crew.run(self._hosts(), self._called_off, limit, follower)
        except CannotStart as error:
            raise Ended("failed", reason=f"ClientError: The command could not be started: {error}") from error
        finally:
            if crew.was_killed and self._orders["remove"]:
                self._end_elsewhere()
        code = os.waitstatus_to_exitcode(member.status or 0)
        exit_code = code if code >= 0 else 128 - code
        # Whoever ended us may have ended it first: its exit then says nothing about the program.
        cause = cause or (self._called_off() if code else "")
        if cause:
            return Ended(cause, exit_code)
        if code and (lost := self._lost_elsewhere()):
            return Ended("failed", exit_code, f"InternalServerError: {lost}")
        return Ended("completed", 0) if code == 0 else Ended("failed", exit_code, self._failure(member, code, exit_code))

    def _lost_elsewhere(self) -> str:
        """Why the cluster on which the program ran has lost it; empty where it has not."""
        try:
            with open(os.path.join(self._attempt, workdir.LOST), encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""

    def _hosts(self) -> Iterator[Member]:
        """Starts the training job's program, once for each of its hosts."""
        places = [(self._folder, self._output, "environment")]
        for host in self._orders["hosts"]:
            log = logfile.folder_of(self._attempt, host)
            os.makedirs(log, exist_ok=True)
            places.append((os.path.join(self._folder, "hosts", host), self._output_into(log), f"environment {host}"))
        for folder, output, environment in places:
            yield Member(self._orders["command"], self._orders[environment] + self._chosen_gpus(), folder, output)
            # While the program starts, we load what the metrics need.
            output.watch(self._scanner())

    def _output_into(self, folder: str) -> Output:
        """What a host's program prints, its log in a folder."""
        head, keep = self._orders["log"]
        return Output(logfile.LogWriter(folder, int(head), int(keep)), self._measured)

    def _start_follower(self) -> int:
        return self._spawn_unheard("follow", self._transfer_environment())

    def _spawn_unheard(self, name: str, environment: Sequence[str]) -> int:
        """Starts one of the commands that nobody listens to; its process id. Raises CannotStart."""
        silent = os.open(os.devnull, os.O_WRONLY)
        try:
            return children.spawn(self._orders[name], environment, self._folder, silent)
        finally:
            os.close(silent)

    def _say(self, reason: str | None) -> None:
        """Tells in the log what changes nothing of the end, or not all of it."""
        self._output.feed(os.fsencode(f"rekindle: {reason}\n"))

    def _keep_checkpoints(self, ended: Ended) -> None:
        """Copies checkpoints out a last time. A copy that fails is told in the log and changes nothing of the end."""
        if ended.state == "lost":
            return
        try:
            workdir.keep_checkpoints(self._folder, self._orders)
            if self._orders["mirror"]:
                self._transfer("mirror", "Checkpoint upload failed", lambda: "", MIRROR_PATIENCE_SECONDS)
        except Ended as failed:
            self._say(failed.reason)
        except OSError as error:
            place = os.path.join(self._folder, "checkpoints")
            self._say(f"ClientError: The checkpoints in {place} could not be brought to where they are kept: {error}")

    def _keep_results(self, ended: Ended) -> Ended:
        if ended.state == "lost":
            return ended
        keep_model = ended.state != "failed"
        if keep_model:
            self._phase("Uploading", "Uploading generated training model")
        try:
            for kind in ("model", "output") if keep_model else ("output",):
                # One that failed may have filled the disk itself.
                self._store(kind, PATIENCE_SECONDS if keep_model else _ROOM_PATIENCE_SECONDS)
        except Ended as unkept:
            self._say(unkept.reason)
            state = ended.state if unkept.state == "stopped" and ended.state != "completed" else unkept.state
            return Ended(state, ended.exit_code, unkept.reason) if keep_model else ended
        if keep_model:
            ended.model = self._orders["model"][2]
        return ended

    def _store(self, kind: str, patience: float) -> None:
        """The orders for a kind: the folder, the file it goes to here, its URI, and the transfers that take it there. For
        ``patience`` seconds a full disk is waited for."""
        folder, target, _uri, *transfers = self._orders[kind]
        source = os.path.join(self._folder, folder)
        try:
            if kind == "model" and not os.path.lexists(source):
                os.makedirs(source)
            if kind == "model" and not os.path.isdir(source):
                reason = f"ClientError: {folder} is a file, and results are what lies in the folder {folder}"
                raise Ended("failed", reason=reason)
            if kind == "model" or (os.path.isdir(source) and os.listdir(source)):
                self._take_out(source, target, transfers, patience)
        except OSError as error:
            reason = f"ClientError: Artifact upload failed: {error}"
            raise Ended("failed", reason=with_place(reason, source)) from error
        except Ended as unkept:
            raise Ended(unkept.state, reason=with_place(unkept.reason or "", source)) from unkept

    def _take_out(self, source: str, target: str, transfers: Sequence[str], patience: float) -> None:
        try:
            self._pack(source, target, patience)
            for name in transfers:
                # What was trained is kept, whoever wants us to stop now.
                self._transfer(name, "Artifact upload failed", lambda: "", PATIENCE_SECONDS, patience)
        finally:
            if transfers:
                _clear(target)

    def _pack(self, source: str, target: str, patience: float) -> None:
        """Puts a folder into its archive. A full disk is waited for, as an object store is that does not answer: what was
        trained is kept. Raises OSError."""
        from rekindle.executors.archive import store

        until, pause = time.monotonic() + patience, _ROOM_LOOK_SECONDS
        while True:
            try:
                return store(source, target)
            except OSError as error:
                if lacks_room(error) and self._wishes.give_up:
                    raise Ended("stopped", reason=f"ClientError: Artifact upload failed: {error}") from error
                if not lacks_room(error) or time.monotonic() >= until:
                    raise
            if pause == _ROOM_LOOK_SECONDS:
                self._say(_ROOM_WANTED)
            # Each try fills the disk to its end, for all who write to it.
            self._rest(pause, False)
            pause = min(2 * pause, _ROOM_PATIENCE_SECONDS)

    def _transfer(
        self, name: str, problem: str, called_off: Callable[[], str], patience: float = 0.0, for_room: float = 0.0
    ) -> None:
        """Runs one of the commands that bring data in or out. For ``patience`` seconds, an object store that refuses our keys
        is tried again, with the keys that there are by then, and for ``for_room`` seconds a full disk; no longer than the grace
        of a stop where somebody wants that. Raises NoRoom where the disk is full to the end."""
        began, pause, giving_up = time.monotonic(), FIRST_PAUSE, False
        deadlines = {os.EX_TEMPFAIL: began + patience, NO_ROOM: began + for_room}
        while (status := self._transferred(name, problem, called_off)) != 0:
            if patience and self._wishes.give_up and not giving_up:
                giving_up, latest = True, time.monotonic() + self._grace
                deadlines = {code: min(deadline, latest) for code, deadline in deadlines.items()}
            code = os.waitstatus_to_exitcode(status)
            left = deadlines.get(code, 0.0) - time.monotonic()
            if left <= 0:
                given_up = giving_up and (code in deadlines or code == os.EX_UNAVAILABLE)
                reason = f"ClientError: {problem}: {last_words(self._output.tail)}"
                raise (NoRoom if code == NO_ROOM else Ended)("stopped" if given_up else "failed", reason=reason)
            if pause == FIRST_PAUSE:
                self._say(_ROOM_WANTED if code == NO_ROOM else _KEYS_WANTED)
            self._rest(min(pause, left), giving_up)
            # Each try of a full disk fills it to its end, for all who write to it.
            pause = min(2 * pause, _ROOM_PATIENCE_SECONDS if code == NO_ROOM else KEYS_PAUSE)

    def _rest(self, seconds: float, giving_up: bool) -> None:
        """Waits, whatever signals come, until somebody wants us to give up who did not before."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0 and self._wishes.give_up == giving_up:
            self._wishes.wait(rest)

    def _transferred(self, name: str, problem: str, called_off: Callable[[], str]) -> int:
        """The wait status of one try."""
        environment = self._transfer_environment()
        self._output.begin()
        try:
            started = Member(self._orders[name], environment, self._folder, self._output)
            member, cause = Crew(self._wishes.wait, self._grace).run([started], called_off)
        except CannotStart as error:
            raise Ended("failed", reason=f"ClientError: {problem}: {error}") from error
        if cause:
            raise Ended(cause)
        return member.status or 0

    def _transfer_environment(self) -> list[str]:
        """What transfers see: what who launched us gave, or whoever works on the run by now (see ``ProcessExecutor.adopt``)."""
        try:
            with open(os.path.join(self._attempt, workdir.TRANSFER), "rb") as file:
                return records.unpack(file.read())["transfer environment"]
        except (OSError, KeyError, ValueError):
            return self._orders["transfer environment"]

    def _end_elsewhere(self) -> None:
        """Ends what programs that were killed had started elsewhere, in containers or on a cluster. A container engine that is
        away is waited for: its containers may go on without it, and nobody else would end them."""
        until, told = time.monotonic() + _ENGINE_PATIENCE_SECONDS, False
        while self._removed() == os.EX_TEMPFAIL:
            if time.monotonic() >= until or self._called_off() == "lost":
                self._say("the container engine does not answer; what it runs for this training job may go on")
                return
            if not told:
                self._say("the container engine does not answer; waiting for it, to end what it runs")
            told = True
            self._wishes.wait(_ROOM_LOOK_SECONDS)

    def _removed(self) -> int:
        """The exit code of one try; 0 also where it could not be started, and ``EX_TEMPFAIL`` where it took too long."""
        try:
            pid = self._spawn_unheard("remove", self._orders["environment"])
        except CannotStart:
            return 0
        deadline = time.monotonic() + _REMOVAL_SECONDS
        while pid not in (ended := children.ended()) and time.monotonic() < deadline:
            self._wishes.wait(deadline - time.monotonic())
        children.kill_leftovers([pid], LEFTOVERS_SECONDS, self._wishes.wait)
        return os.waitstatus_to_exitcode(ended[pid]) if pid in ended else os.EX_TEMPFAIL

    def _measured(self, found: Sequence[tuple[str, float]]) -> None:
        now = _now()
        self._journal.tell(*(records.line({"metric": name, "value": value, "at": now}) for name, value in found))

    def _scanner(self) -> LineScanner | None:
        metrics = self._orders["metrics"]
        if not metrics:
            return None
        sys.path += self._orders["packages"]
        from rekindle.domain.scanning import LineScanner

        return LineScanner(list(zip(metrics[::2], metrics[1::2], strict=True)))

    def _chosen_gpus(self) -> list[str]:
        """The next of the GPUs that we were given; else takes some that no other run of this host has, while we live."""
        if self._given:
            count, *names = self._given
            self._given = [count, *names[int(count) :]]
            return [f"CUDA_VISIBLE_DEVICES={','.join(names[: int(count)])}"]
        if not self._orders["gpus"]:
            return []
        folder, count, *names = self._orders["gpus"]
        taken: list[str] = []
        for name in names:
            if len(taken) < int(count) and self._take_gpu(os.path.join(folder, f"{name}.lock")):
                taken.append(name)
        # More runs than GPUs: they share, each on one.
        shown = taken or [names[os.getpid() % len(names)]]
        return [f"CUDA_VISIBLE_DEVICES={','.join(shown)}"]

    def _take_gpu(self, path: str) -> bool:
        # A part of a GPU has a name with slashes: MIG-GPU-<uuid>/1/0.
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        for pause in (0.01, 0.0):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._gpus.append(descriptor)
                return True
            except OSError:
                # Somebody may only be looking whether it is free.
                time.sleep(pause)
        os.close(descriptor)
        return False

    def _failure(self, member: Member, code: int, exit_code: int) -> str:
        """``AlgorithmError: <why>, exit code: N``, in at most as many characters as the service has room for; ``ClientError``
        where that is what was told, as SageMaker's own algorithms do for what their user can mend."""
        told, tail = without_driver(failure_file(member.folder), member.output.tail)
        hint = self._orders["hint"] if "No module named" in (told or tail) else []
        if exit_code == _USAGE:
            hint = misspelt(self._orders["command"], tail)
        if not told:
            hint = [OF_MEMORY] if exit_code == _KILLED else hint
            told = last_words(tail)
            if code < 0:
                told = f"killed by {children.signal_name(-code)}{': ' if told else ''}{told}"
            told = told or SILENT
            for command in self._orders["toolkit"]:
                killed = '\nExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"' if exit_code == _KILLED else ""
                told = f'ExecuteUserScriptError:\nExitCode {exit_code}\nErrorMessage "{told}"{killed}\nCommand "{command}"'
        ending = f", exit code: {exit_code}" + "".join(f". {words}." for words in hint)
        named = "" if told.startswith("ClientError: ") else "AlgorithmError: "
        return f"{named}{told}"[: REASON_LIMIT - len(ending)] + ending


def _whose(error: OSError) -> str:
    """How a failure reason begins: a disk that fails, or is full to the end, says nothing of the training job, which is tried
    again."""
    return "InternalServerError" if error.errno in _OF_THE_DISK or lacks_room(error) else "ClientError"


def _clear(copy: str) -> None:
    """Removes a copy of what is elsewhere: what was packed to be taken away, or was fetched. Data and models are large."""
    try:
        workdir.remove_tree(copy)
    except OSError:
        # Whatever came of the run is not to be undone for that.
        pass


def _drop_fetched(orders: records.Fields) -> None:
    """Removes copies of what lies in the object store: a hundred training jobs would keep a hundred of them."""
    for inside in orders.get("fetched", []):
        # From our own place: where the run is deleted by now, its folder may be that of another of its name.
        _clear(os.path.join("..", "..", inside))


def _identity() -> bytes:
    pid = os.getpid()
    return records.line({"supervisor": pid, "start": start_of(pid), "at": _now()})


def _close_strangers(held: Sequence[int]) -> None:
    """Closes what we may have inherited besides the standard descriptors and the locks, which no child of ours may hold."""
    for lock in (LOCK, *held):
        os.set_inheritable(lock, False)
    for name in os.listdir("/dev/fd"):
        if int(name) > LOCK and int(name) not in held:
            try:
                os.close(int(name))
            except OSError:
                pass


def main(attempt: str) -> None:
    """Runs the attempt whose orders are in a folder. Does nothing if it has begun before."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    os.chdir(attempt)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _CALLS))
    with open(workdir.ORDERS, "rb") as file:
        orders = records.unpack(file.read())
    held = range(LOCK + 1, LOCK + 1 + int(orders.get("held", ["0"])[0]))
    _close_strangers(held)
    stand_guard(time.sleep)
    wishes = Wishes(attempt)
    try:
        journal = Journal(workdir.JOURNAL)
    except FileExistsError:
        return
    journal.tell(_identity())
    children.adopt_orphans()
    children.note_in(workdir.STARTED)
    try:
        ended = Supervisor(attempt, orders, journal, wishes).run()
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        ended = Ended("lost", reason=f"InternalServerError: {error!r}")
    # Who hears of our end must find our place free.
    for lock in held:
        # Not closed only: our guard has copies.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)
    if ended.state in ("failed", "lost"):
        # Once its end is told another attempt may begin, and bring the same data to the same place.
        _drop_fetched(orders)
    journal.end(ended.line())
    if ended.state in ("completed", "stopped"):
        # Once the end is told: whoever kills us meanwhile costs no result.
        _drop_fetched(orders)
    # The interpreter's own tidying up would only keep whoever waits for us.
    os._exit(0)
