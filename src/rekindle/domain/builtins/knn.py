"""K-nearest neighbours: the documented hyperparameters, and the metric definitions of SageMaker's image."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rekindle.domain.builtins.rules import TUNED_METRIC, Interval, OneOf, Refused, Rule, Whole
from rekindle.domain.metrics import MetricDefinition

_FROM_1 = Interval(1)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "feature_dim": Whole(_FROM_1),
        "k": Whole(_FROM_1),
        "predictor_type": OneOf(("classifier", "regressor")),
        "sample_size": Whole(_FROM_1),
        "dimension_reduction_target": Whole(_FROM_1),
        "dimension_reduction_type": OneOf(("sign", "fjlt")),
        "faiss_index_ivf_nlists": Whole(_FROM_1, ("auto",)),
        "faiss_index_pq_m": Whole(_FROM_1),
        "index_metric": OneOf(("L2", "INNER_PRODUCT", "COSINE")),
        "index_type": OneOf(("faiss.Flat", "faiss.IVFFlat", "faiss.IVFPQ")),
        "mini_batch_size": Whole(_FROM_1),
    }
)
#: Taken, and of no effect in this stand-in, whose search is exact.
WITHOUT_EFFECT = ("faiss_index_ivf_nlists", "faiss_index_pq_m", "index_type", "mini_batch_size")
REQUIRED = ("feature_dim", "k", "predictor_type", "sample_size")
TOGETHER = (*REQUIRED, "dimension_reduction_target", "dimension_reduction_type")
METRICS = (
    MetricDefinition("test:accuracy", r"#quality_metric: host=\S+, test accuracy <score>=(\S+)"),
    MetricDefinition("test:mse", r"#quality_metric: host=\S+, test mse <loss>=(\S+)"),
    MetricDefinition("train:progress", r"#progress_metric: host=\S+, completed (\S+) %"),
)
MAXIMIZED = frozenset(("test:accuracy", "train:progress"))


def check_together(values: Mapping[str, Any], objective_metric: str | None) -> None:
    """What hyperparameters must be to each other, and to the metric that is tuned. Raises Refused."""
    k, sample = values.get("k", 1), values.get("sample_size", 1)
    if k > sample:
        raise Refused("k", f"Hyperparameter k: {k} neighbours are more than the sample_size, {sample}")
    target, features = values.get("dimension_reduction_target"), values.get("feature_dim", 1)
    if (target is None) != ("dimension_reduction_type" not in values):
        message = "Hyperparameters dimension_reduction_type and dimension_reduction_target go together"
        raise Refused("dimension_reduction_target" if target is None else "dimension_reduction_type", message)
    if target is not None and target >= features:
        message = f"Hyperparameter dimension_reduction_target: {target} is not less than feature_dim, {features}"
        raise Refused("dimension_reduction_target", message)
    kinds = {"test:accuracy": "classifier", "test:mse": "regressor"}
    kind = values.get("predictor_type", "")
    if kinds.get(objective_metric or "", kind) != kind:
        needed = kinds[objective_metric or ""]
        raise Refused(TUNED_METRIC, f"Metric '{objective_metric}' is computed for a {needed}, and predictor_type is {kind}.")
