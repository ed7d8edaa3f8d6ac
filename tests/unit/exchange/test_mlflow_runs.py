"""What is called otherwise in MLflow; the runs themselves are in tests/acceptance."""

from __future__ import annotations

from rekindle.exchange.mlflow_runs import names_there


def test_names_that_would_be_alike_there_are_numbered() -> None:
    """MLflow refuses a run that has a name twice: no training job of such a tuning job could be exported."""
    there = {"a_b": "a_b", "x": "x", "a#b": "a_b_2", "a@b": "a_b_3"}
    assert names_there(["a@b", "x", "a#b", "a_b"]) == names_there(["a_b", "a#b", "x", "a@b"]) == there
    assert names_there(["a@b", "a_b_2", "a_b"]) == {"a_b": "a_b", "a_b_2": "a_b_2", "a@b": "a_b_3"}
