"""Makes the learning curves: trains scikit-learn's algorithms epoch by epoch, over a Sobol design, and keeps every value.

    python -m benchmarks.tasks.make_curves --rows 1000
    python -m benchmarks.tasks.make_curves --rows 250 --set fresh

Row k of an algorithm is point k of one scrambled Sobol sequence, the same for all of its data sets. The command continues
where an earlier one ended. A curve holds the held-out objective after each of ``EPOCHS`` epochs (``partial_fit``) or
boosting rounds: error rate (``sgd``), log loss (``mlp``, boosted classifiers) or root mean squared error over the target's
deviation (boosted regressors); lower is better. A training that diverges keeps the clip value from there on. Beside each
curve stands the mean time of an epoch, in seconds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd
from scipy.stats import qmc
from sklearn import config_context
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from benchmarks.tasks.curve_families import EPOCHS, FILES, SPACES, TASKS
from benchmarks.tasks.make_tables import DATA, Array, Config, split

#: Rows between two saves.
CHUNK = 25
#: What a log loss or a relative error is cut at: some times what knowing nothing scores.
CLIP = 3.0


def _log_loss(p: Array, y: Array) -> float:
    """Of labels 0, 1, ... against probabilities (n, classes)."""
    most = CLIP * float(np.log(p.shape[1]))
    if not np.isfinite(p).all():
        return most
    return min(float(-np.mean(np.log(np.maximum(p[np.arange(len(y)), y.astype(int)], 1e-15)))), most)


def sgd(c: Config, task: str) -> Iterator[float]:
    """Error rates of a linear classifier with elastic net penalty, one pass over the data at a time."""
    x, y, x_test, y_test = split(task)
    model = SGDClassifier(**c, penalty="elasticnet", random_state=0)
    for _ in range(EPOCHS):
        model.partial_fit(x, y, classes=np.unique(y))
        yield float(np.mean(model.predict(x_test) != y_test))


def mlp(c: Config, task: str) -> Iterator[float]:
    """Log losses of a small neural network, one pass over the data at a time."""
    x, y, x_test, y_test = split(task)
    model = MLPClassifier(
        (c["width"],) * c["layers"],
        activation=c["activation"],
        solver=c["solver"],
        alpha=c["alpha"],
        batch_size=min(c["batch_size"], len(y)),
        learning_rate_init=c["learning_rate_init"],
        random_state=0,
    )
    for _ in range(EPOCHS):
        model.partial_fit(x, y, classes=np.unique(y))
        yield _log_loss(model.predict_proba(x_test), y_test)


def boosting(c: Config, task: str) -> Iterator[float]:
    """Losses of gradient boosting, one round at a time."""
    x, y, x_test, y_test = split(task)
    regression = y.dtype.kind == "f"
    kind = GradientBoostingRegressor if regression else GradientBoostingClassifier
    model = kind(**c, n_estimators=EPOCHS, random_state=0).fit(x, y)
    if regression:
        for predicted in model.staged_predict(x_test):
            yield min(float(np.sqrt(np.mean((predicted - y_test) ** 2))), CLIP)
    else:
        for p in model.staged_predict_proba(x_test):
            yield _log_loss(p, y_test)


TRAINERS: dict[str, Callable[[Config, str], Iterator[float]]] = {f.__name__: f for f in (sgd, mlp, boosting)}


def curve(algorithm: str, configuration: Config, task: str) -> tuple[list[float], float]:
    """The objective after each epoch, and the seconds of an epoch."""
    started = time.perf_counter()
    values: list[float] = []
    try:
        values.extend(TRAINERS[algorithm](configuration, task))
    except (ValueError, FloatingPointError, OverflowError):
        values += [worst(algorithm, task)] * (EPOCHS - len(values))
    return [float(f"{v:.4g}") for v in values], round((time.perf_counter() - started) / EPOCHS, 6)


def worst(algorithm: str, task: str) -> float:
    """What a diverged training scores."""
    y = split(task)[3]
    if algorithm == "sgd":
        return 1.0
    return CLIP if y.dtype.kind == "f" else CLIP * float(np.log(len(np.unique(y))))


def design(algorithm: str, rows: int) -> list[Config]:
    """The first configurations of the algorithm's Sobol sequence."""
    space = SPACES[algorithm]
    points = qmc.Sobol(len(space), seed=20260202).random_base2(int(np.ceil(np.log2(max(rows, 2)))))[:rows]
    return [space.decode(u) for u in points]


def extend(set_name: str, algorithm: str, rows: int) -> bool:
    """Adds one chunk of rows, up to ``rows``; False when there is nothing left to add."""
    path = DATA / f"{FILES[set_name]}-{algorithm}.parquet"
    done = pd.read_parquet(path) if path.exists() else pd.DataFrame()
    todo = design(algorithm, 4096)[len(done) : min(rows, len(done) + CHUNK)]
    if not todo:
        return False
    started = time.perf_counter()
    frame = pd.concat([done, pd.DataFrame([_row(set_name, algorithm, c) for c in todo])], ignore_index=True)
    fresh = path.with_suffix(".tmp")
    frame.to_parquet(fresh, compression="zstd", compression_level=19, index=False)
    fresh.replace(path)
    print(f"{algorithm}: {len(frame)} rows, +{time.perf_counter() - started:.0f} s", flush=True)
    return True


def _row(set_name: str, algorithm: str, configuration: Config) -> Config:
    row = dict(configuration)
    for task in TASKS[set_name][algorithm]:
        values, seconds = curve(algorithm, configuration, task)
        row[f"curve:{task}"] = np.array(values, dtype=np.float32)
        row[f"seconds:{task}"] = np.float32(seconds)
    return row


def grow(set_name: str, algorithms: Iterable[str], rows: int) -> None:
    """Chunk by chunk, each algorithm in turn."""
    left = list(algorithms)
    while left:
        left = [a for a in left if extend(set_name, a, rows)]


def main() -> None:
    """Grows every file of curves to the wanted number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--algorithms", nargs="*", default=list(SPACES))
    parser.add_argument("--set", choices=list(TASKS), default="choosing")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    DATA.mkdir(exist_ok=True)
    with threadpool_limits(1), config_context(assume_finite=True, skip_parameter_validation=True):
        grow(args.set, args.algorithms, args.rows)


if __name__ == "__main__":
    main()
