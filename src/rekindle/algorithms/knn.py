"""A stand-in for k-nearest neighbours on scikit-learn, with an exact search. ``python -m rekindle.algorithms.knn``.

What is the same and what differs is in docs/algorithms.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from rekindle.algorithms.job import Job, UserError, run, tell
from rekindle.algorithms.quality import progress, quality, read_channels, warn_without_effect
from rekindle.algorithms.tables import Table
from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.builtins.knn import WITHOUT_EFFECT

Matrix = NDArray[np.float64]


def train(job: Job) -> None:
    """Builds the index from the job's channels and leaves it. Raises UserError or Refused."""
    builtin = builtin_named("knn")
    assert builtin is not None
    values = builtin.parsed(job.hyperparameters)
    warn_without_effect(values, WITHOUT_EFFECT)
    tables = read_channels(job, builtin, values["feature_dim"], lambda table: _labels_of_no_class(table, values))
    points, labels = _sampled(tables["train"], values["sample_size"])
    if values["k"] > len(labels):
        raise UserError(f"k is {values['k']}, and there are {len(labels)} rows of training data")
    reduction = _reduction(values, points)
    points = points if reduction is None else reduction.transform(points)
    estimator, longest = _fitted(values, points, labels)
    progress(job.host, 1, 1)
    if "test" in tables:
        _report(job.host, values, estimator, longest, reduction, tables["test"])
    _save(job, values, points, labels, reduction)


def _labels_of_no_class(table: Table, values: Mapping[str, Any]) -> Iterator[tuple[NDArray[np.bool_], str]]:
    if values["predictor_type"] == "classifier":
        yield table.labels != np.round(table.labels), "the label is no whole number, and predictor_type is classifier"


def _sampled(table: Table, size: int) -> tuple[Matrix, NDArray[np.float32]]:
    """As many rows as asked for, drawn without replacement, always the same; all where there are no more."""
    chosen = np.arange(table.rows)
    if size < table.rows:
        chosen = np.sort(np.random.default_rng(0).choice(table.rows, size, replace=False))
        tell(f"[INFO] Sampled {size} of {table.rows} rows")
    return _dense(table)[chosen], table.labels[chosen]


def _reduction(values: Mapping[str, Any], points: Matrix) -> Any:
    if "dimension_reduction_type" not in values:
        return None
    target = values["dimension_reduction_target"]
    if values["dimension_reduction_type"] == "sign":
        return SparseRandomProjection(target, density=1.0, dense_output=True, random_state=0).fit(points)
    return GaussianRandomProjection(target, random_state=0).fit(points)


def _fitted(values: Mapping[str, Any], points: Matrix, labels: NDArray[np.float32]) -> tuple[Any, float | None]:
    """The index, and for inner products the length that the points were filled up to: with one more coordinate they all lie
    on a sphere, on which the nearest neighbour is the one with the largest inner product."""
    longest = None
    if values.get("index_metric") == "INNER_PRODUCT":
        lengths = np.linalg.norm(points, axis=1)
        longest = float(lengths.max())
        points = np.column_stack([points, np.sqrt(np.maximum(0, longest**2 - lengths**2))])
    make = KNeighborsClassifier if values["predictor_type"] == "classifier" else KNeighborsRegressor
    metric = "cosine" if values.get("index_metric") == "COSINE" else "euclidean"
    return make(values["k"], metric=metric, algorithm="brute" if metric == "cosine" else "auto").fit(points, labels), longest


def _report(host: str, values: Mapping[str, Any], estimator: Any, longest: float | None, reduction: Any, table: Table) -> None:
    queries = _dense(table) if reduction is None else reduction.transform(_dense(table))
    if longest is not None:
        queries = np.column_stack([queries, np.zeros(len(queries))])
    found = estimator.predict(queries)
    if values["predictor_type"] == "classifier":
        quality(host, "test", "accuracy", float((found == table.labels).mean()), loss=False)
    else:
        quality(host, "test", "mse", float(np.mean((found - table.labels) ** 2)), loss=True)


def _save(job: Job, values: Mapping[str, Any], points: Matrix, labels: NDArray[np.float32], reduction: Any) -> None:
    job.model.mkdir(parents=True, exist_ok=True)
    arrays = {"points": points, "labels": labels}
    if reduction is not None:
        arrays["projection"] = np.asarray(reduction.components_)
    np.savez(job.model / "index.npz", **arrays)  # type: ignore[arg-type]
    kept = {name: values[name] for name in ("k", "predictor_type", "feature_dim")}
    told = {"algorithm": "knn", "index_metric": values.get("index_metric", "L2"), **kept}
    (job.model / "model.json").write_text(json.dumps(told))


def _dense(table: Table) -> Matrix:
    features = table.features.toarray() if sparse.issparse(table.features) else table.features
    return np.asarray(features, dtype=np.float64)


if __name__ == "__main__":
    sys.exit(run(train))
