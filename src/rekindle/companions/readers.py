"""Training jobs' logs and metrics, read from the store and the executor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from operator import itemgetter

from rekindle.companions.ports import LogEvent, LogStream, Point
from rekindle.domain.errors import NotFound
from rekindle.domain.metrics import OBJECTIVE_METRIC
from rekindle.domain.training_job import Owner, SecondaryStatus, TrainingJob, Transition
from rekindle.engine.ports import Executor, JobFilter, JobStore, Page, SortKey
from rekindle.engine.queries import log_elsewhere

_BLOCK = 1 << 20
#: How many training jobs are read at once.
_AT_ONCE = 500


class JobLogs:
    """TrainingLogs over the executor: a stream for each instance of each attempt of each training job. The log keeps no
    time for each line: an event's time is that of the attempt's training's start. A log that is not in the home folder, whose
    id is ``home``, has one event that says so."""

    def __init__(self, store: JobStore, executor: Executor, home: str = "") -> None:
        self._store = store
        self._executor = executor
        self._home = home

    def streams(self, owner: Owner, prefix: str, after: str, limit: int) -> Sequence[LogStream]:
        """See TrainingLogs. Only the logs of the streams that are returned are looked at, and few records but theirs."""
        every = (s for job in self._jobs(owner, prefix, after) for s in _streams_of(job))
        found = islice((s for s in every if s[0].startswith(prefix) and s[0] > after), limit)
        return [self._stream(job, log) for _, job, log in found]

    def events(self, owner: Owner, stream: str, position: int, limit: int) -> Sequence[LogEvent] | None:
        """See TrainingLogs."""
        try:
            job = self._store.training_job(owner, stream.partition("/")[0])
        except NotFound:
            return None
        log = next((log for log in _logs_of(job) if log.stream_name(job) == stream), None)
        return None if log is None else list(self._events(job, log, position, limit))

    def _events(self, job: TrainingJob, log: _Log, position: int, limit: int) -> Iterator[LogEvent]:
        at_ms, rest, count = log.began_ms, b"", 0
        if position == 0 and limit and (told := self._elsewhere(job, log)) is not None:
            yield LogEvent(at_ms, told, 1)
            return
        while count < limit:
            block, end = self._executor.read_log(job.owner, job.name, position, _BLOCK, log.host, log.attempt)
            if not block:
                break
            *lines, rest = (rest + block).split(b"\n")
            begin = end - sum(len(line) + 1 for line in lines) - len(rest)
            for line in lines[: limit - count]:
                begin += len(line) + 1
                count += 1
                yield LogEvent(at_ms, _text(line), begin)
            position = end
        if rest and count < limit and (log.attempt < job.attempt or not job.is_running):
            yield LogEvent(at_ms, _text(rest), position)

    def _jobs(self, owner: Owner, prefix: str, after: str) -> Iterator[TrainingJob]:
        """The training jobs whose streams may have a prefix and a name beyond ``after``, in the order of their streams."""
        name, slash, _ = prefix.partition("/")
        if slash:
            # The whole name of one: so the SDKs ask every few seconds, and a search by parts of names looks through all.
            with suppress(NotFound):
                yield self._store.training_job(owner, name)
            return
        known = self._store.training_job_names(owner, JobFilter(name_contains=name or None))
        may = (_folder(n) for n in known if n.startswith(name))
        wanted = [f[:-1] for f in sorted(may) if f > after or after.startswith(f)]
        for i in range(0, len(wanted), _AT_ONCE):
            where = JobFilter(named=tuple(wanted[i : i + _AT_ONCE]))
            found, _ = self._store.training_jobs(owner, where, Page(_AT_ONCE, sort=SortKey.NAME))
            yield from sorted(found, key=lambda job: _folder(job.name))

    def _stream(self, job: TrainingJob, log: _Log) -> LogStream:
        found = self._executor.read_log(job.owner, job.name, 0, 1, log.host, log.attempt)[0]
        began = log.began_ms if found or self._elsewhere(job, log) else None
        return LogStream(log.stream_name(job), log.created_ms, began, began)

    def _elsewhere(self, job: TrainingJob, log: _Log) -> str | None:
        told = log_elsewhere(self._executor, job, self._home, log.attempt)
        return told and f"[rekindle] {told}"


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
        return [Point(p.at, p.value) for p in self._store.points(found.id, _recorded_as(found, metric)) if start <= p.at < end]

    def names(self, owner: Owner, job: str) -> Sequence[str]:
        """See TrainingMetrics."""
        try:
            found = self._store.training_job(owner, job)
        except NotFound:
            return ()
        names = {*found.final_metrics}
        return sorted(names | {OBJECTIVE_METRIC} if found.objective_metric in names else names)


def _recorded_as(job: TrainingJob, metric: str) -> str:
    """A metric's name in the records, which have the objective under its own name alone."""
    is_copy = metric == OBJECTIVE_METRIC and metric not in {m.name for m in job.spec.algorithm.metrics}
    return job.objective_metric or metric if is_copy else metric


@dataclass(frozen=True)
class _Log:
    """The log of one instance in one attempt; times in milliseconds since the epoch."""

    host: str
    attempt: int
    created_ms: int
    began_ms: int

    def stream_name(self, job: TrainingJob) -> str:
        """As CloudWatch has it. Attempts differ by the time, and a later one comes later in the order of names."""
        return f"{job.name}/{self.host}-{self.created_ms}"


def _logs_of(job: TrainingJob) -> Iterator[_Log]:
    after = -1
    for attempt, part in enumerate(_attempts(job.transitions), start=1):
        created = job.created_at if attempt == 1 else part[0].started_at
        trained = (t.started_at for t in part if t.status is SecondaryStatus.TRAINING)
        began = next(trained, created) if attempt < job.attempt else job.started_at or created
        after = max(round(created * 1000), after + 1)
        yield from (_Log(host, attempt, after, round(began * 1000)) for host in job.spec.resources.hosts)


def _streams_of(job: TrainingJob) -> list[tuple[str, TrainingJob, _Log]]:
    """The streams of a training job by their names, in the order of these."""
    return sorted(((log.stream_name(job), job, log) for log in _logs_of(job)), key=itemgetter(0))


def _folder(name: str) -> str:
    """What the names of a training job's streams begin with: they are in the order of these, not of the names of jobs."""
    return f"{name}/"


def _attempts(transitions: Sequence[Transition]) -> Iterator[Sequence[Transition]]:
    """The transitions of each attempt: where one was interrupted and the training job starts again, the next one begins."""
    again = (SecondaryStatus.INTERRUPTED, SecondaryStatus.STARTING)
    ends = [i for i, (a, b) in enumerate(pairwise(transitions), start=1) if (a.status, b.status) == again]
    for begin, end in zip([0, *ends], [*ends, len(transitions)], strict=True):
        yield transitions[begin:end]


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
