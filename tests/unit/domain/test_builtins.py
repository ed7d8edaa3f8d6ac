"""What a built-in algorithm would refuse is refused before anything runs, with the field that says it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from rekindle.domain.builtins.catalogue import BUILTINS, builtin_named, builtin_of
from rekindle.domain.builtins.checks import check_run, check_search
from rekindle.domain.errors import InvalidValue
from rekindle.domain.metrics import check_definitions
from rekindle.domain.training_job import Algorithm, Channel, Resources, TrainingSpec
from rekindle.domain.tuning_job import Definition, Objective
from rekindle.domain.tuning_rules import MAX_METRICS
from rekindle.search.space import Categorical, Continuous, Integer

BOOSTED = {"num_round": "10", "objective": "binary:logistic"}
RANGES = (Continuous("eta", 0.1, 0.5),)


def spec(image: str = "xgboost", channels: tuple[str, ...] = ("train", "validation"), hosts: int = 1) -> TrainingSpec:
    found = tuple(Channel(name, f"/{name}", content_type="text/csv") for name in channels)
    return TrainingSpec(Algorithm(image=image), channels=found, resources=Resources(instance_count=hosts))


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "xgboost"),
        ("811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:latest", "xgboost"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost@sha256:0123", "xgboost"),
        ("382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1", "linear-learner"),
        ("knn", "knn"),
        ("registry.example/xgboost:1", None),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/team/xgboost:1", None),
        ("sagemaker-scikit-learn:1.2", None),
        (None, None),
    ],
)
def test_an_image_is_an_algorithm_by_its_name_and_registry(image: str | None, name: str | None) -> None:
    found = builtin_named(image)
    assert (found.name if found else None) == name


def test_a_script_or_an_entry_point_is_no_built_in_algorithm() -> None:
    assert builtin_of(Algorithm(image="xgboost"), {"sagemaker_program": "train.py"}) is None
    assert builtin_of(Algorithm(image="xgboost", entrypoint=("python",)), {}) is None
    assert builtin_of(Algorithm(image="knn"), {"sagemaker_program": "train.py"}).name == "knn"
    check_run(TrainingSpec(Algorithm(image="xgboost")), {"sagemaker_program": "train.py", "whatever": "1"})


@pytest.mark.parametrize("builtin", BUILTINS, ids=lambda b: b.name)
def test_the_tables_hold_together(builtin) -> None:
    check_definitions(builtin.metrics)
    # With the copy of the objective that a description appends.
    assert len(builtin.metrics) + 1 <= MAX_METRICS
    assert set(builtin.required) <= set(builtin.rules)
    assert set(builtin.together) <= set(builtin.rules)
    assert builtin.maximized <= {m.name for m in builtin.metrics}


def test_what_runs_passes() -> None:
    check_search(spec(), BOOSTED, RANGES, "validation:auc")
    check_search(spec(hosts=3), BOOSTED, (*RANGES, Integer("max_depth", 1, 9)), "train:auc")
    check_search(spec(), {"objective": "reg:gamma"}, (Integer("num_round", 1, 50),), "validation:rmse")
    lists = (Categorical("booster", ["gbtree", "dart"]), Categorical("max_depth", ["3", "5"]))
    check_search(spec(), BOOSTED, lists, "validation:auc")
    check_run(spec(), {**BOOSTED, "sagemaker_region": "x", "_tuning_objective_metric": "validation:auc"})
    latest = "811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:latest"
    check_run(spec(latest), {**BOOSTED, "silent": "0", "precision_dtype": "float32"})
    check_search(spec(), {"num_round": "1"}, RANGES, "validation:auc")
    # SageMaker's Python SDK sends Python's own spelling for Amazon's algorithms.
    check_run(spec("linear-learner"), {"predictor_type": "regressor", "normalize_data": "True", "use_bias": "False"})


@pytest.mark.parametrize(
    ("statics", "ranges", "metric", "field", "words"),
    [
        (BOOSTED, (Continuous("eta", 0.1, 2),), "validation:auc", "ranges.eta", "eta: 2.0 is not in [0, 1]"),
        (BOOSTED, (Continuous("max_depth", 1, 5),), "validation:auc", "ranges.max_depth", "a range of the type integer"),
        (BOOSTED, (Integer("booster", 1, 5),), "validation:auc", "ranges.booster", "a range of the type categorical"),
        (BOOSTED, (Categorical("eta", ["0.1", "7"]),), "validation:auc", "ranges.eta", "eta: 7.0 is not in [0, 1]"),
        (BOOSTED, (Continuous("rate", 0, 1),), "validation:auc", "ranges.rate", "Extraneous hyperparameter found: rate"),
        (
            {**BOOSTED, "learning_rate": "0.1"},
            RANGES,
            "validation:auc",
            "static.learning_rate",
            "eta is given twice, as learning_rate, eta",
        ),
        ({}, RANGES, "validation:rmse", "static.num_round", "Missing required hyperparameter: num_round"),
        (
            {"num_round": "1"},
            (Categorical("objective", ["binary:logistic", "multi:softmax"]),),
            "validation:logloss",
            "static.num_class",
            "Require input for parameter 'num_class'",
        ),
        (
            {"num_round": "1", "objective": "count:poisson"},
            RANGES,
            "validation:auc",
            "objective.metric",
            "Metric 'auc' can only be applied for",
        ),
        (
            {**BOOSTED, "tree_method": "exact"},
            (Integer("max_depth", 0, 9),),
            "validation:auc",
            "ranges.max_depth",
            "doesn't support unlimited depth",
        ),
    ],
)
def test_a_search_of_which_a_job_would_fail_is_refused(statics, ranges, metric, field, words) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_search(spec(), statics, ranges, metric)
    assert words in str(refused.value)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("name", "given", "low", "high"),
    [
        ("colsample_bytree", (0, 1), 0.001, 1),
        ("subsample", (0, 0.5), 0.0005, 0.5),
        ("tweedie_variance_power", (1, 2), 1.001, 1.999),
        ("eta", (0, 1), 0, 1),
        ("gamma", (0, 5), 0, 5),
    ],
)
def test_a_search_stays_off_an_end_that_the_algorithm_does_not_take(name, given, low, high) -> None:
    statics, ranges = {"num_round": "1"}, (Continuous(name, *given), Integer("max_depth", 0, 9))
    check_search(spec(), statics, ranges, "validation:rmse")
    definition = Definition(spec(), Objective("validation:rmse", "minimize"), ranges, statics)
    first, second = definition.space.parameters
    assert (first.low, first.high, first.from_unit(0.5)) == (low, high, pytest.approx((low + high) / 2))
    assert second == ranges[1]
    # Of a script in the same image nothing is known.
    assert replace(definition, statics={"sagemaker_program": "train.py"}).space.parameters == ranges


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        (Continuous("subsample", -0.1, 1), "subsample: -0.1 is not in (0, 1]"),
        (Continuous("subsample", 0, 1.1), "subsample: 1.1 is not in (0, 1]"),
        (Continuous("subsample", 0, 0), "subsample: 0.0 is not in (0, 1]"),
        (Categorical("subsample", ["0", "1"]), "subsample: 0.0 is not in (0, 1]"),
    ],
)
def test_an_end_beyond_what_the_algorithm_takes_is_refused(parameter, words) -> None:
    with pytest.raises(InvalidValue, match=re.escape(words)):
        check_search(spec(), BOOSTED, (parameter,), "validation:auc")


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("max_bin", "2147483648", "max_bin: 2147483648 is not in [2, 2147483647]"),
        ("max_depth", "2147483648", "max_depth: 2147483648 is not in [0, 2147483647]"),
        ("nthread", "2147483648", "nthread: 2147483648 is not in [1, 2147483647]"),
        ("eta", "1e-40", "eta: 1e-40 is nearer to 0 than 1.2e-38, and not 0"),
        ("gamma", "1e39", "gamma: 1e+39 is not in [0, 3.4028234663852886e+38]"),
    ],
)
def test_a_number_that_the_library_has_no_room_for_is_refused(name, given, words) -> None:
    """The training job failed in the library's words: ``expect int but value='2147483648'``."""
    with pytest.raises(InvalidValue, match=re.escape(words)):
        check_run(spec(), {**BOOSTED, name: given})


def test_channels_and_instances_are_looked_at() -> None:
    for made, metric, words in (
        (spec(channels=()), "train:auc", "Missing required channel: train"),
        (spec(channels=("train",)), "validation:auc", "validation:auc is computed on the channel 'validation'"),
        (spec(channels=("train", "test")), "train:auc", "Extraneous channel found: test"),
    ):
        with pytest.raises(InvalidValue, match=words):
            check_search(made, BOOSTED, RANGES, metric)
    with pytest.raises(InvalidValue, match=r"resources\.instances: 2: knn trains on one instance here"):
        check_run(spec("knn", ("train",), hosts=2), {})
    with pytest.raises(InvalidValue, match="_tuning_objective_metric: validation:gini is not in"):
        check_run(spec(), {**BOOSTED, "_tuning_objective_metric": "validation:gini"})
