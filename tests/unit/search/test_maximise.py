"""The maximiser: every start climbs to a local maximum inside the cube, and discrete neighbours are tried."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.search import Categorical, Continuous, Integer, Space
from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.maximise import ascend, maximise
from rekindle.search.bayesian.strategy import generator

Array = np.ndarray


class Hill:
    """-(x - top) A (x - top), with a bonus where the last coordinate is in its first third."""

    def __init__(self, top: Array, curvature: Array, bonus: float = 0.0) -> None:
        self.top, self.curvature, self.bonus = top, curvature, bonus

    def __call__(self, x: Array) -> Array:
        away = x - self.top
        return -np.einsum("qi,ij,qj->q", away, self.curvature, away) + self.bonus * (x[:, -1] < 1 / 3)

    def with_gradients(self, x: Array) -> tuple[Array, Array]:
        return self(x), -2.0 * (x - self.top) @ self.curvature


def curvature(d: int, seed: int, spread: float) -> Array:
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((d, d)))
    return np.asarray(q @ np.diag(np.geomspace(1.0, spread, d)) @ q.T)


@pytest.mark.parametrize(("d", "spread"), [(1, 1.0), (3, 10.0), (6, 20.0)])
def test_each_start_reaches_the_top_of_a_narrow_hill(d: int, spread: float) -> None:
    hill = Hill(np.linspace(0.3, 0.7, d), curvature(d, 1, spread))
    starts = np.random.default_rng(0).random((4, d))
    reached = ascend(hill.with_gradients, starts, 40)
    np.testing.assert_allclose(reached, np.repeat(hill.top[None], 4, axis=0), atol=2e-3)


def test_a_top_outside_is_met_at_the_bound() -> None:
    hill = Hill(np.array([1.7, 0.4, -0.3]), np.diag([1.0, 3.0, 2.0]))
    reached = ascend(hill.with_gradients, np.array([[0.2, 0.9, 0.8], [1.0, 0.0, 0.0]]), 40)
    np.testing.assert_allclose(reached, [[1.0, 0.4, 0.0]] * 2, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**31), st.sampled_from([1e-9, 1.0, 1e9]))
def test_no_start_ends_lower_than_it_began_nor_outside(d: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    waves, phase, starts = 20 * rng.standard_normal((5, d)), rng.uniform(0, 6, 5), rng.random((3, d))
    f = lambda x: (  # noqa: E731
        scale * np.sum(np.cos(x @ waves.T + phase), axis=1),
        -scale * np.sin(x @ waves.T + phase) @ waves,
    )
    reached = ascend(f, starts, 20)
    assert np.all((reached >= 0.0) & (reached <= 1.0))
    assert np.all(f(reached)[0] >= f(starts)[0])


def test_a_flat_function_moves_nothing() -> None:
    starts = np.array([[0.2, 0.5], [0.0, 1.0]])
    flat = lambda x: (np.zeros(len(x)), np.zeros_like(x))  # noqa: E731
    np.testing.assert_array_equal(ascend(flat, starts, 20), starts)


def test_discrete_neighbours_are_tried() -> None:
    space = Space([Continuous("x", 0.0, 1.0), Integer("k", 0, 9), Categorical("c", ["a", "b", "c"])])
    hill = Hill(np.array([0.37, 0.75, 0.5]), np.diag([1.0, 1.0, 0.0]), bonus=1.0)
    rows, values = maximise(hill, Encoding(space), np.array([[0.9, 0.05, 5 / 6]]), generator(3))
    best = space.decode(rows[0])
    assert best["c"] == "a"
    assert best["k"] == 7
    assert best["x"] == pytest.approx(0.37, abs=1e-3)
    assert np.all(np.diff(values) <= 0)


def test_a_continuous_coordinate_is_a_multiple_of_a_millionth_or_so() -> None:
    encoding = Encoding(Space([Continuous("x", 0.0, 1.0), Integer("k", 1, 10**6)]))
    rows = np.random.default_rng(0).random((50, 2))
    snapped = encoding.snap(rows)
    np.testing.assert_array_equal(snapped * 2.0**20, np.round(snapped * 2.0**20))
    assert np.max(np.abs(snapped - rows)) <= 2.0**-21
