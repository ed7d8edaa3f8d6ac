"""Many values placed at once: the same bits as one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.search.space import Continuous, Integer, positions

RANGES = [
    Continuous("linear", -3.0, 7.5),
    Continuous("logarithmic", 1e-6, 0.3, "Logarithmic"),
    Continuous("reverse", 0.5, 0.9999, "ReverseLogarithmic"),
    Continuous("point", 2.0, 2.0),
    Integer("few", 1, 8),
    Integer("wide", 1, 100_000, "Logarithmic"),
    Integer("one", 4, 4),
]


@pytest.mark.parametrize("parameter", RANGES, ids=lambda p: p.name)
@given(values=st.lists(st.floats(-1e12, 1e12) | st.integers(-5, 10**6), max_size=20))
def test_the_places_of_many_values_are_those_of_each(parameter: Continuous | Integer, values: list[float | int]) -> None:
    edges = [parameter.low, parameter.high]
    assert positions(parameter, [*values, *edges]).tolist() == [parameter.to_unit(v) for v in [*values, *edges]]
