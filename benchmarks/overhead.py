"""What a training job costs beside the user's own script: wall time per do-nothing training job.

    .venv/bin/python benchmarks/overhead.py [--jobs 40] [--parallel 2] [--rounds 3]

Rows, all in one run, alternating: a bare ``python script`` (the floor); ``rekindle tune`` of a random search, with everything
durable, start of the command included and without it; SageMaker's API by ``rekindle serve`` (script mode, code and data from
S3, the model to S3, from the request to the end of the tuning job), in parallel and one at a time; Optuna with SQLite and a
subprocess for each trial; Syne Tune's local backend. Peers are measured where they are installed: give their interpreter
with ``--peers PYTHON``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3

SCRIPT = "import sys\nprint('loss=0.5', flush=True)\n"

JOB = """\
name: overhead
command: {python} nothing.py
objective: {{metric: loss, goal: minimize, regex: 'loss=([0-9.]+)'}}
ranges:
  x: {{min: 0, max: 1}}
strategy: random
limits: {{jobs: {jobs}, parallel: {parallel}}}
"""

OPTUNA = """
import subprocess, sys, optuna
from concurrent.futures import ThreadPoolExecutor
optuna.logging.set_verbosity(optuna.logging.ERROR)
jobs, parallel, python, script, folder = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
study = optuna.create_study(storage=f"sqlite:///{folder}/study.db", sampler=optuna.samplers.RandomSampler())
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    out = subprocess.run([python, script, "--x", str(x)], capture_output=True, text=True, check=True).stdout
    return float(out.split("=")[1])
study.optimize(objective, n_trials=jobs, n_jobs=parallel)
"""

SYNE_TUNE = """
import sys, logging
from syne_tune import Tuner, StoppingCriterion
from syne_tune.backend import LocalBackend
from syne_tune.config_space import uniform
from syne_tune.optimizer.baselines import RandomSearch
logging.getLogger().setLevel(logging.ERROR)
jobs, parallel, script = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
space = {"x": uniform(0, 1)}
try:
    scheduler = RandomSearch(space, metrics=["loss"])
except TypeError:
    scheduler = RandomSearch(space, metric="loss")
Tuner(trial_backend=LocalBackend(entry_point=script), scheduler=scheduler, n_workers=parallel, sleep_time=0.05,
      stop_criterion=StoppingCriterion(max_num_trials_finished=jobs), save_tuner=False).run()
"""
SYNE_SCRIPT = "from syne_tune import Reporter\nReporter()(loss=0.5)\n"


def bare(folder: Path, jobs: int, parallel: int) -> float:
    """Seconds for the scripts alone."""
    script = folder / "nothing.py"

    def one(_: int) -> None:
        subprocess.run([sys.executable, str(script)], check=True, stdout=subprocess.DEVNULL)

    start = time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(one, range(jobs)))
    return time.perf_counter() - start


def rekindle(folder: Path, jobs: int, parallel: int) -> float:
    """Seconds for ``rekindle tune`` from its start to its end, on an empty home."""
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    (folder / "job.yaml").write_text(JOB.format(python=sys.executable, jobs=jobs, parallel=parallel))
    command = [str(Path(sys.executable).parent / "rekindle"), "tune", str(folder / "job.yaml")]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "REKINDLE_HOME": str(home)})
    return time.perf_counter() - start


def served(folder: Path, *sizes: tuple[int, int]) -> list[float]:
    """Seconds of one tuning job for each (jobs, parallel), all on one server, as a client of SageMaker's API sees them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = str(Path(sys.executable).parent / "rekindle")
    environ = {**os.environ, "REKINDLE_HOME": str(folder / "served")}
    server = subprocess.Popen([command, "serve", "--port", str(port)], env=environ, stderr=subprocess.DEVNULL)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        printed = subprocess.run([command, "env", "--json"], env=environ, capture_output=True, check=True).stdout
        told = json.loads(printed)
        session = boto3.Session(told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"], region_name=told["AWS_REGION"])
        s3 = session.client("s3", endpoint_url=told["AWS_ENDPOINT_URL"])
        bucket = s3.list_buckets()["Buckets"][0]["Name"]
        with tarfile.open(folder / "sourcedir.tar.gz", "w:gz") as archive:
            archive.add(folder / "nothing.py", "nothing.py")
        s3.upload_file(str(folder / "sourcedir.tar.gz"), bucket, "code/sourcedir.tar.gz")
        s3.put_object(Bucket=bucket, Key="train/rows.csv", Body=b"1,2\n" * 1000)
        sagemaker = session.client("sagemaker", endpoint_url=told["AWS_ENDPOINT_URL"])
        return [tuned(sagemaker, bucket, f"served-{n}", jobs, parallel) for n, (jobs, parallel) in enumerate(sizes)]
    finally:
        server.terminate()
        server.wait()


def tuned(sagemaker: Any, bucket: str, name: str, jobs: int, parallel: int) -> float:
    """Seconds from the request to the end of a tuning job."""
    channel = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/train"}}
    start = time.perf_counter()
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": "Random",
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel},
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]},
        },
        TrainingJobDefinition={
            "StaticHyperParameters": {
                "sagemaker_program": "nothing.py",
                "sagemaker_submit_directory": f"s3://{bucket}/code/sourcedir.tar.gz",
            },
            "AlgorithmSpecification": {
                "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            },
            "RoleArn": "arn:aws:iam::000000000000:role/rekindle",
            "InputDataConfig": [{"ChannelName": "train", "DataSource": channel}],
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        },
    )
    while True:
        job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        if job["HyperParameterTuningJobStatus"] != "InProgress":
            break
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    if job["TrainingJobStatusCounters"]["Completed"] != jobs:
        raise SystemExit(f"{name} is {job['HyperParameterTuningJobStatus']}: {job.get('FailureReason')}")
    return seconds


def peer(python: str, program: str, arguments: list[str], folder: Path) -> float | None:
    """Seconds for a peer's program, None where it is not installed."""
    path = folder / "peer.py"
    path.write_text(program)
    start = time.perf_counter()
    done = subprocess.run([python, str(path), *arguments], check=False, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}", file=sys.stderr)
        return None
    return time.perf_counter() - start


def measure(jobs: int, parallel: int, rounds: int, peers: str | None) -> dict[str, list[float]]:
    """Seconds of each round for each row."""
    rows: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "nothing.py").write_text(SCRIPT)
            (folder / "syne.py").write_text(SYNE_SCRIPT)
            found = {"bare python script": bare(folder, jobs, parallel), "rekindle tune": rekindle(folder, jobs, parallel)}
            found["rekindle, one job only"] = rekindle(folder, 1, 1)
            found["rekindle serve, SageMaker's API and S3"], found["one at a time"] = served(
                folder, (jobs, parallel), (jobs, 1)
            )
            if peers:
                script = str(folder / "nothing.py")
                optuna = peer(peers, OPTUNA, [str(jobs), str(parallel), sys.executable, script, name], folder)
                syne = peer(peers, SYNE_TUNE, [str(jobs), str(parallel), str(folder / "syne.py")], folder)
                found |= {k: v for k, v in {"Optuna, SQLite": optuna, "Syne Tune, local": syne}.items() if v is not None}
        for row, seconds in found.items():
            rows.setdefault(row, []).append(seconds)
    return rows


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", help="the interpreter of an environment with optuna and syne-tune")
    options = parser.parse_args()
    rows = measure(options.jobs, options.parallel, options.rounds, options.peers)
    floor = statistics.median(rows["bare python script"]) / options.jobs
    print("| row | ms per training job, median | times the bare script |\n| --- | --- | --- |")
    single = statistics.median(rows.pop("rekindle, one job only"))
    alone = statistics.median(rows.pop("one at a time")) / options.jobs
    for row, seconds in rows.items():
        each = statistics.median(seconds) / options.jobs
        print(f"| {row} | {each * 1000:.1f} | {each / floor:.1f} |")
    net = (statistics.median(rows["rekindle tune"]) - single) / (options.jobs - 1)
    print(f"| rekindle tune, without the command's own start and end | {net * 1000:.1f} | {net / floor:.1f} |")
    print(f"| rekindle serve, one training job at a time | {alone * 1000:.1f} | {alone / floor:.1f} |")


if __name__ == "__main__":
    main()
