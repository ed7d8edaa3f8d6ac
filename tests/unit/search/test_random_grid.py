"""Random and grid search: their promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rekindle.search import Categorical, Continuous, History, Integer, Space, SpaceError, Trial
from rekindle.search.grid_search import GridSearch, configuration_at
from rekindle.search.random_search import RandomSearch
from rekindle.search.space import Configuration

GRID = Space([Integer("k", 3, 5), Categorical("c", ["a", "b"]), Continuous("x", 0.5, 0.5)])


def proposals(search: RandomSearch | GridSearch, n: int) -> list[Configuration]:
    trials: list[Trial] = []
    for i in range(n):
        proposal = search.propose(History(tuple(trials)))
        assert proposal is not None
        trials.append(Trial(i, proposal.configuration))
    return [t.configuration for t in trials]


def test_the_grid_in_the_declared_order() -> None:
    expected = [{"k": k, "c": c, "x": 0.5} for k, c in itertools.product([3, 4, 5], ["a", "b"])]
    assert proposals(GridSearch(GRID), 6) == expected
    assert [configuration_at(GRID, i) for i in range(6)] == expected


def test_the_grid_skips_what_is_known_and_ends() -> None:
    known = [Trial(i, configuration_at(GRID, i)) for i in (0, 1, 3)]
    proposal = GridSearch(GRID).propose(History(tuple(known)))
    assert proposal is not None
    assert proposal.configuration == configuration_at(GRID, 2)
    assert GridSearch(GRID).propose(History(tuple(Trial(i, configuration_at(GRID, i)) for i in range(6)))) is None


def test_the_grid_refuses_a_continuous_range() -> None:
    with pytest.raises(SpaceError, match="continuous"):
        GridSearch(Space([Continuous("x", 0, 1)]))


def test_random_draws_are_uniform_on_the_declared_scale() -> None:
    space = Space([Continuous("x", 1e-4, 1.0, scaling="Logarithmic"), Integer("k", 1, 4)])
    drawn = [RandomSearch(space, 7).propose(History(asked=i)) for i in range(400)]
    u = np.array([np.log10(float(p.configuration["x"])) / 4 + 1 for p in drawn if p])
    assert abs(u.mean() - 0.5) < 0.05
    assert abs(u.var() - 1 / 12) < 0.02
    assert min(np.bincount([int(p.configuration["k"]) for p in drawn if p])[1:]) > 70


def test_a_random_draw_depends_on_seed_and_number_only() -> None:
    space = Space([Continuous("x", 0, 1)])
    third = RandomSearch(space, 3).propose(History(asked=2))
    assert proposals(RandomSearch(space, 3), 3)[2] == third.configuration  # type: ignore[union-attr]
    assert RandomSearch(space, 4).propose(History(asked=2)) != third


def test_random_search_ends_when_a_space_is_exhausted() -> None:
    found = proposals(RandomSearch(GRID, 0), 6)
    assert len({GRID.key(c) for c in found}) == 6
    assert RandomSearch(GRID, 0).propose(History(tuple(Trial(i, c) for i, c in enumerate(found)))) is None


def test_the_last_points_of_a_large_finite_space_are_found() -> None:
    space = Space([Integer("k", 0, 2999)])
    trials = tuple(Trial(i, {"k": i}) for i in range(2999))
    proposal = RandomSearch(space, 0).propose(History(trials))
    assert proposal is not None
    assert proposal.configuration == {"k": 2999}


def test_of_what_is_left_each_is_as_likely_as_another() -> None:
    space = Space([Integer("k", 0, 9999)])
    trials = tuple(Trial(i, {"k": i}) for i in range(9996))
    drawn = [RandomSearch(space, seed).propose(History(trials)) for seed in range(24)]
    assert {p.configuration["k"] for p in drawn if p} == {9996, 9997, 9998, 9999}


def test_the_draws_are_those_of_this_version() -> None:
    """They are recorded in stores: with other ones ``ALGORITHM_VERSION`` must grow."""
    space = Space([Continuous("x", 0, 1), Integer("k", 1, 10), Categorical("c", ["a", "b", "d"])])
    drawn = [RandomSearch(space, 7).propose(History(asked=i)) for i in range(3)]
    assert [p.configuration for p in drawn if p] == [
        {"x": 0.625095466604667, "k": 9, "c": "d"},
        {"x": 0.7701409510034741, "k": 2, "c": "a"},
        {"x": 0.277970282193581, "k": 5, "c": "d"},
    ]
    small = Space([Integer("k", 1, 20)])
    seen = tuple(Trial(k, {"k": k}) for k in range(1, 16))
    again = [RandomSearch(small, seed).propose(History(seen)) for seed in range(6)]
    assert [p.configuration["k"] for p in again if p] == [16, 20, 18, 19, 17, 19]
