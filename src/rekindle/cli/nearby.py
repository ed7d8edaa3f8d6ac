"""A name that names no job: whether it is a job of the other kind, or which name was probably meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rekindle.bootstrap import App
    from rekindle.domain.errors import NotFound
    from rekindle.engine.ports import JobFilter

#: A name that is almost right is looked for among the newest so many of each kind.
_LOOKED_AT = 1000
_KINDS = ("tuning job", "training job")


def directed(error: NotFound) -> NotFound:
    """The error with a way out that the store knows; as it is where there is none, or no store to ask."""
    from rekindle.cli.opened import open_app
    from rekindle.domain.errors import NotFound
    from rekindle.engine.ports import StoreUnavailable

    wanted = [kind for kind in _KINDS if kind in error.kind]
    with suppress(StoreUnavailable):
        hint = _way_out(open_app(), wanted, error.name) if wanted else ""
        return NotFound(error.kind, error.name, " ".join(filter(None, (error.hint, hint))))
    return error


def _way_out(app: App, wanted: list[str], name: str) -> str:
    from rekindle.domain.errors import did_you_mean
    from rekindle.engine.ports import JobFilter

    return (
        _as_the_other(app, name)
        or _longer(app, wanted, name)
        or did_you_mean(name, _names(app, wanted, JobFilter(), _LOOKED_AT))
        or "`rekindle jobs` lists the tuning jobs, `rekindle trials JOB` the training jobs of one."
    )


def _as_the_other(app: App, name: str) -> str:
    """What the name is, where it names a job after all."""
    from rekindle.domain.errors import NotFound

    with suppress(NotFound):
        job = app.store.tuning_job(app.owner, name)
        return f"It is a tuning job; `rekindle trials {job.name}` lists its training jobs."
    with suppress(NotFound):
        owner = app.store.training_job(app.owner, name).tuning_job_name
        return (
            f"It is a training job of the tuning job {owner!r}." if owner else "It is a training job of its own, of no search."
        )
    return ""


def _longer(app: App, wanted: list[str], name: str) -> str:
    """The one job whose name holds what was asked for: people remember training jobs without the digits at their end."""
    from rekindle.engine.ports import JobFilter

    found = list(_names(app, wanted, JobFilter(name_contains=name), 2)) if name else []
    return f"Did you mean {found[0]!r}?" if len(found) == 1 else ""


def _names(app: App, wanted: list[str], where: JobFilter, most: int) -> Iterator[str]:
    """The names of the newest jobs of the kinds that are wanted."""
    from rekindle.engine.ports import Page

    newest = Page(most, descending=True)
    if "training job" in wanted:
        yield from (j.name for j in app.store.training_jobs(app.owner, where, newest)[0])
    if "tuning job" in wanted:
        yield from (j.name for j in app.store.tuning_jobs(app.owner, where, newest)[0])
