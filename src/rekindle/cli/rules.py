"""The rules of warm start as a table: each for each parent, with what was found, the broken ones too."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rekindle.cli.printing import PLAIN_WIDTH, folded, one_line, write_json

if TYPE_CHECKING:
    from rekindle.bootstrap import App
    from rekindle.domain.checks import Check
    from rekindle.domain.errors import RekindleError
    from rekindle.domain.tuning_job import TuningJobSpec

_MARKS = {True: "yes", False: "NO", None: ""}


def check_records(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Rules that were tried, as plain data. ``kept`` is None for what is no rule but worth knowing; ``why`` tells the field and
    the value that break a rule, and what the parent has."""
    return [
        {
            "parent": c.subject,
            "rule": c.rule,
            "kept": None if c.remark else c.error is None,
            "found": c.found,
            "why": _why(c),
        }
        for c in checks
    ]


def _why(check: Check) -> str | None:
    from rekindle.domain.errors import InvalidValue, NotFound

    error = check.error
    if isinstance(error, NotFound):
        return f"{error.message} {error.close}".strip()
    if not isinstance(error, InvalidValue):
        return None if error is None else error.message
    field = error.field.removeprefix("warm_start.").removeprefix(f"parents.{check.subject}").removeprefix(".")
    return f"{field + ': ' if field else ''}{error.finding}"


def show_checks(records: Sequence[dict[str, Any]], kind: str) -> None:
    """The rules one below the other, for each parent by itself: what is found of one may take a line and more. On a terminal,
    and where ``COLUMNS`` says how wide it is, lines break between words."""
    from itertools import groupby

    columns = shutil.get_terminal_size((PLAIN_WIDTH, 0)).columns
    typer.echo(f"warm start: {kind}")
    for parent, group in groupby(records, lambda r: r["parent"]):
        typer.echo(one_line(parent or "the job"))
        for r in group:
            line = f"  {_MARKS[r['kept']]:3}  {r['rule']}: {one_line(r['why'] or r['found'])}"
            typer.echo(folded(line, columns, " " * 7))
    typer.echo()


@contextmanager
def rules_on_refusal(spec: TuningJobSpec, opened: Callable[[], App | None], as_json: bool) -> Iterator[None]:
    """When a job with parents is refused, shows its rules before the error; without a store those that need none. The error,
    which is of the first broken rule, says how many there are."""
    from rekindle.domain.errors import RekindleError

    try:
        yield
    except RekindleError as error:
        broken = 0 if spec.warm_start is None else _show_broken(spec, opened(), as_json)
        _say_how_many(error, broken, "`warm_start_checks` holds" if as_json else "the list above shows")
        raise


def _show_broken(spec: TuningJobSpec, app: App | None, as_json: bool) -> int:
    """Shows the rules where one is broken; how many are."""
    records = check_records(_checks(spec, app))
    broken = sum(r["kept"] is False for r in records)
    if spec.warm_start is None or not broken:
        return 0
    if as_json:
        write_json({"name": spec.name, "warm_start_checks": records})
    else:
        show_checks(records, spec.warm_start.type.value)
    return broken


@contextmanager
def count_on_refusal(spec: TuningJobSpec, opened: Callable[[], App | None], path: str) -> Iterator[None]:
    """When a job with parents is refused for a rule of warm start and breaks more of them, the error says how many, and that
    ``plan`` shows them all."""
    from rekindle.domain.errors import RekindleError
    from rekindle.jobfile.load import is_passing

    try:
        yield
    except RekindleError as error:
        # What came out of a pipe is gone by the time that somebody reads this.
        file = "" if is_passing(Path(path)) else f" {shlex.quote(path)}"
        broken = 0 if spec.warm_start is None else sum(c.error is not None for c in _checks(spec, opened()))
        _say_how_many(error, broken, f"`rekindle plan{file}` shows")
        raise


def _say_how_many(error: RekindleError, broken: int, place: str) -> None:
    if broken > 1:
        error.hint = f"{error.hint} {broken} rules of warm start are broken; {place} each of them.".strip()


def _checks(spec: TuningJobSpec, app: App | None) -> list[Check]:
    """Every rule; without a store those that need none, and that nobody is there where nothing was ever stored."""
    from rekindle.cli.opened import no_such_job
    from rekindle.domain.tuning_rules import warm_start_shape
    from rekindle.engine.commands import missing_parent, warm_start_table
    from rekindle.settings import load_settings

    if app is not None:
        return warm_start_table(app.store, app.owner, spec, app.quotas)
    nobody = spec.warm_start.parents if spec.warm_start and load_settings().nothing_stored else ()
    return [*warm_start_shape(spec), *(missing_parent(no_such_job(name)) for name in nobody)]
