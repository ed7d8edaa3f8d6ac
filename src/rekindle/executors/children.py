"""Starting a process that cannot outlive us, and ending it with all that it started. POSIX; the most on Linux."""

from __future__ import annotations

import os
import sys

from rekindle.engine.processes import start_of, stat

# Supervisors start light: no contextlib.
# ruff: noqa: SIM105

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

try:
    # The public module costs a third of a supervisor's start, for the enums that it makes.
    import _signal as _signals  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    import signal as _signals

signal: Any = _signals

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: Signals that Python ignores and that programs expect at their default.
_RESTORED = ("SIGPIPE", "SIGXFSZ", "SIGXFZ")
#: The file in which the processes that we start are noted; empty: in none.
_notes = ""


class CannotStart(Exception):
    """A program could not be started; the message says why."""


def spawn(argv: Sequence[str], environment: Sequence[str], folder: str, output: int) -> int:
    """Starts a program as the leader of a new session and returns its process id.

    ``environment`` is ``NAME=value``; the program is looked up on its PATH, from within ``folder``. Both its outputs go
    to the descriptor ``output``. The kernel kills it when we die (Linux). Raises CannotStart.
    """
    variables = dict(item.split("=", 1) for item in environment)
    told, telling = os.pipe()
    awaiting, noted = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(noted)
        _become(argv, variables, folder, output, telling, awaiting, parent)
    os.close(telling)
    os.close(awaiting)
    try:
        _note(pid, noted)
        problem = os.read(told, 4096)
    finally:
        os.close(noted)
        os.close(told)
    if problem:
        os.waitpid(pid, 0)
        raise CannotStart(problem.decode("utf-8", "replace"))
    return pid


def adopt_orphans() -> None:
    """Makes us the parent of every descendant whose own parent ends (Linux)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def note_in(path: str) -> None:
    """From now on ``spawn`` notes in a file whom it starts, before that begins: for whoever finds us killed, and them alive
    (not on Linux, where they die with us)."""
    global _notes  # noqa: PLW0603 - as which orphans are ours, it holds for the process
    if sys.platform != "linux":
        _notes = path


def signal_group(pid: int, number: int) -> None:
    """Sends a signal, once, to the group of a process that ``spawn`` started, and to that process should it have left."""
    try:
        left = os.getpgid(pid) != pid
        if left:
            os.kill(pid, number)
        os.killpg(pid, number)
    except OSError:
        pass


def ended() -> dict[int, int]:
    """The children that have ended since we last asked, with their wait statuses; orphans that we were given among them."""
    found: dict[int, int] = {}
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return found
            found[pid] = status
    except ChildProcessError:
        return found


def kill_leftovers(pids: Sequence[int], rest: float, pause: Callable[[float], object]) -> None:
    """Kills what is left of the groups of ``pids``, and on Linux every other descendant of ours.

    Waits for them at most ``rest`` seconds; ``pause(seconds)`` waits for the next signal that a child has ended.
    """
    for pid in pids:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass
    rounds = int(rest / 0.02)
    while _reaped() and rounds > 0:
        for child in _children():
            signal_group(child, signal.SIGKILL)
        pause(0.02)
        rounds -= 1


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9."""
    for name, value in vars(signal).items():
        if name.startswith("SIG") and not name.startswith("SIG_") and value == number:
            return str(name)
    return f"signal {number}"


def _note(pid: int, noted: int) -> None:
    """Notes a process, and lets it begin."""
    try:
        if _notes:
            with open(_notes, "ab") as file:
                file.write(f"{pid} {start_of(pid)}\n".encode())
    except OSError:
        # A disk without room for a line: what runs unnoted is better than no run.
        pass
    try:
        os.write(noted, b"\n")
    except BrokenPipeError:
        # Somebody has killed it already, such as a kernel that is short of memory: who waits for it finds that.
        pass


def _become(
    argv: Sequence[str], variables: dict[str, str], folder: str, output: int, telling: int, awaiting: int, parent: int
) -> None:
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if not os.read(awaiting, 1) or os.getppid() != parent:
            os._exit(127)
        _restore_signals()
        null = os.open(os.devnull, os.O_RDONLY)
        for descriptor, source in ((0, null), (1, output), (2, output)):
            os.dup2(source, descriptor)
        os.chdir(folder)
        _execute(argv, variables)
    except OSError as error:
        os.write(telling, f"{error.strerror}: {error.filename or argv[0]}".encode("utf-8", "replace")[:4096])
    except BaseException as error:
        os.write(telling, repr(error).encode("utf-8", "replace")[:4096])
    finally:
        os._exit(127)


def _restore_signals() -> None:
    for name in _RESTORED:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _execute(argv: Sequence[str], variables: dict[str, str]) -> None:
    if os.sep in argv[0]:
        os.execve(argv[0], list(argv), variables)  # noqa: S606
    denied: OSError | None = None
    for folder in variables.get("PATH", os.defpath).split(os.pathsep):
        try:
            os.execve(os.path.join(folder or ".", argv[0]), list(argv), variables)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            denied = error
    raise denied or FileNotFoundError(2, "program not found", argv[0])


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    try:
        # ctypes itself would add another 3 ms to the start.
        import _ctypes

        library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
        _ctypes.call_function(_ctypes.dlsym(library, "prctl"), (option, value, 0, 0, 0))
    except (ImportError, AttributeError, OSError, TypeError):
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _reaped() -> bool:
    """Collects children that have ended; whether others are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except (OSError, ValueError):
        return [pid for pid in _processes() if _parent(pid) == me]


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _parent(pid: int) -> int:
    try:
        return int(stat(pid)[1])
    except (OSError, ValueError, IndexError):
        return 0
