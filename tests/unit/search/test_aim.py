"""A search that stands still looks elsewhere with every third suggestion, and with no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rekindle.search import Categorical, Continuous, History, Integer, Space, Trial, TrialState
from rekindle.search.bayesian.aim import Aim, Elsewhere, aim_of
from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.kernel import Columns
from rekindle.search.bayesian.maximise import maximise
from rekindle.search.bayesian.strategy import BayesianSearch
from rekindle.search.history import Parent
from rekindle.search.space import Configuration
from rekindle.search.transfer import WarmStart

SPACE = Space([Continuous("x", 0.0, 1.0), Categorical("kernel", ["rbf", "poly", "sigmoid"]), Integer("degree", 1, 3)])
COLUMNS = Encoding(SPACE).columns
#: The best is the third of twelve: nine results since.
STILL = np.array([0.5, 0.2, -1.0, 0.3, 0.0, 0.1, -0.2, 0.4, 0.6, 0.3, 0.7, 0.2])


def test_a_search_that_gets_on_aims_at_improvement() -> None:
    for asked in range(8):
        assert aim_of(-np.arange(9.0), asked, 0, COLUMNS) == Aim()
        assert aim_of(STILL[:7], asked, 0, COLUMNS) == Aim()
        assert aim_of(np.zeros(0), asked, 0, COLUMNS) == Aim()


def test_one_that_stands_still_takes_turns() -> None:
    aims = [aim_of(STILL, asked, 4, COLUMNS) for asked in range(12)]
    assert [a.name for a in aims] == ["another category", "improve", "improve", "farther", "improve", "improve"] * 2
    assert aims[0].column == 1
    assert aims[3].lower > 0.0
    assert aim_of(STILL, 0, 4, Columns((0, 0))).name == "farther"


def test_the_initial_design_is_no_standstill() -> None:
    assert aim_of(STILL, 3, 4, COLUMNS).name == "farther"
    assert aim_of(STILL, 3, 5, COLUMNS) == Aim()


class Hill:
    """Highest in the first category, at x = 0.3."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(-((x[:, 0] - 0.3) ** 2) - x[:, 1])

    def with_gradients(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope = np.zeros_like(x)
        slope[:, 0] = -2.0 * (x[:, 0] - 0.3)
        return self(x), slope


def test_elsewhere_is_climbed_like_anywhere() -> None:
    first = np.array([[0.3, 1 / 6, 0.5]])
    rows, values = maximise(Elsewhere(Hill(), 1, 1 / 6), Encoding(SPACE), first, np.random.default_rng(0))
    assert rows[0, 1] == pytest.approx(0.5)
    assert rows[0, 0] == pytest.approx(0.3, abs=1e-3)
    allowed = np.abs(rows[:, 1] - 1 / 6) > 0.1
    assert not np.any(np.diff(allowed.astype(int)) > 0)
    assert np.all(values[allowed] > -10.0)


def history(values: np.ndarray) -> History:
    """The best category again and again, the two others once each with bad luck."""
    kernels = ["poly", "rbf", *["sigmoid"] * (len(values) - 2)]
    found = [{"x": 0.5 + 0.03 * i, "kernel": k, "degree": 1 + i % 3} for i, k in enumerate(kernels)]
    trials = [Trial(i, c, TrialState.SUCCEEDED, float(v)) for i, (c, v) in enumerate(zip(found, values, strict=True))]
    return History(tuple(trials), asked=len(trials))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_category_with_bad_luck_gets_another_chance(sign: float) -> None:
    search = BayesianSearch(SPACE, "minimize" if sign > 0 else "maximize", 0)
    proposal = search.propose(history(sign * STILL))
    assert proposal is not None
    assert proposal.why["aim"] == "another category"
    assert proposal.configuration["kernel"] != "sigmoid"
    assert search.propose(history(sign * STILL)) == proposal


def test_of_a_small_space_too() -> None:
    space = Space([p if p.name != "x" else Integer("x", 0, 11) for p in SPACE.parameters])
    trials = [Trial(t.id, {**t.configuration, "x": t.id}, t.state, t.value) for t in history(STILL).trials]
    proposal = BayesianSearch(space, "minimize", 0).propose(History(tuple(trials), asked=12))
    assert proposal is not None
    assert proposal.configuration["kernel"] != "sigmoid"


@pytest.mark.parametrize(("shuffled", "aim"), [(False, "improve"), (True, "another category")])
def test_a_search_keeps_to_improvement_while_parents_have_a_say(shuffled: bool, aim: str) -> None:
    def loss(c: Configuration) -> float:
        return (float(c["x"]) - 0.56) ** 2

    drawn = [SPACE.decode(u) for u in np.random.default_rng(0).random((30, 3))]
    order = np.random.default_rng(1).permutation(30) if shuffled else np.arange(30)
    parents = (Parent(SPACE, [(c, loss(drawn[i])) for c, i in zip(drawn, order, strict=True)]),)
    own = tuple(replace(t, value=loss(t.configuration)) for t in history(STILL).trials)
    search = BayesianSearch(SPACE, "minimize", 0, parents, prior=WarmStart(SPACE, "minimize", parents))
    proposal = search.propose(History(own, asked=12))
    assert proposal is not None
    assert proposal.why["aim"] == aim
