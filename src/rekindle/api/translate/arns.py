"""Amazon Resource Names: the kind and name of a job, with its owner. The resource part is in lower case; names keep theirs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import Owner, TrainingJob
from rekindle.domain.tuning_job import TuningJob

TUNING = "hyper-parameter-tuning-job"
TRAINING = "training-job"

_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:([a-z0-9-]*):([0-9]{12}):([a-z-]+)/(.+)", re.IGNORECASE | re.DOTALL)
_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"))


@dataclass(frozen=True)
class Resource:
    """What an ARN names."""

    owner: Owner
    kind: str
    name: str


def tuning_job_arn(job: TuningJob) -> str:
    """The ARN of a tuning job."""
    return resource_arn(job.owner, TUNING, job.name)


def training_job_arn(job: TrainingJob) -> str:
    """The ARN of a training job."""
    return resource_arn(job.owner, TRAINING, job.name)


def resource_arn(owner: Owner, kind: str, name: str) -> str:
    """The ARN of any resource of SageMaker's."""
    return f"arn:{partition(owner.region)}:sagemaker:{owner.region}:{owner.account}:{kind}/{name.lower()}"


def role_arn(owner: Owner) -> str:
    """The role shown for jobs that were made without one."""
    return f"arn:{partition(owner.region)}:iam::{owner.account}:role/rekindle"


def parse_arn(text: str) -> Resource:
    """What an ARN names. Raises InvalidValue for text that is no ARN of SageMaker's."""
    found = _ARN.fullmatch(text)
    if found is None:
        raise InvalidValue("resourceArn", text, "not an ARN of a SageMaker resource")
    region, account, kind, name = found.groups()
    return Resource(Owner(account, region.lower()), kind.lower(), name)


def partition(region: str) -> str:
    """The partition of AWS that a region belongs to."""
    return next((name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws")
