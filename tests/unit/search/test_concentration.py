"""Where the better results are close together, every second model of a search expects short lengthscales."""

from __future__ import annotations

import numpy as np
import pytest

from rekindle.search import Categorical, Continuous, History, Space, Trial, TrialState, Tuner
from rekindle.search.bayesian.concentration import concentrated
from rekindle.search.bayesian.fit import Priors
from rekindle.search.bayesian.kernel import Columns
from rekindle.search.bayesian.strategy import BayesianSearch, Options
from rekindle.search.history import Parent
from rekindle.search.transfer import WarmStart

SPACE = Space([Continuous("x", 0.0, 1.0), Continuous("y", 0.0, 1.0)])
COLUMNS = Columns((0, 0, 3))


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows anywhere, of which those near 0.3 in the first column are better; the second column says nothing."""
    x = np.random.default_rng(seed).random((n, 3))
    return x, (x[:, 0] - 0.3) ** 2


def history(n: int, seed: int = 1) -> History:
    """A search that has come together at (0.3, 0.6) in its second half."""
    rng, trials = np.random.default_rng(seed), []
    for i in range(n):
        at = rng.random(2) if i < n // 2 else np.clip([0.3, 0.6] + 0.02 * rng.standard_normal(2), 0.0, 1.0)
        x, y = map(float, at)
        trials.append(Trial(i, {"x": x, "y": y}, TrialState.SUCCEEDED, (x - 0.3) ** 2 + (y - 0.6) ** 2))
    return History(tuple(trials), asked=n)


def fit(search: BayesianSearch, of: History) -> str:
    proposal = search.propose(of)
    assert proposal is not None
    return str(proposal.why["fit"])


def test_only_columns_in_which_the_better_results_are_close_have_shorter_modes() -> None:
    x, y = rows(60)
    first, second, category = concentrated(Priors(), x, y, COLUMNS).factors
    assert first < 0.5
    assert second > 0.7
    assert category == 1.0


def test_the_modes_are_multiplied_and_nothing_else_changes() -> None:
    usual, shortened = Priors(), Priors(factors=(0.5, 1.0, 1.0))
    assert np.allclose(np.exp(shortened.modes(3) - usual.modes(3)), [0.5, 1.0, 1.0, 1.0, 1.0])
    assert np.array_equal(shortened.deviations(3), usual.deviations(3))


def test_results_all_over_the_place_change_next_to_nothing() -> None:
    x = np.random.default_rng(2).random((300, 3))
    factors = concentrated(Priors(), x, np.random.default_rng(3).random(300), COLUMNS).factors
    assert min(factors) > 0.85
    assert max(factors) <= 1.0


def test_results_in_one_spot_have_a_least_mode() -> None:
    x, y = np.full((20, 3), 0.4), np.arange(20.0)
    assert concentrated(Priors(), x, y, COLUMNS).factors == (0.2, 0.2, 1.0)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_a_few_results_say_nothing(n: int) -> None:
    x, y = rows(n)
    assert concentrated(Priors(), x, y, COLUMNS) == Priors()


def test_every_second_suggestion_is_by_such_a_model_and_expects_shorter_lengthscales() -> None:
    search, trials = BayesianSearch(SPACE, "minimize", 0), history(20).trials
    close, usual = (search.propose(History(trials, asked=asked)) for asked in (20, 21))
    assert close is not None
    assert usual is not None
    assert (close.why["fit"], usual.why["fit"]) == ("close results", "usual")
    for name in SPACE.names:
        assert close.why["lengthscales"][name] < 0.95 * usual.why["lengthscales"][name]  # type: ignore[index]


def test_not_among_draws_nor_while_parents_lead() -> None:
    close = history(20)
    assert fit(BayesianSearch(SPACE, "minimize", 0, options=Options(draws=32)), close) == "usual"
    parents = (Parent(SPACE, [(t.configuration, t.value) for t in history(40, seed=5).trials]),)
    assert fit(BayesianSearch(SPACE, "minimize", 0, parents, prior=WarmStart(SPACE, "minimize", parents)), close) == "usual"


def test_a_search_whose_parents_have_no_say_is_as_one_without() -> None:
    values = np.random.default_rng(7).permutation([float(t.value or 0.0) for t in history(40, seed=5).trials])
    shuffled = (
        Parent(SPACE, list(zip([t.configuration for t in history(40, seed=5).trials], map(float, values), strict=True))),
    )
    for asked in (20, 21):
        at = History(history(20).trials, asked=asked)
        cold = BayesianSearch(SPACE, "minimize", 0).propose(at)
        found = BayesianSearch(SPACE, "minimize", 0, shuffled, prior=WarmStart(SPACE, "minimize", shuffled)).propose(at)
        assert found is not None
        assert cold is not None
        assert (found.configuration, found.why["fit"]) == (cold.configuration, cold.why["fit"])


def test_it_is_the_same_for_maximising_and_for_any_unit() -> None:
    space = Space([Continuous("x", 0.0, 1.0), Categorical("kind", ["a", "b"])])
    tuners = [Tuner(space, direction=direction, seed=3) for direction in ("minimize", "maximize")]
    for _ in range(16):
        asked = [tuner.ask() for tuner in tuners]
        assert asked[0].values == asked[1].values
        value = (float(asked[0].values["x"]) - 0.3) ** 2 + 0.1 * (asked[0].values["kind"] == "b")
        tuners[0].tell(asked[0].id, value)
        tuners[1].tell(asked[1].id, -1024.0 * value)
