"""A stand-in for Linear Learner on scikit-learn's stochastic gradient descent.

``python -m rekindle.algorithms.linear_learner``. What is the same and what differs is in docs/algorithms.md.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.preprocessing import StandardScaler

from rekindle.algorithms import scores
from rekindle.algorithms.job import LESS, Job, Stop, UserError, run, tell
from rekindle.algorithms.quality import progress, quality, read_channels, warn_without_effect
from rekindle.algorithms.tables import Table
from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.builtins.linear_learner import LOSSES, WITHOUT_EFFECT

Numbers = NDArray[np.float64]

_DEFAULTS: Mapping[str, Any] = {
    "epochs": 15,
    "loss": "auto",
    "l1": "auto",
    "wd": "auto",
    "learning_rate": "auto",
    "early_stopping_patience": 3,
    "early_stopping_tolerance": 0.001,
    "f_beta": 1.0,
    "huber_delta": 1.0,
    "loss_insensitivity": 0.01,
    "accuracy_top_k": 3,
    "binary_classifier_model_selection_criteria": "accuracy",
    "target_precision": 0.8,
    "target_recall": 0.8,
    "positive_example_weight_mult": 1.0,
    "balance_multiclass_weights": "false",
    "use_bias": "auto",
    "use_lr_scheduler": "true",
    "normalize_data": "auto",
    "normalize_label": "auto",
    "unbias_data": "auto",
    "unbias_label": "auto",
}
#: The library's names of losses.
_THEIRS = {
    "logistic": "log_loss",
    "hinge_loss": "hinge",
    "softmax_loss": "log_loss",
    "squared_loss": "squared_error",
    "absolute_loss": "epsilon_insensitive",
    "eps_insensitive_squared_loss": "squared_epsilon_insensitive",
    "eps_insensitive_absolute_loss": "epsilon_insensitive",
    "huber_loss": "huber",
}
#: How the image calls the loss in its log.
_SHOWN = {
    "logistic": "binary_classification_cross_entropy",
    "hinge_loss": "binary_classification_hinge_loss",
    "softmax_loss": "multiclass_cross_entropy",
}
_LEAST_REGULARISATION = 1e-9
_THRESHOLDS = 400


def train(job: Job) -> None:
    """Trains on the job's channels and leaves the model. Raises UserError or Refused."""
    builtin = builtin_named("linear-learner")
    assert builtin is not None
    values = {**_DEFAULTS, **builtin.parsed(job.hyperparameters)}
    warn_without_effect(values, WITHOUT_EFFECT)
    features = values.get("feature_dim")
    width = features if isinstance(features, int) else None
    tables = read_channels(job, builtin, width, lambda table: _labels_of_no_class(table, values))
    _check_room(values, tables)
    learner = Learner(values, tables["train"])
    learner.fit(job.host, tables, Stop())
    learner.select_threshold(tables.get("validation", tables["train"]))
    for part, table in tables.items():
        learner.report(job.host, part, table)
    job.model.mkdir(parents=True, exist_ok=True)
    (job.model / "model.json").write_text(json.dumps(learner.model()))


def _check_room(values: Mapping[str, Any], tables: Mapping[str, Table]) -> None:
    """Refuses what this machine has no memory for: a margin for each row and class, a coefficient for each feature and class,
    and of either a copy. Raises UserError."""
    classes, table = values.get("num_classes", 1), max(tables.values(), key=lambda table: table.rows)
    needed = 2 * 8 * classes * (table.rows + table.columns)
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        size = f"{table.rows} rows of {table.columns} features"
        take = f"num_classes is {classes}, which with {size} takes {needed / 2**30:.0f} GiB of memory"
        raise UserError(f"{take}, and this machine has {there / 2**30:.0f}: {LESS}")


def _labels_of_no_class(table: Table, values: Mapping[str, Any]) -> Iterator[tuple[NDArray[np.bool_], str]]:
    classes = values.get("num_classes", 2)
    if values["predictor_type"] != "regressor":
        broken = ~np.isin(table.labels, np.arange(classes))
        yield broken, f"the label is no whole number from 0 to {classes - 1}, and predictor_type is {values['predictor_type']}"


class Learner:
    """A linear model in the making. Scores are margins of classes, or predictions of a regressor in the label's own unit."""

    def __init__(self, values: Mapping[str, Any], table: Table) -> None:
        self._values = values
        self._kind = values["predictor_type"]
        self.loss: str = LOSSES[self._kind][0] if values["loss"] == "auto" else values["loss"]
        self._classes = values.get("num_classes", 2)
        self._scaler = self._data_scaler(table)
        labels = table.labels.astype(np.float64)
        regressor = self._kind == "regressor"
        self._label_mean = float(labels.mean()) if regressor and values["unbias_label"] != "false" else 0.0
        spread = float(labels.std()) if regressor and values["normalize_label"] != "false" else 1.0
        self._label_scale = spread or 1.0
        self._estimator = self._make()
        self.threshold = 0.0

    def fit(self, host: str, tables: Mapping[str, Table], stop: Stop) -> None:
        """Epoch by epoch, until the loss of the validation data (of the training data where there are none) no more improves;
        keeps the best epoch's model."""
        table = tables["train"]
        features, labels = self._scaled(table), self._targets(table)
        watched = "validation" if "validation" in tables else "train"
        weights, rng = self._weights(table), np.random.default_rng(0)
        best, kept, waited, total = np.inf, self._estimator, 0, self._values["epochs"]
        for epoch in range(total):
            diverged = not self._epoch(features, labels, weights, rng)
            if diverged:
                tell(f"[WARNING] The model diverged in epoch {epoch}: learning_rate is too high. The best so far is kept")
                self._estimator = kept if epoch else self._null(features, labels)
            losses = {part: self.objective(tables[part]) for part in dict.fromkeys(("train", watched))}
            for part, loss in losses.items():
                quality(host, part, f"{self._shown_loss}_objective", loss, loss=True, epoch=epoch)
            progress(host, epoch + 1, total)
            waited = 0 if losses[watched] < best * (1 - self._values["early_stopping_tolerance"]) else waited + 1
            if losses[watched] < best:
                best, kept = losses[watched], copy.deepcopy(self._estimator)
            if diverged or stop.asked or waited >= self._values["early_stopping_patience"]:
                break
        self._estimator = kept

    def objective(self, table: Table) -> float:
        """The mean loss, without regularisation, in the label's own unit."""
        return float(np.mean(self._loss(self.outputs(table), table.labels.astype(np.float64))))

    def outputs(self, table: Table) -> Numbers:
        """A margin for each row, for each row and class, or a prediction."""
        if self._kind == "regressor":
            return np.asarray(self._estimator.predict(self._scaled(table))) * self._label_scale + self._label_mean
        return np.asarray(self._estimator.decision_function(self._scaled(table)))

    def select_threshold(self, table: Table) -> None:
        """Chooses from which margin on a row is of class 1, by the model selection criterion."""
        criterion = self._values["binary_classifier_model_selection_criteria"]
        if self._kind != "binary_classifier" or criterion in ("loss_function", "cross_entropy_loss"):
            return
        margins = self.outputs(table)
        found = np.unique(np.append(np.quantile(margins, np.linspace(0, 1, _THRESHOLDS)), 0.0))
        merits = [self._merit(criterion, self._counts(table, margins > at)) for at in found]
        # Of equals the one next to the middle.
        self.threshold = float(max(zip(merits, -np.abs(found), found, strict=True))[2])

    def report(self, host: str, part: str, table: Table) -> None:
        """The metrics of the final model."""
        found, labels = self.outputs(table), table.labels.astype(np.float64)
        quality(host, part, f"{self._shown_loss}_objective", self.objective(table), loss=True)
        if self._kind == "regressor":
            quality(host, part, "mse", float(np.mean((found - labels) ** 2)), loss=True)
            quality(host, part, "absolute_loss", float(np.mean(np.abs(found - labels))), loss=True)
            return
        named = self._binary(table, found) if self._kind == "binary_classifier" else self._multiclass(table, found)
        for name, value in named.items():
            quality(host, part, name, value, loss=False)

    def model(self) -> dict[str, Any]:
        """The model in terms of the data as they came: prediction, or margin, is features times coefficients plus intercept."""
        coefficients = np.atleast_2d(self._estimator.coef_).astype(np.float64) * self._label_scale
        intercepts = np.atleast_1d(self._estimator.intercept_).astype(np.float64) * self._label_scale + self._label_mean
        if self._scaler is not None:
            coefficients = coefficients / self._scaler.scale_ if self._scaler.with_std else coefficients
            if self._scaler.with_mean:
                intercepts = intercepts - coefficients @ self._scaler.mean_
        return {
            "algorithm": "linear-learner",
            "predictor_type": self._kind,
            "loss": self.loss,
            "coefficients": coefficients.tolist(),
            "intercepts": intercepts.tolist(),
            "threshold": self.threshold,
        }

    @property
    def _shown_loss(self) -> str:
        return _SHOWN.get(self.loss, self.loss)

    def _data_scaler(self, table: Table) -> StandardScaler | None:
        if self._values["normalize_data"] == "false":
            return None
        centred = not sparse.issparse(table.features) and self._values["unbias_data"] != "false"
        return StandardScaler(with_mean=centred).fit(table.features)

    def _make(self) -> Any:
        values = self._values
        l1, wd = (0.0 if values[n] == "auto" else values[n] for n in ("l1", "wd"))
        rate = values["learning_rate"]
        scheduled = values["use_lr_scheduler"] == "true"
        insensitive = 0.0 if self.loss == "absolute_loss" else values["loss_insensitivity"]
        options = {
            "loss": _THEIRS[self.loss],
            "penalty": "elasticnet",
            "alpha": max(l1 + wd, _LEAST_REGULARISATION),
            "l1_ratio": l1 / (l1 + wd) if l1 + wd > 0 else 0.0,
            "fit_intercept": values["use_bias"] != "false",
            "learning_rate": "invscaling" if scheduled or rate == "auto" else "constant",
            "eta0": 0.02 if rate == "auto" else rate,
            "epsilon": values["huber_delta"] / self._label_scale
            if self.loss == "huber_loss"
            else insensitive / self._label_scale,
            "shuffle": False,
            "random_state": 0,
        }
        return SGDRegressor(**options) if self._kind == "regressor" else SGDClassifier(**options, power_t=0.25)

    def _epoch(self, features: Any, labels: Numbers, weights: Numbers | None, rng: np.random.Generator) -> bool:
        """Once over the data in a new order; False where the numbers ran away."""
        order = rng.permutation(len(labels))
        given: dict[str, Any] = {"sample_weight": None if weights is None else weights[order]}
        if self._kind != "regressor":
            given["classes"] = np.arange(self._classes)
        try:
            with np.errstate(all="ignore"):
                self._estimator.partial_fit(features[order], labels[order], **given)
        except ValueError:
            return False
        return bool(np.isfinite(self._estimator.coef_).all() and np.abs(self._estimator.coef_).max(initial=0) < 1e12)

    def _null(self, features: Any, labels: Numbers) -> Any:
        """The model that knows nothing: what there is when the first epoch already ran away."""
        estimator = self._make()
        given = {} if self._kind == "regressor" else {"classes": np.arange(self._classes)}
        estimator.partial_fit(features[:1] * 0, labels[:1], **given)
        estimator.coef_[:] = 0
        estimator.intercept_[:] = 0
        return estimator

    def _scaled(self, table: Table) -> Any:
        features = table.features.astype(np.float64)
        return features if self._scaler is None else self._scaler.transform(features)

    def _targets(self, table: Table) -> Numbers:
        return (table.labels.astype(np.float64) - self._label_mean) / self._label_scale

    def _weights(self, table: Table) -> Numbers | None:
        classes = table.labels.astype(np.int64)
        if self._kind == "binary_classifier":
            mult = self._values["positive_example_weight_mult"]
            positive = max(int((classes == 1).sum()), 1)
            mult = (len(classes) - positive) / positive if mult in ("balanced", "auto") else mult
            return None if mult == 1.0 else np.where(classes == 1, mult, 1.0)
        if self._kind == "multiclass_classifier" and self._values["balance_multiclass_weights"] == "true":
            counts = np.bincount(classes, minlength=self._classes)
            return np.asarray(len(classes) / (self._classes * np.maximum(counts, 1)))[classes]
        return None

    def _loss(self, found: Numbers, labels: Numbers) -> Numbers:
        if self._kind == "multiclass_classifier":
            return np.asarray(special.logsumexp(found, axis=1) - found[np.arange(len(labels)), labels.astype(np.int64)])
        if self._kind == "binary_classifier":
            signed = found * (2 * labels - 1)
            return np.logaddexp(0, -signed) if self.loss == "logistic" else np.maximum(0, 1 - signed)
        return _REGRESSION_LOSSES[self.loss](np.abs(found - labels), self._values)

    def _counts(self, table: Table, predicted: NDArray[Any]) -> scores.Counts:
        return scores.counted(table.labels, predicted.astype(np.int64), self._classes)

    def _merit(self, criterion: str, counts: scores.Counts) -> float:
        precision, recall = float(scores.precisions(counts)[1]), float(scores.recalls(counts)[1])
        if criterion in ("f_beta", "f1"):
            return float(scores.f_scores(counts, 1.0 if criterion == "f1" else self._values["f_beta"])[1])
        if criterion == "precision_at_target_recall":
            return precision if recall >= self._values["target_recall"] else recall - 1
        if criterion == "recall_at_target_precision":
            return recall if precision >= self._values["target_precision"] else precision - 1
        return scores.accuracy(counts)

    def _binary(self, table: Table, margins: Numbers) -> dict[str, float]:
        counts = self._counts(table, margins > self.threshold)
        beta = self._values["f_beta"]
        return {
            "binary_classification_accuracy": scores.accuracy(counts),
            f"binary_f_{beta:.3f}": float(scores.f_scores(counts, beta)[1]),
            "precision": float(scores.precisions(counts)[1]),
            "recall": float(scores.recalls(counts)[1]),
        }

    def _multiclass(self, table: Table, margins: Numbers) -> dict[str, float]:
        counts, beta, k = self._counts(table, margins.argmax(axis=1)), self._values["f_beta"], self._values["accuracy_top_k"]
        own = margins[np.arange(len(margins)), table.labels.astype(np.int64)]
        # How many classes have a higher margin than the true one.
        ranks = (margins > own[:, None]).sum(axis=1)
        return {
            "multiclass_accuracy": scores.accuracy(counts),
            f"multiclass_top_k_accuracy_{k}": float((ranks < k).mean()),
            "dcg": float((1 / np.log2(ranks + 2)).mean()),
            "macro_recall": scores.macro(scores.recalls(counts), counts),
            "macro_precision": scores.macro(scores.precisions(counts), counts),
            f"macro_f_{beta:.3f}": scores.macro(scores.f_scores(counts, beta), counts),
        }


def _huber(error: Numbers, values: Mapping[str, Any]) -> Numbers:
    delta = values["huber_delta"]
    return np.where(error <= delta, 0.5 * error**2, delta * (error - 0.5 * delta))


#: Of the absolute error of a prediction.
_REGRESSION_LOSSES: Mapping[str, Callable[[Numbers, Mapping[str, Any]], Numbers]] = {
    "squared_loss": lambda error, values: error**2,
    "absolute_loss": lambda error, values: error,
    "eps_insensitive_squared_loss": lambda error, values: np.maximum(0, error - values["loss_insensitivity"]) ** 2,
    "eps_insensitive_absolute_loss": lambda error, values: np.maximum(0, error - values["loss_insensitivity"]),
    "huber_loss": _huber,
}


if __name__ == "__main__":
    sys.exit(run(train))
