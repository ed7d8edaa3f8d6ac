"""Why the search chose what it chose: ``explain`` and ``verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from rekindle.cli.options import JsonOption, TuningJobArgument
from rekindle.cli.problems import ExitCode

if TYPE_CHECKING:
    from rekindle.engine.replay import Checked


def verify(name: TuningJobArgument, as_json: JsonOption = False) -> None:
    """Replay a tuning job: does each suggestion follow from the results it saw? Shows the first that does not."""
    from rekindle.cli.opened import open_app
    from rekindle.cli.printing import write_json
    from rekindle.engine.replay import replay

    app = open_app()
    checked = list(replay(app.store, app.owner, name))
    different = [c for c in checked if c.comparable and not c.agrees]
    other = sum(not c.comparable for c in checked)
    if as_json:
        write_json({"tuning_job": name, "suggestions": len(checked), "other_version": other, "different": _records(different)})
    else:
        _say(name, checked, different, other)
    raise typer.Exit(ExitCode.FAILED if different else ExitCode.OK)


def _records(checked: list[Checked]) -> list[dict[str, Any]]:
    return [
        {
            "training_job": c.job.name,
            "number": c.job.number,
            "recorded": dict(c.recorded),
            "replayed": None if c.replayed is None else dict(c.replayed),
        }
        for c in checked
    ]


def _say(name: str, checked: list[Checked], different: list[Checked], other: int) -> None:
    if other:
        typer.echo(f"{other} suggestions were made by another version of the search and cannot be compared.")
    same = len(checked) - other - len(different)
    typer.echo(f"{name}: {same} of {len(checked) - other} suggestions follow from what they saw, bit for bit.")
    for first in different[:1]:
        typer.echo(f"the first that does not: {first.job.name}")
        for parameter, value in first.recorded.items():
            now = None if first.replayed is None else first.replayed[parameter]
            typer.echo(f"  {parameter}: recorded {value}, replayed {now}")
