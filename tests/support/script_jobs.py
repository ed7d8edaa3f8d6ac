"""Training jobs in script mode as a user's boto3 sends them, whose pace the test sets: each waits until its gate is opened."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ROLE = "arn:aws:iam::000000000000:role/rekindle"
#: Prints its files and counts its starts; waits for the file ``gate``; prints a metric three times; leaves a model and, where
#: they are kept, a checkpoint.
TRAIN = """\
import argparse, os, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--gate", default="")
arguments = parser.parse_args()
channel = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"])
print("files", sorted(p.relative_to(channel).as_posix() for p in channel.rglob("*") if p.is_file()), flush=True)
kept = pathlib.Path(os.environ["SM_CHECKPOINT_DIR"], "starts")
kept.write_text((kept.read_text() if kept.exists() else "") + "x")
while arguments.gate and not os.path.exists(arguments.gate):
    time.sleep(0.05)
for epoch in range(3):
    print(f"m={abs(arguments.lr - 0.05) + 1 / (epoch + 1)}", flush=True)
open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w").write(str(arguments.lr))
"""


def source_archive(script: str = TRAIN) -> bytes:
    """A script as SDKs pack it."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        entry = tarfile.TarInfo("train.py")
        entry.size = len(script)
        archive.addfile(entry, io.BytesIO(script.encode()))
    return whole.getvalue()


def upload(s3: Any, bucket: str, script: str = TRAIN) -> None:
    """A script and one file of data."""
    s3.put_object(Bucket=bucket, Key="code/sourcedir.tar.gz", Body=source_archive(script))
    s3.put_object(Bucket=bucket, Key="train/rows.csv", Body=b"1,2\n")


def channel(uri: str, **more: str) -> dict[str, Any]:
    """The channel ``train``."""
    return {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, **more}}}


def training_request(name: str, bucket: str, gate: Path | None = None, **more: Any) -> dict[str, Any]:
    """A training job of its own."""
    return {
        "TrainingJobName": name,
        "HyperParameters": _script(bucket, gate),
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        **_common(bucket),
        **more,
    }


def tuning_request(name: str, bucket: str, jobs: int, gate: Path | None = None, **more: Any) -> dict[str, Any]:
    """A Bayesian tuning job, two at a time; ``more`` is for the request, ``definition`` in it for the definition."""
    definition = more.pop("definition", {})
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": 2},
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "m"},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "lr", "MinValue": "0.01", "MaxValue": "0.2"}]},
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": _script(bucket, gate),
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "m", "Regex": "m=(.*)"}],
            },
            **_common(bucket),
            **definition,
        },
        **more,
    }


def _script(bucket: str, gate: Path | None) -> dict[str, str]:
    submitted = {
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": json.dumps(f"s3://{bucket}/code/sourcedir.tar.gz"),
    }
    return submitted | ({"gate": json.dumps(str(gate))} if gate else {})


def _common(bucket: str) -> dict[str, Any]:
    return {
        "RoleArn": ROLE,
        "InputDataConfig": [channel(f"s3://{bucket}/train")],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 900},
    }
