"""Bayesian search as its users see it: pure, symmetric, never the same point twice, never a crash."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.search import Categorical, Continuous, History, Integer, Parent, Space, SpaceExhausted, Trial, TrialState, Tuner
from rekindle.search.bayesian.aim import Aim
from rekindle.search.bayesian.strategy import BayesianSearch, _Suggestion
from rekindle.search.bayesian.subsets import working_set
from rekindle.search.history import ParentKind
from rekindle.search.space import Configuration, Parameter
from support.searches import figures

MIXED = Space(
    [
        Continuous("lr", 1e-5, 1e-1, scaling="Logarithmic"),
        Continuous("momentum", 0.0, 0.99, scaling="ReverseLogarithmic"),
        Integer("layers", 1, 5),
        Categorical("act", ["relu", "tanh", "gelu"]),
        Continuous("drop", 0.0, 0.9),
    ]
)


def loss(c: Configuration) -> float:
    on = 0.0 if c["act"] == "tanh" else 0.4
    return (math.log10(float(c["lr"])) + 3) ** 2 + 0.2 * abs(int(c["layers"]) - 3) + on + (float(c["drop"]) - 0.3) ** 2


def ran(space: Space, n: int, seed: int = 0, sign: float = 1.0, offset: float = 0.0, **more: object) -> Tuner:
    tuner = Tuner(space, "bayesian", seed=seed, **more)  # type: ignore[arg-type]
    for _ in range(n):
        trial = tuner.ask()
        if trial.id % 7 == 5:
            tuner.fail(trial.id)
        else:
            tuner.tell(trial.id, sign * loss(trial.values) + offset)
    return tuner


def configurations(tuner: Tuner) -> list[Configuration]:
    return [t.configuration for t in tuner.history.trials]


def test_it_finds_a_good_point() -> None:
    assert ran(MIXED, 30).best.value < 0.05


def test_replay_at_any_cut_gives_the_same_suggestion() -> None:
    trials = ran(MIXED, 18, seed=4).history.trials
    for cut in (0, 1, 5, 9, 14, 17):
        history = History(trials[:cut], asked=cut)
        proposals = [BayesianSearch(MIXED, "minimize", 4).propose(history) for _ in range(2)]
        assert proposals[0] == proposals[1]
        assert proposals[0] is not None
        assert proposals[0].configuration == trials[cut].configuration


#: Suggestions from many results, some failed and some pending, with all the figures that are recorded with them.
MANY = """
import math, sys
import numpy as np
from rekindle.search import Categorical, Continuous, History, Integer, Space, Trial, TrialState
from rekindle.search.bayesian.strategy import BayesianSearch

space = Space(
    [Continuous(f"x{i}", 0.0, 1.0) for i in range(6)]
    + [Continuous("lr", 1e-5, 1e-1, scaling="Logarithmic"), Integer("k", 1, 40), Categorical("act", ["a", "b", "c"])]
)
rng = np.random.default_rng(0)
drawn = [space.decode(rng.random(9)) for _ in range(1020)]
values = [sum((c[f"x{j}"] - 0.3) ** 2 for j in range(6)) + abs(math.log10(c["lr"]) + 3) + rng.normal() / 10 for c in drawn]
ended = [
    Trial(i, c, TrialState.FAILED) if i % 13 == 5 else Trial(i, c, TrialState.SUCCEEDED, float(v))
    for i, (c, v) in enumerate(zip(drawn, values))
]
for n, pending in ((30, 0), (300, 0), (300, 20), (1000, 5)):
    trials = (*ended[:n], *(Trial(i, drawn[i]) for i in range(n, n + pending)))
    print(n, pending, BayesianSearch(space, "minimize", 1).propose(History(trials)))
"""


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    """In processes of their own, from 30 to 1,000 results: the same configuration and the same figures to the last digit."""
    outputs = {}
    for threads in ("1", "2", "4"):
        told = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        run = subprocess.run([sys.executable, "-c", MANY], env=os.environ | told, capture_output=True, text=True, check=True)
        outputs[threads] = run.stdout
    assert len(outputs["1"].splitlines()) == 4
    assert outputs["1"] == outputs["2"] == outputs["4"]


def test_maximise_is_minimise_of_the_negative() -> None:
    assert configurations(ran(MIXED, 20)) == configurations(ran(MIXED, 20, sign=-1.0, direction="maximize"))


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**40])
def test_powers_of_two_change_no_bit(scale: float) -> None:
    assert configurations(ran(MIXED, 16)) == configurations(ran(MIXED, 16, sign=scale))


@pytest.mark.parametrize(("scale", "offset"), [(1e-12, 0.0), (1e12, 0.0), (3.0, 7.0), (1e-3, -2.0)])
def test_scale_and_offset_of_the_objective_do_not_matter(scale: float, offset: float) -> None:
    for ours, theirs in zip(
        configurations(ran(MIXED, 14)), configurations(ran(MIXED, 14, sign=scale, offset=offset)), strict=True
    ):
        np.testing.assert_allclose(MIXED.encode(ours), MIXED.encode(theirs), atol=1e-3)


def test_a_hundred_pending_without_repeat_or_clump() -> None:
    space = Space([Continuous(f"x{i}", 0.0, 1.0) for i in range(4)])
    rng, tuner = np.random.default_rng(0), Tuner(space, "bayesian", seed=2)
    for _ in range(20):
        c = space.decode(rng.random(4))
        tuner.add(c, sum((float(v) - 0.5) ** 2 for v in c.values()) + 0.3 * rng.standard_normal())
    points = np.array([space.encode(tuner.ask().values) for _ in range(100)])
    gaps = np.max(np.abs(points[:, None] - points[None]), axis=-1) + np.eye(100)
    assert gaps.min() > 0.01
    assert np.median(gaps.min(axis=1)) > 0.05


def test_a_hundred_pending_from_nothing() -> None:
    tuner = Tuner(MIXED, "bayesian", seed=2)
    keys = {MIXED.key(tuner.ask().values) for _ in range(100)}
    assert len(keys) == 100


def test_a_small_space_is_enumerated_and_then_exhausted() -> None:
    space = Space([Integer("k", 0, 4), Categorical("c", ["a", "b"]), Continuous("fixed", 0.5, 0.5)])
    tuner = Tuner(space, "bayesian", seed=0)
    keys = []
    for i in range(10):
        trial = tuner.ask()
        keys.append(space.key(trial.values))
        if i % 3 == 0:
            tuner.fail(trial.id)
        elif i % 3 == 1:
            tuner.tell(trial.id, 1.0)
    assert len(set(keys)) == 10
    with pytest.raises(SpaceExhausted):
        tuner.ask()


def test_a_space_of_one_point() -> None:
    tuner = Tuner(Space([Continuous("x", 1.0, 1.0), Categorical("c", ["only"])]), "bayesian")
    assert tuner.ask().values == {"x": 1.0, "c": "only"}
    with pytest.raises(SpaceExhausted):
        tuner.ask()


def test_it_learns_where_trials_fail() -> None:
    space = Space([Continuous("x", 0.0, 1.0), Continuous("y", 0.0, 1.0)])
    tuner, late = Tuner(space, "bayesian", seed=5), 0
    for i in range(40):
        trial = tuner.ask()
        if float(trial.values["x"]) > 0.5:
            tuner.fail(trial.id)
            late += i >= 20
        else:
            tuner.tell(trial.id, (float(trial.values["x"]) - 0.7) ** 2 + float(trial.values["y"]))
    assert late <= 8
    assert tuner.best.values["x"] > 0.4


def test_only_failures_so_far() -> None:
    tuner = Tuner(MIXED, "bayesian", seed=1)
    keys = set()
    for _ in range(15):
        trial = tuner.ask()
        keys.add(MIXED.key(trial.values))
        tuner.fail(trial.id)
    assert len(keys) == 15


@pytest.mark.parametrize(
    "values", [lambda i: 1.0, lambda i: 0.0, lambda i: -1e300, lambda i: 1e-300 * i, lambda i: 1e300 * (-1) ** i]
)
def test_objectives_without_use(values: object) -> None:
    tuner = Tuner(MIXED, "bayesian", seed=1)
    for i in range(14):
        tuner.tell(tuner.ask().id, values(i))  # type: ignore[operator]
    assert len({MIXED.key(c) for c in configurations(tuner)}) == 14


@pytest.mark.parametrize("diverged", [1e155, 1e200, 1.7e308])
@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e-290])
def test_what_diverged_beyond_all_measure_changes_little(diverged: float, scale: float) -> None:
    """As a loss does in training: the square of its distance in units of the others is no floating-point number."""

    def best(worst: float) -> float:
        tuner = Tuner(MIXED, "bayesian", seed=3)
        for i in range(24):
            trial = tuner.ask()
            tuner.tell(trial.id, worst if i % 6 == 3 else scale * loss(trial.values))
        assert all(math.isfinite(number) for number in figures(tuner.explain(23)))
        return tuner.best.value / scale

    assert best(diverged) < 1.5 * best(scale * 1e6) + 0.05


def test_rows_from_outside_the_ranges_are_kept_but_never_proposed() -> None:
    space = Space([Continuous("x", 0.0, 1.0), Continuous("y", 0.0, 1.0)])
    trials = [Trial(i, {"x": 1.2 - 0.1 * i, "y": 0.5}, TrialState.SUCCEEDED, -1.2 + 0.1 * i) for i in range(8)]
    proposal = BayesianSearch(space, "minimize", 0).propose(History(tuple(trials)))
    assert proposal is not None
    space.check(proposal.configuration)


def test_why_is_plain_data() -> None:
    tuner = ran(MIXED, 15)
    why = tuner.explain(14)
    assert json.loads(json.dumps(why)) == why
    assert why["source"] == "model"
    assert set(why["lengthscales"]) == set(MIXED.names)  # type: ignore[call-overload]
    assert why["scaling"]["lr"] == "Logarithmic"  # type: ignore[index]
    assert why["n"] == 12
    for name in ("mean", "deviation", "incumbent", "acquisition", "failure_probability", "noise_deviation"):
        assert math.isfinite(why[name])  # type: ignore[arg-type]
    assert tuner.explain(0)["source"] == "initial"


def test_the_models_mean_is_in_the_objectives_unit() -> None:
    tuner = ran(MIXED, 25, offset=1000.0)
    why = tuner.explain(24)
    assert 999.9 < why["incumbent"] < 1000.5  # type: ignore[operator]
    assert 999.5 < why["mean"] < 1002.0  # type: ignore[operator]


def test_the_working_set_holds_the_best_and_the_latest() -> None:
    y = np.random.default_rng(0).random(1000)
    kept = working_set(y, 100)
    assert len(kept) <= 100
    assert np.all(np.diff(kept) > 0)
    assert int(np.argmin(y)) in kept
    assert 999 in kept
    assert list(working_set(y[:50], 100)) == list(range(50))


def parameter(index: int) -> st.SearchStrategy[Parameter]:
    low = st.floats(-1e3, 1e3)
    wide = st.sampled_from([0.0, 1e-9, 1.0, 1e6])
    continuous = st.builds(lambda a, w: Continuous(f"p{index}", a, a + w), low, wide)
    log = st.builds(lambda e: Continuous(f"p{index}", 1e-6, 10.0**e, scaling="Logarithmic"), st.integers(-6, 6))
    integer = st.builds(lambda a, w: Integer(f"p{index}", a, a + w), st.integers(-50, 50), st.sampled_from([0, 1, 9, 10**7]))
    category = st.builds(lambda k: Categorical(f"p{index}", [f"v{i}" for i in range(k)]), st.integers(1, 30))
    return st.one_of(continuous, log, integer, category)


@settings(max_examples=20, deadline=None)
@given(st.data(), st.integers(1, 8), st.integers(0, 2**31), st.sampled_from([1e-12, 1.0, 1e12]))
def test_any_space_any_values(data: st.DataObject, d: int, seed: int, scale: float) -> None:
    space = Space([data.draw(parameter(i)) for i in range(d)])
    tuner, rng, keys = Tuner(space, "bayesian", seed=seed), np.random.default_rng(seed), []
    for _ in range(min(space.size or 10, 10)):
        trial = tuner.ask()
        space.check(trial.values)
        keys.append(space.key(trial.values))
        kind = rng.integers(0, 5)
        if kind < 3:
            tuner.tell(trial.id, scale * rng.standard_normal())
        elif kind == 3:
            tuner.fail(trial.id)
    assert len(set(keys)) == len(keys)


def test_thirty_parameters() -> None:
    """Of all types, categories of up to 30 values; four of them matter. One in six fails, one in nine ends with no number."""
    space = Space(
        [Continuous(f"x{i}", 0.0, 1.0) for i in range(8)]
        + [Continuous(f"lr{i}", 1e-6, 1.0, scaling="Logarithmic") for i in range(6)]
        + [Integer(f"k{i}", 1, 3 + 40 * i) for i in range(6)]
        + [Categorical(f"c{i}", [str(k) for k in range(30 if i < 5 else 3)]) for i in range(10)]
    )
    tuner, keys, values = Tuner(space, "bayesian", seed=0), set(), []
    for i in range(60):
        trial = tuner.ask()
        space.check(trial.values)
        keys.add(space.key(trial.values))
        if i % 6 == 5:
            tuner.fail(trial.id)
        elif i % 9 == 8:
            tuner.tell(trial.id, math.nan if i % 2 else -math.inf)
        else:
            values.append(of_thirty(trial.values))
            tuner.tell(trial.id, values[-1])
    assert len(keys) == 60
    assert len(tuner.history.failed) == 60 - len(values)
    assert np.mean(values[-15:]) < 0.25 * np.mean(values[:15])
    assert tuner.best.value < 0.1


def of_thirty(c: Configuration) -> float:
    """From 0 on, 3.3 on average over the ranges."""
    far = (float(c["x0"]) - 0.2) ** 2 + (float(c["x7"]) - 0.8) ** 2
    return 4 * far + 0.5 * (math.log10(float(c["lr0"])) + 3) ** 2 + (0.0 if c["c6"] == "1" else 1.0)


def test_the_acquisitions_gradient_is_its_finite_difference() -> None:
    trials = ran(MIXED, 24).history.trials
    pending = tuple(Trial(100 + i, {**t.configuration, "lr": 2e-4 * (i + 1)}) for i, t in enumerate(trials[:3]))
    search = BayesianSearch(MIXED, "minimize", 0)
    acquisition = _Suggestion(search, History((*trials, *pending)), set())._acquisition(Aim())
    rng = np.random.default_rng(0)
    for _ in range(5):
        at, h = search.encoding.snap(rng.random((1, 5)))[0], 1e-6
        values, gradients = acquisition.with_gradients(at[None])
        value, gradient = float(values[0]), gradients[0]
        assert value == pytest.approx(float(acquisition(at[None])[0]), rel=1e-6)
        for j in search.encoding.continuous:
            up, down = (float(acquisition((at + s * h * np.eye(5)[j])[None])[0]) for s in (1, -1))
            assert gradient[j] == pytest.approx((up - down) / (2 * h), rel=1e-3, abs=1e-4)


def test_the_first_points_go_through_every_category():
    space = Space([Continuous("x", 0, 1), Categorical("c", ["a", "b", "c"]), Categorical("d", [1, 2, 3, 4])])
    tuner = Tuner(space, "bayesian", seed=5)
    asked = [tuner.ask().values for _ in range(4)]
    assert {a["c"] for a in asked[:3]} == {"a", "b", "c"}
    assert {a["d"] for a in asked} == {1, 2, 3, 4}


@pytest.mark.parametrize("values", [(1.7e308, -1.7e308), (0.0, 5e-324, 1e-323), (1.7e308, 5e-324, -1.0)])
@pytest.mark.parametrize("kind", [None, "transfer", "identical"])
def test_objectives_at_both_ends_of_floating_point_leave_figures(values: tuple[float, ...], kind: ParentKind | None) -> None:
    rng = np.random.default_rng(0)
    rows = [(MIXED.decode(rng.random(len(MIXED))), values[i % len(values)]) for i in range(20)]
    parents = [] if kind is None else [Parent(MIXED, rows, kind)]
    tuner = Tuner(MIXED, "bayesian", seed=2, parents=parents)
    for i in range(14):
        trial = tuner.ask()
        assert all(math.isfinite(number) for number in figures(tuner.explain(trial.id)))
        tuner.tell(trial.id, values[(i * 7) % len(values)])


def test_the_first_points_are_the_centre_and_then_spread_over_four_fifths() -> None:
    space = Space([Continuous(f"x{i}", 0, 1) for i in range(7)])
    first = np.array([[*ask.values()] for seed in range(60) for ask in first_points(space, seed)]).reshape(60, 8, 7)
    np.testing.assert_array_equal(first[:, 0], 0.5)
    assert first[:, 1:].min() == pytest.approx(0.1, abs=0.01)
    assert first[:, 1:].max() == pytest.approx(0.9, abs=0.01)


def first_points(space: Space, seed: int) -> list[dict[str, object]]:
    tuner = Tuner(space, "bayesian", seed=seed)
    return [dict(tuner.ask().values) for _ in range(8)]


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_middle_category_comes_first_and_none_twice_before_all(k: int) -> None:
    space = Space([Continuous("x", 0, 1), Categorical("c", list(range(k)))])
    for seed in range(8):
        asked = [c["c"] for c in first_points(space, seed)[:k]]
        assert asked[0] == k // 2
        assert sorted(asked) == list(range(k))


def test_the_working_set_has_its_shares_of_best_latest_and_rest() -> None:
    y = np.arange(1000.0)[::-1] % 500
    kept = working_set(y, 100)
    assert len(kept) == 100
    assert set(np.argsort(y, kind="stable")[:40]) <= set(kept)
    assert set(range(970, 1000)) <= set(kept)
    rest = np.sort(y[np.setdiff1d(kept, [*np.argsort(y, kind="stable")[:40], *range(970, 1000)])])
    assert rest[-1] == 499
    assert np.ptp(np.diff(rest)) <= 5


def test_what_fails_is_told_as_a_probability() -> None:
    space = Space([Continuous("x", 0, 1)])
    done = [Trial(i, {"x": 0.05 * i}, TrialState.SUCCEEDED, 1.0 - 0.02 * i) for i in range(10)]
    done += [Trial(10 + i, {"x": 0.9 + 0.01 * i}, TrialState.FAILED) for i in range(4)]
    search = BayesianSearch(space, "minimize", 0)
    proposal = search.propose(History(tuple(done)))
    assert proposal is not None
    feasibility = _Suggestion(search, History(tuple(done)), set()).feasibility
    assert feasibility is not None
    at = search.encoding.encode([proposal.configuration, {"x": 0.02}, {"x": 0.92}])
    here, good, bad = 1.0 - np.exp(feasibility.log_probability(at))
    assert good < 0.05 < 0.5 < bad
    assert proposal.why["failure_probability"] == pytest.approx(here, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_first_point_beside_failures_gives_way_to_the_next_of_the_sequence(seed: int) -> None:
    space = Space([Continuous("x", 0, 1), Continuous("y", 0, 1)])
    third = first_points(space, seed)[2]
    beside = [{n: float(v) + e for n, v in third.items()} for e in (-0.01, 0.01)]  # type: ignore[arg-type]
    far = {n: 1.0 - float(v) for n, v in third.items()}  # type: ignore[arg-type]
    done = [Trial(i, c, TrialState.FAILED) for i, c in enumerate(beside)] + [Trial(2, far, TrialState.SUCCEEDED, 1.0)]
    proposal = BayesianSearch(space, "minimize", seed).propose(History(tuple(done), asked=2))
    assert proposal is not None
    assert proposal.source == "initial"
    assert max(abs(float(proposal.configuration[n]) - float(third[n])) for n in third) > 0.1  # type: ignore[arg-type]
