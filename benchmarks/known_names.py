"""What it is worth to know where the good values of well-known hyperparameters lie: real trainings, with and without.

    python -m benchmarks.known_names --seeds 8

Algorithms and data are none of the tuning tables'; ranges are as their documentation or common usage has them. Each training
is scored on held-out rows; regret is 0 at the best that any run of a task found and 1 at the median random configuration.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesRegressor, GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR
from threadpoolctl import threadpool_limits

from benchmarks.report import markdown
from benchmarks.results import Results, version_of_ours
from rekindle.search import Categorical, Continuous, Integer, Space, Tuner

Array = np.ndarray[Any, Any]
Config = dict[str, Any]
EVALUATIONS = 50
AT = (1, 5, 10, 25, 50)

SPACES: dict[str, Space] = {
    "xgboost": Space(
        [
            Continuous("eta", 0.01, 0.5, scaling="Logarithmic"),
            Integer("max_depth", 1, 10),
            Continuous("min_child_weight", 0.1, 20.0, scaling="Logarithmic"),
            Continuous("subsample", 0.3, 1.0),
            Continuous("colsample_bytree", 0.3, 1.0),
            Continuous("lambda", 1e-3, 1e3, scaling="Logarithmic"),
            Continuous("alpha", 1e-4, 1e2, scaling="Logarithmic"),
            Continuous("gamma", 0.0, 5.0),
            Integer("num_round", 5, 100, scaling="Logarithmic"),
        ]
    ),
    "gradient_boosting": Space(
        [
            Continuous("learning_rate", 0.01, 1.0, scaling="Logarithmic"),
            Integer("n_estimators", 5, 60, scaling="Logarithmic"),
            Integer("max_depth", 1, 6),
            Continuous("subsample", 0.2, 1.0),
            Integer("min_samples_leaf", 1, 40, scaling="Logarithmic"),
        ]
    ),
    "adaboost": Space(
        [Integer("n_estimators", 5, 60, scaling="Logarithmic"), Continuous("learning_rate", 0.01, 3.0, scaling="Logarithmic")]
    ),
    "extra_trees": Space(
        [
            Integer("n_estimators", 5, 60, scaling="Logarithmic"),
            Integer("max_depth", 2, 20),
            Integer("min_samples_leaf", 1, 20, scaling="Logarithmic"),
            Continuous("max_features", 0.1, 1.0),
            Continuous("max_samples", 0.2, 1.0),
        ]
    ),
    "svr": Space(
        [
            Continuous("C", 1e-3, 1e3, scaling="Logarithmic"),
            Continuous("gamma", 1e-4, 10.0, scaling="Logarithmic"),
            Continuous("epsilon", 1e-3, 1.0, scaling="Logarithmic"),
        ]
    ),
    "logistic": Space(
        [
            Continuous("C", 1e-4, 1e4, scaling="Logarithmic"),
            Continuous("l1_ratio", 0.0, 1.0),
            Integer("max_iter", 5, 100, scaling="Logarithmic"),
        ]
    ),
    "network": Space(
        [
            Continuous("learning_rate", 1e-4, 1e-1, scaling="Logarithmic"),
            Integer("batch_size", 8, 256, scaling="Logarithmic"),
            Integer("epochs", 2, 30, scaling="Logarithmic"),
            Integer("hidden_units", 4, 64, scaling="Logarithmic"),
            Continuous("weight_decay", 1e-6, 1.0, scaling="Logarithmic"),
            Categorical("activation", ["logistic", "tanh", "relu"]),
        ]
    ),
}
_CLASSES = ("blobs", "odd", "tumours", "rings")
_NUMBERS = ("waves", "steps", "sugar")
DATA: dict[str, tuple[str, ...]] = {
    "xgboost": (*_CLASSES, *_NUMBERS),
    "gradient_boosting": _CLASSES,
    "adaboost": _CLASSES,
    "extra_trees": _NUMBERS,
    "svr": _NUMBERS,
    "logistic": _CLASSES,
    "network": _NUMBERS,
}


def _raw(name: str) -> tuple[Array, Array]:
    rng = np.random.default_rng(23)
    match name:
        case "blobs":
            return datasets.make_classification(500, 20, n_informative=5, n_classes=4, flip_y=0.05, random_state=23)
        case "odd":
            x, y = datasets.load_digits(return_X_y=True)
            return x[1000:1500], y[1000:1500] % 2
        case "tumours":
            x, y = datasets.load_breast_cancer(return_X_y=True)
            return x[:, ::3], y
        case "rings":
            x, y = datasets.make_circles(500, noise=0.25, factor=0.5, random_state=23)
            return np.column_stack([x, rng.standard_normal((500, 4))]), y
        case "waves":
            x = rng.uniform(-2, 2, (400, 5))
            return x, np.sin(2 * x[:, 0]) * x[:, 1] + 0.5 * np.cos(3 * x[:, 2]) + 0.2 * rng.standard_normal(400)
        case "steps":
            x = rng.standard_normal((400, 8))
            return x, np.floor(x[:, 0]) + (x[:, 1] > 0.5) * x[:, 2] + 0.3 * rng.standard_normal(400)
        case "sugar":
            x, y = datasets.load_diabetes(return_X_y=True)
            return x, y
    raise ValueError(f"no data called {name}")


@cache
def _split(name: str) -> tuple[Array, Array, Array, Array]:
    """Standardised halves: x, y, x held out, y held out."""
    x, y = _raw(name)
    if name in _NUMBERS:
        y = (y - y.mean()) / y.std()
    order = np.random.default_rng(29).permutation(len(x))
    x, y, half = x[order], y[order], len(x) // 2
    x = (x - x[:half].mean(0)) / (x[:half].std(0) + 1e-9)
    return x[:half], y[:half], x[half:], y[half:]


def _loss(model: Any, name: str) -> float:
    x, y, x_test, y_test = _split(name)
    model.fit(x, y)
    if name in _NUMBERS:
        return float(np.sqrt(np.mean((model.predict(x_test) - y_test) ** 2)))
    return float(log_loss(y_test, model.predict_proba(x_test), labels=model.classes_))


def _xgboost(c: Config, name: str) -> float:
    from xgboost import XGBClassifier, XGBRegressor

    kind = XGBRegressor if name in _NUMBERS else XGBClassifier
    rest = {k: v for k, v in c.items() if k not in ("eta", "lambda", "alpha", "num_round")}
    named = {"learning_rate": c["eta"], "reg_lambda": c["lambda"], "reg_alpha": c["alpha"], "n_estimators": c["num_round"]}
    return _loss(kind(**rest, **named, n_jobs=1, random_state=0), name)


def _network(c: Config, name: str) -> float:
    model = MLPRegressor(
        hidden_layer_sizes=(c["hidden_units"],),
        activation=c["activation"],
        alpha=c["weight_decay"],
        batch_size=min(c["batch_size"], len(_split(name)[1])),
        learning_rate_init=c["learning_rate"],
        max_iter=c["epochs"],
        n_iter_no_change=1000,
        random_state=0,
    )
    return _loss(model, name)


TRAIN: dict[str, Callable[[Config, str], float]] = {
    "xgboost": _xgboost,
    "gradient_boosting": lambda c, name: _loss(GradientBoostingClassifier(**c, random_state=0), name),
    "adaboost": lambda c, name: _loss(AdaBoostClassifier(**c, random_state=0), name),
    "extra_trees": lambda c, name: _loss(ExtraTreesRegressor(**c, bootstrap=True, random_state=0), name),
    "svr": lambda c, name: _loss(SVR(**c, max_iter=20000), name),
    "logistic": lambda c, name: _loss(LogisticRegression(**c, solver="saga", random_state=0), name),
    "network": _network,
}


def curve(algorithm: str, data: str, seed: int, known_names: bool | None) -> list[float]:
    """What 50 training jobs of a search came out as, in turn; random draws where ``known_names`` is None."""
    space, train = Space(SPACES[algorithm].parameters, known_names=bool(known_names)), TRAIN[algorithm]
    tuner = Tuner(space, strategy="random" if known_names is None else "bayesian", seed=seed)
    values = []
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for _ in range(EVALUATIONS):
            trial = tuner.ask()
            values.append(train(trial.values, data))
            tuner.tell(trial.id, values[-1])
    return values


def regrets(found: dict[tuple[bool | None, int], Array]) -> dict[tuple[bool | None, int], Array]:
    """Regret after each evaluation of a task's runs."""
    every = np.concatenate(list(found.values()))
    best, median = np.nanmin(every), np.nanmedian(np.concatenate([v for (names, _), v in found.items() if names is None]))
    worst = np.nanmax(every)
    bests = {key: np.minimum.accumulate(np.nan_to_num(v, nan=worst)) for key, v in found.items()}
    return {key: np.clip((b - best) / (median - best), 0.0, 1.0) for key, b in bests.items()}


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--algorithms", nargs="*", choices=list(SPACES), default=list(SPACES))
    args = parser.parse_args()
    results, version = Results("known_names"), version_of_ours("quality")
    pairs: dict[str, list[Array]] = {}
    for algorithm, data in ((a, d) for a in args.algorithms for d in DATA[a]):
        found = {}
        for names, seed in ((n, s) for s in range(args.seeds) for n in (None, False, True)):
            key = f"{version}|{algorithm}/{data}|{seed}|{names}"
            if results.get(key) is None:
                results.put(key, {"values": curve(algorithm, data, seed, names)})
            found[names, seed] = np.array(results.runs[key]["values"], dtype=float)
        regret = regrets(found)
        pairs.setdefault(algorithm, []).extend(np.array([regret[False, s], regret[True, s]]) for s in range(args.seeds))
        print(f"{algorithm}/{data} done", flush=True)
    pairs["all"] = [pair for each in list(pairs.values()) for pair in each]
    print(
        markdown(
            ["", "pairs", *(f"at {n}" for n in AT), "better / worse at 50"], [_line(k, np.array(v)) for k, v in pairs.items()]
        )
    )


def _line(name: str, pairs: Array) -> list[str]:
    """Of pairs (n, 2, evaluations): the regret without, and the difference with, plus or minus one standard error."""
    apart = pairs[:, 1] - pairs[:, 0]
    error = apart.std(axis=0, ddof=1) / np.sqrt(len(pairs))
    cells = [f"{pairs[:, 0, n - 1].mean():.3f} {apart[:, n - 1].mean():+.3f} ± {error[n - 1]:.3f}" for n in AT]
    won = f"{np.mean(apart[:, -1] < -1e-4):.2f} / {np.mean(apart[:, -1] > 1e-4):.2f}"
    return [name, str(len(pairs)), *cells, won]


if __name__ == "__main__":
    main()
