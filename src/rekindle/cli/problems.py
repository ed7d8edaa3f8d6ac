"""Exit codes, and every error as one line on stderr; on a terminal the line is folded between words."""

from __future__ import annotations

import os
import sys
from enum import IntEnum

from rekindle.cli.printing import complain, one_line

#: The longest message of an error, in characters, without its hint.
MAX_MESSAGE = 600


class ExitCode(IntEnum):
    """What the command tells its caller; docs/cli.md has them for people."""

    OK = 0
    #: The tuning job that was run failed; or ``metrics`` found no objective in the log.
    FAILED = 1
    #: The job file, an argument or a setting is not valid.
    BAD_INPUT = 2
    #: The named thing is not there, the name is taken, or its state does not allow it.
    WRONG_STATE = 3
    #: The store, the home folder or the cluster cannot be reached.
    UNREACHABLE = 4
    #: A defect in Rekindle.
    DEFECT = 70
    #: Ctrl-C; a tuning job can be resumed.
    INTERRUPTED = 130
    #: The reader of the output went away.
    PIPE_CLOSED = 141


class Interrupted(Exception):
    """Ctrl-C: the message says what there is now."""


def report(error: Exception) -> ExitCode:
    """Says on one line what went wrong and returns the exit code for it. Raises what is no error of this kind."""
    code, text = explained(error)
    _let_go_of_the_unwritten()
    if code is ExitCode.PIPE_CLOSED:
        return code
    if code is ExitCode.INTERRUPTED:
        # A terminal shows ^C where the cursor was.
        complain(text, blank=sys.stderr.isatty())
    else:
        complain(f"error: {text}")
    return code


def _let_go_of_the_unwritten() -> None:
    """What is still buffered for an output that takes no more, a closed pipe or a full disk, must not raise once more at exit:
    Python would end with a code of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def explained(error: Exception) -> tuple[ExitCode, str]:
    """The exit code and the line for an error."""
    if isinstance(error, Interrupted):
        # First of all: an import that Ctrl-C has broken off may fail when it is begun once more.
        return ExitCode.INTERRUPTED, str(error)
    from rekindle.domain.errors import NameInUse, NotFound, RekindleError, WrongState
    from rekindle.engine.ports import ClusterUnavailable, StoreUnavailable
    from rekindle.engine.room import lacks_room

    match error:
        case NotFound() | NameInUse() | WrongState():
            return ExitCode.WRONG_STATE, sentence(error.message, error.hint)
        case RekindleError():
            return ExitCode.BAD_INPUT, sentence(error.message, error.hint)
        case ClusterUnavailable():
            return ExitCode.UNREACHABLE, sentence(error.message, error.hint)
        case StoreUnavailable():
            hint = error.hint or "Nothing is lost; try again."
            return ExitCode.UNREACHABLE, sentence(f"the store cannot be reached: {error.message}", hint)
        case BrokenPipeError():
            return ExitCode.PIPE_CLOSED, ""
        case FileNotFoundError() if error.filename is None and _stands_nowhere():
            return ExitCode.UNREACHABLE, sentence("the current folder was removed.", "Change to one that is there, by `cd`.")
        case OSError():
            # Who knows what there is by now leaves a note.
            hint = " ".join(getattr(error, "__notes__", ()))
            hint = hint or ("Free some space and try again." if lacks_room(error) else "")
            return ExitCode.UNREACHABLE, sentence(f"{error.filename or 'the system'}: {error.strerror or error}", hint)
        case _ if hasattr(error, "format_message"):  # a wrong option or argument, found by typer
            return ExitCode.BAD_INPUT, _usage(error)
        case _:
            found = f"unexpected {type(error).__name__}: {error}"
            return ExitCode.DEFECT, sentence(found, "This is a defect; `rekindle --debug ...` shows where.")


def _stands_nowhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def sentence(message: str, hint: str) -> str:
    """The message and the way out, on one line of bounded length that no terminal takes for a command."""
    message = one_line(message)
    if len(message) > MAX_MESSAGE:
        message = message[: MAX_MESSAGE - 3] + "..."
    if hint and message[-1:] not in ".!?":
        message += "."
    return f"{message} {one_line(hint)}".strip()


def _usage(error: Exception) -> str:
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return sentence(message, f"See `{context.command_path} --help`." if context else "")
