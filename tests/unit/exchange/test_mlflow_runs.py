"""What is called otherwise in MLflow; the runs themselves are in tests/acceptance."""

from __future__ import annotations

from rekindle.exchange.mlflow_runs import names_there


def test_names_that_would_be_alike_there_are_numbered() -> None:
    """MLflow refuses a run that has a name twice: no training job of such a tuning job could be exported."""
    there = {"a_b": "a_b", "x": "x", "a#b": "a_b_2", "a@b": "a_b_3"}
    assert names_there(["a@b", "x", "a#b", "a_b"]) == names_there(["a_b", "a#b", "x", "a@b"]) == there
    assert names_there(["a@b", "a_b_2", "a_b"]) == {"a_b": "a_b", "a_b_2": "a_b_2", "a@b": "a_b_3"}


ODD = [
    "..",
    ".",
    "...",
    "a//b",
    "/a",
    "a/",
    "../a",
    "a/../b",
    "./a",
    "a/.",
    "k" * 251,
    "k" * 250 + "@",
    "x" * 249 + "@",
    "x" * 249 + "_",
]


def test_names_that_lead_elsewhere_as_paths_and_very_long_ones_become_such_as_mlflow_takes() -> None:
    from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name, _validate_param_name

    plain = ["a/b", ".a", "a b", "a.b-c:d", "k" * 250]
    there = names_there([*ODD, *plain])
    assert [there[name] for name in plain] == plain
    assert len(set(there.values())) == len(there)
    for name in there.values():
        _validate_param_name(name)
        _validate_metric_name(name)
        assert len(name) <= MAX_ENTITY_KEY_LENGTH
