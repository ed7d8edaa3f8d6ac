"""The things outside that the engine needs, as protocols with their guarantees.

Everything here is synchronous and safe to call from several threads. Errors are those of ``domain.errors`` and those below;
anything else is a defect of the adapter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from rekindle.domain.capacity import Room
from rekindle.domain.decisions import CurvePoint
from rekindle.domain.errors import NotFound, WithHint
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import MetricPoint, Owner, SecondaryStatus, TrainingJob, TrainingSpec
from rekindle.domain.tuning_job import TuningJob
from rekindle.search.history import Direction


class LeaseLost(Exception):
    """Somebody else holds the lease now: what was about to be written must be thrown away."""


class StoreUnavailable(WithHint):
    """The database or object store cannot be reached, or stayed locked for longer than its time-out, or the disk is full; the
    call may be repeated. Not a RekindleError: what was asked for was right. ``uri`` is the one whose store does not answer, or
    has ``answered`` that it cannot do so now."""

    def __init__(self, message: str, hint: str = "", uri: str = "", answered: bool = False) -> None:
        super().__init__(message, hint)
        self.uri = uri
        self.answered = answered


class ClusterUnavailable(StoreUnavailable):
    """The cluster on which training jobs run does not answer, or does not let us in."""


class Clock(Protocol):
    """Time, so that tests can have their own."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


# --- the store ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lease:
    """The right to move one piece of work: ``subject`` is ``tuning:ID`` or ``training:ID`` (a training job of its own).

    ``token`` grows with every change of holder: what carries an old one is refused. ``from_nobody``: nothing of the work was
    alive anywhere when it was claimed, for nobody had held it, or who had gave it back without runs.
    """

    subject: str
    holder: str
    token: int
    from_nobody: bool = False


def parse_subject(subject: str) -> tuple[str, int]:
    """The kind and the id in ``tuning:ID`` or ``training:ID``. Raises NotFound for anything else."""
    kind, _, number = subject.partition(":")
    if kind not in ("tuning", "training") or not number.isdecimal():
        raise NotFound("job", subject)
    return kind, int(number)


class SortKey(StrEnum):
    """What lists of jobs are sorted by; ties are broken by id."""

    NAME = "Name"
    STATUS = "Status"
    CREATED = "CreationTime"
    OBJECTIVE = "FinalObjectiveMetricValue"


@dataclass(frozen=True)
class Page:
    """Which part of a list: at most ``size`` items after the one that ``after`` (an opaque cursor of the store) ends on."""

    size: int = 100
    after: str | None = None
    sort: SortKey = SortKey.CREATED
    descending: bool = False


@dataclass(frozen=True)
class JobFilter:
    """Which jobs: all conditions hold together; times are seconds since the epoch, ends exclusive; names without case. Those
    that are ``named`` are some hundreds at most. Those that are ``tagged`` have these tags, (key, value) each.

    ``status`` is the one that people see: a job in progress that is asked to stop counts as Stopping.
    """

    name_contains: str | None = None
    named: tuple[str, ...] | None = None
    status: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    modified_after: float | None = None
    modified_before: float | None = None
    tagged: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Change:
    """What one step writes, in one transaction: the tuning job's new state, new and changed training jobs, emissions.

    ``points`` are by name of training jobs among ``added`` and ``changed``; ``events`` are their event numbers, one for each
    point, and ``seq`` is that of points without one. A changed record keeps what it was created with: its owner, name, tuning
    job, number, creation time and spec.
    """

    tuning_job: TuningJob | None = None
    added: tuple[TrainingJob, ...] = ()
    changed: tuple[TrainingJob, ...] = ()
    points: Mapping[str, tuple[MetricPoint, ...]] = field(default_factory=dict)
    seq: int = 0
    events: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class JobStore(Protocol):
    """Where all state lives. What a method has returned from is durable: it survives ``kill -9`` and power loss.

    Each method is one transaction. Names are compared without case within one owner. A record is returned as it was
    saved, its times as floats, its ids filled in.
    """

    # Commands' side.

    def create_tuning_job(self, job: TuningJob) -> TuningJob:
        """Stores a new tuning job and returns it with its id. Raises NameInUse, having stored nothing."""
        ...

    def create_training_job(self, job: TrainingJob) -> TrainingJob:
        """Stores a training job of its own (no tuning job). Raises NameInUse, having stored nothing."""
        ...

    def import_tuning_job(
        self, job: TuningJob, jobs: Sequence[TrainingJob], points: Mapping[str, Sequence[MetricPoint]] | None = None
    ) -> TuningJob:
        """Stores a tuning job that has ended elsewhere together with its training jobs and, by their names, what they emitted,
        all or nothing; returns it with its id, which the training jobs get too. Raises NameInUse."""
        ...

    def request_stop(self, subject: str) -> None:
        """Asks the holder of the work, or its next one, to stop it: the one flag that needs no lease. For a training job
        of a tuning job the subject is ``training:ID`` too. Raises NotFound."""
        ...

    def delete_tuning_job(self, job_id: int) -> None:
        """Removes a tuning job's record; its training jobs stay and keep their own. Raises NotFound."""
        ...

    def delete_training_job(self, job_id: int) -> None:
        """Removes a training job's record with its emissions. Raises NotFound."""
        ...

    def set_tags(self, subject: str, tags: Mapping[str, str], expected: Mapping[str, str] | None = None) -> bool:
        """Replaces all tags of a job; where ``expected`` is given and is not what the job has (in order, too), nothing,
        and returns False. Raises NotFound."""
        ...

    def set_extras(self, job_id: int, extras: Mapping[str, Any], expected: Mapping[str, Any], at: float) -> bool:
        """Replaces the extras of a training job's spec, what a face wants back and nobody else reads, and notes the time of the
        change; where they are not what is ``expected``, nothing, and returns False. Raises NotFound."""
        ...

    # Questions.

    def tuning_job(self, owner: Owner, name: str) -> TuningJob:
        """Raises NotFound."""
        ...

    def tuning_job_by_id(self, job_id: int) -> TuningJob:
        """Raises NotFound."""
        ...

    def training_job(self, owner: Owner, name: str) -> TrainingJob:
        """Raises NotFound."""
        ...

    def training_job_by_id(self, job_id: int) -> TrainingJob:
        """Raises NotFound."""
        ...

    def tuning_jobs(self, owner: Owner, where: JobFilter, page: Page) -> tuple[Sequence[TuningJob], str | None]:
        """One page and the cursor of the next, None at the end. A cursor stays valid while jobs come and go: no job that
        is there throughout is shown twice or left out. The cost of a page does not grow with the number of jobs."""
        ...

    def training_jobs(
        self, owner: Owner, where: JobFilter, page: Page, tuning_job_id: int | None = None
    ) -> tuple[Sequence[TrainingJob], str | None]:
        """As ``tuning_jobs``; of one tuning job where its id is given. Sorted by objective, jobs without one are left out."""
        ...

    def training_job_names(self, owner: Owner, where: JobFilter) -> Sequence[str]:
        """The names alone of all training jobs that a filter lets through, in no order."""
        ...

    def jobs_of(self, tuning_job_id: int, since: int | None = None) -> tuple[TrainingJob, ...]:
        """All training jobs of a tuning job, by number; only those that had not ended by event ``since``, where it is given."""
        ...

    def best_of(self, tuning_job_id: int, direction: Direction) -> TrainingJob | None:
        """The ended training job of a tuning job with the best objective that counts; of equals, the one that ended first. The
        cost does not grow with the number of training jobs."""
        ...

    def counters(self, tuning_job_ids: Sequence[int]) -> Mapping[int, Mapping[tuple[str, str], int]]:
        """For each tuning job, how many of its training jobs have each (status, objective status); those that await the
        next attempt (``TrainingJob.awaits_retry``) have RETRYABLE for a status."""
        ...

    def state_counts(self) -> Mapping[tuple[str, str], int]:
        """How many jobs there are of each kind (``tuning``, ``training``) in each state that people see, of all owners."""
        ...

    def points(self, training_job_id: int, metric: str | None = None) -> Sequence[MetricPoint]:
        """A training job's emissions in order; of one metric where it is named. Those of the latest attempt only."""
        ...

    def curves(self, tuning_job_id: int, since: int | None = None) -> Mapping[int, tuple[CurvePoint, ...]]:
        """The objective's emissions of a tuning job's training jobs (the latest attempt's), by training job id; only those
        after event ``since``, where it is given. Steps count from 1 in what is returned."""
        ...

    def emission_times(self, tuning_job_id: int) -> Mapping[int, tuple[float, ...]]:
        """When a tuning job's training jobs (the latest attempts) emitted the objective, in order, by training job id."""
        ...

    def curves_of_attempts(self, tuning_job_id: int) -> Mapping[tuple[int, int], tuple[CurvePoint, ...]]:
        """As ``curves``, of all attempts: by training job id and attempt."""
        ...

    # The worker's side.

    # Leases run out by one clock for all hosts that share the store, however far their own are apart.

    def claim(
        self,
        holder: str,
        seconds: float,
        limit: int = 100,
        only: str | None = None,
        free_for: float = 0.0,
        without: Sequence[str] = (),
    ) -> Sequence[Lease]:
        """Leases on unfinished work that nobody holds, oldest first, for this holder and so many seconds; on the subject
        ``only`` alone where it is given. Never gives one subject to two holders at once. What a holder ``...@HOME`` left with
        runs, or without a word, is given to holders of that home only. What is new, or was given back without runs, is left to
        others for ``free_for`` seconds, and the subjects ``without`` altogether."""
        ...

    def unclaimed(self, holder: str, limit: int, only: str | None = None, free_for: float = 0.0) -> Sequence[str]:
        """The subjects of the work that ``claim`` would give a holder, oldest first."""
        ...

    def renew(self, leases: Iterable[Lease], seconds: float) -> Sequence[Lease]:
        """Extends the leases that are still ours to so many seconds from now and returns those; the others are lost."""
        ...

    def release(self, lease: Lease, has_runs: bool = False) -> None:
        """Gives a lease back; nothing happens if it is lost. ``has_runs``: runs of it may be alive in the holder's home."""
        ...

    def holders(self) -> Sequence[str]:
        """Who holds leases now, so that a worker can tell the dead ones among its host's."""
        ...

    def evict(self, holder: str) -> None:
        """Frees all leases of a holder that is known to be dead, for its home if it has one."""
        ...

    def elsewhere(self, holder: str, only: str | None = None) -> Mapping[str, int]:
        """The homes, other than the holder's, that have unfinished work which nobody holds, and how much; of the subject
        ``only`` alone where it is given."""
        ...

    def free_home(self, home: str) -> None:
        """Gives the work that nobody holds and that waits for a home to all."""
        ...

    def commit(self, lease: Lease, change: Change) -> tuple[TrainingJob, ...]:
        """Writes a step, all of it or nothing, and returns ``change.added`` with ids. Raises LeaseLost when the lease's
        token is not the current one. Never touches ``stop_requested`` or tags. Writing the same emissions (training job,
        attempt, index) again changes nothing."""
        ...

    # What is done elsewhere with a tuning job, such as an export.

    def turn(self, job_id: int, waits: Callable[[], object]) -> AbstractContextManager[None]:
        """A turn at a tuning job, which one process at a time has, of all that share the store; ``waits`` is called where
        another has it, and then it is waited for without end. It is over with the process that has it, however that ends."""
        ...


# --- running training jobs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunKey:
    """One attempt at one training job, whose name is good within its owner only."""

    name: str
    attempt: int
    owner: Owner = field(default_factory=Owner)

    @classmethod
    def of(cls, job: TrainingJob) -> RunKey:
        """The present attempt of a training job."""
        return cls(job.name, job.attempt, job.owner)


@dataclass(frozen=True)
class Run:
    """What an executor needs to start a training job. ``group`` keeps a tuning job's files together (its name);
    ``share`` is how many training jobs of the host are meant to run at once, so that each takes its part of the cores;
    ``spent_seconds`` is the run time of former attempts, which the limit counts too."""

    key: RunKey
    spec: TrainingSpec
    hyperparameters: Mapping[str, str]
    group: str | None = None
    share: int = 1
    spent_seconds: float = 0.0


class RunState(StrEnum):
    """What became of a run.

    ::

        RUNNING --+--> COMPLETED   exit code 0
                  +--> FAILED      another exit code, or it could not be started: the user's business
                  +--> STOPPED     ``stop`` was asked for, however it then exited
                  +--> TIMED_OUT   its run-time limit
                  +--> LOST        its supervisor vanished: ours
    """

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    TIMED_OUT = "timed out"
    LOST = "lost"


@dataclass(frozen=True)
class Report:
    """Where a run stands. ``phases`` are (secondary status, since, message) in order; ``points`` the emissions from
    index ``seen`` on. The end time, exit code, failure reason and model are there once the state is not RUNNING."""

    key: RunKey
    state: RunState
    phases: tuple[tuple[SecondaryStatus, float, str], ...] = ()
    points: tuple[MetricPoint, ...] = ()
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    failure_reason: str | None = None
    model_uri: str | None = None


@dataclass(frozen=True)
class SourceSize:
    """What of a source folder a training job has a copy of: so many ``files`` of so many ``bytes``, most of them in the entry
    ``largest`` of the folder, which has ``largest_bytes``. Not ``whole``: there are more, which nobody counted."""

    files: int
    bytes: int
    largest: str
    largest_bytes: int
    whole: bool = True


#: For a report's ``seen``: where the run stands is all that is wanted.
NO_POINTS = sys.maxsize


class Executor(Protocol):
    """Runs training jobs so that they survive us: a run goes on when this process dies and is found again by its key."""

    def check(self, spec: TrainingSpec, hyperparameters: Mapping[str, str] | None = None) -> None:
        """Whether this machine could run it: program, source folder, input paths, image, and what the static
        ``hyperparameters`` say of a script. Starts nothing. Raises InvalidValue or Unsupported, naming field and value, and
        ClusterUnavailable."""
        ...

    def metrics_of(self, spec: TrainingSpec) -> tuple[MetricDefinition, ...]:
        """The metrics that a program is known to write to its log, for a spec that defines none; empty where none is known."""
        ...

    def script_of(self, spec: TrainingSpec, hyperparameters: Mapping[str, str]) -> tuple[str, str] | None:
        """The URI of the code that this machine itself would unpack, and the program in it that it would start; None where it
        runs no script. For what ``check`` has let pass."""
        ...

    def source_size(self, spec: TrainingSpec) -> SourceSize | None:
        """How much of the source folder each run of a spec would have copied; None where it has none, or none that can be
        read. It gives up counting after some ten thousand files."""
        ...

    def room(self, spec: TrainingSpec) -> Room:
        """How many more runs of a spec this host could start now, and why not more. What it says may be over at once:
        others share the host."""
        ...

    def launch(self, run: Run) -> None:
        """Starts a run and returns once it is certain to start or to be reported as failed; where the host has no room for
        it, the run stays unlaunched. Launching a key again, from any process at any time, does nothing: no run ever starts
        twice. What the user got wrong (a program that is not there) is reported as FAILED and not raised."""
        ...

    def adopt(self, key: RunKey) -> None:
        """Says that this process works on a run by now, whoever launched it: what it knows of the object store, keys above
        all, holds for the run's transfers from here on. Does nothing for a run that it launched itself or has adopted."""
        ...

    def report(self, key: RunKey, seen: int = 0) -> Report | None:
        """Where the run stands, with emissions from index ``seen`` on; None if it was never launched. All emissions
        precede the end: a report whose state is not RUNNING is complete and the last. Of more emissions than some ten
        thousand it gives the first, and the run is RUNNING until the others were asked for. Raises StoreUnavailable where the
        disk has no room for what must be noted, or is away; so do all that look for a run's files, but ``wait``."""
        ...

    def stop(self, key: RunKey, give_up: bool = False) -> None:
        """Asks a run to end: SIGTERM, then SIGKILL after 120 s, its whole process group. Returns at once; nothing
        happens if it has ended or was never launched. Results that wait for an object store which refuses our keys or does
        not answer go on waiting; with ``give_up`` for as long as a stop's grace, and then the run ends and says where they
        are. Raises StoreUnavailable as ``report`` does."""
        ...

    def wait(self, keys: Sequence[RunKey], seconds: float, descriptors: Sequence[int] = ()) -> None:
        """Returns when one of the runs has ended, when one of the file descriptors can be read, or after ``seconds``, whichever
        is first; it may return early."""
        ...

    def read_log(
        self, owner: Owner, name: str, offset: int = 0, limit: int = 1 << 20, host: str = "", attempt: int = 0
    ) -> tuple[bytes, int]:
        """At most ``limit`` bytes of a training job's log (stdout and stderr) from ``offset``, and the offset to go on from;
        of the instance ``host``, where it has several (empty: the first), and of an ``attempt`` (0: the latest). Offsets
        count all bytes ever logged, also those since dropped from a long log."""
        ...

    def has_log(self, owner: Owner, name: str, attempt: int = 0) -> bool:
        """Whether an attempt (0: any) of a training job was launched from this home, so that ``read_log`` knows its log."""
        ...

    def model_now(self, owner: Owner, name: str, uri: str) -> str:
        """Where the model of a training job is by now that was left at ``uri``: in a home folder that was moved since, another
        place; else, and where it is gone, ``uri``."""
        ...

    def deleting(self, owner: Owner, name: str) -> AbstractContextManager[None]:
        """Within its block nobody else who works on the same files deletes this training job. Raises StoreUnavailable as
        ``report`` does, and where somebody else is not done with that."""
        ...

    def forget(self, owner: Owner, name: str) -> None:
        """Removes all files of a training job that has ended. Two may do so at once: for neither it is done before all are
        gone, for then the name is free."""
        ...


class ObjectStore(Protocol):
    """Objects by URI (``file://``, ``s3://``), the one way that data gets in and results get out. Every method raises
    InvalidValue for what the store refuses and StoreUnavailable when it does not answer."""

    def check(self, uri: str) -> None:
        """Raises InvalidValue when nothing is there to read."""
        ...

    def check_target(self, uri: str) -> None:
        """Raises InvalidValue when nothing could ever be put there: its bucket does not exist or is somebody else's."""
        ...

    def list(self, uri: str) -> Sequence[tuple[str, int]]:
        """Keys below a prefix, relative to it, with their sizes in bytes."""
        ...

    def download(self, uri: str, folder: str) -> None:
        """Copies all below a prefix into a folder; what this same store has brought there before may be left as it is."""
        ...

    def has(self, uri: str) -> bool:
        """Whether there is an object of exactly this URI."""
        ...

    def read(self, uri: str, limit: int) -> bytes:
        """One object's content. Raises InvalidValue for one that is not there (code ``no-object``) or longer than ``limit``
        bytes (code ``too-long``)."""
        ...

    def fetch(self, uri: str, path: str) -> None:
        """Copies one object to a file, as ``download`` does."""
        ...

    def upload(self, path: str, uri: str) -> None:
        """Copies a file to a URI; it appears whole or not at all."""
        ...

    def remove(self, uri: str) -> None:
        """Removes one object; nothing happens if it is not there."""
        ...


#: What ``JobStore.counters`` counts training jobs under whose next attempt has not begun.
RETRYABLE = "RetryableError"
