"""`rekindle serve` as a user has it: its own process, boto3 with nothing but the variables of `rekindle env`, real training."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from support.serving import REKINDLE, Serving, until

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
TRAIN = """\
import argparse, os, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--epochs", type=int)
arguments = parser.parse_args()
print("files", os.listdir(os.environ["SM_CHANNEL_TRAIN"]), flush=True)
for epoch in range(arguments.epochs):
    time.sleep(0.2)
    print(f"m={abs(arguments.lr - 0.05) + 1 / (epoch + 1)}", flush=True)
open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w").write(str(arguments.lr))
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    serving = Serving(tmp_path / "home")
    yield serving
    if serving.process.poll() is None:
        serving.end(signal.SIGTERM)


def source_archive() -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        entry = tarfile.TarInfo("train.py")
        entry.size = len(TRAIN)
        archive.addfile(entry, io.BytesIO(TRAIN.encode()))
    return whole.getvalue()


def request(name: str, bucket: str, jobs: int, **more: Any) -> dict[str, Any]:
    channel = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/train"}}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": 2},
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "m"},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "lr", "MinValue": "0.01", "MaxValue": "0.2"}]},
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {
                "epochs": "3",
                "sagemaker_program": '"train.py"',
                "sagemaker_submit_directory": json.dumps(f"s3://{bucket}/code/sourcedir.tar.gz"),
            },
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "m", "Regex": "m=(.*)"}],
            },
            "RoleArn": "arn:aws:iam::000000000000:role/rekindle",
            "InputDataConfig": [{"ChannelName": "train", "DataSource": channel}],
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        },
        **more,
    }


def upload(serving: Serving) -> str:
    s3 = serving.client("s3")
    (bucket,) = [b["Name"] for b in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=bucket, Key="code/sourcedir.tar.gz", Body=source_archive())
    s3.put_object(Bucket=bucket, Key="train/rows.csv", Body=b"1,2\n")
    return bucket


@pytest.mark.timeout(400)
def test_a_tuning_job_and_its_child_survive_the_server(serving: Serving) -> None:
    bucket = upload(serving)
    serving.client("sagemaker").create_hyper_parameter_tuning_job(**request("mother", bucket, 4))
    until(lambda: counters(serving, "mother")["InProgress"] > 0)
    assert serving.end(signal.SIGTERM) == 0
    serving.start()
    until(lambda: counters(serving, "mother")["Completed"] > 0)
    serving.end(signal.SIGKILL)
    serving.start()
    mother = ended(serving, "mother")
    assert mother["HyperParameterTuningJobStatus"] == "Completed"
    assert mother["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}

    warm = {
        "WarmStartType": "IdenticalDataAndAlgorithm",
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "mother"}],
    }
    serving.client("sagemaker").create_hyper_parameter_tuning_job(**request("child", bucket, 2, WarmStartConfig=warm))
    child = ended(serving, "child")
    both = [mother["BestTrainingJob"], child["BestTrainingJob"]]
    assert child["OverallBestTrainingJob"]["TrainingJobName"] == min(both, key=value)["TrainingJobName"]

    best = serving.client("sagemaker").describe_training_job(TrainingJobName=mother["BestTrainingJob"]["TrainingJobName"])
    key = best["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{bucket}/")
    model = serving.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(model)) as archive:
        assert archive.extractfile("model.txt").read().decode() == best["HyperParameters"]["lr"]
    assert messages(serving, best["TrainingJobName"])[0] == "files ['rows.csv']"
    assert len([m for m in messages(serving, best["TrainingJobName"]) if m.startswith("m=")]) == 3


def counters(serving: Serving, name: str) -> dict[str, int]:
    found = serving.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    return found["TrainingJobStatusCounters"]


def ended(serving: Serving, name: str) -> dict[str, Any]:
    sagemaker = serving.client("sagemaker")

    def describe() -> dict[str, Any]:
        return sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    until(lambda: describe()["HyperParameterTuningJobStatus"] != "InProgress", 100)
    return describe()


def value(job: dict[str, Any]) -> float:
    return job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]


def messages(serving: Serving, job: str) -> list[str]:
    logs, group = serving.client("logs"), "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)["events"]
    return [e["message"] for e in events]


def test_without_a_signature_nothing_is_served(serving: Serving) -> None:
    anonymous = boto3.client(
        "sagemaker",
        "us-east-1",
        endpoint_url=f"http://127.0.0.1:{serving.port}",
        aws_access_key_id="A" * 20,
        aws_secret_access_key="b",
    )
    with pytest.raises(Exception, match="UnrecognizedClientException"):
        anonymous.list_hyper_parameter_tuning_jobs()


def test_a_taken_port_is_said_in_one_line(serving: Serving) -> None:
    done = subprocess.run(
        [REKINDLE, "serve", "--port", str(serving.port)], env=serving.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: port: {serving.port}: cannot listen there")
    assert len(done.stderr.strip().splitlines()) == 1
