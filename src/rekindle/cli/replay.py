"""Why the search chose what it chose: ``explain`` and ``verify``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rekindle.cli.options import JsonOption, TuningJobArgument
from rekindle.cli.printing import show, table, tell, with_bar, write_json
from rekindle.cli.problems import ExitCode

if TYPE_CHECKING:
    from rekindle.bootstrap import App
    from rekindle.engine.replay import Checked, Replay

#: Processes of ``verify``; each takes some 100 MB.
_MOST_PROCESSES = 8


def explain(
    name: Annotated[str, typer.Argument(metavar="JOB", help="A tuning job or a training job.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Show where suggestions came from: one training job's figures, or what a tuning job took from its parents."""
    from rekindle.cli.opened import open_app
    from rekindle.cli.reasons import show_training_job, show_tuning_job
    from rekindle.domain.errors import NotFound
    from rekindle.engine.explain import explain_tuning_job

    app = open_app()
    try:
        found, show_found = explain_tuning_job(app.store, app.owner, name), show_tuning_job
    except NotFound:
        found, show_found = _of_training_job(app, name), show_training_job
    if as_json:
        write_json(found)
    else:
        show_found(found)


def _of_training_job(app: App, name: str) -> Mapping[str, Any]:
    from rekindle.domain.errors import NotFound
    from rekindle.engine.explain import explain_training_job

    try:
        return explain_training_job(app.store, app.owner, name)
    except NotFound as error:
        raise NotFound("tuning job or training job", name) from error


def verify(name: TuningJobArgument, as_json: JsonOption = False) -> None:
    """Replay a tuning job: does each suggestion follow from the results it saw? Shows the first that does not."""
    from rekindle.cli.opened import open_app
    from rekindle.engine.replay import replay

    app = open_app()
    replayed = replay(app.store, app.owner, name)
    found = Findings(name, replayed.snapshot.job.imported, replayed.missing, tuple(watched(replayed)))
    if as_json:
        write_json(found.record())
    else:
        found.say()
    raise typer.Exit(ExitCode.OK if found.all_is_well else ExitCode.FAILED)


def watched(replayed: Replay) -> Iterable[Checked]:
    """The same, with a bar on a terminal: a thousand suggestions take minutes."""
    from rekindle.executors.machine import cpus

    processes = replayed.processes(min(cpus(), _MOST_PROCESSES))
    return with_bar(replayed if processes == 1 else replayed.side_by_side(processes), "replaying", len(replayed))


@dataclass(frozen=True)
class Findings:
    """What the replay of a tuning job showed; ``missing`` are numbers of training jobs that are not there."""

    name: str
    imported: bool
    missing: Sequence[int]
    checked: Sequence[Checked]

    @property
    def all_is_well(self) -> bool:
        """Whether nothing speaks against the record; what cannot be compared does not."""
        return not (self.missing or self.different or self.unreadable)

    @property
    def different(self) -> list[Checked]:
        """Suggestions that do not follow from what they saw."""
        return [c for c in self.checked if c.comparable and not c.agrees]

    @property
    def unreadable(self) -> list[Checked]:
        """Suggestions whose record cannot be replayed."""
        return [c for c in self.checked if c.unreadable is not None]

    @property
    def reasons(self) -> Counter[str]:
        """Why suggestions cannot be compared, and how many."""
        return Counter(c.incomparable for c in self.checked if c.incomparable is not None)

    def record(self) -> dict[str, Any]:
        """The findings as plain data."""
        return {
            "tuning_job": self.name,
            "suggestions": len(self.checked),
            "not_comparable": dict(self.reasons),
            "missing": list(self.missing),
            "unreadable": [
                {"training_job": c.job.name, "number": c.job.number, "reason": c.unreadable} for c in self.unreadable
            ],
            "different": [
                {
                    "training_job": c.job.name,
                    "number": c.job.number,
                    "recorded": dict(c.recorded),
                    "replayed": None if c.replayed is None else dict(c.replayed),
                }
                for c in self.different
            ],
        }

    def say(self) -> None:
        """The findings for people, on stdout."""
        for number in self.missing:
            tell(f"{self.name}: training job #{number} is missing: its record is not in the store.")
        for c in self.unreadable:
            tell(f"{self.name}: the record of {c.job.name} (#{c.job.number}) cannot be right: {c.unreadable}.")
        for reason, count in self.reasons.items():
            tell(f"{self.name}: {count} of {len(self.checked)} suggestions cannot be compared: {reason}.")
        compared = sum(c.comparable for c in self.checked)
        if compared:
            agreeing = compared - len(self.different)
            tell(f"{self.name}: {agreeing} of {compared} suggestions follow from what they saw, bit for bit.")
        elif not self.checked:
            why = "it was imported" if self.imported else "no suggestion has been made yet"
            tell(f"{self.name}: there is nothing to replay: {why}.")
        for first in self.different[:1]:
            _say_difference(first)


def _say_difference(found: Checked) -> None:
    typer.echo(f"\nThe first that does not: {found.job.name} (#{found.job.number}, event {found.job.launched_seq})")
    if found.replayed is None:
        tell("Now the search says that every combination was tried or was running.")
    else:
        now, names = found.replayed, [*found.recorded, *(n for n in found.replayed if n not in found.recorded)]
        rows = [[n, found.recorded.get(n), now.get(n)] for n in names if found.recorded.get(n) != now.get(n)]
        show(table(["parameter", "recorded", "replayed"], rows), "")
    typer.echo(
        f"Its record was changed, or what it follows from: a result up to event {found.job.proposal['seen_seq']}, the tuning"
        " job's\nranges or seed, a parent's results. Or another build made it (processor, numpy, scipy): then the last digits"
        " differ."
    )
