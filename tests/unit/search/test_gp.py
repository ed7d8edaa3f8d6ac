"""The Gaussian process: gradients, known posteriors, and inputs that break a careless Cholesky."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.search.bayesian.fit import Priors, fit, negative_log_posterior
from rekindle.search.bayesian.gp import GP, Hyperparameters, _cholesky
from rekindle.search.bayesian.kernel import BIAS, Columns, correlation, matern, squared_distances

MIXED = Columns((0, 0, 3, 0))


def mixed_rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 4))
    x[:, 2] = (rng.integers(0, 3, n) + 0.5) / 3
    y = np.sin(5 * x[:, 0]) + x[:, 2] + 0.1 * rng.normal(size=n)
    return x, (y - y.mean()) / y.std()


def hyper(d: int, lengthscale: float = 0.5, noise: float = 1e-3) -> Hyperparameters:
    return Hyperparameters(np.full(d, lengthscale), 1.0, noise)


@pytest.mark.parametrize(
    "theta", [[-0.3, 0.2, 0.5, 0.1, 0.3, -3.0], [0.5, 0.5, 0.5, 0.5, -1.0, -1.0], [-2.0, 3.0, 0.0, -1.0, 1.0, -6.0]]
)
def test_gradient_of_the_posterior_is_its_finite_difference(theta: list[float]) -> None:
    x, y = mixed_rows(30)
    at, z, h = np.array(theta), MIXED.features(x), 1e-5
    _, gradient = negative_log_posterior(at, z, y, MIXED, Priors())
    value = lambda t: negative_log_posterior(t, z, y, MIXED, Priors())[0]  # noqa: E731
    differences = [(value(at + e) - value(at - e)) / (2 * h) for e in np.eye(6) * h]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bowl", [0.0, 1.5])
def test_gradient_of_the_prediction_is_its_finite_difference(bowl: float) -> None:
    x, y = mixed_rows(30)
    gp = fit(x, y, MIXED, bowl=bowl).with_rows(x[:2] * 0.9, np.array([[0.5, 1.0], [0.1, -1.0]]))
    at, h = np.array([0.3, 0.8, 0.5, 0.6]), 1e-6
    mean, variance, dmean, dvariance = (part[0] for part in gp.predict_with_gradients(at[None]))
    np.testing.assert_allclose(mean, gp.predict(at[None])[0][0], rtol=1e-10)
    assert variance == pytest.approx(gp.predict(at[None])[1][0], rel=1e-8)
    for j in MIXED.numeric:
        up, down = (gp.predict((at + s * h * np.eye(4)[j])[None]) for s in (1, -1))
        np.testing.assert_allclose(dmean[:, j], (up[0] - down[0])[0] / (2 * h), rtol=1e-5, atol=1e-7)
        assert dvariance[j] == pytest.approx((up[1] - down[1])[0] / (2 * h), rel=1e-4, abs=1e-7)
    assert np.all(dmean[:, 2] == 0)
    assert dvariance[2] == 0


def test_posterior_is_the_textbook_formula() -> None:
    x, y = mixed_rows(12)
    gp = GP(x, y, MIXED, hyper(4))
    apart = np.array(
        [[np.sum((a - b)[[0, 1, 3]] ** 2) + (a[2] != b[2]) for b in x] for a in np.vstack([x, [[0.2, 0.3, 0.5, 0.9]]])]
    )
    k = matern(apart / 0.25)[0][:, :12] + BIAS
    inverse = np.linalg.inv(k[:12] + 1e-3 * np.eye(12))
    mean, variance = gp.predict(np.array([[0.2, 0.3, 0.5, 0.9]]))
    assert mean[0] == pytest.approx(float(k[12] @ inverse @ y), rel=1e-4)
    assert variance[0] == pytest.approx(float(1 + BIAS - k[12] @ inverse @ k[12]), rel=1e-4)


@pytest.mark.parametrize("bowl", [0.0, 1.5])
def test_leave_one_out_is_what_leaving_out_gives(bowl: float) -> None:
    x, y = mixed_rows(15)
    gp = fit(x, y, MIXED, bowl=bowl)
    means, variances = gp.leave_one_out()
    for i in range(15):
        rest = np.arange(15) != i
        mean, variance = GP(x[rest], y[rest], MIXED, gp.hyper, bowl=bowl).predict(x[i : i + 1])
        assert means[i] == pytest.approx(mean[0], abs=1e-6)
        assert variances[i] == pytest.approx(variance[0] + gp.noise, rel=1e-5)


def test_fitted_is_the_prediction_at_its_own_rows() -> None:
    x, y = mixed_rows(20)
    gp = GP(x, y, MIXED, hyper(4), np.linspace(0, 0.5, 20), bowl=0.7)
    np.testing.assert_allclose(gp.fitted(), gp.predict(x)[0], atol=1e-7)


def test_a_bowl_is_what_is_expected_where_nothing_is_known() -> None:
    middle, side, corner = np.full(4, 0.5), np.array([1.0, 0.5, 0.5, 0.5]), np.array([0.0, 1.0, 0.5, 1.0])
    at = np.array([middle, side, corner, corner * 2 - 0.5])
    prior = GP(np.zeros((0, 4)), np.zeros(0), MIXED, hyper(4), bowl=3.0)
    np.testing.assert_allclose(prior.predict(at)[0], [0.0, 1.0, 3.0, 3.0])
    np.testing.assert_allclose(prior.mean(at), [0.0, 1.0, 3.0, 3.0])


def test_a_bowl_is_taken_off_the_values_and_put_on_what_is_predicted() -> None:
    x, y = mixed_rows(20)
    at = np.random.default_rng(1).random((5, 4))
    bowl = fit(x, y, MIXED, bowl=2.0)
    flat = fit(x, y - 2.0 * MIXED.bowl(x), MIXED)
    assert bowl.hyper.signal == flat.hyper.signal
    np.testing.assert_allclose(bowl.predict(at)[0], flat.predict(at)[0] + 2.0 * MIXED.bowl(at), rtol=1e-9)
    np.testing.assert_allclose(bowl.predict(at)[1], flat.predict(at)[1])


def test_where_all_is_categorical_there_is_no_bowl() -> None:
    columns = Columns((2, 3))
    x = np.array([[0.25, 0.5], [0.75, 1 / 6]])
    np.testing.assert_array_equal(columns.bowl(x), [0.0, 0.0])
    assert columns.bowl_gradients(x).shape == (2, 0)


def test_further_rows_equal_a_gp_on_all_rows() -> None:
    x, y = mixed_rows(20)
    grown = GP(x[:15], y[:15], MIXED, hyper(4)).with_rows(x[15:], y[15:])
    at = np.random.default_rng(1).random((5, 4))
    np.testing.assert_allclose(grown.predict(at)[0], GP(x, y, MIXED, hyper(4)).predict(at)[0], rtol=1e-9)


def test_the_fit_finds_which_parameter_matters() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((40, 3))
    y = np.sin(6 * x[:, 1])
    gp = fit(x, (y - y.mean()) / y.std(), Columns((0, 0, 0)))
    assert gp.hyper.lengthscales[1] < 0.3 * min(gp.hyper.lengthscales[0], gp.hyper.lengthscales[2])
    assert gp.noise < 1e-3


def test_the_fit_finds_noise() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((80, 2))
    y = rng.normal(size=80)
    assert fit(x, y, Columns((0, 0))).noise > 0.4


@pytest.mark.parametrize("gap", [0.0, 1e-300, 1e-16, 1e-9, 1e-5])
def test_near_duplicate_rows_do_not_break_it(gap: float) -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.random((5, 2)), 8, axis=0)
    x[:, 0] += gap * np.arange(40)
    gp = GP(x, rng.normal(size=40), Columns((0, 0)), hyper(2, 2.0, 1e-12))
    mean, variance = gp.predict(rng.random((50, 2)))
    assert np.all(np.isfinite(mean))
    assert np.all(variance > 0)


def test_an_ill_conditioned_kernel_is_jittered() -> None:
    x = np.linspace(0, 1, 200)[:, None]
    for noise in (1e-12, 0.0):
        gp = GP(x, np.sin(3 * x[:, 0]), Columns((0,)), Hyperparameters(np.array([1e3]), 20.0, noise))
        assert np.all(np.isfinite(gp.predict(x)[0]))


@pytest.mark.parametrize(("below", "expected"), [(-1e-3, 1e-9), (3e-9, 1e-8), (3e-7, 1e-6), (5e-3, 1e-2)])
def test_a_matrix_gets_as_little_jitter_as_it_takes(below: float, expected: float) -> None:
    """Its least eigenvalue is ``-below``; jitter is relative to the signal."""
    signal, ones = 4.0, np.ones((30, 30))
    matrix = signal * (ones - below * np.eye(30))
    lower = _cholesky(matrix.copy(), 0.0, signal)
    added = np.diag(lower @ lower.T - matrix)
    np.testing.assert_allclose(added, expected * signal, rtol=1e-4, atol=1e-13)


def test_a_matrix_that_no_jitter_helps_is_no_kernel() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        _cholesky(np.ones((5, 5)) - np.eye(5), 0.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**32), st.sampled_from([0.0, 1e-14, 1.0, 1e3]))
def test_a_fit_never_fails(n: int, d: int, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.round(rng.random((n, d)), rng.integers(0, 6))
    gp = fit(x, spread * rng.normal(size=n), Columns((0,) * d))
    mean, variance = gp.predict(rng.random((7, d)))
    assert np.all(np.isfinite(mean))
    assert np.all(variance > 0)
    assert np.all(np.isfinite(variance))


def test_a_gp_of_no_rows_is_its_prior(capfd: pytest.CaptureFixture[str]) -> None:
    gp = fit(np.zeros((0, 2)), np.zeros(0), Columns((0, 0)))
    mean, variance, _, _ = gp.predict_with_gradients(np.array([[0.2, 0.3]]))
    assert mean == [[0.0]]
    assert variance == [gp.hyper.signal + BIAS]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("priors", [Priors(), Priors(shared=0.0, shorter=1.3)])
def test_the_priors_slope_is_its_finite_difference(priors: Priors) -> None:
    at, h = np.array([-2.0, 0.4, 1.5, -0.2, -3.0]), 1e-6
    _, slope = priors.penalty(at)
    differences = [(priors.penalty(at + e)[0] - priors.penalty(at - e)[0]) / (2 * h) for e in np.eye(5) * h]
    np.testing.assert_allclose(slope, differences, rtol=1e-6)


def test_lengthscales_that_move_together_cost_less_than_one_by_itself() -> None:
    priors = Priors()
    modes = priors.modes(4)
    together, alone = modes.copy(), modes.copy()
    together[:4] += 1.0
    alone[0] += 2.0
    assert priors.penalty(together)[0] < priors.penalty(alone)[0]
    below = modes.copy()
    below[0] -= 2.0
    assert priors.penalty(alone)[0] < priors.penalty(below)[0]


def test_the_correlation_alone_is_the_kernels_bit_for_bit() -> None:
    r2 = np.random.default_rng(0).random((40, 30)) ** 8 * 1e3
    assert np.array_equal(correlation(r2), matern(r2)[0])


@pytest.mark.parametrize(("k", "squared"), [(2, 1.0), (4, 1.0), (5, 0.8), (30, 4 / 30)])
def test_categories_lie_as_far_apart_as_their_number_says(k: int, squared: float) -> None:
    places = (np.arange(k)[:, None] + 0.5) / k
    z = Columns((k,)).features(places)
    assert squared_distances(z, z)[~np.eye(k, dtype=bool)] == pytest.approx(squared)


def test_fitted_hyperparameters_lie_on_a_grid() -> None:
    x, y = mixed_rows(20)
    steps = fit(x, y, MIXED).hyper.log * 2.0**10
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
