"""Axes place every number, and write few values beside them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.pages.markup import document, node
from rekindle.pages.scales import Categories, Linear, Logarithmic, TowardsOne, of_objective, of_range, widened

numbers = st.floats(allow_nan=False, allow_infinity=False)


def declared(low: float, high: float, scaling: str) -> dict[str, Any]:
    return {"type": "continuous", "min": low, "max": high, "resolved_scaling": scaling}


def labels(scale: Linear | Logarithmic | TowardsOne | Categories) -> list[str]:
    return [text for _, text in scale.ticks()]


@given(st.lists(numbers), st.booleans())
def test_every_objective_has_a_place(values: list[float], minimise: bool) -> None:
    axis = of_objective(values, minimise)
    assert all((place := axis.place(v)) is not None and 0.0 <= place <= 1.0 for v in values)
    assert all(0.0 <= place <= 1.0 for place, _ in axis.ticks())
    assert len(axis.ticks()) <= 8
    if values:
        assert axis.holds(min(values) if minimise else max(values))


@given(st.lists(numbers, min_size=2, max_size=2, unique=True), numbers)
def test_every_value_of_a_range_has_a_place(ends: list[float], value: float) -> None:
    low, high = sorted(ends)
    scalings = ["Linear", *["Logarithmic"] * (low > 0), *["ReverseLogarithmic"] * (low >= 0 and high < 1)]
    for scaling in scalings:
        axis = of_range(declared(low, high, scaling))
        assert all((place := axis.place(v)) is not None and 0.0 <= place <= 1.0 for v in (low, high, value))
        assert all(0.0 <= place <= 1.0 for place, _ in axis.ticks())
        assert len(axis.ticks()) <= 8


def test_places_follow_the_scale() -> None:
    assert of_range(declared(1e-4, 1.0, "Logarithmic")).place(1e-2) == pytest.approx(0.5)
    assert of_range(declared(0.0, 0.99, "ReverseLogarithmic")).place(0.9) == pytest.approx(0.5)
    assert of_range(declared(-1.0, 3.0, "Linear")).place(1.0) == pytest.approx(0.5)
    assert Categories(["a", "b"]).place("b") == 0.75
    assert [Categories(["1", "2"]).place(1), Categories(["a"]).place("z"), Linear(0.0, 1.0).place(math.nan)] == [
        0.25,
        None,
        None,
    ]


def test_round_values_stand_beside_an_axis() -> None:
    assert labels(Linear(0.0, 1.0)) == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert labels(Logarithmic(1e-5, 1e-1)) == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]
    assert labels(Logarithmic(2.0, 5.0)) == ["2", "5"]
    assert labels(TowardsOne(0.0, 0.999)) == ["0", "0.9", "0.99", "0.999"]
    assert labels(Linear(1e9, 1e9 + 1)) != []
    assert labels(Linear(1e6, 1e6 + 4)) == ["1000000", "1000001", "1000002", "1000003", "1000004"]


def test_whole_numbers_stand_beside_an_axis_of_them() -> None:
    assert labels(of_range({"type": "integer", "min": 1, "max": 3, "resolved_scaling": "Linear"})) == ["1", "2", "3"]
    assert labels(widened(1.0, 1.0, whole=True)) == ["1"]


def test_a_few_far_results_do_not_press_the_others_into_a_line() -> None:
    axis = of_objective([0.97, 0.96, 0.95, 0.94, 0.1, 0.2], minimise=False)
    assert axis.holds(0.94)
    assert not axis.holds(0.2)
    assert of_objective([0.0, 0.5, 1.0], minimise=True).holds(1.0)


def test_letters_that_are_joined_or_spaced_stay_so() -> None:
    text = "emoji \U0001f468\u200d\U0001f469, \u0645\u06cc\u200c\u062e, d\u00e9j\u00e0\u00a0vu, \u540d\u3000\u524d"
    assert document(node("p", text)) == f"<!doctype html>\n<p>{text}</p>\n"
    assert document(node("p", "a\u202eb")) == "<!doctype html>\n<p>a\ufffdb</p>\n"


def test_text_is_text() -> None:
    made = document(node("p", "a < b & c\x00\ud800", node("b", '"'), " end", title='"><script>', class_=None))
    assert made == '<!doctype html>\n<p title="&quot;&gt;<script&gt;">a &lt; b &amp; c\ufffd\ufffd<b>"</b> end</p>\n'
