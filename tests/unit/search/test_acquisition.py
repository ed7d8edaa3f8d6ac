"""Log expected improvement: against quadrature, far into the tail, and its slopes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from rekindle.search.bayesian.acquisition import (
    log_expected_improvement,
    log_expected_improvement_with_slopes,
    log_h,
    log_h_slope,
    log_worth_of_looking,
    log_worth_slope,
)
from rekindle.search.bayesian.gp import GP, Hyperparameters
from rekindle.search.bayesian.kernel import Columns
from rekindle.search.bayesian.model import Acquisition, Member, member


@pytest.mark.parametrize("z", [-6.0, -2.0, -1.0, -0.5, 0.0, 1.5, 5.0])
def test_log_h_is_the_log_of_the_integral(z: float) -> None:
    integral, _ = quad(lambda t: t * norm.pdf(z - t), 0.0, 40.0, epsabs=0.0, epsrel=1e-12, limit=200)
    assert log_h(np.array([z]))[0] == pytest.approx(math.log(integral), abs=1e-8)


@pytest.mark.parametrize("sigmas", [8.0, 20.0, 40.0, 99.0, 101.0, 150.0, 1e4])
def test_log_h_far_below_the_incumbent_is_the_log_of_the_integral(sigmas: float) -> None:
    """With phi(z - t) = phi(z) exp(z t - t^2 / 2) taken out, nothing underflows: h is 1e-350 at 40 sigma."""
    integral, _ = quad(lambda u: u * math.exp(-u - 0.5 * (u / sigmas) ** 2), 0.0, 60.0, epsabs=0.0, epsrel=1e-12, limit=200)
    expected = norm.logpdf(sigmas) + math.log(integral) - 2 * math.log(sigmas)
    assert log_h(np.array([-sigmas]))[0] == pytest.approx(expected, abs=1e-8)


def test_log_h_is_finite_and_rising_at_any_distance() -> None:
    z = -np.logspace(-3, 150, 2000)[::-1]
    values = log_h(z)
    assert np.all(np.isfinite(values))
    assert np.all(np.diff(values) > 0)


@pytest.mark.parametrize("edge", [-1.0, -100.0])
def test_log_h_has_no_step_where_its_formula_changes(edge: float) -> None:
    step = 1e-9 * abs(edge)
    below, above = log_h(np.array([edge - step, edge + step]))
    assert above - below == pytest.approx(2 * step * log_h_slope(np.array([edge]), log_h(np.array([edge])))[0], abs=1e-8)


@pytest.mark.parametrize("sigmas", [1.0, 5.0, 20.0, 40.0, 99.0, 150.0])
def test_slope_far_below_the_incumbent(sigmas: float) -> None:
    z, h = np.array([-sigmas]), 1e-6 * sigmas
    difference = (log_h(z + h) - log_h(z - h)) / (2 * h)
    assert log_h_slope(z, log_h(z))[0] == pytest.approx(float(difference[0]), rel=1e-5)
    assert log_h_slope(z, log_h(z))[0] > 0


def test_slopes_by_mean_and_deviation() -> None:
    mean, deviation, best, h = np.array([0.3, 2.0, -1.0]), np.array([0.5, 0.05, 2.0]), 0.1, 1e-6
    _, by_mean, by_deviation = log_expected_improvement_with_slopes(mean, deviation, best)
    up, down = log_expected_improvement(mean + h, deviation, best), log_expected_improvement(mean - h, deviation, best)
    np.testing.assert_allclose(by_mean, (up - down) / (2 * h), rtol=1e-5)
    up, down = log_expected_improvement(mean, deviation + h, best), log_expected_improvement(mean, deviation - h, best)
    np.testing.assert_allclose(by_deviation, (up - down) / (2 * h), rtol=1e-4)


def test_a_lower_mean_and_a_wider_deviation_promise_more() -> None:
    assert log_expected_improvement(np.array(0.0), np.array(1.0), 0.0) > log_expected_improvement(
        np.array(0.1), np.array(1.0), 0.0
    )
    assert log_expected_improvement(np.array(1.0), np.array(2.0), 0.0) > log_expected_improvement(
        np.array(1.0), np.array(1.0), 0.0
    )


@pytest.mark.parametrize(("variance", "noise"), [(1.0, 0.0), (0.5, 0.1), (1e-6, 0.3), (1e-12, 1e-6)])
def test_worth_of_looking_is_its_formula_and_slope(variance: float, noise: float) -> None:
    value = log_worth_of_looking(np.array(variance), noise)
    if variance >= 0.1 * noise:
        assert float(value) == pytest.approx(math.log(1 - math.sqrt(noise / (noise + variance))), abs=1e-9)
    h = 1e-5 * variance
    difference = (log_worth_of_looking(np.array(variance + h), noise) - log_worth_of_looking(np.array(variance - h), noise)) / (
        2 * h
    )
    assert float(log_worth_slope(np.array(variance), noise)) == pytest.approx(float(difference), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("count", [2, 9, 10, 30])
def test_nothing_is_to_be_learnt_at_pending_rows(count: int) -> None:
    alone, beside, pending = members(count)
    assert np.all(beside.gp.predict(pending)[1] < 1e-5)
    assert np.all(beside.log_improvement(pending) < alone.log_improvement(pending) - 1.0)


def test_a_few_pending_rows_come_out_as_expected() -> None:
    alone, beside, pending = members(9)
    at = np.linspace(0.05, 0.95, 10)[:, None]
    np.testing.assert_allclose(beside.gp.mean(at), alone.gp.mean(at), atol=1e-6)
    assert beside.best == pytest.approx(min(float(alone.best[0]), *alone.gp.mean(pending)))


def test_many_pending_rows_may_come_out_in_several_ways() -> None:
    _, beside, pending = members(10)
    assert beside.gp.mean(pending).shape == (10, 8)
    assert np.all(np.ptp(beside.gp.mean(pending), axis=1) > 0.0)


def members(count: int) -> tuple[Member, Member, np.ndarray]:
    """A model of seven results without and with so many pending rows (count, 1)."""
    x = np.linspace(0.0, 1.0, 7)[:, None]
    gp = GP(x, np.cos(6.0 * x[:, 0]), Columns((0,)), Hyperparameters(np.array([0.1]), 1.0, 0.01))
    pending = np.linspace(0.03, 0.96, count)[:, None]
    rng = np.random.default_rng(0)
    made = [member(gp, 1.0, slice(0, 7), rows, 8, rng) for rows in (pending[:0], pending)]
    return made[0], made[1], pending


def test_a_pending_row_that_is_expected_to_be_better_is_the_incumbent() -> None:
    x, hyper = np.array([[0.0], [0.2], [0.35], [0.75], [1.0]]), Hyperparameters(np.array([0.3]), 1.0, 0.001)
    gp, low = GP(x, np.cos(6.0 * x[:, 0]), Columns((0,)), hyper), np.array([[0.55]])
    alone, beside = (member(gp, 1.0, slice(0, 5), rows, 8, np.random.default_rng(0)) for rows in (low[:0], low))
    assert beside.best[0] == pytest.approx(float(gp.mean(low)[0]), abs=1e-5)
    assert beside.best[0] < alone.best[0] - 0.1


def test_joint_draws_of_pending_values_come_in_opposite_pairs() -> None:
    alone, beside, pending = members(10)
    np.testing.assert_allclose(beside.gp.y[7:].mean(axis=1), alone.gp.mean(pending), atol=1e-12)


def test_expected_improvement_is_averaged_over_the_sets_of_values() -> None:
    x, at, hyper = np.linspace(0.0, 1.0, 7)[:, None], np.array([[0.31], [0.77]]), Hyperparameters(np.array([0.1]), 1.0, 0.01)
    sets = np.column_stack([np.cos(6.0 * x[:, 0]), np.sin(9.0 * x[:, 0]), x[:, 0]])
    best = np.array([-0.9, -0.5, 0.1])
    together = Member(GP(x, sets, Columns((0,)), hyper), 1.0, best).log_improvement(at)
    each = [Member(GP(x, sets[:, i], Columns((0,)), hyper), 1.0, best[i : i + 1]).log_improvement(at) for i in range(3)]
    np.testing.assert_allclose(together, np.log(np.mean(np.exp(each), axis=0)), rtol=1e-9)


def test_the_mixture_is_as_unsure_as_its_members_and_their_difference() -> None:
    x, hyper, at = np.linspace(0.0, 1.0, 7)[:, None], Hyperparameters(np.array([0.1]), 1.0, 0.01), np.array([[0.4]])
    low, high = (Member(GP(x, np.full(7, v), Columns((0,)), hyper), w, np.zeros(1)) for v, w in ((-2.0, 0.6), (3.0, 0.2)))
    mean, deviation = Acquisition([low, high]).predict(at)
    (a, va), (b, vb) = (tuple(float(np.ravel(f)[0]) for f in m.predict(at)) for m in (low, high))
    assert mean[0] == pytest.approx(0.75 * a + 0.25 * b)
    assert deviation[0] ** 2 == pytest.approx(0.75 * va + 0.25 * vb + 0.75 * 0.25 * (a - b) ** 2)
