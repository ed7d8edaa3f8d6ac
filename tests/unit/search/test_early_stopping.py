"""The median rule, judged step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.search import Continuous, Space, Tuner
from rekindle.search.early_stopping import MedianStopping, first_step
from rekindle.search.history import Direction, History, Observation, Trial, TrialState
from rekindle.search.hyperband import Hyperband
from rekindle.search.random_search import RandomSearch
from rekindle.search.strategy import Strategy
from rekindle.search.tuner import make_strategy

SPACE = Space([Continuous("x", 0, 1)])
RULE = MedianStopping(RandomSearch(SPACE, 0), "minimize")


def ended(id_: int, curve: list[float], at: int, stopped: bool = False) -> Trial:
    points = tuple(Observation(i, v, order=at - 1) for i, v in enumerate(curve, start=1))
    return Trial(id_, {"x": id_ / 1000}, TrialState.SUCCEEDED, curve[-1], points, stopped, ended=at)


def running(id_: int, curve: list[float], order: int = 100) -> Trial:
    return Trial(id_, {"x": id_ / 1000}, curve=tuple(Observation(i, v, order) for i, v in enumerate(curve, start=1)))


def flat(*values: float, steps: int = 8) -> list[Trial]:
    return [ended(i, [v] * steps, at=i * 2 + 2) for i, v in enumerate(values)]


def test_a_trial_behind_the_median_of_running_averages_is_given_up() -> None:
    history = History((*flat(1, 2, 3, 4, 5), running(9, [9.0, 3.5]), running(10, [9.0, 2.5])))
    assert RULE.to_stop(history) == [9]


def test_it_is_the_average_and_not_the_value_at_the_step() -> None:
    falling = [ended(i, [10.0, 2.0, 1.0, 1.0], at=2 * i + 2) for i in range(5)]
    assert RULE.to_stop(History((*falling, running(9, [10.0, 5.9])))) == []
    assert RULE.to_stop(History((*falling, running(9, [10.0, 6.1])))) == [9]


def test_maximise_is_the_mirror_image() -> None:
    rule = MedianStopping(RandomSearch(SPACE, 0), "maximize")
    history = History((*flat(-1, -2, -3, -4, -5), running(9, [-9.0, -3.5]), running(10, [-9.0, -2.5])))
    assert rule.to_stop(history) == [9]


def test_nobody_is_judged_before_four_have_succeeded() -> None:
    assert RULE.to_stop(History((*flat(1, 1, 1), running(9, [9.0] * 4)))) == []
    failed = Trial(3, {"x": 0.5}, TrialState.FAILED, ended=50)
    assert RULE.to_stop(History((*flat(1, 1, 1), failed, running(9, [9.0] * 4)))) == []
    assert RULE.to_stop(History((*flat(1, 1, 1, 1), running(9, [9.0] * 4)))) == [9]


def test_nobody_is_judged_in_the_first_quarter() -> None:
    assert first_step(flat(1, 1, 1, 1, steps=40)) == 10
    history = flat(1, 1, 1, 1, steps=40)
    assert RULE.to_stop(History((*history, running(9, [9.0] * 9)))) == []
    assert RULE.to_stop(History((*history, running(9, [9.0] * 10)))) == [9]


def test_nobody_ahead_of_the_incumbent_at_its_step_is_given_up() -> None:
    slow_winner = ended(5, [50.0] * 7 + [0.0], at=20)
    history = [*flat(1, 1, 1, 1), slow_winner]
    assert RULE.to_stop(History((*history, running(9, [49.0, 49.0])))) == []
    assert RULE.to_stop(History((*history, running(9, [51.0, 51.0])))) == [9]


def test_only_what_had_ended_by_then_counts() -> None:
    late = [ended(i, [1.0] * 8, at=200 + i) for i in range(6)]
    assert RULE.to_stop(History((*late, running(9, [9.0] * 5, order=150)))) == []
    assert RULE.to_stop(History((*late, running(9, [9.0] * 5, order=250)))) == [9]


curves = st.lists(st.floats(0, 1), min_size=1, max_size=9)


@given(st.lists(curves, min_size=1, max_size=12), curves, st.sampled_from(["minimize", "maximize"]))
def test_the_answer_grows_only_with_the_trials_own_steps(
    past: list[list[float]], own: list[float], direction: Direction
) -> None:
    """Asking late gives up the same trials as asking at every step: a restart changes no decision."""
    rule = MedianStopping(RandomSearch(SPACE, 0), direction)
    done = [ended(i, c, at=2 * i + 2) for i, c in enumerate(past)]
    at_each_step = [bool(rule.to_stop(History((*done, running(99, own[:k]))))) for k in range(1, len(own) + 1)]
    assert at_each_step == sorted(at_each_step)
    later = [*done, *(ended(200 + i, [0.5] * 9, at=300 + i) for i in range(5))]
    assert bool(rule.to_stop(History((*later, running(99, own))))) == at_each_step[-1]


def test_one_as_good_as_the_incumbent_at_its_step_goes_on() -> None:
    history = [*flat(1, 1, 1, 1), ended(5, [50.0] * 7 + [0.0], at=20)]
    assert RULE.to_stop(History((*history, running(9, [50.0, 50.0])))) == []


def test_the_usual_length_is_that_of_those_that_were_not_stopped() -> None:
    whole, cut = flat(1, 1, steps=40), [ended(9 + i, [1.0] * 4, at=20 + i, stopped=True) for i in range(5)]
    assert first_step([*whole, *cut]) == 10
    assert first_step(cut) == 1


def test_what_ended_at_the_same_moment_had_not_ended_before() -> None:
    history = [ended(i, [1.0] * 8, at=150) for i in range(4)]
    assert RULE.to_stop(History((*history, running(9, [9.0] * 5, order=150)))) == []
    assert RULE.to_stop(History((*history, running(9, [9.0] * 5, order=151)))) == [9]


def test_a_started_quarter_counts_in_full() -> None:
    assert [first_step(flat(1, steps=n)) for n in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


def test_those_that_emitted_nothing_are_no_judges() -> None:
    silent = [Trial(20 + i, {"x": 0.9}, TrialState.SUCCEEDED, 0.0, ended=30 + i) for i in range(4)]
    assert RULE.to_stop(History((*silent, *flat(1), running(9, [9.0] * 4)))) == []


def test_trials_that_a_tuner_named_count_as_stopped() -> None:
    """Five that were stopped at once do not make the usual length a short one: the sixth has a quarter of 40 steps first."""
    tuner = Tuner(SPACE, strategy=RULE)
    for length, value in (*[(40, 1.0)] * 4, *[(10, 9.0)] * 5):
        trial = tuner.ask()
        for step in range(1, length + 1):
            tuner.report(trial.id, step, value)
        assert tuner.to_stop() == ([trial.id] if length == 10 else [])
        tuner.tell(trial.id, value)
    assert [t.stopped for t in tuner.history.trials] == [False] * 4 + [True] * 5
    last = tuner.ask().id
    for step in range(1, 10):
        tuner.report(last, step, 9.0)
    assert tuner.to_stop() == []


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_what_is_no_number_is_worst_whatever_ended_first(direction: Direction, sign: float) -> None:
    rule = MedianStopping(RandomSearch(SPACE, 0), direction)
    for values in permutations([math.nan, math.nan, 1.0, 2.0, 3.0]):
        lasts = [9.0 if math.isnan(v) else v for v in values]
        past = [ended(i, [sign * v, sign * last], at=2 * i + 2) for i, (v, last) in enumerate(zip(values, lasts, strict=True))]
        kept, behind, lost = (running(9 + i, [sign * v]) for i, v in enumerate([2.9, 3.1, math.nan]))
        assert rule.to_stop(History((*past, kept, behind, lost))) == [10, 11]


def test_another_direction_than_that_of_the_search_is_refused() -> None:
    with pytest.raises(ValueError, match="'minimize' is not that of the strategy, 'maximize'; give both the same"):
        MedianStopping(make_strategy("bayesian", SPACE, "maximize", 0), "minimize")
    with pytest.raises(ValueError, match="direction 'min' is neither"):
        MedianStopping(RandomSearch(SPACE, 0), "min")  # type: ignore[arg-type]


@pytest.mark.parametrize("inner", ["random", RandomSearch, None])
@pytest.mark.parametrize("outer", [MedianStopping, partial(Hyperband, min_resource=1, max_resource=9)])
def test_an_inner_strategy_is_an_object(outer: Callable[..., Strategy], inner: object) -> None:
    with pytest.raises(ValueError, match=r"^inner: .* is no Strategy object; write one, such as RandomSearch\(space, seed\)"):
        outer(inner, "minimize")
