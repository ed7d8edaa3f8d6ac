"""``report``: a tuning job as a page with charts, to look at in a browser, to keep and to send."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rekindle.cli.options import TuningJobArgument
from rekindle.cli.printing import tell

if TYPE_CHECKING:
    from rekindle.bootstrap import App
    from rekindle.domain.decisions import Snapshot
    from rekindle.pages.report import Told


def report(
    name: TuningJobArgument,
    to: Annotated[str | None, typer.Option("--to", help="A file.", show_default="JOB.html in this folder")] = None,
) -> None:
    """Write a tuning job as a page with charts: one file for any browser, without scripts. An older report is replaced."""
    from rekindle.cli.opened import open_app
    from rekindle.domain.decisions import Snapshot
    from rekindle.engine.queries import describe
    from rekindle.pages.report import page

    app = open_app()
    job = describe(app.store, app.owner, name).job
    told = gather(app, Snapshot(job, app.store.jobs_of(job.id)))
    place = Path(f"{job.name}.html" if to is None else to)
    _write(place, page(told))
    tell(f"{place}: {job.name} as a page")


def gather(app: App, snapshot: Snapshot) -> Told:
    """All that a page tells of a tuning job."""
    from rekindle.cli.jobs import counts_in_words, show_record, state_in_words, trial_records
    from rekindle.cli.kin import kind_in_words, readings, sentences
    from rekindle.cli.records import moment, objective_of_all, range_record
    from rekindle.engine.explain import explain_tuning_job
    from rekindle.engine.queries import describe_job
    from rekindle.pages.report import Told

    job = snapshot.job
    why = explain_tuning_job(app.store, app.owner, job.name)
    warm = why["warm_start"]
    record = show_record(app, describe_job(app.store, job), snapshot)
    return Told(
        job={**record, "objective": objective_of_all(record)},
        trials=[{**t, "state": state_in_words(t)} for t in trial_records(app, job, snapshot.jobs)],
        counts=counts_in_words(record["training_jobs"]),
        why=why,
        definitions=[(d.name, [range_record(p) for p in d.ranges]) for d in job.spec.definitions],
        kind="" if warm is None else kind_in_words(why),
        sentences=[] if warm is None else sentences(why),
        readings=readings(warm["parents"]) if warm is not None and warm["looks_at_parents"] else ((), ()),
        curves=_curves(app, snapshot),
        made_at=moment(app.clock.now()) or "",
    )


def _curves(app: App, snapshot: Snapshot) -> Mapping[str, Sequence[tuple[float, float]]]:
    names = {t.id: t.name for t in snapshot.jobs}
    found: Mapping[int, Any] = app.store.curves(snapshot.job.id)
    return {names[i]: [(c.observation.step, c.observation.value) for c in curve] for i, curve in found.items() if i in names}


def _is_report(place: Path) -> bool:
    """A pipe is none: to read one may take for ever."""
    from rekindle.pages.report import MARK

    if not (place.is_file() or place.is_dir()):
        return False
    with place.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode()


def _write(place: Path, text: str) -> None:
    """Whole or not at all. What is no report is not replaced; where a link leads, the file that it leads to is."""
    from rekindle.domain.errors import InvalidValue

    file = Path(os.path.realpath(place))
    aside = file.parent / f".{file.name}.{os.getpid()}"
    try:
        if place.exists() and not _is_report(place):
            raise InvalidValue("--to", str(place), "exists already and is no report: it is not overwritten", "Choose another.")
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    except (OSError, ValueError) as error:
        raise InvalidValue("--to", str(place), f"cannot be written ({getattr(error, 'strerror', None) or error})") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
