"""What a training job is: one run of one algorithm with one configuration, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rekindle.domain.errors import InvalidValue, LimitExceeded
from rekindle.domain.metrics import MetricDefinition, check_definitions

#: Seconds between SIGTERM and SIGKILL when a training job is stopped, as SageMaker gives.
STOP_GRACE_SECONDS = 120
#: SageMaker's default run-time limit of one training job, in seconds.
DEFAULT_MAX_RUNTIME_SECONDS = 86_400
#: FailureReason holds at most this many characters.
FAILURE_REASON_LIMIT = 1024
#: How often a training job whose process vanished through no fault of its own is started again.
LOST_RETRIES = 3

#: How many instances a training job may have: each is a process of one machine.
MAX_INSTANCES = 100
#: How many tags a job may have.
MAX_TAGS = 50
#: How many hyperparameters a training job may have, and how long a name and a value may be, in characters.
MAX_HYPERPARAMETERS, MAX_NAME_LENGTH, MAX_VALUE_LENGTH = 100, 256, 2500
#: The hyperparameters that say where a script's archive is, and which file of it is to be started.
SUBMITTED, PROGRAM = "sagemaker_submit_directory", "sagemaker_program"

#: How many characters the name of a training job has at most, each of one byte.
LONGEST_NAME = 63
_NAME = re.compile(rf"[a-zA-Z0-9](-*[a-zA-Z0-9]){{0,{LONGEST_NAME - 1}}}")


@dataclass(frozen=True)
class Owner:
    """Whose jobs: names are unique within one account and region, without regard to case."""

    account: str = "000000000000"
    region: str = "us-east-1"


class TrainingJobStatus(StrEnum):
    """The state of a training job.

    ::

        IN_PROGRESS --+--> COMPLETED            exit code 0
            |         +--> FAILED               any other exit code
            |         +--> STOPPED              its run-time limit
            +--> STOPPING --> STOPPED           somebody, or a rule, stopped it
    """

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self not in (TrainingJobStatus.IN_PROGRESS, TrainingJobStatus.STOPPING)


class SecondaryStatus(StrEnum):
    """What a training job is doing within its state."""

    STARTING = "Starting"
    PENDING = "Pending"
    DOWNLOADING = "Downloading"
    TRAINING = "Training"
    UPLOADING = "Uploading"
    INTERRUPTED = "Interrupted"
    RESTARTING = "Restarting"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"
    COMPLETED = "Completed"
    FAILED = "Failed"


class ObjectiveStatus(StrEnum):
    """Whether a training job's final objective value is known and used."""

    PENDING = "Pending"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True)
class Transition:
    """One entry of a training job's secondary status history; times in seconds since the epoch. Entries are contiguous."""

    status: SecondaryStatus
    started_at: float
    ended_at: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Channel:
    """A named input of a training job. ``uri`` is a path, ``file://`` or ``s3://``; ``extras`` is what a face wants back."""

    name: str
    uri: str
    data_type: str = "S3Prefix"
    distribution: str = "FullyReplicated"
    content_type: str | None = None
    compression: str = "None"
    record_wrapper: str = "None"
    input_mode: str = "File"
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Algorithm:
    """What to run: a ``command`` in a copy of the folder ``source``, or an ``image`` (a name for a way to run).

    ``arguments_style`` says how hyperparameters reach a command besides files and environment: ``cli`` appends
    ``--name value``; ``none`` does not. ``python`` is an interpreter or an environment's folder put first on PATH.
    """

    command: str | None = None
    source: str | None = None
    python: str | None = None
    arguments_style: str = "cli"
    image: str | None = None
    name: str | None = None
    input_mode: str = "File"
    metrics: tuple[MetricDefinition, ...] = ()
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """Where results go: ``uri`` of a folder (None: the home's own), ``compression`` GZIP or NONE."""

    uri: str | None = None
    compression: str = "GZIP"
    kms_key: str | None = None


@dataclass(frozen=True)
class Checkpoints:
    """A folder that survives a training job's attempts: ``uri`` outside, ``local_path`` inside."""

    uri: str
    local_path: str = "/opt/ml/checkpoints"


@dataclass(frozen=True)
class Resources:
    """What a training job needs: instances of a type; ``gpus`` and ``cpus`` per instance where the job says so."""

    instance_type: str = "local"
    instance_count: int = 1
    volume_gb: int = 30
    gpus: int = 0
    cpus: int = 0

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of the instances, sorted as texts, as SageMaker has them: ``algo-10`` comes before ``algo-2``."""
        return tuple(sorted(f"algo-{number}" for number in range(1, self.instance_count + 1)))


@dataclass(frozen=True)
class TrainingSpec:
    """All of a training job but its hyperparameters. ``extras`` keeps what only a face understands, for its echo."""

    algorithm: Algorithm
    role: str = ""
    channels: tuple[Channel, ...] = ()
    output: Output = Output()
    checkpoints: Checkpoints | None = None
    resources: Resources = Resources()
    max_runtime_seconds: int = DEFAULT_MAX_RUNTIME_SECONDS
    environment: Mapping[str, str] = field(default_factory=dict)
    max_retries: int = 0
    network_isolation: bool = False
    encrypted_traffic: bool = False
    spot: bool = False
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FinalMetric:
    """The last value of one metric and when it was emitted (seconds since the epoch)."""

    value: float
    at: float


@dataclass(frozen=True)
class MetricPoint:
    """One emission: ``index`` counts a training job's emissions of all metrics from 0, in order, per attempt."""

    index: int
    metric: str
    value: float
    at: float


@dataclass(frozen=True)
class TrainingJob:
    """The record of a training job. Times are seconds since the epoch.

    ``id`` is 0 until it is stored; ``number`` counts from 1 within the tuning job. ``launched_seq`` and ``finished_seq``
    place its start and end in the tuning job's order of events, from which each suggestion's history is rebuilt;
    ``attempt_seqs`` place the starts of its later attempts, but for those that began before this was recorded.
    ``hyperparameters`` are all that the job is given, ``tuned`` those that the search chose: strings as they are passed.
    ``proposal`` is where the configuration came from: plain data.
    """

    name: str
    owner: Owner
    spec: TrainingSpec
    hyperparameters: Mapping[str, str]
    created_at: float
    id: int = 0
    tuning_job_id: int | None = None
    tuning_job_name: str | None = None
    definition_name: str | None = None
    number: int = 0
    attempt: int = 1
    tuned: Mapping[str, str] = field(default_factory=dict)
    proposal: Mapping[str, Any] = field(default_factory=dict)
    status: TrainingJobStatus = TrainingJobStatus.IN_PROGRESS
    secondary: SecondaryStatus = SecondaryStatus.STARTING
    transitions: tuple[Transition, ...] = ()
    launched_seq: int = 0
    finished_seq: int | None = None
    attempt_seqs: Mapping[int, int] = field(default_factory=dict)
    modified_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    failure_reason: str | None = None
    exit_code: int | None = None
    objective_metric: str | None = None
    objective_status: ObjectiveStatus = ObjectiveStatus.PENDING
    objective_value: float | None = None
    final_metrics: Mapping[str, FinalMetric] = field(default_factory=dict)
    points_seen: int = 0
    model_uri: str | None = None
    stopped_early: bool = False
    stop_requested: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether the job has not ended."""
        return not self.status.is_terminal

    @property
    def shown_status(self) -> TrainingJobStatus:
        """The status for people: Stopping from the moment somebody asks."""
        if self.stop_requested and self.status is TrainingJobStatus.IN_PROGRESS:
            return TrainingJobStatus.STOPPING
        return self.status

    def attempt_at(self, seq: int) -> int | None:
        """The attempt that the job was at by event ``seq`` of its tuning job; None where that is not recorded."""
        for attempt in range(self.attempt, 1, -1):
            began = self.attempt_seqs.get(attempt)
            if began is None:
                return None
            if began <= seq:
                return attempt
        return 1

    @property
    def cut_short(self) -> bool:
        """Whether early stopping ended the job: a stop that came when it had already done all its work changed nothing."""
        return self.stopped_early and self.status is not TrainingJobStatus.COMPLETED

    @property
    def awaits_start(self) -> bool:
        """Whether its attempt has not begun to train."""
        return self.status is TrainingJobStatus.IN_PROGRESS and self.started_at is None

    @property
    def awaits_retry(self) -> bool:
        """Whether an attempt ended by a failure of the infrastructure and the next one has not begun."""
        return self.awaits_start and self.attempt > 1

    @property
    def seconds(self) -> float | None:
        """How long its last attempt took, from its start to its end; None where it has not ended, or never began."""
        return None if self.started_at is None or self.ended_at is None else self.ended_at - self.started_at


def check_training_job(job: TrainingJob) -> None:
    """The rules that a training job of its own keeps by itself. Raises InvalidValue for the first broken."""
    if not _NAME.fullmatch(job.name):
        reason = f"a name has 1 to {LONGEST_NAME} letters, digits and inner hyphens, and starts with no hyphen"
        raise InvalidValue("name", job.name, reason)
    for name, value in job.hyperparameters.items():
        if not 1 <= len(name) <= MAX_NAME_LENGTH:
            raise InvalidValue("hyperparameters", name, f"a hyperparameter's name has 1 to {MAX_NAME_LENGTH} characters")
        if len(value) > MAX_VALUE_LENGTH:
            raise InvalidValue(f"hyperparameters.{name}", value, f"a value has at most {MAX_VALUE_LENGTH} characters")
    count = len(job.hyperparameters)
    if count > MAX_HYPERPARAMETERS:
        raise LimitExceeded("number of hyperparameters", MAX_HYPERPARAMETERS, count, field="hyperparameters")
    check_definitions(job.spec.algorithm.metrics)
    check_instances(job.spec.resources)


def check_instances(resources: Resources) -> None:
    """Whether so many instances can be begun. Raises LimitExceeded."""
    count = resources.instance_count
    if count > MAX_INSTANCES:
        raise LimitExceeded("number of instances of a training job", MAX_INSTANCES, count, field="resources.instances")


def moved(transitions: tuple[Transition, ...], status: SecondaryStatus, at: float, message: str) -> tuple[Transition, ...]:
    """The history with one more entry: the last one ends where the new one starts; a terminal one ends at once."""
    if transitions and transitions[-1].status is status:
        return transitions
    done = status in _TERMINAL_SECONDARY
    at = max(at, transitions[-1].started_at) if transitions else at
    closed = _closed(transitions, at)
    return (*closed, Transition(status, at, at if done else None, message))


_TERMINAL_SECONDARY = frozenset(
    {
        SecondaryStatus.COMPLETED,
        SecondaryStatus.FAILED,
        SecondaryStatus.STOPPED,
        SecondaryStatus.MAX_RUNTIME_EXCEEDED,
    }
)


def _closed(transitions: tuple[Transition, ...], at: float) -> tuple[Transition, ...]:
    if not transitions:
        return transitions
    last = transitions[-1]
    return (*transitions[:-1], Transition(last.status, last.started_at, at, last.message))
