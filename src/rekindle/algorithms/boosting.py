"""Built-in XGBoost: the library itself, run as SageMaker's image runs it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from xgboost import collective
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker

from rekindle.algorithms import rounds
from rekindle.algorithms.job import Job, Stop, UserError, tell
from rekindle.algorithms.meeting import Meeting
from rekindle.algorithms.scores import CLASS_SCORES, NUMBER_SCORES, counted, moments
from rekindle.algorithms.tables import Table, data_files, read_table
from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.builtins.rules import TUNED_METRIC
from rekindle.domain.builtins.xgboost import OWN_METRICS
from rekindle.domain.errors import first_of

MODEL = "xgboost-model"
#: What is ours and not the library's.
_OWN = ("num_round", "csv_weights", "early_stopping_rounds", "save_model_on_termination", "eval_metric")
#: What SageMaker takes and this version of the library has no more use for.
_WITHOUT_EFFECT = (
    "silent",
    "precision_dtype",
    "sketch_eps",
    "dsplit",
    "predictor",
    "single_precision_histogram",
    "deterministic_histogram",
    "prob_buffer_row",
    "lambda_bias",
    "aft_loss_distribution",
    "aft_loss_distribution_scale",
    "use_dask_gpu_training",
    "_num_cv_round",
)
#: Seconds between checkpoints where nobody asked for any: they cost time, and only a lost machine needs them.
_CHECKPOINT_SECONDS = 15.0
_TWEEDIE = "tweedie-nloglik"
#: Where a message of the library's begins with its time, its source file and the condition that was broken.
_PLACE = re.compile(r"^\[[\d:]+\] \S+:\d+: (Check failed: .*?: (?=[A-Z`]))?", re.DOTALL)
_NOT_A_SHARE = (lambda labels: (labels < 0) | (labels > 1), "is not within 0 and 1")
_NEGATIVE = (lambda labels: labels < 0, "is negative")
#: Labels that an objective does not take.
_LABELS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "reg:logistic": _NOT_A_SHARE,
    "binary:logistic": _NOT_A_SHARE,
    "binary:logitraw": _NOT_A_SHARE,
    # The library takes others, and its errors are then below 0 or above 1: -1 and 1 are what others want with this loss.
    "binary:hinge": (lambda labels: ~np.isin(labels, (0, 1)), "is neither 0 nor 1"),
    "count:poisson": _NEGATIVE,
    "reg:tweedie": _NEGATIVE,
    "reg:gamma": (lambda labels: labels <= 0, "is not positive"),
    "reg:squaredlogerror": (lambda labels: labels <= -1, "is not above -1"),
}


def train(job: Job) -> None:
    """Trains on the job's channels and leaves the model. Raises UserError or Refused."""
    builtin = builtin_named("xgboost")
    assert builtin is not None
    values = builtin.parsed(job.hyperparameters)
    kinds = {name: builtin.format_of(kind) for name, kind in job.channels.items()}
    weighted = values.get("csv_weights", 0) == 1
    tables = {name: read_table(job.channel(name), kind, weighted, lambda t: _labels(t, values)) for name, kind in kinds.items()}
    metric = job.hyperparameters.get(TUNED_METRIC)
    stop = Stop()
    with _together(job, tables) as columns:
        if columns is None:
            return
        wide = {name: table.widened(columns) for name, table in tables.items() if table is not None}
        _check_widths(wide)
        try:
            model = _boosted(job, values, metric, {name: _matrix(table) for name, table in wide.items()}, stop)
        except XGBoostError as error:
            raise XGBoostError(f"{_without_trace(str(error))} (files: {_listed(job)})") from error
        if collective.get_rank() == 0 and (not stop.asked or values.get("save_model_on_termination") == "true"):
            _save(model, job.model)


def _labels(table: Table, values: Mapping[str, Any]) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """Which rows have labels that the objective does not take."""
    objective = values.get("objective", "reg:squarederror")
    if objective in _LABELS:
        broken, words = _LABELS[objective]
        yield broken(table.labels), f"the label {words}, and objective is {objective}"
    elif objective.startswith("multi:"):
        classes = values["num_class"]
        yield (
            ~np.isin(table.labels, np.arange(classes)),
            f"the label is no whole number from 0 to {classes - 1} (num_class - 1)",
        )


def _check_widths(tables: Mapping[str, Table]) -> None:
    expected = tables["train"].columns
    for name, table in tables.items():
        if table.columns != expected:
            raise UserError(f"The {name} data have {table.columns} features, and the training data have {expected}")


def _without_trace(words: str) -> str:
    """What the library says, without its time, its source file and its stack."""
    return _PLACE.sub("", words.partition("\nStack trace:")[0]).strip()


def _listed(job: Job) -> str:
    names = [f"{name}/{path.name}" for name in job.channels for path in data_files(job.channel(name))]
    return first_of(names)


def evaluation_metrics(values: Mapping[str, Any], objective_metric: str | None) -> list[str]:
    """The metrics to evaluate: those asked for, and the one that is tuned by; the same order on all hosts."""
    tuned = [] if objective_metric is None else [objective_metric.partition(":")[2]]
    asked = list(values.get("eval_metric", ()))
    return sorted({*asked, *tuned}) if tuned else asked


def library_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """The library's parameters for the algorithm's hyperparameters."""
    given = {name: value for name, value in values.items() if name not in (*_OWN, *_WITHOUT_EFFECT)}
    if given.get("objective") == "reg:linear":
        given["objective"] = "reg:squarederror"
    if "updater" in given:
        given["updater"] = ",".join(given["updater"])
    for name in ("monotone_constraints", "interaction_constraints"):
        if name in given:
            given[name] = str(given[name])
    if given.get("tree_method") == "gpu_hist":
        given |= {"tree_method": "hist", "device": "cuda" if xgboost.build_info().get("USE_CUDA") else "cpu"}
    return given


def _for_several_hosts(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with the approximate way to grow trees for the exact one, which no version can share among hosts. Version
    0.72, which AWS's examples name as ``latest``, took the other then; 1.7 and newer end."""
    instead = dict(given)
    if given.get("tree_method") == "exact":
        instead["tree_method"] = "approx"
    if "updater" in given:
        # The library's own pruning fails among hosts; growing approximately prunes by itself.
        words = given["updater"].replace("grow_colmaker", "grow_histmaker").split(",")
        instead["updater"] = ",".join(word for word in words if word != "prune")
    changed = {name: value for name, value in instead.items() if value != given[name]}
    if changed:
        asked = {name: given[name] for name in changed}
        tell(f"[WARNING] On several hosts trees are grown otherwise: {changed} instead of {asked}")
    return instead


def _boosted(
    job: Job, values: Mapping[str, Any], objective_metric: str | None, data: Mapping[str, xgboost.DMatrix], stop: Stop
) -> Any:
    metrics = evaluation_metrics(values, objective_metric)
    given = library_parameters(values)
    if collective.is_distributed():
        given = _for_several_hosts(given)
    for name in _WITHOUT_EFFECT:
        if name in values:
            tell(f"[WARNING] Hyperparameter {name} has no effect in XGBoost {xgboost.__version__}")
    named = {_TWEEDIE: f"{_TWEEDIE}@{values.get('tweedie_variance_power', 1.5)}"}
    theirs = [named.get(name, name) for name in metrics if name not in OWN_METRICS]
    ours = [name for name in metrics if name in OWN_METRICS]
    if theirs:
        given["eval_metric"] = theirs
    elif ours:
        given["disable_default_eval_metric"] = True
    total = values["num_round"]
    checkpoint, done = rounds.last_checkpoint(job.checkpoints, total)
    if checkpoint is not None:
        tell(f"[INFO] Checkpoint loaded from {checkpoint.name}. Resuming from iteration {done}")
    shown = {as_told(theirs_): ours_ for ours_, theirs_ in named.items()}
    for name, matrix in data.items():
        tell(f"[INFO] {name.capitalize()} matrix has {matrix.num_row()} rows and {matrix.num_col()} columns")
    return xgboost.train(
        given,
        data["train"],
        num_boost_round=total - done,
        evals=[(matrix, name) for name, matrix in data.items()],
        custom_metric=own_metrics(ours, values) if ours else None,
        callbacks=_callbacks(job, values, objective_metric, "validation" in data, done, shown, stop),
        xgb_model=None if checkpoint is None else str(checkpoint),
        verbose_eval=False,
    )


def _callbacks(
    job: Job,
    values: Mapping[str, Any],
    objective_metric: str | None,
    validated: bool,
    done: int,
    shown: Mapping[str, str],
    stop: Stop,
) -> list[Any]:
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    found: list[Any] = [rounds.Log(done, shown)]
    if "early_stopping_rounds" in values:
        metric = objective_metric.partition(":")[2] if objective_metric else (values.get("eval_metric") or [None])[-1]
        metric = next((theirs for theirs, ours in shown.items() if ours == metric), metric and as_told(metric))
        found.append(rounds.EarlyStop(values["early_stopping_rounds"], "validation" if validated else None, metric, done))
    # After the early stop, whose note is part of the checkpoint.
    found.append(rounds.Checkpoints(job.checkpoints, done, 0.0 if job.keeps_checkpoints else _CHECKPOINT_SECONDS))
    return [*found, rounds.Interrupt(stop)]


def as_told(metric: str) -> str:
    """A metric as the library calls it in what it tells: it writes some thresholds anew, and leaves out its own, 0.5."""
    base, at, threshold = metric.partition("@")
    if not at or base not in ("error", _TWEEDIE):
        return metric
    number = np.float32(threshold)
    return base if base == "error" and number == 0.5 else f"{base}@{number:g}"


def own_metrics(names: Sequence[str], values: Mapping[str, Any]) -> Callable[[Any, xgboost.DMatrix], list[tuple[str, float]]]:
    """The metrics of ours, as one function of predictions and data; over all hosts. Weights do not count, as in SageMaker."""
    objective = values.get("objective", "reg:squarederror")
    classes = values.get("num_class", 2)

    def scores(predictions: Any, data: xgboost.DMatrix) -> list[tuple[str, float]]:
        labels = data.get_label()
        counts = sums = None
        if any(name in CLASS_SCORES for name in names):
            counts = _over_hosts(counted(labels, _classes(predictions, objective), classes))
        if any(name in NUMBER_SCORES for name in names):
            sums = _over_hosts(moments(labels, predictions))
        return [(n, CLASS_SCORES[n](counts) if n in CLASS_SCORES else NUMBER_SCORES[n](sums)) for n in names]  # type: ignore[arg-type]

    return scores


def _classes(predictions: Any, objective: str) -> Any:
    if predictions.ndim > 1:
        return predictions.argmax(axis=1)
    if objective == "multi:softmax":
        return predictions.astype(np.int64)
    return (predictions > (0.0 if objective == "binary:logitraw" else 0.5)).astype(np.int64)


def _over_hosts(counts: Any) -> Any:
    if not collective.is_distributed():
        return counts
    # What comes back is flat.
    return collective.allreduce(counts, collective.Op.SUM).reshape(counts.shape)


@contextlib.contextmanager
def _together(job: Job, tables: Mapping[str, Table | None]) -> Iterator[int | None]:
    """Joins the job's hosts, without those that have no data; yields how many features the widest table of all has, or None
    to a host that is not needed."""
    mine = {name: table.columns if table is not None else None for name, table in tables.items()}
    if len(job.hosts) == 1:
        _check_data(mine)
        yield max(columns for columns in mine.values() if columns is not None)
        return
    meeting = Meeting(job.output / ".hosts", job.host)
    told = meeting.exchange("data", mine, job.hosts)
    needed = [host for host in job.hosts if None not in told[host].values()]
    if not needed:
        raise UserError(f"No hosts received training data: {told}. Give each of the {len(job.hosts)} instances a file.")
    columns = max(count for host in needed for count in told[host].values())
    if job.host not in needed:
        tell(f"[WARNING] Host {job.host} does not have data in each channel and is not used in distributed training.")
        yield None
        return
    tracker = _tracker(job, meeting, needed)
    port = meeting.read("port", needed[0])
    with collective.CommunicatorContext(
        dmlc_tracker_uri="127.0.0.1", dmlc_tracker_port=port, dmlc_task_id=f"{needed.index(job.host):04}"
    ):
        # Whoever has joined has read the notes; those who are not needed wrote theirs and left.
        collective.allreduce(np.zeros(1), collective.Op.SUM)
        if tracker is not None:
            meeting.close()
        yield columns
    if tracker is not None:
        tracker.wait_for()


def _tracker(job: Job, meeting: Meeting, needed: Sequence[str]) -> RabitTracker | None:
    """The library's tracker, on the first host: it tells hosts of each other."""
    if job.host != needed[0]:
        return None
    tracker = RabitTracker(n_workers=len(needed), host_ip="127.0.0.1", sortby="task")
    tracker.start()
    meeting.leave("port", int(tracker.worker_args()["dmlc_tracker_port"]))
    return tracker


def _check_data(columns: Mapping[str, int | None]) -> None:
    for name, found in columns.items():
        if found is None:
            raise UserError(f"No data in {'training' if name == 'train' else name} channel path")


def _matrix(table: Table) -> xgboost.DMatrix:
    return xgboost.DMatrix(table.features, label=table.labels, weight=table.weights, qid=table.groups)


def _save(model: Any, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rounds.write(model, folder / MODEL)
