"""From an algorithm to the program to run: a command in a copy of a folder, or what an image's name stands for."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import Algorithm
from rekindle.executors import contract

#: Words that only a shell understands, and commands are not run by one.
_SHELL = frozenset({"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1", "&>"})
_PYTHONS = frozenset({"python", "python3"})
_PYTHON = re.compile(r"python[0-9.]*")
#: Options of Python that take the next word, and those after which there is no script: -m, -c (also as the end of a bundle
#: such as -Im), and a lone hyphen.
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})
_NO_SCRIPT = re.compile(r"-[bBdEhiIOPqsSuvx]*[mc]|-$")
#: So much of a script, in bytes, is read to find its interpreter: as Linux does.
_FIRST_LINE = 256
#: First lines, by how they begin, to which the carriage return of a line end as on Windows is a space like any other.
_TAKES_RETURN = re.compile(rb"#!\s*\S*/(env\s+(-[a-z]*S|--split-string)|perl\S*\s+-)")


@dataclass(frozen=True)
class Container:
    """A container to run: the ``engine``'s program, its further ``options``, the image, and what to start in it instead of
    the image's own entry point with the argument ``train``."""

    engine: str
    image: str
    options: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """What to run. ``values`` are the hyperparameters as it is to see them, ``raw`` all of them for its file, where those
    are not the run's own; ``first_on_path`` goes before the user's PATH; ``fetch`` is a URI that it needs and the folder,
    within the run's, to bring it to; ``links`` are such paths and where they lead. ``is_script`` is set in script mode,
    ``container`` where ``argv`` is to run one. ``hint`` is what to do about a package that is not there; ``shown`` is the
    command as a failure reason names it."""

    argv: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    entry_point: str = ""
    source: Path | None = None
    first_on_path: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    module_dir: str = ""
    framework: str = ""
    is_script: bool = False
    fetch: tuple[str, str] | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, str] | None = None
    container: Container | None = None
    hint: str = ""
    shown: str = ""


@dataclass(frozen=True)
class Elsewhere:
    """A program that does not run as a process of ours: its description in files, by their paths, the command that starts and
    follows it, and the one that ends it if nobody else does."""

    files: Mapping[str, str]
    command: list[str]
    removal: list[str]


def name_elsewhere(training_job: str, folder: Path) -> str:
    """What a training job's program is called there. By its folder, too: jobs of one name may be several owners'."""
    return f"rekindle-{training_job}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}"


def command_program(algorithm: Algorithm, hyperparameters: Mapping[str, str], path: str | None = None) -> Program:
    """The program of an algorithm that is a command; ``path`` is the PATH it sees, where that is known. Raises InvalidValue for
    one that is no command line."""
    words = command_words(algorithm.command or "")
    interpreter, folder, variables = chosen_python(algorithm.python)
    hint = "" if path is None else _package_hint(words[0], interpreter, os.pathsep.join([folder, path]) if folder else path)
    if interpreter and words[0] in _PYTHONS:
        words[0] = interpreter
    arguments = contract.plain_arguments(hyperparameters) if algorithm.arguments_style == "cli" else []
    script = next((w for w in words[1:] if w.endswith((".py", ".sh"))), "")
    return Program(
        argv=(*words, *arguments),
        arguments=tuple(arguments),
        values=contract.own(hyperparameters),
        entry_point=script,
        source=Path(algorithm.source) if algorithm.source else None,
        first_on_path=(folder,) if folder else (),
        variables=variables,
        hint=hint,
    )


def _package_hint(word: str, interpreter: str, path: str) -> str:
    """What to do about a package that the Python of a command, whose first word that is, did not find; empty for a command of
    another program."""
    if not _PYTHON.fullmatch(os.path.basename(word)):
        return ""
    replaced = word in _PYTHONS
    found = (interpreter if replaced else "") or shutil.which(word, path=path) or word
    place = "by `python` in the job file" if replaced else "in the command"
    return f"The command's Python is {found}: install the package there, or name another {place}"


def command_words(command: str) -> list[str]:
    """A command line's words. Raises InvalidValue where there is none, or one that only a shell would understand."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidValue("command", command, f"not a command line: {str(error).lower()}") from error
    if not words:
        raise InvalidValue("command", command, "the command is empty")
    odd = next((w for w in words if w in _SHELL), None)
    if odd is not None and words[0] not in ("sh", "bash"):
        reason = f"{odd!r} is for a shell, and commands are run without one"
        way_out = f'Write: bash -c {shlex.quote(command)} bash, with "$@" in it where the program takes the values.'
        raise InvalidValue("command", command, reason, way_out)
    return words


def first_word(command: str) -> str:
    """The program that a command line names; empty where it names none. It is asked for again and again, and the rest may be a
    whole script, which takes a thousand times as long to take apart."""
    words = shlex.shlex(command, posix=True)
    words.whitespace_split, words.commenters = True, ""
    try:
        return next(words, "")
    except ValueError:
        return ""


def chosen_python(python: str | None) -> tuple[str, str, dict[str, str]]:
    """The interpreter, its folder and the variables for ``Algorithm.python``: an interpreter or an environment's folder.

    Raises InvalidValue where it is neither.
    """
    if python is None:
        return "", "", {}
    path = _interpreter(python)
    if not is_python(python):
        found = shutil.which(path.name) if _PYTHON.fullmatch(path.name) else None
        way_out = f"Write the interpreter's path: {found}" if found else "Give the path of one of the two."
        raise InvalidValue("python", python, "neither a Python interpreter nor an environment's folder", way_out)
    environment = path.parent.parent
    variables = {"VIRTUAL_ENV": str(environment)} if (environment / "pyvenv.cfg").exists() else {}
    return str(path), str(path.parent), variables


def is_python(python: str) -> bool:
    """Whether there is an interpreter where ``Algorithm.python`` says."""
    path = _interpreter(python)
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _interpreter(python: str) -> Path:
    path = Path(python)
    return path / "bin" / "python" if os.path.isdir(path) else path


def check_command(algorithm: Algorithm, path: str, on_node: bool = False) -> None:
    """Raises InvalidValue where the command's source, program or script is not there, or cannot be started; ``path`` is the
    PATH it would see. ``on_node``: it runs on a cluster's node, where other interpreters may be, and is started by ``env``,
    which takes a file without a first line for a shell's."""
    words = command_words(algorithm.command or "")
    _check_lines(algorithm.command or "", words)
    _check_lengths(algorithm.command or "", words)
    source = _checked_source(algorithm.source)
    interpreter, folder, _ = chosen_python(algorithm.python)
    if not (interpreter and words[0] in _PYTHONS):
        path = os.pathsep.join([folder, path]) if folder else path
        _check_program(algorithm.command or "", words[0], source, path, on_node)
    _check_script(algorithm.command or "", words, source)


def _check_lines(command: str, words: Sequence[str]) -> None:
    """Lines would be the words of one command to us. A word may hold several, as in ``bash -c``; one that is nothing else is
    what a backslash at the end of a line leaves."""
    if len(command.strip().splitlines()) > 1 and ("\n" in words or not any("\n" in word for word in words)):
        reason = "several lines are several commands for a shell, and commands are run without one"
        way_out = "Write it on one line (in YAML: `>` in place of `|`, no backslashes), or call a script."
        raise InvalidValue("command", command, reason, way_out)


def _check_lengths(command: str, words: Sequence[str]) -> None:
    if long := next((word for word in words if not contract.is_short_word(word)), ""):
        reason = f"a word of {len(long):,} characters is too long to start a program with; the limit is 128 KiB"
        raise InvalidValue("command", command, reason, "Write it into a file of the source folder, and call that.")


def _checked_source(source: str | None) -> Path | None:
    if source is None:
        return None
    if not os.path.isdir(source):
        if os.path.exists(source):
            raise InvalidValue("source", source, "it is a file, not a folder", "Name the folder that holds it.")
        raise InvalidValue("source", source, "there is no such folder")
    if not os.access(source, os.R_OK | os.X_OK):
        raise InvalidValue("source", source, "the folder cannot be read")
    return Path(source)


def _check_program(command: str, program: str, source: Path | None, path: str, on_node: bool) -> None:
    if os.sep in program:
        found = (source or Path()) / program
        if not os.path.isfile(found):
            raise _no_file(command, program, source)
        if not os.access(found, os.X_OK):
            raise InvalidValue("command", command, f"{program!r} is not executable", f"Make it so: chmod +x {program}")
        _check_first_line(command, program, found, on_node)
    elif shutil.which(program, path=path) is None:
        name, is_variable, value = program.partition("=")
        way_out = "Install it, or write its whole path."
        if is_variable:
            way_out = f"In a job file variables stand under `environment`: {{{name}: {value!r}}}."
        elif os.path.isfile((source or Path()) / program):
            way_out = f"It is a file of the source folder: write {'python ' if program.endswith('.py') else './'}{program}"
        raise InvalidValue("command", command, f"no program {program!r} is on PATH", way_out)


def _check_first_line(command: str, program: str, file: Path, on_node: bool) -> None:
    """Raises InvalidValue for a script that the system would not start, and of which it says no more than that something is not
    there. What holds a zero is no script; what cannot be read may be started all the same."""
    try:
        with file.open("rb") as opened:
            begin = opened.read(_FIRST_LINE)
    except OSError:
        return
    # What the system takes for the end of a line and for a space within it, and nothing else.
    line = begin.partition(b"\n")[0]
    if b"\0" in begin or (on_node and not line.startswith(b"#!")):
        return
    if not line.startswith(b"#!"):
        reason = f"{program!r} has no first line that names its interpreter"
        way_out = f"Write: {'python' if program.endswith('.py') else 'bash'} {program}"
        raise InvalidValue("command", command, reason, way_out)
    if line.endswith(b"\r") and not _TAKES_RETURN.match(line):
        reason = f"the lines of {program!r} end as on Windows, and its first names no program"
        raise InvalidValue("command", command, reason, f"Save it with the line ends of Linux: sed -i 's/\\r$//' {program}")
    interpreter = os.fsdecode(re.split(rb"[ \t]", line[2:].strip(b" \t"))[0])
    if not on_node and (not interpreter or (os.path.isabs(interpreter) and not os.path.exists(interpreter))):
        reason = f"the first line of {program!r} names {interpreter!r}, and there is no such program"
        raise InvalidValue("command", command, reason, "Name one that is there, as in: #!/usr/bin/env python3")


def _check_script(command: str, words: Sequence[str], source: Path | None) -> None:
    script = _script_of(words)
    if script and not os.path.exists((source or Path()) / script):
        raise _no_file(command, script, source)


def _no_file(command: str, name: str, source: Path | None) -> InvalidValue:
    if name[0] in "~$":
        reason = f"{name!r} is for a shell, and commands are run without one"
        return InvalidValue("command", command, reason, "Write the whole path.")
    if source is None or os.path.isabs(name):
        return InvalidValue("command", command, f"there is no file {name!r} there", _whole(command, name, source))
    where = f"in the source folder {source}"
    way_out = "The job file's `source` names the folder that is copied and in which the command runs."
    return InvalidValue("command", command, f"there is no file {name!r} {where}", _whole(command, name, source) or way_out)


def _whole(command: str, beginning: str, source: Path | None) -> str:
    """The way out where the words that follow are the rest of a file's name that has spaces; empty where they are not."""
    words = shlex.split(command)
    first = words.index(beginning)
    names = (" ".join(words[first:last]) for last in range(first + 2, len(words) + 1))
    name = next((name for name in names if os.path.isfile((source or Path()) / name)), "")
    return f"A name with spaces stands in quotes: {shlex.quote(name)}" if name else ""


def _script_of(words: Sequence[str]) -> str:
    """The script that a command runs: the first word that is no option of Python's; of other programs only a .py that comes
    first. Empty where there is none, as for ``python -m``."""
    if not _PYTHON.fullmatch(os.path.basename(words[0])):
        return words[1] if len(words) > 1 and words[1].endswith(".py") else ""
    rest = iter(words[1:])
    for word in rest:
        if word in _WITH_VALUE:
            next(rest, None)
        elif _NO_SCRIPT.match(word):
            return ""
        elif not word.startswith("-"):
            return word
    return ""
