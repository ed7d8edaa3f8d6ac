"""What the commands say before a tuning job of several training job definitions runs, which a request may have."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from rekindle.cli.jobs import _show_trials
from rekindle.cli.metrics import catch
from rekindle.cli.plan import _show, plan_record
from rekindle.cli.reasons import show_tuning_job
from rekindle.cli.records import objective_of_all, trial_record, tuning_record
from rekindle.cli.summary import show_best
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.tuning_job import CompletionCriteria, Definition, TuningJobSpec
from rekindle.domain.tuning_rules import RELAXED
from rekindle.engine.commands import check_tuning_job
from rekindle.engine.explain import explain_tuning_job
from rekindle.engine.queries import describe
from rekindle.search.space import Categorical
from support.engine import Engine
from support.simulated import Script
from support.specs import tuning_spec


def several() -> TuningJobSpec:
    """Two definitions with a hyperparameter of one name, each with its own values, statics and patterns."""
    base = tuning_spec(jobs=4)

    def definition(name: str, pattern: str, *values: str) -> Definition:
        algorithm = replace(base.definition.training.algorithm, metrics=(MetricDefinition("loss", pattern),))
        training = replace(base.definition.training, algorithm=algorithm)
        return Definition(training, base.definition.objective, (Categorical("x", values),), {"of": name}, name)

    return replace(base, definitions=(definition("one", "loss=(.*)", "1", "2"), definition("two", "cost=(.*)", "7", "8", "9")))


def with_metrics() -> TuningJobSpec:
    """The same, where the second has a metric of its own."""
    one, two = several().definitions
    algorithm = replace(two.training.algorithm, metrics=(MetricDefinition("cost", "cost=(.*)"),))
    two = replace(two, training=replace(two.training, algorithm=algorithm), objective=replace(two.objective, metric="cost"))
    return replace(several(), definitions=(one, two))


def test_a_plan_shows_what_is_of_each_definition(capsys: Any) -> None:
    engine = Engine()
    checked = check_tuning_job(engine.store, engine.executor, engine.owner, several(), RELAXED)
    record = plan_record(SimpleNamespace(owner=engine.owner, quotas=RELAXED), checked, None)  # type: ignore[arg-type]
    assert record["combinations"] == 5
    assert [(d["name"], d["static"]["of"], d["metrics"]["loss"]) for d in record["definitions"]] == [
        ("one", "one", "loss=(.*)"),
        ("two", "two", "cost=(.*)"),
    ]
    assert (record["name"], record["static"]) == ("job", {"of": "one"})
    _show(record)
    told = " ".join(capsys.readouterr().out.split())
    one, two = told.index("definition one"), told.index("definition two")
    assert one < told.index("1, 2") < told.index("loss=(.*)") < two < told.index("7, 8, 9") < told.index("cost=(.*)")
    assert "first training job one: x=" in told


def test_a_sample_log_is_held_against_the_patterns_of_each_definition() -> None:
    one, two = catch(several().definitions, ["cost=3"])
    assert (one.definition, one.objective, one.count) == ("one", True, 0)
    assert (two.definition, two.objective, two.final) == ("two", True, 3.0)


def test_a_result_bears_the_metric_of_its_own_definition(capsys: Any) -> None:
    """Each definition may have another one: the second's result was shown as the first's."""
    engine = Engine(lambda given: Script((float(given["x"]),)))
    job = engine.create(with_metrics())
    engine.run(job.name)
    found = engine.trials(job.name)
    of_two = next(j for j in found if j.definition_name == "two")
    best = replace(of_two, objective_value=0.25, objective_metric="cost")
    show_best(replace(describe(engine.store, engine.owner, job.name), best=best, overall_best=None))
    told = capsys.readouterr().out
    assert "cost" in told
    assert "loss" not in told
    record = tuning_record(describe(engine.store, engine.owner, job.name))
    assert objective_of_all(record) == {"goal": "minimize", "metric": "loss or cost"}
    _show_trials([{**trial_record(j, job), "seconds": 1.0} for j in found], job, True)
    header = capsys.readouterr().out.splitlines()[0]
    assert "objective" in header
    assert "loss" not in header


def test_what_is_told_of_a_result_names_its_own_metric(capsys: Any) -> None:
    engine = Engine(lambda given: Script((0.1,)))
    engine.executor.metric = "cost"
    job = engine.create(replace(with_metrics(), completion=CompletionCriteria(target=0.5)))
    ended = engine.run(job.name)
    best = next(j for j in engine.trials(job.name) if j.objective_value == 0.1)
    assert ended.ended_because == f"cost = 0.1 of {best.name} reaches the target, 0.5"
    show_tuning_job(explain_tuning_job(engine.store, engine.owner, job.name))
    assert f"cost 0.1 by #{best.number}" in capsys.readouterr().out


def test_a_search_that_stands_still_names_the_metrics_of_all_definitions() -> None:
    engine = Engine(lambda given: Script((0.5,)))
    engine.create(replace(with_metrics(), completion=CompletionCriteria(max_not_improving=3)))
    assert engine.run("job").ended_because == "3 training jobs in a row have not improved loss or cost by 1%"


def test_a_metric_that_never_matched_is_that_of_the_training_jobs_without_it() -> None:
    engine = Engine(lambda given: Script((0.5,)))
    engine.create(with_metrics())
    (note,) = [n for n in engine.run("job").notes or () if n.kind == "no-metric"]
    assert "without a value of 'cost': " in note.text
    assert note.facts["metric"] == "cost"
