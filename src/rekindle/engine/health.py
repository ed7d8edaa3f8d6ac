"""A tuning job's health: the notes of the domain, with what only logs can tell; for people, for the API, for the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from rekindle.domain.decisions import Snapshot
from rekindle.domain.note import Note
from rekindle.engine.log import log
from rekindle.engine.ports import Executor, JobStore
from rekindle.engine.queries import TuningJobView, view

if TYPE_CHECKING:
    from rekindle.domain.training_job import Owner

#: How many of a log's last lines a note shows, and how long each may be.
_LINES, _LINE_CHARACTERS = 5, 200
_BLOCK = 1 << 20


def notes_on(executor: Executor, snapshot: Snapshot) -> Sequence[Note]:
    """The findings on a tuning job: those kept when it ended, else as they are now."""
    return snapshot.job.notes if snapshot.job.notes is not None else examine(executor, snapshot)


def examine(executor: Executor, snapshot: Snapshot) -> list[Note]:
    """All findings on a tuning job, the gravest first. Where a metric never matched, its last log's end is with the note."""
    # Imported where it is used: it brings scipy.
    from rekindle.domain.health import notes

    return [_with_log(executor, snapshot, note) if note.kind == "no-metric" else note for note in notes(snapshot)]


def last_notes(executor: Executor, snapshot: Snapshot) -> tuple[Note, ...] | None:
    """The findings on a tuning job that ends, to be kept with it; None where a defect of ours was met, which is logged: a
    tuning job ends, whatever we may have to say about it."""
    try:
        found = tuple(examine(executor, snapshot))
        json.dumps([note.facts for note in found], allow_nan=False)
    except Exception:
        log(__name__).exception("a defect in the notes on a tuning job's health", tuning_job=snapshot.job.name)
        return None
    return found


@dataclass
class Examiner:
    """Findings for many callers: read where they were kept when the tuning job ended; else computed when its results have
    changed since they were last asked for, and remembered for the last few tuning jobs. From several threads, at worst it
    computes twice."""

    store: JobStore
    executor: Executor
    most: int = 64
    _known: dict[str, tuple[object, list[Note]]] = field(default_factory=dict)

    def examine(self, shown: TuningJobView) -> Sequence[Note]:
        """See ``examine``."""
        if shown.job.notes is not None:
            return shown.job.notes
        job, counters = shown.job, replace(shown.counters, in_progress=0, retryable_error=0)
        known = self._known.get(job.uid)
        if known is not None and known[0] == (job.status, counters):
            return known[1]
        found = examine(self.executor, Snapshot(job, self.store.jobs_of(job.id)))
        self._known[job.uid] = ((job.status, counters), found)
        while len(self._known) > self.most:
            self._known.pop(next(iter(self._known)), None)
        return found


def log_end(snapshot: Snapshot) -> None:
    """Tells the log how a tuning job ended, and its notes."""
    told = log(__name__).bind(tuning_job=snapshot.job.name)
    counters = asdict(view(snapshot.job, snapshot.jobs, snapshot.parents).counters)
    told.info("tuning job ended", status=snapshot.job.status.value, reason=snapshot.job.failure_reason, **counters)
    for note in snapshot.job.notes or ():
        told.info("health note", kind=note.kind, text=note.text)


def last_lines(executor: Executor, owner: Owner, name: str) -> list[str]:
    """The end of a training job's log."""
    tail, offset = b"", 0
    while True:
        block, offset = executor.read_log(owner, name, offset, _BLOCK)
        if not block:
            break
        tail = (tail + block)[-_LINES * 4 * _LINE_CHARACTERS :]
    lines = [line.strip() for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    return [line[:_LINE_CHARACTERS] for line in lines[-_LINES:]]


def _with_log(executor: Executor, snapshot: Snapshot, note: Note) -> Note:
    lines = last_lines(executor, snapshot.job.owner, str(note.facts["last"]))
    return replace(note, facts={**note.facts, "log": lines})
