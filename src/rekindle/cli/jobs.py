"""Looking at tuning jobs: ``jobs``, ``show``, ``best``, ``trials``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rekindle.cli.options import JsonOption, TuningJobArgument, whole_number
from rekindle.cli.printing import (
    cell,
    counted,
    duration,
    one_line,
    pairs,
    settings_text,
    show_rows,
    tell,
    write_as_a_file,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from rekindle.bootstrap import App
    from rekindle.domain.decisions import Snapshot
    from rekindle.domain.training_job import TrainingJob
    from rekindle.domain.tuning_job import TuningJob
    from rekindle.engine.ports import JobFilter
    from rekindle.engine.queries import TuningJobView

#: What ``trials`` can sort by besides the names of hyperparameters.
SORT_KEYS = ("number", "objective", "status", "started", "seconds", "name")
_WORDS = {
    "completed": "completed",
    "in_progress": "running",
    "retryable_error": "to be tried again",
    "non_retryable_error": "failed",
    "stopped": "stopped",
}
#: What columns of ``trials --csv`` are called where a hyperparameter has their name, besides those that ``import`` reads.
_OTHERWISE = {"number": "TrainingJobNumber", "seconds": "TrainingElapsedTimeSeconds", "model": "S3ModelArtifacts"}
_FIXED = {"number": "number", "name": "name", "objective": "objective", "status": "status", "started": "started_at"}


def jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs in this state, such as InProgress.")] = None,
    contains: Annotated[str | None, typer.Option(help="Only jobs whose names contain this.")] = None,
    limit: Annotated[
        int, typer.Option(parser=whole_number("--limit", 1), metavar="N", help="At most this many, the newest first.")
    ] = 50,
    as_json: JsonOption = False,
) -> None:
    """List tuning jobs, the newest first."""
    from itertools import islice

    from rekindle.cli.opened import open_app
    from rekindle.domain.tuning_job import TuningJobStatus
    from rekindle.engine.ports import JobFilter, Page
    from rekindle.engine.queries import every_tuning_job

    app = open_app()
    where = JobFilter(name_contains=contains, status=None if status is None else _status(status, TuningJobStatus))
    newest = every_tuning_job(app.store, app.owner, where, Page(descending=True))
    records = [_listed(app, job) for job in islice(newest, limit)]
    if as_json:
        write_json(records)
        return
    if not records:
        tell(_none_found(where))
        return
    columns = ["name", "status", "strategy", "jobs", "failed", "best", "created (UTC)"]
    rows = [
        [r["name"], _standing(r), r["strategy"], _progress(r), _failed(r), cell(r["best_objective"]), _minute(r["created_at"])]
        for r in records
    ]
    show_rows(columns, rows, [_in_brief(r) for r in records], right=["jobs", "failed", "best"])


def _none_found(where: JobFilter) -> str:
    asked = [f"in the state {where.status}"] if where.status else []
    asked += [f"with {where.name_contains!r} in its name"] if where.name_contains else []
    if asked:
        return f"No tuning job {' and '.join(asked)}. `rekindle jobs` lists all there are."
    return "No tuning jobs. Start one by `rekindle tune JOB.yaml`."


def _in_brief(record: dict[str, Any]) -> tuple[str, str]:
    """A tuning job where a terminal has no room for a table: what it is called and how far it is, and the rest."""
    best = f"best {cell(record['best_objective'])}"
    head = f"{record['name']}  {_standing(record)}  {_progress(record)} jobs, {_failed(record)} failed  {best}"
    return head, f"{record['strategy']}  {_minute(record['created_at'])} UTC"


def _minute(moment: str) -> str:
    """A record's time as a table has room for it."""
    return moment[:16].replace("T", " ")


def show(name: TuningJobArgument, as_json: JsonOption = False) -> None:
    """Show a tuning job: state, counters, best training job, what waits and why, what failed, and what is worth knowing."""
    from rekindle.cli.opened import open_app
    from rekindle.domain.decisions import Snapshot
    from rekindle.engine.queries import describe

    app = open_app()
    view = describe(app.store, app.owner, name)
    record = show_record(app, view, Snapshot(view.job, app.store.jobs_of(view.job.id)))
    if as_json:
        write_json(record)
    else:
        _show_record(record)


def show_record(app: App, view: TuningJobView, snapshot: Snapshot) -> dict[str, Any]:
    """All that ``show`` tells of a tuning job."""
    from rekindle.cli.records import failure_causes, followed_record, importance_records, waiting_records
    from rekindle.engine.health import notes_on
    from rekindle.engine.queries import waiting_for, with_models_now

    return {
        **followed_record(with_models_now(app.executor, view), snapshot.jobs, app.store),
        "waiting": waiting_records(snapshot, waiting_for(app.store, view.job, app.home)),
        "failure_causes": failure_causes(snapshot.jobs),
        "importances": importance_records(snapshot),
        "notes": [{"kind": n.kind, "text": n.text, **n.facts} for n in notes_on(app.executor, snapshot)],
    }


def best(name: TuningJobArgument, as_json: JsonOption = False) -> None:
    """Show the best training job: its configuration, its objective and its model."""
    from rekindle.cli.opened import open_app
    from rekindle.cli.records import best_record
    from rekindle.cli.summary import show_best
    from rekindle.domain.errors import WrongState
    from rekindle.engine.queries import describe, with_models_now

    app = open_app()
    view = with_models_now(app.executor, describe(app.store, app.owner, name))
    if view.best is None and view.overall_best is None:
        message = f"tuning job {view.job.name!r} has no finished training job with an objective yet."
        raise WrongState("tuning job", view.job.name, view.status.value, message, f"See `rekindle show {view.job.name}`.")
    if as_json:
        both = {"best": best_record(view.best, view.job), "overall_best": best_record(view.overall_best, view.job)}
        write_json(both)
    else:
        show_best(view)


def trials(
    name: TuningJobArgument,
    sort: Annotated[str, typer.Option(help=f"{', '.join(SORT_KEYS)}, or a hyperparameter.")] = "number",
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="Only those in this state, such as Failed; may be repeated.", show_default=False),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(parser=whole_number("--limit", 1), metavar="N", help="At most this many rows.", show_default=False),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the training jobs of a tuning job with their configurations. Sorted by objective, the best come first."""
    from rekindle.cli.opened import open_app
    from rekindle.domain.training_job import TrainingJobStatus

    asked = {_status(text, TrainingJobStatus) for text in status or ()}
    app = open_app()
    job = app.store.tuning_job(app.owner, name)
    found = _sorted(trial_records(app, job, app.store.jobs_of(job.id)), sort, reverse, job)
    records = [r for r in found if not asked or r["status"] in asked][:limit]
    if as_json:
        write_json(records)
    elif as_csv:
        _write_csv(records, job)
    else:
        _show_trials(records, job, bool(found))


def trial_records(app: App, job: TuningJob, found: Sequence[TrainingJob]) -> list[dict[str, Any]]:
    """What ``trials`` tells of the training jobs of a tuning job."""
    from rekindle.cli.records import trial_record
    from rekindle.engine.queries import with_model_now

    epochs = _epochs(app, job)
    return [_with_epochs(trial_record(with_model_now(app.executor, t), job), epochs, t, job) for t in found]


def _epochs(app: App, job: TuningJob) -> dict[int, int] | None:
    """How often each training job emitted the objective, by its id; None where nobody is stopped by that."""
    from rekindle.domain.search_plan import watches_curves

    return {id_: len(curve) for id_, curve in app.store.curves(job.id).items()} if watches_curves(job.spec) else None


def _with_epochs(
    record: dict[str, Any], epochs: Mapping[int, int] | None, trial: TrainingJob, job: TuningJob
) -> dict[str, Any]:
    """The record with the training job's epochs, where they are known, and whether it had them all when it was stopped."""
    from rekindle.domain.savings import ran_in_full

    if epochs is None:
        return record
    count = epochs.get(trial.id, 0)
    # Rows from elsewhere have a final value and no curve: nobody here counted.
    unknown = not count and trial.proposal.get("source") == "imported"
    return {**record, "epochs": None if unknown else count, "in_full": ran_in_full(job.spec, trial, count)}


def _status(text: str, states: type[StrEnum]) -> str:
    from rekindle.domain.errors import InvalidValue

    known = {s.value.lower(): s.value for s in states}
    if text.lower() not in known:
        raise InvalidValue("--status", text, f"not one of {', '.join(known.values())}")
    return known[text.lower()]


def _listed(app: App, job: TuningJob) -> dict[str, Any]:
    from dataclasses import asdict

    from rekindle.cli.records import tuning_summary
    from rekindle.engine.queries import status_counters, waiting_for

    counters = status_counters(app.store.counters([job.id])[job.id])
    best = app.store.best_of(job.id, job.spec.definition.objective.direction)
    return {
        **tuning_summary(job),
        "training_jobs": asdict(counters),
        "best_objective": None if best is None else best.objective_value,
        "waiting_for": waiting_for(app.store, job, app.home),
    }


def _standing(record: dict[str, Any]) -> str:
    """The status, and whether something keeps it from going on as fast as it may."""
    return f"{record['status']} (waits)" if record["waiting_for"] else str(record["status"])


def _progress(record: dict[str, Any]) -> str:
    done = sum(record["training_jobs"].values()) - record["training_jobs"]["in_progress"]
    return f"{done}/{record['limits']['jobs'] or '-'}"


def _failed(record: dict[str, Any]) -> int:
    counters = record["training_jobs"]
    return int(counters["non_retryable_error"])


def _show_record(record: dict[str, Any]) -> None:
    from rekindle.cli.kin import KINDS
    from rekindle.cli.printing import show
    from rekindle.cli.records import objective_of_all
    from rekindle.cli.summary import model_place, saved_line

    warm, objective = record["warm_start"], objective_of_all(record)
    rows: dict[str, object] = {
        "tuning job": record["name"],
        "status": record["status"],
        "failure reason": record["failure_reason"],
        "ended because": record["ended_because"],
        "objective": f"{objective['goal']} {objective['metric']}",
        "strategy": f"{record['strategy']}, seed {record['seed']}",
        "training jobs": _counted(record["training_jobs"], record["limits"]["jobs"]),
        "limits": settings_text({k: v for k, v in record["limits"].items() if v is not None}),
        "hyperband": settings_text(record["hyperband"] or {}) or None,
        "completion": settings_text(record["completion"]) or None,
        "early stopping": saved_line(record["early_stopping"]),
        "warm start": None if warm is None else f"{KINDS[warm['type']]} from {', '.join(warm['parents'])}",
        "best": _best_line(record["best"]),
        "overall best": _best_line(record["overall_best"]),
        "model": model_place((record["best"] or {}).get("model")),
        "importance": _importance_line(record["importances"]),
        "created": record["created_at"],
        "ended": record["ended_at"],
    }
    show(pairs({k: v for k, v in rows.items() if v is not None}))
    for waiting in record["waiting"]:
        tell(f"waits: {waiting['training_job'] or 'the next training job'} {waiting['reason']}")
    for cause in record["failure_causes"][:3]:
        tell(f"failed: {cause['count']} like {cause['training_job']}: {cause['reason']}")
    for note in record["notes"]:
        if note["kind"] != "failures-alike":
            tell(f"note: {note['text']}")
            for line in note.get("log", ()):
                typer.echo(f"      | {one_line(line)}")


def _importance_line(importances: list[dict[str, Any]]) -> str | None:
    if not importances:
        return None
    counts = Counter(i["definition"] for i in importances)

    def told(i: dict[str, Any]) -> str:
        name = f"{i['definition']}/{i['parameter']}" if len(counts) > 1 else i["parameter"]
        if counts[i["definition"]] == 1:
            # Its share is all there is, whether it matters or not.
            return f"{name} (the only one; {'nothing shows that it matters' if _may_not_matter(i) else 'it matters'})"
        return f"{name} {i['share']:.0%}{' (may be chance)' if i['may_be_chance'] else ''}"

    return ", ".join(map(told, importances))


def _may_not_matter(importance: dict[str, Any]) -> bool:
    return bool(importance["may_be_chance"] or not importance["share"])


def counts_in_words(counters: Mapping[str, int]) -> str:
    """How many training jobs are in which state."""
    return ", ".join(f"{count} {_WORDS[state]}" for state, count in counters.items() if count) or "none yet"


def _counted(counters: Mapping[str, int], limit: int | None) -> str:
    found = counts_in_words(counters)
    return f"{found}; of {limit}" if limit else found


def _best_line(best: dict[str, Any] | None) -> str | None:
    if best is None:
        return None

    return f"{best['metric']}={cell(best['objective'])} by {best['name']}: {settings_text(best['values'])}"


def _sorted(records: list[dict[str, Any]], key: str, reverse: bool, job: TuningJob) -> list[dict[str, Any]]:
    """Sorted by a column, what has no value last. By objective, the best first."""
    from rekindle.domain.errors import InvalidValue, did_you_mean

    names = {name for r in records for name in r["values"]} | {p.name for d in job.spec.definitions for p in d.ranges}
    if key not in SORT_KEYS and key not in names:
        known = [*SORT_KEYS, *sorted(names)]
        raise InvalidValue("--sort", key, f"not one of {', '.join(known)}.", did_you_mean(key, known))
    if key == "objective" and job.spec.definition.objective.direction == "maximize":
        reverse = not reverse
    column = [(r, _column(r, key)) for r in records]
    present = sorted((pair for pair in column if pair[1] is not None), key=lambda pair: _order(pair[1]), reverse=reverse)
    return [r for r, _ in present] + [r for r, value in column if value is None]


def _column(record: dict[str, Any], key: str) -> Any:
    if key == "seconds":
        return record["seconds"]
    return record[_FIXED[key]] if key in _FIXED else record["values"].get(key)


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def _show_trials(records: Sequence[dict[str, Any]], job: TuningJob, are_others: bool) -> None:
    if not records:
        tell("No training jobs in this state." if are_others else "No training jobs yet.")
        return
    names = _names(job)
    metrics, several = {d.objective.metric for d in job.spec.definitions}, len(job.spec.definitions) > 1
    metric = "objective" if len(metrics) > 1 else job.spec.definition.objective.metric
    has_epochs = "epochs" in records[0]
    columns = ["", "training job", *["definition"] * several, "status", metric, *["epochs"] * has_epochs, "time", *names]
    rows = [
        [
            *(r["number"], r["name"], *[r["definition"]] * several),
            *(state_in_words(r), r["objective"], *[r.get("epochs")] * has_epochs),
            *(duration(r["seconds"]), *(r["values"].get(n) for n in names)),
        ]
        for r in records
    ]
    show_rows(columns, rows, [_apart(r, metric, several) for r in records], right=["", metric, "epochs", "time"])


def _apart(record: dict[str, Any], metric: str, several: bool) -> tuple[str, str]:
    """A training job where a line has no room for all of it: itself, and its configuration."""
    parts = [f"#{record['number']}", record["name"], *[record["definition"]] * several, state_in_words(record)]
    parts += [f"{metric}={cell(record['objective'])}"] if record["objective"] is not None else []
    parts += [counted(record["epochs"], "epoch")] if record.get("epochs") is not None else []
    return "  ".join([*parts, duration(record["seconds"])]), settings_text(record["values"])


def state_in_words(record: Mapping[str, Any]) -> str:
    """The state of a training job, from what :func:`trial_records` tells of it."""
    if record["stopped_early"]:
        return "Stopped at the end" if record["in_full"] else "Stopped early"
    return "Stopped by time" if record["secondary_status"] == "MaxRuntimeExceeded" else str(record["status"])


def _names(job: TuningJob) -> list[str]:
    return list(dict.fromkeys(p.name for d in job.spec.definitions for p in d.ranges))


def _write_csv(records: Sequence[dict[str, Any]], job: TuningJob) -> None:
    import csv
    import io

    from rekindle.exchange.rows import DEFINITION_COLUMN, FACTS, OBJECTIVE_COLUMNS, CsvLines

    otherwise = {**_OTHERWISE, "definition": DEFINITION_COLUMN, "objective": OBJECTIVE_COLUMNS[0]}
    otherwise |= {fact: known[-1] for fact, known in FACTS.items()}
    names = _names(job)
    first = ["number", "name", *["definition"] * (len(job.spec.definitions) > 1)]
    fixed = [*first, "status", "objective", "seconds", "started_at", "ended_at", "failure_reason", "model"]
    written = io.StringIO(newline="")
    writer = csv.writer(CsvLines(written))
    writer.writerow([*(otherwise[column] if column in names else column for column in fixed), *names])
    for r in records:
        writer.writerow([*(r[column] for column in fixed), *(r["values"].get(name) for name in names)])
    write_as_a_file(written.getvalue())
