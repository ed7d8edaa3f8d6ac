"""History from elsewhere: checked as strictly as any input, all or nothing, and a parent like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rekindle.api.translate.history import request_of, results_of
from rekindle.domain.errors import InvalidValue, LimitExceeded, NameInUse, NotFound
from rekindle.domain.tuning_job import StrategyName, TuningJob, TuningJobStatus, WarmStart, WarmStartType
from rekindle.domain.tuning_rules import RELAXED, Quotas
from rekindle.engine.imports import Result, import_tuning_job
from rekindle.engine.queries import describe
from rekindle.exchange.rows import read_results
from rekindle.search.space import Categorical
from support.engine import Engine
from support.specs import RANGES, tuning_spec

CSV = "lr,layers,act,loss\n0.01,2,relu,0.5\n0.02,3.0,tanh,0.25\n0.03,1,relu,\n0.001,4,relu,nan\n"


@pytest.fixture
def engine() -> Engine:
    return Engine()


def imported(engine: Engine, results: list[Result], name: str = "old") -> TuningJob:
    return import_tuning_job(engine.store, engine.clock, engine.owner, tuning_spec(name), results, RELAXED)


def test_rows_become_a_tuning_job_that_has_ended(engine: Engine) -> None:
    job = imported(engine, read_results(CSV, "old.csv", "loss"))
    assert job.imported
    assert job.status is TuningJobStatus.COMPLETED
    view = describe(engine.store, engine.owner, "old")
    assert (view.objectives.succeeded, view.objectives.failed) == (2, 2)
    assert view.best is not None
    assert (view.best.objective_value, dict(view.best.tuned)) == (0.25, {"lr": "0.02", "layers": "3", "act": "tanh"})


def test_spaces_tell_categories_apart_where_only_they_do(engine: Engine) -> None:
    spec = tuning_spec("old")
    acts = (*RANGES[:2], Categorical("act", ("relu", " relu", "tanh")))
    spec = replace(spec, definitions=(replace(spec.definition, ranges=acts),))
    rows = read_results("lr,layers,act,loss\n0.01,2,relu,1\n0.01,3, relu,2\n0.01,4, tanh ,3\n", "old.csv", "loss")
    import_tuning_job(engine.store, engine.clock, engine.owner, spec, rows, RELAXED)
    assert [t.tuned["act"] for t in engine.trials("old")] == ["relu", " relu", "tanh"]


def test_when_it_began_is_unknown_where_nobody_said_so(engine: Engine) -> None:
    rows = ["0.01,2,relu,1,,", "0.01,3,relu,2,,1700000030", "0.01,4,relu,3,1700000000,1700000060"]
    text = "\n".join(["lr,layers,act,loss,started_at,ended_at", *rows])
    imported(engine, read_results(text, "old.csv", "loss"))
    assert [t.started_at for t in engine.trials("old")] == [None, None, 1.7e9]
    assert [t.ended_at for t in engine.trials("old")] == [1.7e9, 1.7e9 + 30, 1.7e9 + 60]


@pytest.mark.parametrize("field", ["name", "failure_reason"])
@pytest.mark.parametrize("character", ["\0", "\ud800"])
def test_what_no_face_could_show_is_refused(engine: Engine, field: str, character: str) -> None:
    row = {"lr": 0.01, "layers": 2, "act": "relu", "loss": 1, field: f"a{character}"}
    with pytest.raises(InvalidValue, match=f"old.jsonl:1.{field}: .*cannot hold the character"):
        imported(engine, read_results(json.dumps(row), "old.jsonl", "loss"))
    with pytest.raises(NotFound):
        engine.store.tuning_job(engine.owner, "old")


def test_no_worker_touches_it(engine: Engine) -> None:
    imported(engine, read_results(CSV, "old.csv", "loss"))
    worker = engine.worker()
    worker.tick()
    assert engine.executor.launches == {}
    assert engine.job("old").status is TuningJobStatus.COMPLETED


def test_it_is_a_parent_like_any_other(engine: Engine) -> None:
    imported(engine, read_results(CSV, "old.csv", "loss"))
    warm = WarmStart(WarmStartType.IDENTICAL, ("old",))
    engine.create(tuning_spec("child", strategy=StrategyName.BAYESIAN, jobs=2, warm_start=warm))
    engine.run("child")
    first = engine.trials("child")[0]
    assert dict(first.tuned) == {"lr": "0.02", "layers": "3", "act": "tanh"}
    overall = describe(engine.store, engine.owner, "child").overall_best
    assert overall is not None


def test_a_parent_from_before_october_2018_is_refused(engine: Engine) -> None:
    rows = [replace(r, created_at=1.5e9) for r in read_results(CSV, "old.csv", "loss")]
    imported(engine, rows)
    with pytest.raises(InvalidValue, match="2018-10-01"):
        engine.create(tuning_spec("child", warm_start=WarmStart(WarmStartType.TRANSFER, ("old",))))


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [
        ("5,2,relu,0.5", "old.csv:2.lr", "5"),
        ("0.01,9,relu,0.5", "old.csv:2.layers", "9"),
        ("0.01,2.5,relu,0.5", "old.csv:2.layers", "2.5"),
        ("0.01,2,sigmoid,0.5", "old.csv:2.act", "sigmoid"),
        ("much,2,relu,0.5", "old.csv:2.lr", "much"),
        ("0.01,2,relu,good", "old.csv:2.loss", "good"),
        ("nan,2,relu,1", "old.csv:2.lr", "nan"),
    ],
)
def test_a_value_that_does_not_fit_refuses_the_whole(engine: Engine, row: str, field: str, value: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        imported(engine, read_results(f"lr,layers,act,loss\n{row}\n0.01,1,relu,1\n", "old.csv", "loss"))
    assert (caught.value.field, caught.value.value) == (field, value)
    with pytest.raises(NotFound):
        engine.job("old")


def test_a_missing_column_is_named(engine: Engine) -> None:
    with pytest.raises(InvalidValue, match=r"old.csv:2.act: the row has no value"):
        imported(engine, read_results("lr,layers,loss\n0.01,2,0.5\n", "old.csv", "loss"))
    with pytest.raises(InvalidValue, match="no column loss or FinalObjectiveValue"):
        read_results("lr,layers\n0.01,2\n", "old.csv", "loss")


def test_a_name_that_is_taken_is_refused(engine: Engine) -> None:
    imported(engine, read_results(CSV, "old.csv", "loss"))
    with pytest.raises(NameInUse, match="--name"):
        imported(engine, read_results(CSV, "old.csv", "loss"), name="OLD")


def test_a_name_that_another_takes_meanwhile_is_refused_with_the_same_way_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(engine, read_results(CSV, "old.csv", "loss"))
    monkeypatch.setattr("rekindle.engine.imports._check_free", lambda *_: None)
    with pytest.raises(NameInUse, match=r"tuning job called 'old'.*--name"):
        imported(engine, read_results(CSV, "old.csv", "loss"))


def test_json_lines_and_the_sdks_data_frame_are_read() -> None:
    lines = (
        '{"lr": 0.01, "layers": 2, "act": "relu", "value": 0.5}\n\n{"lr": 0.02, "layers": 1, "act": "tanh", "value": null}\n'
    )
    assert [r.objective for r in read_results(lines, "a.jsonl", "loss")] == [0.5, None]
    frame = ",act,layers,lr,TrainingJobName,TrainingJobStatus,FinalObjectiveValue\n0,relu,2.0,0.01,a,Completed,0.5\n"
    (row,) = read_results(frame, "a.csv", "loss")
    assert (row.objective, row.values["layers"]) == (0.5, "2.0")


@pytest.mark.parametrize("text", ["[1]\n", "{]\n"])
def test_a_line_that_is_no_object_is_named(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"a\.jsonl:1"):
        read_results(text, "a.jsonl", "loss")


def summary(number: int, **more: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": f"job-{number}",
        "CreationTime": f"2024-05-01T10:0{number}:00+00:00",
        "TrainingEndTime": 1714557900 + number,
        "TrainingJobStatus": "Completed",
        "TunedHyperParameters": {"lr": "0.01"},
        "ObjectiveStatus": "Succeeded",
        "FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "loss", "Value": 0.5},
        **more,
    }


def test_sagemakers_pages_are_read_in_the_order_of_creation() -> None:
    running = summary(3, TrainingJobStatus="InProgress")
    failed = summary(1, TrainingJobStatus="Failed", ObjectiveStatus="Failed")
    found = results_of(
        [("b.json", {"TrainingJobSummaries": [summary(2), running]}), ("a.json", {"TrainingJobSummaries": [failed]})]
    )
    assert [(r.where, r.objective) for r in found] == [
        ("a.json:TrainingJobSummaries[1]", None),
        ("b.json:TrainingJobSummaries[1]", 0.5),
    ]


def test_what_the_service_added_to_a_description_is_no_part_of_the_request() -> None:
    definition = {
        "StaticHyperParameters": {"_tuning_objective_metric": "loss", "epochs": "3"},
        "ResourceConfig": {"InstanceCount": 1},
        "HyperParameterTuningResourceConfig": {"InstanceCount": 1},
    }
    request = request_of({"HyperParameterTuningJobStatus": "Completed", "TrainingJobDefinition": definition, "CreationTime": 1})
    assert request == {
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"epochs": "3"},
            "HyperParameterTuningResourceConfig": {"InstanceCount": 1},
        }
    }


def test_a_grid_that_was_stopped_and_a_space_drawn_from_twice_are_history(engine: Engine) -> None:
    grid = tuning_spec("grid", strategy=StrategyName.GRID, ranges=RANGES[2:])
    rows = [Result(str(i), {"act": "relu"}, float(i)) for i in range(3)]
    job = import_tuning_job(engine.store, engine.clock, engine.owner, grid, rows, RELAXED)
    assert job.spec.strategy is StrategyName.GRID
    with pytest.raises(LimitExceeded, match="number of training jobs: 3"):
        import_tuning_job(engine.store, engine.clock, engine.owner, tuning_spec("many"), rows, Quotas(max_jobs=2))
