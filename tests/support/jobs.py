"""Short ways to tuning jobs and training jobs for tests of the store."""

from __future__ import annotations

from dataclasses import replace

from tests.support.specs import tuning_spec

from rekindle.domain.training_job import MetricPoint, Owner, TrainingJob
from rekindle.domain.tuning_job import TuningJob

OWNER = Owner()
OTHER = Owner("111111111111", "eu-west-3")
NOW = 1000.0
#: Seconds that no test lasts.
LONG = 1000.0


def tuning_job(name: str = "job", created_at: float = 1.0, owner: Owner = OWNER) -> TuningJob:
    return TuningJob(tuning_spec(name), owner, uid="0123abcd", created_at=created_at)


def training_job(name: str = "alone", created_at: float = 1.0, owner: Owner = OWNER) -> TrainingJob:
    return TrainingJob(name, owner, tuning_spec().definition.training, {"lr": "0.1"}, created_at)


def trial(job: TuningJob, number: int, **fields: object) -> TrainingJob:
    base = TrainingJob(
        name=f"{job.name}-{number:03d}-x",
        owner=job.owner,
        spec=job.spec.definition.training,
        hyperparameters={"lr": str(number)},
        created_at=float(number),
        tuning_job_id=job.id,
        tuning_job_name=job.name,
        number=number,
        launched_seq=number,
        objective_metric="loss",
    )
    return replace(base, **fields)


def emissions(count: int, metric: str = "loss", start: int = 0) -> tuple[MetricPoint, ...]:
    return tuple(MetricPoint(start + i, metric, 1.0 / (start + i + 1), 10.0 + start + i) for i in range(count))
