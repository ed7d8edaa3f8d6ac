"""From objective values to model values and back."""

from __future__ import annotations

import numpy as np
import pytest

from rekindle.search.bayesian.targets import Targets
from rekindle.search.history import Direction

VALUES = np.array([0.3, 0.1, 0.9, 0.4, 0.2, 0.5, 1e6, 0.35])


def bent(t: np.ndarray) -> np.ndarray:
    return np.sign(t) * np.where(np.abs(t) < 1.0, np.abs(t), 1.0 + np.log(np.maximum(np.abs(t), 1.0)))


def test_model_values_are_deviations_from_the_median_that_grow_with_their_logarithm_beyond_one() -> None:
    away = VALUES - np.median(VALUES)
    # The farther quartile of the eight is the seventh of them, 0.9; the diverged one is drawn in to three times its distance.
    scale = np.sqrt(np.mean(np.minimum(away, 3.0 * (0.9 - np.median(VALUES))) ** 2))
    expected = bent(away / scale)
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(Targets.of(VALUES, "minimize").forward(VALUES), expected, rtol=1e-12)
    np.testing.assert_allclose(Targets.of(-VALUES, "maximize").forward(-VALUES), expected, rtol=1e-12)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_way_back_leads_back(direction: Direction) -> None:
    targets = Targets.of(VALUES, direction)
    np.testing.assert_allclose(targets.backward(targets.forward(VALUES)), VALUES, rtol=1e-6)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_deviation_in_the_objectives_unit_is_the_slope_of_the_way_back(direction: Direction) -> None:
    targets, model, h = Targets.of(VALUES, direction), np.array([-3.0, -0.9, -0.5, 0.1, 2.0, 4.0]), 1e-6
    slope = np.abs(targets.backward(model + h) - targets.backward(model - h)) / (2 * h)
    np.testing.assert_allclose(targets.deviation(model, np.full(6, 0.25)), 0.25 * slope, rtol=1e-6)


def test_of_no_values_only_the_direction_is_known() -> None:
    nothing = np.zeros(0)
    for direction, sign in (("minimize", 1.0), ("maximize", -1.0)):
        targets = Targets.of(nothing, direction)  # type: ignore[arg-type]
        assert (targets.sign, targets.unit, targets.forward(nothing).shape) == (sign, 1.0, (0,))


def test_equal_values_are_all_zero() -> None:
    np.testing.assert_array_equal(Targets.of(np.full(4, 7.0), "minimize").forward(np.full(4, 7.0)), np.zeros(4))
