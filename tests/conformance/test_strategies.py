"""What every search strategy promises (search/strategy.py), by itself and as the inner one of a rule that stops trials."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from rekindle.cli.reasons import _CHOOSERS
from rekindle.search import Categorical, History, Integer, Observation, Parent, Space, Strategy, Trial, TrialState
from rekindle.search.early_stopping import MedianStopping
from rekindle.search.hyperband import Hyperband, sampler
from rekindle.search.tuner import make_strategy

SPACE = Space([Integer("k", 1, 4), Categorical("c", ["a", "b", "d"])])
PARENT = Parent(SPACE, [({"k": k, "c": "a"}, 1.0 / k) for k in (1, 2, 3, 4)])

#: Each made anew whenever it is called, as in another process.
MADE: dict[str, Callable[[], Strategy]] = {
    "random": lambda: make_strategy("random", SPACE, "minimize", 3),
    "grid": lambda: make_strategy("grid", SPACE, "minimize", 3),
    "bayesian": lambda: make_strategy("bayesian", SPACE, "minimize", 3),
    "bayesian with a parent": lambda: make_strategy("bayesian", SPACE, "minimize", 3, [PARENT]),
    "hyperband": lambda: Hyperband(sampler("random", SPACE, "minimize", 3), "minimize", 1, 9),
    "hyperband with a model": lambda: Hyperband(sampler("bayesian", SPACE, "minimize", 3), "minimize", 1, 9),
    "median rule": lambda: MedianStopping(make_strategy("random", SPACE, "minimize", 3), "minimize"),
}


@pytest.fixture(params=MADE)
def make(request: pytest.FixtureRequest) -> Callable[[], Strategy]:
    return MADE[request.param]


def as_it_ended(trial: Trial, order: int) -> Trial:
    """Every third one fails, and the others differ."""
    if trial.id % 3 == 2:
        return Trial(trial.id, trial.configuration, TrialState.FAILED, ended=order)
    value = float(trial.configuration["k"]) + 0.1 * trial.id
    curve = tuple(Observation(step, value + 1.0 / step, order) for step in range(1, 5))
    return Trial(trial.id, trial.configuration, TrialState.SUCCEEDED, value, curve, ended=order)


def searched(strategy: Strategy) -> list[History]:
    """What a strategy is shown, from the beginning until nothing is left, with two trials running at a time."""
    trials: list[Trial] = []
    shown = [History()]
    while (proposal := strategy.propose(shown[-1])) is not None:
        assert len(trials) < 2 * (SPACE.size or 0), "it goes on though every configuration was tried"
        SPACE.check(proposal.configuration)
        trials.append(Trial(len(trials), proposal.configuration))
        if len(trials) > 2:
            trials[-3] = as_it_ended(trials[-3], len(trials))
        running = [t for t in trials if t.state is TrialState.PENDING]
        shown.append(History((*(t for t in trials if t not in running), *running)))
    return shown


def test_it_tries_each_configuration_once_and_then_has_no_other(make: Callable[[], Strategy]) -> None:
    tried = [SPACE.key(t.configuration) for t in searched(make())[-1].trials]
    assert len(tried) == len(set(tried)) == SPACE.size


def test_what_it_says_follows_from_the_history_alone(make: Callable[[], Strategy]) -> None:
    one = make()
    shown = searched(one)
    there = [make().propose(history) for history in shown]
    # By one that has seen more, and in another order.
    assert [one.propose(history) for history in reversed(shown)] == there[::-1]
    assert [list(one.to_stop(history)) for history in shown] == [list(make().to_stop(history)) for history in shown]


def test_why_is_plain_data_and_its_source_has_words_for_people(make: Callable[[], Strategy]) -> None:
    one = make()
    for history in searched(one)[:-1]:
        proposal = one.propose(history)
        assert proposal is not None
        json.dumps(proposal.why, allow_nan=False)
        assert proposal.source in _CHOOSERS


def test_only_what_runs_is_stopped(make: Callable[[], Strategy]) -> None:
    one = make()
    for history in searched(one):
        emitted = [
            Trial(t.id, t.configuration, curve=(Observation(1, 1e9, history.asked),)) if t in history.pending else t
            for t in history.trials
        ]
        assert set(one.to_stop(History(tuple(emitted)))) <= {t.id for t in history.pending}
