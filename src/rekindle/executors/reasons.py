"""Why a training job failed, in what its program left: its failure file, or the last that it printed. Supervisors start with
it, so it imports next to nothing."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: The longest failure reason, and what of a failure file is read, in characters.
REASON_LIMIT = 1024
#: Why a program failed that neither printed anything nor left a word in its failure file.
SILENT = "the program printed nothing and did not write why to output/failure"
#: What to do about a program that was killed and said nothing of it, also within a container.
OF_MEMORY = (
    "It was killed, as a system does with what takes more memory than there is: let fewer training jobs run at once, or give "
    "each more"
)
#: Characters of each line before the last one in a reason that is a program's last lines.
_LINE_LIMIT = 200
#: Characters of an exception's message that goes on for several lines: what the reason has besides needs room, too.
_MESSAGE_LIMIT = 700
#: How the failure file of the scripts begins, or what it has in it, by which SDK v3 runs a program: alike for every failure.
_DRIVER_BEGINS, _DRIVER_HAS = "Training Execution failed.", "/sm_drivers/common/utils.py"
#: What they print after the program's last words: on its own behalf, or traced by their shell.
_DRIVER_PRINTS = ("Command failed with exit code ", "handle_error")
#: How Python's argparse says that it does not know an option, behind its usage.
_UNKNOWN = "error: unrecognized arguments: "
_SWAPPED = str.maketrans("-_", "_-")


def failure_file(folder: str) -> str | None:
    """What a program of this folder wrote into its failure file; None where there is none to be read."""
    path = os.path.join(folder, "output", "failure")
    # From a pipe we would read until somebody wrote into it: for ever.
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return file.read(4 * REASON_LIMIT).decode("utf-8", "replace")[:REASON_LIMIT].rstrip()
    except OSError:
        return None


def last_words(tail: str) -> str:
    """What a program said last: the exception that its traceback ends with, or its last lines."""
    lines = [line.rstrip() for line in tail.splitlines()]
    starts = [at for at, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if starts and (raised := _exception(lines[starts[-1] + 1 :])):
        return raised
    said = [line for line in lines if line]
    # A long line before the last would leave no room for it.
    return "\n".join([*(_shortened(line) for line in said[-3:-1]), *said[-1:]])


def without_driver(told: str | None, tail: str) -> tuple[str | None, str]:
    """The failure file and the end of the log without what SDK v3's scripts say of any failure: the program has said more."""
    if told is None or not (told.lstrip().startswith(_DRIVER_BEGINS) or _DRIVER_HAS in told):
        return told, tail
    lines = tail.splitlines()
    ends = (at for at, line in enumerate(lines) if line.lstrip("+ ").startswith(_DRIVER_PRINTS))
    return None, "\n".join(lines[: next(ends, len(lines))])


def misspelt(command: Sequence[str], tail: str) -> list[str]:
    """What to do about options of a command that its program knows with ``-`` for ``_``, or the reverse, as its usage shows;
    empty where there are none. Python's argparse takes neither for the other, and does not say so."""
    usage = tail.rpartition(_UNKNOWN)[0] or tail
    known = {word.strip("[]|,") for word in usage.split()}
    given = [word for word in command if word.startswith("--") and word not in known]
    alike = {word: f"--{word[2:].translate(_SWAPPED)}" for word in given}
    meant = [other for word, other in alike.items() if other != word and other in known]
    return [f"Its usage says {', '.join(meant)}: name the hyperparameter{'s' * (len(meant) > 1)} so"] if meant else []


def with_place(reason: str, folder: str) -> str:
    """The reason, and where the results are that could not be taken elsewhere."""
    ending = f". What was trained is kept in {folder}; remove the job only once you have it."
    return f"{reason[: REASON_LIMIT - len(ending)].rstrip('.')}{ending}"


def _exception(lines: Sequence[str]) -> str:
    """The exception below a traceback's frames, with the further lines of its message up to an empty one, as far as there is
    room; empty where there is none, or where somebody took the indents from the frames."""
    at = next((at for at, line in enumerate(lines) if line and not line[0].isspace()), len(lines))
    if lines[at : at + 1] and lines[at].startswith('File "'):
        return ""
    raised = "\n".join(lines[at : at + 1])
    for line in lines[at + 1 :]:
        if not line:
            break
        if len(raised) + len(line := _shortened(line)) > _MESSAGE_LIMIT:
            return f"{raised}\n..."
        raised += f"\n{line}"
    return raised


def _shortened(line: str) -> str:
    return line if len(line) <= _LINE_LIMIT else f"{line[:_LINE_LIMIT]}..."
