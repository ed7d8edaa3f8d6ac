"""The metrics that SageMaker's own images come with: they cannot be defined by the user, and need not be."""

from __future__ import annotations

import re

from rekindle.domain.metrics import MetricDefinition

_XGBOOST = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/(sagemaker-)?xgboost(:.*|@.*)?")
_XGBOOST_METRICS = (
    "accuracy",
    "auc",
    "aucpr",
    "error",
    "f1",
    "gamma-deviance",
    "gamma-nloglik",
    "logloss",
    "mae",
    "map",
    "merror",
    "mlogloss",
    "mse",
    "ndcg",
    "poisson-nloglik",
    "rmse",
    "tweedie-nloglik",
)
_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"


def builtin_metrics(image: str | None) -> tuple[MetricDefinition, ...]:
    """The metrics of an image of SageMaker's; none for any other image."""
    if image is None or not _XGBOOST.fullmatch(image):
        return ()
    return tuple(_xgboost(part, name) for part in ("train", "validation") for name in _XGBOOST_METRICS)


def _xgboost(part: str, name: str) -> MetricDefinition:
    return MetricDefinition(f"{part}:{name}", rf".*\[[0-9]+\].*#011{part}-{name}:{_NUMBER}.*")
