"""The stand-in for Linear Learner: its metrics, its losses, its thresholds, and the model that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from rekindle.algorithms.job import UserError
from rekindle.algorithms.linear_learner import train
from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.builtins.linear_learner import LOSSES, METRICS, METRICS_OF
from rekindle.domain.builtins.rules import Refused
from support.builtins import caught, csv_job, job
from support.tables import numbers, recordio, three_classes, two_classes

KINDS = {
    "binary_classifier": ({"predictor_type": "binary_classifier"}, two_classes),
    "multiclass_classifier": ({"predictor_type": "multiclass_classifier", "num_classes": "3"}, three_classes),
    "regressor": ({"predictor_type": "regressor"}, numbers),
}
HELD = ("validation", "test")


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's process keeps its own way with signals."""
    monkeypatch.setattr("rekindle.algorithms.job.signal.signal", lambda number, handler: None)


def trained(folder: Path, values: dict[str, str], data, capsys) -> tuple[dict, dict]:
    train(csv_job(folder, values, data, HELD))
    return caught("linear-learner", capsys.readouterr().out), json.loads((folder / "model" / "model.json").read_text())


def outputs(model: dict, features) -> np.ndarray:
    return np.asarray(features) @ np.array(model["coefficients"]).T + np.array(model["intercepts"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_of_a_kind_is_caught(kind: str, tmp_path: Path, capsys) -> None:
    values, data = KINDS[kind]
    found, _ = trained(tmp_path, values, data, capsys)
    named = {m.name for m in METRICS}
    expected = {f"{part}:{name}" for part in ("train", *HELD) for name in METRICS_OF[kind]} & named
    expected |= {"train:objective_loss", "validation:objective_loss", "test:objective_loss", "train:progress"}
    expected |= {"train:objective_loss:final", "validation:objective_loss:final"}
    assert set(found) == expected
    assert found["validation:objective_loss:final"][0] == min(found["validation:objective_loss"])
    assert len(found["validation:objective_loss"]) == len(found["train:objective_loss"]) > 1


def test_the_model_of_classes_is_as_good_as_it_says(tmp_path: Path, capsys) -> None:
    values, data = KINDS["binary_classifier"]
    found, model = trained(tmp_path, {**values, "epochs": "30"}, data, capsys)
    features, labels = data(400)
    margins = outputs(model, features[300:])[:, 0]
    said = margins > model["threshold"]
    assert found["test:binary_classification_accuracy"] == [
        pytest.approx(metrics.accuracy_score(labels[300:], said), abs=0.011)
    ]
    assert found["test:binary_f_beta"] == [pytest.approx(metrics.f1_score(labels[300:], said), abs=0.011)]
    assert found["test:objective_loss"] == [pytest.approx(metrics.log_loss(labels[300:], 1 / (1 + np.exp(-margins))), rel=1e-3)]
    assert found["test:binary_classification_accuracy"][0] > 0.75


def test_the_model_of_numbers_and_of_three_classes_too(tmp_path: Path, capsys) -> None:
    values, data = KINDS["regressor"]
    found, model = trained(tmp_path / "r", values, data, capsys)
    features, labels = data(400)
    said = outputs(model, features[300:])[:, 0]
    assert found["test:mse"] == [pytest.approx(metrics.mean_squared_error(labels[300:], said), rel=1e-3)]
    values, data = KINDS["multiclass_classifier"]
    found, model = trained(tmp_path / "m", {**values, "accuracy_top_k": "2"}, data, capsys)
    features, labels = data(400)
    said = outputs(model, features[300:])
    assert found["test:multiclass_accuracy"] == [pytest.approx(float((said.argmax(axis=1) == labels[300:]).mean()), abs=0.011)]
    top = metrics.top_k_accuracy_score(labels[300:], said, k=2)
    assert found["test:multiclass_top_k_accuracy"] == [pytest.approx(top, abs=0.011)]
    assert found["test:multiclass_accuracy"][0] > 0.7


@pytest.mark.parametrize(("kind", "loss"), [(kind, loss) for kind, losses in LOSSES.items() for loss in losses])
def test_each_loss_goes_down(kind: str, loss: str, tmp_path: Path, capsys) -> None:
    values, data = KINDS[kind]
    found, model = trained(tmp_path, {**values, "loss": loss}, data, capsys)
    assert model["loss"] == loss
    losses = found["train:objective_loss"]
    assert min(losses) <= losses[0]
    assert np.isfinite(losses).all()


def test_a_criterion_chooses_the_threshold(tmp_path: Path, capsys) -> None:
    values, data = KINDS["binary_classifier"]
    for criterion, target, metric in (
        ("precision_at_target_recall", "target_recall", "recall"),
        ("recall_at_target_precision", "target_precision", "precision"),
    ):
        told = {**values, "binary_classifier_model_selection_criteria": criterion, target: "0.95"}
        found, _ = trained(tmp_path / criterion, told, data, capsys)
        assert found[f"validation:{metric}"][0] >= 0.95
    _, plain = trained(tmp_path / "p", {**values, "binary_classifier_model_selection_criteria": "loss_function"}, data, capsys)
    assert plain["threshold"] == 0.0


def test_switches_are_read_as_the_sdk_writes_them(tmp_path: Path, capsys) -> None:
    values, data = KINDS["regressor"]
    models = [trained(tmp_path / word, {**values, "use_bias": word}, data, capsys)[1] for word in ("False", "false", "True")]
    assert models[0] == models[1] != models[2]


def test_the_earlier_names_of_criteria_mean_the_same(tmp_path: Path, capsys) -> None:
    values, data = KINDS["binary_classifier"]
    criterion = "binary_classifier_model_selection_criteria"
    for earlier, now in (("f1", {criterion: "f_beta", "f_beta": "1"}), ("cross_entropy_loss", {criterion: "loss_function"})):
        _, before = trained(tmp_path / earlier, {**values, criterion: earlier}, data, capsys)
        _, after = trained(tmp_path / f"{earlier}-now", {**values, **now}, data, capsys)
        assert before == after


def test_positive_examples_can_weigh_more(tmp_path: Path, capsys) -> None:
    values, data = KINDS["binary_classifier"]
    told = {**values, "binary_classifier_model_selection_criteria": "loss_function"}
    found, _ = trained(tmp_path / "a", told, data, capsys)
    more, _ = trained(tmp_path / "b", {**told, "positive_example_weight_mult": "20"}, data, capsys)
    assert more["train:recall"] > found["train:recall"]


def test_regularisation_shrinks_the_model(tmp_path: Path, capsys) -> None:
    values, data = KINDS["regressor"]
    _, free = trained(tmp_path / "a", values, data, capsys)
    _, sparse = trained(tmp_path / "b", {**values, "l1": "0.3"}, data, capsys)
    _, small = trained(tmp_path / "c", {**values, "wd": "1"}, data, capsys)
    assert np.abs(small["coefficients"]).sum() < np.abs(free["coefficients"]).sum()
    assert (np.abs(sparse["coefficients"]) < 1e-9).sum() > (np.abs(free["coefficients"]) < 1e-9).sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "more",
    [
        {"learning_rate": "1", "use_lr_scheduler": "false"},
        {"learning_rate": "0.00001"},
        {"l1": "1", "wd": "1"},
        {"normalize_data": "false", "normalize_label": "false"},
        {"unbias_data": "false", "unbias_label": "false", "use_bias": "false"},
        {"normalize_data": "False", "unbias_label": "True", "balance_multiclass_weights": "True", "use_lr_scheduler": "False"},
        {"mini_batch_size": "100", "optimizer": "adam", "beta_1": "0.9", "init_method": "normal", "num_models": "4"},
        {"epochs": "1", "early_stopping_patience": "1", "early_stopping_tolerance": "0.5"},
    ],
)
def test_what_is_accepted_runs(kind: str, more: dict[str, str], tmp_path: Path, capsys) -> None:
    values, data = KINDS[kind]
    found, _ = trained(tmp_path, {**values, **more}, data, capsys)
    assert np.isfinite(found["validation:objective_loss:final"]).all()


def test_recordio_without_a_content_type_is_read(tmp_path: Path, capsys) -> None:
    features, labels = two_classes(200)
    (tmp_path / "input" / "train").mkdir(parents=True)
    (tmp_path / "input" / "train" / "a.pbr").write_bytes(recordio(features, labels))
    train(job(tmp_path, {"predictor_type": "binary_classifier", "feature_dim": "5"}, train=None))
    assert caught("linear-learner", capsys.readouterr().out)["train:binary_classification_accuracy"][0] > 0.7


@pytest.mark.parametrize(
    ("values", "data", "words"),
    [
        ({"feature_dim": "4"}, two_classes, "The train data have 5 features"),
        ({}, three_classes, r"File 'train/a.csv', row \d+: the label is no whole number from 0 to 1"),
        (
            {"predictor_type": "multiclass_classifier", "num_classes": "3"},
            numbers,
            "the label is no whole number from 0 to 2",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(values: dict, data, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        train(csv_job(tmp_path, {"predictor_type": "binary_classifier", **values}, data))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "Missing required hyperparameter: predictor_type"),
        ({"predictor_type": "multiclass_classifier"}, "Missing required hyperparameter: num_classes"),
        ({"predictor_type": "regressor", "loss": "logistic"}, "logistic is not a loss of a regressor"),
        ({"predictor_type": "regressor", "loss": "quantile_loss"}, "quantile_loss is not available here"),
        ({"predictor_type": "regressor", "learning_rate": "fast"}, "Hyperparameter learning_rate: could not parse value"),
        ({"predictor_type": "regressor", "wd": "-1"}, "Hyperparameter wd: -1.0 is not in [0, 1e+300] or auto"),
        ({"predictor_type": "regressor", "l1": "1e308"}, "Hyperparameter l1: 1e+308 is not in [0, 1e+300] or auto"),
        # After the training: the square was too large for Python.
        ({"predictor_type": "regressor", "f_beta": "1e200"}, "Hyperparameter f_beta: 1e+200 is not in (0, 1e+150]"),
        (
            {"predictor_type": "regressor", "_tuning_objective_metric": "validation:binary_f_beta"},
            "Metric 'binary_f_beta' is computed for a binary_classifier",
        ),
    ],
)
def test_refusals(values: dict[str, str], words: str) -> None:
    with pytest.raises(Refused) as refused:
        builtin_named("linear-learner").parsed(values)
    assert words in str(refused.value)


def test_classes_for_which_the_memory_is_too_small_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system killed the training job some time later, or kept it swapping."""
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 2**20, "SC_PAGE_SIZE": 2**12}.__getitem__)
    values = {"predictor_type": "multiclass_classifier", "num_classes": "1000000"}
    words = r"num_classes is 1000000, which with 300 rows of 5 features takes 5 GiB of memory, and this machine has 4: train on"
    with pytest.raises(UserError, match=words):
        train(csv_job(tmp_path, values, three_classes))


@pytest.mark.parametrize(("value", "words"), [("1e39", "too large for a number of 32 bits"), ("", "a feature has no value")])
def test_a_number_that_no_linear_model_takes_is_told_by_file_and_row(value: str, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "input" / "train"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("0,1,2\n1,2,3\n")
    (folder / "b.csv").write_text(f"0,1,2\n1,{value},3\n")
    with pytest.raises(UserError, match=rf"File 'train/b.csv', row 2: .*{words}"):
        train(job(tmp_path, {"predictor_type": "regressor"}, train="text/csv"))
