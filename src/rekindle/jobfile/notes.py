"""What a job file may have meant otherwise: it runs as it is, and is worth a word before it does."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence

from rekindle.domain.tuning_job import Definition, StrategyName, TuningJobSpec
from rekindle.jobfile.errors import JobFileError
from rekindle.jobfile.nodes import Scalar
from rekindle.jobfile.values import Table, Value

#: A word of a command that is a variable, by itself or behind an option, and perhaps the beginning of a path.
_VARIABLE = re.compile(r"(?:-[\w-]+=)?(\$\{?(SM_)?(\w+)\}?)(?:/.*)?")
#: What a shell has for everybody, and a command line may mean.
_SHELLS_OWN = ("HOME", "PWD", "USER")
#: A word of a command that is a path in the home folder, as a shell reads it.
_IN_HOME = re.compile(r"(?:-[\w-]+=)?(~(?:/.*)?)")
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
#: Of a shell, the option behind which its script stands, by itself or as the end of a bundle: -c, -lc.
_SCRIPT_OPTION = re.compile(r"-[A-Za-z]*c")
#: What a script says to hand on the words behind it, and to use values without these.
_HANDS_ON, _READS_VALUES = re.compile(r"\$\{?[@*1-9]"), re.compile(r"\$\{?0|SM_|hyperparameters\.json")


def notes_on(spec: TuningJobSpec) -> Iterator[str]:
    """Sentences on the command, with the ways out."""
    yield from _places_in_command(spec.definition)
    yield from _values_lost_in_a_shell(spec.definition)


def choices_in(table: Table, spec: TuningJobSpec) -> Iterator[str]:
    """Sentences on lists that may have been meant as the ends of ranges."""
    # A grid has choices only.
    if spec.strategy is not StrategyName.GRID:
        for _, value in table.need("ranges", "").table().values():
            if value.is_list and _are_ends(value.items()):
                yield _choice(value)


def _are_ends(values: list[Value]) -> bool:
    """Whether two values could be a range's ends as well: numbers without quotes, the lower one first."""
    if len(values) != 2 or any(isinstance(v.node, Scalar) and v.node.quoted for v in values):
        return False
    try:
        low, high = (v.number() for v in values)
    except JobFileError:
        return False
    return low < high


def _choice(value: Value) -> str:
    low, high = (v.text() for v in value.items())
    return (
        f"{value.path}: [{low}, {high}] is a choice of two values. For a range, with all that lies between, write"
        f" {{min: {low}, max: {high}}}, and type: integer in it for whole numbers; {{values: [{low}, {high}]}} says that a"
        " choice is meant."
    )


def _places_in_command(definition: Definition) -> Iterator[str]:
    """Hyperparameters' names in braces, as other tools write the places for their values, and variables, as a shell does."""
    algorithm = definition.training.algorithm
    names = (*(p.name for p in definition.ranges), *definition.statics)
    command = algorithm.command or ""
    written = [name for name in names if re.search(rf"(?<!\$){{{re.escape(name)}}}", command)]
    if written:
        appended = f"appended as `--{written[0]} VALUE` and " if algorithm.arguments_style == "cli" else ""
        yield (
            f"command: {', '.join(f'{{{name}}}' for name in written)}: braces reach the program as they are written. Leave them"
            f" out: each value is {appended}in a variable such as SM_HP_{written[0].upper()}."
        )
    known = (*names, *_SHELLS_OWN, *definition.training.environment)
    words = shlex.split(command)
    variables = [m[1] for word in words if (m := _VARIABLE.fullmatch(word)) and (m[2] or m[3] in known)]
    if variables:
        yield (
            f"command: {', '.join(variables)}: commands are run without a shell, and variables reach the program as they are"
            f" written. For their values write: {_in_a_shell(command, algorithm.arguments_style)}"
        )
    homes = [m[1] for word in words if (m := _IN_HOME.fullmatch(word))]
    if homes:
        yield (
            f"command: {', '.join(homes)}: commands are run without a shell, and ~ reaches the program as it is written. Write"
            " the whole path, unless the program itself reads it so."
        )


def _in_a_shell(command: str, arguments_style: str) -> str:
    """The command as a shell's, with what is appended to it handed on, unless it reads its values by itself."""
    if _needs_no_words(arguments_style, command):
        return f"bash -c {shlex.quote(command)}"
    return f"""bash -c {shlex.quote(f'{command} "$@"')} bash"""


def _needs_no_words(arguments_style: str, script: str) -> bool:
    """Whether values reach a script otherwise than as words behind it."""
    return arguments_style != "cli" or _READS_VALUES.search(script) is not None


def _script_option(words: Sequence[str]) -> int:
    """Which word of a shell's command says that its script follows; 0 where none does. From the first word on that is no option
    all are the program's own."""
    for at, word in enumerate(words[1:], start=1):
        if _SCRIPT_OPTION.fullmatch(word):
            return at
        if not word.startswith(("-", "+")) and words[at - 1] not in ("-o", "+o"):
            return 0
    return 0


def _values_lost_in_a_shell(definition: Definition) -> Iterator[str]:
    """The script of ``bash -c`` has what is appended behind it as its own words, of which the first is its name: a program in
    it that is not handed them runs each time with what it has by itself, and all results are of that."""
    algorithm = definition.training.algorithm
    words = shlex.split(algorithm.command or "")
    at = _script_option(words)
    is_shell = bool(words) and os.path.basename(words[0]) in _SHELLS and 0 < at < len(words) - 1
    if not is_shell or _needs_no_words(algorithm.arguments_style, words[at + 1]):
        return
    script, named = words[at + 1], at + 2 < len(words)
    if named and _HANDS_ON.search(script):
        return
    name = definition.ranges[0].name
    yield (
        f"command: values are appended as `--{name} VALUE` behind the script of {words[0]}, which hands them on only where it"
        f' says "$@", and takes the first word there for its name. Write: {words[0]} {words[at]} \'... "$@" ...\' {words[0]}.'
        f" Where the program reads variables such as SM_HP_{name.upper()} instead, say `arguments: none`."
    )
