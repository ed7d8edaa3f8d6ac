"""PED-ANOVA: the figures are Optuna's, and what has no effect looks like chance."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from rekindle.search.history import Direction, Trial, TrialState
from rekindle.search.importance import MIN_TRIALS, assess, importances
from rekindle.search.space import Categorical, Continuous, Integer, Space

SPACE = Space(
    [
        Continuous("lr", 1e-5, 1e-1, scaling="Logarithmic"),
        Continuous("drop", 0.0, 0.9),
        Integer("layers", 1, 5),
        Integer("width", 1, 400),
        Integer("batch", 8, 1024, scaling="Logarithmic"),
        Categorical("act", ("relu", "tanh", "gelu")),
        Continuous("idle", -3.0, 3.0),
    ]
)


def trials(count: int, value: Callable[[dict], float], seed: int = 1) -> list[Trial]:
    chance = random.Random(seed)
    found = []
    for number in range(1, count + 1):
        configuration = SPACE.decode([chance.random() for _ in SPACE.parameters])
        found.append(Trial(number, configuration, TrialState.SUCCEEDED, value(configuration)))
    return found


def mixed(c: dict) -> float:
    return abs(c["lr"] - 3e-3) * 10 + 0.2 * c["drop"] + 0.05 * abs(c["layers"] - 3) + (0.1 if c["act"] == "tanh" else 0.0)


def optunas(found: list[Trial], direction: Direction) -> dict[str, float]:
    """The same trials in Optuna."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {
        "lr": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True),
        "drop": optuna.distributions.FloatDistribution(0.0, 0.9),
        "layers": optuna.distributions.IntDistribution(1, 5),
        "width": optuna.distributions.IntDistribution(1, 400, log=True),
        "batch": optuna.distributions.IntDistribution(8, 1024, log=True),
        "act": optuna.distributions.CategoricalDistribution(("relu", "tanh", "gelu")),
        "idle": optuna.distributions.FloatDistribution(-3.0, 3.0),
    }
    study = optuna.create_study(direction=direction)
    for t in found:
        study.add_trial(optuna.trial.create_trial(params=dict(t.configuration), distributions=distributions, value=t.value))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    shares: dict[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return shares


def test_values_farther_apart_than_floating_point_reaches_are_compared_all_the_same() -> None:
    found = assess(SPACE, trials(40, lambda c: 1.7e308 if c["idle"] > 0 else -1.7e308), "minimize")
    assert found is not None
    assert max(found, key=lambda name: found[name].share) == "idle"


@pytest.mark.parametrize("count", [60, 101, 400])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_figures_are_optunas(count: int, direction: Direction) -> None:
    found = trials(count, mixed, seed=count)
    assert importances(SPACE, found, direction) == pytest.approx(optunas(found, direction), abs=1e-9)


def test_equal_values_at_the_limit_are_all_among_the_best() -> None:
    found = trials(80, lambda c: float(c["layers"]))
    assert importances(SPACE, found, "minimize") == pytest.approx(optunas(found, "minimize"), abs=1e-9)


def test_what_matters_is_no_chance_and_what_does_not_is() -> None:
    found = assess(SPACE, trials(200, lambda c: (c["drop"] - 0.4) ** 2), "minimize")
    assert found is not None
    assert found["drop"].share > 0.5
    assert found["drop"].by_chance < 0.03
    assert sum(i.share for i in found.values()) == pytest.approx(1.0)
    assert min(i.by_chance for name, i in found.items() if name != "drop") > 0.03


def test_a_large_share_of_what_noise_leaves_may_be_chance() -> None:
    noise = assess(SPACE, trials(500, lambda c: random.Random(repr(sorted(c.items()))).random()), "minimize")
    surely = assess(SPACE, trials(200, lambda c: (c["drop"] - 0.4) ** 2), "minimize")
    assert noise is not None
    assert surely is not None
    assert max(noise.values(), key=lambda i: i.share).may_be_chance
    assert not surely["drop"].may_be_chance
    assert not any(i.may_be_chance for i in (*noise.values(), *surely.values()) if i.share < 0.1)


def test_it_is_a_pure_function() -> None:
    found = trials(50, mixed)
    assert assess(SPACE, found, "minimize") == assess(SPACE, found, "minimize")


def test_too_little_says_nothing() -> None:
    assert importances(SPACE, trials(MIN_TRIALS - 1, mixed), "minimize") is None
    assert importances(SPACE, trials(50, lambda _: 1.0), "minimize") is None


def test_a_range_of_one_value_has_no_importance() -> None:
    space = Space([Continuous("x", 0.0, 1.0), Continuous("fixed", 0.5, 0.5), Integer("one", 3, 3)])
    chance = random.Random(2)
    found = [Trial(n, {"x": (x := chance.random()), "fixed": 0.5, "one": 3}, TrialState.SUCCEEDED, x) for n in range(1, 40)]
    shares = importances(space, found, "minimize")
    assert shares == {"x": 1.0, "fixed": 0.0, "one": 0.0}


def test_what_surely_matters_is_never_called_impossible_by_chance() -> None:
    found = assess(SPACE, trials(200, lambda c: float(c["layers"])), "minimize")
    assert found is not None
    # None of 40 random choices looked so important: with the real one that is one in 41.
    assert found["layers"].by_chance == pytest.approx(1 / 41)
