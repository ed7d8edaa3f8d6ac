"""The ask/tell wrapper."""

from __future__ import annotations

import math

import pytest

from rekindle.search import Continuous, Integer, Space, SpaceExhausted, TrialState, Tuner, TunerError
from rekindle.search.random_search import RandomSearch
from rekindle.search.tuner import make_strategy

SPACE = Space([Continuous("x", 0.0, 1.0)])


def test_ask_tell_best() -> None:
    tuner = Tuner(SPACE, "random", direction="maximize", seed=1)
    trials = [tuner.ask() for _ in range(3)]
    for trial, value in zip(trials, (1.0, 3.0, 2.0), strict=True):
        tuner.tell(trial.id, value)
    assert (tuner.best.id, tuner.best.value, tuner.best.values) == (1, 3.0, trials[1].values)


@pytest.mark.parametrize("value", ["x", None, [1.0], 10**400])
def test_a_value_that_is_no_number_is_refused_and_ends_nothing(value: object) -> None:
    tuner = Tuner(SPACE, "random", seed=1)
    trial = tuner.ask()
    before = tuner.history
    with pytest.raises(TunerError, match="not a number"):
        tuner.tell(trial.id, value)  # type: ignore[arg-type]
    if value is not None:
        with pytest.raises(TunerError, match="not a number"):
            tuner.add({"x": 0.5}, value)  # type: ignore[arg-type]
    assert tuner.history == before
    tuner.tell(trial.id, 1.0)
    assert tuner.best.value == 1.0


@pytest.mark.parametrize("seed", [-1, 1.5, None, "7"])
def test_a_seed_that_is_none_is_refused(seed: object) -> None:
    with pytest.raises(ValueError, match="is no whole number from 0 on"):
        Tuner(SPACE, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_a_failure(value: float) -> None:
    tuner = Tuner(SPACE, "random")
    tuner.tell(tuner.ask().id, value)
    assert [t.state for t in tuner.history.trials] == [TrialState.FAILED]
    with pytest.raises(TunerError, match="no trial has a value"):
        _ = tuner.best


def test_the_history_lists_finished_trials_as_they_finished_then_pending_ones() -> None:
    tuner = Tuner(SPACE, "random")
    for _ in range(4):
        tuner.ask()
    tuner.tell(2, 1.0)
    tuner.fail(0)
    assert [t.id for t in tuner.history.trials] == [2, 0, 1, 3]
    assert tuner.history.asked == 4


def test_a_trial_ends_once() -> None:
    tuner = Tuner(SPACE, "random")
    trial = tuner.ask()
    tuner.tell(trial.id, 1.0)
    for call in (
        lambda: tuner.tell(trial.id, 1.0),
        lambda: tuner.fail(trial.id),
        lambda: tuner.report(trial.id, 1, 1.0),
        lambda: tuner.fail(9),
    ):
        with pytest.raises(TunerError, match="not running"):
            call()


def test_added_trials_count_and_are_checked() -> None:
    tuner = Tuner(SPACE, "random")
    tuner.add({"x": 0.25}, -1.0)
    tuner.add({"x": 0.5}, None)
    assert tuner.best.values == {"x": 0.25}
    assert tuner.ask().id == 2
    with pytest.raises(ValueError, match="outside the range"):
        tuner.add({"x": 2.0}, 0.0)


def test_reports_reach_the_history() -> None:
    tuner = Tuner(SPACE, "random")
    tuner.report(tuner.ask().id, 1, 0.5)
    assert [(o.step, o.value) for o in tuner.history.trials[0].curve] == [(1, 0.5)]
    assert tuner.to_stop() == []


def test_exhaustion_is_said() -> None:
    tuner = Tuner(Space([Integer("k", 1, 2)]), "grid")
    tuner.ask(), tuner.ask()
    with pytest.raises(SpaceExhausted, match="all 2"):
        tuner.ask()


def test_a_strategy_object_is_taken_as_it_is() -> None:
    assert Tuner(SPACE, RandomSearch(SPACE, 5)).ask().values == Tuner(SPACE, "random", seed=5).ask().values


def test_names_that_nobody_knows() -> None:
    with pytest.raises(ValueError, match="simulated annealing"):
        make_strategy("simulated annealing", SPACE, "minimize", 0)
    with pytest.raises(ValueError, match="sideways"):
        Tuner(SPACE, direction="sideways")  # type: ignore[arg-type]


def test_explain_gives_the_source() -> None:
    tuner = Tuner(SPACE, "bayesian")
    assert tuner.explain(tuner.ask().id)["source"] == "initial"
    with pytest.raises(TunerError, match="not proposed"):
        tuner.explain(7)


def test_of_equals_the_one_that_ended_first_is_the_best() -> None:
    tuner = Tuner(SPACE, "random")
    for _ in range(3):
        tuner.ask()
    for i in (2, 0, 1):
        tuner.tell(i, 1.0)
    assert tuner.best.id == 2
