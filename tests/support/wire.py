"""The SageMaker service on loopback behind the gateway, a real boto3 client, and a worker that tests step by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rekindle.api.app import create_app
from rekindle.domain.tuning_rules import RELAXED, Quotas
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import ObjectStore
from rekindle.gateway.app import Gateway, GatewaySettings
from rekindle.gateway.credentials import KeyPair
from support.engine import Engine
from support.gateway import ALICE, CREDENTIALS, echo_apps, serving

Json = dict[str, Any]
ROLE = "arn:aws:iam::111111111111:role/service-role/tuner"
IMAGE = "111111111111.dkr.ecr.us-east-1.amazonaws.com/trainer:1"

_numbers = itertools.count(1)


def fresh(stem: str = "job") -> str:
    """A name that no other test uses."""
    return f"{stem}-{next(_numbers)}"


def definition(**changes: Any) -> Json:
    """A small valid training job definition."""
    return {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "StaticHyperParameters": {"epochs": "3"},
        **changes,
    }


def ranges() -> Json:
    """Ranges that the simulated program understands."""
    return {
        "ContinuousParameterRanges": [{"Name": "lr", "MinValue": "1e-5", "MaxValue": "0.1", "ScalingType": "Logarithmic"}],
        "IntegerParameterRanges": [{"Name": "layers", "MinValue": "1", "MaxValue": "5"}],
    }


def tuning_request(name: str | None = None, jobs: int = 4, parallel: int = 2, **changes: Any) -> Json:
    """A small valid CreateHyperParameterTuningJob request."""
    return {
        "HyperParameterTuningJobName": name or fresh(),
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel},
            "ParameterRanges": ranges(),
        },
        "TrainingJobDefinition": definition(),
        **changes,
    }


def training_request(name: str | None = None, **changes: Any) -> Json:
    """A small valid CreateTrainingJob request."""
    members = definition()
    del members["StaticHyperParameters"]
    return {"TrainingJobName": name or fresh("train"), "HyperParameters": {"lr": "0.01", "layers": "2"}, **members, **changes}


def changed(request: Json, path: str, value: Any) -> Json:
    """A copy of a request with one member set (``None``: removed); the path's parts are keys and list indices."""
    copy = deepcopy(request)
    *way, last = path.split(".")
    inner: Any = copy
    for part in way:
        inner = inner[int(part)] if isinstance(inner, list) else inner.setdefault(part, {})
    if value is None:
        del inner[last]
    elif isinstance(inner, list):
        inner[int(last)] = value
    else:
        inner[last] = value
    return copy


@dataclass
class Wire:
    """The service with its client, its engine and its worker."""

    engine: Engine
    port: int
    client: Any
    _worker: Any = field(default=None)

    def create(self, *, request: Json | None = None, **changes: Any) -> str:
        """Creates a tuning job and returns its name."""
        request = request or tuning_request(**changes)
        self.client.create_hyper_parameter_tuning_job(**request)
        return str(request["HyperParameterTuningJobName"])

    def describe(self, name: str) -> Json:
        return _bare(self.client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name))

    def describe_training(self, name: str) -> Json:
        return _bare(self.client.describe_training_job(TrainingJobName=name))

    def trials(self, name: str, **options: Any) -> list[Json]:
        """All training jobs of a tuning job, page by page."""
        pages = self.client.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
        found = pages.paginate(HyperParameterTuningJobName=name, **options)
        return [trial for page in found for trial in page["TrainingJobSummaries"]]

    def tick(self) -> None:
        """One step of the worker, without waiting."""
        if self._worker is None:
            self._worker = self.engine.worker()
        self._worker.tick()

    def work(self, until: Callable[[], bool], steps: int = 2_000) -> None:
        """Steps the worker and the clock until something holds."""
        for _ in range(steps):
            self.tick()
            if until():
                return
            self._worker.wait()
        raise AssertionError("it never came to that")

    def finish(self, name: str) -> Json:
        """Works until a tuning job has ended and describes it."""
        owner = self.engine.owner
        self.work(lambda: self.engine.store.tuning_job(owner, name).status.is_terminal)
        return self.describe(name)

    def finish_training(self, name: str) -> Json:
        """Works until a training job has ended and describes it."""
        owner = self.engine.owner
        self.work(lambda: not self.engine.store.training_job(owner, name).is_running)
        return self.describe_training(name)

    def another_client(self, key: KeyPair, region: str = "us-east-1") -> Any:
        return client_of(self.port, key, region)


@contextmanager
def wire(
    engine: Engine | None = None, quotas: Quotas = RELAXED, objects: ObjectStore | None = None, insecure: bool = False
) -> Iterator[Wire]:
    """The service on a port of its own. Jobs of the client are ALICE's."""
    engine = engine or Engine()
    engine.owner = type(engine.owner)(ALICE.account, "us-east-1")
    app = create_app(engine.store, engine.executor, engine.clock, quotas, None if objects is None else lambda owner: objects)
    settings = GatewaySettings(insecure_no_auth=insecure)
    gateway = Gateway(echo_apps(sagemaker=app), CREDENTIALS, settings, SystemClock().now)
    with serving(gateway) as port:
        yield Wire(engine, port, client_of(port, ALICE))


def client_of(port: int, key: KeyPair, region: str = "us-east-1", connections: int = 10) -> Any:
    """A boto3 client that does not retry and leaves all judgement to the service."""
    return _session().client(
        "sagemaker",
        region_name=region,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        endpoint_url=f"http://127.0.0.1:{port}",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, max_pool_connections=connections),
    )


@cache
def _session() -> Any:
    """One session for all clients: it keeps the service's model, which takes a while to read."""
    return boto3.Session()


def error_of(call: Callable[..., Any], **arguments: Any) -> tuple[str, str]:
    """The code and message with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    return answer["Error"]["Code"], answer["Error"]["Message"]


def _bare(answer: Mapping[str, Any]) -> Json:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
