"""Ranges around example values."""

from __future__ import annotations

import pytest

from rekindle.api.translate.autotune import range_around
from rekindle.api.translate.create_request import spec_from_request
from rekindle.api.translate.echo import tuning_job_members
from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import Owner
from rekindle.domain.tuning_job import Limits, StrategyName
from rekindle.domain.tuning_rules import RELAXED, check_spec
from support.wire import Json, definition, tuning_request

CONFIG = "HyperParameterTuningJobConfig"


@pytest.mark.parametrize(
    ("hint", "kind", "low", "high"),
    [
        ("4", "Integer", "2", "8"),
        ('"4"', "Integer", "2", "8"),
        ('"0.25"', "Continuous", "0.125", "0.5"),
        ("1", "Integer", "1", "2"),
        ("5", "Integer", "3", "10"),
        ("-4", "Integer", "-8", "-2"),
        ("0.1", "Continuous", "0.05", "0.2"),
        ("0.8", "Continuous", "0.4", "1.0"),
        ("1.0", "Continuous", "0.5", "1.0"),
        ("1.5", "Continuous", "0.75", "3.0"),
        ("-0.5", "Continuous", "-1.0", "-0.25"),
        ("1e-05", "Continuous", "5e-06", "2e-05"),
    ],
)
def test_a_number_gets_a_range_around_it(hint: str, kind: str, low: str, high: str) -> None:
    expected = {"Name": "p", "MinValue": low, "MaxValue": high, "ScalingType": "Auto"}
    assert range_around("p", hint) == (f"{kind}ParameterRanges", expected)


@pytest.mark.parametrize("hint", ["0", "0.0", "gbtree", '"quoted"', "", "nan", "inf", "1e308", "true", "2024_11", "1_0.5"])
def test_what_has_no_range_stays_static(hint: str) -> None:
    assert range_around("p", hint) is None


def test_what_the_sdk_adds_for_the_service_stays_static() -> None:
    assert range_around("sagemaker_container_log_level", "20") is None


def autotuned(*parameters: tuple[str, str], strategy: str | None = "Bayesian") -> Json:
    request = tuning_request("auto", Autotune={"Mode": "Enabled"})
    config = request[CONFIG]
    config["ParameterRanges"] = {"AutoParameters": [{"Name": n, "ValueHint": h} for n, h in parameters]}
    config.pop("Strategy") if strategy is None else config.update(Strategy=strategy)
    return request


def test_auto_parameters_become_ranges_in_what_is_run_and_what_is_shown() -> None:
    spec = spec_from_request(autotuned(("max_depth", "4"), ("booster", "gbtree"), strategy=None))
    check_spec(spec, RELAXED)
    assert spec.strategy is StrategyName.BAYESIAN
    assert spec.definition.statics == {"epochs": "3", "booster": "gbtree"}
    shown = tuning_job_members(spec, Owner())
    assert shown["Autotune"] == {"Mode": "Enabled"}
    assert shown[CONFIG]["Strategy"] == "Bayesian"
    integers = [{"Name": "max_depth", "MinValue": "2", "MaxValue": "8", "ScalingType": "Auto"}]
    assert shown[CONFIG]["ParameterRanges"] == {
        "IntegerParameterRanges": integers,
        "ContinuousParameterRanges": [],
        "CategoricalParameterRanges": [],
    }
    assert shown["TrainingJobDefinition"]["StaticHyperParameters"]["booster"] == "gbtree"


def test_auto_parameters_of_several_definitions() -> None:
    request = autotuned()
    del request["TrainingJobDefinition"], request[CONFIG]["ParameterRanges"]
    objective = request[CONFIG].pop("HyperParameterTuningJobObjective")
    request["TrainingJobDefinitions"] = [
        definition(
            DefinitionName=name,
            TuningObjective=objective,
            HyperParameterRanges={"AutoParameters": [{"Name": "a", "ValueHint": hint}, {"Name": "b", "ValueHint": "x"}]},
        )
        for name, hint in (("one", "4"), ("two", "0.5"))
    ]
    spec = spec_from_request(request)
    check_spec(spec, RELAXED)
    assert [[p.name for p in d.ranges] for d in spec.definitions] == [["a"], ["a"]]
    assert [dict(d.statics)["b"] for d in spec.definitions] == ["x", "x"]


def test_without_autotune_the_strategy_and_plain_ranges_are_needed() -> None:
    request = autotuned(("a", "4"))
    del request["Autotune"]
    with pytest.raises(InvalidValue, match="needs Autotune"):
        spec_from_request(request)
    plain = tuning_request()
    del plain[CONFIG]["Strategy"]
    with pytest.raises(InvalidValue, match="Member must not be null"):
        spec_from_request(plain)


def chosen(strategy: str | None = None, limits: Json | None = None, parameters: int = 1, **config: object) -> Json:
    request = autotuned(*((f"p{n}", "0.5") for n in range(parameters)), strategy=strategy)
    request[CONFIG]["ResourceLimits"] = limits or {}
    request[CONFIG].update(config)
    spec = spec_from_request(request)
    check_spec(spec, RELAXED)
    return {"spec": spec, **tuning_job_members(spec, Owner())}


def test_autotune_chooses_what_is_left_out_and_shows_it() -> None:
    shown = chosen(parameters=3)
    spec, config = shown["spec"], shown[CONFIG]
    assert (spec.strategy, spec.early_stopping, spec.completion.on_convergence) == (StrategyName.BAYESIAN, True, True)
    assert spec.limits == Limits(30, 2, None)
    assert spec.definition.training.max_retries == 0, "a warm start's parents must have the same"
    assert config["ResourceLimits"] == {"MaxParallelTrainingJobs": 2, "MaxNumberOfTrainingJobs": 30}
    assert config["TrainingJobEarlyStoppingType"] == "Auto"
    assert config["TuningJobCompletionCriteria"] == {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}


def test_what_is_sent_holds() -> None:
    criteria = {"TargetObjectiveMetricValue": 0.5, "ConvergenceDetected": {"CompleteOnConvergence": "Disabled"}}
    limits = {"MaxParallelTrainingJobs": 1, "MaxRuntimeInSeconds": 600}
    early = {"TrainingJobEarlyStoppingType": "Off"}
    spec = chosen("Random", limits, TuningJobCompletionCriteria=criteria, **early)["spec"]
    assert spec.strategy is StrategyName.RANDOM
    assert spec.limits == Limits(None, 1, 600)
    assert (spec.early_stopping, spec.completion.on_convergence, spec.completion.target) == (False, False, 0.5)


@pytest.mark.parametrize(("at_once", "expected"), [(15, 20), (50, 50), (200, 200)])
def test_it_chooses_as_many_training_jobs_as_may_run_at_once(at_once: int, expected: int) -> None:
    assert chosen(limits={"MaxParallelTrainingJobs": at_once})["spec"].limits == Limits(expected, at_once, None)


def test_empty_lists_of_ranges_are_no_combination() -> None:
    request = autotuned(strategy=None)
    kind = {"Name": "k", "Values": ["a", "b", "c"]}
    request[CONFIG].update(ParameterRanges={"CategoricalParameterRanges": [kind]}, ResourceLimits={})
    request["TrainingJobDefinition"]["HyperParameterRanges"] = {"IntegerParameterRanges": []}
    spec = spec_from_request(request)
    check_spec(spec, RELAXED)
    assert spec.limits.max_jobs == 3


def test_whole_numbers_with_a_point_are_counted() -> None:
    request = autotuned(strategy=None)
    depth = {"Name": "depth", "MinValue": "1.0", "MaxValue": "3.0"}
    request[CONFIG].update(ParameterRanges={"IntegerParameterRanges": [depth]}, ResourceLimits={})
    spec = spec_from_request(request)
    check_spec(spec, RELAXED)
    assert spec.limits.max_jobs == 3


def test_ends_that_are_not_finite_are_refused_as_ranges_are() -> None:
    request = autotuned(strategy=None)
    depth = {"Name": "depth", "MinValue": "1", "MaxValue": "-1e400"}
    request[CONFIG].update(ParameterRanges={"IntegerParameterRanges": [depth]}, ResourceLimits={})
    with pytest.raises(InvalidValue, match="depth"):
        check_spec(spec_from_request(request), RELAXED)


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"Strategy": None, "ResourceLimits": None}, "2 validation errors detected: Value null at .*strategy.*resourceLimits'"),
        ({"ResourceLimits": {"MaxNumberOfTrainingJobs": 3}}, "Value null at .*resourceLimits.maxParallelTrainingJobs'"),
    ],
)
def test_without_autotune_nothing_may_be_left_to_it(changes: Json, absent: str) -> None:
    request = tuning_request()
    request[CONFIG].update(changes)
    with pytest.raises(InvalidValue, match=absent):
        spec_from_request(request)


def test_it_chooses_nothing_that_would_be_refused() -> None:
    request = autotuned(("depth", "2"), strategy=None)
    request[CONFIG]["ResourceLimits"] = {}
    spec = spec_from_request(request)
    check_spec(spec, RELAXED)
    assert spec.limits.max_jobs == 4, "there are no more configurations than 1 to 4"
    hyperband = chosen("Hyperband")["spec"]
    assert (hyperband.early_stopping, hyperband.completion.on_convergence) == (False, False)
