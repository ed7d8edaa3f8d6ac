"""Training jobs' logs and metrics, read from the store and the executor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rekindle.companions.ports import LogEvent, LogStream, Point
from rekindle.domain.errors import NotFound
from rekindle.domain.training_job import Owner, TrainingJob
from rekindle.engine.ports import Executor, JobFilter, JobStore, Page, SortKey

_BLOCK = 1 << 20


class JobLogs:
    """TrainingLogs over the executor: a stream for each instance of each training job. The log keeps no
    time for each line: an event's time is that of the training's start."""

    def __init__(self, store: JobStore, executor: Executor) -> None:
        self._store = store
        self._executor = executor

    def streams(self, owner: Owner, prefix: str, after: str, limit: int) -> Sequence[LogStream]:
        """See TrainingLogs."""
        found: list[LogStream] = []
        for job in self._jobs(owner, prefix.partition("/")[0]):
            names = ((host, _stream_name(job, host)) for host in job.spec.resources.hosts)
            found += [self._stream(job, host) for host, name in names if name.startswith(prefix) and name > after]
        return sorted(found, key=lambda s: s.name)[:limit]

    def events(self, owner: Owner, stream: str, position: int, limit: int) -> Sequence[LogEvent] | None:
        """See TrainingLogs."""
        try:
            job = self._store.training_job(owner, stream.partition("/")[0])
        except NotFound:
            return None
        host = next((h for h in job.spec.resources.hosts if _stream_name(job, h) == stream), None)
        return None if host is None else list(self._events(job, host, position, limit))

    def _events(self, job: TrainingJob, host: str, position: int, limit: int) -> Iterator[LogEvent]:
        at_ms, rest, count = _began_ms(job), b"", 0
        while count < limit:
            block, end = self._executor.read_log(job.owner, job.name, position, _BLOCK, host)
            if not block:
                break
            *lines, rest = (rest + block).split(b"\n")
            begin = end - sum(len(line) + 1 for line in lines) - len(rest)
            for line in lines[: limit - count]:
                begin += len(line) + 1
                count += 1
                yield LogEvent(at_ms, _text(line), begin)
            position = end
        if rest and count < limit and not job.is_running:
            yield LogEvent(at_ms, _text(rest), position)

    def _jobs(self, owner: Owner, name: str) -> Iterator[TrainingJob]:
        where, after = JobFilter(name_contains=name or None), None
        while True:
            jobs, after = self._store.training_jobs(owner, where, Page(100, after, SortKey.NAME))
            yield from (j for j in jobs if j.name.startswith(name))
            if after is None:
                return

    def _stream(self, job: TrainingJob, host: str) -> LogStream:
        empty = not self._executor.read_log(job.owner, job.name, 0, 1, host)[0]
        began = None if empty else _began_ms(job)
        return LogStream(_stream_name(job, host), round(job.created_at * 1000), began, began)


class JobMetrics:
    """TrainingMetrics over the store."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def points(self, owner: Owner, job: str, metric: str, start: float, end: float) -> Sequence[Point]:
        """See TrainingMetrics."""
        try:
            found = self._store.training_job(owner, job)
        except NotFound:
            return ()
        return [Point(p.at, p.value) for p in self._store.points(found.id, metric) if start <= p.at < end]


def _stream_name(job: TrainingJob, host: str) -> str:
    return f"{job.name}/{host}-{round(job.created_at * 1000)}"


def _began_ms(job: TrainingJob) -> int:
    return round((job.started_at or job.created_at) * 1000)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
