"""How a tuning job's progress looks: lines for files and pipes, a picture that renews itself for terminals."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from rekindle.cli.printing import can_renew, cell, counted, duration, one_line, settings_text
from rekindle.cli.progress import Progress, configuration, progress_of

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.text import Text

    from rekindle.cli.follow import Display
    from rekindle.domain.decisions import Snapshot
    from rekindle.domain.training_job import TrainingJob
    from rekindle.engine.ports import Clock

#: What a training job that has not begun to train is at; of others it is that they run.
_BEFORE_TRAINING = {"Starting": "starting", "Pending": "waiting", "Downloading": "downloading"}
#: How many of the last finished training jobs the picture shows.
RECENT = 5
#: How many lines the best one's configuration takes at most, so that those below stay in sight.
BEST_LINES = 3


def display_for(clock: Clock, quiet: bool, to_stderr: bool) -> Display:
    """The display that fits: a picture on a terminal, else lines; on stderr where stdout is for JSON."""
    if quiet:
        return Silent()
    if to_stderr:
        return Lines(clock, sys.stderr)
    return Picture(clock) if can_renew() else Lines(clock, sys.stdout)


class Silent:
    """Shows nothing."""

    def update(self, snapshot: Snapshot) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Shows nothing."""


class Lines:
    """One line for each training job that ends, of any number of tuning jobs."""

    def __init__(self, clock: Clock, out: TextIO) -> None:
        self._clock = clock
        self._out = out
        self._told: dict[int, set[int]] = {}
        self._waits: set[tuple[int, str]] = set()

    def update(self, snapshot: Snapshot) -> None:
        """Writes what has ended since the last time; what had ended before the first, as a number."""
        from rekindle.domain.completion import finished

        ended = finished(snapshot.jobs)
        if snapshot.job.id not in self._told:
            self._told[snapshot.job.id] = {j.number for j in ended}
            self._write(_opening(snapshot, len(ended)))
        self._tell_ended(snapshot, ended)
        # What is about to begin has its room; one that is Pending waits for it, too.
        if not any(j.is_running and not (j.awaits_start and j.secondary.value == "Pending") for j in snapshot.jobs):
            self._tell_wait(snapshot.job.id, _waiting(snapshot))

    def _tell_ended(self, snapshot: Snapshot, ended: Sequence[TrainingJob]) -> None:
        told = self._told[snapshot.job.id]
        for place, job in enumerate(ended, start=1):
            if job.number not in told:
                told.add(job.number)
                self._write(_line(job, snapshot, ended[:place]))

    def _tell_wait(self, job_id: int, text: str) -> None:
        """Each once, lest tuning jobs that share a slot tell of it at each turn."""
        if text and (job_id, text) not in self._waits:
            self._waits.add((job_id, text))
            self._write(text)

    def close(self) -> None:
        """Lines need no ending."""

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


class Picture:
    """A picture on the terminal: counters, best so far, what runs, what ended last."""

    def __init__(self, clock: Clock) -> None:
        from rich.live import Live

        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._live = Live(get_renderable=self._render, refresh_per_second=4)

    def update(self, snapshot: Snapshot) -> None:
        """The next renewal shows this."""
        first = self._snapshot is None
        self._snapshot = snapshot
        if first:
            self._live.start(refresh=True)

    def close(self) -> None:
        """Leaves the last picture standing."""
        self._live.stop()

    def _render(self) -> RenderableType:
        if self._snapshot is None:
            return ""
        return picture(self._snapshot, self._clock.now())


class Cropped:
    """A text of at most so many lines, and how it ends whatever was left out of it."""

    def __init__(self, text: Text, end: Text, most: int) -> None:
        self._text = text
        self._end = end
        self._most = most

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The text and its end in one, where the lines are enough for both; else the end has a line of its own."""
        whole = self._text + self._end
        if len(whole.wrap(console, options.max_width)) <= self._most:
            yield whole
            return
        lines = list(self._text.wrap(console, options.max_width))
        shown = lines[: self._most - 1]
        if len(shown) < len(lines):
            shown[-1].rstrip()
            shown[-1].truncate(options.max_width - 2)
            shown[-1].append(" …")
        yield from shown
        yield self._end


def picture(snapshot: Snapshot, now: float) -> RenderableType:
    """A tuning job at one moment."""
    from rich.console import Group
    from rich.text import Text

    progress = progress_of(snapshot, now)
    parts: list[RenderableType] = [_head(snapshot, progress)]
    if progress.best is not None:
        best = progress.best
        values = settings_text(configuration(best, snapshot))
        text = f"{best.objective_metric}={cell(best.objective_value)}"
        line = Text.assemble(("best ", "bold"), (text, "bold green"), f"  {values}", overflow="fold")
        parts.append(Cropped(line, Text(f"  {best.name}", style="dim", overflow="fold"), BEST_LINES))
    if waiting := _waiting(snapshot):
        parts.append(Text(waiting, overflow="fold"))
    parts.append(_grid(snapshot, now))
    return Group(*parts)


def _head(snapshot: Snapshot, progress: Progress) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = f"{progress.done}/{progress.total or '?'} done, {progress.running} running"
    failed = (f", {progress.failed} failed", "red") if progress.failed else ""
    left = "" if progress.left is None or not progress.running else f", {duration(progress.left)} left"
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        Text(snapshot.job.name, style="bold"),
        ProgressBar(total=progress.total or max(progress.done, 1), completed=progress.done, width=24),
        Text.assemble(counts, failed, f"  {duration(progress.elapsed)}{left}"),
    )
    return grid


def _grid(snapshot: Snapshot, now: float) -> RenderableType:
    """What ended last and what runs. Where there is little room results stay whole, for their figures stand last;
    configurations and reasons to fail are cut."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    from rekindle.domain.completion import finished

    shown = [*finished(snapshot.jobs)[-RECENT:], *snapshot.running]
    rows = [_row(job, snapshot, now) for job in shown]
    results = [cell_len(row[1]) for job, row in zip(shown, rows, strict=True) if job.objective_status.value == "Succeeded"]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(min_width=max(results, default=0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for row in rows:
        grid.add_row(*(Text(text, no_wrap=True, overflow="ellipsis") for text in row))
    return grid


def _row(job: TrainingJob, snapshot: Snapshot, now: float) -> tuple[str, str, str, str]:
    if job.is_running:
        spent = None if job.started_at is None else now - job.started_at
        result = _BEFORE_TRAINING.get(job.secondary.value, "running") if job.status.value == "InProgress" else "stopping"
    else:
        spent = job.seconds
        result = _result(job, _in_full(job, snapshot))
    return f"#{job.number}", result, duration(spent), settings_text(configuration(job, snapshot))


def _opening(snapshot: Snapshot, ended: int) -> str:
    spec = snapshot.job.spec
    jobs = counted(spec.limits.max_jobs, "training job") if spec.limits.max_jobs else "training jobs until another limit"
    opening = f"{snapshot.job.name}: {jobs}, {spec.limits.max_parallel} at a time, {spec.strategy.value} search"
    return f"{opening}; {ended} done before" if ended else opening


def _waiting(snapshot: Snapshot) -> str:
    """Why no further training job begins; empty where nothing keeps it."""
    reason = snapshot.job.waiting_for
    return f"{snapshot.job.name}: the next training job {reason}" if reason else ""


def _line(job: TrainingJob, snapshot: Snapshot, ended: Sequence[TrainingJob]) -> str:
    """The line of a training job, the last of those that had ended by then."""
    from rekindle.domain.completion import best_job

    total, count = snapshot.job.spec.limits.max_jobs or 0, len(ended)
    place = f"[{count:>{len(str(total))}}/{total}]" if total else f"[{count}]"
    best = best_job(ended, snapshot.job.spec.definition.objective.direction)
    star = "  best so far" if best is not None and best.number == job.number else ""
    values = settings_text(configuration(job, snapshot))
    if len(snapshot.job.spec.definitions) > 1:
        values = f"{job.definition_name}: {values}"
    spent = "" if job.seconds is None else f" in {duration(job.seconds)}"
    return f"{place} {job.name} {_result(job, _in_full(job, snapshot))}{spent}  {values}{star}"


def _in_full(job: TrainingJob, snapshot: Snapshot) -> bool:
    from rekindle.domain.savings import ran_in_full

    return ran_in_full(snapshot.job.spec, job, len(snapshot.curves.get(job.id, ())))


def _result(job: TrainingJob, in_full: bool) -> str:
    from rekindle.domain.causes import last_words

    if job.objective_value is not None and job.objective_status.value == "Succeeded":
        return f"{job.objective_metric}={cell(job.objective_value)}{_cut(job, in_full)}"
    # What led there stands above: usage lines, the frames of a traceback.
    reason = f": {_short(last_words(job.failure_reason))}" if job.failure_reason else ""
    return f"{job.status.value}{reason}" if reason or job.status.value != "Completed" else "Completed without a metric"


def _cut(job: TrainingJob, in_full: bool) -> str:
    """Why a result is not that of the whole training."""
    if job.status.value != "Stopped" or (job.cut_short and in_full):
        return ""
    if job.secondary.value == "MaxRuntimeExceeded":
        return " (stopped at its time limit)"
    return " (stopped early)" if job.cut_short else " (stopped)"


def _short(reason: str) -> str:
    text = one_line(reason)
    return text if len(text) <= 100 else text[:97] + "..."
