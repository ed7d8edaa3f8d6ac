"""From which statics Hyperband infers its largest resource."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rekindle.domain.search_plan import strategy_for
from rekindle.domain.tuning_job import EPOCH_NAMES, Hyperband, StrategyName, hyperband_resources
from rekindle.search.hyperband import Hyperband as Halving
from support.jobs import tuning_job
from support.specs import tuning_spec


@pytest.mark.parametrize("name", EPOCH_NAMES)
@pytest.mark.parametrize(("text", "most"), [("27", 27), (" 9 ", 9), ('"81"', 81)])
def test_inferred_from_an_epochs_like_static(name: str, text: str, most: int) -> None:
    assert hyperband_resources(None, {name: text}) == (1, most)


@pytest.mark.parametrize("text", ["", "0", "many", "1.5", "-3", "1e3", "9" * 20, "٣"])
def test_not_inferred_from_what_is_no_whole_number(text: str) -> None:
    assert hyperband_resources(None, {"epochs": text}) is None


def test_what_is_given_counts_before_what_is_inferred() -> None:
    assert hyperband_resources(Hyperband(3, 9), {"epochs": "27"}) == (3, 9)
    assert hyperband_resources(Hyperband(min_resource=3), {"epochs": "27"}) == (3, 27)
    assert hyperband_resources(Hyperband(max_resource=9), {}) == (1, 9)
    assert hyperband_resources(Hyperband(), {"other": "9"}) is None


@pytest.mark.parametrize(
    ("given", "statics", "self_ending"),
    [(None, {"epochs": "27"}, True), (27, {"epochs": "27"}, True), (9, {"epochs": "27"}, False), (9, {}, False)],
)
def test_who_is_told_to_train_so_long_ends_by_itself(given: int | None, statics: dict[str, str], self_ending: bool) -> None:
    spec = replace(tuning_spec(strategy=StrategyName.HYPERBAND, statics=statics), hyperband=Hyperband(max_resource=given))
    strategy = strategy_for(replace(tuning_job(), spec=spec), spec.definition)
    assert isinstance(strategy, Halving)
    assert strategy.self_ending is self_ending
