"""What the commands say before a tuning job of several training job definitions runs, which a request may have."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from rekindle.cli.metrics import catch
from rekindle.cli.plan import _show, plan_record
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.tuning_job import RELAXED, Definition, TuningJobSpec
from rekindle.engine.commands import check_tuning_job
from rekindle.search.space import Categorical
from support.engine import Engine
from support.specs import tuning_spec


def several() -> TuningJobSpec:
    """Two definitions with a hyperparameter of one name, each with its own values, statics and patterns."""
    base = tuning_spec(jobs=4)

    def definition(name: str, pattern: str, *values: str) -> Definition:
        algorithm = replace(base.definition.training.algorithm, metrics=(MetricDefinition("loss", pattern),))
        training = replace(base.definition.training, algorithm=algorithm)
        return Definition(training, base.definition.objective, (Categorical("x", values),), {"of": name}, name)

    return replace(base, definitions=(definition("one", "loss=(.*)", "1", "2"), definition("two", "cost=(.*)", "7", "8", "9")))


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
