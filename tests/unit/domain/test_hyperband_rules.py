"""From which statics Hyperband infers its largest resource."""

from __future__ import annotations

import pytest

from rekindle.domain.tuning_job import EPOCH_NAMES, Hyperband, hyperband_resources


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
