"""Makes the tuning tables: trains scikit-learn's algorithms on data that ships with scikit-learn, over a Sobol design.

    python -m benchmarks.tasks.make_tables --rows 4000

Row k of an algorithm is point k of one scrambled Sobol sequence, the same for all of its tasks. The command continues
where an earlier one ended: what is in ``data/`` stays, and is kept after each chunk of rows. NaN marks a failed training.
Classifiers are judged on held-out rows by error rate (``svm``, ``sgd``) or log loss, regressors by root mean squared
error over the deviation of the target; lower is better everywhere.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import qmc
from sklearn import datasets
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import ElasticNet, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, QuantileTransformer, RobustScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from benchmarks.tasks.families import SPACES, TASKS

DATA = Path(__file__).parent / "data"
#: Rows between two saves.
CHUNK = 250
#: The order of making: cheap algorithms first.
ORDER = ("elastic_net", "kernel_ridge", "tree", "neighbours", "sgd", "svm", "forest", "mlp", "boosting")

Array = np.ndarray[Any, Any]
Config = dict[str, Any]


def _raw(name: str) -> tuple[Array, Array]:
    match name:
        case "digits" | "even":
            x, y = datasets.load_digits(return_X_y=True)
            return x[:1000], (y % 2 if name == "even" else y)[:1000]
        case "cancer":
            return datasets.load_breast_cancer(return_X_y=True)
        case "wine":
            x, y = datasets.load_wine(return_X_y=True)
            return x[:, [0, 1, 4, 5, 8]], y
        case "diabetes":
            return datasets.load_diabetes(return_X_y=True)
        case "hard":
            return datasets.make_classification(
                700, 16, n_informative=6, n_redundant=4, n_clusters_per_class=3, flip_y=0.08, class_sep=0.8, random_state=7
            )
        case "friedman1":
            return datasets.make_friedman1(500, 10, noise=1.0, random_state=7)
        case "friedman2":
            return datasets.make_friedman2(500, noise=60.0, random_state=7)
        case "friedman3":
            return datasets.make_friedman3(500, noise=0.1, random_state=7)
    raise ValueError(f"no data called {name}")


@cache
def split(task: str) -> tuple[Array, Array, Array, Array]:
    """Standardised training and held-out halves of a task: x, y, x held out, y held out."""
    name, _, percent = task.partition("-")
    x, y = _raw(name)
    if y.dtype.kind == "f":
        y = (y - y.mean()) / y.std()
    order = np.random.default_rng(11).permutation(len(x))
    x, y, half = x[order], y[order], len(x) // 2
    keep = half * int(percent or 100) // 100
    mean, deviation = x[:keep].mean(0), x[:keep].std(0) + 1e-9
    x = (x - mean) / deviation
    return x[:keep], y[:keep], x[half:], y[half:]


def _error(model: Any, task: str) -> float:
    x, y, x_test, y_test = split(task)
    return float(np.mean(model.fit(x, y).predict(x_test) != y_test))


def _loss(model: Any, task: str) -> float:
    x, y, x_test, y_test = split(task)
    model.fit(x, y)
    if y.dtype.kind == "f":
        return float(np.sqrt(np.mean((model.predict(x_test) - y_test) ** 2)))
    p = model.predict_proba(x_test)
    return float(log_loss(y_test, p, labels=model.classes_)) if np.isfinite(p).all() else np.nan


def svm(c: Config, task: str) -> float:
    """Error rate of a support vector machine."""
    return _error(SVC(**c, max_iter=4000, cache_size=50), task)


def sgd(c: Config, task: str) -> float:
    """Error rate of a linear classifier with elastic net penalty, trained by stochastic gradients."""
    return _error(SGDClassifier(**c, penalty="elasticnet", tol=None, random_state=0), task)


def _bend(x: Array, c: Config) -> Array:
    x = x[:, :6]
    return np.clip(np.sign(x) * np.abs(x) ** c["power"], -c["clip"], c["clip"])


def elastic_net(c: Config, task: str) -> float:
    """Error of a linear regression with elastic net penalty on polynomials of bent and clipped features."""
    x, y, x_test, y_test = split(task)
    features = PolynomialFeatures(c["degree"], include_bias=False)
    a, b = features.fit_transform(_bend(x, c)), features.transform(_bend(x_test, c))
    scale = a.std(0) + 1e-9
    model = ElasticNet(alpha=c["alpha"], l1_ratio=c["l1_ratio"], max_iter=200, tol=1e-3).fit(a / scale, y)
    return float(np.sqrt(np.mean((model.predict(b / scale) - y_test) ** 2)))


def forest(c: Config, task: str) -> float:
    """Log loss of a random forest."""
    return _loss(RandomForestClassifier(**c, random_state=0), task)


def boosting(c: Config, task: str) -> float:
    """Loss of histogram gradient boosting; classifier or regressor as the target asks."""
    kind = HistGradientBoostingRegressor if split(task)[1].dtype.kind == "f" else HistGradientBoostingClassifier
    return _loss(kind(**c, early_stopping=False, max_bins=32, random_state=0), task)


def mlp(c: Config, task: str) -> float:
    """Log loss of a small neural network; NaN when its training diverges."""
    batch = min(c["batch_size"], len(split(task)[1]))
    model = MLPClassifier(
        (c["width"],) * c["layers"],
        activation=c["activation"],
        solver=c["solver"],
        alpha=c["alpha"],
        batch_size=batch,
        learning_rate_init=c["learning_rate_init"],
        max_iter=c["epochs"],
        n_iter_no_change=1000,
        random_state=0,
    )
    return _loss(model, task)


def kernel_ridge(c: Config, task: str) -> float:
    """Error of kernel ridge regression."""
    return _loss(KernelRidge(**c), task)


def tree(c: Config, task: str) -> float:
    """Log loss or error of a decision tree with pruning."""
    kind = DecisionTreeRegressor if split(task)[1].dtype.kind == "f" else DecisionTreeClassifier
    return _loss(kind(**c, random_state=0), task)


def _scaled(x: Array, x_test: Array, scaler: str) -> tuple[Array, Array]:
    """Both halves on a scale of their own; the raw data is standardised already, so the first columns are stretched first."""
    stretch = np.linspace(3.0, 0.3, x.shape[1])
    x, x_test = x * stretch, x_test * stretch
    made = {
        "none": None,
        "standard": StandardScaler(),
        "minmax": MinMaxScaler(),
        "robust": RobustScaler(),
        "quantile": QuantileTransformer(n_quantiles=50),
    }[scaler]
    return (x, x_test) if made is None else (made.fit_transform(x), made.transform(x_test))


def neighbours(c: Config, task: str) -> float:
    """Error rate (or error) of nearest neighbours on shrunk principal components of scaled features."""
    x, y, x_test, y_test = split(task)
    x, x_test = _scaled(x, x_test, c["scaler"])
    centre = x.mean(0)
    _, deviations, axes = np.linalg.svd(x - centre, full_matrices=False)
    kept = min(c["components"], len(axes))
    weights = 1 / (deviations[:kept] + c["shrink"] * deviations[0])
    a, b = ((part - centre) @ axes[:kept].T * weights for part in (x, x_test))
    kind = KNeighborsRegressor if y.dtype.kind == "f" else KNeighborsClassifier
    model = kind(c["n_neighbors"], p=c["p"], weights=c["weights"]).fit(a, y)
    if y.dtype.kind == "f":
        return float(np.sqrt(np.mean((model.predict(b) - y_test) ** 2)))
    return float(np.mean(model.predict(b) != y_test))


_ALL = (svm, sgd, elastic_net, forest, boosting, mlp, kernel_ridge, tree, neighbours)
TRAINERS: dict[str, Callable[[Config, str], float]] = {f.__name__: f for f in _ALL}


def design(algorithm: str, rows: int) -> list[Config]:
    """The first configurations of the algorithm's Sobol sequence."""
    space = SPACES[algorithm]
    points = qmc.Sobol(len(space), seed=20260101).random_base2(int(np.ceil(np.log2(max(rows, 2)))))[:rows]
    return [space.decode(u) for u in points]


def evaluate(algorithm: str, configuration: Config, task: str) -> float:
    """The objective, or NaN when the training fails or diverges."""
    try:
        value = TRAINERS[algorithm](configuration, task)
    except (ValueError, FloatingPointError, OverflowError):
        return np.nan
    return value if np.isfinite(value) and value < 1e3 else np.nan


def extend(algorithm: str, rows: int) -> None:
    """Adds one chunk of rows, up to ``rows``, to the algorithm's table."""
    path = DATA / f"{algorithm}.parquet"
    done = pd.read_parquet(path) if path.exists() else pd.DataFrame()
    todo = design(algorithm, 8192)[len(done) : min(rows, len(done) + CHUNK)]
    if not todo:
        return
    started = time.perf_counter()
    new = [c | {f"value:{t}": evaluate(algorithm, c, t) for t in TASKS[algorithm]} for c in todo]
    frame = pd.concat([done, pd.DataFrame(new)], ignore_index=True)
    values = [c for c in frame if c.startswith("value:")]
    frame[values] = frame[values].astype("float32")
    fresh = path.with_suffix(".tmp")
    frame.to_parquet(fresh, compression="zstd", index=False)
    fresh.replace(path)
    print(f"{algorithm}: {len(frame)} rows, +{time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    """Grows every table to the wanted number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--algorithms", nargs="*", default=ORDER)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    DATA.mkdir(exist_ok=True)
    with threadpool_limits(1):
        _grow(args.algorithms, args.rows)


def _grow(algorithms: Sequence[str], rows: int) -> None:
    """Chunk by chunk, each algorithm in turn."""
    for target in range(CHUNK, rows + CHUNK, CHUNK):
        for algorithm in algorithms:
            path = DATA / f"{algorithm}.parquet"
            if not path.exists() or len(pd.read_parquet(path, columns=[])) < min(target, rows):
                extend(algorithm, min(target, rows))


if __name__ == "__main__":
    main()
