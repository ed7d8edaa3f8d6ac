"""SageMaker's request from a JSON file."""

import json

import pytest

from rekindle.cli.request_file import spec_from_file
from rekindle.cli.source import load_source
from rekindle.domain.errors import RekindleError
from rekindle.domain.tuning_job import CompletionCriteria, Limits, Objective, StrategyName, WarmStart, WarmStartType
from rekindle.jobfile.json_reader import read_json
from rekindle.search.space import Categorical, Continuous, Integer


def request(**changes):
    config = {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "rmse"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 2, "MaxRuntimeInSeconds": 3600},
        "ParameterRanges": {
            "IntegerParameterRanges": [{"Name": "depth", "MinValue": "1", "MaxValue": "10"}],
            "ContinuousParameterRanges": [
                {"Name": "eta", "MinValue": "1e-3", "MaxValue": "0.5", "ScalingType": "Logarithmic"},
            ],
            "CategoricalParameterRanges": [{"Name": "k", "Values": ["1", '"a"']}],
        },
        "TrainingJobEarlyStoppingType": "Auto",
        "TuningJobCompletionCriteria": {
            "TargetObjectiveMetricValue": 1.5,
            "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 5},
        },
        "RandomSeed": 3,
    }
    definition = {
        "StaticHyperParameters": {"rounds": "100"},
        "AlgorithmSpecification": {
            "TrainingImage": "image:1",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "rmse", "Regex": "rmse=(.*)"}],
        },
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "InputDataConfig": [
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/train"}}},
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    whole = {
        "HyperParameterTuningJobName": "job-1",
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": definition,
        "WarmStartConfig": {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "job-0"}],
            "WarmStartType": "TransferLearning",
        },
        "Tags": [{"Key": "team", "Value": "x"}],
    }
    return whole | changes


def test_a_request_and_its_spec(tmp_path):
    (tmp_path / "request.json").write_text(json.dumps(request()))
    spec = load_source(str(tmp_path / "request.json")).spec
    definition = spec.definition
    assert spec.name == "job-1"
    assert spec.strategy is StrategyName.BAYESIAN
    assert spec.limits == Limits(20, 2, 3600)
    assert spec.early_stopping
    assert spec.completion == CompletionCriteria(1.5, 5)
    assert spec.random_seed == 3
    assert spec.warm_start == WarmStart(WarmStartType.TRANSFER, ("job-0",))
    assert spec.tags == {"team": "x"}
    assert definition.name is None
    assert definition.objective == Objective("rmse", "minimize")
    assert definition.ranges == (
        Integer("depth", 1, 10),
        Continuous("eta", 1e-3, 0.5, "Logarithmic"),
        Categorical("k", ["1", '"a"']),
    )
    assert definition.statics == {"rounds": "100"}
    assert definition.training.algorithm.image == "image:1"
    assert definition.training.max_runtime_seconds == 600
    assert definition.training.channels[0].uri == "s3://b/train"


def test_a_description_is_told_from_a_request():
    with pytest.raises(RekindleError, match="is what describe-hyper-parameter-tuning-job prints") as error:
        spec_from_file(request(HyperParameterTuningJobStatus="Completed", HyperParameterTuningJobArn="arn"))
    assert error.value.hint.startswith("`rekindle import` takes it with its results. To run it again keep only Hyper")


def test_a_number_is_read_from_its_text_only():
    ranges = {"ContinuousParameterRanges": [{"Name": "eta", "MinValue": "low", "MaxValue": "1"}]}
    config = request()["HyperParameterTuningJobConfig"] | {"ParameterRanges": ranges}
    with pytest.raises(RekindleError, match=r"eta.*'low'.*not a number"):
        spec_from_file(request(HyperParameterTuningJobConfig=config))


def test_unknown_members_are_found_deep_down():
    definition = request()["TrainingJobDefinition"]
    definition["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Url"] = "x"
    with pytest.raises(RekindleError) as error:
        spec_from_file(request(TrainingJobDefinition=definition))
    assert "TrainingJobDefinition.InputDataConfig.1.DataSource.S3DataSource.S3Url: unknown key" in error.value.message
    assert error.value.hint == "Did you mean 'S3Uri'?"


def test_names_that_people_choose_are_no_unknown_members():
    definition = request()["TrainingJobDefinition"] | {"StaticHyperParameters": {"anything": "1"}}
    assert spec_from_file(request(TrainingJobDefinition=definition)).definition.statics == {"anything": "1"}


def test_what_autotune_chooses_may_be_left_out():
    config = request()["HyperParameterTuningJobConfig"]
    del config["Strategy"], config["ResourceLimits"], config["TrainingJobEarlyStoppingType"]
    changes = {"HyperParameterTuningJobConfig": config, "WarmStartConfig": None}
    spec = spec_from_file(request(**changes, Autotune={"Mode": "Enabled"}))
    assert (spec.strategy, spec.limits, spec.early_stopping) == (StrategyName.BAYESIAN, Limits(30, 2), True)
    with pytest.raises(RekindleError, match=r"hyperParameterTuningJobConfig\.strategy"):
        spec_from_file(request(**changes))


def test_lists_in_lists_are_refused_however_deep_a_version_of_python_reads():
    for depth in (3_000, 50_000):
        with pytest.raises(RekindleError, match="nested too deep"):
            read_json(b'{"HyperParameterTuningJobName": ' + b"[" * depth + b"]" * depth + b"}")
