"""Ranges and spaces: scalings, ends, cells, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rekindle.search import Categorical, Continuous, Integer, Space, SpaceError, Tuner
from rekindle.search.bayesian.encoding import GRID, Encoding
from rekindle.search.hyperband import sampler
from rekindle.search.space import Parameter, Scaling, resolved_scaling


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
        lambda: Categorical("x", [1.0, float("inf")]),
        lambda: Categorical("x", [[1], [2]]),  # type: ignore[list-item]
        lambda: Categorical("x", [b"a"]),  # type: ignore[list-item]
        lambda: Categorical("x", np.array([[1, 2], [3, 4]])),  # type: ignore[arg-type]
        lambda: Categorical("x", {"a", "b"}),  # type: ignore[arg-type]
        lambda: Categorical("x", 3),  # type: ignore[arg-type]
        lambda: Space([Continuous("x", 0, 1), Integer("x", 0, 1)]),
        lambda: Space(Continuous("x", 0, 1)),  # type: ignore[arg-type]
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
    rows = encoding.all_rows()
    assert len({space.key(encoding.decode(row)) for row in rows}) == space.size == 6
    np.testing.assert_array_equal(rows, rows[np.lexsort(rows.T[::-1])])
    assert Encoding(Space([])).all_rows().shape == (Space([]).size, 0)


@pytest.mark.parametrize("value", ["no", None, 0])
def test_whether_names_count_is_true_or_false(value: object) -> None:
    with pytest.raises(SpaceError, match=r"^known_names: .* is True or False"):
        Space([Continuous("subsample", 0, 1)], known_names=value)  # type: ignore[arg-type]


def test_a_text_is_no_list_of_letters() -> None:
    with pytest.raises(SpaceError, match="'relu': a categorical range is a list of values"):
        Categorical("act", "relu")


@pytest.mark.parametrize("value", [{"x": Continuous("x", 0, 1)}, "x", None, [("x", 0, 1)], 3])
def test_what_is_no_list_of_ranges_is_told_how_to_write_one(value: object) -> None:
    with pytest.raises(SpaceError, match=r"^parameters: .*; write Space\(\[Continuous\("):
        Space(value)  # type: ignore[arg-type]


def test_one_range_alone_is_told_to_stand_in_brackets() -> None:
    with pytest.raises(SpaceError, match=r"^x: .*one range alone is no list of ranges; write Space\(\["):
        Space(Continuous("x", 0, 1))  # type: ignore[arg-type]


def test_ranges_one_by_one_are_told_to_come_as_a_list() -> None:
    with pytest.raises(SpaceError, match=r"ranges come as one list; write Space\(\["):
        Space(Continuous("x", 0, 1), Integer("k", 1, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [lambda n: Continuous(n, 0, 1), lambda n: Integer(n, 0, 1), lambda n: Categorical(n, ["a"])])
def test_a_name_is_a_text(make: Callable[[object], Parameter]) -> None:
    with pytest.raises(SpaceError, match="its name, a text"):
        make(0.1)
    assert type(make(np.str_("x")).name) is str


def test_numpys_scalars_are_pythons_own_in_ranges_and_configurations() -> None:
    c = Categorical("c", [np.str_("a"), np.int64(1), np.float32(0.5), np.bool_(True)])
    assert [(type(v), v) for v in c.values] == [(str, "a"), (int, 1), (float, 0.5), (bool, True)]
    assert Categorical("k", np.array([3, 5])).values == (3, 5)  # type: ignore[arg-type]
    assert [c.index(v) for v in (np.str_("a"), np.int8(1), np.float64(0.5), np.bool_(True))] == [0, 1, 2, 3]
    space = Space([Continuous("x", np.float32(0), np.float64(1)), Integer("k", np.int64(0), np.int8(9)), c])
    taken = space.taken({"x": np.float64(0.25), "k": np.int64(3), "c": np.str_("a")})
    assert json.dumps(taken) == '{"x": 0.25, "k": 3, "c": "a"}'
    taken = space.taken({"x": 1, "k": 3.0, "c": np.bool_(True)})
    assert json.dumps(taken) == '{"x": 1.0, "k": 3, "c": true}'
    assert json.dumps([c.values, space.parameters[0].low, space.parameters[1].high])  # type: ignore[union-attr]


def test_a_configuration_is_a_mapping() -> None:
    for wrong in (["x"], None, 0.5):
        with pytest.raises(SpaceError, match="a mapping of names to values"):
            Space([Continuous("x", 0, 1)]).check(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", ["bayesian", "hyperband"])
def test_a_model_is_not_asked_to_tell_apart_what_floating_point_cannot(strategy: str) -> None:
    space = Space([Integer("x", 2**53, 2**53 + 10)])
    with pytest.raises(SpaceError, match=f"floating point cannot tell .*; tune how much is added to {2**53}, or use another"):
        Tuner(space, "bayesian") if strategy == "bayesian" else sampler("bayesian", space, "minimize", 0)


def test_a_list_of_very_many_values_is_looked_up_in_no_time() -> None:
    p = Categorical("c", list(range(200_000)))
    assert [p.index(v) for v in p.values] == list(p.values)
    assert not any(p.contains(float(v)) or p.contains([v]) for v in p.values)
