"""What the service refuses, and in which words: AWS's own where they are known, else the field, the value and the rule."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rekindle.domain.errors import InvalidValue
from rekindle.domain.object_names import check_names
from rekindle.engine.ports import ClusterUnavailable
from rekindle.objects.s3 import S3Objects
from support.wire import IMAGE, ROLE, Json, Wire, changed, error_of, fresh, training_request, tuning_request, wire

CONFIG = "HyperParameterTuningJobConfig"
DEFINITION = "TrainingJobDefinition"
ALGORITHM = f"{DEFINITION}.AlgorithmSpecification"
LIMITS = f"{CONFIG}.ResourceLimits"
RANGES = f"{CONFIG}.ParameterRanges"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
LETTERS = {"CategoricalParameterRanges": [{"Name": "c", "Values": ["a", "b"]}]}
REVERSED = {"Name": "lr", "MinValue": "0", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"}
THREE = {"IntegerParameterRanges": [{"Name": "n", "MinValue": "1", "MaxValue": "3"}]}


def value_at(path: str, shown: str, constraint: str) -> str:
    return f"1 validation error detected: Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


#: (path, value, message): the constraint classes of the service model, each on a request that is right but for one member.
CONSTRAINTS = [
    (
        f"{DEFINITION}.AlgorithmSpecification.TrainingImage",
        "a" * 256,
        value_at(
            "trainingJobDefinition.algorithmSpecification.trainingImage",
            f"'{'a' * 256}'",
            "Member must have length less than or equal to 255",
        ),
    ),
    (
        "HyperParameterTuningJobName",
        "no_underscore",
        value_at(
            "hyperParameterTuningJobName",
            "'no_underscore'",
            "Member must satisfy regular expression pattern: ^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}",
        ),
    ),
    (
        "HyperParameterTuningJobName",
        None,
        value_at("hyperParameterTuningJobName", "null", "Member must not be null"),
    ),
    (CONFIG, None, value_at("hyperParameterTuningJobConfig", "null", "Member must not be null")),
    (
        f"{CONFIG}.Strategy",
        None,
        value_at("hyperParameterTuningJobConfig.strategy", "null", "Member must not be null"),
    ),
    (
        f"{CONFIG}.Strategy",
        "Guess",
        value_at(
            "hyperParameterTuningJobConfig.strategy",
            "'Guess'",
            "Member must satisfy enum value set: [Bayesian, Random, Hyperband, Grid]",
        ),
    ),
    (
        f"{LIMITS}.MaxParallelTrainingJobs",
        0,
        value_at(
            "hyperParameterTuningJobConfig.resourceLimits.maxParallelTrainingJobs",
            "'0'",
            "Member must have value greater than or equal to 1",
        ),
    ),
    (
        f"{LIMITS}.MaxRuntimeInSeconds",
        119,
        value_at(
            "hyperParameterTuningJobConfig.resourceLimits.maxRuntimeInSeconds",
            "'119'",
            "Member must have value greater than or equal to 120",
        ),
    ),
    (
        f"{LIMITS}.MaxRuntimeInSeconds",
        15768001,
        value_at(
            "hyperParameterTuningJobConfig.resourceLimits.maxRuntimeInSeconds",
            "'15768001'",
            "Member must have value less than or equal to 15768000",
        ),
    ),
    (
        f"{DEFINITION}.RoleArn",
        "arn:aws:iam::12:role/shorter-account",
        value_at(
            "trainingJobDefinition.roleArn",
            "'arn:aws:iam::12:role/shorter-account'",
            r"Member must satisfy regular expression pattern: ^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$",
        ),
    ),
    (
        f"{DEFINITION}.OutputDataConfig.S3OutputPath",
        "bucket/out",
        value_at(
            "trainingJobDefinition.outputDataConfig.s3OutputPath",
            "'bucket/out'",
            "Member must satisfy regular expression pattern: ^(https|s3)://([^/]+)/?(.*)$",
        ),
    ),
    (
        f"{DEFINITION}.RetryStrategy.MaximumRetryAttempts",
        31,
        value_at(
            "trainingJobDefinition.retryStrategy.maximumRetryAttempts",
            "'31'",
            "Member must have value less than or equal to 30",
        ),
    ),
    (
        "WarmStartConfig",
        {"ParentHyperParameterTuningJobs": [], "WarmStartType": "TransferLearning"},
        value_at(
            "warmStartConfig.parentHyperParameterTuningJobs",
            "'[]'",
            "Member must have length greater than or equal to 1",
        ),
    ),
    (
        f"{ALGORITHM}.MetricDefinitions.0.Regex",
        None,
        value_at(
            "trainingJobDefinition.algorithmSpecification.metricDefinitions.1.member.regex", "null", "Member must not be null"
        ),
    ),
    (
        f"{CONFIG}.TuningJobCompletionCriteria.BestObjectiveNotImproving.MaxNumberOfTrainingJobsNotImproving",
        2,
        value_at(
            "hyperParameterTuningJobConfig.tuningJobCompletionCriteria.bestObjectiveNotImproving."
            "maxNumberOfTrainingJobsNotImproving",
            "'2'",
            "Member must have value greater than or equal to 3",
        ),
    ),
    (
        f"{DEFINITION}.StaticHyperParameters",
        {"a": "x" * 2501},
        value_at(
            "trainingJobDefinition.staticHyperParameters",
            "'{a=" + "x" * 2501 + "}'",
            "Map value must satisfy constraint: [Member must have length less than or equal to 2500, Member must have length "
            "greater than or equal to 0, Member must satisfy regular expression pattern: .*]",
        ),
    ),
    (
        f"{DEFINITION}.Environment",
        {"1x": "y"},
        value_at(
            "trainingJobDefinition.environment",
            "'{1x=y}'",
            "Map keys must satisfy constraint: [Member must have length less than or equal to 512, Member must have length "
            "greater than or equal to 0, Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]",
        ),
    ),
    (
        f"{DEFINITION}.ResourceConfig.InstanceCount",
        -1,
        value_at(
            "trainingJobDefinition.resourceConfig.instanceCount", "'-1'", "Member must have value greater than or equal to 0"
        ),
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), CONSTRAINTS)
def test_constraints_of_the_model_have_amazons_sentence(sagemaker: Wire, path: str, value: Any, message: str) -> None:
    request = changed(tuning_request(), path, value)
    assert error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request) == ("ValidationException", message)


def test_all_broken_constraints_are_told_and_counted(sagemaker: Wire) -> None:
    request = changed(changed(tuning_request("bad_name"), f"{CONFIG}.Strategy", "Guess"), f"{DEFINITION}.RoleArn", None)
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert message.startswith("3 validation errors detected: Value 'bad_name' at 'hyperParameterTuningJobName' failed")
    assert message.count("; Value ") == 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{LIMITS}.MaxParallelTrainingJobs", "two"),
        (f"{DEFINITION}.RoleArn", ["a", "list"]),
        (f"{DEFINITION}.EnableNetworkIsolation", "yes"),
        (f"{LIMITS}.MaxNumberOfTrainingJobs", 2**40),
    ],
)
def test_another_type_is_a_serialization_error(sagemaker: Wire, path: str, value: Any) -> None:
    code, _ = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **changed(tuning_request(), path, value))
    assert code == "SerializationException"


@pytest.mark.parametrize(
    ("operation", "arguments", "path"),
    [
        ("list_hyper_parameter_tuning_jobs", {"MaxResults": 101}, "maxResults"),
        ("list_hyper_parameter_tuning_jobs", {"MaxResults": 0}, "maxResults"),
        ("list_hyper_parameter_tuning_jobs", {"SortBy": "Size"}, "sortBy"),
        ("list_hyper_parameter_tuning_jobs", {"SortOrder": "Up"}, "sortOrder"),
        ("list_hyper_parameter_tuning_jobs", {"StatusEquals": "Fine"}, "statusEquals"),
        ("list_hyper_parameter_tuning_jobs", {"NameContains": "_"}, "nameContains"),
        ("list_hyper_parameter_tuning_jobs", {"NextToken": "x" * 8193}, "nextToken"),
        ("list_training_jobs", {"SortBy": "FinalObjectiveMetricValue"}, "sortBy"),
        ("describe_training_job", {"TrainingJobName": "-a"}, "trainingJobName"),
        ("list_tags", {"ResourceArn": "not-an-arn"}, "resourceArn"),
        (
            "list_tags",
            {"ResourceArn": "arn:aws:sagemaker:us-east-1:111111111111:training-job/x", "MaxResults": 49},
            "maxResults",
        ),
        ("search", {"Resource": "Toaster"}, "resource"),
    ],
)
def test_other_operations_check_their_members_too(sagemaker: Wire, operation: str, arguments: Json, path: str) -> None:
    code, message = error_of(getattr(sagemaker.client, operation), **arguments)
    assert code == "ValidationException"
    assert message.startswith("1 validation error detected: Value ")
    assert f" at '{path}' failed to satisfy constraint: " in message


#: (path, value, what the message says): rules beyond the model, each on a request that is right but for one member.
RULES = [
    (
        f"{ALGORITHM}.MetricDefinitions",
        [],
        "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric definitions.",
    ),
    (
        f"{ALGORITHM}.MetricDefinitions",
        [{"Name": "other", "Regex": "(.*)"}],
        "in the metric definitions. (hyperParameterTuningJobConfig.hyperParameterTuningJobObjective.metricName: "
        "'loss': no metric of this name is defined; there is ['other']. Give the objective a regex that",
    ),
    (
        f"{ALGORITHM}.TrainingImage",
        XGBOOST,
        "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the request without "
        "specifying metric definitions.",
    ),
    (
        RANGES,
        THREE,
        "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter combinations for the "
        "provided ranges [3.0] must be equal or greater than the value of MaxNumberOfJobs, [4]. Provide additional ranges.",
    ),
    (
        RANGES,
        {**LETTERS, "IntegerParameterRanges": []},
        "provided ranges [2.0] must be equal or greater than the value of MaxNumberOfJobs, [4]",
    ),
    (f"{RANGES}.ContinuousParameterRanges.0.MinValue", "0", "parameterRanges.lr: 0.0: "),
    (f"{RANGES}.ContinuousParameterRanges.0.MinValue", "1", "parameterRanges.lr: "),
    (f"{RANGES}.ContinuousParameterRanges.0.MinValue", "tiny", "parameterRanges.lr.minValue: 'tiny': not a number"),
    (f"{RANGES}.ContinuousParameterRanges.0.MaxValue", "nan", "parameterRanges.lr"),
    (f"{RANGES}.ContinuousParameterRanges.0.MaxValue", "inf", "parameterRanges.lr"),
    (f"{RANGES}.ContinuousParameterRanges.0", REVERSED, "parameterRanges.lr: [0.0, 1.0]: reverse logarithmic scaling needs"),
    (f"{RANGES}.IntegerParameterRanges.0.ScalingType", "ReverseLogarithmic", "ReverseLogarithmic is for continuous ranges"),
    (f"{RANGES}.IntegerParameterRanges.0.MinValue", "1.5", "parameterRanges.layers: 1.5: an integer range needs whole numbers"),
    (f"{RANGES}.IntegerParameterRanges.0.MinValue", "9", "parameterRanges.layers"),
    (f"{RANGES}.IntegerParameterRanges.0.MinValue", "0x1", "not a number"),
    (f"{RANGES}.IntegerParameterRanges.0.MinValue", "1_0", "not a number"),
    (f"{RANGES}.ContinuousParameterRanges.0.MinValue", "\u0663", "not a number"),
    (f"{RANGES}.IntegerParameterRanges.0.Name", "lr", "parameterRanges.lr: 'lr': two parameters have this name"),
    (f"{RANGES}.IntegerParameterRanges.0.Name", "", "a hyperparameter's name has 1 to 256 characters"),
    (f"{RANGES}.CategoricalParameterRanges", [{"Name": "c", "Values": ["a", "a"]}], "c: 'a': the value is listed twice"),
    (RANGES, {}, "parameterRanges: {}: there is nothing to tune"),
    (f"{DEFINITION}.StaticHyperParameters", {"lr": "1"}, "staticHyperParameters.lr: '1': the name is tuned and static at once"),
    (
        f"{LIMITS}.MaxParallelTrainingJobs",
        5,
        "maxParallelTrainingJobs: 5: more in parallel than jobs in all (4)",
    ),
    (LIMITS, {"MaxParallelTrainingJobs": 1}, "resourceLimits.maxNumberOfTrainingJobs: needed"),
    (
        f"{CONFIG}.StrategyConfig",
        {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 3}},
        "hyperbandStrategyConfig: 'Random': goes with the Hyperband strategy only",
    ),
    (
        f"{CONFIG}.HyperParameterTuningJobObjective",
        None,
        "hyperParameterTuningJobConfig.hyperParameterTuningJobObjective: missing",
    ),
    (
        f"{DEFINITION}.TuningObjective",
        {"Type": "Maximize", "MetricName": "loss"},
        "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective is given too: exactly one of them",
    ),
    (
        f"{DEFINITION}.HyperParameterRanges",
        {"IntegerParameterRanges": [{"Name": "k", "MinValue": "1", "MaxValue": "9"}]},
        "HyperParameterTuningJobConfig.ParameterRanges is given too: exactly one of them",
    ),
    (DEFINITION, None, "exactly one of TrainingJobDefinition and TrainingJobDefinitions"),
    (f"{ALGORITHM}.TrainingImage", None, "exactly one of TrainingImage and AlgorithmName"),
    (f"{ALGORITHM}.AlgorithmName", "mine", "exactly one of TrainingImage and AlgorithmName"),
    (f"{ALGORITHM}.MetricDefinitions.0.Regex", "loss=[0-9]", "the pattern has no group"),
    (f"{ALGORITHM}.MetricDefinitions.0.Regex", "loss=(?=x)(.)", "the pattern cannot be run"),
    (
        f"{ALGORITHM}.MetricDefinitions",
        [{"Name": "loss", "Regex": "(a)"}, {"Name": "loss", "Regex": "(b)"}],
        "two metrics have this name",
    ),
    (
        f"{DEFINITION}.HyperParameterTuningResourceConfig",
        {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "exactly one of ResourceConfig and HyperParameterTuningResourceConfig",
    ),
    (f"{DEFINITION}.ResourceConfig", None, "exactly one of ResourceConfig and HyperParameterTuningResourceConfig"),
    ("Tags", [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}], "the key is there twice"),
    ("Tags", [{"Key": "aws:x", "Value": "1"}], "aws: prefixed tag key names are not allowed for external use."),
]


@pytest.mark.parametrize(("path", "value", "told"), RULES)
def test_rules_name_the_field_the_value_and_the_way_out(sagemaker: Wire, path: str, value: Any, told: str) -> None:
    request = changed(tuning_request(), path, value)
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert told in message
    name = request["HyperParameterTuningJobName"]
    assert error_of(sagemaker.client.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName=name)[0] == (
        "ResourceNotFound"
    )


#: What goes with the strategies, on a grid of letters.
STRATEGIES = [
    ({"Strategy": "Grid"}, "parameterRanges.layers: 'layers': grid search takes lists of values only"),
    ({"Strategy": "Grid", "ParameterRanges": LETTERS}, "resourceLimits.maxNumberOfTrainingJobs: 4: a grid runs each of its 2"),
    (
        {"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"},
        "EarlyStoppingType: 'Auto': Hyperband stops training jobs by its own rule. Set it to Off.",
    ),
    (
        {"Strategy": "Hyperband", "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 4, "MaxResource": 3}}},
        "hyperbandStrategyConfig.minResource: 4: must be from 1 to the largest resource, 3",
    ),
    (
        {"Strategy": "Hyperband", "StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 20001}}},
        "hyperbandStrategyConfig.maxResource: 20001: at most 20000",
    ),
]


@pytest.mark.parametrize(("config", "told"), STRATEGIES)
def test_each_strategy_has_its_rules(sagemaker: Wire, config: Json, told: str) -> None:
    request = tuning_request()
    request[CONFIG] = {**request[CONFIG], **config}
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert told in message


def test_hyperband_needs_to_know_its_largest_resource(sagemaker: Wire) -> None:
    request = changed(tuning_request(), f"{CONFIG}.Strategy", "Hyperband")
    request[DEFINITION]["StaticHyperParameters"] = {"epochs": "many"}
    expected = (
        "MaxResource parameter is not provided and could not be inferred from provided static hyperparameters of "
        "TrainingJobDefinition."
    )
    assert error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request) == ("ValidationException", expected)


@pytest.mark.parametrize(
    ("statics", "hyperband", "told"),
    [
        ({}, None, "static hyperparameters of TrainingJobDefinition. (trainingJobDefinitions.2.member.staticHyperParameters)"),
        (
            {"epochs": "30000"},
            None,
            "hyperbandStrategyConfig.maxResource: 30000: at most 20000; that is the epochs of the definition two",
        ),
        (
            {"epochs": "4"},
            {"MinResource": 5},
            "hyperbandStrategyConfig.minResource: 5: must be from 1 to the largest resource, 4; that is the epochs of the "
            "definition two",
        ),
        ({"epochs": "4"}, {"MinResource": 5, "MaxResource": 4}, "must be from 1 to the largest resource, 4"),
    ],
)
def test_hyperband_says_which_definition_has_no_resource_to_go_by(
    sagemaker: Wire, statics: dict[str, str], hyperband: dict[str, int] | None, told: str
) -> None:
    request = tuning_request()
    part, config = request.pop(DEFINITION), request[CONFIG]
    config["Strategy"] = "Hyperband"
    if hyperband is not None:
        config["StrategyConfig"] = {"HyperbandStrategyConfig": hyperband}
    objective, ranges = config.pop("HyperParameterTuningJobObjective"), config.pop("ParameterRanges")
    named = {**part, "TuningObjective": objective, "HyperParameterRanges": ranges}
    request["TrainingJobDefinitions"] = [
        {**named, "DefinitionName": "one", "StaticHyperParameters": {"epochs": "9"}},
        {**named, "DefinitionName": "two", "StaticHyperParameters": statics},
    ]
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert (code, message[-len(told) :]) == ("ValidationException", told)


def test_a_grid_counts_itself(sagemaker: Wire) -> None:
    request = tuning_request(parallel=1)
    request[CONFIG] |= {"Strategy": "Grid", "ParameterRanges": {"CategoricalParameterRanges": [
        {"Name": "lr", "Values": ["0.1", "0.01"]}, {"Name": "layers", "Values": ["1", "2", "3"]}]}}  # fmt: skip
    del request[CONFIG]["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    name = sagemaker.create(request=request)
    shown = sagemaker.finish(name)
    assert shown[CONFIG]["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 1}
    assert shown["TrainingJobStatusCounters"]["Completed"] == 6
    tried = {tuple(sorted(t["TunedHyperParameters"].items())) for t in sagemaker.trials(name)}
    assert len(tried) == 6


#: Limits of the structure: (path, value, the limit's name, the field and what it asks for).
STRUCTURE = [
    (
        f"{DEFINITION}.StaticHyperParameters",
        {f"s{i}": "1" for i in range(98)},
        "Number of hyperparameters, static, tuned and _tuning_objective_metric",
        "trainingJobDefinition.staticHyperParameters: 101",
    ),
    (
        f"{RANGES}.CategoricalParameterRanges",
        [{"Name": f"c{i}", "Values": ["a", "b"]} for i in range(30)],
        "Number of tunable hyperparameters",
        "hyperParameterTuningJobConfig.parameterRanges: 32",
    ),
    (
        f"{DEFINITION}.ResourceConfig",
        {"InstanceType": "ml.m5.large", "InstanceCount": 101, "VolumeSizeInGB": 1},
        "Number of instances of a training job",
        "trainingJobDefinition.resourceConfig.instanceCount: 101",
    ),
]


@pytest.mark.parametrize(("path", "value", "limit", "asked"), STRUCTURE)
def test_limits_of_the_structure_are_resource_limits(sagemaker: Wire, path: str, value: Any, limit: str, asked: str) -> None:
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **changed(tuning_request(), path, value))
    assert code == "ResourceLimitExceeded"
    assert message.startswith(f"The account-level service limit '{limit}' is ")
    assert message.endswith(f"(In Rekindle: {asked}; this limit is fixed.)")


def test_a_grid_beyond_its_limit_is_refused(sagemaker: Wire) -> None:
    request = changed(tuning_request(), f"{CONFIG}.Strategy", "Grid")
    values = [str(i) for i in range(28)]
    grid = [{"Name": "a", "Values": values}, {"Name": "b", "Values": values}]
    request[CONFIG]["ParameterRanges"] = {"CategoricalParameterRanges": grid}
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ResourceLimitExceeded"
    assert "is 750 Combinations, with current utilization of 0 Combinations and a request delta of 784" in message
    # Whether or not a number of training jobs is given: it is the lists that are too long.
    del request[CONFIG]["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ResourceLimitExceeded"
    assert "'Number of combinations of a grid'" in message
    assert (
        "(In Rekindle: hyperParameterTuningJobConfig.parameterRanges: 784; this limit is fixed. Shorten the lists of values"
        in message
    )


# --- warm start --------------------------------------------------------------------------------------------------------

NAMES = (
    "The set of tunable plus static HyperParameter names is not the same across current and parent tuning jobs. Please ensure "
    "this set is constant when warm starting. Note that previously static HyperParameters can be tuned in warm start jobs and "
    "vice versa."
)
FIELDS = (
    "Only the following fields in TrainingJobDefinition are allowed to change: [algorithmSpecification, inputDataConfig, "
    "outputDataConfig, staticHyperParameters, roleArn, resourceConfig, stoppingCondition, vpcConfig, "
    "enableManagedSpotTraining, checkpointConfig]."
)


@pytest.fixture(scope="module")
def parent(sagemaker: Wire) -> str:
    """A tuning job that has ended."""
    request = tuning_request(fresh("Parent"), jobs=1, parallel=1)
    request[DEFINITION]["StaticHyperParameters"] = {"epochs": "3", **{f"s{i}": "x" for i in range(6)}}
    request[CONFIG]["ParameterRanges"]["CategoricalParameterRanges"] = [{"Name": "c", "Values": ["a", "b"]}]
    name = sagemaker.create(request=request)
    sagemaker.finish(name)
    return name


def child(parent: str, **changes: Any) -> Json:
    request = tuning_request(jobs=1, parallel=1)
    request[DEFINITION]["StaticHyperParameters"] = {"epochs": "3", **{f"s{i}": "x" for i in range(6)}}
    request[CONFIG]["ParameterRanges"]["CategoricalParameterRanges"] = [{"Name": "c", "Values": ["a", "b"]}]
    parents = [{"HyperParameterTuningJobName": parent}]
    config = {"ParentHyperParameterTuningJobs": parents, "WarmStartType": "IdenticalDataAndAlgorithm"}
    return {**request, "WarmStartConfig": config, **changes}


STATICS = {"epochs": "3", **{f"s{i}": "x" for i in range(6)}}
WARM_STARTS = [
    (f"{DEFINITION}.StaticHyperParameters", {**STATICS, "more": "1"}, f"{NAMES} (", "not in the parent: ['more']"),
    (f"{DEFINITION}.StaticHyperParameters", {"epochs": "3"}, f"{NAMES} (", "missing here: ['s0'"),
    (f"{DEFINITION}.Environment", {"A": "1"}, f"{FIELDS} (", "environment: {'A': '1'}: the parent has {}"),
    (f"{DEFINITION}.RetryStrategy", {"MaximumRetryAttempts": 2}, f"{FIELDS} (", "retryStrategy.maximumRetryAttempts: 2: "),
    (f"{DEFINITION}.EnableNetworkIsolation", True, f"{FIELDS} (", "enableNetworkIsolation: True: the parent has False"),
    (
        f"{DEFINITION}.EnableInterContainerTrafficEncryption",
        True,
        f"{FIELDS} (",
        "enableInterContainerTrafficEncryption: True",
    ),
    (
        f"{DEFINITION}.StaticHyperParameters",
        {"epochs": "3", **{f"s{i}": "y" for i in range(6)}},
        "trainingJobDefinition.staticHyperParameters, hyperParameterTuningJobConfig.parameterRanges: ",
        "at most 10 changes count from the parent: s0: static 'x' -> static 'y' (2)",
    ),
    (
        f"{CONFIG}.HyperParameterTuningJobObjective.Type",
        "Maximize",
        "hyperParameterTuningJobConfig.hyperParameterTuningJobObjective.type: 'Maximize': ",
        "the parent's objective has the type 'Minimize'; it must be the same (the parent is ",
    ),
    (f"{CONFIG}.Strategy", "Grid", "", ""),
    (
        RANGES,
        {
            "ContinuousParameterRanges": [{"Name": "layers", "MinValue": "1", "MaxValue": "5"}],
            "IntegerParameterRanges": [{"Name": "lr", "MinValue": "1", "MaxValue": "5"}],
            "CategoricalParameterRanges": [{"Name": "c", "Values": ["a", "b"]}],
        },
        "hyperParameterTuningJobConfig.parameterRanges.",
        "the type must stay the same (the parent is ",
    ),
]


@pytest.mark.parametrize(("path", "value", "start", "detail"), WARM_STARTS)
def test_warm_start_refuses_with_amazons_sentence_and_our_detail(
    sagemaker: Wire, parent: str, path: str, value: Any, start: str, detail: str
) -> None:
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **changed(child(parent), path, value))
    assert code == "ValidationException"
    assert message.startswith(start)
    assert detail in message
    if start.endswith("("):
        assert parent in message


def test_the_objective_metric_must_be_the_parents(sagemaker: Wire, parent: str) -> None:
    request = changed(child(parent), f"{CONFIG}.HyperParameterTuningJobObjective.MetricName", "other")
    request[DEFINITION]["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "other", "Regex": "(x)"}]
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert "the parent's objective is 'loss'; it must be the same metric" in message


def test_parents_must_be_there_and_have_ended(sagemaker: Wire, parent: str) -> None:
    create = sagemaker.client.create_hyper_parameter_tuning_job
    code, message = error_of(create, **child("nobody"))
    assert code == "ResourceNotFound"
    assert message.startswith("Amazon SageMaker can't find a tuning job called nobody. Type another name.")
    running = sagemaker.create(request=child(parent))
    code, message = error_of(create, **child(running))
    assert code == "ValidationException"
    assert "'InProgress': a parent must have ended (Completed, Stopped or Failed)" in message
    sagemaker.finish(running)


@pytest.mark.parametrize("repeated", [True, False])
def test_parents_are_distinct_and_not_the_job_itself(sagemaker: Wire, parent: str, repeated: bool) -> None:
    request = child(parent)
    other = parent.upper() if repeated else request["HyperParameterTuningJobName"]
    request["WarmStartConfig"]["ParentHyperParameterTuningJobs"].append({"HyperParameterTuningJobName": other})
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert ("named twice" if repeated else "its own parent") in message


def test_warm_start_takes_one_definition_and_several_are_told_apart_and_compared(sagemaker: Wire, parent: str) -> None:
    request = child(parent)
    part, config = request.pop(DEFINITION), request[CONFIG]
    named = {
        **part,
        "DefinitionName": "one",
        "TuningObjective": config.pop("HyperParameterTuningJobObjective"),
        "HyperParameterRanges": config.pop("ParameterRanges"),
    }
    request["TrainingJobDefinitions"] = [named]
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert "a single training job definition only" in message
    again = deepcopy(named)
    request = {**request, "TrainingJobDefinitions": [named, again]}
    del request["WarmStartConfig"]
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert "two definitions have this name" in message
    again |= {"DefinitionName": "two", "TuningObjective": {**again["TuningObjective"], "Type": "Maximize"}}
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ValidationException"
    assert message == (
        "trainingJobDefinitions.2.member.tuningObjective.type: 'Maximize': the objective of one has the type 'Minimize'; it"
        " must be the same"
    )


# --- training jobs -----------------------------------------------------------------------------------------------------

GROUP = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
CHANNEL = {
    "ChannelName": "train",
    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/train"}},
}
FILE_SYSTEM = {
    "FileSystemId": "fs-0123456789abcdef0",
    "FileSystemAccessMode": "ro",
    "FileSystemType": "EFS",
    "DirectoryPath": "/train",
}

TRAINING = [
    ("ResourceConfig", None, "resourceConfig: missing: it says on what to run"),
    ("ResourceConfig.InstanceCount", 0, "resourceConfig.instanceCount: 0: at least 1"),
    (
        "ResourceConfig",
        {"VolumeSizeInGB": 1, "InstanceGroups": [{**GROUP, "InstanceGroupName": "a"}, {**GROUP, "InstanceGroupName": "b"}]},
        "resourceConfig.instanceGroups: 2: one group of instances at most",
    ),
    (
        "ResourceConfig",
        {"VolumeSizeInGB": 1, "InstanceGroups": [{**GROUP, "InstanceGroupName": "a", "InstanceCount": 0}]},
        "resourceConfig.instanceGroups.1.member.instanceCount: 0: at least 1",
    ),
    (
        "ResourceConfig",
        {**GROUP, "VolumeSizeInGB": 1, "InstanceGroups": [{**GROUP, "InstanceGroupName": "a"}]},
        "resourceConfig.instanceGroups: 'ml.m5.large': either InstanceType or InstanceGroups",
    ),
    (
        "ResourceConfig",
        {"InstanceCount": 2, "VolumeSizeInGB": 1, "InstanceGroups": [{**GROUP, "InstanceGroupName": "a"}]},
        "resourceConfig.instanceGroups: 2: either InstanceCount or InstanceGroups",
    ),
    (
        "ResourceConfig",
        {"InstanceCount": 2, "VolumeSizeInGB": 1, "InstancePreferences": [GROUP]},
        "resourceConfig.instancePreferences: 2: either InstanceCount or InstancePreferences",
    ),
    (
        "ResourceConfig",
        {"VolumeSizeInGB": 1, "InstanceGroups": [{**GROUP, "InstanceGroupName": "a"}], "InstancePreferences": [GROUP]},
        "either InstancePreferences or InstanceGroups",
    ),
    ("InputDataConfig", [CHANNEL, {**CHANNEL}], "inputDataConfig: 'train': two channels have this name"),
    ("AlgorithmSpecification", None, "exactly one of TrainingImage and AlgorithmName"),
    ("HyperParameters", {"": "x"}, "a hyperparameter's name has 1 to 256 characters"),
    ("AlgorithmSpecification.TrainingImage", XGBOOST, "You can't override the metric definitions for Amazon SageMaker"),
    ("AlgorithmSpecification.MetricDefinitions.0.Regex", "no group", "the pattern has no group"),
    (
        "InputDataConfig",
        [{"ChannelName": "a", "DataSource": {}}],
        "only S3DataSource is available. Copy the data into a bucket",
    ),
    (
        "InputDataConfig",
        [{**CHANNEL, "DataSource": {**CHANNEL["DataSource"], "FileSystemDataSource": FILE_SYSTEM}}],
        "inputDataConfig.1.member.dataSource: channel 'train': only S3DataSource is available",
    ),
    (
        "ServerlessJobConfig",
        {"JobType": "FineTuning", "BaseModelArn": "arn:aws:sagemaker:us-east-1:aws:hub-content/Hub/Model/llama/1.0.0"},
        "serverlessJobConfig: serverless training customizes a model of AWS's, and runs there only. Train by an image",
    ),
]


@pytest.mark.parametrize(("path", "value", "told"), TRAINING)
def test_training_jobs_have_rules_too(sagemaker: Wire, path: str, value: Any, told: str) -> None:
    code, message = error_of(sagemaker.client.create_training_job, **changed(training_request(), path, value))
    assert code == "ValidationException"
    assert told in message


class OneBucket:
    """An object store that has one prefix only."""

    def check(self, uri: str) -> None:
        if not uri.startswith("s3://bucket/there"):
            raise InvalidValue("uri", uri, "nothing is there")

    def check_target(self, uri: str) -> None:
        if not uri.startswith("s3://bucket/"):
            raise InvalidValue("uri", uri, "The specified bucket does not exist")


def test_inputs_are_looked_for_at_creation() -> None:
    def channels(uri: str) -> list[Json]:
        source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
        return [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]

    expected = (
        'No S3 objects found under S3 URL "s3://other/data" given in input data source. Please ensure that the bucket exists '
        "in the selected region (us-east-1), that objects exist under that S3 prefix, and that the role "
        f'"{ROLE}" has "s3:ListBucket" permissions on bucket "other".'
    )
    with wire(objects=OneBucket()) as service:  # type: ignore[arg-type]
        request = tuning_request()
        request[DEFINITION]["InputDataConfig"] = channels("s3://other/data")
        assert error_of(service.client.create_hyper_parameter_tuning_job, **request) == ("ValidationException", expected)
        direct = training_request(InputDataConfig=channels("s3://other/data"))
        assert error_of(service.client.create_training_job, **direct) == ("ValidationException", expected)
        request[DEFINITION]["InputDataConfig"] = channels("s3://bucket/there/data")
        service.create(request=request)


@pytest.mark.parametrize("quoted", [False, True])
def test_the_archive_of_a_script_is_looked_for_at_creation(quoted: bool) -> None:
    def sent(uri: str) -> dict[str, str]:
        return {"sagemaker_program": "train.py", "sagemaker_submit_directory": f'"{uri}"' if quoted else uri}

    with wire(objects=Listed()) as service:  # type: ignore[arg-type]
        request = tuning_request()
        request[DEFINITION]["StaticHyperParameters"] = sent("s3://bucket/none.tar.gz")
        code, message = error_of(service.client.create_hyper_parameter_tuning_job, **request)
        assert (code, message) == (
            "ValidationException",
            "trainingJobDefinition.staticHyperParameters.sagemaker_submit_directory: 's3://bucket/none.tar.gz': there is no "
            "such object. Upload the script's archive first.",
        )
        direct = training_request(HyperParameters=sent("s3://bucket/none.tar.gz"))
        assert "hyperParameters.sagemaker_submit_directory" in error_of(service.client.create_training_job, **direct)[1]
        request[DEFINITION]["StaticHyperParameters"] = sent("s3://bucket/data/a")
        service.create(request=request)


@pytest.mark.parametrize(
    ("member", "sent", "path"),
    [
        ("OutputDataConfig", {"S3OutputPath": "s3://none/x"}, "outputDataConfig.s3OutputPath"),
        ("CheckpointConfig", {"S3Uri": "s3://none/x"}, "checkpointConfig.s3Uri"),
    ],
)
def test_a_bucket_for_results_is_looked_for_at_creation(member: str, sent: Json, path: str) -> None:
    told = f"{path}: 's3://none/x': The specified bucket does not exist. Create the bucket first, or name another."
    with wire(objects=OneBucket()) as service:  # type: ignore[arg-type]
        direct = training_request(**{member: sent})
        assert error_of(service.client.create_training_job, **direct) == ("ValidationException", told)
        tuning = changed(tuning_request(), f"{DEFINITION}.{member}", sent)
        code, message = error_of(service.client.create_hyper_parameter_tuning_job, **tuning)
        assert (code, message) == ("ValidationException", f"trainingJobDefinition.{told}")
        service.client.create_training_job(**changed(direct, member, dict.fromkeys(sent, "s3://bucket/x")))


PATH, HOST = "https://s3-us-west-2.amazonaws.com/bucket", "https://bucket.s3.us-west-2.amazonaws.com"


@pytest.mark.parametrize("bucket", [PATH, HOST, "https://s3.amazonaws.com/bucket", "https://bucket.s3.amazonaws.com"])
def test_an_address_at_amazons_s3_is_the_object_that_it_names(bucket: str) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{bucket}/there/data/", "S3DataDistributionType": "FullyReplicated"}
    request = training_request(
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": f"{bucket}/out"},
        CheckpointConfig={"S3Uri": f"{bucket}/checkpoints/"},
    )
    name = request["TrainingJobName"]
    with wire(objects=OneBucket()) as service:  # type: ignore[arg-type]
        service.client.create_training_job(**request)
        shown = service.describe_training(name)
        assert shown["ModelArtifacts"] == {"S3ModelArtifacts": f"s3://bucket/out/{name}/output/model.tar.gz"}
        tuning = changed(tuning_request(), f"{DEFINITION}.InputDataConfig", request["InputDataConfig"])
        service.create(request=changed(tuning, f"{DEFINITION}.OutputDataConfig", request["OutputDataConfig"]))
        elsewhere = {"S3OutputPath": "https://example.com/bucket/out"}
        code, told = error_of(service.client.create_training_job, **training_request(OutputDataConfig=elsewhere))
    assert code == "ValidationException"
    assert told.startswith("outputDataConfig.s3OutputPath: 'https://example.com/bucket/out'")


class Crowded(OneBucket):
    """An object store whose objects cannot all be files of one folder."""

    def check(self, uri: str) -> None:
        check_names(["a", "a/b"], uri)


def test_inputs_that_cannot_be_files_of_one_folder_are_refused_at_creation() -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/x", "S3DataDistributionType": "FullyReplicated"}
    channels = [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]
    with wire(objects=Crowded()) as service:  # type: ignore[arg-type]
        code, told = error_of(service.client.create_training_job, **training_request(InputDataConfig=channels))
    assert code == "ValidationException"
    assert told.startswith("inputDataConfig.train: 's3://bucket/x': the object 'a/b' cannot be a file beside the others")


def test_who_names_an_object_store_that_does_not_answer_is_told_which() -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/x", "S3DataDistributionType": "FullyReplicated"}
    channels = [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]
    retries = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    away = S3Objects(endpoint_url="http://127.0.0.1:1", config=retries, **keys)
    with wire(objects=away) as service:
        direct, tuning = training_request(InputDataConfig=channels), tuning_request()
        tuning[DEFINITION]["InputDataConfig"] = channels
        for call, request in (
            (service.client.create_training_job, direct),
            (service.client.create_hyper_parameter_tuning_job, tuning),
        ):
            with pytest.raises(ClientError) as refused:
                call(**request)
            told = {
                "Code": "ServiceUnavailable",
                "Message": "s3://bucket/x: the object store does not answer. Please try again.",
            }
            assert refused.value.response["Error"] == told


def test_a_cluster_that_is_away_is_told_but_not_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*_: object) -> None:
        raise ClusterUnavailable("http://head:8265: refused")

    with wire() as service:
        monkeypatch.setattr(service.engine.executor, "check", check)
        with pytest.raises(ClientError) as refused:
            service.client.create_training_job(**training_request())
    told = "The cluster on which training jobs run cannot be reached; the server's log says why. Please try again."
    assert refused.value.response["Error"] == {"Code": "ServiceUnavailable", "Message": told}


class Listed(OneBucket):
    """An object store that has one manifest and the objects ``a`` and ``b``."""

    content = b'[{"prefix": "s3://bucket/data/"}, "a", "b"]'

    def has(self, uri: str) -> bool:
        if uri.startswith("s3://elsewhere/"):
            raise InvalidValue("uri", uri, "The specified bucket does not exist")
        return uri in ("s3://bucket/data/a", "s3://bucket/data/b")

    def read(self, uri: str, limit: int) -> bytes:
        if uri != "s3://bucket/list.json":
            raise InvalidValue("uri", uri, "there is no such object")
        return self.content


def manifest(uri: str) -> list[Json]:
    source = {"S3DataType": "ManifestFile", "S3Uri": uri, "S3DataDistributionType": "ShardedByS3Key"}
    return [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a,b", "not a manifest: it is no JSON document"),
        (b'["s3://bucket/data/a"]', "not a manifest: its first element is not of the form"),
        (b'[{"prefix": "s3://bucket/data/"}]', "not a manifest: it lists no object"),
        (b'[{"prefix": "s3://bucket/data/"}, "a", 7]', "not a manifest: element 3 is not the name of an object"),
        (b'[{"prefix": "s3://bucket/data/"}, "../a"]', "has a name that is no path of a file"),
        (b'[{"prefix": "s3://elsewhere/"}, "a"]', "'s3://elsewhere/a', which it lists: The specified bucket does not exist"),
        (b'[{"prefix": "s3://bucket/data/"}, "a", "c"]', "there is no object 's3://bucket/data/c', which it lists"),
    ],
)
def test_a_manifest_is_read_at_creation(content: bytes, told: str) -> None:
    objects = Listed()
    with wire(objects=objects) as service:  # type: ignore[arg-type]
        request = training_request(InputDataConfig=manifest("s3://bucket/list.json"))
        service.client.create_training_job(**request)
        shown = service.describe_training(request["TrainingJobName"])
        assert shown["InputDataConfig"][0]["DataSource"] == request["InputDataConfig"][0]["DataSource"]
        objects.content = content
        again = training_request(InputDataConfig=manifest("s3://bucket/list.json"))
        code, message = error_of(service.client.create_training_job, **again)
        assert code == "ValidationException"
        assert told in message
        assert message.startswith("inputDataConfig.train: 's3://bucket/list.json': ")
        missing = training_request(InputDataConfig=manifest("s3://bucket/none.json"))
        assert (
            'No S3 objects found under S3 URL "s3://bucket/none.json"'
            in error_of(service.client.create_training_job, **missing)[1]
        )


def boosting_request(**config: Any) -> Json:
    """A tuning job with SageMaker's XGBoost."""
    request = changed(tuning_request(), f"{ALGORITHM}.TrainingImage", XGBOOST)
    del request[DEFINITION]["AlgorithmSpecification"]["MetricDefinitions"]
    request[DEFINITION]["StaticHyperParameters"] = {"num_round": "10", "objective": "reg:squarederror"}
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data", "S3DataDistributionType": "FullyReplicated"}
    request[DEFINITION]["InputDataConfig"] = [
        {"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
        for name in ("train", "validation")
    ]
    request[CONFIG]["HyperParameterTuningJobObjective"] = {"Type": "Minimize", "MetricName": "validation:rmse"}
    request[CONFIG]["ParameterRanges"] = {
        "ContinuousParameterRanges": [{"Name": "eta", "MinValue": "0.1", "MaxValue": "0.5"}],
        "IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "1", "MaxValue": "10"}],
    }
    request[CONFIG].update(config)
    return request


def test_built_in_images_bring_their_metrics(sagemaker: Wire) -> None:
    request = boosting_request()
    name = sagemaker.create(request=request)
    metrics = sagemaker.describe(name)[DEFINITION]["AlgorithmSpecification"]["MetricDefinitions"]
    assert len(metrics) == 38
    regex = r".*\[[0-9]+\].*#011validation-rmse:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*"
    assert {"Name": "validation:rmse", "Regex": regex} in metrics
    assert metrics[-1] == {"Name": "ObjectiveMetric", "Regex": regex}
    again = changed(request, f"{ALGORITHM}.MetricDefinitions", metrics)
    sagemaker.create(request={**again, "HyperParameterTuningJobName": fresh()})
    plain = changed(request, f"{ALGORITHM}.TrainingImage", IMAGE)
    code, _ = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **{**plain, "HyperParameterTuningJobName": fresh()})
    assert code == "ValidationException"


STATICS = f"{DEFINITION}.StaticHyperParameters"
CHANNELS = f"{DEFINITION}.InputDataConfig"
#: (path, value, what the message says) of a tuning job with built-in XGBoost.
BOOSTING = [
    (f"{STATICS}.num_round", None, "Missing required hyperparameter: num_round"),
    (f"{STATICS}.num_round", "ten", "staticHyperParameters.num_round: 'ten': Hyperparameter num_round: could not parse value"),
    (f"{STATICS}.num_round", "1" + "0" * 400, "Hyperparameter num_round: could not parse value"),
    (f"{STATICS}.num_round", "0", "Hyperparameter num_round: 0 is not in [1, +inf)"),
    (f"{STATICS}.subsample", "0", "Hyperparameter subsample: 0.0 is not in (0, 1]"),
    (f"{STATICS}.trees", "3", "Extraneous hyperparameter found: trees"),
    (f"{STATICS}.objective", "reg:cubederror", "Hyperparameter objective: reg:cubederror is not in ['binary:logistic'"),
    (f"{STATICS}.objective", "multi:softmax", "Require input for parameter 'num_class' for multi-classification"),
    (f"{STATICS}._kfold", "5", "Hyperparameter _kfold is not available here: a training job trains one model"),
    (f"{STATICS}.eval_metric", "rmse,auc", "Metric 'auc' can only be applied for classification and ranking problems."),
    (
        f"{RANGES}.ContinuousParameterRanges.0.MaxValue",
        "1.5",
        "parameterRanges.eta: [0.1, 1.5]: Hyperparameter eta: 1.5 is not in",
    ),
    (f"{RANGES}.ContinuousParameterRanges.0.Name", "max_leaves", "Hyperparameter max_leaves takes a range of the type integer"),
    (f"{RANGES}.ContinuousParameterRanges.0.Name", "learning", "parameterRanges.learning"),
    (
        f"{CONFIG}.HyperParameterTuningJobObjective.MetricName",
        "validation:auc",
        "metricName: 'validation:auc': Metric 'auc' can only",
    ),
    (
        f"{CONFIG}.HyperParameterTuningJobObjective.MetricName",
        "validation:gini",
        "metricName: 'validation:gini': xgboost has no metric of this name. Its metrics are validation:accuracy, ",
    ),
    (f"{CHANNELS}.0.ChannelName", "training", "Missing required channel: train"),
    (f"{CHANNELS}.1.ChannelName", "test", "Extraneous channel found: test"),
    (
        CHANNELS,
        boosting_request()[DEFINITION]["InputDataConfig"][:1],
        "validation:rmse is computed on the channel 'validation', and there is none",
    ),
    (f"{CHANNELS}.0.ContentType", "text/json", "text/json is not an accepted ContentType: csv, libsvm, parquet"),
    (f"{CHANNELS}.0.ContentType", "text/csv; label_size=2", "Optional parameter label_size must be equal to 1"),
]


@pytest.mark.parametrize(("path", "value", "told"), BOOSTING)
def test_what_built_in_xgboost_would_fail_on_is_refused_at_creation(sagemaker: Wire, path: str, value: Any, told: str) -> None:
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **changed(boosting_request(), path, value))
    assert code == "ValidationException"
    assert told in message


def test_what_built_in_xgboost_takes_is_accepted(sagemaker: Wire) -> None:
    sagemaker.create(request=boosting_request())
    aliased = changed(boosting_request(), f"{RANGES}.ContinuousParameterRanges.0.Name", "learning_rate")
    sagemaker.create(request={**aliased, "HyperParameterTuningJobName": fresh()})
    quoted = changed(boosting_request(), f"{STATICS}.objective", '"reg:squarederror"')
    sagemaker.create(request={**quoted, "HyperParameterTuningJobName": fresh()})
