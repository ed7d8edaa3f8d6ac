"""Why the search chose what it chose: ``explain`` and ``verify``."""

from __future__ import annotations

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


def _show_training_job(found: Mapping[str, Any]) -> None:
    from rekindle.cli.printing import pairs, show

    facts = {key: found[key] for key in ("training_job", "tuning_job", "source", "objective", "seen_events")}
    show(pairs({**facts, **_flat("", found["configuration"]), **_flat("", found["why"])}))


def _show_tuning_job(found: Mapping[str, Any]) -> None:
    from rekindle.cli.printing import pairs, show, table

    sources = ", ".join(f"{count} {source}" for source, count in found["sources"].items())
    facts = {"tuning job": found["tuning_job"], "strategy": found["strategy"], "suggestions": sources or "none yet"}
    show(pairs(facts))
    warm = found["warm_start"]
    if warm is None:
        typer.echo("It has no parents: it started from nothing.")
        return
    show(table(_PARENT_COLUMNS, [_parent_row(p, warm["parents_best"]) for p in warm["now"]["parents"]], f"{warm['type']}"))
    rows = [[p["name"], m["parameter"], m["how"], m["detail"]] for p in warm["now"]["parents"] for m in p["parameters"]]
    show(table(["parent", "parameter", "read by", "detail"], rows, "How each parameter was read"))
    own = found["best"]
    typer.echo(f"best here: {own['objective']} by {own['training_job']}" if own else "nothing has a result here yet")


_PARENT_COLUMNS = ["parent", "role", "training jobs", "weight at start", "weight now", "agreement", "its best"]


def _parent_row(parent: Mapping[str, Any], bests: Mapping[str, Any]) -> list[object]:
    best = bests.get(parent["name"])
    counts = ", ".join(f"{count} {what}" for what, count in parent["counts"].items() if count)
    shares = [round(parent[key], 2) for key in ("weight_at_start", "weight", "agreement")]
    return [parent["name"], parent["role"], counts, *shares, best["objective"] if best else "none"]


def _flat(prefix: str, value: Mapping[str, Any]) -> dict[str, object]:
    """Nested figures as one line each: ``lengthscales.lr``."""
    flat: dict[str, object] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(f"{prefix}{key}.", item)
        else:
            flat[f"{prefix}{key}"] = item
    return flat
