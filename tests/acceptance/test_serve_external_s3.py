"""`rekindle serve` and `tune` with an object store of the user's own: a real SeaweedFS keeps inputs, models and checkpoints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.object_store import client
from support.script_jobs import channel, training_request, tuning_request, upload
from support.seaweedfs import seaweedfs
from support.serving import Serving, until

BUCKET = "lab-bucket"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    (tmp_path / "weed").mkdir()
    with seaweedfs(tmp_path / "weed") as url:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        serving = Serving(tmp_path / "home", REKINDLE_S3_ENDPOINT=url, **keys)
        yield serving
        serving.end(signal.SIGTERM)


def test_inputs_outputs_and_checkpoints_of_a_tuning_job_and_a_manifest(serving: Serving, tmp_path: Path) -> None:
    s3, sagemaker = serving.client("s3"), serving.client("sagemaker")
    assert s3.meta.endpoint_url == serving.environ["REKINDLE_S3_ENDPOINT"]
    s3.create_bucket(Bucket=BUCKET)
    upload(s3, BUCKET)
    for name in ("a", "b", "c"):
        s3.put_object(Bucket=BUCKET, Key=f"parts/{name}.csv", Body=name.encode())
    listed = [{"prefix": f"s3://{BUCKET}/parts/"}, "c.csv", "a.csv"]
    s3.put_object(Bucket=BUCKET, Key="list.json", Body=json.dumps(listed).encode())
    checkpoints = {"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints"}}
    sagemaker.create_hyper_parameter_tuning_job(**tuning_request("job", BUCKET, 3, definition=checkpoints))
    manifest = channel(f"s3://{BUCKET}/list.json", S3DataType="ManifestFile")
    sagemaker.create_training_job(**training_request("listed", BUCKET, InputDataConfig=[manifest]))
    with pytest.raises(Exception, match="No S3 objects found"):
        sagemaker.create_training_job(**training_request("none", BUCKET, InputDataConfig=[channel(f"s3://{BUCKET}/none")]))

    until(lambda: status(sagemaker) != "InProgress")
    job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="job")
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    until(lambda: sagemaker.describe_training_job(TrainingJobName="listed")["TrainingJobStatus"] != "InProgress")
    assert sagemaker.describe_training_job(TrainingJobName="listed")["TrainingJobStatus"] == "Completed"
    logs = serving.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="listed/", filterPattern="files"
    )
    assert [e["message"] for e in logs["events"]] == ["files ['a.csv', 'c.csv']"]

    names = [t["TrainingJobName"] for t in trials(sagemaker)]
    found = {o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert found >= {f"out/{name}/output/model.tar.gz" for name in (*names, "listed")}
    assert [s3.get_object(Bucket=BUCKET, Key=f"checkpoints/{name}/starts")["Body"].read() for name in names] == [b"x"] * 3


def status(sagemaker: Any) -> str:
    return sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="job")["HyperParameterTuningJobStatus"]


def trials(sagemaker: Any) -> list[dict[str, Any]]:
    listed = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="job")
    return listed["TrainingJobSummaries"]


TRAINER = f"""\
import boto3, os, sys
boto3.client("s3").put_object(Bucket="{BUCKET}", Key="by-the-script", Body=b"")
print("loss=" + open(os.environ["SM_CHANNEL_TRAIN"] + "/value").read())
open(os.environ["SM_MODEL_DIR"] + "/m", "w").close()
open(os.environ["SM_CHECKPOINT_DIR"] + "/c", "w").close()
"""
JOB = f"""\
name: lab
command: {sys.executable} train.py
objective: {{metric: loss, goal: minimize, regex: 'loss=(.*)'}}
ranges: {{x: {{min: 0, max: 1}}}}
limits: {{jobs: 1}}
channels: {{train: 's3://{BUCKET}/data'}}
output: s3://{BUCKET}/out
checkpoints: s3://{BUCKET}/checkpoints
"""


def test_a_job_file_is_run_against_the_store_that_the_settings_name(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "weed").mkdir()
    (tmp_path / "code" / "train.py").write_text(TRAINER)
    (tmp_path / "code" / "job.yaml").write_text(JOB)
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_MAX_ATTEMPTS": "1"}
    with seaweedfs(tmp_path / "weed") as url, closing(client(url)) as s3:
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="data/value", Body=b"0.5")
        environ = {**os.environ, **keys, "REKINDLE_HOME": str(tmp_path / "home"), "REKINDLE_S3_ENDPOINT": url}
        command = [sys.executable, "-m", "rekindle", "tune", str(tmp_path / "code" / "job.yaml"), "--json"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        best = json.loads(done.stdout)["best"]
        found = {o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert best["objective"] == 0.5
    assert found == {"by-the-script", "data/value", f"out/{best['name']}/output/model.tar.gz", f"checkpoints/{best['name']}/c"}
