"""Built-in algorithms as training jobs of their own processes: hosts together, kills, and through `rekindle serve`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest
import xgboost
from sklearn.metrics import f1_score

from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.builtins.xgboost import METRICS
from rekindle.domain.training_job import Algorithm, Channel, Checkpoints, Resources, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Report, Run, RunKey, RunState
from rekindle.executors.host import Host
from rekindle.executors.process import ProcessExecutor
from support.serving import REKINDLE, Serving, until
from support.tables import two_classes, write_csv

pytestmark = pytest.mark.filterwarnings("ignore:.*Unknown file format")
KEY = RunKey("boosted", 1)
VALUES = {"num_round": "8", "objective": "binary:logistic", "_tuning_objective_metric": "validation:auc", "eval_metric": "f1"}


@pytest.fixture
def executor(tmp_path: Path) -> ProcessExecutor:
    return ProcessExecutor(Host(tmp_path / "home", {"PATH": os.environ["PATH"]}), SystemClock())


def spec(tmp_path: Path, hosts: int = 1, files: int = 4, **changes: object) -> TrainingSpec:
    """Channels of several files, each host's share of them its own."""
    features, labels = two_classes(400)
    for at in range(files):
        write_csv(tmp_path / "train" / f"{at}.csv", features[at:300:files], labels[at:300:files])
        write_csv(tmp_path / "validation" / f"{at}.csv", features[300 + at :: files], labels[300 + at :: files])
    shared = "ShardedByS3Key" if hosts > 1 else "FullyReplicated"
    channels = tuple(
        Channel(name, str(tmp_path / name), content_type="text/csv", distribution=shared) for name in ("train", "validation")
    )
    algorithm = Algorithm(image="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", metrics=METRICS)
    return TrainingSpec(algorithm, channels=channels, resources=Resources(instance_count=hosts), **changes)


def log_of(executor: ProcessExecutor, host: str, key: RunKey = KEY) -> str:
    return executor.read_log(key.owner, key.name, host=host)[0].decode()


def ended(executor: ProcessExecutor, key: RunKey = KEY) -> tuple[Report, str]:
    while (report := executor.report(key)).state is RunState.RUNNING:
        executor.wait([key], 30.0)
    return report, executor.read_log(key.owner, key.name)[0].decode()


def run(executor: ProcessExecutor, spec: TrainingSpec, values: Mapping[str, str], key: RunKey = KEY) -> tuple[Report, str]:
    executor.check(spec, values)
    executor.launch(Run(key, spec, values))
    return ended(executor, key)


def model_of(tmp_path: Path) -> xgboost.Booster:
    return xgboost.Booster(model_file=str(tmp_path / "home" / "_" / KEY.name / "model" / "xgboost-model"))


def values_of(report: Report, metric: str) -> list[float]:
    return [point.value for point in report.points if point.metric == metric]


def test_two_hosts_with_their_shards_train_one_model(executor: ProcessExecutor, tmp_path: Path) -> None:
    report, log = run(executor, spec(tmp_path, hosts=2), VALUES)
    assert report.state is RunState.COMPLETED, log
    for host in ("algo-1", "algo-2"):
        assert "[INFO] Train matrix has 150 rows and 5 columns" in log_of(executor, host)
    aucs, scores = values_of(report, "validation:auc"), values_of(report, "validation:f1")
    assert len(aucs) == len(scores) == 8
    model = model_of(tmp_path)
    assert model.num_boosted_rounds() == 8
    # What both said together is what the model says of all rows.
    features, labels = two_classes(400)
    said = model.predict(xgboost.DMatrix(np.array(features[300:], dtype=np.float32))) > 0.5
    assert scores[-1] == pytest.approx(f1_score(labels[300:], said, average="macro"), abs=1e-3)
    assert not (tmp_path / "home" / "_" / KEY.name / "output" / "data" / ".hosts").exists()


@pytest.mark.parametrize(
    ("exact", "instead"),
    [
        ({"tree_method": "exact"}, {"tree_method": "approx"}),
        ({"updater": "grow_colmaker,prune"}, {"updater": "grow_histmaker"}),
        ({"updater": "grow_quantile_histmaker,prune"}, {"updater": "grow_quantile_histmaker"}),
    ],
)
def test_several_hosts_grow_trees_in_a_way_that_they_can_share(executor, tmp_path: Path, exact, instead) -> None:
    report, log = run(executor, spec(tmp_path, hosts=2), {**VALUES, **exact})
    assert report.state is RunState.COMPLETED, log
    assert f"[WARNING] On several hosts trees are grown otherwise: {instead} instead of {exact}" in log
    assert values_of(report, "validation:auc")[-1] > 0.9


def test_a_host_without_data_is_left_out(executor: ProcessExecutor, tmp_path: Path) -> None:
    report, log = run(executor, spec(tmp_path, hosts=3, files=2), VALUES)
    assert report.state is RunState.COMPLETED, log
    words = "Host algo-3 does not have data in each channel and is not used in distributed training"
    assert words in log_of(executor, "algo-3")
    assert model_of(tmp_path).num_boosted_rounds() == 8


def test_after_a_kill_it_goes_on_from_its_checkpoint(executor: ProcessExecutor, tmp_path: Path) -> None:
    values = {**VALUES, "num_round": "100000"}
    kept = spec(tmp_path, checkpoints=Checkpoints(str(tmp_path / "kept")))
    executor.launch(Run(KEY, kept, values))
    folder = tmp_path / "kept"
    until(lambda: folder.is_dir() and len(list(folder.glob("xgboost-checkpoint.*"))) == 5)
    psutil.Process(trainers(tmp_path)[0].ppid()).kill()
    until(lambda: executor.report(KEY).state is RunState.LOST)
    before = max(int(p.suffix[1:]) for p in folder.glob("xgboost-checkpoint.*"))
    again = RunKey(KEY.name, 2)
    report, log = run(executor, kept, {**values, "num_round": str(before + 3)}, again)
    assert report.state is RunState.COMPLETED, log
    assert f"Resuming from iteration {before + 1}" in log
    assert len(values_of(report, "validation:auc")) == 2
    assert model_of(tmp_path).num_boosted_rounds() == before + 3


def test_a_stopped_job_keeps_its_model_where_that_was_asked_for(executor: ProcessExecutor, tmp_path: Path) -> None:
    values = {**VALUES, "num_round": "100000", "save_model_on_termination": "true"}
    executor.launch(Run(KEY, spec(tmp_path, hosts=2), values))
    until(lambda: len(values_of(executor.report(KEY), "validation:auc")) > 3)
    executor.stop(KEY)
    report, log = ended(executor)
    assert report.state is RunState.STOPPED, log
    assert report.model_uri is not None
    assert model_of(tmp_path).num_boosted_rounds() > 3


def test_what_the_data_refuse_is_the_failure_reason(executor: ProcessExecutor, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.csv").write_text("label,x\n1,2\n")
    channel = Channel("train", str(tmp_path / "train"), content_type="text/csv")
    report, _ = run(executor, TrainingSpec(Algorithm(image="xgboost"), channels=(channel,)), {"num_round": "1"})
    assert report.state is RunState.FAILED
    assert report.failure_reason.startswith(
        "AlgorithmError: Customer Error: First line 'label,x...' of file 'a.csv' is not 'CSV' format. Please ensure"
    )


def trainers(tmp_path: Path) -> list[psutil.Process]:
    """The processes that train below a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if "rekindle.algorithms.xgboost" in process.cmdline() and str(tmp_path) in process.cwd():
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("image", "values", "held", "metric"),
    [
        ("linear-learner:1", {"predictor_type": "binary_classifier"}, "validation", "validation:objective_loss"),
        (
            "knn:1",
            {"predictor_type": "classifier", "k": "5", "feature_dim": "5", "sample_size": "300"},
            "test",
            "test:accuracy",
        ),
    ],
)
def test_the_stand_ins_run_as_training_jobs(
    image: str, values: dict[str, str], held: str, metric: str, executor: ProcessExecutor, tmp_path: Path
) -> None:
    features, labels = two_classes(400)
    write_csv(tmp_path / "train" / "a.csv", features[:300], labels[:300])
    write_csv(tmp_path / held / "a.csv", features[300:], labels[300:])
    channels = tuple(Channel(name, str(tmp_path / name), content_type="text/csv") for name in ("train", held))
    algorithm = Algorithm(image=f"404615174143.dkr.ecr.us-east-2.amazonaws.com/{image}", metrics=builtin_named(image).metrics)
    report, log = run(executor, TrainingSpec(algorithm, channels=channels), values)
    assert report.state is RunState.COMPLETED, log
    assert values_of(report, metric)
    assert report.model_uri is not None


# --- the example ---------------------------------------------------------------------------------------------------------

EXAMPLE = Path(__file__).parents[2] / "examples" / "xgboost-tabular"


def rekindle(home: Path, folder: Path, *words: str) -> str:
    environ = {**os.environ, "REKINDLE_HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([REKINDLE, *words], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_by_job_file(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    subprocess.run([sys.executable, folder / "data.py"], check=True, capture_output=True)
    job = (folder / "job.yaml").read_text()
    (folder / "job.yaml").write_text(job.replace("jobs: 16", "jobs: 3").replace("num_round: 150", "num_round: 20"))
    out = rekindle(tmp_path / "home", folder, "tune", "job.yaml")
    assert "cancer-xgboost: Completed: 3 training jobs, 0 failed." in out


def test_the_example_by_boto3_through_the_server(tmp_path: Path) -> None:
    """A tuning job with SageMaker's image and `validation:auc`, inputs and outputs in S3, the best model loaded by xgboost."""
    # A server on a free port: `run --serve` takes the usual one.
    serving = Serving(tmp_path / "home", OMP_NUM_THREADS="1")
    try:
        out = rekindle(tmp_path / "home", tmp_path, "run", "--", sys.executable, str(EXAMPLE / "tune.py"), "4")
    finally:
        serving.end(signal.SIGTERM)
    told, loaded = (float(found) for found in re.findall(r"auc ([0-9.]+)$", out, re.MULTILINE))
    assert "4 training jobs" in out
    assert told > 0.95
    assert loaded >= told - 1e-4
