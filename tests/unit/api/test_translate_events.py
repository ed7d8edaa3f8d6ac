"""The events have the shape of SageMaker's own."""

from __future__ import annotations

import json
from dataclasses import replace

from rekindle.api.translate.events import Events
from rekindle.domain.training_job import TrainingJobStatus
from rekindle.storage.store import open_store
from support.engine import Engine
from support.simulated import Script
from support.specs import tuning_spec

# The members of the examples in SageMaker's guide ("Automating Amazon SageMaker with Amazon EventBridge"), as far as a job
# without a VPC has them.
ENVELOPE = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
TRAINING = {
    *("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "SecondaryStatus", "HyperParameters", "AlgorithmSpecification"),
    *("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition", "CreationTime", "TrainingStartTime"),
    *("TrainingEndTime", "LastModifiedTime", "SecondaryStatusTransitions", "Tags"),
}
TUNING = {
    *("HyperParameterTuningJobName", "HyperParameterTuningJobArn", "TrainingJobDefinition", "HyperParameterTuningJobStatus"),
    *("CreationTime", "LastModifiedTime", "TrainingJobStatusCounters", "ObjectiveStatusCounters", "Tags"),
}


def told(**training: object) -> list[dict]:
    spec = tuning_spec("Job", jobs=1, parallel=1, statics={"Environment": "kept", "warmUpTime": "9"})
    definition = replace(spec.definition, training=replace(spec.definition.training, **training))
    engine = Engine(store=open_store("sqlite://", announcer=Events({"file": None})), program=lambda _: Script((0.5,), 10))
    engine.create(replace(spec, definitions=(definition,), tags={"team": "vision"}))
    engine.run("Job")
    return [json.loads(e.body) for e in engine.store.claim_events("file", "a", 0, 1, 100)]


def test_the_shape_is_the_documented_one() -> None:
    events = told()
    assert all(set(e) == ENVELOPE for e in events)
    kinds = [e["detail-type"] for e in events]
    tuning, training = "SageMaker HyperParameter Tuning Job State Change", "SageMaker Training Job State Change"
    assert kinds == [tuning, training, training, training, tuning]
    assert {e["source"] for e in events} == {"aws.sagemaker"}
    assert len({e["id"] for e in events}) == 5
    done, end = events[3], events[4]
    assert set(done["detail"]) >= TRAINING
    assert set(end["detail"]) >= TUNING
    assert done["resources"] == [done["detail"]["TrainingJobArn"]]
    assert end["resources"] == ["arn:aws:sagemaker:us-east-1:000000000000:hyper-parameter-tuning-job/job"]
    assert (end["account"], end["region"]) == ("000000000000", "us-east-1")


def test_states_follow_one_another_and_say_how_it_stood() -> None:
    first, *training, last = (e["detail"] for e in told())
    assert (first["HyperParameterTuningJobStatus"], last["HyperParameterTuningJobStatus"]) == ("InProgress", "Completed")
    assert [e["SecondaryStatus"] for e in training] == ["Starting", "Training", "Completed"]
    assert sum(first["TrainingJobStatusCounters"].values()) == 0
    assert last["TrainingJobStatusCounters"]["Completed"] == 1
    assert last["BestTrainingJob"]["TrainingJobName"] == training[0]["TrainingJobName"]
    assert training[-1]["TrainingJobStatus"] == TrainingJobStatus.COMPLETED
    assert last["Tags"] == training[0]["Tags"] == {"team": "vision"}


def test_times_are_milliseconds_and_hyperparameters_are_left_alone() -> None:
    detail = told()[3]["detail"]
    began = detail["TrainingStartTime"]
    assert isinstance(began, int)
    assert began > 1_700_000_000_000
    assert detail["SecondaryStatusTransitions"][-1]["StartTime"] == began + 10_000
    assert detail["HyperParameters"]["Environment"] == "kept"
    assert detail["HyperParameters"]["warmUpTime"] == "9"


def test_environments_stay_here() -> None:
    assert "hidden" not in json.dumps(told(environment={"TOKEN": "hidden"}))
