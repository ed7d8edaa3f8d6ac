"""Programs that run side by side to their end: what they print, how they end, and that none of them stays behind. Supervisors
start with it, so it imports next to nothing."""

from __future__ import annotations

import os
import time

from rekindle.executors import children
from rekindle.executors.children import CannotStart, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rekindle.domain.scanning import LineScanner
    from rekindle.executors.logfile import LogWriter

#: What is read at once of what a program prints, in bytes.
_READ_BYTES = 1 << 16
#: The longest part of a line that is scanned for metrics, in bytes; the rest is only logged.
_LINE_BYTES = 1 << 18
#: How much of the end of the output is at hand for a failure reason, in bytes.
_TAIL_BYTES = 1 << 14
#: The most that a pipe still holds once its writers are dead, in bytes.
_PIPE_BYTES = 1 << 20
#: Seconds between two tries at first and at most, where an object store may take our keys by then: each costs a second of a
#: processor.
FIRST_PAUSE = 0.5
KEYS_PAUSE = 60.0
#: Seconds that leftovers of a training job get to die.
LEFTOVERS_SECONDS = 5.0


class Output:
    """What a program prints: into its log, its end kept for the failure reason. ``measured`` is told of the metrics in it, each
    by name and value."""

    def __init__(self, log: LogWriter, measured: Callable[[Sequence[tuple[str, float]]], None]) -> None:
        self._log = log
        self._measured = measured
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
        """From now on, another program prints, which is not scanned: why it fails is in what it says itself."""
        self._tail = b""
        self._scanner = None

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
        found = [pair for line in lines if line for pair in self._scanner.scan(line.decode("utf-8", "replace"))]
        if found:
            self._measured(found)


class Member:
    """One of the programs that run side by side: its process, the folder of its host, what it prints, and how it ended. Being
    made starts it, in the host's code folder; raises CannotStart."""

    def __init__(self, argv: Sequence[str], environment: Sequence[str], folder: str, output: Output) -> None:
        self.folder = folder
        self.output = output
        self.reading, writing = os.pipe()
        try:
            self.pid = children.spawn(argv, environment, os.path.join(folder, "code"), writing)
        except CannotStart:
            os.close(self.reading)
            raise
        finally:
            os.close(writing)
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
        self._pause = FIRST_PAUSE
        #: When it is to be started again; None while it runs.
        self.due: float | None = None

    def look(self, ended: Mapping[int, int]) -> None:
        """Notes its end, if it is among those who have ``ended``, and starts it again when that is due."""
        now = time.monotonic()
        if self.due is None and self._pid in ended:
            self._pause = FIRST_PAUSE if now - self._started > KEYS_PAUSE else min(2 * self._pause, KEYS_PAUSE)
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
            self.due = now + KEYS_PAUSE


class Crew:
    """Programs that are all run or none: where one fails, the others are ended. ``wait`` waits, for so many seconds at most,
    for a signal or for one of the descriptors that can be read, and says which of those can; ``grace`` is what programs get
    from the wish that they end until they are killed, in seconds."""

    def __init__(self, wait: Callable[..., Sequence[int]], grace: float) -> None:
        self._wait = wait
        self._grace = grace
        self._members: list[Member] = []

    def run(
        self,
        starting: Iterable[Member],
        called_off: Callable[[], str],
        limit: float | None = None,
        companion: Companion | None = None,
    ) -> tuple[Member, str]:
        """Runs them until all have ended. Gives the first that failed, or else the first of all, and ``timed out`` or what
        ``called_off`` said where we ended them. ``limit`` is when they are to have ended, as ``time.monotonic`` counts."""
        try:
            # One by one: what has started is ours though a later one cannot.
            for member in starting:
                self._members.append(member)
            return self._follow(called_off, limit, companion)
        finally:
            if companion is not None:
                companion.kill()
            children.kill_leftovers([m.pid for m in self._members], LEFTOVERS_SECONDS, self._wait)
            for member in self._members:
                member.drain()

    @property
    def was_killed(self) -> bool:
        """Whether some did not end by themselves."""
        return not all(m.status is not None and os.WIFEXITED(m.status) for m in self._members)

    def _follow(self, called_off: Callable[[], str], deadline: float | None, companion: Companion | None) -> tuple[Member, str]:
        cause, ending = "", False
        failed: Member | None = None
        while True:
            due = None if companion is None else companion.due
            readable = self._wait(_seconds_to(deadline, due), *(m.reading for m in self._members if m.prints))
            for member in self._members:
                if member.reading in readable:
                    member.read()
            statuses = children.ended()
            newly = self._note_ends(statuses)
            failed = failed or newly
            if companion is not None:
                companion.look(statuses)
            if all(m.status is not None for m in self._members):
                return failed or self._members[0], cause
            late = deadline is not None and time.monotonic() >= deadline
            if ending and late:
                self._signal(signal.SIGKILL)
                deadline = None
            elif not ending and (failed is not None or (cause := "timed out" if late else called_off())):
                self._signal(signal.SIGTERM)
                deadline, ending = time.monotonic() + self._grace, True

    def _note_ends(self, statuses: Mapping[int, int]) -> Member | None:
        """Notes which have ended, and how; the first among them that failed."""
        failed = None
        for member in self._members:
            if member.pid in statuses:
                member.status = statuses[member.pid]
                failed = failed or (member if member.status else None)
        return failed

    def _signal(self, number: int) -> None:
        for member in self._members:
            if member.status is None:
                children.signal_group(member.pid, number)


def _seconds_to(*moments: float | None) -> float | None:
    """Until the first of the moments that there are."""
    there = [moment for moment in moments if moment is not None]
    return min(there) - time.monotonic() if there else None
