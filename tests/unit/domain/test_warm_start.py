"""Every rule about parents, each refusal naming parent, field and values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rekindle.cli.rules import check_records
from rekindle.domain.decisions import ParentJob, Snapshot
from rekindle.domain.errors import InvalidValue
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.search_plan import warm_start_report
from rekindle.domain.training_job import Algorithm, ObjectiveStatus, Owner, TrainingJob, TrainingJobStatus, TrainingSpec
from rekindle.domain.tuning_job import (
    Definition,
    Limits,
    StrategyName,
    TuningJob,
    TuningJobSpec,
    TuningJobStatus,
    WarmStart,
    WarmStartType,
)
from rekindle.domain.tuning_rules import RELAXED, Quotas, check_spec
from rekindle.domain.warm_start import (
    bounded,
    changes,
    check_warm_start,
    lacks_metrics,
    warm_start_checks,
    with_parents_metrics,
)
from rekindle.search.space import Categorical, Continuous, Integer
from support.specs import RANGES, tuning_spec

TWO_METRICS = TrainingSpec(
    Algorithm(command="true", metrics=(MetricDefinition("loss", "loss=(.*)"), MetricDefinition("auc", "auc=(.*)")))
)
AWS = Quotas()
WARM = WarmStart(WarmStartType.IDENTICAL, ("mother",))


def parent(spec: TuningJobSpec | None = None, *, jobs: int = 3, **changes: object) -> ParentJob:
    job = TuningJob(spec or tuning_spec("mother", training=TWO_METRICS), Owner(), "uid", created_at=1.8e9, id=1)
    job = replace(job, **{"status": TuningJobStatus.COMPLETED, **changes})
    trials = tuple(TrainingJob(f"t{i}", Owner(), job.spec.definition.training, {}, 1.8e9, number=i) for i in range(jobs))
    return ParentJob(job, trials)


def child(**options: object) -> TuningJobSpec:
    return tuning_spec("child", warm_start=WARM, training=options.pop("training", TWO_METRICS), **options)


def refused(spec: TuningJobSpec, *parents: ParentJob, quotas: Quotas = AWS) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        check_warm_start(spec, parents, quotas)
    return caught.value


def test_what_is_alike_is_accepted() -> None:
    check_warm_start(
        child(), [parent(), parent(status=TuningJobStatus.STOPPED), parent(status=TuningJobStatus.FAILED)], Quotas()
    )


def test_ranges_may_change_and_statics_be_tuned() -> None:
    mother = tuning_spec("mother", training=TWO_METRICS, ranges=RANGES[:2], statics={"act": "relu"})
    wider = (Continuous("lr", 1e-7, 1.0, "Logarithmic"), RANGES[1], RANGES[2])
    check_warm_start(child(ranges=wider), [parent(mother)], Quotas())


@pytest.mark.parametrize("status", [TuningJobStatus.IN_PROGRESS, TuningJobStatus.STOPPING])
def test_a_parent_must_have_ended(status: TuningJobStatus) -> None:
    error = refused(child(), parent(status=status))
    assert error.field == "warm_start.parents.mother"
    assert error.value == status.value


def test_a_parent_that_was_asked_to_stop_is_told_to_be_stopping_and_not_to_be_stopped_once_more() -> None:
    for asked in ({"status": TuningJobStatus.IN_PROGRESS, "stop_requested": True}, {"status": TuningJobStatus.STOPPING}):
        error = refused(child(), parent(**asked))
        assert error.value == "Stopping"
        assert error.hint == "It was asked to stop: wait until it has; `rekindle stop mother` waits with you."
    assert refused(child(), parent(status=TuningJobStatus.IN_PROGRESS)).hint == "Wait, or stop it: `rekindle stop mother`."


def test_a_parent_may_not_be_too_old() -> None:
    assert "2018-10-01" in refused(child(), parent(created_at=1_538_351_999.0)).reason
    check_warm_start(child(), [parent(created_at=1_538_352_000.0)], Quotas())


def test_the_objective_must_be_the_same_metric() -> None:
    error = refused(child(metric="auc"), parent())
    assert (error.field, error.value) == ("warm_start.parents.mother.objective.metric", "auc")
    assert "'loss'" in error.reason
    assert error.hint == "Tune 'loss', or leave this parent out."
    error = refused(child(metric="auc"), parent(imported=True))
    assert "Tune 'loss', import the parent again with 'auc' as its objective's name, or" in error.hint


def test_the_objective_must_have_the_same_goal() -> None:
    error = refused(child(direction="maximize"), parent())
    assert (error.field, error.value) == ("warm_start.parents.mother.objective.goal", "maximize")


def test_the_names_must_be_the_same_set() -> None:
    error = refused(child(ranges=RANGES[:2], statics={"momentum": "0.9"}), parent())
    assert error.code == "warm-start-names"
    assert error.value == ["act", "momentum"]
    assert "missing here: ['act']; not in the parent: ['momentum']" in error.reason


@pytest.mark.parametrize(
    ("names", "field", "meant"),
    [({"lrr": "lr"}, "names", "lr"), ({"lr": "layer"}, "names.lr", "layers")],
)
def test_a_mapped_name_that_is_almost_one_tells_which_was_meant(names: dict[str, str], field: str, meant: str) -> None:
    warm = WarmStart(WarmStartType.TRANSFER, ("mother",), relaxed=True, names={"mother": names})
    error = refused(replace(child(), warm_start=warm), parent())
    assert error.field == f"warm_start.parents.mother.{field}"
    assert error.hint == f"Did you mean {meant!r}?"


def test_the_type_must_stay() -> None:
    error = refused(child(ranges=(RANGES[0], Continuous("layers", 1, 5), RANGES[2])), parent())
    assert (error.field, error.value) == ("warm_start.parents.mother.ranges.layers", "continuous")
    assert "integer" in error.reason


def test_changes_count_categories_one_by_one() -> None:
    mother = tuning_spec("mother", ranges=(Categorical("c", ("red", "blue")), Integer("n", 1, 5)), statics={"s": "red"})
    ours = Definition(mother.definition.training, mother.definition.objective, (), statics={"c": "red", "n": "3", "s": "blue"})
    assert [(c.parameter, c.cost) for c in changes(mother.definition, ours)] == [("c", 2), ("n", 1), ("s", 2)]


def test_at_most_ten_changes() -> None:
    statics = {f"s{i}": "a" for i in range(6)}
    mother = parent(tuning_spec("mother", training=TWO_METRICS, statics=statics))
    five = {**statics, **{f"s{i}": "b" for i in range(5)}}
    check_warm_start(child(statics=five), [mother], Quotas())
    error = refused(child(statics=dict.fromkeys(statics, "b")), mother)
    assert error.value == 12
    assert "s3: static 'a' -> static 'b' (2)" in error.reason


@pytest.mark.parametrize(
    ("field", "value"),
    [("environment", {"A": "2"}), ("max_retries", 2), ("network_isolation", True), ("encrypted_traffic", True)],
)
def test_other_fields_may_not_change(field: str, value: object) -> None:
    error = refused(child(training=replace(TWO_METRICS, **{field: value})), parent())
    assert error.field == f"warm_start.parents.mother.{field.removeprefix('max_')}"
    assert error.value == value
    assert error.code == "warm-start-fields"


def test_all_that_is_broken_is_shown_each_with_its_field_and_both_values() -> None:
    ranges = (Integer("lr", 1, 5), Continuous("layers", 1, 5), RANGES[2])
    spec = child(metric="auc", ranges=ranges, training=replace(TWO_METRICS, max_retries=2, environment={"A": "2"}))
    records = check_records(list(warm_start_checks(spec, [parent()], AWS)))
    assert [r["why"] for r in records if r["kept"] is False] == [
        "objective.metric: 'auc': the parent's objective is 'loss'; it must be the same metric",
        "ranges.lr: 'integer': the parent's range is continuous; the type must stay the same",
        "ranges.layers: 'continuous': the parent's range is integer; the type must stay the same",
        "environment: {'A': '2'}: the parent has {}; this field may not change",
        "retries: 2: the parent has 0; this field may not change",
    ]


def test_the_changeable_fields_may_change() -> None:
    training = replace(TWO_METRICS, role="other", max_runtime_seconds=5, spot=True)
    check_warm_start(child(training=training), [parent()], Quotas())


def test_parents_count_against_the_cap() -> None:
    error = refused(child(jobs=6), parent(jobs=500), parent(jobs=245), quotas=Quotas(max_jobs=750))
    assert error.field == "limits.jobs"
    assert "745" in error.reason
    check_warm_start(child(jobs=5), [parent(jobs=500), parent(jobs=245)], Quotas(max_jobs=750))


@pytest.mark.parametrize(("before", "filled"), [((), 750), ((500, 245), 5), ((750,), 1)])
def test_who_names_no_number_of_jobs_gets_what_is_left(before: tuple[int, ...], filled: int) -> None:
    free = replace(child(), limits=Limits(None, 1, 600))
    mothers = [parent(jobs=n) for n in before]
    spec = bounded(free, mothers, AWS)
    assert spec.limits == Limits(filled, 1, 600)
    assert bounded(free, mothers, RELAXED) == free
    if before == (750,):
        with pytest.raises(InvalidValue, match="the limit is 750"):
            check_warm_start(spec, mothers, AWS)
    else:
        check_warm_start(spec, mothers, AWS)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (tuning_spec("child", warm_start=WarmStart(WarmStartType.TRANSFER, ())), "warm_start.parents"),
        (tuning_spec("child", warm_start=WarmStart(WarmStartType.TRANSFER, tuple("abcdef"))), "warm_start.parents"),
        (tuning_spec("child", warm_start=WarmStart(WarmStartType.TRANSFER, ("a", "A"))), "warm_start.parents"),
        (tuning_spec("child", warm_start=WarmStart(WarmStartType.TRANSFER, ("Child",))), "warm_start.parents"),
        (tuning_spec("child", warm_start=WARM, strategy=StrategyName.GRID, ranges=RANGES[2:], jobs=None), "strategy"),
        (tuning_spec("child", warm_start=WARM, strategy=StrategyName.HYPERBAND, statics={"epochs": "9"}), "strategy"),
    ],
)
def test_what_the_child_alone_gets_wrong(spec: TuningJobSpec, field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_spec(spec, Quotas())
    assert caught.value.field == field


def test_a_child_without_metrics_has_those_of_the_first_parent_that_defines_its_objective() -> None:
    plain = child(training=TrainingSpec(Algorithm(command="true")))
    other = parent(tuning_spec("other", training=TrainingSpec(Algorithm("true", metrics=(MetricDefinition("auc", "x(.)"),)))))
    assert lacks_metrics(plain)
    completed = with_parents_metrics(plain, [other, parent()])
    assert completed.definition.training.algorithm.metrics == TWO_METRICS.algorithm.metrics
    check_spec(completed, AWS)
    assert with_parents_metrics(plain, [other]) == plain


def test_metrics_of_ones_own_stay_and_a_cold_job_gets_none() -> None:
    own = TrainingSpec(Algorithm("true", metrics=(MetricDefinition("loss", "mine=(.*)"),)))
    assert not lacks_metrics(child(training=own))
    assert with_parents_metrics(child(training=own), [parent()]).definition.training == own
    assert not lacks_metrics(tuning_spec("cold", training=TrainingSpec(Algorithm(command="true"))))


def test_an_ancestor_is_told_apart_from_a_parent() -> None:
    def remarks(*mothers: ParentJob) -> list[str]:
        return [r["rule"] for r in check_records(list(warm_start_checks(child(), mothers, AWS))) if r["kept"] is None]

    assert remarks(parent()) == ["results to learn from"]
    assert remarks(replace(parent(), direct=False)) == ["a parent's parent", "results to learn from"]


def test_of_a_range_with_an_open_end_parent_and_child_search_the_same() -> None:
    options = {"ranges": (Continuous("subsample", 0, 1),), "metric": "validation:rmse", "statics": {"num_round": "1"}}
    boosted = TrainingSpec(Algorithm(image="xgboost"))
    mother = parent(tuning_spec("mother", training=boosted, **options))
    ended = {"status": TrainingJobStatus.COMPLETED, "objective_status": ObjectiveStatus.SUCCEEDED, "objective_value": 0.5}
    mother = replace(mother, jobs=tuple(replace(j, tuned={"subsample": f"0.{j.number + 1}"}, **ended) for j in mother.jobs))
    job = replace(mother.job, spec=child(training=boosted, **options))
    found = warm_start_report(Snapshot(job, (), (mother,)))
    assert [p["how"] for p in found.parents[0].parameters] == ["value"]
