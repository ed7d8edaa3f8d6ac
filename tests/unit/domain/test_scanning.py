"""Metric values out of log lines: group one, TABs as SageMaker's log pipeline writes them, finite numbers only."""

from __future__ import annotations

import pytest

from rekindle.domain.scanning import LINE_LIMIT, LineScanner

#: SageMaker's own definition of one of XGBoost's metrics, and what XGBoost prints.
RMSE = r".*\[[0-9]+\].*#011validation-rmse:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*"
PRINTED = "[7]\ttrain-rmse:0.5\tvalidation-rmse:0.625"


@pytest.mark.parametrize(
    ("regex", "line", "value"),
    [
        (RMSE, PRINTED, 0.625),
        (RMSE, PRINTED.replace("\t", "#011"), 0.625),
        ("\tvalidation-rmse:([0-9.]+)", PRINTED, 0.625),
        (r"train-rmse:([0-9.]+)\s", PRINTED, 0.5),
        ("loss=([^;]*)", "epoch 3: loss=1e-3;", 0.001),
        ("loss=([^;]*)", "epoch 3: loss= -2.5 ;", -2.5),
        ("(loss|cost)=([0-9.]+)", "loss=1", None),
        ("loss=([^;]*)", "loss=+.5E+1;", 5.0),
        ("loss=([^;]*)", "loss=1_0;", None),
        ("loss=([^;]*)", "loss=\u0661\u0662;", None),
        ("loss=([^;]*)", "loss=0x10;", None),
        ("loss=([^;]*)", "loss=1,5;", None),
        ("loss=([^;]*)", "loss=nan;", None),
        ("loss=([^;]*)", "loss=inf;", None),
        ("loss=([^;]*)", "loss=;", None),
        ("loss=([^;]*)", "nothing", None),
        ("loss=([0-9]+)", "x" * LINE_LIMIT + "loss=1", None),
    ],
)
def test_the_value_of_one_line(regex: str, line: str, value: float | None) -> None:
    assert list(LineScanner([("m", regex)]).scan(line)) == ([] if value is None else [("m", value)])


def test_a_line_holds_one_value_of_each_metric_in_the_order_of_the_definitions() -> None:
    scanner = LineScanner([("b", "b=([0-9]+)"), ("a", "a=([0-9]+)"), ("c", "c=([0-9]+)")])
    assert list(scanner.scan("a=1 b=2 a=3")) == [("b", 2.0), ("a", 1.0)]
