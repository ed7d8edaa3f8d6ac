"""Notes are computed from records, and say nothing where there is nothing to say."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.decisions import Snapshot
from rekindle.domain.health import notes
from rekindle.domain.note import Note
from rekindle.domain.search_plan import next_definition
from rekindle.domain.training_job import (
    Algorithm,
    FinalMetric,
    ObjectiveStatus,
    Owner,
    SecondaryStatus,
    TrainingJob,
    TrainingJobStatus,
)
from rekindle.domain.tuning_job import Hyperband, Objective, StrategyName, TuningJob, TuningJobSpec, format_value
from rekindle.search.history import Direction
from rekindle.search.space import Categorical, Continuous, Parameter
from support.specs import tuning_spec

RANGES: tuple[Parameter, ...] = (Continuous("x", 0, 1), Continuous("idle", 0, 1), Categorical("c", ("a", "b", "c")))


def snapshot(
    count: int, value: Callable[[dict[str, float | str]], float | None], spec: TuningJobSpec | None = None
) -> Snapshot:
    chance = random.Random(3)
    spec = spec or tuning_spec(jobs=100, ranges=RANGES)
    job = TuningJob(spec, Owner(), "uid", created_at=1.0, id=1)
    jobs = []
    for number in range(1, count + 1):
        chosen = {"x": chance.random(), "idle": chance.random(), "c": chance.choice("abc")}
        jobs.append(training_job(spec, number, chosen, value(chosen)))
    return Snapshot(replace(job, seq=2 * count), tuple(jobs))


def training_job(spec: TuningJobSpec, number: int, chosen: dict[str, float | str], result: float | None) -> TrainingJob:
    return TrainingJob(
        f"job-{number}",
        Owner(),
        spec.definition.training,
        {},
        1.0,
        number=number,
        objective_metric=spec.definition.objective.metric,
        tuned={name: format_value(v) for name, v in chosen.items()},
        status=TrainingJobStatus.COMPLETED,
        objective_status=ObjectiveStatus.FAILED if result is None else ObjectiveStatus.SUCCEEDED,
        objective_value=result,
        launched_seq=2 * number - 1,
        finished_seq=2 * number,
    )


def kinds(found: Snapshot) -> list[str]:
    return [n.kind for n in notes(found)]


@pytest.mark.parametrize(
    ("metric", "goal", "statics", "wrong"),
    [
        ("validation:logloss", "maximize", {}, True),
        ("validation:logloss", "minimize", {}, False),
        ("validation:auc", "minimize", {}, True),
        ("validation:auc", "maximize", {}, False),
        ("validation:logloss", "maximize", {"sagemaker_program": "train.py"}, False),
    ],
)
def test_the_goal_that_seeks_a_built_in_algorithms_worst_is_told(
    metric: str, goal: Direction, statics: dict[str, str], wrong: bool
) -> None:
    xgboost = builtin_named("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1")
    assert xgboost is not None
    algorithm = Algorithm(
        image=f"683313688378.dkr.ecr.us-east-1.amazonaws.com/{xgboost.images[0]}:1.7-1", metrics=xgboost.metrics
    )
    plain = tuning_spec(jobs=3, ranges=RANGES).definition
    definition = replace(
        plain, training=replace(plain.training, algorithm=algorithm), objective=Objective(metric, goal), statics=statics
    )
    found = snapshot(0, lambda _: None, replace(tuning_spec(jobs=3, ranges=RANGES), definitions=(definition,)))
    assert ("wrong-way" in kinds(found)) == wrong


def test_a_healthy_job_has_no_notes() -> None:
    assert kinds(snapshot(40, lambda c: (float(c["x"]) - 0.5) ** 2 + (float(c["idle"]) - 0.5) ** 2 + (c["c"] == "a"))) == []


def test_results_cut_by_the_time_limit_are_told() -> None:
    found = snapshot(6, lambda c: float(c["x"]))

    def told(late: int, *limits: int) -> list[Note]:
        specs = itertools.cycle(replace(found.jobs[0].spec, max_runtime_seconds=limit) for limit in limits or (50,))
        cut = [replace(j, spec=next(specs), secondary=SecondaryStatus.MAX_RUNTIME_EXCEEDED) for j in found.jobs[:late]]
        return [n for n in notes(replace(found, jobs=(*cut, *found.jobs[late:]))) if n.kind == "out-of-time"]

    assert told(2) == []
    (note,) = told(3)
    assert note.facts == {"training_jobs": 3, "ended": 6, "limit": 50}
    assert "3 of 6 training jobs were stopped at their time limit of 50 s" in note.text
    (note,) = told(4, 50, 200)
    assert "4 of 6 training jobs were stopped at their time limit of 50 or 200 s" in note.text
    assert note.facts["limit"] == 200
    assert told(4, 200, 50) == [note]


def test_a_rule_that_looks_at_curves_needs_curves() -> None:
    """Hyperband and the median rule say that they have nothing to judge by, unless one value is all that there is to come."""

    def printed(spec: TuningJobSpec, *counts: int) -> list[str]:
        found = snapshot(len(counts), lambda c: float(c["x"]), spec)
        last = {"loss": FinalMetric(0.5, 1.0), "accuracy": FinalMetric(0.5, 1.0)}
        jobs = [replace(j, points_seen=n, final_metrics=last) for j, n in zip(found.jobs, counts, strict=True)]
        return [n.kind for n in notes(replace(found, jobs=tuple(jobs))) if n.kind == "printed-once"]

    plain = tuning_spec(jobs=100, ranges=RANGES)
    halving = replace(plain, strategy=StrategyName.HYPERBAND, hyperband=Hyperband(1, 9))
    for spec in (replace(plain, early_stopping=True), halving):
        assert printed(spec, 2, 2, 2) == ["printed-once"]
        assert printed(spec, 2, 2) == [], "two may be chance"
        assert printed(spec, 2, 2, 3) == [], "one has a curve"
    assert printed(plain, 2, 2, 2) == [], "nobody looks at curves"
    assert printed(replace(halving, hyperband=Hyperband(1, 1)), 2, 2, 2) == []


def test_a_script_that_goes_on_from_a_checkpoint_and_prints_less_is_told() -> None:
    """Its values are counted from 1 again: at a rung it would be compared by a later epoch's."""

    def told(spec: TuningJobSpec, *counts: tuple[int, int]) -> list[Note]:
        found = snapshot(len(counts), lambda c: float(c["x"]), spec)
        jobs = [replace(j, attempt=a, points_seen=n) for j, (a, n) in zip(found.jobs, counts, strict=True)]
        return [n for n in notes(replace(found, jobs=tuple(jobs))) if n.kind == "resumed-short"]

    plain = tuning_spec(jobs=100, ranges=RANGES)
    watched = replace(plain, early_stopping=True)
    (note,) = told(watched, (1, 9), (1, 9), (1, 8), (2, 5), (3, 9), (2, 4))
    assert {**note.facts, "last": ""} == {"training_jobs": 2, "last": "", "values": 4, "usual": 9}
    assert "early stopping takes the first of them for epoch 1. Print 'loss'" in note.text
    assert told(watched, (1, 9), (1, 9), (1, 9), (2, 9)) == [], "it printed the values before once more, or began from scratch"
    assert told(watched, (1, 9), (1, 9), (2, 5)) == [], "two do not say what is usual"
    assert told(plain, (1, 9), (1, 9), (1, 9), (2, 5)) == [], "nobody looks at curves"


def test_a_best_on_the_edge_says_which_end() -> None:
    (note,) = [n for n in notes(snapshot(200, lambda c: -float(c["x"]))) if n.kind == "best-on-edge"]
    assert note.facts["parameter"] == "x"
    assert note.facts["end"] == "high"
    assert note.facts["limit"] == 1.0
    assert "widen it" in note.text
    assert re.fullmatch(r"the best x, 0\.\d{1,6}, lies at the high end of its range \(1\): widen it", note.text)


def test_a_parameter_without_effect_is_named() -> None:
    idle = [n.facts["parameter"] for n in notes(snapshot(300, lambda c: (float(c["x"]) - 0.5) ** 2)) if n.kind == "no-effect"]
    # Whichever of the two looks like chance; the one that matters never does.
    assert idle
    assert set(idle) <= {"idle", "c"}


def test_a_constant_objective_is_said() -> None:
    assert kinds(snapshot(8, lambda _: 0.5)) == ["objective-constant"]
    assert kinds(snapshot(4, lambda _: 0.5)) == []


def test_a_regex_that_never_matched_is_said() -> None:
    (note,) = notes(snapshot(3, lambda _: None))
    assert note.kind == "no-metric"
    assert note.facts == {"metric": "loss", "training_jobs": 3, "last": "job-3"}


def test_failures_alike_are_counted() -> None:
    found = snapshot(3, lambda _: None)
    reasons = ("a\nValueError: no", "b\nValueError: no", "KeyError: 'k'")
    failed = [replace(j, status=TrainingJobStatus.FAILED, failure_reason=r) for j, r in zip(found.jobs, reasons, strict=True)]
    (note,) = notes(replace(found, jobs=tuple(failed)))
    assert note.facts == {"failed": 3, "alike": 2, "cause": "ValueError: no"}


def test_the_winning_definition_gets_most_and_none_starves() -> None:
    one = tuning_spec(jobs=100, ranges=RANGES).definition
    spec = replace(tuning_spec(jobs=100), definitions=tuple(replace(one, name=n) for n in ("good", "poor", "worse")))
    value = {"good": 0.1, "poor": 0.5, "worse": 0.9}
    now = Snapshot(TuningJob(spec, Owner(), "uid", created_at=1.0, id=1))
    for number in range(1, 61):
        name = next_definition(now).name or ""
        trial = training_job(spec, number, {"x": 0.5}, value[name])
        now = replace(now, jobs=(*now.jobs, replace(trial, definition_name=name)))
    counts = [sum(j.definition_name == name for j in now.jobs) for name in ("good", "poor", "worse")]
    assert counts[0] >= 38
    assert min(counts) >= 10


def test_few_results_call_no_parameter_idle() -> None:
    assert "no-effect" not in kinds(snapshot(59, lambda c: (float(c["x"]) - 0.5) ** 2))


def test_of_several_definitions_each_has_its_notes() -> None:
    one = tuning_spec(jobs=100, ranges=RANGES).definition
    spec = replace(tuning_spec(jobs=100), definitions=tuple(replace(one, name=n) for n in ("first", "second")))
    jobs = []
    for number in range(1, 161):
        which, chosen = ("first", "second")[number % 2], {"x": (number * 0.37) % 1.0, "idle": (number * 0.61) % 1.0, "c": "b"}
        value = -chosen["x"] if which == "first" else (chosen["x"] - 0.5) ** 2
        jobs.append(replace(training_job(spec, number, chosen, value), definition_name=which))
    job = TuningJob(spec, Owner(), "uid", created_at=1.0, id=1)
    found = [n for n in notes(Snapshot(replace(job, seq=400), tuple(jobs))) if n.kind == "best-on-edge"]
    assert [(n.facts["definition"], n.facts["parameter"]) for n in found] == [("first", "x")]
    assert found[0].text.startswith("first: the best x, ")
