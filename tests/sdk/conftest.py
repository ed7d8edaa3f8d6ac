"""One server for the suite; the SDK gets what `rekindle run` would give it, and no name but loopback's is ever looked up."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from support import offline
from support.serving import REKINDLE, Serving, until

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "sdk-v2-script-mode"


def _major() -> str:
    try:
        return importlib.metadata.version("sagemaker").partition(".")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


collect_ignore_glob = [f"test_v{major}.py" for major in ("2", "3") if major != _major()]

FIGURES: list[str] = []


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Shows the figures that tests have taken."""
    for words in FIGURES:
        terminalreporter.write_line(words)


@pytest.fixture(scope="session")
def figure() -> Callable[[str], None]:
    """Takes a figure for the summary."""
    return FIGURES.append


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A running server, and its variables in this process before an SDK is imported."""
    folder = tmp_path_factory.mktemp("sdk")
    serving = Serving(folder / "home", PATH=os.pathsep.join([str(Path(REKINDLE).parent), os.environ["PATH"]]))
    printed = subprocess.run([REKINDLE, "env", "--all", "--json"], env=serving.environ, capture_output=True, check=True)
    os.environ.update(json.loads(printed.stdout))
    os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"
    # For programs that tests start: which server, and that they look no name up either.
    os.environ["REKINDLE_HOME"] = str(folder / "home")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE / "offline"), str(HERE.parent)])
    offline.refuse_names()
    os.chdir(EXAMPLE)
    _warm_up(folder)
    yield
    offline.allow_names()
    serving.end(signal.SIGTERM)
    assert offline.LOOKED_UP == set()


def _warm_up(folder: Path) -> None:
    """One tuning job by a patient client: on a busy machine a new server's first answer can take longer than the SDKs wait,
    and they would ask for the same thing twice."""
    began = time.monotonic()
    patient = Config(read_timeout=600, retries={"total_max_attempts": 1})
    s3, sagemaker = (boto3.client(name, config=patient) for name in ("s3", "sagemaker"))
    (folder / "hello.sh").write_text("echo 'loss=0.5'\n")
    with tarfile.open(folder / "code.tar.gz", "w:gz") as archive:
        archive.add(folder / "hello.sh", "hello.sh")
    s3.create_bucket(Bucket="warm-up")
    s3.upload_file(str(folder / "code.tar.gz"), "warm-up", "code.tar.gz")
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="warm-up",
        HyperParameterTuningJobConfig={
            "Strategy": "Bayesian",
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]},
        },
        TrainingJobDefinition={
            "AlgorithmSpecification": {
                "TrainingImage": "sagemaker-scikit-learn",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            },
            "StaticHyperParameters": {
                "sagemaker_program": "hello.sh",
                "sagemaker_submit_directory": "s3://warm-up/code.tar.gz",
            },
            "RoleArn": "arn:aws:iam::000000000000:role/rekindle",
            "OutputDataConfig": {"S3OutputPath": "s3://warm-up/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    )
    until(lambda: _status(sagemaker) != "InProgress", seconds=500)
    assert _status(sagemaker) == "Completed"
    FIGURES.append(f"a new server's first tuning job, of one training job: {time.monotonic() - began:.1f} s")


def _status(sagemaker: Any) -> str:
    described = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="warm-up")
    return str(described["HyperParameterTuningJobStatus"])


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some digits as a table, the label first."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    path = tmp_path_factory.mktemp("data") / "digits.csv"
    path.write_text("\n".join(",".join(f"{v:g}" for v in (label, *row)) for label, row in zip(y[:400], x[:400], strict=True)))
    return path
