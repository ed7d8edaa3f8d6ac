"""What the API says of jobs that did not come over the wire, and the small parts of translation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rekindle.api.translate.arns import parse_arn, resource_arn, tuning_job_arn
from rekindle.api.translate.create_request import spec_from_request
from rekindle.api.translate.echo import metric_definitions, tuning_job_members
from rekindle.api.translate.stamps import present, stamp
from rekindle.api.translate.training_request import training_job_from_request
from rekindle.api.translate.training_view import describe_training_job, training_job_summary, tuned_job_summary
from rekindle.api.translate.tuning_view import describe_tuning_job
from rekindle.domain.errors import InvalidValue
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import (
    Algorithm,
    Channel,
    Checkpoints,
    FinalMetric,
    Output,
    Owner,
    Resources,
    SecondaryStatus,
    TrainingJob,
    TrainingJobStatus,
    TrainingSpec,
)
from rekindle.domain.tuning_job import CompletionCriteria, Hyperband, StrategyName, TuningJob, WarmStart, WarmStartType
from rekindle.engine.queries import view
from support.specs import tuning_spec
from support.wire import definition, training_request, tuning_request

NOW = 1_800_000_000.0
OWNER = Owner("123456789012", "eu-central-1")


def job_file_training() -> TrainingSpec:
    return TrainingSpec(
        Algorithm(command="python train.py", metrics=(MetricDefinition("loss", "loss=(.*)"),)),
        channels=(Channel("train", "/data/train", content_type="text/csv"),),
        output=Output("/results"),
        checkpoints=Checkpoints("/checkpoints"),
        environment={"A": "1"},
        max_retries=2,
    )


def test_a_job_files_tuning_job_is_shown_as_the_request_that_would_have_made_it() -> None:
    spec = replace(
        tuning_spec("Mine", training=job_file_training(), statics={"epochs": "3"}, completion=CompletionCriteria(0.5, 7, True)),
        warm_start=WarmStart(WarmStartType.TRANSFER, ("before",)),
        hyperband=Hyperband(1, 9),
    )
    job = TuningJob(spec, OWNER, "uid", created_at=NOW, modified_at=NOW, id=1)
    shown = describe_tuning_job(view(job, ()), NOW + 5.9)
    assert shown["HyperParameterTuningJobArn"] == (
        "arn:aws:sagemaker:eu-central-1:123456789012:hyper-parameter-tuning-job/mine"
    )
    assert shown["ConsumedResources"] == {"RuntimeInSeconds": 5}
    assert shown["HyperParameterTuningJobConfig"] == {
        "Strategy": "Random",
        "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}},
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "IntegerParameterRanges": [{"Name": "layers", "MinValue": "1", "MaxValue": "5", "ScalingType": "Auto"}],
            "ContinuousParameterRanges": [
                {"Name": "lr", "MinValue": "1e-05", "MaxValue": "0.1", "ScalingType": "Logarithmic"},
            ],
            "CategoricalParameterRanges": [{"Name": "act", "Values": ["relu", "tanh"]}],
        },
        "TrainingJobEarlyStoppingType": "Off",
        "TuningJobCompletionCriteria": {
            "TargetObjectiveMetricValue": 0.5,
            "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 7},
            "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"},
        },
        "RandomSeed": 7,
    }
    assert shown["WarmStartConfig"] == {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "before"}],
        "WarmStartType": "TransferLearning",
    }
    assert shown["TrainingJobDefinition"] == {
        "StaticHyperParameters": {"epochs": "3", "_tuning_objective_metric": "loss"},
        "AlgorithmSpecification": {
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python train.py"],
            "MetricDefinitions": [
                {"Name": "loss", "Regex": "loss=(.*)"},
                {"Name": "ObjectiveMetric", "Regex": "loss=(.*)"},
            ],
        },
        "RoleArn": "arn:aws:iam::123456789012:role/rekindle",
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": "/data/train",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
                "ContentType": "text/csv",
                "CompressionType": "None",
                "RecordWrapperType": "None",
                "InputMode": "File",
            }
        ],
        "OutputDataConfig": {"S3OutputPath": "/results", "CompressionType": "GZIP"},
        "CheckpointConfig": {"S3Uri": "/checkpoints", "LocalPath": "/opt/ml/checkpoints"},
        "RetryStrategy": {"MaximumRetryAttempts": 2},
        "Environment": {"A": "1"},
        "ResourceConfig": {"InstanceType": "local", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": False,
        "EnableManagedSpotTraining": False,
    }


def test_several_definitions_of_a_job_file_are_shown_with_their_own_ranges() -> None:
    one = replace(tuning_spec().definition, name="one")
    spec = replace(tuning_spec(), definitions=(one, replace(one, name="two")))
    shown = tuning_job_members(spec, OWNER)
    assert "ParameterRanges" not in shown["HyperParameterTuningJobConfig"]
    assert "HyperParameterTuningJobObjective" not in shown["HyperParameterTuningJobConfig"]
    assert [d["DefinitionName"] for d in shown["TrainingJobDefinitions"]] == ["one", "two"]
    assert shown["TrainingJobDefinitions"][1]["TuningObjective"] == {"Type": "Minimize", "MetricName": "loss"}
    assert len(shown["TrainingJobDefinitions"][1]["HyperParameterRanges"]["ContinuousParameterRanges"]) == 1


def training_job(**changes: object) -> TrainingJob:
    job = TrainingJob("Mine-001-abcdef12", OWNER, job_file_training(), {"lr": "0.1"}, NOW, modified_at=NOW)
    return replace(job, **changes)


def test_a_job_files_training_job_has_all_that_sdks_read() -> None:
    tuned = {"tuning_job_id": 1, "tuning_job_name": "Mine", "objective_metric": "loss"}
    shown = describe_training_job(training_job(**tuned))
    assert shown["TuningJobArn"].endswith("hyper-parameter-tuning-job/mine")
    assert shown["OutputDataConfig"] == {"KmsKeyId": "", "S3OutputPath": "/results", "CompressionType": "GZIP"}
    assert shown["ModelArtifacts"] == {"S3ModelArtifacts": "/results/Mine-001-abcdef12/output/model.tar.gz"}
    assert {"InstanceType", "InstanceCount", "VolumeSizeInGB"} <= set(shown["ResourceConfig"])
    assert shown["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] is True
    assert [m["Name"] for m in shown["AlgorithmSpecification"]["MetricDefinitions"]] == ["loss", "ObjectiveMetric"]


def test_the_executors_model_is_where_the_model_is() -> None:
    assert describe_training_job(training_job(model_uri="file:///m.tar.gz"))["ModelArtifacts"] == {
        "S3ModelArtifacts": "file:///m.tar.gz"
    }
    plain = replace(job_file_training(), output=Output("s3://b/o/", "NONE"))
    folder = "s3://b/o/Mine-001-abcdef12/output/model"
    for found in (None, folder):
        shown = describe_training_job(training_job(spec=plain, model_uri=found))
        assert shown["ModelArtifacts"] == {"S3ModelArtifacts": f"{folder}/"}


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, 1), (1.4, 1), (1.6, 2), (3600.0, 3600)])
def test_training_time_is_whole_seconds_and_one_at_least(seconds: float, shown: int) -> None:
    done = training_job(status=TrainingJobStatus.COMPLETED, started_at=NOW, ended_at=NOW + seconds)
    found = describe_training_job(done)
    assert (found["TrainingTimeInSeconds"], found["BillableTimeInSeconds"]) == (shown, shown)


def test_a_job_that_never_started_has_no_times() -> None:
    failed = training_job(status=TrainingJobStatus.FAILED, secondary=SecondaryStatus.FAILED, ended_at=NOW + 1)
    found = describe_training_job(failed)
    assert not {"TrainingStartTime", "TrainingTimeInSeconds", "BillableTimeInSeconds"} & set(found)
    assert training_job_summary(failed)["TrainingEndTime"] == NOW + 1


def test_the_final_metrics_name_the_objective_once_more() -> None:
    metrics = {"loss": FinalMetric(0.5, NOW + 1.7), "other": FinalMetric(1.0, NOW)}
    shown = describe_training_job(training_job(final_metrics=metrics, objective_metric="loss", tuning_job_name="Mine"))
    assert shown["FinalMetricDataList"] == [
        {"MetricName": "loss", "Value": 0.5, "Timestamp": NOW + 1},
        {"MetricName": "other", "Value": 1.0, "Timestamp": NOW},
        {"MetricName": "ObjectiveMetric", "Value": 0.5, "Timestamp": NOW + 1},
    ]


def test_a_summary_names_the_family_only_where_it_is_another() -> None:
    assert "TuningJobName" not in tuned_job_summary(training_job(), "minimize")
    assert tuned_job_summary(training_job(), "minimize", "before")["TuningJobName"] == "before"


def test_an_own_objective_metric_definition_stays_as_it_is() -> None:
    given = [MetricDefinition("loss", "a(.)"), MetricDefinition("ObjectiveMetric", "b(.)")]
    assert metric_definitions(given, "loss") == [
        {"Name": "loss", "Regex": "a(.)"},
        {"Name": "ObjectiveMetric", "Regex": "b(.)"},
    ]


def test_a_grid_shows_the_number_it_worked_out() -> None:
    spec = tuning_spec(strategy=StrategyName.GRID, jobs=12)
    limits = tuning_job_members(spec, OWNER)["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits["MaxNumberOfTrainingJobs"] == 12


@pytest.mark.parametrize(
    ("region", "partition"), [("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("here", "aws")]
)
def test_arns_name_the_partition_and_are_in_lower_case(region: str, partition: str) -> None:
    owner = Owner("123456789012", region)
    arn = resource_arn(owner, "training-job", "MiXed-1")
    assert arn == f"arn:{partition}:sagemaker:{region}:123456789012:training-job/mixed-1"
    parsed = parse_arn(arn)
    assert (parsed.owner, parsed.kind, parsed.name) == (owner, "training-job", "mixed-1")


@pytest.mark.parametrize("text", ["", "arn:aws:s3:::bucket", "arn:aws:sagemaker:us-east-1:12:training-job/x", "x" * 300])
def test_what_is_no_arn_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="not an ARN"):
        parse_arn(text)


def test_members_without_a_value_are_absent_and_times_are_milliseconds() -> None:
    assert present({"a": None, "b": 0, "c": "", "d": []}) == {"b": 0, "c": "", "d": []}
    assert stamp(1.23456789) == 1.235
    assert tuning_job_arn(TuningJob(tuning_spec("UP"), OWNER, "", NOW)).endswith("/up")


def test_a_request_read_from_a_file_may_hold_nulls() -> None:
    request = tuning_request("nulls", WarmStartConfig=None, Tags=None)
    request["HyperParameterTuningJobConfig"]["ParameterRanges"]["CategoricalParameterRanges"] = None
    request["TrainingJobDefinition"] |= {"InputDataConfig": None, "Environment": None, "HyperParameterRanges": None}
    shown = tuning_job_members(spec_from_request(request), OWNER)
    assert "WarmStartConfig" not in shown
    assert shown["HyperParameterTuningJobConfig"]["ParameterRanges"]["CategoricalParameterRanges"] == []
    assert not {"InputDataConfig", "Environment", "HyperParameterRanges"} & set(shown["TrainingJobDefinition"])


def test_empty_lists_of_ranges_say_nothing() -> None:
    nothing = {"IntegerParameterRanges": [], "ContinuousParameterRanges": []}
    request = tuning_request("empty", TrainingJobDefinition=definition(HyperParameterRanges=nothing))
    assert [p.name for p in spec_from_request(request).definition.ranges] == ["lr", "layers"]
    config = request["HyperParameterTuningJobConfig"]
    inner = definition(
        DefinitionName="one",
        TuningObjective=config.pop("HyperParameterTuningJobObjective"),
        HyperParameterRanges=config.pop("ParameterRanges"),
    )
    several = {**request, "TrainingJobDefinitions": [inner]}
    del several["TrainingJobDefinition"]
    config["ParameterRanges"] = nothing
    assert [p.name for p in spec_from_request(several).definition.ranges] == ["lr", "layers"]


def test_a_resource_config_is_shown_whole_for_sdks_read_each_of_its_members() -> None:
    job = training_job_from_request(training_request("short", ResourceConfig={"InstanceType": "ml.m5.large"}), OWNER)
    shown = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
    assert describe_training_job(job)["ResourceConfig"] == shown


@pytest.mark.parametrize(
    ("preferred", "around", "count"), [({"InstanceCount": 3}, {}, 3), ({}, {"InstanceCount": 2}, 2), ({}, {}, 1)]
)
def test_the_first_instance_that_is_preferred_runs_and_is_shown(preferred: dict, around: dict, count: int) -> None:
    preferences = [{"InstanceType": "ml.m5.large", **preferred}, {"InstanceType": "ml.m5.xlarge", **preferred}]
    sent = {"VolumeSizeInGB": 7, "InstancePreferences": preferences, **around}
    job = training_job_from_request(training_request("preferred", ResourceConfig=sent), OWNER)
    assert job.spec.resources == Resources("ml.m5.large", count, 7)
    selected = {"SelectedInstanceType": "ml.m5.large", "SelectedInstanceCount": count}
    assert describe_training_job(job)["ResourceConfig"] == {**sent, **selected}
