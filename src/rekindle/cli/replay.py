"""Why the search chose what it chose: ``explain`` and ``verify``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rekindle.cli.options import JsonOption, TuningJobArgument
from rekindle.cli.problems import ExitCode

if TYPE_CHECKING:
    from rekindle.engine.replay import Checked


def explain(
    name: Annotated[str, typer.Argument(metavar="JOB", help="A tuning job or a training job.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Show where suggestions came from: one training job's figures, or what a tuning job took from its parents."""
    from rekindle.cli.opened import open_app
    from rekindle.cli.printing import write_json
    from rekindle.domain.errors import NotFound
    from rekindle.engine.explain import explain_training_job, explain_tuning_job

    app = open_app()
    try:
        found, show = explain_tuning_job(app.store, app.owner, name), _show_tuning_job
    except NotFound:
        found, show = explain_training_job(app.store, app.owner, name), _show_training_job
    if as_json:
        write_json(found)
    else:
        show(found)


def verify(name: TuningJobArgument, as_json: JsonOption = False) -> None:
    """Replay a tuning job: does each suggestion follow from the results it saw? Shows the first that does not."""
    from rekindle.cli.opened import open_app
    from rekindle.cli.printing import write_json
    from rekindle.engine.replay import replay

    app = open_app()
    checked = list(replay(app.store, app.owner, name))
    different = [c for c in checked if c.incomparable is None and not c.agrees]
    reasons = Counter(c.incomparable for c in checked if c.incomparable is not None)
    if as_json:
        found = {"tuning_job": name, "suggestions": len(checked), "not_comparable": dict(reasons)}
        write_json({**found, "different": _records(different)})
    else:
        _say(name, len(checked), different, reasons)
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


def _say(name: str, suggestions: int, different: list[Checked], reasons: Mapping[str, int]) -> None:
    for reason, count in reasons.items():
        typer.echo(f"{name}: {count} of {suggestions} suggestions cannot be compared: {reason}.")
    compared = suggestions - sum(reasons.values())
    typer.echo(f"{name}: {compared - len(different)} of {compared} suggestions follow from what they saw, bit for bit.")
    for first in different[:1]:
        typer.echo(f"the first that does not: {first.job.name}")
        for parameter, value in first.recorded.items():
            now = None if first.replayed is None else first.replayed[parameter]
            typer.echo(f"  {parameter}: recorded {value}, replayed {now}")


def _show_training_job(found: Mapping[str, Any]) -> None:
    from rekindle.cli.printing import pairs, show, table

    why = dict(found["why"])
    parents = why.pop("parents", None) or {}
    keys = ("training_job", "original_name", "tuning_job", "source", "objective", "seen_events")
    facts = {key: found[key] for key in keys if key != "original_name" or found[key] is not None}
    show(pairs({**facts, **_flat("", found["configuration"]), **_flat("", why), **_flat("say.", parents.get("views") or {})}))
    if parents.get("parents"):
        rows = [[p["name"], p["role"], f"{p['weight']:.2f}", f"{p['agreement']:+.2f}"] for p in parents["parents"]]
        show("", table(["parent", "role", "weight then", "agreement"], rows))


def _show_tuning_job(found: Mapping[str, Any]) -> None:
    from rekindle.cli.kin import show_warm_start
    from rekindle.cli.printing import pairs, show

    sources = ", ".join(f"{count} {source}" for source, count in found["sources"].items())
    facts = {"tuning job": found["tuning_job"], "strategy": found["strategy"], "suggestions": sources or "none yet"}
    show(pairs(facts), "")
    if found["warm_start"] is not None:
        show_warm_start(found)
    elif found["imported"]:
        typer.echo("It was imported: nothing was suggested here.")
    else:
        typer.echo("It has no parents: it started from nothing.")


def _flat(prefix: str, value: Mapping[str, Any]) -> dict[str, object]:
    """Nested figures as one line each: ``lengthscales.lr``."""
    flat: dict[str, object] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(f"{prefix}{key}.", item)
        else:
            flat[f"{prefix}{key}"] = item
    return flat
