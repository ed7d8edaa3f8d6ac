"""The ask/tell wrapper."""

from __future__ import annotations

import copy
import json
import math
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rekindle.search import Categorical, Continuous, Integer, Parent, Space, SpaceExhausted, TrialState, Tuner, TunerError
from rekindle.search.early_stopping import MedianStopping
from rekindle.search.history import Direction
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


@pytest.mark.parametrize("step", [0, -1, 2, 1.5, 1.0, math.nan, "1", None])
def test_a_step_is_the_next_one_or_refused(step: object) -> None:
    tuner = Tuner(SPACE, "random")
    trial = tuner.ask()
    with pytest.raises(TunerError, match=r"^step: .*: the next one of trial 0 is 1: steps count its reports"):
        tuner.report(trial.id, step, 0.5)  # type: ignore[arg-type]
    assert tuner.history.trials[0].curve == ()
    tuner.report(trial.id, np.int64(1), 0.5)
    with pytest.raises(TunerError, match=r"^step: 1: the next one of trial 0 is 2"):
        tuner.report(trial.id, 1, 0.5)


@pytest.mark.parametrize("value", ["x", None, [1.0], 10**400])
def test_a_report_that_is_no_number_is_refused(value: object) -> None:
    tuner = Tuner(SPACE, "random")
    trial = tuner.ask()
    with pytest.raises(TunerError, match="not a number"):
        tuner.report(trial.id, 1, value)  # type: ignore[arg-type]
    assert tuner.history.trials[0].curve == ()


@pytest.mark.parametrize(("direction", "worst"), [("minimize", math.inf), ("maximize", -math.inf)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_report_that_is_not_finite_is_the_worst_there_is(direction: Direction, worst: float, value: float) -> None:
    """What is no number compares with nothing: a trial that has diverged would never be stopped."""
    tuner = Tuner(SPACE, MedianStopping(RandomSearch(SPACE, 0), direction), direction)
    for _ in range(4):
        trial = tuner.ask()
        tuner.report(trial.id, 1, 0.5)
        tuner.tell(trial.id, 0.5)
    trial = tuner.ask()
    tuner.report(trial.id, 1, value)
    assert tuner.history.pending[0].curve[0].value == worst
    assert tuner.to_stop() == [trial.id]


def test_what_is_recorded_is_what_json_can_hold() -> None:
    space = Space([Continuous("x", 0, 1), Integer("k", 1, 5), Categorical("c", ["a", 2])])
    tuner = Tuner(space, "random")
    tuner.add({"x": np.float64(0.5), "k": np.int64(2), "c": np.str_("a")}, np.float32(0.5))
    tuner.add({"x": 1, "k": 2.0, "c": np.int64(2)}, None)
    trial = tuner.ask()
    tuner.report(trial.id, 1, np.float32(0.25))
    tuner.tell(np.int64(trial.id), np.float64(0.25))
    written = json.dumps([[dict(t.configuration), t.value, [o.value for o in t.curve]] for t in tuner.history.trials])
    assert written.startswith('[[{"x": 0.5, "k": 2, "c": "a"}, 0.5, []], [{"x": 1.0, "k": 2, "c": 2}, null, []]')


def test_a_trial_in_place_of_its_id_is_refused_with_the_way_out() -> None:
    tuner = Tuner(SPACE, "random")
    trial = tuner.ask()
    for call in (
        lambda: tuner.tell(trial, 1.0),  # type: ignore[arg-type]
        lambda: tuner.fail([0]),  # type: ignore[arg-type]
        lambda: tuner.report(None, 1, 1.0),  # type: ignore[arg-type]
        lambda: tuner.explain(trial),  # type: ignore[arg-type]
    ):
        with pytest.raises(TunerError, match=r"^trial_id: .* the id of what ask returned: trial.id"):
            call()


def test_threads_share_a_tuner() -> None:
    """Two threads that ask at once get two trials; none is lost, none given out twice."""
    tuner = Tuner(Space([Continuous("x", 0, 1), Integer("k", 1, 1000)]), "random")

    def work(_: int) -> tuple[int, float]:
        trial = tuner.ask()
        for step in range(1, 4):
            tuner.report(trial.id, step, 0.5)
            tuner.to_stop()
        value = float(trial.values["x"])
        tuner.tell(trial.id, value)
        return trial.id, value

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            done = dict(pool.map(work, range(160)))
    finally:
        sys.setswitchinterval(before)
    assert sorted(done) == list(range(160))
    assert {t.id: t.value for t in tuner.history.trials} == done
    orders = [o for t in tuner.history.trials for o in (*(p.order for p in t.curve), t.ended)]
    assert sorted(orders) == list(range(1, 160 * 4 + 1))  # type: ignore[type-var]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_goes_on_by_itself(copied: Callable[[Tuner], Tuner]) -> None:
    tuner = Tuner(SPACE, "bayesian", parents=[Parent(SPACE, [({"x": x / 10}, x / 10) for x in range(10)])])
    for _ in range(3):
        tuner.tell(tuner.ask().id, 1.0)
    running = tuner.ask()
    tuner.report(running.id, 1, 0.5)
    before = tuner.history
    other = copied(tuner)
    assert other.history == before
    first = other.ask()
    other.tell(running.id, 0.1)
    assert tuner.history == before
    assert tuner.ask() == first
    assert (other.best.value, tuner.best.value) == (0.1, 1.0)


def test_what_a_tuner_is_made_of_is_checked_when_it_is_made() -> None:
    parent = Parent(SPACE, [({"x": 0.5}, 1.0)])
    for make, words in (
        (lambda: Tuner([Continuous("x", 0, 1)]), r"^space .*write Space\(\["),  # type: ignore[arg-type]
        (lambda: Tuner(SPACE, parents=parent), r"^parents: parent parent alone is no list; write parents=\["),  # type: ignore[arg-type]
        (lambda: Tuner(SPACE, parents=["old"]), r"^parents: 'old' is no Parent; write"),  # type: ignore[list-item]
        (lambda: Tuner(SPACE, RandomSearch), "neither a name nor a Strategy object"),  # type: ignore[arg-type]
        (lambda: Tuner(SPACE, object()), "neither a name nor a Strategy object"),  # type: ignore[arg-type]
        (lambda: Tuner(SPACE, RandomSearch(Space([Continuous("y", 0, 1)]), 0)), "searches another space"),
        (
            lambda: Tuner(SPACE, MedianStopping(RandomSearch(SPACE, 0), "maximize")),
            r"^direction 'minimize' is not that of the strategy, 'maximize'; give both the same",
        ),
        (lambda: Tuner(SPACE, RandomSearch(SPACE, 0), parents=[parent]), "parents go with a strategy's name"),
        (lambda: Tuner(SPACE, "random", parents=[parent]), r"^parents: 'random' search looks at no results.*take 'bayesian'"),
        (lambda: Tuner(SPACE, "grid", parents=[parent]), r"^parents: 'grid' search looks at no results"),
        (lambda: Tuner(SPACE, "hyperband"), "a Strategy object, such as"),
    ):
        with pytest.raises(ValueError, match=words):
            make()


@pytest.mark.parametrize(
    "trial", [1, ({"x": 0.5},), ("x", 1.0), ({"x": 0.5}, "good"), ({"x": [0.5]}, 1.0), ({"x": 0.5}, 1.0, 2)]
)
def test_a_parents_result_that_is_none_is_named_when_it_is_made(trial: object) -> None:
    with pytest.raises(ValueError, match=r"^parent old: trials\[1\]: "):
        Parent(SPACE, [({"x": 0.5}, 1.0), trial], name="old")  # type: ignore[list-item]


def test_a_parents_results_are_kept_as_pythons_own_values() -> None:
    space = Space([Continuous("x", 0, 1), Categorical("c", ["a", 1])])
    found = Parent(space, [({"x": np.float64(0.5), "c": np.int64(1)}, np.float32(2)), ({"x": 0.1, "c": np.str_("a")}, None)])
    assert json.dumps(found.trials) == '[[{"x": 0.5, "c": 1}, 2.0], [{"x": 0.1, "c": "a"}, null]]'
    with pytest.raises(ValueError, match=r"^parent old: space None is no Space"):
        Parent(None, [], name="old")  # type: ignore[arg-type]
    for trials in (None, 5):
        with pytest.raises(ValueError, match=rf"^parent old: trials {trials} are no list; write \[\({{'lr': 0.1}}, 0.9\)"):
            Parent(SPACE, trials, name="old")  # type: ignore[arg-type]
    for held in (None, [("x", 0.5)], "x"):
        with pytest.raises(ValueError, match=r"^parent old: held: .* is no mapping of names to values, such as {'lr': 0.1}"):
            Parent(SPACE, [], held=held, name="old")  # type: ignore[arg-type]


def test_none_is_a_category_like_others_with_parents_too() -> None:
    space = Space([Categorical("depth", [None, "log2", "sqrt"]), Continuous("x", 0, 1)])  # type: ignore[list-item]
    value = {None: 0.0, "log2": 1.0, "sqrt": 2.0}
    rows = [({"depth": d, "x": x / 10}, value[d] + x / 10) for d in value for x in range(8)]  # type: ignore[index]
    tuner = Tuner(space, parents=[Parent(space, rows, "identical")])  # type: ignore[arg-type]
    trial = tuner.ask()
    parent = tuner.explain(trial.id)["parents"]["parents"][0]  # type: ignore[index]
    assert (parent["counts"]["used"], parent["best_configuration"]) == (24, {"depth": None, "x": 0.0})


def test_a_range_of_few_floating_point_numbers_is_not_said_to_be_all_of_its_space() -> None:
    space = Space([Continuous("x", 1.0, 1.0 + 4 * 2.0**-52)])
    tuner = Tuner(space, "random")
    for place in range(5):
        tuner.add({"x": 1.0 + place * 2.0**-52}, 1.0)
    with pytest.raises(SpaceExhausted, match="nothing new was found beside the 5 configurations tried or running: floating"):
        tuner.ask()
