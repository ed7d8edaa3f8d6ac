"""Records of the domain as rows, and back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import Row

from rekindle.domain.errors import InvalidValue
from rekindle.domain.note import Note
from rekindle.domain.texts import unwanted
from rekindle.domain.training_job import (
    MetricPoint,
    ObjectiveStatus,
    Owner,
    SecondaryStatus,
    TrainingJob,
    TrainingJobStatus,
    TrainingSpec,
)
from rekindle.domain.tuning_job import TuningJob, TuningJobSpec, TuningJobStatus
from rekindle.storage.encoding import (
    VERSION,
    check_version,
    decode_ending,
    decode_final_metrics,
    decode_training_spec,
    decode_transitions,
    decode_tuning_spec,
    dumps,
    encode_ending,
    encode_final_metrics,
    encode_training_spec,
    encode_transitions,
    encode_tuning_spec,
    loads,
    plain,
    quoted,
    unplain,
    unquoted,
)

Values = dict[str, Any]
AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"

_TRAINING_STATUS = {s.value: s for s in TrainingJobStatus}
_SECONDARY_STATUS = {s.value: s for s in SecondaryStatus}
_OBJECTIVE_STATUS = {s.value: s for s in ObjectiveStatus}


def name_key(name: str) -> str:
    """What makes a name the same as another."""
    return name.lower()


def is_storable(text: str) -> bool:
    """Whether every database can hold the text as it is."""
    return not unwanted(text)


# --- tuning jobs -----------------------------------------------------------------------------------------------------


def new_tuning_job(job: TuningJob) -> Values:
    """A row of ``tuning_jobs`` for a new tuning job."""
    _check_text("name", job.name)
    return {
        **_owned(job.owner, job.name, job.created_at),
        **tuning_job_state(job),
        "uid": quoted(job.uid),
        "stop_requested": job.stop_requested,
        "spec": dumps(encode_tuning_spec(job.spec)),
        "tags": dumps(dict(job.spec.tags)),
    }


def tuning_job_state(job: TuningJob) -> Values:
    """The columns that a step writes."""
    return {
        "status": job.status.value,
        "modified_at": _finite("modified_at", job.modified_at),
        "ended_at": _finite("ended_at", job.ended_at),
        "seq": job.seq,
        "not_improving": job.not_improving,
        "converged_at": _finite("converged_at", job.converged_at),
        "imported": job.imported,
        "parents": dumps(list(job.parents)),
        "outcome": dumps(_outcome(job)),
    }


def _outcome(job: TuningJob) -> dict[str, Any]:
    waiting = {} if job.waiting_for is None else {"waiting_for": job.waiting_for}
    notes = {} if job.notes is None else {"notes": [[n.kind, n.text, dict(n.facts)] for n in job.notes]}
    return {"v": VERSION, "failure_reason": job.failure_reason, "ending": encode_ending(job.ending), **waiting, **notes}


def tuning_job_of(row: AnyRow) -> TuningJob:
    """The tuning job in a row of ``tuning_jobs``."""
    outcome = loads(row.outcome)
    check_version(outcome)
    return TuningJob(
        spec=_with_tags(row.spec, row.tags),
        owner=Owner(row.account, row.region),
        uid=unquoted(row.uid),
        created_at=row.created_at,
        id=row.id,
        status=TuningJobStatus(row.status),
        modified_at=row.modified_at,
        ended_at=row.ended_at,
        failure_reason=outcome["failure_reason"],
        ending=decode_ending(outcome["ending"]),
        seq=row.seq,
        not_improving=row.not_improving,
        converged_at=row.converged_at,
        stop_requested=row.stop_requested,
        imported=row.imported,
        parents=tuple(loads(row.parents)),
        waiting_for=outcome.get("waiting_for"),
        notes=None if "notes" not in outcome else tuple(Note(*note) for note in outcome["notes"]),
    )


@lru_cache(maxsize=256)
def _with_tags(spec: str, tags: str) -> TuningJobSpec:
    return decode_tuning_spec(loads(spec), loads(tags))


# --- training jobs ---------------------------------------------------------------------------------------------------


def new_training_job(job: TrainingJob, digest: str) -> Values:
    """A row of ``training_jobs`` for a new training job whose spec is stored under ``digest``."""
    _check_text("name", job.name)
    return {
        **_owned(job.owner, job.name, job.created_at),
        **training_job_state(job),
        "spec": digest,
        "tuning_job_id": job.tuning_job_id,
        "number": job.number,
        "stop_requested": job.stop_requested,
        "tags": dumps(dict(job.tags)),
    }


def training_job_state(job: TrainingJob) -> Values:
    """The columns that a step writes."""
    return {
        "attempt": job.attempt,
        "status": job.status.value,
        "secondary": job.secondary.value,
        "launched_seq": job.launched_seq,
        "finished_seq": job.finished_seq,
        "modified_at": _finite("modified_at", job.modified_at),
        "started_at": _finite("started_at", job.started_at),
        "ended_at": _finite("ended_at", job.ended_at),
        "exit_code": job.exit_code,
        "objective_metric": None if job.objective_metric is None else quoted(job.objective_metric),
        "objective_status": job.objective_status.value,
        "objective_value": _finite("objective_value", job.objective_value),
        "points_seen": job.points_seen,
        "stopped_early": job.stopped_early,
        "inputs": dumps(_encode_inputs(job)),
        "outcome": dumps(_encode_outcome(job)),
    }


@dataclass(frozen=True)
class StoredSpec:
    """A spec under its digest, which says it all."""

    digest: str
    spec: TrainingSpec = field(compare=False)


@lru_cache(maxsize=4096)
def training_job_of(row: AnyRow, stored: StoredSpec) -> TrainingJob:
    """The training job in a row of ``training_jobs``.

    The last few thousand are kept: every step reads all training jobs of its tuning job again, most of them unchanged, and
    equal rows are equal records.
    """
    inputs, outcome = loads(row.inputs), loads(row.outcome)
    check_version(inputs)
    check_version(outcome)
    return TrainingJob(
        name=row.name,
        owner=Owner(row.account, row.region),
        spec=stored.spec,
        hyperparameters=inputs["hyperparameters"],
        created_at=row.created_at,
        id=row.id,
        tuning_job_id=row.tuning_job_id,
        tuning_job_name=inputs["tuning_job_name"],
        definition_name=inputs["definition_name"],
        number=row.number,
        attempt=row.attempt,
        tuned=inputs["tuned"],
        proposal=unplain(inputs["proposal"]),
        status=_TRAINING_STATUS[row.status],
        secondary=_SECONDARY_STATUS[row.secondary],
        transitions=decode_transitions(outcome["transitions"]),
        launched_seq=row.launched_seq,
        finished_seq=row.finished_seq,
        attempt_seqs=dict(outcome.get("attempts", ())),
        modified_at=row.modified_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        failure_reason=outcome["failure_reason"],
        exit_code=row.exit_code,
        objective_metric=None if row.objective_metric is None else unquoted(row.objective_metric),
        objective_status=_OBJECTIVE_STATUS[row.objective_status],
        objective_value=row.objective_value,
        final_metrics=decode_final_metrics(outcome["final_metrics"]),
        points_seen=row.points_seen,
        model_uri=outcome["model_uri"],
        stopped_early=row.stopped_early,
        stop_requested=row.stop_requested,
        tags=loads(row.tags),
    )


def _encode_inputs(job: TrainingJob) -> Values:
    return {
        "v": VERSION,
        "tuning_job_name": job.tuning_job_name,
        "definition_name": job.definition_name,
        "hyperparameters": dict(job.hyperparameters),
        "tuned": dict(job.tuned),
        "proposal": plain(job.proposal),
    }


def _encode_outcome(job: TrainingJob) -> Values:
    attempts = {"attempts": [list(pair) for pair in job.attempt_seqs.items()]} if job.attempt_seqs else {}
    return {
        "v": VERSION,
        "transitions": encode_transitions(job.transitions),
        "failure_reason": job.failure_reason,
        "final_metrics": encode_final_metrics(job.final_metrics),
        "model_uri": job.model_uri,
        **attempts,
    }


# --- what training jobs share, and what they emit --------------------------------------------------------------------


def spec_documents(jobs: Iterable[TrainingJob]) -> tuple[dict[str, str], list[str]]:
    """The distinct specs of training jobs as JSON by digest, in the order of digests, and each job's digest."""
    bodies: dict[str, str] = {}
    digests: list[str] = []
    by_identity: dict[int, str] = {}
    for job in jobs:
        digest = by_identity.get(id(job.spec))
        if digest is None:
            body = dumps(encode_training_spec(job.spec))
            digest = by_identity[id(job.spec)] = hashlib.sha256(body.encode()).hexdigest()[:32]
            bodies[digest] = body
        digests.append(digest)
    return dict(sorted(bodies.items())), digests


@lru_cache(maxsize=256)
def spec_of(digest: str, body: str) -> StoredSpec:
    """The spec in a row of ``training_specs``."""
    return StoredSpec(digest, decode_training_spec(loads(body)))


def point_values(job: TrainingJob, point: MetricPoint, seq: int) -> Values:
    """A row of ``metric_points`` for an emission of a stored training job."""
    return {
        "training_job_id": job.id,
        "attempt": job.attempt,
        "idx": point.index,
        "seq": seq,
        "metric": quoted(point.metric),
        "value": _finite("points.value", point.value),
        "at": _finite("points.at", point.at),
    }


def point_of(row: AnyRow) -> MetricPoint:
    """The emission in a row of ``metric_points``."""
    return MetricPoint(row.idx, unquoted(row.metric), row.value, row.at)


def _owned(owner: Owner, name: str, created_at: float) -> Values:
    return {
        "account": owner.account,
        "region": owner.region,
        "name": name,
        "name_key": name_key(name),
        "created_at": _finite("created_at", created_at),
    }


def _check_text(field: str, text: str) -> None:
    if not is_storable(text):
        raise InvalidValue(field, text, "holds a character that cannot be stored")


def _finite(field: str, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise InvalidValue(field, value, "not a finite number")
    return value
