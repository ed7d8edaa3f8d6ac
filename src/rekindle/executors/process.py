"""The process executor: each training job is a process of this machine under a supervisor that outlives us."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

from rekindle.domain.capacity import Room
from rekindle.domain.errors import WrongState
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Owner, TrainingSpec
from rekindle.engine.log import log
from rekindle.engine.paths import path_in
from rekindle.engine.ports import NO_POINTS, Clock, Executor, Report, Run, RunKey, RunState, SourceSize, StoreUnavailable
from rekindle.engine.processes import start_of
from rekindle.executors import access, checks, logfile, orders, workdir
from rekindle.executors.attempts import LOST, Attempt
from rekindle.executors.folders import Folders, safe
from rekindle.executors.host import Host
from rekindle.executors.journal import JournalReader
from rekindle.executors.programs import check_command
from rekindle.executors.runtimes import check_entrypoint, check_formats, check_image, metrics_of, script_of, with_code
from rekindle.executors.slots import Slots
from rekindle.executors.supervisor import LOCK

#: The folder that holds ``rekindle``, for the supervisor's path.
_HOME_OF_CODE = str(Path(__file__).resolve().parents[2])
_START = "import sys; sys.path.append(sys.argv[1]); from rekindle.executors.supervisor import main; main(sys.argv[2])"
#: Seconds between looks where the kernel cannot tell us of an end.
_GLANCE = 0.01
#: Files of a source folder that are counted at most: that takes a second or so.
_COUNTED_FILES = 50_000
#: Seconds between two complaints of a run that cannot be launched.
_COMPLAINT_SECONDS = 60.0
#: Seconds for which a cluster's last answer, or its having none, holds.
_ANSWER_HOLDS_SECONDS = 20.0


class ProcessExecutor(Executor):
    """Runs training jobs as processes of this machine."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._folders = Folders(host.root)
        self._slots = Slots(host)
        self._mutex = threading.Lock()
        self._children: dict[RunKey, int] = {}
        self._readers: dict[RunKey, JournalReader] = {}
        #: Runs whose supervisor we started and whose end nobody has been told yet.
        self._launched: set[RunKey] = set()
        #: Runs of others that we were told we work on.
        self._adopted: set[RunKey] = set()
        #: Why runs can never be launched, until that is told: to forget it means to try once more.
        self._refused: dict[RunKey, str] = {}
        #: When there may be another complaint of a run that cannot be launched now.
        self._complained: dict[RunKey, float] = {}
        #: Why our cluster cannot be reached, and until when that holds.
        self._absence, self._absence_holds = "", 0.0

    def check(self, spec: TrainingSpec, hyperparameters: Mapping[str, str] | None = None) -> None:
        """See Executor. Where the static hyperparameters are given, what they say of a script is checked too."""
        static = None if hyperparameters is None else with_code(hyperparameters, spec.channels)
        if spec.algorithm.command is None:
            check_image(spec.algorithm, static, self._host.images, self._host.path)
            check_entrypoint(spec, self._host)
            check_formats(spec, hyperparameters or {}, self._host.images)
        else:
            check_command(spec.algorithm, self._host.path_of(spec), on_node=self._host.cluster is not None)
        if self._host.cluster:
            self._host.cluster.check(spec, self._host)
        self._slots.check(spec)
        checks.check_channels(spec, self._host.transfer)
        checks.check_places(spec, self._host.transfer)
        checks.check_checkpoints(spec, self._host)
        checks.check_source(spec, static, self._host)
        checks.check_environment(spec)
        if self._host.cluster:
            self._host.cluster.check_answers(self._host)

    def metrics_of(self, spec: TrainingSpec) -> tuple[MetricDefinition, ...]:
        """See Executor."""
        return metrics_of(spec.algorithm, self._host.images)

    def script_of(self, spec: TrainingSpec, hyperparameters: Mapping[str, str]) -> tuple[str, str] | None:
        """See Executor."""
        return script_of(spec.algorithm, with_code(hyperparameters, spec.channels), self._host.images)

    def source_size(self, spec: TrainingSpec) -> SourceSize | None:
        """See Executor."""
        source = spec.algorithm.source
        if source is None or not os.path.isdir(source):
            return None
        sizes: dict[str, int] = {}
        count = 0
        for name, size in workdir.source_files(source, checks.skipped(spec, self._host)):
            if count == _COUNTED_FILES:
                break
            count += 1
            sizes[name] = sizes.get(name, 0) + size
        largest = max(sizes, key=lambda name: sizes[name], default="")
        return SourceSize(count, sum(sizes.values()), largest, sizes.get(largest, 0), count < _COUNTED_FILES)

    def room(self, spec: TrainingSpec) -> Room:
        """See Executor."""
        if away := checks.away(spec):
            # A disk that is not mounted yet, a folder that was moved: each training job would fail of it, one after the other.
            return Room(0, f"waits for {away}, which is not there: bring it back, and it goes on", ever=False)
        if self._host.cluster and (why := self._absence_of_cluster()):
            return Room(0, f"waits for {self._host.cluster.name}, which cannot be reached: {why}")
        return self._slots.room(spec)

    def _absence_of_cluster(self) -> str:
        """Why our cluster takes nothing now; empty where it does, or there is none."""
        if self._host.cluster and self._clock.now() >= self._absence_holds:
            self._absence = self._host.cluster.absence(self._host)
            self._absence_holds = self._clock.now() + _ANSWER_HOLDS_SECONDS
        return self._absence

    def launch(self, run: Run) -> None:
        """See Executor. Where the machine has no room for it now, its files are away, or its cluster cannot be reached, the run
        stays unlaunched, and launching it again helps."""
        self._end_former_attempts(run.key)
        if checks.away(run.spec) or self._absence_of_cluster():
            return
        try:
            self._launch(run)
        except OSError as error:
            self._note_failure(run, error)

    def adopt(self, key: RunKey) -> None:
        """See Executor. Without keys in our environment the run keeps those that it was launched with."""
        with self._mutex:
            if key in self._launched or key in self._adopted:
                return
        attempt = self._ordered(key)
        if attempt is None:
            return
        with self._mutex:
            self._adopted.add(key)
        told = orders.transfer_variables(key.owner, str(attempt.folder), self._host)
        if told.keys() & access.KEYS:
            # Not to be told is no worse than before: what it was launched with may do.
            with contextlib.suppress(OSError, ValueError):
                attempt.tell_transfers(orders.lines(told))

    def report(self, key: RunKey, seen: int = 0) -> Report | None:
        """See Executor."""
        attempt = self._ordered(key)
        if attempt is None:
            return self._without_orders(key)
        with self._mutex:
            self._reap([key])
            reader = self._readers.get(key)
            if reader is None or reader.first > seen:
                reader = self._readers[key] = attempt.journal()
            report = self._read(key, reader, attempt, seen)
            if report is None or report.state is not RunState.RUNNING:
                self._readers.pop(key, None)
                self._launched.discard(key)
                self._adopted.discard(key)
            if report is not None:
                # It has begun, whatever was in the way.
                self._complained.pop(key, None)
            return report

    def _without_orders(self, key: RunKey) -> Report | None:
        """Of a run that has no orders: it was never launched, unless we did, and its folder was removed since, or it never can
        be."""
        with self._mutex:
            if (reason := self._refused.pop(key, None)) is not None:
                return Report(key, RunState.FAILED, ended_at=self._clock.now(), failure_reason=reason)
            if key not in self._launched:
                # Though its process may be about to exit still: its files are closed, and their locks gone, a moment earlier.
                return None
            self._reap([key])
            return Report(key, RunState.RUNNING) if key in self._children else Report(key, RunState.LOST, failure_reason=LOST)

    def stop(self, key: RunKey, give_up: bool = False) -> None:
        """See Executor."""
        attempt = self._ordered(key)
        if attempt is None:
            self._stop_without_orders(key)
            return
        # The wish is on the disk before the signal, so that a supervisor which is not ready for signals finds it.
        attempt.ask_to_stop(give_up)
        with self._mutex:
            reader = self._read_on(key, attempt)
        if reader is not None and not reader.ended and reader.supervisor and not attempt.is_free:
            _signal(*reader.supervisor)

    def _stop_without_orders(self, key: RunKey) -> None:
        """A run whose folder was removed cannot be told by a file, but the signal reaches a supervisor of ours; one of others
        is found by its command line."""
        with self._mutex:
            self._reap([key])
            if key in self._children:
                os.kill(self._children[key], signal.SIGTERM)
                return
        self._folders.end_removed(key)

    def wait(self, keys: Sequence[RunKey], seconds: float, descriptors: Sequence[int] = ()) -> None:
        """See Executor."""
        # Not by our clock: one that is set back would make it hours.
        deadline = time.monotonic() + seconds
        while True:
            with self._mutex:
                self._reap(list(self._children))
            with _watched((self._process_of(key) for key in keys), descriptors) as (poll, complete):
                rest = max(0.0, deadline - time.monotonic())
                # A supervisor that has not told its number yet has started a moment ago: look again soon.
                pause = rest if complete else min(rest, _GLANCE)
                if poll is None or poll.poll(pause * 1000) or pause == rest:
                    return

    def read_log(
        self, owner: Owner, name: str, offset: int = 0, limit: int = 1 << 20, host: str = "", attempt: int = 0
    ) -> tuple[bytes, int]:
        """See Executor. What lies before and after a dropped part never comes in one piece."""
        attempts = self._attempts_of(owner, name, attempt)
        if not attempts:
            return b"", offset
        return logfile.read(logfile.folder_of(str(attempts[-1].folder), safe(host, "host") if host else ""), offset, limit)

    def has_log(self, owner: Owner, name: str, attempt: int = 0) -> bool:
        """See Executor."""
        return bool(self._attempts_of(owner, name, attempt))

    def model_now(self, owner: Owner, name: str, uri: str) -> str:
        """See Executor."""
        if not uri.startswith("file://") or os.path.exists(path_in(uri)):
            return uri
        with contextlib.suppress(StoreUnavailable):
            return self._folders.moved(owner, name, uri) or uri
        return uri

    def deleting(self, owner: Owner, name: str) -> AbstractContextManager[None]:
        """See Executor."""
        return self._folders.deleting(owner, name, self._clock)

    def forget(self, owner: Owner, name: str) -> None:
        """See Executor. Raises WrongState for one that still runs."""
        attempts = self._folders.attempts(owner, name)
        if attempts and attempts[-1].runs:
            raise WrongState("training job", name, "InProgress", f"the training job {name!r} still runs.", "Stop it first.")
        self._folders.remove(owner, name)
        with self._mutex:
            self._launched = {key for key in self._launched if (key.owner, key.name) != (owner, name)}

    def _attempts_of(self, owner: Owner, name: str, number: int) -> list[Attempt]:
        return [attempt for attempt in self._folders.attempts(owner, name) if number in (0, attempt.number)]

    def _ordered(self, key: RunKey) -> Attempt | None:
        """The attempt, where it was launched."""
        attempt = self._folders.attempt(key)
        return attempt if attempt is not None and attempt.is_ordered else None

    # Launching.

    def _launch(self, run: Run) -> None:
        folder = self._folders.claim(run)
        # Orders hold the user's environment, which is nobody else's business.
        (folder / workdir.CONTROL).mkdir(mode=0o700, exist_ok=True)
        attempt = Attempt(Path(workdir.attempt_of(folder, run.key.attempt)))
        attempt.folder.mkdir(exist_ok=True)
        with attempt.launching(self._clock) as lock:
            if lock is not None and (said := attempt.stumbled(self._clock.now())):
                raise OSError(f"the training job's supervisor did not begin: {said}")
            held = None if lock is None else self._slots.take(run.spec)
            if lock is None or held is None:
                return
            try:
                attempt.order(orders.with_held(orders.orders_of(run, folder, self._host), run, held))
                pid = _start_supervisor(attempt.folder, (lock, *held.locks), self._host.environment)
            finally:
                # Our copies only, as with the attempt's lock.
                held.close()
            with self._mutex:
                self._children[run.key] = pid
                self._launched.add(run.key)

    def _note_failure(self, run: Run, error: OSError) -> None:
        """Something is in the way of a launch: a file that lies where a folder must be stays there, all else may pass."""
        folder = self._folders.place(run)
        control = folder / workdir.CONTROL
        for place in (folder.parent, folder, control, control / str(run.key.attempt)):
            if place.is_file():
                told = f"the file {str(place)!r} is where a folder must be. Move it away, or give the job another name."
                with self._mutex:
                    self._refused[run.key] = f"ClientError: The training job's folder could not be made: {told}"
                return
        now = self._clock.now()
        if now >= self._complained.get(run.key, 0.0):
            self._complained[run.key] = now + _COMPLAINT_SECONDS
            log(__name__).warning("cannot launch now; trying again", training_job=run.key.name, reason=str(error))

    def _end_former_attempts(self, key: RunKey) -> None:
        """Asks for a report on each: that ends what is left of one that was lost. Raises WrongState where one still runs."""
        for number in range(1, key.attempt):
            former = replace(key, attempt=number)
            # Its emissions are nobody's business any more.
            report = self.report(former, NO_POINTS)
            if report is not None and report.state is RunState.RUNNING:
                message = f"attempt {number} of the training job {key.name!r} still runs."
                raise WrongState("training job", key.name, "InProgress", message)

    # Watching.

    def _read(self, key: RunKey, reader: JournalReader, attempt: Attempt, seen: int) -> Report | None:
        if reader.read(seen) and (reader.ended or reader.is_behind):
            return reader.report(key, seen)
        if not attempt.is_free:
            reader.seen_alive = self._clock.now()
            return reader.report(key, seen)
        # Free: but since we read, the end may have been told, or somebody may have launched it.
        if not reader.read(seen):
            return None
        if not reader.ended and attempt.is_free:
            attempt.declare_lost(self._clock.now(), reader.seen_alive)
            reader.read(seen)
        return reader.report(key, seen)

    def _read_on(self, key: RunKey, attempt: Attempt) -> JournalReader | None:
        """What the supervisor tells, from where the last report left off: of a run that prints values for hours, to read all of
        it each time would take longer than a lease lasts. None where there is no journal. Only for who has the mutex."""
        reader = self._readers.get(key) or attempt.journal()
        return reader if reader.read() else None

    def _reap(self, keys: Iterable[RunKey]) -> None:
        # Many runs are each reported on twice a second: to look at all of them each time would cost their number squared.
        for key in keys:
            with contextlib.suppress(ChildProcessError):
                if key not in self._children or os.waitpid(self._children[key], os.WNOHANG)[0] == 0:
                    continue
            del self._children[key]

    def _process_of(self, key: RunKey) -> tuple[int, str] | None:
        """The supervisor's process id and start time; 0 for one that has ended, None for one that is not known yet."""
        with self._mutex:
            pid, reader = self._children.get(key), self._readers.get(key)
        if reader is not None and reader.is_behind:
            # What it has told already is not to wait.
            return 0, ""
        if pid is not None:
            return pid, ""
        try:
            attempt = self._folders.attempt(key)
        except StoreUnavailable:
            return None
        if attempt is None:
            return None
        with self._mutex:
            reader = self._read_on(key, attempt)
        if reader is None:
            return None
        return (0, "") if reader.ended or reader.supervisor is None else reader.supervisor


def _start_supervisor(attempt: Path, locks: Sequence[int], environment: Mapping[str, str]) -> int:
    """Spawns it in a session of its own, with the attempt's lock and others behind it, and with nothing else of ours."""
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _START, _HOME_OF_CODE, str(attempt)]
    errors = str(attempt / workdir.ERRORS)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        *((os.POSIX_SPAWN_DUP2, lock, place) for place, lock in enumerate(locks, start=LOCK)),
    ]
    spawn = partial(os.posix_spawn, sys.executable, argv, environment, file_actions=actions)
    try:
        return spawn(setsid=True, setsigmask=(), setsigdef=_catchable())
    except NotImplementedError:  # a Python for old versions of macOS; it will leave our session itself
        return spawn(setsigmask=(), setsigdef=_catchable())


def _catchable() -> list[signal.Signals]:
    return [s for s in signal.valid_signals() if isinstance(s, signal.Signals) and s not in (signal.SIGKILL, signal.SIGSTOP)]


def _signal(pid: int, started: str) -> None:
    """SIGTERM to a process, if it is still the one that started then."""
    with contextlib.suppress(ProcessLookupError):
        if start_of(pid) == started:
            os.kill(pid, signal.SIGTERM)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Another user's: the number was given again, or the supervisor is that user's.
        return True
    return True


@contextlib.contextmanager
def _watched(processes: Iterator[tuple[int, str] | None], others: Sequence[int]) -> Iterator[tuple[select.poll | None, bool]]:
    """A poll that wakes when one of the processes ends or one of the other descriptors can be read, and whether it can tell of
    all processes; None when one has ended already."""
    poll, complete = select.poll(), True
    for descriptor in others:
        poll.register(descriptor, select.POLLIN)
    with contextlib.ExitStack() as opened:
        for process in processes:
            end = None if process is None else _end_of(*process)
            if end is None:
                complete = False
            elif end < 0:
                yield None, True
                return
            else:
                opened.callback(os.close, end)
                poll.register(end, select.POLLIN)
        yield poll, complete


def _end_of(pid: int, started: str) -> int | None:
    """A descriptor that can be read once a process has ended; -1 where it has, None where the kernel has none for us."""
    try:
        descriptor = os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return -1
    except (AttributeError, OSError):  # not Linux, or one that is old or short of descriptors
        return None if _exists(pid) else -1
    if descriptor >= 0 and started and start_of(pid) != started:
        os.close(descriptor)
        return -1
    return descriptor
