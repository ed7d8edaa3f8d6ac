"""Ctrl-C, and SIGTERM: what the first one does is the command's business; the second leaves at once, also while the first is
being told."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType

#: The exit code after Ctrl-C, ``problems.ExitCode.INTERRUPTED``, for when that cannot be imported any more.
INTERRUPTED = 130
_SHOW_CURSOR = "\x1b[?25h"


def take_interrupts() -> None:
    """From now on the first Ctrl-C is a KeyboardInterrupt, the second the end. Where it is ignored, as behind ``nohup``, it
    stays so."""
    if _is_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raise_once)


def take_terminations() -> Callable[[], object]:
    """From now on SIGTERM is as Ctrl-C, until what this returns is called: for a command that has something to say of what it
    leaves."""
    if not _is_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return lambda: None
    signal.signal(signal.SIGTERM, _raise_once)
    return partial(signal.signal, signal.SIGTERM, signal.SIG_DFL)


def is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is what an error comes of: modules in C++ whose import it breaks off make an ImportError of it."""
    if isinstance(error, ImportError):
        return is_interrupt(error.__cause__ or error.__context__)
    return isinstance(error, KeyboardInterrupt)


def leave(number: int, frame: FrameType | None) -> None:
    """Ends the process without a word: what there is to say was said, or is known by then to nobody."""
    if sys.stdout.isatty():
        os.write(1, _SHOW_CURSOR.encode())
    os._exit(INTERRUPTED)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _raise_once(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGINT, number):
        signal.signal(each, leave)
    raise KeyboardInterrupt
