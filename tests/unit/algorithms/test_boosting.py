"""Built-in XGBoost with the real library: metrics, weights, early stopping, checkpoints; what is accepted runs."""

from __future__ import annotations

import errno
import itertools
import math
import re
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from rekindle.algorithms import boosting, rounds
from rekindle.algorithms.boosting import train
from rekindle.algorithms.job import Stop, UserError
from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.builtins.rules import Refused
from rekindle.domain.builtins.xgboost import MAXIMIZED, MINIMIZED, OBJECTIVES, RULES
from support.builtins import caught, csv_job, job
from support.tables import numbers, three_classes, two_classes, write_csv, write_libsvm

BINARY = {"num_round": "4", "objective": "binary:logistic", "nthread": "1"}


#: The library warns of the name that SageMaker gives its model.
pytestmark = pytest.mark.filterwarnings("ignore:.*Unknown file format")


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's process keeps its own way with signals."""
    monkeypatch.setattr("rekindle.algorithms.job.signal.signal", lambda number, handler: None)


def model_of(folder: Path) -> xgboost.Booster:
    return xgboost.Booster(model_file=str(folder / "model" / "xgboost-model"))


def data_for(objective: str):
    if objective.startswith("multi:"):
        return three_classes
    return two_classes if objective.startswith(("binary:", "rank:")) or objective == "reg:logistic" else numbers


def accepted(values: dict[str, str]) -> bool:
    try:
        builtin_named("xgboost").parsed(values)
    except Refused:
        return False
    return True


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_tells_every_metric_that_is_accepted_for_it(objective: str, tmp_path: Path, capsys) -> None:
    values = {"num_round": "2", "objective": objective, "nthread": "1"}
    if objective.startswith("multi:"):
        values["num_class"] = "3"
    told = [m for m in (*MAXIMIZED, *MINIMIZED) if accepted({**values, "_tuning_objective_metric": f"validation:{m}"})]
    assert len(told) > 3
    train(csv_job(tmp_path, {**values, "eval_metric": ",".join(told)}, data_for(objective)))
    found = caught("xgboost", capsys.readouterr().out)
    # Where a score of positive numbers meets a margin below 0 there is none; that depends on the data.
    assert {m for m in told if f"validation:{m}" not in found} <= {"gamma-deviance", "gamma-nloglik", "poisson-nloglik", "mape"}
    assert all(len(values) == 2 for name, values in found.items() if "nloglik" not in name)
    assert model_of(tmp_path).num_boosted_rounds() == 2


@pytest.mark.parametrize("metric", [m for m in MAXIMIZED + MINIMIZED if m not in ("cox-nloglik", "tweedie-nloglik")])
def test_every_tuning_objective_of_the_documentation_is_told(metric: str, tmp_path: Path, capsys) -> None:
    """By its name as ``_tuning_objective_metric`` alone."""
    multi, number = metric in ("merror", "mlogloss"), metric in ("mape", "gamma-deviance", "gamma-nloglik", "poisson-nloglik")
    values = {"num_round": "2", "_tuning_objective_metric": f"validation:{metric}", "nthread": "1"}
    values |= {"objective": "multi:softprob", "num_class": "3"} if multi else {}
    values |= {} if multi or number else {"objective": "binary:logistic"}
    values |= {"objective": "reg:gamma"} if number else {}
    train(csv_job(tmp_path, values, three_classes if multi else numbers if number else two_classes))
    found = caught("sagemaker-xgboost", capsys.readouterr().out)
    assert len(found[f"validation:{metric}"]) == 2
    assert all(map(math.isfinite, found[f"validation:{metric}"]))


@pytest.mark.parametrize("metric", ["auc", "aucpr"])
def test_classes_are_told_apart_without_an_objective_as_well(metric: str, tmp_path: Path, capsys) -> None:
    values = {"num_round": "2", "_tuning_objective_metric": f"validation:{metric}", "nthread": "1"}
    assert accepted(values)
    train(csv_job(tmp_path, values, two_classes))
    assert all(0.5 < value <= 1 for value in caught("xgboost", capsys.readouterr().out)[f"validation:{metric}"])


def test_a_log_line_is_the_images_own(tmp_path: Path, capsys) -> None:
    train(csv_job(tmp_path, {**BINARY, "_tuning_objective_metric": "validation:auc", "eval_metric": "f1"}, two_classes))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[0]")]
    names = [part.split(":")[0] for part in lines[0].split("\t")]
    assert names == ["[0]", "train-auc", "train-f1", "validation-auc", "validation-f1"]


@pytest.mark.parametrize(
    ("objective", "metric"),
    [("binary:logistic", "f1"), ("binary:logitraw", "accuracy"), ("multi:softmax", "f1_macro"), ("multi:softprob", "accuracy")],
)
def test_scores_are_those_of_the_models_predictions(objective: str, metric: str, tmp_path: Path, capsys) -> None:
    values = {**BINARY, "objective": objective, "_tuning_objective_metric": f"validation:{metric}"}
    if objective.startswith("multi:"):
        values["num_class"] = "3"
    train(csv_job(tmp_path, values, data_for(objective)))
    features, labels = data_for(objective)(400)
    said = model_of(tmp_path).predict(xgboost.DMatrix(np.array(features[300:], dtype=np.float32)))
    threshold = 0.0 if "raw" in objective else 0.5
    classes = said.argmax(axis=1) if said.ndim > 1 else said if "softmax" in objective else said > threshold
    score = metrics.accuracy_score if metric == "accuracy" else lambda y, p: metrics.f1_score(y, p, average="macro")
    shown = caught("xgboost", capsys.readouterr().out)[f"validation:{metric}"][-1]
    assert shown == pytest.approx(score(labels[300:], classes), abs=2e-5)


def test_weights_of_csv_and_of_libsvm_are_the_librarys(tmp_path: Path) -> None:
    features, labels = two_classes()
    weights = np.linspace(0.1, 3, len(labels)).round(3)
    write_csv(tmp_path / "a/input/train/a", features, labels, weights)
    train(job(tmp_path / "a", {**BINARY, "csv_weights": "1"}, train="text/csv"))
    write_libsvm(tmp_path / "b/input/train/a", features, labels, weights)
    train(job(tmp_path / "b", BINARY, train=None))
    features = np.array([[float(f"{v:.6g}") for v in row] for row in features], dtype=np.float32)
    own = xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(features, labels, weight=weights), 4)
    for name in "ab":
        np.testing.assert_allclose(
            model_of(tmp_path / name).predict(xgboost.DMatrix(features)), own.predict(xgboost.DMatrix(features)), rtol=1e-4
        )


def test_early_stopping_ends_at_the_best_round(tmp_path: Path, capsys) -> None:
    values = {**BINARY, "num_round": "200", "eta": "1", "early_stopping_rounds": "3"}
    values["_tuning_objective_metric"] = "validation:logloss"
    train(csv_job(tmp_path, values, two_classes))
    losses = caught("xgboost", capsys.readouterr().out)["validation:logloss"]
    assert len(losses) < 200
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3
    assert model_of(tmp_path).num_boosted_rounds() == best + 1


def test_a_maximised_metric_stops_early_too_and_a_linear_model_keeps_its_last_round(tmp_path: Path, capsys) -> None:
    values = {**BINARY, "num_round": "60", "booster": "gblinear", "early_stopping_rounds": "2", "eval_metric": "logloss,auc"}
    train(csv_job(tmp_path, values, two_classes))
    assert len(caught("xgboost", capsys.readouterr().out)["validation:auc"]) < 60
    assert (tmp_path / "model" / "xgboost-model").exists()


@pytest.mark.parametrize(
    ("objective", "metric"),
    [
        ("binary:logistic", "error@0.5"),
        ("binary:logistic", "error@.7"),
        ("binary:logistic", "error@1e-3,f1,error@ 0.123456789"),
        ("binary:logistic", "ndcg@2"),
        ("binary:logistic", "map@2.0"),
        ("reg:tweedie", "tweedie-nloglik@1.40"),
    ],
)
def test_early_stopping_finds_a_metric_with_a_threshold_whatever_its_spelling(
    objective: str, metric: str, tmp_path: Path
) -> None:
    values = {"num_round": "3", "objective": objective, "nthread": "1", "eval_metric": metric, "early_stopping_rounds": "5"}
    train(csv_job(tmp_path, values, two_classes, rows=80))
    assert model_of(tmp_path).num_boosted_rounds() >= 1


def test_a_tweedie_metric_is_told_whatever_its_power(tmp_path: Path, capsys) -> None:
    values = {"num_round": "2", "objective": "reg:tweedie", "nthread": "1", "tweedie_variance_power": "1.123456789"}
    values["_tuning_objective_metric"] = "validation:tweedie-nloglik"
    train(csv_job(tmp_path, values, numbers, rows=80))
    assert len(caught("xgboost", capsys.readouterr().out)["validation:tweedie-nloglik"]) == 2


def test_a_model_that_finds_no_room_is_none_and_not_an_empty_file(tmp_path: Path) -> None:
    train(csv_job(tmp_path / "job", {**BINARY, "num_round": "2", "max_depth": "2"}, two_classes))
    (tmp_path / "full").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Less than is written through at once: the library, left to write itself, does not hear of it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            boosting._save(model_of(tmp_path / "job"), tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "full").iterdir()) == []


def test_a_checkpoint_that_finds_no_room_costs_nothing_that_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    write = rounds.write

    def full(model: xgboost.Booster, path: Path) -> None:
        if path.name == "xgboost-checkpoint.1":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(model, path)

    monkeypatch.setattr(rounds, "write", full)
    train(csv_job(tmp_path, {**BINARY, "num_round": "3"}, two_classes))
    assert "[WARNING] No checkpoint was kept after round 1: No space left on device" in capsys.readouterr().out
    assert sorted(rounds.kept_rounds(tmp_path / "checkpoints")) == [0, 2]
    assert model_of(tmp_path).num_boosted_rounds() == 3


class Killed(Exception):
    """Stands for a machine that went down."""


def killed_after(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    after = rounds.Checkpoints.after_iteration

    def cut(self, model, epoch, evals_log):
        after(self, model, epoch, evals_log)
        if self._done + epoch == number:
            raise Killed
        return False

    monkeypatch.setattr(rounds.Checkpoints, "after_iteration", cut)


def test_a_job_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    values = {**BINARY, "num_round": "12", "early_stopping_rounds": "4", "_tuning_objective_metric": "validation:logloss"}
    train(csv_job(tmp_path / "whole", values, two_classes))
    whole = caught("xgboost", capsys.readouterr().out)["validation:logloss"]
    cut = csv_job(tmp_path / "cut", values, two_classes)
    with monkeypatch.context() as patch:
        killed_after(patch, 6)
        with pytest.raises(Killed):
            train(cut)
    assert sorted(rounds.kept_rounds(cut.checkpoints)) == [2, 3, 4, 5, 6]
    capsys.readouterr()
    train(cut)
    told = capsys.readouterr().out
    assert "Checkpoint loaded from xgboost-checkpoint.6. Resuming from iteration 7" in told
    assert caught("xgboost", told)["validation:logloss"] == pytest.approx(whole[7:], abs=1e-5)
    # The best round lies before the cut or after it: both know it.
    assert model_of(tmp_path / "cut").num_boosted_rounds() == model_of(tmp_path / "whole").num_boosted_rounds()


def test_a_broken_checkpoint_is_passed_over_and_a_round_is_always_left(tmp_path: Path, capsys) -> None:
    values = {**BINARY, "num_round": "4"}
    done = csv_job(tmp_path, values, two_classes)
    train(done)
    assert rounds.last_checkpoint(done.checkpoints, 4) == (done.checkpoints / "xgboost-checkpoint.2", 3)
    (done.checkpoints / "xgboost-checkpoint.2").write_bytes(b"half a fi")
    assert rounds.last_checkpoint(done.checkpoints, 4) == (done.checkpoints / "xgboost-checkpoint.1", 2)
    capsys.readouterr()
    train(done)
    assert "[2]" in (told := capsys.readouterr().out)
    assert "[1]" not in told
    assert model_of(tmp_path).num_boosted_rounds() == 4


@pytest.mark.parametrize("kept", [True, False])
def test_a_stop_keeps_the_model_where_that_was_asked_for(kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Stop):
        def __init__(self) -> None:
            self.asked = True

    monkeypatch.setattr(boosting, "Stop", Asked)
    values = {**BINARY, "num_round": "1000", **({"save_model_on_termination": "true"} if kept else {})}
    train(csv_job(tmp_path, values, two_classes))
    assert (tmp_path / "model" / "xgboost-model").exists() == kept
    assert not kept or model_of(tmp_path).num_boosted_rounds() == 1


def test_who_is_asked_while_the_hosts_agree_stops_after_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Stop()
    interrupt = rounds.Interrupt(stop)

    def agree(mine: np.ndarray, _: object) -> np.ndarray:
        """What the hosts said, which is on its way already when SIGTERM comes to both."""
        told = mine.copy()
        stop.asked = True
        return told

    monkeypatch.setattr(rounds.collective, "is_distributed", lambda: True)
    monkeypatch.setattr(rounds.collective, "allreduce", agree)
    assert [interrupt.after_iteration(None, epoch, {}) for epoch in range(2)] == [False, True]
    assert stop.asked


def test_a_host_stops_with_the_one_that_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Stop()
    monkeypatch.setattr(rounds.collective, "is_distributed", lambda: True)
    monkeypatch.setattr(rounds.collective, "allreduce", lambda mine, _: np.ones_like(mine))
    assert rounds.Interrupt(stop).after_iteration(None, 0, {})
    assert stop.asked


@pytest.mark.parametrize(
    ("channels", "words"),
    [({"train": "csv"}, "No data in training channel path"), ({"train": "csv", "validation": "csv"}, "No data in training")],
)
def test_a_channel_without_data_is_refused(channels: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        train(job(tmp_path, BINARY, **channels))


#: For each objective that is choosy: labels that the library takes, at the ends, and one that it does not.
LABELS = {
    "reg:logistic": ("0 1", "1.01", "is not within 0 and 1"),
    "binary:logistic": ("0 1", "-0.1", "is not within 0 and 1"),
    "binary:logitraw": ("0 1", "2", "is not within 0 and 1"),
    "count:poisson": ("0 7", "-1", "is negative"),
    "reg:tweedie": ("0 7", "-1", "is negative"),
    "reg:gamma": ("1e-6 7", "0", "is not positive"),
    "reg:squaredlogerror": ("-0.999 7", "-1", "is not above -1"),
    "multi:softmax": ("0 1", "2", "is no whole number from 0 to 1"),
    "multi:softprob": ("0 1", "0.5", "is no whole number from 0 to 1"),
}


@pytest.mark.parametrize("objective", LABELS)
def test_labels_that_an_objective_does_not_take_are_told_by_file_and_row(objective: str, tmp_path: Path) -> None:
    good, bad, words = LABELS[objective]
    values = {"num_round": "1", "objective": objective} | ({"num_class": "2"} if objective.startswith("multi") else {})
    folder = tmp_path / "input" / "train"
    folder.mkdir(parents=True)
    rows = [f"{label},{i},1\n" for i, label in enumerate(good.split() * 3)]
    (folder / "a.csv").write_text("".join(rows))
    train(job(tmp_path, values, train="text/csv"))
    (folder / "b.csv").write_text(f"{rows[0]}{bad},1,1\n")
    with pytest.raises(UserError, match=rf"File 'train/b.csv', row 2: the label {words}"):
        train(job(tmp_path, values, train="text/csv"))
    # The rule is the library's own.
    data = xgboost.DMatrix([[1.0]] * 3, label=[*map(float, good.split()), float(bad)])
    with pytest.raises(xgboost.core.XGBoostError, match="label"):
        xgboost.train({name: value for name, value in values.items() if name != "num_round"}, data, 1)


def test_labels_of_which_the_library_makes_errors_below_0_are_refused(tmp_path: Path) -> None:
    values = {"num_round": "1", "objective": "binary:hinge"}
    folder = tmp_path / "input" / "train"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("0,1,1\n1,2,1\n")
    train(job(tmp_path, values, train="text/csv"))
    (folder / "a.csv").write_text("1,1,1\n-1,2,1\n")
    with pytest.raises(UserError, match=r"row 2: the label is neither 0 nor 1, and objective is binary:hinge"):
        train(job(tmp_path, values, train="text/csv"))


def test_what_only_the_library_refuses_is_told_in_its_words_with_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "input" / "train"
    folder.mkdir(parents=True)
    (folder / "a.libsvm").write_text("1 qid:2 0:1\n0 qid:1 0:2\n")
    expected = "`qid` must be sorted in non-decreasing order along with data. (files: train/a.libsvm)"
    with pytest.raises(xgboost.core.XGBoostError, match=rf"^{re.escape(expected)}$"):
        train(job(tmp_path, {"num_round": "1", "objective": "rank:pairwise"}, train="text/libsvm"))


def test_channels_of_different_width_are_refused(tmp_path: Path) -> None:
    for name, row in (("train", "0,1,2\n1,2,3\n"), ("validation", "1,2,3,4\n")):
        (tmp_path / "input" / name).mkdir(parents=True)
        (tmp_path / "input" / name / "a.csv").write_text(row)
    with pytest.raises(UserError, match="The validation data have 3 features, and the training data have 2"):
        train(job(tmp_path, BINARY, train="text/csv", validation="text/csv"))


# --- what validation accepts runs ---------------------------------------------------------------------------------------

#: Values that lie at the ends of what is allowed, and in the middle.
VALUES = {
    "booster": ["gbtree", "gblinear", "dart"],
    "eta": ["0", "0.3", "1"],
    "gamma": ["0", "3"],
    "max_depth": ["0", "1", "12"],
    "min_child_weight": ["0", "120"],
    "max_delta_step": ["0", "10"],
    "subsample": ["0.01", "1"],
    "colsample_bytree": ["0.01", "1"],
    "colsample_bylevel": ["0.5"],
    "colsample_bynode": ["0.5"],
    "lambda": ["0", "1000"],
    "alpha": ["0", "1000"],
    "tree_method": ["auto", "exact", "approx", "hist", "gpu_hist"],
    "sketch_eps": ["0.5"],
    "scale_pos_weight": ["0.01", "100"],
    "updater": ["grow_colmaker", "grow_histmaker,prune", "grow_quantile_histmaker", "shotgun", "refresh", "distcol"],
    "dsplit": ["row", "col"],
    "refresh_leaf": ["0", "1"],
    "process_type": ["default", "update"],
    "grow_policy": ["depthwise", "lossguide"],
    "max_leaves": ["0", "1", "8"],
    "max_bin": ["1", "2", "512"],
    "predictor": ["auto", "gpu_predictor"],
    "monotone_constraints": ["(1,-1,0,0,0)", "(1)", "(2,)"],
    "interaction_constraints": ["[[1,2],[3,4]]", "[[0]]"],
    "sample_type": ["uniform", "weighted"],
    "normalize_type": ["tree", "forest"],
    "rate_drop": ["0", "1"],
    "one_drop": ["1"],
    "skip_drop": ["0.5"],
    "lambda_bias": ["1"],
    "tweedie_variance_power": ["1.1", "1.9"],
    "objective": [*OBJECTIVES, "survival:aft"],
    "num_class": ["2", "3", "7"],
    "base_score": ["0", "0.5", "3", "1"],
    "eval_metric": ["rmse", "auc,error", "error@0.4", "ndcg@2", "mlogloss,f1", "tweedie-nloglik"],
    "seed": ["-5", "0", "7"],
    "num_parallel_tree": ["1", "3"],
    "early_stopping_rounds": ["1", "10"],
    "verbosity": ["0", "1"],
    "silent": ["0", "1"],
    "precision_dtype": ["float32"],
    "sampling_method": ["uniform", "gradient_based"],
    "single_precision_histogram": ["true"],
    "deterministic_histogram": ["false"],
    "prob_buffer_row": ["2", "1.0", "0.5"],
    "aft_loss_distribution": ["normal"],
    "aft_loss_distribution_scale": ["1"],
    "use_dask_gpu_training": ["true", "false"],
    "save_model_on_termination": ["true"],
    "csv_weights": ["0"],
    "nthread": ["1"],
}


def test_every_hyperparameter_is_tried() -> None:
    assert set(RULES) - set(VALUES) == {"num_round", "_kfold", "_num_cv_round"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("boosting")
    for data in (two_classes, three_classes, numbers):
        csv_job(home / data.__name__, {}, data, rows=80)
    return home


def runs(values: dict[str, str], home: Path) -> None:
    folder = home / data_for(values.get("objective", "reg:squarederror")).__name__
    shutil.rmtree(folder / "checkpoints")
    (folder / "model" / "xgboost-model").unlink(missing_ok=True)
    # One thread: several fight for the machine with each other.
    told = {"num_round": "2", **values, "nthread": "1"}
    train(replace(job(folder, told, train="csv", validation="csv"), keeps_checkpoints=False))
    assert (folder / "model" / "xgboost-model").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [n for n in VALUES if n not in ("num_class", "num_round")])
def test_each_value_that_is_accepted_runs(name: str, home: Path) -> None:
    for value in VALUES[name]:
        values = {name: value}
        if "constraints" in name:
            values["tree_method"] = "hist"
        if value.startswith("multi:") or "mlogloss" in value:
            values |= {"num_class": "3"} | ({"objective": "multi:softmax"} if name != "objective" else {})
        if accepted({"num_round": "2", **values}):
            runs(values, home)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 30), max_size=7))
@example({"objective": 6, "tree_method": 1, "max_depth": 0})
@example({"objective": OBJECTIVES.index("binary:logistic"), "base_score": 2})
@example({"objective": OBJECTIVES.index("reg:logistic"), "base_score": 2})
@example({"objective": OBJECTIVES.index("binary:logistic"), "base_score": 3})
def test_what_is_accepted_runs(home: Path, chosen: dict[str, int]) -> None:
    values = {name: VALUES[name][at % len(VALUES[name])] for name, at in chosen.items()}
    if values.get("objective", "").startswith("multi:"):
        values.setdefault("num_class", "3")
        if values["num_class"] == "2":
            values["num_class"] = "3"
    if accepted({"num_round": "2", **values}):
        runs(values, home)


@pytest.mark.filterwarnings("ignore")
def test_the_defaults_of_version_0_72_run(home: Path) -> None:
    """AWS's console and the samples for Kubernetes send all of them."""
    values = {"base_score": "0.5", "booster": "gbtree", "csv_weights": "0", "dsplit": "row", "grow_policy": "depthwise"}
    values |= {"lambda_bias": "0.0", "max_bin": "256", "max_leaves": "0", "normalize_type": "tree", "objective": "reg:linear"}
    values |= {"one_drop": "0", "prob_buffer_row": "1.0", "process_type": "default", "rate_drop": "0.0", "refresh_leaf": "1"}
    values |= {"sample_type": "uniform", "scale_pos_weight": "1.0", "silent": "0", "sketch_eps": "0.03", "skip_drop": "0.0"}
    values |= {"tree_method": "auto", "tweedie_variance_power": "1.5", "updater": "grow_colmaker,prune"}
    assert accepted({"num_round": "2", **values})
    runs(values, home)


def test_most_generated_values_are_accepted() -> None:
    pairs = [{a: VALUES[a][0], b: VALUES[b][-1]} for a, b in itertools.combinations(sorted(VALUES), 2)]
    assert sum(accepted({"num_round": "2", **pair}) for pair in pairs) > len(pairs) / 3
