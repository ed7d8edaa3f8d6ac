"""Our scores are scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from rekindle.algorithms.scores import CLASS_SCORES, NUMBER_SCORES, counted, f_scores, moments

RNG = np.random.default_rng(3)
OPTIONS = {"zero_division": 0.0}
THEIRS = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1": lambda y, p: metrics.f1_score(y, p, average="macro", **OPTIONS),
    "f1_macro": lambda y, p: metrics.f1_score(y, p, average="macro", **OPTIONS),
    "f1_binary": lambda y, p: metrics.f1_score(y, p, **OPTIONS),
    "precision": lambda y, p: metrics.precision_score(y, p, **OPTIONS),
    "precision_macro": lambda y, p: metrics.precision_score(y, p, average="macro", **OPTIONS),
    "precision_micro": lambda y, p: metrics.precision_score(y, p, average="micro", **OPTIONS),
    "recall": lambda y, p: metrics.recall_score(y, p, **OPTIONS),
    "recall_macro": lambda y, p: metrics.recall_score(y, p, average="macro", **OPTIONS),
    "recall_micro": lambda y, p: metrics.recall_score(y, p, average="micro", **OPTIONS),
}
BINARY = ("f1_binary", "precision", "recall")


def test_every_score_is_compared() -> None:
    assert set(CLASS_SCORES) == set(THEIRS)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("name", CLASS_SCORES)
@pytest.mark.parametrize("classes", [2, 4])
def test_scores_of_classes(name: str, classes: int) -> None:
    if classes > 2 and name in BINARY:
        pytest.skip("of two classes only")
    for said in {classes, max(2, classes - 1)}:
        labels, predicted = RNG.integers(0, said, 60), RNG.integers(0, said, 60)
        labels[0] = predicted[0] = 0
        if name in BINARY:
            labels[1] = 1
        ours = CLASS_SCORES[name](counted(labels.astype(np.float32), predicted, classes))
        assert ours == pytest.approx(THEIRS[name](labels, predicted))


def test_scores_of_numbers_and_of_parts() -> None:
    labels, predicted = RNG.normal(size=50).astype(np.float32), RNG.normal(size=50).astype(np.float32)
    parts = moments(labels[:20], predicted[:20]) + moments(labels[20:], predicted[20:])
    assert NUMBER_SCORES["mse"](parts) == pytest.approx(metrics.mean_squared_error(labels, predicted), rel=1e-5)
    assert NUMBER_SCORES["r2"](parts) == pytest.approx(metrics.r2_score(labels, predicted), rel=1e-5)
    assert NUMBER_SCORES["r2"](moments(np.ones(3, np.float32), np.zeros(3, np.float32))) == 0.0


def test_a_million_classes_take_no_matrix_of_them() -> None:
    labels = np.arange(1_000_000)
    counts = counted(labels.astype(np.float32), labels, len(labels))
    assert CLASS_SCORES["f1_macro"](counts) == CLASS_SCORES["accuracy"](counts) == 1.0


def test_f_beta() -> None:
    labels, predicted = RNG.integers(0, 2, 60), RNG.integers(0, 2, 60)
    ours = f_scores(counted(labels.astype(np.float32), predicted, 2), beta=2.0)[1]
    assert ours == pytest.approx(metrics.fbeta_score(labels, predicted, beta=2.0))
