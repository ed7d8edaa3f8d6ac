"""Every quota of SageMaker's, at its limit and one beyond, over the wire, as `rekindle serve` enforces them by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rekindle.domain.tuning_rules import RELAXED, Quotas
from support.wire import Json, Wire, changed, definition, error_of, fresh, ranges, training_request, tuning_request, wire

CONFIG, DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"
RANGES = f"{CONFIG}.ParameterRanges"
CATEGORIES = f"{RANGES}.CategoricalParameterRanges"
Make = Callable[[int], Json]


@pytest.fixture(scope="module")
def limited() -> Iterator[Wire]:
    with wire(quotas=Quotas()) as service:
        yield service


def at(path: str, value: Callable[[int], Any], request: Callable[[], Json] = tuning_request) -> Make:
    return lambda number: changed(request(), path, value(number))


def whole() -> Json:
    return tuning_request(jobs=750)


def several(count: int) -> Json:
    request = tuning_request()
    for key in ("ParameterRanges", "HyperParameterTuningJobObjective"):
        del request[CONFIG][key]
    del request[DEFINITION]
    objective = {"Type": "Minimize", "MetricName": "loss"}
    named = ({"DefinitionName": f"d{n}", "TuningObjective": objective, "HyperParameterRanges": ranges()} for n in range(count))
    return {**request, "TrainingJobDefinitions": [definition(**more) for more in named]}


def variables(count: int) -> Json:
    """Variables in two definitions, so many in all."""
    request = several(2)
    for number, part in enumerate(request["TrainingJobDefinitions"]):
        part["Environment"] = {f"V{n}": "x" for n in range(count // 2 + (number * count % 2))}
    return request


def hyperband(resource: int) -> Json:
    request = changed(tuning_request(), f"{CONFIG}.Strategy", "Hyperband")
    return changed(request, f"{CONFIG}.StrategyConfig", {"HyperbandStrategyConfig": {"MaxResource": resource}})


def grid(size: int) -> Json:
    """A grid of ``size`` combinations, a multiple of 25 or one more."""
    request = changed(tuning_request(), f"{CONFIG}.Strategy", "Grid")
    second = [str(n) for n in range(size // 25)] if size % 25 == 0 else [str(n) for n in range(30)]
    first = [str(n) for n in range(25 if size % 25 == 0 else 26)]
    values = [{"Name": "a", "Values": first}, {"Name": "b", "Values": second}]
    request[CONFIG]["ParameterRanges"] = {"CategoricalParameterRanges": values}
    del request[CONFIG]["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    return request


def letters(count: int) -> list[Json]:
    return [{"Name": f"c{n}", "Values": ["a", "b"]} for n in range(count)]


def channels(count: int) -> list[Json]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/x"}}
    return [{"ChannelName": f"c{n}", "DataSource": source} for n in range(count)]


STATICS = f"{DEFINITION}.StaticHyperParameters"
VALIDATION, EXCEEDED = "ValidationException", "ResourceLimitExceeded"
QUOTAS: dict[str, tuple[Make, int, str]] = {
    "tunable hyperparameters": (
        at(RANGES, lambda n: {"CategoricalParameterRanges": letters(n)}),
        30,
        VALIDATION,
    ),
    "tunable hyperparameters of all kinds": (
        at(CATEGORIES, lambda n: letters(n - 2)),
        30,
        EXCEEDED,
    ),
    "values of a category": (
        at(
            f"{CONFIG}.ParameterRanges.CategoricalParameterRanges",
            lambda n: [{"Name": "c", "Values": [str(i) for i in range(n)]}],
        ),
        30,
        VALIDATION,
    ),
    # Two are tuned, and SageMaker adds one.
    "hyperparameters": (at(STATICS, lambda n: {f"s{i}": "1" for i in range(n - 3)}), 100, EXCEEDED),
    "characters of a value": (at(STATICS, lambda n: {"s": "v" * n}), 2500, VALIDATION),
    "metrics": (
        at(
            f"{DEFINITION}.AlgorithmSpecification.MetricDefinitions",
            lambda n: [{"Name": "loss" if i == 0 else f"m{i}", "Regex": "(x)"} for i in range(n)],
        ),
        40,
        VALIDATION,
    ),
    "parallel training jobs": (at(f"{CONFIG}.ResourceLimits.MaxParallelTrainingJobs", lambda n: n, whole), 10, EXCEEDED),
    "training jobs": (at(f"{CONFIG}.ResourceLimits.MaxNumberOfTrainingJobs", lambda n: n), 750, EXCEEDED),
    "combinations of a grid": (grid, 750, EXCEEDED),
    "run time of a tuning job": (at(f"{CONFIG}.ResourceLimits.MaxRuntimeInSeconds", lambda n: n), 15_768_000, VALIDATION),
    "run time of a training job": (at(f"{DEFINITION}.StoppingCondition.MaxRuntimeInSeconds", lambda n: n), 2_419_200, EXCEEDED),
    "definitions": (several, 10, VALIDATION),
    "variables of a definition": (at(f"{DEFINITION}.Environment", lambda n: {f"V{i}": "x" for i in range(n)}), 48, VALIDATION),
    "variables of all definitions": (variables, 48, VALIDATION),
    "channels": (at(f"{DEFINITION}.InputDataConfig", channels), 20, VALIDATION),
    "tags": (lambda n: tuning_request(Tags=[{"Key": f"k{i}", "Value": ""} for i in range(n)]), 50, VALIDATION),
    "retries": (at(f"{DEFINITION}.RetryStrategy", lambda n: {"MaximumRetryAttempts": n}), 30, VALIDATION),
    "resources of Hyperband": (hyperband, 20_000, VALIDATION),
}


@pytest.mark.parametrize("quota", QUOTAS)
def test_a_tuning_job_may_be_as_large_as_its_quota_and_no_larger(limited: Wire, quota: str) -> None:
    make, most, expected = QUOTAS[quota]
    code, message = error_of(limited.client.create_hyper_parameter_tuning_job, **make(most + 1))
    assert code == expected, message
    name = limited.create(request=make(most))
    limited.client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    limited.finish(name)


TRAINING: dict[str, tuple[Make, int, str]] = {
    "run time": (at("StoppingCondition.MaxRuntimeInSeconds", lambda n: n, training_request), 2_419_200, EXCEEDED),
    "variables": (at("Environment", lambda n: {f"V{i}": "x" for i in range(n)}, training_request), 100, VALIDATION),
    "hyperparameters": (at("HyperParameters", lambda n: {f"s{i}": "1" for i in range(n)}, training_request), 100, VALIDATION),
    "channels": (at("InputDataConfig", channels, training_request), 20, VALIDATION),
    "warm pool": (at("ResourceConfig.KeepAlivePeriodInSeconds", lambda n: n, training_request), 21_600, VALIDATION),
}


@pytest.mark.parametrize("quota", TRAINING)
def test_a_training_job_may_be_as_large_as_its_quota_and_no_larger(limited: Wire, quota: str) -> None:
    make, most, expected = TRAINING[quota]
    code, message = error_of(limited.client.create_training_job, **make(most + 1))
    assert code == expected, message
    limited.client.create_training_job(**make(most))


def test_the_longest_run_time_is_told_in_amazons_sentence_with_the_way_out(limited: Wire) -> None:
    request = changed(training_request(), "StoppingCondition.MaxRuntimeInSeconds", 2_419_201)
    _, message = error_of(limited.client.create_training_job, **request)
    assert message.startswith(
        "The account-level service limit 'Seconds of run time of a training job' is 2419200 Seconds, with current utilization "
        "of 0 Seconds and a request delta of 2419201 Seconds."
    )
    assert message.endswith("(In Rekindle: stoppingCondition.maxRuntimeInSeconds: 2419201; REKINDLE_LIMITS=relaxed.)")
    with wire(quotas=RELAXED) as service:
        service.client.create_training_job(**request)


def test_a_hundred_tuning_jobs_run_at_once_and_no_more() -> None:
    with wire(quotas=Quotas()) as service:
        names = [service.create() for _ in range(100)]
        code, message = error_of(service.client.create_hyper_parameter_tuning_job, **tuning_request())
        assert (code, "is 100 Running Tuning Jobs, with current utilization of 100" in message) == (EXCEEDED, True)
        service.client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=names[0])
        service.finish(names[0])
        service.create()


def test_parents_training_jobs_count_to_the_quota(limited: Wire) -> None:
    with wire(quotas=Quotas(max_jobs=10)) as service:
        parents = [service.create(jobs=3) for _ in range(2)]
        for parent in parents:
            service.finish(parent)
        config = {
            "WarmStartType": "TransferLearning",
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": p} for p in parents],
        }
        request = tuning_request(fresh(), jobs=5, WarmStartConfig=config)
        code, message = error_of(service.client.create_hyper_parameter_tuning_job, **request)
        assert code in (EXCEEDED, VALIDATION), message
        assert "6" in message
        service.create(request=tuning_request(fresh(), jobs=4, WarmStartConfig=config))


@pytest.mark.parametrize(
    ("spot", "stopping", "told"),
    [
        (False, {"MaxWaitTimeInSeconds": 60}, "It is only supported when EnableManagedSpotTraining is set to true"),
        (True, {}, "It must be present and be greater than or equal to MaxRuntimeInSeconds"),
        (True, {"MaxRuntimeInSeconds": 60}, "It must be present and be greater than or equal to MaxRuntimeInSeconds"),
        (True, {"MaxWaitTimeInSeconds": 60}, "It must be present and be greater than or equal to MaxRuntimeInSeconds"),
        (
            True,
            {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59},
            "It must be present and be greater than or equal to Max",
        ),
    ],
)
def test_the_longest_wait_goes_with_spot_training_in_amazons_words(
    limited: Wire, spot: bool, stopping: Json, told: str
) -> None:
    changes = {"EnableManagedSpotTraining": spot, "StoppingCondition": stopping}
    code, message = error_of(limited.client.create_training_job, **training_request(**changes))
    assert (code, message.startswith(f"Invalid MaxWaitTimeInSeconds. {told}")) == (VALIDATION, True)
    good = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}
    request = training_request(EnableManagedSpotTraining=True, StoppingCondition=good)
    limited.client.create_training_job(**request)
    assert limited.describe_training(request["TrainingJobName"])["StoppingCondition"] == good
