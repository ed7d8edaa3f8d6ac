"""Where the fit sees noise a search looks right beside its best trial, and every second suggestion is by a fit of short waves,
if that foretells the results no worse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from rekindle.search import Categorical, Continuous, History, Integer, Space, Trial, TrialState, Tuner
from rekindle.search.bayesian import concentration
from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.gp import GP, Hyperparameters
from rekindle.search.bayesian.kernel import Columns
from rekindle.search.bayesian.strategy import BayesianSearch, Options
from rekindle.search.bayesian.waves import beside, has_turn, lacks_pair, sees_noise
from rekindle.search.history import Parent
from rekindle.search.space import Configuration, Value
from rekindle.search.transfer import WarmStart

SPACE = Space([Continuous("x", 0.0, 1.0), Continuous("y", 0.0, 1.0)])


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waves are looked at by themselves: lengthscales do not follow from where the better results are, at the same turns."""
    monkeypatch.setattr(concentration, "_LEAST_RESULTS", 10**6)


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


def with_second_look(history: History) -> History:
    """A history whose second look finds what the best trial has."""
    look = BayesianSearch(SPACE, "minimize", 0).propose(history)
    assert look is not None
    trial = Trial(history.asked, look.configuration, TrialState.SUCCEEDED, min(t.value for t in history.trials if t.value))
    return History((*history.trials, trial), asked=history.asked + 1)


def fit(history: History, **options: object) -> str:
    proposal = BayesianSearch(SPACE, "minimize", 0, options=Options(**options)).propose(history)  # type: ignore[arg-type]
    assert proposal is not None
    return str(proposal.why["fit"])


def test_every_second_suggestion() -> None:
    assert [has_turn(asked) for asked in range(30, 34)] == [True, False, True, False]


def test_a_fit_sees_noise_by_its_share_of_the_variance() -> None:
    def of(signal: float, noise: float, n: int = 12) -> bool:
        x, hyper = np.linspace(0.0, 1.0, n)[:, None], Hyperparameters(np.array([0.3]), signal, noise)
        return sees_noise(GP(x, np.linspace(0.0, 1.0, n), Columns((0,)), hyper))

    assert [of(0.94, 0.06), of(0.96, 0.04), of(0.2, 0.02)] == [True, False, True]
    assert not of(0.94, 0.06, n=11)


def test_a_pair_is_two_trials_close_to_one_another_of_which_one_at_least_has_a_result() -> None:
    apart = np.random.default_rng(1).permutation(np.linspace(0.0, 0.9, 12))[:, None] * np.ones(3)
    near, far = apart[:1] + 0.01, apart[:1] + 0.03
    nobody = np.empty((0, 3))
    assert lacks_pair(apart, nobody)
    assert lacks_pair(np.vstack([apart, far]), far + 0.02)
    assert not lacks_pair(np.vstack([apart, near]), nobody)
    assert not lacks_pair(apart, near)
    assert lacks_pair(apart, np.vstack([far, far]))
    many = np.array([(i / 10, j / 10) for i in range(11) for j in range(11)])
    assert [lacks_pair(many[:n], nobody[:, :2]) for n in (100, 101)] == [True, False]


def test_a_second_look_goes_where_the_objective_changes_least_and_only_where_there_is_a_value_so_close() -> None:
    space = Space(
        [
            Continuous("x", 0.0, 1.0),
            Integer("few", 1, 9),
            Integer("many", 0, 999),
            Categorical("c", ["a", "b"]),
            Continuous("one", 0.5, 0.5),
        ]
    )
    encoding = Encoding(space)
    best = encoding.encode([{"x": 0.75, "few": 3, "many": 100, "c": "a", "one": 0.5}])[0]
    found = [encoding.decode(row) for row in beside(best, encoding, np.array([0.1, 9.0, 0.2, 8.0, 7.0]))]
    base = encoding.decode(best)
    assert found == [{**base, "many": 104}, {**base, "x": 0.75 - 2**-8}]


def test_a_second_look_is_another_configuration() -> None:
    """On a logarithmic scale the next whole number may be far, and a place between those of the model's grid is none."""
    space = Space([Integer("batch", 1, 8192, "Logarithmic"), Integer("few", 1, 9), Continuous("x", 0.0, 1.0)])
    encoding, lengthscales = Encoding(space), np.array([2.0, 3.0, 1.0])

    def found(batch: int, x: float) -> list[dict[str, Value]]:
        best = encoding.encode([{"batch": batch, "few": 3, "x": x}])[0]
        return [encoding.decode(row) for row in beside(best, encoding, lengthscales)]

    (only,) = found(2, 0.3000001)
    assert (only["batch"], only["few"], only["x"]) == (2, 3, pytest.approx(0.3 + 2**-8, abs=1e-6))
    assert [c["batch"] for c in found(2000, 0.5)] == [pytest.approx(2000 / 16385 ** (2**-8), abs=1), 2000]


def test_no_second_look_where_no_parameter_has_another_value_so_close() -> None:
    space = Space([Integer("batch", 1, 8192, "Logarithmic"), Integer("few", 1, 12), Categorical("c", list("abcde"))])
    search, rng = BayesianSearch(space, "minimize", 1), np.random.default_rng(1)
    trials: list[Trial] = []
    for number in range(40):
        proposal = search.propose(History(tuple(trials), asked=number))
        assert proposal is not None
        assert proposal.source in ("initial", "model")
        c = proposal.configuration
        value = np.log(c["batch"]) / 9.0 + 0.02 * c["few"] + 0.1 * "abcde".index(c["c"]) + 0.4 * rng.standard_normal()  # type: ignore[arg-type, operator]
        trials.append(Trial(number, c, TrialState.SUCCEEDED, float(value)))


def test_one_second_look_beside_the_best_trial_where_noise_is_seen() -> None:
    rugged = history(ripples, 20, 0)
    search = BayesianSearch(SPACE, "minimize", 0)
    look = search.propose(rugged)
    assert look is not None
    assert (look.source, look.why["aim"]) == ("model", "second look")
    best = min(rugged.trials, key=lambda t: t.value or 0.0).configuration
    steps = sorted(abs(look.configuration[name] - best[name]) for name in ("x", "y"))  # type: ignore[operator]
    assert steps == [pytest.approx(0.0, abs=1e-6), pytest.approx(2**-8, abs=1e-6)]
    assert search.propose(rugged) == look

    def then(state: TrialState, value: float | None = None) -> Mapping[str, Any]:
        trial = Trial(20, look.configuration, state, value)
        following = search.propose(History((*rugged.trials, trial), asked=21))
        assert following is not None
        assert following.why["aim"] != "second look"
        return following.why

    then(TrialState.PENDING)
    then(TrialState.FAILED)
    alike = then(TrialState.SUCCEEDED, ripples(*look.configuration.values()))  # type: ignore[arg-type]
    another = then(TrialState.SUCCEEDED, ripples(*look.configuration.values()) + 0.3)  # type: ignore[arg-type]
    assert alike["noise_deviation"] < 0.5 * look.why["noise_deviation"]  # type: ignore[operator]
    assert another["noise_deviation"] > 0.8 * look.why["noise_deviation"]  # type: ignore[operator]


def griewank(u: np.ndarray) -> float:
    x = 40.0 * (u - 0.4)
    return float(x @ x / 4000.0 - np.prod(np.cos(x / np.sqrt(np.arange(1.0, len(u) + 1.0)))) + 1.0)


def test_a_search_among_waves_gets_lower_for_it() -> None:
    space = Space([Continuous(f"x{j}", 0.0, 1.0) for j in range(4)])

    def lowest(seed: int, **options: Any) -> float:
        tuner = Tuner(space, BayesianSearch(space, "minimize", seed, options=Options(**options)))
        for _ in range(40):
            trial = tuner.ask()
            tuner.tell(trial.id, griewank(space.encode(trial.values)))
        return tuner.best.value

    assert max(lowest(seed) for seed in range(2)) < 0.5 * min(lowest(seed, waves=False) for seed in range(2))


@pytest.mark.parametrize("seed", [2, 4])
def test_waves_are_looked_at_closely(seed: int) -> None:
    rugged = history(ripples, 40, seed)
    waves, usual = (BayesianSearch(SPACE, "minimize", 0, options=Options(waves=w)).propose(rugged) for w in (True, False))
    assert waves is not None
    assert usual is not None
    assert (waves.why["fit"], usual.why["fit"]) == ("short waves", "usual")
    assert min(waves.why["lengthscales"].values()) < 0.5 * min(usual.why["lengthscales"].values())  # type: ignore[attr-defined]
    assert waves.why["noise_deviation"] < usual.why["noise_deviation"]  # type: ignore[operator]


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
    first = search.propose(rugged)
    assert first is not None
    assert (first.why["fit"], first.why["aim"]) == ("short waves", "second look")
    following = [search.propose(History(with_second_look(rugged).trials, asked=asked)) for asked in (41, 42, 43)]
    assert "farther" in [p.why["aim"] for p in following if p is not None]
