"""The table of errors: each kind of the domain's, in AWS's code and words."""

from __future__ import annotations

import pytest

from rekindle.api.errors import Code
from rekindle.api.translate.errors import MESSAGE_LIMIT, Context, api_error
from rekindle.api.translate.fields import wire_path
from rekindle.api.translate.part import Json
from rekindle.domain.errors import (
    InvalidValue,
    LimitExceeded,
    NameInUse,
    NotFound,
    RekindleError,
    Unsupported,
    WrongState,
)
from rekindle.domain.training_job import Owner

OWNER = Owner("123456789012", "eu-west-1")


def told(error: RekindleError, operation: str = "CreateHyperParameterTuningJob") -> tuple[Code, str]:
    found = api_error(error, Context(operation, OWNER))
    return found.code, found.message


CASES = [
    (InvalidValue("x", 1, "is odd", "Make it even."), "CreateTrainingJob", Code.VALIDATION, "x: 1: is odd. Make it even."),
    (
        InvalidValue("limits.jobs", None, "needed, unless limits.runtime ends the search", code="no-end"),
        "CreateHyperParameterTuningJob",
        Code.VALIDATION,
        "hyperParameterTuningJobConfig.resourceLimits.maxNumberOfTrainingJobs: needed, unless MaxRuntimeInSeconds ends"
        " the search",
    ),
    (NotFound("training job", "a"), "DescribeTrainingJob", Code.VALIDATION, "Requested resource not found."),
    (NotFound("training job", "a"), "StopTrainingJob", Code.VALIDATION, "Requested resource not found."),
    (NotFound("training job", "a"), "DeleteTrainingJob", Code.NOT_FOUND, "Requested resource not found."),
    (NotFound("training job", "a"), "UpdateTrainingJob", Code.NOT_FOUND, "Requested resource not found."),
    (NotFound("tuning job", "a"), "AddTags", Code.VALIDATION, "Requested resource not found."),
    (
        NotFound("tuning job", "a"),
        "StopHyperParameterTuningJob",
        Code.NOT_FOUND,
        "Amazon SageMaker can't find a tuning job called a. Type another name.",
    ),
    (
        NotFound("tuning job", "a"),
        "CreateHyperParameterTuningJob",
        Code.NOT_FOUND,
        "Amazon SageMaker can't find a tuning job called a. Type another name. It is named in "
        "warmStartConfig.parentHyperParameterTuningJobs.",
    ),
    (
        NameInUse("tuning job", "a"),
        "CreateHyperParameterTuningJob",
        Code.IN_USE,
        "A hyperparameter tuning job with the name, a, already exists. Choose a different name.",
    ),
    (
        NameInUse("training job", "Aa"),
        "CreateTrainingJob",
        Code.IN_USE,
        "Job name must be unique within an AWS account and region, and a job with this name already exists "
        "(arn:aws:sagemaker:eu-west-1:123456789012:training-job/aa)",
    ),
    (
        WrongState("training job", "a", "Stopped", "It is over."),
        "StopTrainingJob",
        Code.VALIDATION,
        "The request was rejected because the training job is in status Stopped.",
    ),
    (WrongState("tuning job", "a", "Completed", "It is over."), "StopHyperParameterTuningJob", Code.VALIDATION, "It is over."),
    (WrongState("training job", "a", "InProgress", "It runs."), "DeleteTrainingJob", Code.IN_USE, "It runs."),
    (Unsupported("not here.", "Go there."), "CreateTrainingJob", Code.VALIDATION, "not here. Go there."),
    *(
        (Unsupported(f"{field}: 'x': no: not here."), "CreateTrainingJob", Code.VALIDATION, f"{path}: 'x': no: not here.")
        for field, path in (
            ("image", "algorithmSpecification.trainingImage"),
            ("algorithm", "algorithmSpecification.algorithmName"),
            ("entrypoint", "algorithmSpecification.containerEntrypoint"),
            ("output.uri", "outputDataConfig.s3OutputPath"),
            ("checkpoints.uri", "checkpointConfig.s3Uri"),
            ("channels.train.uri", "inputDataConfig.train.dataSource.s3DataSource.s3Uri"),
            ("InputDataConfig.1.DataSource", "inputDataConfig.1.member.dataSource"),
        )
    ),
    (
        LimitExceeded("number of running tuning jobs", 2, 3, used=2),
        "CreateHyperParameterTuningJob",
        Code.LIMIT_EXCEEDED,
        "The account-level service limit 'Number of running tuning jobs' is 2 Running Tuning Jobs, with current utilization of "
        "2 Running Tuning Jobs and a request delta of 1 Running Tuning Jobs. Please use AWS Service Quotas to request an "
        "increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this "
        "quota. (In Rekindle: REKINDLE_LIMITS=relaxed.)",
    ),
    (
        InvalidValue("inputs", "s3://b/k", "x", code="no-input", role="r"),
        "CreateTrainingJob",
        Code.VALIDATION,
        'No S3 objects found under S3 URL "s3://b/k" given in input data source. Please ensure that the bucket exists in the '
        'selected region (eu-west-1), that objects exist under that S3 prefix, and that the role "r" has "s3:ListBucket" '
        'permissions on bucket "b".',
    ),
    (
        InvalidValue("inputs", "s3://[BUCKET]/k", "x", code="no-input"),
        "CreateTrainingJob",
        Code.VALIDATION,
        'No S3 objects found under S3 URL "s3://[BUCKET]/k" given in input data source. Please ensure that the bucket exists '
        'in the selected region (eu-west-1), that objects exist under that S3 prefix, and that the role "none" has '
        '"s3:ListBucket" permissions on bucket "[BUCKET]".',
    ),
    (
        InvalidValue("limits.jobs", 10, "x", code="too-few-combinations", combinations=3),
        "CreateHyperParameterTuningJob",
        Code.VALIDATION,
        "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter combinations for the "
        "provided ranges [3.0] must be equal or greater than the value of MaxNumberOfJobs, [10]. Provide additional ranges.",
    ),
]


@pytest.mark.parametrize(("error", "operation", "code", "message"), CASES)
def test_each_error_has_its_code_and_sentence(error: RekindleError, operation: str, code: Code, message: str) -> None:
    assert told(error, operation) == (code, message)


PARENTS = "warmStartConfig.parentHyperParameterTuningJobs"
PATHS = [
    ("limits.parallel", "hyperParameterTuningJobConfig.resourceLimits.maxParallelTrainingJobs"),
    ("limits.jobs", "hyperParameterTuningJobConfig.resourceLimits.maxNumberOfTrainingJobs"),
    ("limits.runtime", "hyperParameterTuningJobConfig.resourceLimits.maxRuntimeInSeconds"),
    ("ranges.My.Rate", "hyperParameterTuningJobConfig.parameterRanges.My.Rate"),
    ("definitions.One.ranges.lr", "trainingJobDefinitions.2.member.hyperParameterRanges.lr"),
    ("definitions.One.static.lr", "trainingJobDefinitions.2.member.staticHyperParameters.lr"),
    ("definitions.One.objective.metric", "trainingJobDefinitions.2.member.tuningObjective.metricName"),
    ("definitions.One.name", "trainingJobDefinitions.2.member.definitionName"),
    ("definitions.One.image", "trainingJobDefinitions.2.member.algorithmSpecification.trainingImage"),
    (
        "definitions.One.channels.a.uri.uri",
        "trainingJobDefinitions.2.member.inputDataConfig.a.uri.dataSource.s3DataSource.s3Uri",
    ),
    ("definitions", "trainingJobDefinitions"),
    ("static.lr", "trainingJobDefinition.staticHyperParameters.lr"),
    ("warm_start.parents", "warmStartConfig.parentHyperParameterTuningJobs"),
    ("warm_start.parents.before.environment", "trainingJobDefinition.environment"),
    ("warm_start.parents.before.ranges.lr", "hyperParameterTuningJobConfig.parameterRanges.lr"),
    ("warm_start.parents.before", f"{PARENTS}.2.member.hyperParameterTuningJobName"),
    ("warm_start.parents.Before.created_at", f"{PARENTS}.2.member.hyperParameterTuningJobName"),
    ("warm_start.parents.before.encrypted_traffic", "trainingJobDefinition.enableInterContainerTrafficEncryption"),
    ("warm_start.parents.before.retries", "trainingJobDefinition.retryStrategy.maximumRetryAttempts"),
    (
        "warm_start.parents.before.objective.goal",
        "hyperParameterTuningJobConfig.hyperParameterTuningJobObjective.type",
    ),
    (
        "warm_start.parents.before.hyperparameters",
        "trainingJobDefinition.staticHyperParameters, hyperParameterTuningJobConfig.parameterRanges",
    ),
    ("warm_start", "warmStartConfig.warmStartType"),
    ("seed", "hyperParameterTuningJobConfig.randomSeed"),
    ("next_token", "nextToken"),
    ("resources.instances", "trainingJobDefinition.resourceConfig.instanceCount"),
    ("resources.instance_type", "trainingJobDefinition.resourceConfig.instanceType"),
    ("TrainingJobDefinition.RoleArn", "trainingJobDefinition.roleArn"),
    ("channels.train.uri", "trainingJobDefinition.inputDataConfig.train.dataSource.s3DataSource.s3Uri"),
    ("channels.train.data_type", "trainingJobDefinition.inputDataConfig.train.dataSource.s3DataSource.s3DataType"),
    ("channels.train.input_mode", "trainingJobDefinition.inputDataConfig.train.inputMode"),
    ("image", "trainingJobDefinition.algorithmSpecification.trainingImage"),
    ("metrics.loss.regex", "trainingJobDefinition.algorithmSpecification.metricDefinitions.loss.regex"),
    ("hyperparameters.sagemaker_program", "trainingJobDefinition.staticHyperParameters.sagemaker_program"),
    ("environment.A.b", "trainingJobDefinition.environment.A.b"),
]
DEFINITIONS: Json = {
    "TrainingJobDefinitions": [
        {"DefinitionName": "Two"},
        {"DefinitionName": "One", "InputDataConfig": [{"ChannelName": "a"}, {"ChannelName": "a.uri"}]},
    ],
    "WarmStartConfig": {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name} for name in ("first", "before")],
    },
}


@pytest.mark.parametrize(("field", "path"), PATHS)
def test_fields_are_spelled_as_on_the_wire(field: str, path: str) -> None:
    assert wire_path(field, "CreateHyperParameterTuningJob", DEFINITIONS) == path


def test_ranges_objectives_and_resources_are_told_where_they_stand() -> None:
    inside: Json = {
        "HyperParameterRanges": {"IntegerParameterRanges": [{"Name": "n"}]},
        "TuningObjective": {"MetricName": "loss"},
        "HyperParameterTuningResourceConfig": {"InstanceConfigs": [{"InstanceType": "ml.m5.large"}]},
    }
    for request, where, ranges, objective, resources in (
        (
            {"TrainingJobDefinition": {"HyperParameterRanges": {"IntegerParameterRanges": []}}},
            "trainingJobDefinition",
            "hyperParameterTuningJobConfig.parameterRanges",
            "hyperParameterTuningJobConfig.hyperParameterTuningJobObjective",
            "trainingJobDefinition.resourceConfig",
        ),
        (
            {"TrainingJobDefinition": inside},
            "trainingJobDefinition",
            "trainingJobDefinition.hyperParameterRanges",
            "trainingJobDefinition.tuningObjective",
            "trainingJobDefinition.hyperParameterTuningResourceConfig.instanceConfigs.1.member",
        ),
    ):
        found = [wire_path(f, "", request) for f in ("ranges.n", "objective.metric", "resources.instances")]
        assert found == [f"{ranges}.n", f"{objective}.metricName", f"{resources}.instanceCount"]
        assert wire_path("output", "", request) == f"{where}.outputDataConfig.s3OutputPath"
    assert wire_path("hyperparameters.n", "CreateTrainingJob", {}) == "hyperParameters.n"


def test_a_message_is_bounded() -> None:
    _, message = told(InvalidValue("x", 1, "no " * 10_000))
    assert len(message) == MESSAGE_LIMIT
    assert message.endswith("...")
