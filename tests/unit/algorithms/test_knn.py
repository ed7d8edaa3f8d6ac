"""The stand-in for k-nearest neighbours: its metrics, its distances, and the index that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from rekindle.algorithms.job import UserError
from rekindle.algorithms.knn import train
from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.builtins.rules import Refused
from support.builtins import caught, csv_job
from support.tables import numbers, three_classes

VALUES = {"feature_dim": "5", "k": "7", "predictor_type": "classifier", "sample_size": "1000"}


def told(folder: Path, values: dict[str, str], data, capsys) -> dict[str, list[float]]:
    train(csv_job(folder, values, data, ("test",)))
    return caught("knn", capsys.readouterr().out)


def test_accuracy_is_that_of_the_nearest_neighbours(tmp_path: Path, capsys) -> None:
    found = told(tmp_path, VALUES, three_classes, capsys)
    features, labels = three_classes(400)
    own = KNeighborsClassifier(7).fit(features[:300], labels[:300]).score(features[300:], labels[300:])
    assert found == {"train:progress": [100.0], "test:accuracy": [pytest.approx(own, abs=0.011)]}
    index = np.load(tmp_path / "model" / "index.npz")
    assert index["points"].shape == (300, 5)
    assert json.loads((tmp_path / "model" / "model.json").read_text())["k"] == 7


def test_numbers_have_an_error_and_a_sample_is_drawn(tmp_path: Path, capsys) -> None:
    found = told(tmp_path, {**VALUES, "predictor_type": "regressor", "sample_size": "50"}, numbers, capsys)
    assert 0 < found["test:mse"][0] < np.var(numbers(400)[1]) * 1.5
    assert np.load(tmp_path / "model" / "index.npz")["labels"].shape == (50,)


def test_an_inner_product_finds_the_largest(tmp_path: Path, capsys) -> None:
    found = told(tmp_path, {**VALUES, "k": "1", "index_metric": "INNER_PRODUCT"}, three_classes, capsys)
    features, labels = three_classes(400)
    nearest = (features[300:] @ features[:300].T).argmax(axis=1)
    assert found["test:accuracy"] == [pytest.approx(float((labels[nearest] == labels[300:]).mean()), abs=0.011)]


@pytest.mark.parametrize(
    "more",
    [
        {"index_metric": "COSINE"},
        {"dimension_reduction_type": "sign", "dimension_reduction_target": "3"},
        {"dimension_reduction_type": "fjlt", "dimension_reduction_target": "4", "index_metric": "INNER_PRODUCT"},
        {"index_type": "faiss.IVFPQ", "faiss_index_ivf_nlists": "auto", "faiss_index_pq_m": "5", "mini_batch_size": "100"},
    ],
)
def test_what_is_accepted_runs(more: dict[str, str], tmp_path: Path, capsys) -> None:
    assert told(tmp_path, {**VALUES, **more}, three_classes, capsys)["test:accuracy"][0] > 0.3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"k": "2000"}, "2000 neighbours are more than the sample_size, 1000"),
        ({"dimension_reduction_type": "sign"}, "go together"),
        ({"dimension_reduction_type": "sign", "dimension_reduction_target": "5"}, "5 is not less than feature_dim, 5"),
        ({"index_type": "annoy"}, "Hyperparameter index_type: annoy is not in"),
        ({"_tuning_objective_metric": "test:mse"}, "Metric 'test:mse' is computed for a regressor"),
    ],
)
def test_refusals(values: dict[str, str], words: str) -> None:
    with pytest.raises(Refused) as refused:
        builtin_named("knn").parsed({**VALUES, **values})
    assert words in str(refused.value)


def test_data_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="k is 301, and there are 300 rows"):
        train(csv_job(tmp_path / "a", {**VALUES, "k": "301"}, three_classes))
    with pytest.raises(UserError, match="no whole number, and predictor_type is classifier"):
        train(csv_job(tmp_path / "b", VALUES, numbers))
