"""State changes as the events that SageMaker sends to EventBridge.

The details are those of Describe, with SageMaker's own habits: times are milliseconds since the epoch, tags are a map.
Environments are left out, as the real events leave them out: they are where people put secrets.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rekindle.api.translate.arns import training_job_arn, tuning_job_arn
from rekindle.api.translate.stamps import Json
from rekindle.api.translate.training_view import describe_training_job
from rekindle.api.translate.tuning_view import describe_tuning_job
from rekindle.domain.event_pattern import EventPattern
from rekindle.domain.training_job import Owner, TrainingJob
from rekindle.domain.tuning_job import TuningJob
from rekindle.engine.event_ports import Event
from rekindle.engine.queries import view

TRAINING_JOB = "SageMaker Training Job State Change"
TUNING_JOB = "SageMaker HyperParameter Tuning Job State Change"

#: The namespace of the events' ids.
_IDS = uuid.UUID("5d0c0f5b-6d0e-4f4e-9a58-0d9c8d3b6d5e")
_LEFT_OUT = frozenset({"Environment", "ConsumedResources"})


@dataclass(frozen=True)
class Events:
    """The Announcer: makes the events for sinks by their names, each with the pattern of what it wants to be told (None:
    everything). One state change has one id, however often it is made."""

    sinks: Mapping[str, EventPattern | None]

    def training_job(self, job: TrainingJob) -> Event:
        """See Announcer."""
        detail = {**_plain(describe_training_job(job)), "Tags": dict(job.tags)}
        state = (job.created_at, job.status, job.secondary, job.attempt, len(job.transitions))
        return self._event(TRAINING_JOB, training_job_arn(job), job.owner, job.modified_at or job.created_at, state, detail)

    def tuning_job(self, job: TuningJob, jobs: Sequence[TrainingJob]) -> Event:
        """See Announcer."""
        at = job.modified_at or job.created_at
        detail = {**_plain(describe_tuning_job(view(job, jobs), at)), "Tags": dict(job.spec.tags)}
        return self._event(TUNING_JOB, tuning_job_arn(job), job.owner, at, (job.uid, job.status), detail)

    def _event(self, kind: str, arn: str, owner: Owner, at: float, state: tuple[object, ...], detail: Json) -> Event:
        number, body = _envelope(kind, arn, owner, at, state, detail)
        sinks = tuple(name for name, pattern in self.sinks.items() if pattern is None or pattern.fits(body))
        return Event(number, at, json.dumps(body, separators=(",", ":")), sinks)


def _envelope(
    kind: str, arn: str, owner: Owner, at: float, state: tuple[object, ...], detail: Json
) -> tuple[str, Mapping[str, Any]]:
    """An event's id and all of it."""
    number = str(uuid.uuid5(_IDS, json.dumps([arn, *map(str, state)])))
    body = {
        "version": "0",
        "id": number,
        "detail-type": kind,
        "source": "aws.sagemaker",
        "account": owner.account,
        "time": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": owner.region,
        "resources": [arn],
        "detail": detail,
    }
    return number, body


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        left_out = {name for name, inner in value.items() if name in _LEFT_OUT and isinstance(inner, Mapping)}
        return {name: _member(name, inner) for name, inner in value.items() if name not in left_out}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _member(name: str, value: Any) -> Any:
    is_time = name.endswith("Time") and isinstance(value, int | float)
    return round(value * 1000) if is_time else _plain(value)
