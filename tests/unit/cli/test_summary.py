"""The best training jobs as a table, and what a tuning job's record says of Hyperband."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from rekindle.cli.printing import complain
from rekindle.cli.records import hyperband_record, trial_record
from rekindle.cli.summary import show_best, show_end
from rekindle.domain.tuning_job import Hyperband, StrategyName, WarmStart, WarmStartType
from rekindle.engine.commands import stop_training_job
from rekindle.engine.explain import explain_training_job
from rekindle.engine.queries import describe
from support.engine import Engine
from support.simulated import Script
from support.specs import RANGES, tuning_spec


def test_the_overall_best_shows_what_a_parent_tuned_and_is_static_here(capsys: Any) -> None:
    engine = Engine(lambda h: Script((float(h["lr"]) + (h["act"] == "tanh"),)))
    engine.create(tuning_spec("old", jobs=8))
    engine.run("old")
    warm = WarmStart(WarmStartType.IDENTICAL, ("old",))
    fewer = {"ranges": RANGES[:2], "statics": {"act": "tanh"}}
    engine.create(tuning_spec("child", jobs=2, warm_start=warm, **fewer))
    engine.run("child")
    show_best(describe(engine.store, engine.owner, "child"))
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.split()}
    assert rows["act"] == ["tanh", "relu"]
    assert len(rows["lr"]) == len(rows["layers"]) == 2


def test_a_best_training_job_whose_model_was_not_taken_anywhere_says_where_it_is(capsys: Any) -> None:
    engine = Engine(lambda h: Script((float(h["lr"]),)))
    engine.create(tuning_spec("job", jobs=2))
    engine.run("job")
    view = describe(engine.store, engine.owner, "job")
    show_best(view)
    assert "has no model" not in capsys.readouterr().out
    reason = "ClientError: Artifact upload failed: ExpiredToken. What was trained is kept in /runs/job/model"
    show_best(replace(view, best=replace(view.best, failure_reason=reason)))
    assert f"{view.best.name} has no model: {reason}\n" in capsys.readouterr().out


def test_where_nothing_ran_no_log_is_named(capsys: Any) -> None:
    engine = Engine(lambda h: Script((float(h["lr"]),)))
    engine.create(tuning_spec("none", jobs=2))
    show_end(describe(engine.store, engine.owner, "none"), None)
    following = capsys.readouterr().out.partition("Next:\n")[2].splitlines()
    assert [line.split("  ")[1] for line in following] == ["rekindle show none"]


@pytest.mark.parametrize("columns", [60, 80])
def test_the_next_commands_break_in_no_word(capsys: Any, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    engine = Engine(lambda h: Script((float(h["lr"]),)))
    engine.create(tuning_spec("digits-svm-grid", jobs=2))
    engine.run("digits-svm-grid")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    show_end(describe(engine.store, engine.owner, "digits-svm-grid"), None)
    following = capsys.readouterr().out.partition("Next:\n")[2].splitlines()
    assert "  rekindle trials digits-svm-grid --sort objective" in following
    assert "      in a new job file: go on from here" in following
    assert all(len(line) <= columns for line in following if "warm_start" not in line)


@pytest.mark.parametrize(
    ("statics", "given", "expected"),
    [
        ({"epochs": "27"}, None, {"min_resource": 1, "max_resource": 27, "sampler": "random"}),
        ({}, Hyperband(2, 9, "bayesian"), {"min_resource": 2, "max_resource": 9, "sampler": "bayesian"}),
    ],
)
def test_hyperbands_resources_are_told_also_where_they_are_inferred(
    statics: dict[str, str], given: Hyperband | None, expected: dict[str, Any]
) -> None:
    spec = replace(tuning_spec(strategy=StrategyName.HYPERBAND, statics=statics), hyperband=given)
    assert hyperband_record(spec) == expected
    assert hyperband_record(tuning_spec(strategy=StrategyName.RANDOM)) is None
    several = tuple(replace(spec.definition, name=n, statics={"epochs": n}) for n in ("3", "9"))
    found = hyperband_record(replace(spec, definitions=several))
    assert found is not None
    assert found["max_resource"] == (None if given is None else 9)


def test_no_word_of_a_training_job_is_a_command_to_the_terminal(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(lambda h: Script((float(h["lr"]),)))
    engine.create(tuning_spec("job", jobs=2))
    engine.run("job")
    view = describe(engine.store, engine.owner, "job")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    hostile = "boom \x1b[2J\u202e"
    show_end(replace(view, job=replace(view.job, failure_reason=hostile)), None)
    complain(hostile)
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert "boom \\x1b[2J\\u202e" in text
        assert "\x1b[2J" not in text


def test_a_training_job_that_is_to_stop_is_stopping_from_the_moment_somebody_asks() -> None:
    """Everywhere, as in the API's answers: the worker may take a while to hear of it, or not run at all."""
    engine = Engine()
    job = engine.create(tuning_spec("job", jobs=2))
    engine.worker().tick()
    asked = stop_training_job(engine.store, engine.owner, engine.trials("job")[0].name)
    assert trial_record(engine.trials("job")[0], job)["status"] == "Stopping"
    assert trial_record(engine.trials("job")[1], job)["status"] == "InProgress"
    assert explain_training_job(engine.store, engine.owner, asked.name)["status"] == "Stopping"
