"""``plan``: checks a job file to the last rule and shows what would run; starts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekindle.cli.options import JobFileArgument, JsonOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekindle.bootstrap import App
    from rekindle.domain.tuning_job import Definition
    from rekindle.engine.commands import CheckedJob
    from rekindle.engine.ports import SourceSize


def plan(job_file: JobFileArgument, as_json: JsonOption = False) -> None:
    """Check a job file and show what would run. Starts and stores nothing; what it accepts, `tune` starts."""
    from rekindle.cli.beforehand import copy_of, notes_before
    from rekindle.cli.opened import app_if_there, open_app
    from rekindle.cli.printing import complain, tell, write_json
    from rekindle.cli.rules import rules_on_refusal
    from rekindle.cli.source import check_alone, load_source
    from rekindle.engine.commands import check_tuning_job

    source = load_source(job_file)
    with rules_on_refusal(source.spec, app_if_there, as_json):
        check_alone(source)
    app = open_app()
    with rules_on_refusal(source.spec, lambda: app, as_json), source.blamed():
        checked = check_tuning_job(app.store, app.executor, app.owner, source.spec, app.quotas, app.objects)
    copied = copy_of(app.executor, checked.spec)
    record = plan_record(app, checked, copied)
    if as_json:
        write_json(record)
    else:
        _show(record)
    for note in (*source.notes, *notes_before(checked.spec, copied)):
        complain(f"note: {note}") if as_json else tell(f"note: {note}")


def plan_record(app: App, checked: CheckedJob, size: SourceSize | None) -> dict[str, Any]:
    """What would run, as plain data; ``size`` is that of its source folder."""
    from rekindle.cli.records import (
        completion_record,
        definition_record,
        definition_records,
        hyperband_record,
        limits_record,
        range_record,
        warm_start_record,
    )
    from rekindle.cli.rules import check_records
    from rekindle.domain.search_plan import known_names
    from rekindle.domain.tuning_job import combinations
    from rekindle.domain.tuning_rules import warm_start_shape
    from rekindle.domain.warm_start import warm_start_checks

    spec = checked.spec
    checks = [*warm_start_shape(spec), *warm_start_checks(spec, checked.parents, app.quotas)]
    return {
        **definition_record(spec.definition),
        "name": spec.name,
        "strategy": spec.strategy.value,
        "seed": spec.seed,
        "ranges": [range_record(p) for d in spec.definitions for p in d.ranges],
        "combinations": combinations(spec),
        "definitions": definition_records(spec),
        "limits": limits_record(spec),
        "hyperband": hyperband_record(spec),
        "completion": completion_record(spec),
        "early_stopping": spec.early_stopping,
        "known_names": known_names(spec),
        "source_copy": None if size is None else {"files": size.files, "size": size.bytes, "whole": size.whole},
        "warm_start": warm_start_record(spec),
        "warm_start_checks": check_records(checks),
        "first_training_job": first_training_job(app, checked),
    }


def first_training_job(app: App, checked: CheckedJob) -> dict[str, Any]:
    """The configuration that the search would try first, and how its training job would be called."""
    from rekindle.domain.decisions import Snapshot
    from rekindle.domain.search_plan import hyperparameters, propose, tuned_values
    from rekindle.domain.tuning_job import TuningJob

    draft = TuningJob(checked.spec, app.owner, uid="", created_at=0.0)
    definition = checked.spec.definition
    proposal = propose(Snapshot(draft, parents=checked.parents), definition)
    if proposal is None:
        return {}
    given = hyperparameters(definition, tuned_values(proposal))
    return {
        "values": dict(proposal.configuration),
        "source": proposal.source,
        "hyperparameters": given,
        **_call(definition, given),
    }


def _call(definition: Definition, given: Mapping[str, str]) -> dict[str, Any]:
    """The command line of a training job, and the variables that are about this job."""
    import shlex

    from rekindle.executors.contract import own
    from rekindle.executors.programs import command_program

    training = definition.training
    variables = {f"SM_HP_{name.upper()}": value for name, value in own(given).items()}
    channels = {f"SM_CHANNEL_{c.name.upper()}": f".../input/data/{c.name}" for c in training.channels}
    environment = {**training.environment, **variables, **channels}
    if training.algorithm.command is None:
        return {"command": None, "environment": environment}
    return {"command": shlex.join(command_program(training.algorithm, given).argv), "environment": environment}


def _show(record: dict[str, Any]) -> None:
    from rekindle.cli.beforehand import copy_text
    from rekindle.cli.printing import pairs, settings_text, show
    from rekindle.cli.rules import show_checks

    size, several = record["combinations"], record["definitions"]
    rows: dict[str, object] = {
        "tuning job": record["name"],
        "objective": None if several else _objective(record),
        "strategy": f"{record['strategy']}, seed {record['seed']}",
        "limits": settings_text({k: v for k, v in record["limits"].items() if v is not None}),
        "hyperband": settings_text(record["hyperband"] or {}) or None,
        "completion": settings_text(record["completion"]) or None,
        "combinations": "without end" if size is None else f"{size:,}",
        "source": record["source"],
        "copied": None if record["source_copy"] is None else f"{copy_text(**record['source_copy'])}, for each training job",
        **({} if several else _what_runs(record)),
        "early stopping": "auto" if record["early_stopping"] else None,
        "known names": ", ".join(record["known_names"]) or None,
    }
    show(pairs({k: v for k, v in rows.items() if v is not None}), "")
    for definition in several:
        own = {"definition": definition["name"], "objective": _objective(definition), **_what_runs(definition)}
        show(pairs({k: v for k, v in own.items() if v is not None}), "")
        _show_tables(definition)
    if not several:
        _show_tables(record)
    if record["warm_start_checks"]:
        show_checks(record["warm_start_checks"], record["warm_start"]["type"])
    _show_first(record["first_training_job"], f"{several[0]['name']}: " if several else "")


def _objective(record: Mapping[str, Any]) -> str:
    return f"{record['objective']['goal']} {record['objective']['metric']}"


def _what_runs(record: Mapping[str, Any]) -> dict[str, str | None]:
    from rekindle.cli.printing import settings_text

    return {
        "algorithm": record["algorithm"],
        "image": None if record["image"] == record["algorithm"] else record["image"],
        "channels": settings_text(record["channels"]) or None,
        "static": settings_text(record["static"]) or None,
    }


def _show_tables(record: Mapping[str, Any]) -> None:
    """The ranges and the metrics; of a built-in algorithm's many metrics only the one that counts here."""
    from rekindle.cli.printing import show, table

    show(table(["range", "type", "from", "to", "scaling"], [_range_row(r) for r in record["ranges"]]), "")
    metrics = {n: r for n, r in record["metrics"].items() if not record["algorithm"] or n == record["objective"]["metric"]}
    show(table(["metric", "regex"], list(metrics.items())), "")


def _range_row(r: dict[str, Any]) -> list[object]:
    if r["type"] == "categorical":
        return [r["name"], r["type"], ", ".join(str(v) for v in r["values"]), "", ""]
    scaling = r["resolved_scaling"] if r["scaling"] != "Auto" else f"{r['resolved_scaling']} (auto)"
    return [r["name"], r["type"], r["min"], r["max"], scaling]


def _show_first(first: dict[str, Any], whose: str) -> None:
    from rekindle.cli.printing import pairs, settings_text, show

    if not first:
        return
    rows = {
        "first training job": f"{whose}{settings_text(first['values'])}",
        "command": first["command"],
        "variables": settings_text(first["environment"]),
    }
    show(pairs({k: v for k, v in rows.items() if v}))
