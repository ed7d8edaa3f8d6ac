"""Scores of predictions that the libraries do not compute themselves, as scikit-learn defines them, from counts.

Counts have three rows, with a column for each class: how many were found, are it, and were said to be it. Unlike scores they
can be added up over hosts, and unlike a confusion matrix they grow with the classes and not with their square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]


def counted(labels: NDArray[np.float32], predicted: NDArray[np.int64], classes: int) -> Counts:
    """The counts of labels and predictions, which both run from 0 to ``classes`` - 1."""
    truth = labels.astype(np.int64)
    each = (truth[truth == predicted], truth, predicted)
    return np.array([np.bincount(found, minlength=classes) for found in each], dtype=np.float64)


def accuracy(counts: Counts) -> float:
    """The share of rows whose class was found."""
    found, truth, _ = counts
    return float(found.sum() / truth.sum())


def recalls(counts: Counts) -> Counts:
    """For each class, the share of its rows that were found; 0 where it has none."""
    found, truth, _ = counts
    return _ratio(found, truth)


def precisions(counts: Counts) -> Counts:
    """For each class, the share of the rows said to be its that are; 0 where none was."""
    found, _, said = counts
    return _ratio(found, said)


def f_scores(counts: Counts, beta: float = 1.0) -> Counts:
    """For each class, the weighted harmonic mean of precision and recall; ``beta`` above 1 favours recall."""
    found, truth, said = counts
    return _ratio((1 + beta**2) * found, beta**2 * truth + said)


def balanced_accuracy(counts: Counts) -> float:
    """The mean recall of the classes that occur."""
    _, truth, _ = counts
    return float(recalls(counts)[truth > 0].mean())


def macro(each: Counts, counts: Counts) -> float:
    """The mean over the classes that occur, among the labels or the predictions."""
    _, truth, said = counts
    return float(each[(truth + said) > 0].mean())


#: By SageMaker's name. What is of one class (``binary``) is of class 1.
CLASS_SCORES: Mapping[str, Callable[[Counts], float]] = MappingProxyType(
    {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "f1": lambda counts: macro(f_scores(counts), counts),
        "f1_macro": lambda counts: macro(f_scores(counts), counts),
        "f1_binary": lambda counts: float(f_scores(counts)[1]),
        "precision": lambda counts: float(precisions(counts)[1]),
        "precision_macro": lambda counts: macro(precisions(counts), counts),
        "precision_micro": accuracy,
        "recall": lambda counts: float(recalls(counts)[1]),
        "recall_macro": lambda counts: macro(recalls(counts), counts),
        "recall_micro": accuracy,
    }
)


def moments(labels: NDArray[np.float32], predicted: NDArray[np.float32]) -> Counts:
    """Number of rows, sum of labels, of their squares, and of squared errors: what ``mse`` and ``r2`` are made of."""
    truth = labels.astype(np.float64)
    return np.array([len(truth), truth.sum(), np.square(truth).sum(), np.square(truth - predicted).sum()])


def mse(sums: Counts) -> float:
    """The mean squared error."""
    return float(sums[3] / sums[0])


def r2(sums: Counts) -> float:
    """The coefficient of determination: 1 is perfect, 0 what the mean would reach. 0 where the labels are all the same."""
    spread = sums[2] - sums[1] ** 2 / sums[0]
    return float(1 - sums[3] / spread) if spread > 0 else 0.0


NUMBER_SCORES: Mapping[str, Callable[[Counts], float]] = MappingProxyType({"mse": mse, "r2": r2})


def _ratio(part: Counts, whole: Counts) -> Counts:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)
