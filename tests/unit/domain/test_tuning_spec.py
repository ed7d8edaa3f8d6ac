"""The rules that a tuning job's spec keeps by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.domain.errors import InvalidValue, LimitExceeded, RekindleError
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Owner
from rekindle.domain.tuning_job import (
    OBJECTIVE_HYPERPARAMETER,
    CompletionCriteria,
    Definition,
    Ending,
    Hyperband,
    StrategyName,
    TuningJob,
    TuningJobSpec,
    TuningJobStatus,
    WarmStart,
    WarmStartType,
    format_value,
    parse_value,
    with_defaults,
)
from rekindle.domain.tuning_rules import Quotas, check_spec
from rekindle.search.space import Categorical, Continuous, Integer, Parameter
from support.specs import RANGES, several, tuning_spec

GRID = (Categorical("a", ("x", "y", "z")), Categorical("b", ("1", "2")))
NOT_TOLD_APART = Integer("n", 2**53, 2**53 + 10)
TWO = several(StrategyName.RANDOM, 6, RANGES, RANGES)


def measured(definition: Definition, *regexes: str) -> Definition:
    """The definition with a metric for each regex; the first is the objective's."""
    metrics = tuple(MetricDefinition("loss" if i == 0 else f"m{i}", regex) for i, regex in enumerate(regexes))
    algorithm = replace(definition.training.algorithm, metrics=metrics)
    return replace(definition, training=replace(definition.training, algorithm=algorithm))


def with_metrics(count: int) -> TuningJobSpec:
    spec = tuning_spec()
    return replace(spec, definitions=(measured(spec.definition, *["loss=([0-9.]+)"] * count),))


def training_for(seconds: int) -> TuningJobSpec:
    spec = tuning_spec()
    training = replace(spec.definition.training, max_runtime_seconds=seconds)
    return tuning_spec(training=training)


def hyperband_of(*ranges: Parameter) -> TuningJobSpec:
    return replace(tuning_spec(strategy=StrategyName.HYPERBAND, ranges=ranges), hyperband=Hyperband(1, 9, "bayesian"))


def warm(*parents: str, names: Mapping[str, Mapping[str, str]] | None = None) -> TuningJobSpec:
    return tuning_spec(warm_start=WarmStart(WarmStartType.TRANSFER, parents, names=names or {}))


def values(count: int, size: int = 1) -> tuple[Parameter, ...]:
    return (Categorical("c", [str(i).rjust(size, "x") for i in range(count)]),)


def hyperband(rule: Hyperband, **statics: str) -> TuningJobSpec:
    return replace(tuning_spec(strategy=StrategyName.HYPERBAND, statics=statics), hyperband=rule)


def test_a_plain_spec_passes() -> None:
    check_spec(tuning_spec(), Quotas())
    check_spec(tuning_spec(jobs=None, runtime=600, ranges=(Integer("n", 1, 3),)), Quotas())
    check_spec(tuning_spec(strategy=StrategyName.GRID, jobs=None, ranges=GRID), Quotas())
    check_spec(warm("mother", names={"mother": {}}), Quotas())


def test_the_objective_metric_may_come_back_as_a_static() -> None:
    check_spec(tuning_spec(statics={OBJECTIVE_HYPERPARAMETER: "loss"}), Quotas())


def test_a_grid_runs_every_combination_once() -> None:
    spec = with_defaults(tuning_spec(strategy=StrategyName.GRID, ranges=GRID, jobs=None))
    assert spec.limits.max_jobs == 6
    check_spec(spec, Quotas())


def grid_of(*ranges: tuple[Parameter, ...], jobs: int | None = None) -> TuningJobSpec:
    """A grid of several definitions."""
    return several(StrategyName.GRID, jobs, *ranges)


def test_a_grid_of_several_definitions_runs_the_combinations_of_all() -> None:
    assert with_defaults(grid_of(GRID, GRID[1:])).limits.max_jobs == 8
    check_spec(with_defaults(grid_of(GRID, GRID[1:])), Quotas())
    check_spec(grid_of(GRID, GRID[1:], jobs=8), Quotas())
    with pytest.raises(InvalidValue, match="each of its 8 combinations"):
        check_spec(grid_of(GRID, GRID[1:], jobs=6), Quotas())


def test_a_grid_of_several_definitions_takes_lists_in_each() -> None:
    for p in RANGES[:2]:
        with pytest.raises(InvalidValue) as caught:
            check_spec(with_defaults(grid_of(GRID, (p,))), Quotas())
        assert caught.value.field == f"definitions.d1.ranges.{p.name}"


def test_the_combinations_of_several_definitions_count_together() -> None:
    half = tuple(Categorical(n, [str(i) for i in range(20)]) for n in "ab")
    with pytest.raises(LimitExceeded) as caught:
        check_spec(grid_of(half, half), Quotas(max_jobs=1000))
    assert (caught.value.field, caught.value.asked) == ("definitions", 800)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (tuning_spec("-job"), "name"),
        (tuning_spec("a" * 33), "name"),
        (tuning_spec("tüning"), "name"),
        (tuning_spec(""), "name"),
        (tuning_spec(jobs=0), "limits.jobs"),
        (tuning_spec(parallel=0), "limits.parallel"),
        (tuning_spec(jobs=1, parallel=2), "limits.parallel"),
        (tuning_spec(jobs=None), "limits.jobs"),
        (tuning_spec(runtime=119), "limits.runtime"),
        (tuning_spec(ranges=()), "ranges"),
        (tuning_spec(ranges=(Integer("n", 1, 5),) * 2), "ranges.n"),
        (tuning_spec(ranges=(Categorical(OBJECTIVE_HYPERPARAMETER, ("loss", "auc")),)), f"ranges.{OBJECTIVE_HYPERPARAMETER}"),
        (tuning_spec(statics={"lr": "1"}), "static.lr"),
        (tuning_spec(statics={"": "1"}), "static"),
        (tuning_spec(statics={"a\x00": "1"}), "static"),
        (tuning_spec(statics={"x": "y" * 2501}), "static.x"),
        (tuning_spec(metric="accuracy"), "objective.metric"),
        (tuning_spec(strategy=StrategyName.GRID), "ranges.lr"),
        (tuning_spec(strategy=StrategyName.GRID, ranges=GRID, jobs=5), "limits.jobs"),
        (tuning_spec(ranges=(Integer("n", 1, 3),), jobs=10), "limits.jobs"),
        (tuning_spec(strategy=StrategyName.BAYESIAN, ranges=(Integer("n", 2**53, 2**53 + 10),)), "ranges.n"),
        (tuning_spec(strategy=StrategyName.BAYESIAN, ranges=(Integer("n", -(2**53) - 10, -(2**53)),)), "ranges.n"),
        (tuning_spec(strategy=StrategyName.BAYESIAN, ranges=(Integer("n", 2**52, 2**52 + 9, "Logarithmic"),)), "ranges.n"),
        (tuning_spec(ranges=(Integer("n", 2**1000, 2**1000 + 2**955, "Logarithmic"),)), "ranges.n"),
        (tuning_spec(completion=CompletionCriteria(max_not_improving=2)), "completion.not_improving"),
        (tuning_spec(completion=CompletionCriteria(target=math.nan)), "completion.target"),
        (tuning_spec(completion=CompletionCriteria(target=-math.inf)), "completion.target"),
        (tuning_spec(seed=-1), "seed"),
        (tuning_spec(seed=2**63), "seed"),
        (replace(TWO, definitions=(TWO.definitions[0], replace(TWO.definitions[1], name=None))), "definitions"),
        (replace(TWO, definitions=(replace(TWO.definitions[0], name=None), TWO.definitions[1])), "definitions"),
        (
            replace(TWO, definitions=(TWO.definitions[0], measured(TWO.definitions[1], "("))),
            "definitions.d1.metrics.loss.regex",
        ),
        (hyperband_of(NOT_TOLD_APART), "ranges.n"),
        (warm("Mother", "mOTHER"), "warm_start.parents"),
        (warm("JOB"), "warm_start.parents"),
        (replace(several(StrategyName.RANDOM, 6, RANGES), warm_start=warm("mother").warm_start), "warm_start"),
        (warm("mother", names={"mother": {"lr": "eta"}}), "warm_start.parents"),
        (hyperband(Hyperband(0, 9)), "hyperband.min_resource"),
        (hyperband(Hyperband(10, 9)), "hyperband.min_resource"),
        (hyperband(Hyperband(1, 0), epochs="9"), "hyperband.max_resource"),
        (hyperband(Hyperband(1, 20_001)), "hyperband.max_resource"),
        (hyperband(Hyperband(1, 9, "grid")), "hyperband.sampler"),
        (replace(tuning_spec(), hyperband=Hyperband(1, 9)), "hyperband"),
        (
            replace(tuning_spec(strategy=StrategyName.HYPERBAND, statics={"epochs": "9"}), early_stopping=True),
            "early_stopping",
        ),
    ],
)
def test_a_broken_rule_names_its_field(spec: TuningJobSpec, field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_spec(spec, Quotas())
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("spec", "limit"),
    [
        (tuning_spec(ranges=[Continuous(f"p{i}", 0, 1) for i in range(31)]), "number of tunable hyperparameters"),
        (tuning_spec(ranges=(Categorical("c", [str(i) for i in range(31)]),)), "number of values of c"),
        (
            tuning_spec(statics={f"s{i}": "1" for i in range(97)}),
            "number of hyperparameters, static, tuned and _tuning_objective_metric",
        ),
        (tuning_spec(jobs=751), "number of training jobs"),
        (tuning_spec(jobs=50, parallel=11), "number of parallel training jobs"),
        (
            tuning_spec(
                strategy=StrategyName.GRID, jobs=None, ranges=[Categorical(n, [str(i) for i in range(28)]) for n in "ab"]
            ),
            "number of combinations of a grid",
        ),
    ],
)
def test_a_quota_names_its_limit(spec: TuningJobSpec, limit: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        check_spec(spec, Quotas())
    assert caught.value.limit == limit


@pytest.mark.parametrize(
    ("spec", "most"),
    [
        (lambda n: tuning_spec("a" * n), 32),
        (lambda n: several(StrategyName.RANDOM, 6, *[RANGES] * n), 10),
        (with_metrics, 40),
        (lambda n: tuning_spec(ranges=[Continuous(f"p{i}", 0, 1) for i in range(n)]), 30),
        (lambda n: tuning_spec(ranges=values(n)), 30),
        (lambda n: tuning_spec(ranges=values(9, n)), 256),
        (lambda n: tuning_spec(ranges=(Integer("p" * n, 1, 9),)), 256),
        (lambda n: tuning_spec(statics={f"s{i}": "1" for i in range(n)}), 96),
        (lambda n: tuning_spec(statics={"x": "y" * n}), 2500),
        (lambda n: tuning_spec(jobs=50, parallel=n), 10),
        (lambda n: tuning_spec(jobs=2, parallel=n), 2),
        (lambda n: tuning_spec(jobs=n), 750),
        (lambda n: tuning_spec(jobs=n, ranges=(Integer("n", 1, 9),)), 9),
        (lambda n: tuning_spec(runtime=n), 15_768_000),
        (training_for, 2_419_200),
        (lambda n: tuning_spec(seed=n), 2**63 - 1),
        (lambda n: hyperband(Hyperband(1, n)), 20_000),
        (lambda n: hyperband(Hyperband(n, 9)), 9),
        (lambda n: tuning_spec(completion=CompletionCriteria(max_not_improving=-n)), -3),
        (lambda n: tuning_spec(runtime=-n), -120),
        (lambda n: tuning_spec(strategy=StrategyName.GRID, jobs=None, ranges=(*values(30), *grid_of_size(n))), 25),
    ],
)
def test_what_is_at_a_limit_passes_and_one_more_does_not(spec: Callable[[int], TuningJobSpec], most: int) -> None:
    check_spec(spec(most), Quotas())
    with pytest.raises((InvalidValue, LimitExceeded)):
        check_spec(spec(most + 1), Quotas())


def grid_of_size(count: int) -> tuple[Parameter, ...]:
    return (Categorical("d", [str(i) for i in range(count)]),)


def test_too_large_a_grid_is_no_number_of_jobs_that_somebody_asked_for() -> None:
    """Where nobody gives the number of training jobs it follows from the lists: these are what to shorten."""
    ranges = [Categorical(n, [str(i) for i in range(28)]) for n in "ab"]
    for jobs in (None, 784):
        with pytest.raises(LimitExceeded) as caught:
            check_spec(with_defaults(tuning_spec(strategy=StrategyName.GRID, jobs=jobs, ranges=ranges)), Quotas())
        assert (caught.value.limit, caught.value.asked) == ("number of combinations of a grid", 784)
        assert caught.value.field == "ranges"
        assert caught.value.hint.startswith("Shorten the lists of values")


def test_too_small_a_space_says_how_many_combinations_there_are() -> None:
    with pytest.raises(InvalidValue) as caught:
        check_spec(tuning_spec(ranges=(Integer("n", 1, 3),), jobs=10), Quotas())
    assert caught.value.facts == {"combinations": 3}


def test_the_seed_follows_from_the_name_unless_it_is_given() -> None:
    assert tuning_spec("Job", seed=None).seed == tuning_spec("job", seed=None).seed != tuning_spec("job2", seed=None).seed
    assert tuning_spec(seed=0).seed == 0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive_as_hyperparameters(x: float) -> None:
    assert parse_value(Continuous("x", -1e308, 1e308 / 2), format_value(x)) == x


@given(st.integers(-(2**62), 2**62))
def test_integers_are_plain(x: int) -> None:
    text = format_value(x)
    assert "." not in text
    assert parse_value(Integer("x", 0, 1), text) == x


def test_half_a_number_is_no_whole_number() -> None:
    with pytest.raises(InvalidValue, match=r"n: '2\.5': not a whole number"):
        parse_value(Integer("n", 0, 5), "2.5")


def test_errors_are_one_line_with_field_value_and_way_out() -> None:
    with pytest.raises(RekindleError) as caught:
        check_spec(tuning_spec(statics={"lr": "0.1"}), Quotas())
    assert str(caught.value) == "static.lr: '0.1': the name is tuned and static at once. Remove one of them."


def test_the_ranges_are_all_used() -> None:
    assert tuning_spec().definition.space.names == tuple(p.name for p in RANGES)


def test_truth_is_told_by_its_name() -> None:
    assert [format_value(v) for v in (True, False, "x")] == ["True", "False", "x"]


def test_a_parent_is_known_by_its_name_in_any_case() -> None:
    names = WarmStart(WarmStartType.TRANSFER, ("Mother",), names={"mother": {"lr": "eta"}})
    assert names.names_in("MOTHER") == {"lr": "eta"}
    assert names.names_in("father") == {}


def test_why_it_ended_early_is_known_once_it_has_ended() -> None:
    ending = Ending(TuningJobStatus.COMPLETED, because="its time is over: 600 s")
    job = TuningJob(tuning_spec(), Owner(), "uid", created_at=0.0, ending=ending)
    assert job.ended_because is None
    assert replace(job, ended_at=1.0).ended_because == ending.because
