"""Generated requests: what is accepted comes back whole and runs; what is broken is refused and leaves nothing.

``REKINDLE_HYPOTHESIS=fuzz REKINDLE_FUZZ_EXAMPLES=100000`` runs the whole of it.
"""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.api.operations import HANDLERS
from rekindle.engine.ports import JobFilter, Page
from support.engine import Engine
from support.shapes import broken, contained, request_of, training_request_of, tuning_request_of
from support.simulated import Script
from support.wire import Wire, training_request, tuning_request, wire

Json = dict[str, Any]
SEEDS = st.integers(0, 2**63 - 1)
#: These cost ten requests for each example: a smaller share of the examples.
SHARE = settings(max_examples=max(settings.default.max_examples // 3, 1))
#: Not shown by a description: they have operations of their own, or no member in the answer.
HIDDEN = ("Tags", "SessionChainingConfig")


@dataclass
class Raw:
    """Requests without a client's own ideas of what a request is; each has a connection of its own, as the server closes
    those that idle."""

    service: Wire
    answered: Counter[str]

    def post(self, operation: str, body: bytes) -> tuple[int, Json]:
        headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=60)) as connection:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            text = answer.read()
        self.answered["SageMaker's API, valid and mutated"] += 1
        return answer.status, json.loads(text) if text else {}

    def call(self, operation: str, **members: Any) -> Json:
        status, answer = self.post(operation, json.dumps(members).encode())
        assert status == 200, (answer, members)
        return answer

    def forget_tuning_job(self, name: str) -> None:
        store = self.service.engine.store
        store.delete_tuning_job(store.tuning_job(self.service.engine.owner, name).id)

    def forget_training_job(self, name: str) -> None:
        store = self.service.engine.store
        store.delete_training_job(store.training_job(self.service.engine.owner, name).id)


@pytest.fixture(scope="module")
def raw(answered: Counter[str]) -> Iterator[Raw]:
    with wire(Engine(lambda hyperparameters: Script((1.0,), 5.0)), insecure=True) as service:
        service.engine.owner = type(service.engine.owner)()
        yield Raw(service, answered)


@SHARE
@given(seed=SEEDS)
def test_every_member_of_a_tuning_job_comes_back_and_its_training_jobs_run(raw: Raw, seed: int) -> None:
    request = tuning_request_of(Random(seed))
    name = request["HyperParameterTuningJobName"]
    arn = raw.call("CreateHyperParameterTuningJob", **request)["HyperParameterTuningJobArn"]
    shown = raw.call("DescribeHyperParameterTuningJob", HyperParameterTuningJobName=name)
    assert contained({key: value for key, value in request.items() if key not in HIDDEN}, shown) == []
    assert raw.call("ListTags", ResourceArn=arn)["Tags"] == request.get("Tags", [])
    store, owner = raw.service.engine.store, raw.service.engine.owner
    worker = raw.service.engine.worker(only=f"tuning:{store.tuning_job(owner, name).id}")
    worker.tick()
    worker.shut_down()
    _check_trials(raw, request, name)
    raw.forget_tuning_job(name)


def _check_trials(raw: Raw, request: Json, name: str) -> None:
    trials = raw.call("ListTrainingJobsForHyperParameterTuningJob", HyperParameterTuningJobName=name)["TrainingJobSummaries"]
    parallel = request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"]
    assert len(trials) == parallel
    named = {d["DefinitionName"]: d for d in request.get("TrainingJobDefinitions", ())}
    definitions = named or {None: request["TrainingJobDefinition"]}
    for trial in trials:
        sent = definitions[trial.get("TrainingJobDefinitionName")]
        shown = raw.call("DescribeTrainingJob", TrainingJobName=trial["TrainingJobName"])
        expected = {"HyperParameters": {**sent.get("StaticHyperParameters", {}), **trial["TunedHyperParameters"]}}
        plain = {"InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId"}
        chosen = sent.get("HyperParameterTuningResourceConfig", {})
        expected["ResourceConfig"] = sent.get("ResourceConfig") or {k: v for k, v in chosen.items() if k in plain}
        if "InstanceConfigs" in chosen:
            expected["ResourceConfig"] |= chosen["InstanceConfigs"][0]
        tuning_only = ("DefinitionName", "TuningObjective", "HyperParameterRanges", "StaticHyperParameters",
                       "HyperParameterTuningResourceConfig")  # fmt: skip
        expected |= {key: value for key, value in sent.items() if key not in (*tuning_only, "ResourceConfig")}
        assert contained(expected, shown) == []
        raw.forget_training_job(trial["TrainingJobName"])


@SHARE
@given(seed=SEEDS)
def test_every_member_of_a_training_job_comes_back(raw: Raw, seed: int) -> None:
    request = training_request_of(Random(seed))
    name = request["TrainingJobName"]
    arn = raw.call("CreateTrainingJob", **request)["TrainingJobArn"]
    shown = raw.call("DescribeTrainingJob", TrainingJobName=name)
    sent = {key: value for key, value in request.items() if key not in HIDDEN and value != {}}
    assert contained(sent, shown) == []
    assert raw.call("ListTags", ResourceArn=arn)["Tags"] == request.get("Tags", [])
    raw.forget_training_job(name)


@pytest.fixture(scope="module")
def peopled(raw: Raw) -> Raw:
    """A service with a job of either kind, so that requests find something."""
    raw.call("CreateHyperParameterTuningJob", **tuning_request("there"))
    raw.call("CreateTrainingJob", **training_request("there"))
    return raw


@given(seed=SEEDS)
def test_whatever_comes_has_an_answer_and_leaves_all_or_nothing(peopled: Raw, seed: int) -> None:
    random = Random(seed)
    operation = random.choice([*HANDLERS, "CreateHyperParameterTuningJob", "CreateTrainingJob"])
    request = _request(random, operation)
    body = broken(random, request) if random.random() < 0.8 else json.dumps(request).encode()
    status, answer = peopled.post(operation, body)
    assert status in (200, 400), (status, answer, body)
    if status == 400:
        assert answer["__type"] in (
            "ValidationException", "SerializationException", "ResourceNotFound", "ResourceInUse", "ResourceLimitExceeded",
        )  # fmt: skip
        assert answer["message"]
    _check_nothing_is_left(peopled, operation, status, body)


def _request(random: Random, operation: str) -> Json:
    if operation == "CreateHyperParameterTuningJob":
        return tuning_request_of(random)
    if operation == "CreateTrainingJob":
        return training_request_of(random)
    request = request_of(random, operation)
    for name in ("HyperParameterTuningJobName", "TrainingJobName"):
        if name in request and random.random() < 0.7:
            request[name] = "there"
    if "ResourceArn" in request:
        request["ResourceArn"] = "arn:aws:sagemaker:us-east-1:000000000000:training-job/there"
    if operation in ("Search", "GetSearchSuggestions"):
        request["Resource"] = random.choice(["TrainingJob", "HyperParameterTuningJob"])
    return request


def _check_nothing_is_left(raw: Raw, operation: str, status: int, body: bytes) -> None:
    kinds = {
        "CreateHyperParameterTuningJob": ("HyperParameterTuningJobName", "DescribeHyperParameterTuningJob"),
        "CreateTrainingJob": ("TrainingJobName", "DescribeTrainingJob"),
    }
    if operation not in kinds:
        return
    member, describe = kinds[operation]
    if status == 200:
        name = json.loads(body)[member]
        raw.call(describe, **{member: name})
        (raw.forget_tuning_job if member.startswith("Hyper") else raw.forget_training_job)(name)
    store, owner = raw.service.engine.store, raw.service.engine.owner
    jobs = store.tuning_jobs if member.startswith("Hyper") else store.training_jobs
    assert {job.name for job in jobs(owner, JobFilter(), Page())[0]} <= {"there"}
