"""The model of a family: its gradients, units, kinship, and what it says of parameters that parents lack."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rekindle.search import Categorical, Continuous, Parent, Space, Tuner
from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.gp import GP, Hyperparameters
from rekindle.search.bayesian.kernel import BIAS, matern, squared_distances
from rekindle.search.kinship import Family, Kept, KinGP, Own, Results, Theta, Together, likeness, negative_log_posterior
from rekindle.search.space import Configuration
from rekindle.search.transfer import Kin

Array = np.ndarray
SPACE = Space([Continuous("x", 0, 1, "Linear"), Continuous("y", 0, 1, "Linear"), Categorical("c", ["a", "b", "d"])])
Function = Callable[[Configuration], float]


def bowl(c: Configuration) -> float:
    return (float(c["x"]) - 0.7) ** 2 + 2 * (float(c["y"]) - 0.2) ** 2 + 0.2 * (c["c"] != "b")


def drawn(n: int, seed: int) -> list[Configuration]:
    rng = np.random.default_rng(seed)
    return [SPACE.decode(rng.random(3)) for _ in range(n)]


def parent(f: Function, seed: int, n: int = 25) -> Parent:
    return Parent(SPACE, [(c, f(c)) for c in drawn(n, seed)])


def family(*parents: Parent, space: Space = SPACE) -> Family:
    found = Kin(Encoding(space), "minimize", parents).family
    assert found is not None
    return found


def own(f: Function, n: int) -> tuple[Array, Array]:
    chosen = drawn(n, 99)
    values = np.array([f(c) for c in chosen])
    return Encoding(SPACE).encode(chosen), (values - values.mean()) / values.std()


def model(kin: Family, f: Function, n: int) -> KinGP:
    x, y = own(f, n)
    found = Results(x, y, float(np.std([f(c) for c in drawn(n, 99)])))
    return kin.model(found, found)[0]


def test_gradient_of_the_posterior_of_hyperparameters() -> None:
    kin = family(parent(bowl, 0), parent(lambda c: 3 - bowl(c), 1))
    z = kin.columns.features(kin.x)
    at = kin.start.log + 0.1 * np.random.default_rng(0).standard_normal(len(kin.start.log))
    rest = (z, kin.y, kin.members, kin.columns, kin.start.log, np.ones(len(at)), kin.noise)
    _, gradient = negative_log_posterior(at, *rest)
    step = 1e-5 * np.eye(len(at))
    numeric = [(negative_log_posterior(at + e, *rest)[0] - negative_log_posterior(at - e, *rest)[0]) / 2e-5 for e in step]
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_gradient_of_the_posterior_given_results() -> None:
    kin = family(parent(bowl, 0), parent(lambda c: 3 - bowl(c), 1))
    x, y = own(bowl, 9)
    z = kin.columns.features(np.vstack([kin.x, x]))
    together = Together(
        columns=kin.columns,
        shared=matern(squared_distances(z, z))[0],
        z=z[len(kin.x) :],
        y=np.concatenate([kin.y, y]),
        lent=kin.members,
        row_noise=np.concatenate([kin.noise, np.zeros(9)]),
        priors=kin.own_priors,
        modes=np.zeros(5),
        deviations=np.ones(5),
    )
    at = np.array([0.1, -0.3, 0.2, -1.5, -2.0, -1.0, -0.2, -3.0])
    _, gradient = together.negative_log_posterior(at)
    f = lambda theta: together.negative_log_posterior(theta)[0]  # noqa: E731
    numeric = [(f(at + e) - f(at - e)) / 2e-5 for e in 1e-5 * np.eye(len(at))]
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_a_search_with_nothing_in_common_is_modelled_as_if_it_had_no_parents() -> None:
    kin = family(parent(bowl, 0))
    x, y = own(bowl, 9)
    hyper, lengthscales, apart = kin.start.hyper, np.array([0.2, 0.3, 0.5]), Own(50.0, np.array([0.2, 0.3, 0.5]))
    rows, values = np.vstack([kin.x, x]), np.concatenate([kin.y, y])
    beside = KinGP(rows, values, kin.columns, hyper, 0.0, kin.members, kin.start.distances, apart)
    without = KinGP(x, y, kin.columns, hyper, 0.0, kin.members[:0], kin.start.distances, apart)
    alone = GP(x, y, kin.columns, Hyperparameters(lengthscales, hyper.signal, hyper.noise))
    at = Encoding(SPACE).encode(drawn(5, 7))
    assert without.mean(at) == pytest.approx(alone.mean(at))
    assert without.predict(at)[1] == pytest.approx(alone.predict(at)[1])
    # Only the constant mean is the whole family's.
    assert beside.predict(at)[1] == pytest.approx(alone.predict(at)[1], rel=0.05)


def test_gradients_of_the_prediction() -> None:
    gp = model(family(parent(bowl, 0), parent(bowl, 1)), bowl, 6)
    at = np.array([0.31, 0.62, 0.5])
    mean, variance, dmean, dvariance = (part[0] for part in gp.predict_with_gradients(at[None]))
    assert (mean[0], variance) == pytest.approx([float(p[0]) for p in gp.predict(at[None])])
    for j, e in enumerate(1e-6 * np.eye(3)[:2]):
        (up, wide), (down, narrow) = gp.predict((at + e)[None]), gp.predict((at - e)[None])
        assert dmean[0, j] == pytest.approx((up[0] - down[0]) / 2e-6, rel=1e-3, abs=1e-6)
        assert dvariance[j] == pytest.approx((wide[0] - narrow[0]) / 2e-6, rel=1e-3, abs=1e-6)


def test_the_kernel_between_tasks_is_positive_definite() -> None:
    alike = likeness(np.repeat(np.eye(3), 2, axis=0), np.array([0.1, 1.0, 4.0]), 2)
    assert np.linalg.eigvalsh(alike).min() > -1e-12
    assert alike[0, 1] == 1.0
    assert alike[0, 6] == pytest.approx(np.exp(-0.1))
    assert alike[0, 2] == pytest.approx(np.exp(-1.1))


def test_logarithms_of_the_hyperparameters_come_back() -> None:
    theta = np.array([0.1, -0.2, 0.3, -1.0, -2.0, 0.5, -4.0])
    assert Theta.from_log(theta, 2).log == pytest.approx(theta)


def test_a_contrary_parent_is_no_kin_and_a_good_one_is() -> None:
    kin = family(parent(bowl, 0), parent(lambda c: -bowl(c), 1))
    good, contrary = model(kin, bowl, 15).kinship
    assert good > 0.7
    assert contrary < 0.5 * good


@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0])
def test_the_unit_of_the_new_search_is_found_whatever_its_scale(scale: float) -> None:
    def here(c: Configuration) -> float:
        return 5 + scale * bowl(c)

    kin = family(parent(bowl, 0, 40))
    x, y = own(here, 8)
    unit = float(np.std([here(c) for c in drawn(8, 99)]))
    u, v = kin.unit(Results(x, y, unit))
    assert u * y + v == pytest.approx(kin.alone.mean(x), abs=0.6)


def test_results_count_in_the_unit_by_how_surely_the_family_predicts_them() -> None:
    """Generalised least squares: what the family is unsure of together, noise included, weighs less."""
    rng = np.random.default_rng(5)
    noisy = Parent(SPACE, [(c, bowl(c) + 0.15 * rng.standard_normal()) for c in drawn(40, 0)])
    kin = family(noisy)
    assert kin.start.hyper.noise > 0.02
    x, y = own(bowl, 6)
    u, v = kin.unit(Results(x, y, 1.0))
    ones = np.ones(6)

    def level(noise: float) -> float:
        weights = np.linalg.solve(kin.alone.covariance(x) + noise * np.eye(6), ones)
        return float(weights @ (kin.alone.mean(x) - u * y) / weights.sum())

    assert v == pytest.approx(level(kin.start.hyper.noise + 1e-4))
    assert abs(v - level(1e-4)) > 0.005


def test_values_that_lie_close_together_are_not_taken_for_the_whole_range() -> None:
    """Two results near the optimum differ little in the parents' unit, too, when the raw units are alike."""
    kin = family(parent(bowl, 0, 40))
    x = np.array([[0.7, 0.2, 0.5], [0.71, 0.21, 0.5]])
    u, _ = kin.unit(Results(x, np.array([-1.0, 1.0]), 1e-4))
    assert u < 0.2


def test_pending_rows_join_as_the_new_searchs_own() -> None:
    gp = model(family(parent(bowl, 0), parent(bowl, 1)), bowl, 5)
    at = np.array([[0.4, 0.4, 0.5]])
    grown = gp.with_rows(at, np.array([2.5]), 1e-6 - gp.noise)
    assert isinstance(grown, KinGP)
    assert grown.mean(at)[0] == pytest.approx(2.5, abs=0.01)
    assert grown.fitted()[-1] == pytest.approx(2.5, abs=0.01)


def test_before_any_result_the_model_is_the_parents_and_the_incumbent_among_their_rows() -> None:
    kin = family(parent(bowl, 0), parent(bowl, 1))
    none = Results(np.zeros((0, 3)), np.zeros(0), 1.0)
    gp, rows = kin.model(none, none)
    assert (rows.start, rows.stop) == (0, len(kin.y))
    best = Encoding(SPACE).decode(gp.x[int(np.argmin(gp.fitted()))])
    assert bowl(best) < 0.1


def test_parents_say_nothing_along_a_parameter_that_they_lack() -> None:
    old = Space(SPACE.parameters[1:])
    trials = [({"y": c["y"], "c": c["c"]}, bowl({**c, "x": 0.7})) for c in drawn(40, 0)]
    kin = Kin(Encoding(SPACE), "minimize", (Parent(old, trials),)).family
    assert kin is not None
    low, high = np.array([[0.05, 0.2, 0.5]]), np.array([[0.95, 0.2, 0.5]])
    worst = np.array([[0.5, 0.9, 0.2]])
    assert abs(kin.alone.mean(low)[0] - kin.alone.mean(high)[0]) < 0.3 * (kin.alone.mean(worst)[0] - kin.alone.mean(low)[0])


def test_the_second_suggestion_is_the_familys_too() -> None:
    tuner = Tuner(SPACE, parents=[parent(bowl, s) for s in range(3)])
    first = tuner.ask()
    assert tuner.explain(first.id)["source"] == "parent"
    tuner.tell(first.id, bowl(first.values))
    second = tuner.ask()
    assert tuner.explain(second.id)["source"] == "parent"
    assert bowl(second.values) < 0.1
    tuner.tell(second.id, bowl(second.values))
    contrast, model = tuner.ask(), None
    tuner.tell(contrast.id, bowl(contrast.values))
    while model is None or tuner.explain(model.id)["source"] == "parent":
        model = tuner.ask()
        tuner.tell(model.id, bowl(model.values))
    assert bowl(model.values) < 0.1


def test_what_is_predicted_follows_from_the_kernel_of_the_family() -> None:
    """By the formula at the top of the module, row by row and pair by pair."""
    rng, signal, noise, columns = np.random.default_rng(0), 1.3, 0.05, Encoding(SPACE).columns
    task, rho = np.array([1] * 5 + [2] * 4 + [0] * 6), np.exp([-0.3, -0.1, -0.8])
    x = Encoding(SPACE).snap(rng.random((15, 3)))
    y, at = rng.standard_normal(15), Encoding(SPACE).snap(rng.random((4, 3)))
    shared, rough = np.array([0.4, 0.7, 1.1]), np.array([0.2, 0.3, 0.5])

    def plain(a: Array, b: Array, scale: Array) -> float:
        apart = np.array([a[0] - b[0], a[1] - b[1], float(abs(a[2] - b[2]) > 1e-9)]) / scale
        return float(matern(np.array(apart @ apart))[0])

    def kernel(a: Array, s: int, b: Array, t: int) -> float:
        if s == t == 0:
            return signal * (rho[0] ** 2 * plain(a, b, shared) + (1 - rho[0] ** 2) * plain(a, b, rough)) + BIAS
        return signal * (1.0 if s == t else rho[s] * rho[t]) * plain(a, b, shared) + BIAS

    def table(rows: Array, tasks: Array, others: Array, theirs: Array) -> Array:
        return np.array(
            [[kernel(a, s, b, t) for b, t in zip(others, theirs, strict=True)] for a, s in zip(rows, tasks, strict=True)]
        )

    new = np.zeros(4, dtype=int)
    k, cross = table(x, task, x, task) + noise * np.eye(15), table(x, task, at, new)
    members = np.array([[t == 1, t == 2] for t in task[:9]], dtype=float)
    gp = KinGP(x, y, columns, Hyperparameters(shared, signal, noise), 0.0, members, -np.log(rho[1:]), Own(0.3, rough))
    covariance = table(at, new, at, new) - cross.T @ np.linalg.solve(k, cross)
    np.testing.assert_allclose(gp.mean(at), cross.T @ np.linalg.solve(k, y), atol=1e-6)
    np.testing.assert_allclose(gp.covariance(at), covariance, atol=1e-6)
    np.testing.assert_allclose(gp.predict(at)[1], np.diag(covariance), atol=1e-6)
    np.testing.assert_allclose(gp.kinship, rho[0] * rho[1:])


def test_only_the_last_few_fits_are_kept() -> None:
    kept, made = Kept[int](), list[int]()
    for i in range(40):
        assert kept.get(bytes([i]), lambda i=i: made.append(i) or i) == i  # type: ignore[misc]
        assert kept.get(bytes([i]), lambda: -1) == i
    assert made == list(range(40))
    assert len(kept._found) <= 16


def test_the_family_holds_so_many_of_the_new_searchs_results_at_most() -> None:
    gp = model(family(parent(bowl, 0)), bowl, 320)
    assert len(gp.x) - len(gp.lent) == 300


def test_the_zero_of_the_results_has_no_say_in_their_unit() -> None:
    kin = family(parent(bowl, 0, 40))
    x, y = own(bowl, 6)
    u, v = kin.unit(Results(x, y, 1.0))
    assert kin.unit(Results(x, y + 5.0, 1.0)) == (u, pytest.approx(v - 5.0 * u))


def test_without_evidence_the_unit_is_more_likely_the_parents_own_than_any() -> None:
    kin = family(parent(bowl, 0, 40))
    # Seven parts in ten of e^-1, the rest of 1; no result says more.
    assert np.log(kin._scale(0.0, 0.0, 1, float(kin.units[0]) / np.e)) == pytest.approx(-0.7, abs=0.01)


def test_rows_of_a_noisy_parent_are_as_noisy_as_its_own_model_found() -> None:
    rng = np.random.default_rng(1)
    noisy = Parent(SPACE, [(c, bowl(c) + 0.3 * rng.standard_normal()) for c in drawn(60, 2)])
    kin = family(parent(bowl, 0, 40), noisy)
    assert kin.noise.max() > 3 * kin.start.hyper.noise
    gp = model(kin, bowl, 5)
    x, y = own(bowl, 5)
    u, _ = kin.unit(Results(x, y, float(np.std([bowl(c) for c in drawn(5, 99)]))))
    m = len(gp.lent)
    lent = (gp.hyper.noise + np.asarray(gp.row_noise)[:m]) * u**2
    assert (np.asarray(gp.row_noise)[m:] == 0.0).all()
    assert lent.max() == pytest.approx(kin.noise.max())


def test_the_model_is_in_the_unit_of_the_results() -> None:
    kin = family(parent(bowl, 0, 40))
    x, y = own(bowl, 6)
    found = Results(x, 8.0 * y, 8.0)
    u, _ = kin.unit(found)
    theta, _ = kin._fit(found)
    gp, _ = kin.model(found, found)
    assert u < 0.5
    assert (gp.hyper.noise, gp.hyper.signal) == pytest.approx((theta.hyper.noise / u**2, theta.hyper.signal / u**2))


def test_each_result_takes_the_place_of_a_parents_row() -> None:
    kin = family(parent(bowl, 0, 240))
    lent = [len(kin._beside(n, 180, 60)) for n in (0, 50, 120, 300)]
    assert lent == [180, 130, 60, 60]
    assert len(model(kin, bowl, 150).lent) == 60


def test_a_few_contrary_results_make_kin_more_distant() -> None:
    kin = family(parent(bowl, 0, 40))
    assert model(kin, lambda c: -bowl(c), 4).kinship[0] < 0.9 * kin.alone.kinship[0]
