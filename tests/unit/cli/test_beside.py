"""The worker beside a server: started again when it dies, asked to leave at the end, killed if it does not."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from structlog.testing import capture_logs

from rekindle.cli.beside import WorkerBeside

STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
PATIENT = "import signal; signal.pause()"
#: Seconds: a crowded machine takes its time.
LONG = 120.0


class Started:
    """Processes of a program, as many as were started; ``enough`` is set once there are so many."""

    def __init__(self, program: str, count: int) -> None:
        self._program = program
        self._count = count
        self.processes: list[subprocess.Popen[bytes]] = []
        self.enough = threading.Event()

    def __call__(self) -> subprocess.Popen[bytes]:
        self.processes.append(subprocess.Popen([sys.executable, "-c", self._program], stdout=subprocess.PIPE))
        if len(self.processes) >= self._count:
            self.enough.set()
        return self.processes[-1]

    def close(self) -> None:
        for process in self.processes:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def test_one_that_dies_is_started_again_and_that_is_said() -> None:
    started = Started("raise SystemExit(3)", 3)
    with capture_logs() as logs, WorkerBeside(started, first_pause=0.0):
        assert started.enough.wait(LONG)
    started.close()
    assert [log["exit_code"] for log in logs][:2] == [3, 3]
    assert all("another is started" in log["event"] for log in logs)


def test_one_that_cannot_be_started_at_the_moment_is_started_later() -> None:
    started, tries = Started(PATIENT, 1), iter(["no-such-program"])

    def start() -> subprocess.Popen[bytes]:
        for program in tries:
            return subprocess.Popen([program])
        return started()

    with capture_logs() as logs, WorkerBeside(start, first_pause=0.0):
        assert started.enough.wait(LONG / 4)
    started.close()
    assert [log["event"] for log in logs] == ["the worker cannot be started; trying again"]


def test_at_the_end_it_is_asked_to_leave_and_none_is_started() -> None:
    started = Started(PATIENT, 1)
    with WorkerBeside(started, first_pause=0.0) as beside:
        assert started.enough.wait(LONG)
        assert beside.runs()
    started.close()
    assert not beside.runs()
    assert [process.returncode for process in started.processes] == [-signal.SIGTERM]


def test_while_none_is_there_that_is_told() -> None:
    started = Started("raise SystemExit(3)", 1)
    with WorkerBeside(started, first_pause=LONG) as beside:
        assert started.enough.wait(LONG)
        started.processes[0].wait()
        assert not beside.runs()
    started.close()


def test_one_that_does_not_leave_is_killed() -> None:
    started = Started(STUBBORN, 1)
    with WorkerBeside(started, first_pause=0.0, patience=0.2):
        assert started.enough.wait(LONG)
        stdout = started.processes[0].stdout
        assert stdout is not None
        assert stdout.readline() == b"ready\n"
    started.close()
    assert [process.returncode for process in started.processes] == [-signal.SIGKILL]
