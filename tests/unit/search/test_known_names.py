"""What is known of hyperparameters by their names, and what a search makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from rekindle.search import Categorical, Continuous, Integer, Space, Tuner
from rekindle.search.bayesian.known_names import first_category, known, middles

RATE = Continuous("learning_rate", 1e-3, 1.0, scaling="Logarithmic")


def middle_of(*parameters, **options) -> float:
    return middles(Space(parameters, **options))[0]


@pytest.mark.parametrize(
    "name", ["subsample", "sub-sample", "Sub_Sample", "model__subsample", "xgb.subsample", "xgb/subsample"]
)
def test_a_name_is_known_however_its_parts_are_joined(name: str) -> None:
    assert middle_of(Continuous(name, 0.0, 1.0)) == 0.8
    assert middle_of(Continuous(f"{name}_freq", 0.0, 1.0)) == 0.5


def test_a_constant_is_not_the_cost_of_a_support_vector_machine() -> None:
    cost = {"low": 2.0**-5, "high": 2.0**15, "scaling": "Logarithmic"}
    assert middle_of(Continuous("C", **cost)) == pytest.approx(0.5)
    assert middle_of(Continuous("C", 1.0, 1024.0, scaling="Logarithmic")) == pytest.approx(0.5)
    assert middle_of(Continuous("svc__C", 1e-3, 1e3, scaling="Logarithmic")) == pytest.approx(0.7508, abs=1e-4)
    assert middle_of(Continuous("c", 1e-3, 1e3, scaling="Logarithmic")) == 0.5


def test_a_learning_rate_is_known_beside_trees_only() -> None:
    assert middle_of(RATE) == 0.5
    assert middle_of(RATE, Integer("layers", 1, 3)) == 0.5
    assert middle_of(RATE, Integer("n_estimators", 10, 100)) == 0.5, "AdaBoost's is another one"
    assert middle_of(RATE, Integer("max_depth", 1, 9)) == pytest.approx(2 / 3)


def test_a_known_value_outside_the_range_says_nothing_and_one_at_its_end_little() -> None:
    assert middle_of(Continuous("subsample", 0.1, 0.6)) == 0.5
    assert middle_of(Continuous("gamma", 0.0, 5.0)) == 0.2
    assert middle_of(Integer("batch_size", 1, 33)) == 0.8
    assert middle_of(Integer("epochs", 1, 9)) == 0.75


def test_of_categories_the_usual_one_comes_first() -> None:
    assert first_category(Categorical("kernel", ["linear", "poly", "rbf"])) == 2
    assert first_category(Categorical("kernel", ["linear", "poly", "sigmoid"])) == 1
    assert first_category(Categorical("kernel", ["linear", "poly", "rbf"]), known_names=False) == 1
    assert first_category(Categorical("k", [True, 1, 1.0, None])) == 2


def test_where_names_are_not_to_count_they_do_not() -> None:
    parameters = [Continuous("subsample", 0.0, 1.0), Integer("epochs", 1, 9), Categorical("act", ["relu", "tanh"])]
    assert known(Space(parameters)) == ["subsample", "epochs", "act"]
    plain = Space(parameters, known_names=False)
    assert known(plain) == []
    assert middles(plain) == (0.5, 0.5, 0.5)
    first = [Tuner(space, seed=3).ask().values for space in (Space(parameters), plain)]
    assert first[0] == {"subsample": pytest.approx(0.8, abs=1e-6), "epochs": 7, "act": "relu"}
    assert first[1] == {"subsample": 0.5, "epochs": 5, "act": "tanh"}


def test_a_search_begins_around_what_is_known_and_not_with_it_alone() -> None:
    space = Space([Continuous("subsample", 0.0, 1.0), Continuous("x", 0.0, 1.0)])
    drawn = {"subsample": [], "x": []}
    for seed in range(60):
        tuner = Tuner(space, seed=seed)
        for _ in range(4):
            for name, value in tuner.ask().values.items():
                drawn[name].append(value)
    later = {name: np.array(values).reshape(60, 4)[:, 1:] for name, values in drawn.items()}
    assert {name: (v.min() >= 0.1, v.max() <= 0.9) for name, v in later.items()} == dict.fromkeys(later, (True, True))
    # As many on one side as on the other.
    assert abs((later["subsample"] > 0.8).mean() - 0.5) < 0.1
    assert abs((later["x"] > 0.5).mean() - 0.5) < 0.1


def test_a_few_results_outweigh_what_is_known() -> None:
    space = Space([Continuous("subsample", 0.0, 1.0), Continuous("C", 1e-3, 1e3, scaling="Logarithmic")])
    tuner = Tuner(space, seed=1)
    for _ in range(20):
        trial = tuner.ask()
        tuner.tell(trial.id, (trial.values["subsample"] - 0.15) ** 2 + (np.log10(trial.values["C"]) + 2.5) ** 2 / 10)
    assert tuner.best.values["subsample"] == pytest.approx(0.15, abs=0.1)
    assert tuner.best.values["C"] == pytest.approx(10**-2.5, rel=1.0)
