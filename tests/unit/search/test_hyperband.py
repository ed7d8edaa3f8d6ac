"""Brackets, rungs and who goes on."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.search import Categorical, Continuous, Space, Tuner
from rekindle.search.history import History, Observation, Trial, TrialState
from rekindle.search.hyperband import ETA, Hyperband, on_one_scale, sampler, shares
from rekindle.search.random_search import RandomSearch

SPACE = Space([Continuous("x", 0, 1)])


def hyperband(least: int = 1, most: int = 9) -> Hyperband:
    return Hyperband(RandomSearch(SPACE, 0), "minimize", least, most)


def running(id_: int, *values: float, first: int = 1) -> Trial:
    points = tuple(Observation(i, v, first + 10 * i) for i, v in enumerate(values, start=1))
    return Trial(id_, {"x": (id_ + 1) / 1000}, curve=points)


def test_rungs_are_powers_below_the_largest_resource() -> None:
    assert hyperband(1, 27).rungs(0) == (27,)
    assert hyperband(1, 27).rungs(3) == (1, 3, 9, 27)
    assert hyperband(2, 50).rungs(2) == (6, 17, 50)
    assert hyperband(5, 5).rungs(0) == (5,)
    assert hyperband(1, 27).brackets == 4


@pytest.mark.parametrize("most", [1, 3, 27, 81, 20_000])
def test_brackets_have_their_shares_over_any_stretch(most: int) -> None:
    band = hyperband(1, most)
    first = ETA ** (band.brackets - 1)
    assert band.first == first
    assert {band.bracket(i) for i in range(first)} == {band.brackets - 1}, "Hyperband begins with its most eager bracket"
    for start in (first, first + 500):
        counts = Counter(band.bracket(start + i) for i in range(1000))
        for bracket, share in enumerate(shares(band.brackets)):
            assert abs(counts[bracket] - 1000 * share) < 5


def test_a_model_has_its_brackets_mixed_at_once() -> None:
    band = Hyperband(sampler("bayesian", SPACE, "minimize", 0), "minimize", 1, 81)
    assert band.first == 0
    assert Counter(band.bracket(i) for i in range(81))[4] < 70


def test_each_bracket_gets_half_the_resource_of_the_next() -> None:
    # In bracket s one trial costs about (s + 1) / ETA**s of the largest resource.
    spent = [share * (s + 1) / ETA**s for s, share in enumerate(shares(5))]
    assert all(2 * a == pytest.approx(b) for a, b in pairwise(spent))
    assert sum(shares(5)) == pytest.approx(1)


@pytest.mark.parametrize(("least", "most"), [(0, 9), (10, 9)])
def test_resources_must_be_in_order(least: int, most: int) -> None:
    with pytest.raises(ValueError, match="resources"):
        hyperband(least, most)


def in_bracket(band: Hyperband, bracket: int, count: int) -> list[int]:
    return [i for i in range(500) if band.bracket(i) == bracket][:count]


def test_a_trial_ends_at_the_largest_resource() -> None:
    band = hyperband(9, 9)
    assert band.to_stop(History((running(0, *[1.0] * 8),))) == []
    assert band.to_stop(History((running(0, *[1.0] * 9),))) == [0]


def test_one_that_is_known_to_end_by_itself_is_stopped_only_when_it_goes_on() -> None:
    band = replace(hyperband(9, 9), self_ending=True)
    assert band.to_stop(History((running(0, *[1.0] * 9),))) == []
    assert band.to_stop(History((running(0, *[1.0] * 10),))) == [0]


def test_the_best_third_at_a_rung_goes_on() -> None:
    band = hyperband(1, 9)
    count = max(in_bracket(band, 2, 9)) + 1
    trials = tuple(running(i, float(i), first=i) for i in range(count))
    stopped = set(band.to_stop(History(trials)))
    judged = set(in_bracket(band, 2, 9))
    # Values rise with the order of emission: each newcomer is the worst so far, so only the first goes on.
    assert stopped == judged - {0}
    better = tuple(running(i, -float(i), first=i) for i in range(count))
    assert band.to_stop(History(better)) == []


@pytest.mark.parametrize(
    ("place", "worse_than", "on"), [(2, 1, False), (5, 1, False), (6, 1, True), (6, 2, False), (9, 2, True)]
)
def test_a_third_is_rounded_down_but_for_the_first_one(place: int, worse_than: int, on: bool) -> None:
    """Whoever arrives at a rung as number ``place`` goes on if fewer than a third of all so far are better."""
    band = hyperband(1, 9)
    ids = in_bracket(band, 2, place)
    others = [running(i, 0.5, first=1) for i in range(max(ids)) if i not in ids]
    earlier = [running(i, 0.0 if k < worse_than else 0.9, first=100 + i) for k, i in enumerate(ids[:-1])]
    # Those of other brackets are not there yet: they emit nothing.
    waiting = [Trial(t.id, t.configuration) for t in others]
    newcomer = running(ids[-1], 0.4, first=1000)
    assert (ids[-1] not in band.turned_away(History((*waiting, *earlier, newcomer)))) == on


def test_a_model_chooses_among_draws_and_keeps_off_one_spot() -> None:
    """Its proposals lie where the values are good, and yet apart; a small space is gone through without repetition."""
    model = Hyperband(sampler("bayesian", SPACE, "minimize", 0), "minimize", 1, 3)
    seen: list[Trial] = [
        Trial(i, {"x": x}, TrialState.SUCCEEDED, (x - 0.3) ** 2, (Observation(1, (x - 0.3) ** 2, i),), True, i)
        for i, x in enumerate((0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 0.28, 0.32))
    ]
    found = []
    for _ in range(6):
        proposal = model.propose(History(tuple(seen)))
        assert proposal is not None
        assert proposal == model.propose(History(tuple(seen)))
        found.append(float(proposal.configuration["x"]))
        value, number = (found[-1] - 0.3) ** 2, len(seen)
        seen.append(
            Trial(number, proposal.configuration, TrialState.SUCCEEDED, value, (Observation(1, value, number),), True, number)
        )
    assert all(abs(x - 0.3) < 0.15 for x in found)
    # Sought over the whole space, they lie within 0.006.
    assert max(found) - min(found) > 0.02

    small = Space([Categorical("a", ["x", "y", "z"]), Categorical("b", ["u", "v", "w", "t"])])
    tuner = Tuner(small, strategy=Hyperband(sampler("bayesian", small, "minimize", 0), "minimize", 1, 3))
    asked = []
    for _ in range(12):
        trial = tuner.ask()
        asked.append(small.key(trial.values))
        tuner.report(trial.id, 1, float(len(asked)))
        tuner.tell(trial.id, float(len(asked)))
    assert len(set(asked)) == 12


def test_what_comes_later_changes_no_earlier_judgement() -> None:
    band = hyperband(1, 9)
    first = in_bracket(band, 2, 1)[0]
    trials = [running(i, 1.0 if i == first else 0.5, first=1 + i) for i in range(20)]
    assert first not in band.to_stop(History(tuple(trials)))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=0, max_size=12), min_size=1, max_size=40), st.integers(1, 4), st.integers(4, 12)
)
def test_nobody_ends_before_the_least_resource(curves: list[list[float]], least: int, most: int) -> None:
    band = hyperband(least, most)
    trials = tuple(running(i, *curve, first=i) for i, curve in enumerate(curves))
    for id_ in band.to_stop(History(trials)):
        assert len(curves[id_]) >= least
    for id_, curve in enumerate(curves):
        assert len(curve) < most or id_ in band.to_stop(History(trials))


@settings(max_examples=30, deadline=None)
@given(st.permutations(list(range(30))))
def test_about_a_third_goes_on(order: list[int]) -> None:
    band = hyperband(1, 3)
    trials = tuple(running(i, float(value), first=i) for i, value in enumerate(order))
    judged = [i for i in range(30) if band.bracket(i) == 1]
    on = len(judged) - len(set(band.to_stop(History(trials))) & set(judged))
    # Without waiting, the first ones are judged among few: at most one for each time that the record falls is let through.
    assert 1 <= on <= len(judged) / ETA + 8


def test_a_model_sees_every_trial_at_one_rung() -> None:
    band = Hyperband(sampler("bayesian", SPACE, "minimize", 0), "minimize", 1, 9)
    ended = tuple(
        Trial(
            i,
            {"x": i / 12},
            TrialState.SUCCEEDED,
            0.0,
            tuple(Observation(k, abs(i / 12 - 0.3) + k, k) for k in (1, 2, 3)),
            True,
            i,
        )
        for i in range(12)
    )
    proposal = band.propose(History(ended))
    assert proposal is not None
    assert proposal.source == "model"
    assert abs(float(proposal.configuration["x"]) - 0.3) < 0.2
    assert proposal.why["rungs"] == list(band.rungs(band.bracket(12)))


def test_a_late_stop_changes_no_verdict() -> None:
    """Whoever was turned away counts nowhere above that rung, however long it went on."""
    band = hyperband(1, 9)
    mine = in_bracket(band, 2, 21)[9:]
    others = [running(i, *[0.5] * 9, first=1 + 100 * i) for i in range(max(mine) + 1) if i not in mine]
    curves = {i: [1.0 / (k + 1)] + [2.0 - k / 20] * 8 for k, i in enumerate(mine)}
    long = [running(i, *curve, first=1 + 100 * i) for i, curve in curves.items()]
    verdicts = band.turned_away(History((*others, *long)))
    assert verdicts
    short = [running(i, *curve[: verdicts.get(i, 9)], first=1 + 100 * i) for i, curve in curves.items()]
    assert band.turned_away(History((*others, *short))) == verdicts


def test_values_are_carried_to_the_highest_rung_by_who_reached_both() -> None:
    both = [running(i, float(i), 10 + 2.0 * i, first=i) for i in range(5)]
    low = running(9, 7.0, first=9)
    none = Trial(10, {"x": 0.5})
    seen = on_one_scale(History((*both, low, none)), (1, 2, 9))
    values = {t.id: t.value for t in seen.trials}
    assert [values[i] for i in range(5)] == [10 + 2.0 * i for i in range(5)]
    assert values[9] == pytest.approx(10 + 2 * 7.0)
    assert seen.trials[-1].state is TrialState.PENDING


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=12), max_size=30))
def test_any_values_are_judged_and_carried(curves: list[list[float]]) -> None:
    history = History(tuple(running(i, *curve, first=i) for i, curve in enumerate(curves)))
    band = hyperband(1, 9)
    assert set(band.to_stop(history)) <= {t.id for t in history.trials}
    for trial in on_one_scale(history, band.rungs(2)).trials:
        assert trial.value is None or math.isfinite(trial.value)


@pytest.mark.parametrize("k", range(1, 10))
def test_a_power_has_all_of_its_brackets(k: int) -> None:
    # log(243) / log(3) is a little less than 5.
    assert hyperband(1, ETA**k).brackets == k + 1


def test_of_equal_values_those_that_came_first_go_on() -> None:
    alike = [running(i, 1.0, first=i) for i in range(7)]
    assert [i for i in range(7) if i not in hyperband().turned_away(History(tuple(alike)))] == [0]
    after = [running(i, float(i % 2), first=i) for i in range(6)]
    # The third with 0 is the sixth of all: two may go on, and two with 0 came before it.
    assert hyperband().turned_away(History((*after[:5], running(5, 0.0, first=5)))).keys() >= {2, 4, 5}


def test_what_a_trial_emits_after_it_was_turned_away_counts_nowhere() -> None:
    good, bad = running(0, 1.0, 1.0, 1.0, first=5), running(1, 2.0, -9.0, -9.0, first=6)
    late = replace(bad, curve=tuple(replace(o, order=o.order - 20 * (o.step > 1)) for o in bad.curve))
    assert hyperband().turned_away(History((good, late))) == {1: 1}


def test_a_spread_is_taken_to_change_by_a_bounded_factor() -> None:
    def carried(factor: float) -> float | None:
        both = [running(i, float(i), factor * i) for i in range(4)]
        return on_one_scale(History((*both, running(9, 11.5))), (1, 2)).trials[-1].value

    assert carried(2.0) == pytest.approx(3.0 + 2.0 * 10.0)
    assert carried(50.0) == pytest.approx(75.0 + 3.0 * 10.0)
    assert carried(0.1) == pytest.approx(0.15 + 10.0 / 3.0)


def test_diverged_values_have_no_say_in_what_a_rung_is_worth() -> None:
    both = [running(i, float(i), 10.0 + i) for i in range(4)]
    wild = running(8, 1.0, 1e200)
    assert on_one_scale(History((*both, wild, running(9, 2.0))), (1, 2)).trials[-1].value == pytest.approx(12.0)


def test_few_survivors_say_nothing_of_a_rung_or_of_its_spread() -> None:
    both = [running(i, float(i), 10.0 + 2.0 * i) for i in range(3)]
    last = lambda *trials: on_one_scale(History(trials), (1, 2)).trials[-1].value  # noqa: E731
    # Three have reached the second rung: the first is the one on whose scale all are seen.
    assert last(*both, running(9, 5.0)) == 5.0
    # Of four one has diverged: the level is that of the other three, the spread stays.
    assert last(*both, running(8, 1.0, 1e200), running(9, 5.0)) == pytest.approx(12.0 + (5.0 - 1.0))


def test_what_failed_short_of_the_first_rung_has_failed() -> None:
    failed = Trial(1, {"x": 0.5}, TrialState.FAILED, curve=running(1, 3.0).curve, ended=50)
    seen = on_one_scale(History((failed, running(2, 1.0), running(3, 1.0, 1.0))), (2, 4))
    assert [t.state for t in seen.trials] == [TrialState.FAILED, TrialState.PENDING, TrialState.SUCCEEDED]


def test_of_arrivals_at_one_moment_the_trial_asked_for_first_was_first() -> None:
    worse, better = running(0, 1.0, first=5), running(1, 0.5, first=5)
    # The first to arrive goes on; one that is better than it does so, too.
    for trials in ((worse, better), (better, worse)):
        assert hyperband().turned_away(History(trials)) == {}


def test_the_brackets_are_those_of_this_version() -> None:
    """Stops that are recorded in stores follow from them: with other ones ``ALGORITHM_VERSION`` must grow."""
    assert "".join(str(hyperband(1, 27).mixed(i)) for i in range(30)) == "323323333233331332333323333033"


@pytest.mark.parametrize(
    ("direction", "resources", "told"),
    [
        ("max", (1, 9), "direction 'max' is neither"),
        ("maximize", (1, 9), "direction 'maximize' is not that of the strategy, 'minimize'"),
        ("minimize", (1.0, 9), "min_resource 1.0 is no whole number"),
        ("minimize", (1, math.inf), "max_resource inf is no whole number"),
        ("minimize", (1, "9"), "max_resource '9' is no whole number"),
        ("minimize", (3, 2), "1 <= min <= max"),
    ],
)
def test_what_cannot_be_judged_is_refused_when_it_is_made(direction: Any, resources: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Hyperband(sampler("bayesian", SPACE, "minimize", 0), direction, *resources)


def test_resources_of_numpy_are_plain_data_in_a_report() -> None:
    proposal = Hyperband(RandomSearch(SPACE, 0), "minimize", np.int64(1), np.int64(9)).propose(History())  # type: ignore[arg-type]
    assert proposal is not None
    assert json.loads(json.dumps(proposal.why)) == {"bracket": 2, "rungs": [1, 3, 9]}
