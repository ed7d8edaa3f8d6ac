"""The search spaces of the tuning tables: one per algorithm, and the tasks that each algorithm was trained on."""

from __future__ import annotations

from rekindle.search import Categorical, Continuous, Integer, Space

#: Search space of each algorithm; the names are scikit-learn's where it has one.
SPACES: dict[str, Space] = {
    "svm": Space(
        [
            Continuous("C", 1e-3, 1e3, scaling="Logarithmic"),
            Continuous("gamma", 1e-5, 10.0, scaling="Logarithmic"),
            Categorical("kernel", ["rbf", "poly", "sigmoid"]),
            Integer("degree", 2, 5),
            Continuous("coef0", 0.0, 1.0, scaling="Linear"),
        ]
    ),
    "sgd": Space(
        [
            Continuous("alpha", 1e-6, 1.0, scaling="Logarithmic"),
            Continuous("l1_ratio", 0.0, 1.0, scaling="Linear"),
            Continuous("eta0", 1e-4, 1.0, scaling="Logarithmic"),
            Categorical("learning_rate", ["constant", "invscaling", "adaptive", "optimal"]),
            Categorical("loss", ["hinge", "log_loss", "modified_huber"]),
            Integer("max_iter", 2, 40, scaling="Logarithmic"),
        ]
    ),
    "elastic_net": Space(
        [
            Continuous("alpha", 1e-5, 10.0, scaling="Logarithmic"),
            Continuous("l1_ratio", 0.0, 1.0, scaling="Linear"),
            Integer("degree", 1, 3),
            Continuous("clip", 1.0, 5.0, scaling="Linear"),
            Continuous("power", 0.3, 2.0, scaling="Linear"),
        ]
    ),
    "forest": Space(
        [
            Integer("n_estimators", 3, 40, scaling="Logarithmic"),
            Integer("max_depth", 1, 16),
            Integer("min_samples_leaf", 1, 20, scaling="Logarithmic"),
            Continuous("max_features", 0.05, 1.0, scaling="Linear"),
            Continuous("max_samples", 0.1, 1.0, scaling="Linear"),
            Categorical("criterion", ["gini", "entropy"]),
        ]
    ),
    "boosting": Space(
        [
            Continuous("learning_rate", 1e-3, 1.0, scaling="Logarithmic"),
            Integer("max_iter", 5, 50),
            Integer("max_leaf_nodes", 2, 31, scaling="Logarithmic"),
            Integer("min_samples_leaf", 2, 60, scaling="Logarithmic"),
            Continuous("l2_regularization", 1e-6, 1e2, scaling="Logarithmic"),
            Continuous("max_features", 0.1, 1.0, scaling="Linear"),
        ]
    ),
    "mlp": Space(
        [
            Continuous("learning_rate_init", 1e-4, 1.0, scaling="Logarithmic"),
            Continuous("alpha", 1e-6, 10.0, scaling="Logarithmic"),
            Integer("width", 4, 64, scaling="Logarithmic"),
            Integer("layers", 1, 3),
            Integer("batch_size", 16, 256, scaling="Logarithmic"),
            Integer("epochs", 3, 40, scaling="Logarithmic"),
            Categorical("activation", ["relu", "tanh", "logistic"]),
            Categorical("solver", ["adam", "sgd"]),
        ]
    ),
    "kernel_ridge": Space(
        [
            Continuous("alpha", 1e-6, 10.0, scaling="Logarithmic"),
            Continuous("gamma", 1e-4, 10.0, scaling="Logarithmic"),
            Categorical("kernel", ["rbf", "laplacian", "polynomial", "sigmoid"]),
            Integer("degree", 1, 4),
            Continuous("coef0", 0.0, 2.0, scaling="Linear"),
        ]
    ),
    "tree": Space(
        [
            Integer("max_depth", 1, 20),
            Integer("min_samples_leaf", 1, 60, scaling="Logarithmic"),
            Integer("min_samples_split", 2, 60, scaling="Logarithmic"),
            Continuous("ccp_alpha", 1e-6, 1e-1, scaling="Logarithmic"),
            Continuous("max_features", 0.1, 1.0, scaling="Linear"),
            Categorical("splitter", ["best", "random"]),
        ]
    ),
    "neighbours": Space(
        [
            Integer("n_neighbors", 1, 60, scaling="Logarithmic"),
            Continuous("p", 1.0, 5.0, scaling="Linear"),
            Categorical("weights", ["uniform", "distance"]),
            Categorical("scaler", ["none", "standard", "minmax", "robust", "quantile"]),
            Integer("components", 1, 16),
            Continuous("shrink", 1e-3, 1.0, scaling="Logarithmic"),
        ]
    ),
}

#: ``data`` or ``data-P``: the same data with P per cent of the training rows.
TASKS: dict[str, tuple[str, ...]] = {
    "svm": ("digits", "digits-30", "digits-10", "cancer", "cancer-30", "wine", "hard", "even"),
    "sgd": ("digits", "digits-30", "digits-10", "cancer", "cancer-30", "wine", "hard", "even"),
    "elastic_net": ("diabetes", "diabetes-30", "friedman1", "friedman1-30", "friedman2", "friedman3"),
    "forest": ("digits", "digits-30", "cancer", "wine", "hard", "hard-30"),
    "boosting": ("cancer", "cancer-30", "even", "hard", "hard-30", "diabetes", "friedman1"),
    "mlp": ("digits", "digits-30", "cancer", "wine", "hard", "even"),
    "kernel_ridge": ("diabetes", "friedman1", "friedman2", "friedman3"),
    "tree": ("digits", "cancer", "wine", "hard", "diabetes"),
    "neighbours": ("cancer", "wine", "hard", "friedman1"),
}
