"""The command ``rekindle``, and what becomes of its errors. What takes time to import is imported where Ctrl-C is caught."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

from rekindle.cli.interrupts import INTERRUPTED, take_interrupts

if TYPE_CHECKING:
    from collections.abc import Sequence

_ELSEWHERE = (
    "the command rekindle needs Linux or macOS, and does not run on Windows itself. Install it within WSL (`wsl --install`), "
    "and run it there; the library, rekindle.search, works here, too."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; errors are one line on stderr."""
    if os.name != "posix":
        # What everything below stands on is not there: an import would be the first to say so, and not why.
        sys.stderr.write(f"error: {_ELSEWHERE}\n")
        return 2
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    take_interrupts()
    _open_closed_streams()
    _say_what_can_be_said()
    try:
        from rekindle.cli.program import build_app

        code = build_app()(arguments, prog_name="rekindle", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except KeyboardInterrupt:
        sys.stderr.write("\n" * sys.stderr.isatty() + "interrupted before anything was done\n")
        return INTERRUPTED
    except SystemExit as left:
        if not _is_closed_pipe(left.__context__):
            raise
        return _reported(BrokenPipeError())
    except Exception as error:
        if "--debug" in arguments[:1]:
            import traceback

            traceback.print_exc()
        return _reported(_directed(error))


def _open_closed_streams() -> None:
    """Python has None for a stream that its caller closed (``>&-``); what is written there goes nowhere."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115 - it stays open to the end of the program
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115


def _say_what_can_be_said() -> None:
    """What a terminal of another encoding than UTF-8 cannot show is written as its escape, as on stderr, and ends nothing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_closed_pipe(error: BaseException | None) -> bool:
    """Whether typer left because of this error: it turns EPIPE into ``sys.exit(1)``, also where it should only raise."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _reported(error: Exception) -> int:
    from rekindle.cli.problems import report

    return report(error)


def _directed(error: Exception) -> Exception:
    from rekindle.domain.errors import NotFound

    if not isinstance(error, NotFound):
        return error
    from rekindle.cli.nearby import directed

    return directed(error)


if __name__ == "__main__":
    sys.exit(main())
