"""What the commands write: JSON for programs, tables and lines for people."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

T = TypeVar("T")

#: The columns of a file or a pipe, unless a table of it needs more.
PLAIN_WIDTH = 200
#: What the frame of a table puts between two of its columns.
_GAP = 3


def write_json(value: object) -> None:
    """One JSON document on stdout; what JSON cannot say (NaN, infinities) is refused, not bent. Where stdout is not UTF-8 the
    document is ASCII, with JSON's own escapes."""
    plain = (sys.stdout.encoding or "utf-8").lower() not in ("utf-8", "utf8")
    typer.echo(json.dumps(value, indent=2, ensure_ascii=plain, allow_nan=False))


def write_as_a_file(text: str) -> None:
    """Text on stdout as a file has it: typer would leave out what a terminal takes for a command, and write in the terminal's
    encoding."""
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def console(stderr: bool = False, width: int = PLAIN_WIDTH) -> Console:
    """The terminal, or a file of so many columns where there is none, so that tables are not cut, without colours: also where
    ``FORCE_COLOR`` asks for a terminal's, as CI and notebooks do."""
    from rich.console import Console

    watched = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr,
        highlight=False,
        soft_wrap=False,
        width=None if watched else width,
        # FORCE_COLOR would make a terminal of a file, and a dumb one (TERM=dumb) has 80 columns for rich, whatever the width.
        force_terminal=None if watched else False,
    )


def show(*things: RenderableType, width: int = PLAIN_WIDTH) -> None:
    """Renderables on stdout, one below the other; where nobody watches, without the blanks that fill lines up, and in so many
    columns."""
    out = console(width=width)
    if is_terminal():
        for thing in things:
            out.print(thing)
        return
    with out.capture() as written:
        for thing in things:
            out.print(thing)
    typer.echo("\n".join(line.rstrip() for line in written.get().split("\n")), nl=False)


def tell(text: str) -> None:
    """A sentence on stdout, whatever a user's words in it hold. On a terminal it breaks between words, with the lines after the
    first set in; elsewhere it stays on one line."""
    text = one_line(text)
    typer.echo(folded(text, console().width) if is_terminal() else text)


def complain(text: str, blank: bool = False) -> None:
    """A sentence on stderr, as ``tell`` has it; with ``blank`` on a line of its own whatever stands there. It needs nothing
    that may be what went wrong."""
    text = one_line(text)
    text = folded(text, shutil.get_terminal_size().columns) if sys.stderr.isatty() else text
    typer.echo("\n" * blank + text, err=True)


def say_if_waiting(path: str) -> None:
    """On stderr, before a named pipe is read: where nobody has begun to write, that may take for ever."""
    from rekindle.jobfile.load import is_passing

    with contextlib.suppress(OSError):
        if Path(path).is_fifo() and not is_passing(Path(path)):
            complain(f"{path} is a pipe: waiting for what another program writes to it; Ctrl-C ends this")


def folded(text: str, width: int, inset: str = "  ") -> str:
    """A sentence in lines of so many columns that break between words, those after the first set in. A word that is longer has
    a line of its own."""
    return textwrap.fill(text, width, subsequent_indent=inset, break_long_words=False, break_on_hyphens=False)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "", right: Sequence[str] = ()
) -> RenderableType:
    """A table without frames; the columns ``right`` are aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False, show_edge=False)
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell(value)) for value in row))
    return grid


def show_rows(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    apart: Sequence[tuple[str, str]] | None = None,
    right: Sequence[str] = (),
) -> None:
    """A table in which every row is one line, and every value whole. Where nobody watches it is as wide as that takes; on a
    terminal that is narrower the rows stand ``apart`` instead: what each is called, and below it, set in, what it holds; of
    things whose name is in the first column these may be left out."""
    room, width = console().width, _width(columns, rows)
    if not is_terminal() or width <= room:
        show(table(columns, rows, right=right), width=max(width, PLAIN_WIDTH))
        return
    for head, rest in [_named(columns, row) for row in rows] if apart is None else apart:
        typer.echo(folded(head, room))
        typer.echo(folded(f"  {rest}", room))


def _named(columns: Sequence[str], row: Sequence[object]) -> tuple[str, str]:
    name, *figures = row
    return f"{cell(name)}:", ", ".join(f"{what} {cell(value)}" for what, value in zip(columns[1:], figures, strict=True))


def _width(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    """How many columns of a terminal a table takes when nothing in it is folded."""
    from rich.cells import cell_len

    texts = zip(columns, *([cell(value) for value in row] for row in rows), strict=True)
    return sum(max(map(cell_len, column)) for column in texts) + _GAP * (len(columns) - 1)


def pairs(values: Mapping[str, object]) -> RenderableType:
    """Names and values, aligned."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in values.items():
        grid.add_row(Text(name, style="bold"), Text(cell(value)))
    return grid


def cell(value: object) -> str:
    """A value as it stands in a table."""
    if value is None:
        return "-"
    # Adding 0 makes the zero that has a sign, -0.0, one without.
    return f"{value + 0.0:.6g}" if isinstance(value, float) else one_line(str(value))


def one_line(text: str) -> str:
    """Text on one line that no terminal takes for a command: what is not printable is written as its escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


def settings_text(values: Mapping[str, Any]) -> str:
    """A configuration on one line: ``C=12.3 kernel=rbf``."""
    return " ".join(f"{one_line(name)}={cell(value)}" for name, value in values.items())


def counted(number: int, what: str) -> str:
    """So many of something: ``1 training job``, ``2,000 training jobs``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def data_size(count: int) -> str:
    """An amount of data for people: ``812 bytes``, ``1.2 MB``, ``35 GB``."""
    if count < 1000:
        return counted(count, "byte")
    size = count / 1000
    units = ["kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.1f} {units[0]}" if size < 9.95 else f"{size:.0f} {units[0]}"


def duration(seconds: float | None) -> str:
    """A duration for people: ``1.2 s``, ``3:07``, ``2:03:07``."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{rest} s"


def can_renew(stderr: bool = False) -> bool:
    """Whether what stands on stdout, or stderr, can be drawn over. Not so where a terminal cannot move its cursor
    (``TERM=dumb``, of editors and CI runners), and not in a notebook, where ``!`` makes a terminal but every picture stays, in
    the file too."""
    from rekindle.settings import in_notebook

    stream, out = sys.stderr if stderr else sys.stdout, console(stderr)
    return stream.isatty() and out.is_terminal and not out.is_dumb_terminal and not in_notebook()


def with_bar(things: Iterable[T], what: str, total: int) -> Iterable[T]:
    """The things, with a bar on stderr where somebody watches, of how many were gone through: of what may take minutes."""
    from rich.progress import track

    return track(
        things, what, total, console=console(stderr=True), transient=True, disable=total == 0 or not can_renew(stderr=True)
    )


def is_terminal() -> bool:
    """Whether somebody watches stdout."""
    return sys.stdout.isatty()
