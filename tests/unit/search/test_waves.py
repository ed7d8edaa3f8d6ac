"""Where the fit sees noise, every second suggestion is by a fit of short waves, if it foretells the results no worse."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from rekindle.search import Continuous, History, Space, Trial, TrialState
from rekindle.search.bayesian.gp import GP, Columns, Hyperparameters
from rekindle.search.bayesian.strategy import BayesianSearch, Options
from rekindle.search.bayesian.waves import has_turn, sees_noise
from rekindle.search.history import Parent
from rekindle.search.space import Configuration
from rekindle.search.transfer import WarmStart

SPACE = Space([Continuous("x", 0.0, 1.0), Continuous("y", 0.0, 1.0)])


def bowl(x: float, y: float) -> float:
    return (x - 0.4) ** 2 + (y - 0.6) ** 2


def ripples(x: float, y: float) -> float:
    return bowl(x, y) + 0.15 * float(2.0 - np.cos(40.0 * (x - 0.4)) - np.cos(40.0 * (y - 0.6)))


def history(f: Callable[[float, float], float], n: int, seed: int, noise: float = 0.0) -> History:
    rng = np.random.default_rng(seed)
    trials = []
    for i in range(n):
        x, y = (float(v) for v in rng.random(2))
        trials.append(Trial(i, {"x": x, "y": y}, TrialState.SUCCEEDED, f(x, y) + noise * float(rng.standard_normal())))
    return History(tuple(trials), asked=n)


def fit(history: History, **options: object) -> str:
    proposal = BayesianSearch(SPACE, "minimize", 0, options=Options(**options)).propose(history)  # type: ignore[arg-type]
    assert proposal is not None
    return str(proposal.why["fit"])


def test_every_second_suggestion_from_the_twelfth_result_on() -> None:
    assert [has_turn(asked, 30) for asked in range(30, 34)] == [True, False, True, False]
    assert [has_turn(30, results) for results in (11, 12)] == [False, True]


def test_a_fit_sees_noise_by_its_share_of_the_variance() -> None:
    def of(signal: float, noise: float) -> bool:
        x, hyper = np.array([[0.2], [0.8]]), Hyperparameters(np.array([0.3]), signal, noise)
        return sees_noise(GP(x, np.array([0.0, 1.0]), Columns((0,)), hyper))

    assert [of(0.94, 0.06), of(0.96, 0.04), of(0.2, 0.02)] == [True, False, True]


@pytest.mark.parametrize("seed", [2, 4])
def test_waves_are_looked_at_closely(seed: int) -> None:
    rugged = history(ripples, 40, seed)
    search = BayesianSearch(SPACE, "minimize", 0)
    waves, usual = search.propose(rugged), search.propose(History(rugged.trials, asked=41))
    assert waves is not None
    assert usual is not None
    assert (waves.why["fit"], usual.why["fit"]) == ("short waves", "usual")
    assert min(waves.why["lengthscales"].values()) < 0.5 * min(usual.why["lengthscales"].values())
    assert waves.why["noise_deviation"] < usual.why["noise_deviation"]
    assert search.propose(rugged) == waves


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_what_is_smooth_or_truly_noisy_is_not_taken_for_waves(noise: float) -> None:
    found = [fit(history(bowl, n, seed, noise)) for n in (12, 20, 40) for seed in range(5)]
    assert found.count("usual") >= 14


def test_only_where_it_is_wanted() -> None:
    rugged = history(ripples, 40, 4)
    assert fit(rugged) == "short waves"
    assert fit(rugged, waves=False) == "usual"
    assert fit(rugged, draws=32) == "usual"


def warm(trials: Iterable[tuple[Configuration, float | None]]) -> BayesianSearch:
    parents = (Parent(SPACE, list(trials)),)
    return BayesianSearch(SPACE, "minimize", 0, parents, prior=WarmStart(SPACE, "minimize", parents))


def results(f: Callable[[float, float], float], n: int, seed: int) -> list[tuple[Configuration, float]]:
    return [(t.configuration, f(*map(float, t.configuration.values()))) for t in history(f, n, seed).trials]


def test_parents_with_a_say_know_of_lengthscales() -> None:
    proposal = warm(results(ripples, 100, 5)).propose(history(ripples, 40, 4))
    assert proposal is not None
    assert proposal.why["parents"]["parents"][0]["weight"] > 0.2  # type: ignore[index]
    assert proposal.why["fit"] == "usual"


def test_a_parent_without_a_say_changes_nothing() -> None:
    values = [value for _, value in results(bowl, 40, 5)]
    shuffled = zip([c for c, _ in results(bowl, 40, 5)], np.random.default_rng(1).permutation(values), strict=True)
    search, cold = warm((c, float(v)) for c, v in shuffled), BayesianSearch(SPACE, "minimize", 0)
    for rugged in (history(ripples, 40, seed) for seed in (2, 4)):
        for asked in (40, 41, 42):
            found, expected = (s.propose(History(rugged.trials, asked=asked)) for s in (search, cold))
            assert found is not None
            assert expected is not None
            assert (found.configuration, found.why["fit"], found.why["aim"]) == (
                expected.configuration,
                expected.why["fit"],
                expected.why["aim"],
            )


def test_a_contrary_parent_leads_nobody_for_long() -> None:
    search = warm((c, -value) for c, value in results(bowl, 40, 5))
    rugged = history(ripples, 40, 4)
    found = [search.propose(History(rugged.trials, asked=asked)) for asked in (40, 41, 42)]
    told = [(p.why["fit"], p.why["aim"]) for p in found if p is not None]
    assert told[0][0] == "short waves"
    assert "farther" in [aim for _, aim in told]
