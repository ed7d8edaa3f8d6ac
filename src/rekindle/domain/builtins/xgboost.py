"""XGBoost as SageMaker's image runs it: hyperparameters, metrics and refusals.

Names, ranges and sentences are those of the open-source image (aws/sagemaker-xgboost-container, version 1.7). Where it
accepts what the library then fails on, it is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rekindle.domain.builtins.rules import (
    TUNED_METRIC,
    Interval,
    Listed,
    Literal,
    OneOf,
    Real,
    Refused,
    Rule,
    Unavailable,
    Whole,
)
from rekindle.domain.metrics import MetricDefinition

#: Metrics that the image computes itself, for the library does not know them.
OWN_CLASS_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "f1_binary",
    "f1_macro",
    "precision",
    "precision_macro",
    "precision_micro",
    "recall",
    "recall_macro",
    "recall_micro",
)
OWN_METRICS = (*OWN_CLASS_METRICS, "mse", "r2")
MAXIMIZED = (*OWN_CLASS_METRICS, "auc", "aucpr", "map", "ndcg", "r2")
MINIMIZED = (
    "cox-nloglik",
    "error",
    "gamma-deviance",
    "gamma-nloglik",
    "logloss",
    "mae",
    "mape",
    "merror",
    "mlogloss",
    "mphe",
    "mse",
    "poisson-nloglik",
    "rmse",
    "rmsle",
    "tweedie-nloglik",
)
#: Metrics of survival times that are known to lie between two bounds, for which no format of a channel has a place.
_BOUNDED = ("aft-nloglik", "interval-regression-accuracy")
#: Of the training data only what people tune by: a job has at most 40 metrics.
_TRAIN_METRICS = ("auc", "error", "logloss", "merror", "mlogloss", "rmse")
_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"

#: The greatest numbers that the library takes, and one that is next to 0: it keeps them in 32 bits.
_INT, _FLOAT, _SMALLEST = 2**31 - 1, 3.4028234663852886e38, 1.2e-38
_POSITIVE = Interval(0, _FLOAT, open_least=True)
_NOT_NEGATIVE = Interval(0, _FLOAT)
_SHARE = Interval(0, 1, open_least=True)
_UNIT = Interval(0, 1)
_FROM_0, _FROM_1 = Interval(0, _INT), Interval(1, _INT)
_SWITCH = OneOf(("true", "false"))

_TREE_GROWERS = ("grow_colmaker", "grow_histmaker", "grow_quantile_histmaker")
_LINEAR = ("shotgun", "coord_descent")
_UPDATERS = (*_TREE_GROWERS, "sync", "refresh", "prune", *_LINEAR)
_GONE_UPDATERS = ("distcol", "grow_local_histmaker", "grow_skmaker")
_NO_UPDATE = {"update": "there is no earlier model here that it could update"}
_NO_BOUNDS = "its labels are two bounds, for which no content type has a place"
_DASK = {"true": "GPUs are not shared by Dask here. Use tree_method gpu_hist alone"}

OBJECTIVES = (
    "binary:logistic",
    "binary:logitraw",
    "binary:hinge",
    "count:poisson",
    "multi:softmax",
    "multi:softprob",
    "rank:pairwise",
    "rank:ndcg",
    "rank:map",
    "reg:linear",
    "reg:squarederror",
    "reg:logistic",
    "reg:gamma",
    "reg:pseudohubererror",
    "reg:squaredlogerror",
    "reg:absoluteerror",
    "reg:tweedie",
    "survival:cox",
)


def metric_definition(part: str, name: str) -> MetricDefinition:
    """SageMaker's definition of one metric of the channel ``part``: CloudWatch shows a TAB as ``#011``."""
    return MetricDefinition(f"{part}:{name}", rf".*\[[0-9]+\].*#011{part}-{name}:{_NUMBER}.*")


METRICS = tuple(
    metric_definition(part, name)
    for part, names in (("validation", (*MAXIMIZED, *MINIMIZED)), ("train", _TRAIN_METRICS))
    for name in names
)


def _metric_allowed(name: str, metric: str) -> bool:
    if metric in _BOUNDED:
        raise Refused(name, f"Hyperparameter {name}: {metric} is not available here: {_NO_BOUNDS}")
    base, at, threshold = (part.strip() for part in metric.partition("@"))
    if not at:
        return metric in (*MAXIMIZED, *MINIMIZED)
    if base not in ("error", "ndcg", "map", "tweedie-nloglik"):
        raise Refused(
            name,
            f"Metric '{metric}' is not supported. Parameter 'eval_metric' with customized threshold should be one of these "
            "options: 'error', 'ndcg', 'map'.",
        )
    try:
        float(threshold)
    except ValueError as error:
        raise Refused(name, f"Threshold value 't' in '{base}@t' expects float input.") from error
    return True


def _updater_allowed(name: str, updater: str) -> bool:
    if updater in _GONE_UPDATERS:
        raise Refused(name, f"Hyperparameter {name}: {updater} is not available here: the library has given it up")
    return updater in _UPDATERS


def _real(interval: Interval) -> Real:
    return Real(interval, smallest=_SMALLEST)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "num_round": Whole(Interval(1)),
        "csv_weights": Whole(_UNIT),
        "early_stopping_rounds": Whole(Interval(1)),
        "booster": OneOf(("gbtree", "gblinear", "dart")),
        "verbosity": Whole(Interval(0, 3)),
        # Of version 0.72, the image's tags 1 and latest: notebooks for it are many.
        "silent": Whole(_UNIT),
        # AWS's sample of tuning by Step Functions sends it to that version. The library has no other precision.
        "precision_dtype": OneOf(("float32",)),
        "nthread": Whole(_FROM_1),
        "eta": _real(_UNIT),
        "gamma": _real(_NOT_NEGATIVE),
        "max_depth": Whole(_FROM_0),
        "min_child_weight": _real(_NOT_NEGATIVE),
        "max_delta_step": _real(_NOT_NEGATIVE),
        "subsample": _real(_SHARE),
        "colsample_bytree": _real(_SHARE),
        "colsample_bylevel": _real(_SHARE),
        "colsample_bynode": _real(_SHARE),
        "lambda": _real(_NOT_NEGATIVE),
        "alpha": _real(_NOT_NEGATIVE),
        "tree_method": OneOf(("auto", "exact", "approx", "hist", "gpu_hist")),
        "sketch_eps": _real(Interval(0, 1, open_least=True, open_most=True)),
        "scale_pos_weight": _real(_POSITIVE),
        "updater": Listed(_UPDATERS, _updater_allowed),
        "dsplit": OneOf(("row", "col")),
        "refresh_leaf": Whole(_UNIT),
        "process_type": OneOf(("default", "update"), _NO_UPDATE),
        "grow_policy": OneOf(("depthwise", "lossguide")),
        "max_leaves": Whole(_FROM_0),
        # The image says 0, the library fails below 2.
        "max_bin": Whole(Interval(2, _INT)),
        "predictor": OneOf(("auto", "cpu_predictor", "gpu_predictor")),
        "monotone_constraints": Literal(1, Interval(-1, 1)),
        "interaction_constraints": Literal(2, _FROM_1),
        "sample_type": OneOf(("uniform", "weighted")),
        "normalize_type": OneOf(("tree", "forest")),
        "rate_drop": _real(_UNIT),
        "one_drop": Whole(_UNIT),
        "skip_drop": _real(_UNIT),
        "lambda_bias": _real(_UNIT),
        "tweedie_variance_power": _real(Interval(1, 2, open_least=True, open_most=True)),
        "objective": OneOf(OBJECTIVES, {"survival:aft": _NO_BOUNDS, "aft_loss_distribution": "it is not an objective"}),
        "num_class": Whole(Interval(2, _INT)),
        "base_score": _real(_NOT_NEGATIVE),
        "_kfold": Unavailable("a training job trains one model. Tune on a validation channel"),
        "_num_cv_round": Whole(_FROM_1),
        "eval_metric": Listed((*MAXIMIZED, *MINIMIZED), _metric_allowed),
        "seed": Whole(Interval(-(2**31), _INT, open_least=True, open_most=True)),
        "num_parallel_tree": Whole(_FROM_1),
        "save_model_on_termination": _SWITCH,
        "aft_loss_distribution": OneOf(("normal", "logistic", "extreme")),
        "aft_loss_distribution_scale": _real(_NOT_NEGATIVE),
        "single_precision_histogram": _SWITCH,
        "deterministic_histogram": _SWITCH,
        "sampling_method": OneOf(("uniform", "gradient_based")),
        # The image takes whole numbers above 1, version 0.72 took any, and its default of 1.0 is what people send.
        "prob_buffer_row": _real(_POSITIVE),
        "use_dask_gpu_training": OneOf(("true", "false"), _DASK),
    }
)
REQUIRED = ("num_round",)
ALIASES = MappingProxyType({"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"})
#: The hyperparameters that ``check_together`` looks at.
TOGETHER = (
    "objective",
    "num_class",
    "eval_metric",
    "booster",
    "updater",
    "tree_method",
    "max_depth",
    "base_score",
    "monotone_constraints",
    "interaction_constraints",
)


def check_together(values: Mapping[str, Any], objective_metric: str | None) -> None:
    """What hyperparameters must be to each other, and to the metric that is tuned. Raises Refused."""
    objective = values.get("objective", "reg:squarederror")
    _check_classes(objective, values.get("num_class"))
    for metric in values.get("eval_metric", ()):
        _check_metric("eval_metric", metric, objective, values.get("num_class"))
    tuned = None if objective_metric is None else objective_metric.partition(":")[2]
    # AWS's notebooks tune by auc and leave the objective out, which the image lets pass: with labels 0 and 1 it works.
    if tuned is not None and ("objective" in values or tuned not in ("auc", "aucpr")):
        _check_metric(TUNED_METRIC, tuned, objective, values.get("num_class"))
    if "updater" in values:
        _check_updater(values["updater"], values.get("booster"))
    _check_constraints(values)
    if values.get("tree_method") == "exact" and values.get("max_depth") == 0:
        raise Refused("max_depth", "Hyperparameter max_depth: the exact tree method doesn't support unlimited depth (0)")
    if objective == "reg:gamma" and values.get("base_score") == 0:
        raise Refused("base_score", "Hyperparameter base_score: must be greater than 0 for gamma regression")
    if objective in ("binary:logistic", "reg:logistic") and values.get("base_score", 0) > 1:
        raise Refused("base_score", f"Hyperparameter base_score: must not be greater than 1 for {objective}")


def _check_classes(objective: str, classes: int | None) -> None:
    if objective.startswith("multi:"):
        if classes is None:
            raise Refused("num_class", "Require input for parameter 'num_class' for multi-classification")
    elif classes is not None:
        message = "Do not need to setup parameter 'num_class' for learning task other than multi-classification."
        raise Refused("num_class", message)


def _check_metric(name: str, metric: str, objective: str, classes: int | None) -> None:
    base = metric.partition("@")[0].strip()
    task = objective.partition(":")[0]
    classifies = task in ("binary", "multi") or objective == "reg:logistic"
    if base in ("auc", "aucpr") and not (classifies or task == "rank"):
        raise Refused(name, f"Metric '{base}' can only be applied for classification and ranking problems.")
    if base in OWN_CLASS_METRICS and not classifies:
        raise Refused(name, f"Metric '{base}' can only be applied for classification problems.")
    if base in ("merror", "mlogloss") and task != "multi":
        raise Refused(name, f"Metric '{base}' can only be applied for multi-classification problems.")
    if task == "multi" and base not in (*OWN_CLASS_METRICS, "auc", "aucpr", "merror", "mlogloss"):
        raise Refused(name, f"Metric '{base}' can not be applied for multi-classification problems.")
    if base in ("f1_binary", "precision", "recall") and task == "multi" and classes != 2:
        raise Refused(name, f"Metric '{base}': Target is multiclass but average='binary'.")
    if base in ("map", "ndcg") and task not in ("rank", "binary"):
        raise Refused(name, f"Metric '{base}' can only be applied for ranking problems.")
    if base == "cox-nloglik" and objective != "survival:cox":
        raise Refused(name, f"Metric '{base}' can only be applied for 'survival:cox' objective.")
    if base == "tweedie-nloglik" and objective != "reg:tweedie":
        raise Refused(name, f"Metric '{base}' can only be applied for 'reg:tweedie' objective.")


def _check_updater(updaters: list[str], booster: str | None) -> None:
    if booster == "gblinear":
        if not (len(updaters) == 1 and updaters[0] in _LINEAR):
            options = ", ".join(f"'{word}'" for word in _LINEAR)
            raise Refused("updater", f"Linear updater should be one of these options: {options}.")
        return
    if any(word in _LINEAR for word in updaters):
        options = ", ".join(f"'{word}'" for word in _UPDATERS if word not in _LINEAR)
        raise Refused("updater", f"Tree updater should be selected from these options: {options}.")
    growers = [word for word in updaters if word in _TREE_GROWERS]
    if len(growers) != 1 or updaters[0] not in _TREE_GROWERS:
        options = ", ".join(f"'{word}'" for word in _TREE_GROWERS)
        raise Refused(
            "updater", f"Only one tree grow plugin can be selected, the first. Choose one from the following: {options}"
        )


def _check_constraints(values: Mapping[str, Any]) -> None:
    method = values.get("tree_method")
    if "monotone_constraints" in values and method not in ("exact", "hist"):
        message = "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'."
        raise Refused("monotone_constraints", message)
    if "interaction_constraints" in values and method not in ("exact", "hist", "approx"):
        message = (
            "interaction_constraints can be used only when the tree_method parameter is set to either 'exact', 'hist' or "
            "'approx'."
        )
        raise Refused("interaction_constraints", message)
