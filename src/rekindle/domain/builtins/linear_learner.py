"""Linear Learner: the documented hyperparameters, and the metric definitions of SageMaker's image."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rekindle.domain.builtins.rules import TUNED_METRIC, Interval, OneOf, Real, Refused, Rule, Switch, Whole
from rekindle.domain.metrics import MetricDefinition

_POSITIVE = Interval(0, open_least=True)
_NOT_NEGATIVE = Interval(0)
#: What is squared or added up, and is to be a number then.
_SQUARED, _ADDED = Interval(0, 1e150, open_least=True), Interval(0, 1e300)
_INSIDE = Interval(0, 1, open_least=True, open_most=True)
_UNIT = Interval(0, 1)
_BELOW_1 = Interval(0, 1, open_most=True)
_FROM_1 = Interval(1)
_AUTO = ("auto",)
_SWITCH = Switch()
_AUTO_SWITCH = Switch(_AUTO)

#: The losses of each type of predictor, the first for ``auto``.
LOSSES = MappingProxyType(
    {
        "binary_classifier": ("logistic", "hinge_loss"),
        "multiclass_classifier": ("softmax_loss",),
        "regressor": (
            "squared_loss",
            "absolute_loss",
            "eps_insensitive_squared_loss",
            "eps_insensitive_absolute_loss",
            "huber_loss",
        ),
    }
)
#: The first names of two criteria, which the guide had and the SDK still lets through.
EARLIER_CRITERIA = ("f1", "cross_entropy_loss")
CRITERIA = ("accuracy", "f_beta", "precision_at_target_recall", "recall_at_target_precision", "loss_function")
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "predictor_type": OneOf(tuple(LOSSES)),
        "num_classes": Whole(Interval(3, 1_000_000)),
        "feature_dim": Whole(_FROM_1, _AUTO),
        "accuracy_top_k": Whole(_FROM_1),
        "balance_multiclass_weights": _SWITCH,
        "beta_1": Real(_UNIT, _AUTO),
        "beta_2": Real(_UNIT, _AUTO),
        "bias_lr_mult": Real(_POSITIVE, _AUTO),
        "bias_wd_mult": Real(_NOT_NEGATIVE, _AUTO),
        "binary_classifier_model_selection_criteria": OneOf((*CRITERIA, *EARLIER_CRITERIA)),
        "early_stopping_patience": Whole(_FROM_1),
        "early_stopping_tolerance": Real(_POSITIVE),
        "epochs": Whole(_FROM_1),
        "f_beta": Real(_SQUARED),
        "huber_delta": Real(_POSITIVE),
        "init_bias": Real(Interval()),
        "init_method": OneOf(("uniform", "normal")),
        "init_scale": Real(_POSITIVE),
        "init_sigma": Real(_POSITIVE),
        "l1": Real(_ADDED, _AUTO),
        "learning_rate": Real(_POSITIVE, _AUTO),
        "loss": OneOf(
            ("auto", *dict.fromkeys(loss for losses in LOSSES.values() for loss in losses)),
            {"quantile_loss": "scikit-learn's stochastic gradient descent does not have it"},
        ),
        "loss_insensitivity": Real(_POSITIVE),
        "lr_scheduler_factor": Real(_INSIDE, _AUTO),
        "lr_scheduler_minimum_lr": Real(_POSITIVE, _AUTO),
        "lr_scheduler_step": Whole(_FROM_1, _AUTO),
        "margin": Real(_POSITIVE),
        "mini_batch_size": Whole(_FROM_1),
        "momentum": Real(_BELOW_1, _AUTO),
        "normalize_data": _AUTO_SWITCH,
        "normalize_label": _AUTO_SWITCH,
        "num_calibration_samples": Whole(_FROM_1),
        "num_models": Whole(_FROM_1, _AUTO),
        "num_point_for_scaler": Whole(_FROM_1),
        "optimizer": OneOf(("auto", "sgd", "adam", "rmsprop")),
        "positive_example_weight_mult": Real(_POSITIVE, ("balanced", "auto")),
        "quantile": Real(_INSIDE),
        "target_precision": Real(_INSIDE),
        "target_recall": Real(_INSIDE),
        "unbias_data": _AUTO_SWITCH,
        "unbias_label": _AUTO_SWITCH,
        "use_bias": _AUTO_SWITCH,
        "use_lr_scheduler": _SWITCH,
        "wd": Real(_ADDED, _AUTO),
    }
)
#: Taken, for notebooks set them, and of no effect in this stand-in.
WITHOUT_EFFECT = (
    "beta_1",
    "beta_2",
    "bias_lr_mult",
    "bias_wd_mult",
    "init_bias",
    "init_method",
    "init_scale",
    "init_sigma",
    "lr_scheduler_factor",
    "lr_scheduler_minimum_lr",
    "lr_scheduler_step",
    "margin",
    "mini_batch_size",
    "momentum",
    "num_calibration_samples",
    "num_models",
    "num_point_for_scaler",
    "optimizer",
    "quantile",
)
REQUIRED = ("predictor_type",)
TOGETHER = ("predictor_type", "num_classes", "loss")

_BINARY = ("binary_classification_accuracy", "binary_f_beta", "precision", "recall")
_MULTI = ("multiclass_accuracy", "multiclass_top_k_accuracy", "dcg", "macro_f_beta", "macro_precision", "macro_recall")
_REGRESSION = ("mse", "absolute_loss")
#: Metrics by the type of predictor that has them; the loss of the objective is everybody's.
METRICS_OF = MappingProxyType({"binary_classifier": _BINARY, "multiclass_classifier": _MULTI, "regressor": _REGRESSION})
_LOSSES = ("objective_loss", "objective_loss:final", "mse", "absolute_loss")


def _definition(part: str, name: str) -> MetricDefinition:
    """The image's own: an F score is shown with its beta, a top-k accuracy with its k."""
    shown = {"binary_f_beta": r"binary_f_\S+", "macro_f_beta": r"macro_f_\S+"}.get(name, name)
    shown = r"multiclass_top_k_accuracy_\S+" if name == "multiclass_top_k_accuracy" else shown
    kind = "loss" if name in _LOSSES else "score"
    return MetricDefinition(f"{part}:{name}", rf"#quality_metric: host=\S+, {part} {shown} <{kind}>=(\S+)")


def _objective(part: str, name: str, epoch: str) -> MetricDefinition:
    return MetricDefinition(f"{part}:{name}", rf"#quality_metric: host=\S+, {epoch}{part} \S+_objective <loss>=(\S+)")


METRICS = (
    *(_definition(part, name) for part in ("validation", "test") for name in (*_BINARY, *_MULTI, *_REGRESSION)),
    *(_definition("train", name) for name in (*_BINARY, *_REGRESSION)),
    *(_objective(part, "objective_loss", r"epoch=\S+, ") for part in ("train", "validation")),
    *(_objective(part, "objective_loss:final", "") for part in ("train", "validation")),
    _objective("test", "objective_loss", ""),
    MetricDefinition("train:progress", r"#progress_metric: host=\S+, completed (\S+) %"),
)
MAXIMIZED = frozenset(m.name for m in METRICS if m.name.partition(":")[2] not in _LOSSES)


def check_together(values: Mapping[str, Any], objective_metric: str | None) -> None:
    """What hyperparameters must be to each other, and to the metric that is tuned. Raises Refused."""
    kind = values.get("predictor_type", "")
    if kind == "multiclass_classifier" and "num_classes" not in values:
        raise Refused("num_classes", "Missing required hyperparameter: num_classes (of a multiclass_classifier)")
    loss = values.get("loss", "auto")
    if loss != "auto" and loss not in LOSSES.get(kind, ()):
        raise Refused("loss", f"Hyperparameter loss: {loss} is not a loss of a {kind}, which has {list(LOSSES.get(kind, ()))}")
    metric = (objective_metric or "").partition(":")[2]
    others = {name: owner for owner, names in METRICS_OF.items() for name in names}
    if others.get(metric, kind) != kind:
        raise Refused(TUNED_METRIC, f"Metric '{metric}' is computed for a {others[metric]}, and predictor_type is {kind}.")
