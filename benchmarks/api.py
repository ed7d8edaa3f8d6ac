"""What SageMaker's API costs over a store that grows: p50 and p99 of Describe and List over 10, 100 and 1,000 tuning jobs.

    .venv/bin/python benchmarks/api.py [--sizes 10 100 1000] [--trials 200] [--requests 200]

Each tuning job has ``--trials`` ended training jobs with two metrics. The jobs are written by the store's own ``commit``; the
server is ``rekindle serve`` in a process of its own; requests are signed, sent one after the other over one connection, and
timed from the first byte sent to the last byte read. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from rekindle.domain.decisions import Snapshot
from rekindle.domain.health import notes
from rekindle.domain.training_job import FinalMetric, ObjectiveStatus, SecondaryStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.training_job import Transition as Phase
from rekindle.domain.tuning_job import TuningJob, TuningJobStatus, with_defaults
from rekindle.engine.ports import Change, JobStore
from rekindle.gateway.credentials import load_or_create
from rekindle.jobfile.parse import parse
from rekindle.settings import load_settings
from rekindle.storage.store import open_store

JOB = b"""\
name: job
command: python train.py
objective: {metric: loss, goal: minimize, regex: 'loss=([0-9.]+)'}
metrics: {accuracy: 'accuracy=([0-9.]+)'}
ranges:
  lr: {min: 1e-5, max: 0.1, scaling: Logarithmic}
  layers: {min: 1, max: 8}
  act: [relu, tanh, gelu]
static: {epochs: 3, data: full}
limits: {jobs: 200, parallel: 10}
"""
BEGIN = 1_800_000_000.0


def job_name(number: int) -> str:
    """The name of a tuning job."""
    return f"job-{number:05}"


def fill(store: JobStore, first: int, last: int, trials: int) -> None:
    """Ended tuning jobs of the numbers ``first`` to ``last - 1``."""
    spec = with_defaults(parse(JOB, Path()).spec)
    for number in range(first, last):
        at = BEGIN + 60.0 * number
        job = store.create_tuning_job(
            TuningJob(replace(spec, name=job_name(number)), load_settings().owner, f"{number:032x}", at, modified_at=at)
        )
        added = tuple(trial(job, i, trials) for i in range(1, trials + 1))
        ended = replace(
            job, status=TuningJobStatus.COMPLETED, seq=2 * trials, ended_at=at + 900, modified_at=at + 900, not_improving=3
        )
        ended = replace(ended, notes=tuple(notes(Snapshot(ended, added))))
        (lease,) = store.claim("benchmark", 60.0, only=f"tuning:{job.id}")
        store.commit(lease, Change(ended, added))


def trial(job: TuningJob, number: int, of: int) -> TrainingJob:
    """A completed training job of a tuning job."""
    rng = random.Random(f"{job.name}/{number}")
    loss, begin = rng.random(), job.created_at + number
    tuned = {"lr": repr(rng.uniform(1e-5, 0.1)), "layers": str(rng.randint(1, 8)), "act": rng.choice(["relu", "tanh", "gelu"])}
    phases = (SecondaryStatus.STARTING, SecondaryStatus.TRAINING, SecondaryStatus.UPLOADING, SecondaryStatus.COMPLETED)
    return TrainingJob(
        name=f"{job.name}-{number:03}-{job.uid[-8:]}",
        owner=job.owner,
        spec=job.spec.definition.training,
        hyperparameters={**tuned, "epochs": "3", "data": "full", "_tuning_objective_metric": "loss"},
        created_at=begin,
        modified_at=begin + 9,
        tuning_job_id=job.id,
        tuning_job_name=job.name,
        number=number,
        tuned=tuned,
        proposal={"source": "model", "seen_seq": number, "algorithm": "1", "why": {}},
        status=TrainingJobStatus.COMPLETED,
        secondary=SecondaryStatus.COMPLETED,
        transitions=tuple(Phase(phase, begin + i, begin + i + 1, "") for i, phase in enumerate(phases)),
        launched_seq=number,
        finished_seq=of + number,
        started_at=begin + 1,
        ended_at=begin + 9,
        exit_code=0,
        objective_metric="loss",
        objective_status=ObjectiveStatus.SUCCEEDED,
        objective_value=loss,
        final_metrics={name: FinalMetric(value, begin + 8) for name, value in (("loss", loss), ("accuracy", 1 - loss))},
        points_seen=6,
    )


@contextlib.contextmanager
def server(port: int, environment: dict[str, str]) -> Iterator[None]:
    """``rekindle serve`` until the block ends."""
    command = [str(Path(sys.executable).parent / "rekindle"), "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=240)


class Client:
    """Signed requests over one connection."""

    def __init__(self, port: int, home: Path) -> None:
        pair = load_or_create(home).first
        self._signer = SigV4Auth(Credentials(pair.access_key, pair.secret_key), "sagemaker", "us-east-1")
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._url = f"http://127.0.0.1:{port}/"

    def call(self, operation: str, **members: Any) -> tuple[float, dict[str, Any]]:
        """Milliseconds of the exchange, and the answer."""
        headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        request = AWSRequest("POST", self._url, headers, json.dumps(members).encode())
        self._signer.add_auth(request)
        began = time.perf_counter()
        self._connection.request("POST", "/", request.data, dict(request.headers.items()))
        response = self._connection.getresponse()
        body = response.read()
        took = 1000 * (time.perf_counter() - began)
        if response.status != 200:
            raise RuntimeError(f"{operation}: {response.status} {body[:300]!r}")
        return took, json.loads(body)


def cases(client: Client, jobs: int) -> dict[str, Callable[[], float]]:
    """One request of each kind; names are drawn at random."""
    rng = random.Random(jobs)
    listing, trials = "ListHyperParameterTuningJobs", "ListTrainingJobsForHyperParameterTuningJob"

    def any_job() -> str:
        return job_name(rng.randrange(jobs))

    def any_trial() -> str:
        number = rng.randrange(jobs)
        return f"{job_name(number)}-001-{number:08x}"

    page = {"MaxResults": 5}
    token = client.call(listing, **page)[1]["NextToken"]
    return {
        "DescribeHyperParameterTuningJob": lambda: client.call(
            "DescribeHyperParameterTuningJob", HyperParameterTuningJobName=any_job()
        )[0],
        "DescribeTrainingJob": lambda: client.call("DescribeTrainingJob", TrainingJobName=any_trial())[0],
        f"{listing}, 10": lambda: client.call(listing, MaxResults=10)[0],
        f"{listing}, second page of 5": lambda: client.call(listing, **page, NextToken=token)[0],
        f"{trials}, 100": lambda: client.call(trials, HyperParameterTuningJobName=any_job(), MaxResults=100)[0],
        f"{trials}, 10, by the objective": lambda: client.call(
            trials, HyperParameterTuningJobName=any_job(), MaxResults=10, SortBy="FinalObjectiveMetricValue"
        )[0],
        "ListTrainingJobs, 10": lambda: client.call("ListTrainingJobs", MaxResults=10)[0],
        "ListTrainingJobs, 10, one status": lambda: client.call("ListTrainingJobs", MaxResults=10, StatusEquals="Failed")[0],
    }


def measured(case: Callable[[], float], requests: int) -> tuple[float, float]:
    """p50 and p99 in milliseconds, after ten requests that do not count."""
    for _ in range(10):
        case()
    times = sorted(case() for _ in range(requests))
    return statistics.median(times), times[min(len(times) - 1, int(0.99 * len(times)))]


def main() -> None:
    """Fills, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args()
    results: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environment = {**os.environ, "REKINDLE_HOME": folder}
        store = open_store(load_settings(environment).database_url)
        done = 0
        for size in sorted(options.sizes):
            began = time.perf_counter()
            fill(store, done, size, options.trials)
            print(f"filled to {size} tuning jobs in {time.perf_counter() - began:.1f} s", file=sys.stderr)
            done = size
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            with server(port, environment):
                for name, case in cases(Client(port, home), size).items():
                    p50, p99 = measured(case, options.requests)
                    results.setdefault(name, []).append(f"{p50:.1f} / {p99:.1f}")
        store.close()
    print("| p50 / p99 in ms | " + " | ".join(f"{size} tuning jobs" for size in sorted(options.sizes)) + " |")
    print("|---|" + "---|" * len(options.sizes))
    for name, row in results.items():
        print(f"| {name} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
