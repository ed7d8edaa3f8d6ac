"""``metrics``: tests a job file's regular expressions against a sample log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from rekindle.cli.options import JobFileArgument, JsonOption
from rekindle.cli.printing import tell
from rekindle.cli.problems import ExitCode

if TYPE_CHECKING:
    from rekindle.domain.metrics import MetricDefinition


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


def metrics(
    job_file: JobFileArgument,
    log: Annotated[str, typer.Option("--log", metavar="FILE", help="A sample log; - reads stdin.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Test the metrics' regular expressions against a sample log. Exit code 1: the objective was not found."""
    from rekindle.cli.printing import counted, write_json
    from rekindle.cli.source import load_source
    from rekindle.domain.builtins.catalogue import builtin_of

    definition = load_source(job_file).spec.definition
    catches = catch(definition.training.algorithm.metrics, definition.objective.metric, _read_lines(log))
    builtin = builtin_of(definition.training.algorithm, definition.statics)
    if as_json:
        write_json([asdict(c) for c in catches])
    elif builtin is None:
        _show(catches)
    else:
        # Nobody has asked for all that it could emit.
        told = [c for c in catches if c.objective or c.count or c.not_numbers]
        _show(told)
        tell(f"Not in the log: {counted(len(catches) - len(told), 'other metric')} of {builtin.name}.")
    if not any(c.objective and c.count for c in catches):
        raise typer.Exit(ExitCode.FAILED)


def catch(definitions: Sequence[MetricDefinition], objective: str, lines: Iterable[str]) -> list[Catch]:
    """What each definition catches, line by line, just as in a training job's log."""
    from rekindle.domain.metrics import MetricScanner, compile_regex

    found = [Catch(d.name, d.regex, d.name == objective) for d in definitions]
    scanners = [MetricScanner([d]) for d in definitions]
    patterns = [compile_regex(d.regex, d.name) for d in definitions]
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
    from rekindle.cli.printing import say_if_waiting
    from rekindle.domain.errors import RekindleError
    from rekindle.domain.scanning import LINE_LIMIT

    if log != "-":
        say_if_waiting(log)
    try:
        opened = 0 if log == "-" else log
        with open(opened, encoding="utf-8", errors="replace", closefd=log != "-") as file:
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
    from rekindle.cli.printing import show, table

    columns = ["metric", "caught", "first", "final", "line", "text"]
    rows = [[_label(c), c.count, c.first, c.final, c.line_number, c.line] for c in catches]
    show(table(columns, rows, right=["caught", "first", "final", "line"]))
    for c in catches:
        if not c.count:
            tell(f"{c.metric}: nothing in the log matches {c.regex} with a number.")
        if c.not_numbers:
            several = f"{c.not_numbers} matches are no finite numbers, such as"
            what = "1 match is no finite number" if c.not_numbers == 1 else several
            tell(f"{c.metric}: {what}: {c.not_number_line or ''}")


def _label(one: Catch) -> str:
    return f"{one.metric} (objective)" if one.objective else one.metric
