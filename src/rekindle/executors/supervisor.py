"""The small process that runs one attempt at one training job, and outlives whoever launched it.

It is started with the attempt's lock held (descriptor 3) and keeps it for life: who finds the lock free and no end in the
journal knows that it was killed. It must start in milliseconds, so it imports next to nothing; it is the home of its own
clock, for nobody is there to give it one.

::

    orders -> build the tree -> fetch inputs -> run the command -> store results -> journal the end
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time

from rekindle.engine.patience import MIRROR_PATIENCE_SECONDS, PATIENCE_SECONDS
from rekindle.executors import children, logfile, records, workdir
from rekindle.executors.children import CannotStart, signal
from rekindle.executors.guard import stand_guard
from rekindle.executors.logfile import LogWriter
from rekindle.executors.reasons import REASON_LIMIT, SILENT, failure_file, last_words, with_place

# We start light: no contextlib.
# ruff: noqa: SIM105

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rekindle.domain.scanning import LineScanner

#: The descriptor on which the launcher hands over the attempt's lock.
LOCK = 3
#: Seconds that go on whatever is done to the machine's clock, and while it sleeps, where ``time.monotonic`` stands still.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: When those began, as the clock says when we do. All that we tell has its time by this: a clock that is set makes no training
#: job longer or shorter than it was, nor puts a metric before the training.
_ORIGIN = time.time() - time.clock_gettime(_STEADY)
#: What is read at once of what a program prints, in bytes.
_READ_BYTES = 1 << 16
#: The longest part of a line that is scanned for metrics, in bytes; the rest is only logged.
_LINE_BYTES = 1 << 18
#: How much of the end of the output is at hand for a failure reason, in bytes.
_TAIL_BYTES = 1 << 14
#: The exit code that the training toolkit takes for a lack of memory.
_KILLED = 137
#: Seconds between two tries at first and at most, where an object store refuses our keys: each costs a second of a processor.
_FIRST_PAUSE = 0.5
_KEYS_PAUSE = 60.0
_KEYS_WANTED = (
    b"rekindle: the object store refuses the keys; trying again. Put new ones into the shared credentials file, or "
    b"start rekindle again with new ones in its environment.\n"
)
#: Seconds that leftovers of a training job get to die.
_LEFTOVERS_SECONDS = 5.0
#: Seconds that a container engine gets to remove containers.
_REMOVAL_SECONDS = 60.0
#: The longest that we sleep at a time: poll's clock is an int.
_DAY_MS = 86_400_000
#: The most that a pipe still holds once its writers are dead, in bytes.
_PIPE_BYTES = 1 << 20


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


class Output:
    """What a program prints: into its log, its metrics into the journal, its end kept for the failure reason."""

    def __init__(self, log: LogWriter, journal: Journal) -> None:
        self._log = log
        self._journal = journal
        self._scanner: LineScanner | None = None
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._tail = b""

    def watch(self, scanner: LineScanner | None) -> None:
        """From now on, lines are scanned for metrics."""
        self._scanner = scanner

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._log.write(data)
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        if self._scanner is not None:
            self._scan(data)

    def finish(self) -> None:
        """Scans a last line that nobody ended: the program is gone."""
        if self._scanner is not None:
            self._emit([self._take()])

    def begin(self) -> None:
        """From now on, another program prints: why it fails is in what it says itself."""
        self._tail = b""

    @property
    def tail(self) -> str:
        """The end of what the program printed."""
        return self._tail.decode("utf-8", "replace")

    def _scan(self, data: bytes) -> None:
        # A progress bar ends its lines with a carriage return alone.
        first, *others = data.replace(b"\r", b"\n").split(b"\n")
        self._keep(first)
        if others:
            self._emit([self._take(), *others[:-1]])
            self._keep(others[-1])

    def _keep(self, part: bytes) -> None:
        room = _LINE_BYTES - self._line_bytes
        if part and room > 0:
            self._line.append(part[:room])
            self._line_bytes += len(part)

    def _take(self) -> bytes:
        line = b"".join(self._line)
        self._line.clear()
        self._line_bytes = 0
        return line

    def _emit(self, lines: Iterable[bytes]) -> None:
        assert self._scanner is not None
        now = _now()
        found = [pair for line in lines if line for pair in self._scanner.scan(line.decode("utf-8", "replace"))]
        if found:
            self._journal.tell(*(records.line({"metric": name, "value": value, "at": now}) for name, value in found))


class Member:
    """One of the programs that run side by side: its process, its folder, what it prints, and how it ended."""

    def __init__(self, folder: str, output: Output, pid: int, reading: int) -> None:
        self.folder = folder
        self.output = output
        self.pid = pid
        self.reading = reading
        self.prints = True
        self.status: int | None = None

    def read(self) -> bool:
        """Reads once what it prints; False at the end of it."""
        data = os.read(self.reading, _READ_BYTES)
        if data:
            self.output.feed(data)
        self.prints = bool(data)
        return self.prints

    def drain(self) -> None:
        """Reads what the dead have left in the pipe. Somebody who escaped us may still hold it open, so this has an end."""
        os.set_blocking(self.reading, False)
        try:
            for _ in range(_PIPE_BYTES // _READ_BYTES * 2):
                if not self.read():
                    break
        except BlockingIOError:
            pass
        os.close(self.reading)
        self.output.finish()


class Companion:
    """A process that works beside the training job and ends with it. Should it end before, it is started again after a pause:
    what it needs may be there by then. ``start`` gives its process id, and raises CannotStart."""

    def __init__(self, start: Callable[[], int]) -> None:
        self._start = start
        self._pid = start()
        self._started = time.monotonic()
        self._pause = _FIRST_PAUSE
        #: When it is to be started again; None while it runs.
        self.due: float | None = None

    def look(self, ended: Mapping[int, int]) -> None:
        """Notes its end, if it is among those who have ``ended``, and starts it again when that is due."""
        now = time.monotonic()
        if self.due is None and self._pid in ended:
            self._pause = _FIRST_PAUSE if now - self._started > _KEYS_PAUSE else min(2 * self._pause, _KEYS_PAUSE)
            self.due = now + self._pause
        if self.due is not None and now >= self.due:
            self._begin_again(now)

    def kill(self) -> None:
        """Ends it for good."""
        if self.due is None:
            children.signal_group(self._pid, signal.SIGKILL)

    def _begin_again(self, now: float) -> None:
        try:
            self._pid, self._started, self.due = self._start(), now, None
        except (CannotStart, OSError):
            self.due = now + _KEYS_PAUSE


class Ended(Exception):
    """The run is over: its state (as RunState has it), exit code, failure reason and model."""

    def __init__(self, state: str, exit_code: int | None = None, reason: str | None = None, model: str | None = None) -> None:
        super().__init__(state)
        self.state = state
        self.exit_code = exit_code
        self.reason = reason
        self.model = model

    def line(self) -> bytes:
        """The journal's last line."""
        reason = None if self.reason is None else self.reason[:REASON_LIMIT]
        return records.end(self.state, _now(), self.exit_code, reason, self.model)


class Supervisor:
    """One attempt, from its orders to its end."""

    def __init__(self, attempt: str, orders: records.Fields, journal: Journal, wishes: Wishes) -> None:
        self._attempt = attempt
        self._folder = orders["folder"][0]
        self._orders = orders
        self._journal = journal
        self._wishes = wishes
        self._grace = float(orders["grace"][0])
        self._log = LogWriter(attempt, int(orders["log"][0]), int(orders["log"][1]))
        self._output = Output(self._log, journal)
        self._gpus: list[int] = []
        self._given = orders.get("given gpus", [])
        #: What copies checkpoints out while the training job runs.
        self._follower: Companion | None = None

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
            workdir.build(self._folder, self._orders)
        except OSError as error:
            raise Ended("failed", reason=f"ClientError: The training job's folder could not be made: {error}") from error
        if self._orders["inputs"] or self._orders["restore"]:
            self._phase("Downloading", "Downloading input data")
        for name in self._orders["fetch"]:
            self._transfer(name, "Data download failed", self._called_off)
        if self._orders["restore"]:
            self._transfer("restore", "Checkpoint download failed", self._called_off)
        self._deal()
        self._give_way()

    def _deal(self) -> None:
        """Shares channels among the hosts."""
        for channel in self._orders["sharded"]:
            homes = [self._folder, *(os.path.join(self._folder, "hosts", host) for host in self._orders["hosts"])]
            targets = [os.path.join(home, "input", "data", channel) for home in homes]
            try:
                workdir.deal(os.path.join(self._folder, "input", "shared", channel), targets)
            except OSError as error:
                raise Ended("failed", reason=f"ClientError: The channel {channel!r} could not be shared: {error}") from error

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
        try:
            self._follow_checkpoints()
            member, cause = self._side_by_side(self._hosts(), limit, self._scanner, self._called_off)
        except CannotStart as error:
            raise Ended("failed", reason=f"ClientError: The command could not be started: {error}") from error
        code = os.waitstatus_to_exitcode(member.status or 0)
        exit_code = code if code >= 0 else 128 - code
        # Whoever ended us may have ended it first: its exit then says nothing about the program.
        cause = cause or (self._called_off() if code else "")
        if cause:
            return Ended(cause, exit_code)
        return Ended("completed", 0) if code == 0 else Ended("failed", exit_code, self._failure(member, code, exit_code))

    def _hosts(self) -> Iterator[Member]:
        """Starts the training job's program, once for each of its hosts."""
        others = self._orders["hosts"]
        command = self._orders["command"]
        yield self._start(command, self._orders["environment"] + self._chosen_gpus(), self._folder, self._output)
        for host in others:
            output = Output(self._host_log(host), self._journal)
            environment = self._orders[f"environment {host}"] + self._chosen_gpus()
            yield self._start(command, environment, os.path.join(self._folder, "hosts", host), output)

    def _host_log(self, host: str) -> LogWriter:
        """A log of its own for a further host."""
        folder = logfile.folder_of(self._attempt, host)
        os.makedirs(folder, exist_ok=True)
        return LogWriter(folder, int(self._orders["log"][0]), int(self._orders["log"][1]))

    def _follow_checkpoints(self) -> None:
        """Starts what copies checkpoints out while the training job runs."""
        if self._orders["follow"]:
            self._follower = Companion(self._start_follower)

    def _start_follower(self) -> int:
        silent = os.open(os.devnull, os.O_WRONLY)
        try:
            return children.spawn(self._orders["follow"], self._transfer_environment(), self._folder, silent)
        finally:
            os.close(silent)

    def _keep_checkpoints(self, ended: Ended) -> None:
        """Copies checkpoints out a last time. A copy that fails is told in the log and changes nothing of the end."""
        if ended.state == "lost" or not self._orders["mirror"]:
            return
        try:
            self._transfer("mirror", "Checkpoint upload failed", lambda: "", MIRROR_PATIENCE_SECONDS)
        except Ended as failed:
            self._output.feed(f"rekindle: {failed.reason}\n".encode())

    def _keep_results(self, ended: Ended) -> Ended:
        if ended.state == "lost":
            return ended
        keep_model = ended.state != "failed"
        if keep_model:
            self._phase("Uploading", "Uploading generated training model")
        try:
            for kind in ("model", "output") if keep_model else ("output",):
                self._store(kind)
        except OSError as error:
            reason = f"ClientError: Artifact upload failed: {error}"
            return Ended("failed", ended.exit_code, reason) if keep_model else ended
        except Ended as unkept:
            self._output.feed(f"rekindle: {unkept.reason}\n".encode())
            state = ended.state if unkept.state == "stopped" and ended.state != "completed" else unkept.state
            return Ended(state, ended.exit_code, unkept.reason) if keep_model else ended
        if keep_model:
            ended.model = self._orders["model"][2]
        return ended

    def _store(self, kind: str) -> None:
        """The orders for a kind: the folder, the file it goes to here, its URI, and the transfers that take it there."""
        folder, target, _uri, *transfers = self._orders[kind]
        source = os.path.join(self._folder, folder)
        if kind == "model" or (os.path.isdir(source) and os.listdir(source)):
            if not os.path.lexists(source):
                os.makedirs(source)
            if not os.path.isdir(source):
                raise Ended(
                    "failed", reason=f"ClientError: {folder} is a file, and results are what lies in the folder {folder}."
                )
            from rekindle.executors.archive import store

            store(source, target)
            try:
                for name in transfers:
                    # What was trained is kept, whoever wants us to stop now.
                    self._transfer(name, "Artifact upload failed", lambda: "", PATIENCE_SECONDS)
            except Ended as unkept:
                raise Ended(unkept.state, reason=with_place(unkept.reason or "", source)) from unkept
            finally:
                if transfers:
                    _clear(target)

    def _transfer(self, name: str, problem: str, called_off: Callable[[], str], patience: float = 0.0) -> None:
        """Runs one of the commands that bring data in or out. For ``patience`` seconds, an object store that refuses our keys
        is tried again, with the keys that there are by then; no longer than the grace of a stop where somebody wants that."""
        deadline, pause, giving_up = time.monotonic() + patience, _FIRST_PAUSE, False
        while (status := self._transferred(name, problem, called_off)) != 0:
            if patience and self._wishes.give_up and not giving_up:
                giving_up, deadline = True, min(deadline, time.monotonic() + self._grace)
            code = os.waitstatus_to_exitcode(status)
            if code != os.EX_TEMPFAIL or time.monotonic() >= deadline:
                given_up = giving_up and code in (os.EX_TEMPFAIL, os.EX_UNAVAILABLE)
                reason = f"ClientError: {problem}: {last_words(self._output.tail)}"
                raise Ended("stopped" if given_up else "failed", reason=reason)
            if pause == _FIRST_PAUSE:
                self._output.feed(_KEYS_WANTED)
            self._rest(min(pause, deadline - time.monotonic()), giving_up)
            pause = min(2 * pause, _KEYS_PAUSE)

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
            crew = (self._start(self._orders[name], environment, self._folder, self._output) for _ in range(1))
            member, cause = self._side_by_side(crew, None, lambda: None, called_off)
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

    def _start(self, argv: Sequence[str], environment: Sequence[str], folder: str, output: Output) -> Member:
        reading, writing = os.pipe()
        try:
            pid = children.spawn(argv, environment, os.path.join(folder, self._orders["cwd"][0]), writing)
        except CannotStart:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return Member(folder, output, pid, reading)

    def _side_by_side(
        self,
        starting: Iterable[Member],
        limit: float | None,
        scanner: Callable[[], LineScanner | None],
        called_off: Callable[[], str],
    ) -> tuple[Member, str]:
        """Runs programs to their end, all or none: where one fails, the others are ended. Gives the first that failed, or
        else the first of all, and ``stopped``, ``timed out`` or ``lost`` where we ended them."""
        crew: list[Member] = []
        try:
            for member in starting:
                crew.append(member)
                # While the program starts, we load what the metrics need.
                member.output.watch(scanner())
            return self._follow(crew, limit, called_off)
        finally:
            if self._follower is not None:
                self._follower.kill()
                self._follower = None
            children.kill_leftovers([m.pid for m in crew], _LEFTOVERS_SECONDS, self._wishes.wait)
            self._remove_containers(crew)
            for member in crew:
                member.drain()

    def _remove_containers(self, crew: Sequence[Member]) -> None:
        """Ends the containers of programs that were killed before they could do so themselves."""
        if not self._orders.get("remove") or all(m.status is not None and os.WIFEXITED(m.status) for m in crew):
            return
        silent = os.open(os.devnull, os.O_WRONLY)
        try:
            pid = children.spawn(self._orders["remove"], self._orders["environment"], self._folder, silent)
            deadline = time.monotonic() + _REMOVAL_SECONDS
            while pid not in children.ended() and time.monotonic() < deadline:
                self._wishes.wait(deadline - time.monotonic())
            children.kill_leftovers([pid], _LEFTOVERS_SECONDS, self._wishes.wait)
        except CannotStart:
            pass
        finally:
            os.close(silent)

    def _follow(self, crew: Sequence[Member], limit: float | None, called_off: Callable[[], str]) -> tuple[Member, str]:
        cause, ending, deadline = "", False, limit
        failed: Member | None = None
        while True:
            readable = self._wishes.wait(self._seconds_to(deadline), *(m.reading for m in crew if m.prints))
            for member in crew:
                if member.reading in readable:
                    member.read()
            statuses = children.ended()
            newly = _note_ends(crew, statuses)
            failed = failed or newly
            if self._follower is not None:
                self._follower.look(statuses)
            if all(m.status is not None for m in crew):
                return failed or crew[0], cause
            late = deadline is not None and time.monotonic() >= deadline
            if ending and late:
                _signal_all(crew, signal.SIGKILL)
                deadline = None
            elif not ending and (failed is not None or (cause := "timed out" if late else called_off())):
                _signal_all(crew, signal.SIGTERM)
                deadline, ending = time.monotonic() + self._grace, True

    def _seconds_to(self, deadline: float | None) -> float | None:
        """Until the deadline, or until there is something to start again."""
        due = None if self._follower is None else self._follower.due
        moments = [moment for moment in (deadline, due) if moment is not None]
        return min(moments) - time.monotonic() if moments else None

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
        told = failure_file(member.folder)
        hint = self._orders["hint"] if "No module named" in (told or member.output.tail) else []
        if not told:
            told = last_words(member.output.tail)
            if code < 0:
                told = f"killed by {children.signal_name(-code)}{': ' if told else ''}{told}"
            told = told or SILENT
            for command in self._orders["toolkit"]:
                killed = '\nExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"' if exit_code == _KILLED else ""
                told = f'ExecuteUserScriptError:\nExitCode {exit_code}\nErrorMessage "{told}"{killed}\nCommand "{command}"'
        ending = f", exit code: {exit_code}" + "".join(f". {words}." for words in hint)
        named = "" if told.startswith("ClientError: ") else "AlgorithmError: "
        return f"{named}{told}"[: REASON_LIMIT - len(ending)] + ending


def _clear(packed: str) -> None:
    """Removes what was packed to be taken elsewhere: what it was packed from is still in the folder, and models are large."""
    try:
        workdir.remove_tree(packed)
    except OSError:
        # Whatever came of the transfer is not to be undone for that.
        pass


def _note_ends(crew: Sequence[Member], statuses: Mapping[int, int]) -> Member | None:
    """Notes which have ended, and how; the first among them that failed."""
    failed = None
    for member in crew:
        if member.pid in statuses:
            member.status = statuses[member.pid]
            failed = failed or (member if member.status else None)
    return failed


def _signal_all(crew: Sequence[Member], number: int) -> None:
    for member in crew:
        if member.status is None:
            children.signal_group(member.pid, number)


def _identity() -> bytes:
    pid = os.getpid()
    return records.line({"supervisor": pid, "start": children.start_time(pid), "at": _now()})


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
    os.chdir(attempt)
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
    journal.end(ended.line())
    # The interpreter's own tidying up would only keep whoever waits for us.
    os._exit(0)
