"""Histories that break numerics: never a crash, a figure that is no number, or a point twice; and the symmetries hold."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from rekindle.search import Categorical, Continuous, History, Integer, Space, Trial, TrialState
from rekindle.search.bayesian.aim import Aim
from rekindle.search.bayesian.strategy import BayesianSearch, Options, _Suggestion
from rekindle.search.history import Direction, Parent
from rekindle.search.space import Parameter
from rekindle.search.strategy import Proposal
from rekindle.search.tuner import make_strategy
from support.searches import KINDS, figures, objective, trials

#: How far apart rows of one clump lie: the same, the same to the eye, near.
GAPS = (0.0, 1e-16, 1e-12, 1e-8, 1e-5)
SCALES = tuple(10.0**e for e in range(-12, 13, 4))


@dataclass(frozen=True)
class Case:
    """Rows of the unit cube in clumps, an objective value for each (None: failed), and what runs, in the same clumps."""

    space: Space
    trials: tuple[Trial, ...]
    seed: int

    def suggested(self, factor: float = 1.0, direction: Direction = "minimize") -> Proposal:
        """The suggestion after these values times ``factor``."""
        trials = tuple(t if t.value is None else replace(t, value=factor * t.value) for t in self.trials)
        proposal = BayesianSearch(self.space, direction, self.seed).propose(History(trials))
        assert proposal is not None
        return proposal


@st.composite
def cases(draw: st.DrawFn) -> Case:
    parameters: list[Parameter] = [Continuous("x", -3.0, 5.0), Continuous("fixed", 0.1, 0.1)]
    parameters += [Continuous("lr", 1e-9, 1e3, scaling="Logarithmic")] if draw(st.booleans()) else []
    parameters += [Integer("one", 7, 7), Integer("k", 1, 10**6)] if draw(st.booleans()) else []
    parameters += [Categorical("c", [f"v{i}" for i in range(30)]), Categorical("only", ["a"])] if draw(st.booleans()) else []
    space, seed = Space(parameters), draw(st.integers(0, 2**31))
    rng, n, gap = np.random.default_rng(seed), draw(st.integers(5, 24)), draw(st.sampled_from(GAPS))
    centres = rng.random((draw(st.integers(1, 4)), len(space)))
    rows = np.clip(centres[rng.integers(0, len(centres), n + 3)] + gap * rng.standard_normal((n + 3, len(space))), 0.0, 1.0)
    values = draw(st.sampled_from(SCALES)) * objective(draw(st.sampled_from(KINDS)), rng, n)
    failing = draw(st.sampled_from((0.0, 0.3)))
    ended = (None if rng.random() < failing else float(v) for v in values)
    return Case(space, tuple(trials(space, rows, [*ended], n)), seed)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_suggestion_is_new_lies_in_the_ranges_and_its_figures_are_numbers(case: Case) -> None:
    proposal = case.suggested()
    event(proposal.source)
    case.space.check(proposal.configuration)
    assert case.space.key(proposal.configuration) not in {case.space.key(t.configuration) for t in case.trials}
    assert all(math.isfinite(number) for number in figures(proposal.why))
    json.dumps(proposal.why, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_maximising_is_minimising_the_negative_to_the_last_bit(case: Case) -> None:
    assert case.suggested().configuration == case.suggested(-1.0, "maximize").configuration


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(-60, 60))
def test_a_power_of_two_changes_no_bit(case: Case, exponent: int) -> None:
    assert case.suggested().configuration == case.suggested(2.0**exponent).configuration


def test_parents_are_symmetric_too() -> None:
    space = Space([Continuous("x", 0.0, 1.0), Continuous("y", 0.0, 1.0), Categorical("c", ["a", "b", "d"])])
    rng = np.random.default_rng(3)
    drawn = [space.decode(u) for u in rng.random((24, 3))]
    values = [(float(c["x"]) - 0.4) ** 2 + float(c["y"]) + (c["c"] == "b") for c in drawn]

    def suggested(sign: float, direction: Direction, asked: int) -> Proposal | None:
        rows = [(c, None if i == 4 else sign * v) for i, (c, v) in enumerate(zip(drawn[:16], values[:16], strict=True))]
        own = [Trial(i, drawn[16 + i], TrialState.SUCCEEDED, sign * values[16 + i]) for i in range(asked)]
        parents = [Parent(space, rows, "transfer", "old")]
        return make_strategy("bayesian", space, direction, 1, parents).propose(History(tuple(own)))

    for asked in (0, 2, 5, 8):
        low, high = suggested(1.0, "minimize", asked), suggested(-1.0, "maximize", asked)
        assert low is not None
        assert high is not None
        assert low.configuration == high.configuration


def test_ten_thousand_results_are_held_by_a_bounded_model() -> None:
    space = Space([*(Continuous(f"x{i}", 0.0, 1.0) for i in range(8)), Categorical("c", ["a", "b"]), Integer("k", 1, 9)])
    rng = np.random.default_rng(0)
    rows = rng.random((10_000, 10))
    drawn = [space.decode(row) for row in rows]
    values = np.sum((rows[:, :8] - 0.4) ** 2, axis=1) + 0.1 * rng.standard_normal(10_000)
    done = tuple(
        Trial(i, c, TrialState.FAILED) if i % 50 == 7 else Trial(i, c, TrialState.SUCCEEDED, float(v))
        for i, (c, v) in enumerate(zip(drawn, values, strict=True))
    )
    history, search = History(done), BayesianSearch(space, "minimize", 0)
    proposal = search.propose(history)
    assert proposal is not None
    assert proposal.source == "model"
    assert proposal.why["n"] == 9_800
    members = _Suggestion(search, history, set())._acquisition(Aim()).members
    assert all(len(m.gp.x) <= Options().working_set for m in members)
    # It learned from them: a random row is 0.9 in the mean, the best of them near 0.2.
    assert float(np.sum((search.encoding.encode([proposal.configuration])[0, :8] - 0.4) ** 2)) < 0.25


def test_a_hundred_pending_in_a_mixed_space_without_repeat_or_clump() -> None:
    space = Space(
        [
            Continuous("lr", 1e-5, 1e-1, scaling="Logarithmic"),
            Continuous("drop", 0.0, 0.9),
            Integer("layers", 1, 8),
            Categorical("act", ["relu", "tanh", "gelu"]),
        ]
    )
    search, rng = BayesianSearch(space, "minimize", 3), np.random.default_rng(1)
    history: list[Trial] = []
    for i in range(24):
        c = space.decode(rng.random(4))
        loss = (math.log10(float(c["lr"])) + 3) ** 2 + float(c["drop"]) + 0.1 * int(c["layers"])
        history.append(Trial(i, c, TrialState.SUCCEEDED, loss + 0.2 * rng.standard_normal()))
    for i in range(100):
        proposal = search.propose(History(tuple(history)))
        assert proposal is not None
        history.append(Trial(24 + i, proposal.configuration))
    asked = [t.configuration for t in history[24:]]
    assert len({space.key(c) for c in asked}) == 100
    rows = np.array([space.encode(c) for c in asked])
    gaps = np.max(np.abs(rows[:, None] - rows[None]), axis=-1) + np.eye(100)
    assert gaps.min() > 0.005
    assert np.median(gaps.min(axis=1)) > 0.02


def test_thirty_categories_are_gone_through_and_the_best_is_found() -> None:
    space = Space([Categorical("c", [f"v{i}" for i in range(30)]), Continuous("x", 0.0, 1.0)])
    tried = []
    for seed in range(4):
        search, history = BayesianSearch(space, "minimize", seed), list[Trial]()
        for i in range(45):
            proposal = search.propose(History(tuple(history)))
            assert proposal is not None
            c = proposal.configuration
            value = (0.0 if c["c"] == "v17" else 1.0) + float(c["x"])
            history.append(Trial(i, c, TrialState.SUCCEEDED, value))
        tried.append(len({t.configuration["c"] for t in history}))
        best = min(history, key=lambda t: t.value or 0.0)
        assert best.configuration["c"] == "v17"
        assert float(best.configuration["x"]) < 0.02
    # Other versions of NumPy and SciPy round otherwise, and leave out one more or one less.
    assert np.mean(tried) >= 24
