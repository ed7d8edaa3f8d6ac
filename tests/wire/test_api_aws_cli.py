"""The real aws CLI against the service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.gateway import ALICE
from support.wire import Wire, tuning_request

Aws = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def aws(sagemaker: Wire) -> Aws:
    """Runs one sagemaker command of the aws CLI."""
    program = str(Path(sys.executable).parent / "aws")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "AWS_ACCESS_KEY_ID": ALICE.access_key,
        "AWS_SECRET_ACCESS_KEY": ALICE.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{sagemaker.port}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, "sagemaker", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_a_tuning_job_by_the_cli(sagemaker: Wire, aws: Aws) -> None:
    created = aws("create-hyper-parameter-tuning-job", "--cli-input-json", json.dumps(tuning_request("by-cli")))
    assert json.loads(created.stdout)["HyperParameterTuningJobArn"].endswith("/by-cli"), created.stderr
    name = ("--hyper-parameter-tuning-job-name", "by-cli")
    shown = aws("describe-hyper-parameter-tuning-job", *name, "--query", "HyperParameterTuningJobStatus", "--output", "text")
    assert shown.stdout == "InProgress\n"
    sagemaker.finish("by-cli")
    trials = aws("list-training-jobs-for-hyper-parameter-tuning-job", *name, "--page-size", "1", "--output", "json")
    assert [t["TrainingJobStatus"] for t in json.loads(trials.stdout)["TrainingJobSummaries"]] == ["Completed"] * 4
    stopped = aws("stop-hyper-parameter-tuning-job", *name)
    assert stopped.returncode != 0
    assert "(ValidationException)" in stopped.stderr
    assert aws("delete-hyper-parameter-tuning-job", *name).returncode == 0
    gone = aws("describe-hyper-parameter-tuning-job", *name)
    assert "Amazon SageMaker can't find a tuning job called by-cli. Type another name." in gone.stderr
