"""The search spaces of the recorded learning curves, and the data that each algorithm was trained on.

No range holds the number of epochs: that is the resource, ``EPOCHS`` of it at most.
"""

from __future__ import annotations

from rekindle.search import Categorical, Continuous, Integer, Space

#: Epochs (or boosting rounds) of every curve: a power of three, so that everybody's rungs fall on whole numbers.
EPOCHS = 81

#: Search space of each algorithm; the names are scikit-learn's where it has one.
SPACES: dict[str, Space] = {
    "sgd": Space(
        [
            Continuous("alpha", 1e-6, 1.0, scaling="Logarithmic"),
            Continuous("l1_ratio", 0.0, 1.0, scaling="Linear"),
            Continuous("eta0", 1e-4, 1.0, scaling="Logarithmic"),
            Continuous("power_t", 0.0, 1.0, scaling="Linear"),
            Categorical("learning_rate", ["constant", "invscaling", "optimal"]),
            Categorical("loss", ["hinge", "log_loss", "modified_huber"]),
        ]
    ),
    "mlp": Space(
        [
            Continuous("learning_rate_init", 1e-4, 1.0, scaling="Logarithmic"),
            Continuous("alpha", 1e-6, 10.0, scaling="Logarithmic"),
            Integer("width", 4, 64, scaling="Logarithmic"),
            Integer("layers", 1, 3),
            Integer("batch_size", 16, 256, scaling="Logarithmic"),
            Categorical("activation", ["relu", "tanh", "logistic"]),
            Categorical("solver", ["adam", "sgd"]),
        ]
    ),
    "boosting": Space(
        [
            Continuous("learning_rate", 1e-3, 1.0, scaling="Logarithmic"),
            Integer("max_depth", 1, 8),
            Integer("min_samples_leaf", 1, 60, scaling="Logarithmic"),
            Continuous("subsample", 0.3, 1.0, scaling="Linear"),
            Continuous("max_features", 0.1, 1.0, scaling="Linear"),
        ]
    ),
}

#: Data sets of ``make_tables.split``: "choosing" are those that variants of our searches were chosen on, "fresh" those that
#: nothing was chosen on.
TASKS: dict[str, dict[str, tuple[str, ...]]] = {
    "choosing": {"sgd": ("even", "hard"), "mlp": ("digits-30", "even-30"), "boosting": ("hard", "friedman1")},
    "fresh": {"sgd": ("cancer", "wine"), "mlp": ("wine", "cancer"), "boosting": ("diabetes", "wine")},
}

#: How the files of each set begin.
FILES = {"choosing": "curves", "fresh": "curves-fresh"}
