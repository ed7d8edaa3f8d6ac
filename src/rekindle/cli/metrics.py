"""``metrics``: tests a job file's regular expressions against a sample log."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from rekindle.cli.options import JobFileArgument, JsonOption
from rekindle.cli.printing import counted, say_if_waiting, show, table, tell, write_json
from rekindle.cli.problems import ExitCode

if TYPE_CHECKING:
    from rekindle.domain.tuning_job import Definition


@dataclass
class Catch:
    """What one metric's regular expression caught in a log; ``final`` is the value that a training job would have."""

    metric: str
    regex: str
    objective: bool
    count: int = 0
    first: float | None = None
    final: float | None = None
    line_number: int | None = None
    line: str | None = None
    not_numbers: int = 0
    not_number_line: str | None = None
    #: Whose metric it is, where there are several training job definitions.
    definition: str | None = None


def metrics(
    job_file: JobFileArgument,
    log: Annotated[str, typer.Option("--log", metavar="FILE", help="A sample log; - reads stdin.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Test the metrics' regular expressions against a sample log. Exit code 1: the objective was not found."""
    from rekindle.cli.source import load_source
    from rekindle.domain.builtins.catalogue import builtin_of
    from rekindle.domain.errors import InvalidValue
    from rekindle.jobfile.load import STDIN, named

    if named(job_file) == named(log) == STDIN:
        raise InvalidValue("--log", log, "the job file is read from there, and nothing is left", "Give one of them as a file.")
    definitions = load_source(job_file).spec.definitions
    catches = catch(definitions, _read_lines(log))
    builtins = {d.name: builtin_of(d.training.algorithm, d.statics) for d in definitions}
    if as_json:
        write_json([asdict(c) for c in catches])
    else:
        # Nobody has asked for all that a built-in algorithm could emit.
        told = [c for c in catches if builtins[c.definition] is None or c.objective or c.count or c.not_numbers]
        _show(told)
        for name, builtin in builtins.items():
            if builtin is not None:
                others = sum(c.definition == name for c in catches) - sum(c.definition == name for c in told)
                tell(f"Not in the log: {counted(others, 'other metric')} of {builtin.name}.")
    if not any(c.objective and c.count for c in catches):
        raise typer.Exit(ExitCode.FAILED)


def catch(definitions: Sequence[Definition], lines: Iterable[str]) -> list[Catch]:
    """What each metric of each definition catches, line by line, just as in a training job's log."""
    from rekindle.domain.metrics import MetricScanner, compile_regex

    metrics = [(d, m) for d in definitions for m in d.training.algorithm.metrics]
    found = [Catch(m.name, m.regex, m.name == d.objective.metric, definition=d.name) for d, m in metrics]
    scanners = [MetricScanner([m]) for _, m in metrics]
    patterns = [compile_regex(m.regex, m.name) for _, m in metrics]
    for number, line in enumerate(lines, start=1):
        for one, scanner, pattern in zip(found, scanners, patterns, strict=True):
            values = [emission.value for emission in scanner.scan(line)]
            if values:
                _take(one, values[0], number, line)
            elif pattern.search(line) is not None:
                one.not_numbers += 1
                one.not_number_line = line[:200]
    return found


def _take(one: Catch, value: float, number: int, line: str) -> None:
    one.count += 1
    one.first = value if one.first is None else one.first
    one.final, one.line_number, one.line = value, number, line[:200]


def _read_lines(log: str) -> Iterator[str]:
    """The lines of a log, one after the other: it may be long, and a pipe without end."""
    from rekindle.domain.errors import RekindleError
    from rekindle.domain.scanning import LINE_LIMIT
    from rekindle.jobfile.load import named, open_given

    path = named(log)
    say_if_waiting(path)
    try:
        with io.TextIOWrapper(open_given(path), encoding="utf-8", errors="replace") as file:
            is_begin = True
            # Of a longer line no pattern sees the rest.
            while part := file.readline(LINE_LIMIT):
                if is_begin:
                    yield part.removesuffix("\n")
                is_begin = part.endswith("\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RekindleError(f"--log: {log!r} cannot be read: {reason}.") from error


def _show(catches: Sequence[Catch]) -> None:
    columns = ["metric", "caught", "first", "final", "line", "text"]
    rows = [[_label(c), c.count, c.first, c.final, c.line_number, c.line] for c in catches]
    show(table(columns, rows, right=["caught", "first", "final", "line"]))
    for c in catches:
        if not c.count:
            tell(f"{_name(c)}: nothing in the log matches {c.regex} with a number.")
        if c.not_numbers:
            several = f"{c.not_numbers} matches are no finite numbers, such as"
            what = "1 match is no finite number" if c.not_numbers == 1 else several
            tell(f"{_name(c)}: {what}: {c.not_number_line or ''}")


def _label(one: Catch) -> str:
    return f"{_name(one)} (objective)" if one.objective else _name(one)


def _name(one: Catch) -> str:
    return one.metric if one.definition is None else f"{one.definition}: {one.metric}"
