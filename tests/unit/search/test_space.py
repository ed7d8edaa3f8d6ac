"""Ranges and spaces: scalings, ends, cells, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rekindle.search import Categorical, Continuous, Integer, Space, SpaceError, Tuner
from rekindle.search.bayesian.encoding import GRID, Encoding
from rekindle.search.space import Scaling, resolved_scaling


@pytest.mark.parametrize(
    "make",
    [
        lambda: Continuous("x", 2.0, 1.0),
        lambda: Continuous("x", float("nan"), 1.0),
        lambda: Continuous("x", -1e308, 1e308),
        lambda: Continuous("x", 0.0, 1.0, scaling="Logarithmic"),
        lambda: Continuous("x", 0.0, 1.0, scaling="ReverseLogarithmic"),
        lambda: Continuous("x", 0.0, 1.0, scaling="Quadratic"),  # type: ignore[arg-type]
        lambda: Integer("x", 1.5, 3),  # type: ignore[arg-type]
        lambda: Integer("x", 0, 9, scaling="Logarithmic"),
        lambda: Integer("x", 1, 9, scaling="ReverseLogarithmic"),
        lambda: Integer("x", 0, 10**400),
        lambda: Continuous("x", 0, 10**400),
        lambda: Space([Integer("x", 0, 9)]).check({"x": 10**400}),
        lambda: Categorical("x", []),
        lambda: Categorical("x", ["a", "a"]),
        lambda: Categorical("x", [1.0, float("nan")]),
        lambda: Space([Continuous("x", 0, 1), Integer("x", 0, 1)]),
    ],
)
def test_what_cannot_be_is_refused_by_name(make: object) -> None:
    with pytest.raises(SpaceError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.parameter == "x"


def test_a_whole_number_that_floating_point_does_not_have_is_told_from_one_that_is_not_whole() -> None:
    assert Integer("x", 0, 2**53).high == 2**53
    with pytest.raises(SpaceError, match=f"floating point has no such number; the nearest is {2**53}"):
        Integer("x", 0, 2**53 + 1)


@pytest.mark.parametrize("scaling", ["Linear", "Logarithmic"])
def test_whole_numbers_too_great_for_floating_point_to_tell_apart_are_values_with_some_place(scaling: Scaling) -> None:
    p = Integer("x", 2**53, 2**53 + 10, scaling)
    assert not p.told_apart
    assert all(p.contains(k) for k in range(p.low, p.high + 1))
    assert not p.contains(p.high + 1)
    assert all(0.0 <= p.to_unit(k) <= 1.0 for k in range(p.low, p.high + 1))
    tuner = Tuner(Space([p]), "random")
    assert {tuner.ask().values["x"] for _ in range(11)} == set(range(p.low, p.high + 1))


@given(st.integers(1, 2**40), st.integers(0, 9), st.sampled_from(["Linear", "Logarithmic"]))
def test_whole_numbers_that_are_told_apart_come_back_from_their_places(low: int, width: int, scaling: Scaling) -> None:
    p = Integer("x", low, low + width, scaling)
    assert p.told_apart
    assert [p.from_unit(p.to_unit(k)) for k in range(low, low + width + 1)] == list(range(low, low + width + 1))


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0, 1))
def test_linear_round_trip(low: float, width: float, u: float) -> None:
    p = Continuous("x", low, low + width, scaling="Linear")
    value = p.from_unit(u)
    assert p.low <= value <= p.high
    if p.high - p.low > 1e-3:
        assert p.to_unit(value) == pytest.approx(u, abs=1e-6)


@given(st.integers(-12, 11), st.integers(1, 12), st.floats(0, 1))
def test_logarithmic_round_trip(exponent: int, decades: int, u: float) -> None:
    p = Continuous("x", 10.0**exponent, 10.0 ** (exponent + decades), scaling="Logarithmic")
    assert p.to_unit(p.from_unit(u)) == pytest.approx(u, abs=1e-9)
    assert p.from_unit(0.0) == p.low
    assert p.from_unit(1.0) == p.high


def test_scales_are_what_their_names_say() -> None:
    assert Continuous("x", 1e-4, 1.0, scaling="Logarithmic").from_unit(0.5) == pytest.approx(1e-2)
    assert Continuous("x", 0.0, 0.99, scaling="ReverseLogarithmic").from_unit(0.5) == pytest.approx(0.9)
    assert Continuous("x", 0.0, 1.0, scaling="Linear").from_unit(0.25) == 0.25


@pytest.mark.parametrize(
    ("low", "high", "scaling"),
    [
        (1e-5, 1.0, "Logarithmic"),
        (1.0, 100.0, "Logarithmic"),
        (1.0, 99.0, "Linear"),
        (0.0, 1e6, "Linear"),
        (-1.0, 1.0, "Linear"),
    ],
)
def test_auto_chooses_by_the_ratio_of_the_ends(low: float, high: float, scaling: str) -> None:
    assert resolved_scaling(Continuous("x", low, high)) == scaling


@given(st.integers(-1000, 1000), st.integers(0, 200))
def test_every_integer_has_a_cell_of_its_own(low: int, width: int) -> None:
    p = Integer("k", low, low + width, scaling="Linear")
    for value in {low, low + width // 2, low + width}:
        assert p.from_unit(p.to_unit(value)) == value
    drawn = {p.from_unit(u) for u in np.linspace(0, 1, 3 * p.size + 1)}
    assert drawn == set(range(low, low + width + 1))


def test_integers_of_a_linear_range_are_equally_likely() -> None:
    p = Integer("k", 1, 4)
    counts = np.bincount([p.from_unit(u) for u in (np.arange(4000) + 0.5) / 4000])
    assert list(counts[1:]) == [1000] * 4


def test_categories_of_one_text_and_other_types_are_different() -> None:
    p = Categorical("c", ["1", 1, True, 1.0])
    assert [p.index(v) for v in ("1", 1, True, 1.0)] == [0, 1, 2, 3]
    assert [p.from_unit(p.to_unit(v)) for v in p.values] == ["1", 1, True, 1.0]
    assert not p.contains("2")


def test_a_range_of_one_point() -> None:
    p = Continuous("x", 3.0, 3.0)
    assert (p.size, p.from_unit(0.7), p.to_unit(3.0)) == (1, 3.0, 0.5)
    assert Space([p, Integer("k", 2, 2)]).size == 1


def test_size_is_the_product_or_none() -> None:
    assert Space([Integer("k", 1, 3), Categorical("c", ["a", "b"])]).size == 6
    assert Space([Integer("k", 1, 3), Continuous("x", 0, 1)]).size is None


def test_check_names_what_is_wrong() -> None:
    space = Space([Integer("k", 1, 3), Categorical("c", ["a"])])
    space.check({"k": 3, "c": "a"})
    for wrong, name in [
        ({"k": 4, "c": "a"}, "k"),
        ({"k": 1}, "c"),
        ({"k": 1, "c": "a", "z": 0}, "z"),
        ({"k": 1, "c": "b"}, "c"),
    ]:
        with pytest.raises(SpaceError) as caught:
            space.check(wrong)  # type: ignore[arg-type]
        assert caught.value.parameter == name


@given(
    st.sampled_from(["Linear", "Logarithmic"]),
    st.integers(1, 100),
    st.sampled_from([0, 1, 5, 300, 10**6]),
    st.integers(1, 30),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_snapped_rows_are_where_their_configurations_are(scaling: str, low: int, width: int, k: int, u: list[float]) -> None:
    space = Space(
        [
            Integer("k", low, low + width, scaling=scaling),  # type: ignore[arg-type]
            Categorical("c", list(range(k))),
            Continuous("x", 1e-3, 1e3, scaling="Logarithmic"),
        ]
    )
    encoding = Encoding(space)
    row = encoding.snap(np.array([u]))
    again = encoding.encode([encoding.decode(row[0])])
    assume(width < 10**6)
    np.testing.assert_array_equal(row[0, :2], again[0, :2])
    assert abs(row[0, 2] - again[0, 2]) < 1e-12
    assert abs(row[0, 2] - u[2]) <= GRID
    assert encoding.decode(row[0])["c"] == space.decode(u)["c"]
    assert math.isfinite(float(encoding.decode(row[0])["k"]))


def test_all_rows_are_all_configurations() -> None:
    space = Space([Integer("k", 1, 3), Categorical("c", ["a", "b"]), Continuous("x", 2, 2)])
    encoding = Encoding(space)
    assert len({space.key(encoding.decode(row)) for row in encoding.all_rows()}) == space.size == 6


def test_a_text_is_no_list_of_letters() -> None:
    with pytest.raises(SpaceError, match="'relu': a categorical range is a list of values"):
        Categorical("act", "relu")
