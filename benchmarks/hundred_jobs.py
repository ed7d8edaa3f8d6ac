"""A hundred tuning jobs at once: how long a caller of Describe waits while models are fitted, and how training jobs follow.

    .venv/bin/python -m benchmarks.hundred_jobs [--jobs 100] [--trials 60] [--seconds 60] [--slots 4]

Each tuning job is a Bayesian search in progress with ``--trials`` training jobs behind it, so that every further training job
needs a model. The training jobs do nothing but print a value. ``rekindle serve`` runs in processes of its own. Describe is
timed for ``--seconds`` while all tuning jobs run, then while nothing is to be done. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.api import BEGIN, Client, job_name, server, trial
from rekindle.domain.tuning_job import StrategyName, TuningJob, with_defaults
from rekindle.engine.ports import Change, JobStore
from rekindle.engine.queries import describe
from rekindle.jobfile.parse import parse
from rekindle.settings import load_settings
from rekindle.storage.store import open_store

JOB = b"""\
name: job
command: sh -c 'echo loss=0.5'
arguments: none
objective: {metric: loss, goal: minimize, regex: 'loss=([0-9.]+)'}
metrics: {accuracy: 'accuracy=([0-9.]+)'}
ranges:
  lr: {min: 1e-5, max: 0.1, scaling: Logarithmic}
  layers: {min: 1, max: 8}
  act: [relu, tanh, gelu]
strategy: bayesian
limits: {jobs: 700, parallel: 1}
"""


def fill(store: JobStore, jobs: int, trials: int) -> None:
    """Tuning jobs in progress."""
    spec = with_defaults(parse(JOB, Path()).spec)
    assert spec.strategy is StrategyName.BAYESIAN
    for number in range(jobs):
        at = BEGIN - 86_400.0 + number
        made = TuningJob(
            replace(spec, name=job_name(number), random_seed=number),
            load_settings().owner,
            f"{number:032x}",
            at,
            modified_at=at,
        )
        job = store.create_tuning_job(made)
        (lease,) = store.claim("benchmark", 1.0, only=f"tuning:{job.id}")
        store.commit(lease, Change(replace(job, seq=2 * trials), tuple(trial(job, i, trials) for i in range(1, trials + 1))))
        store.release(lease)


def timed(case: Callable[[], float], seconds: float, pause: float) -> list[float]:
    """Milliseconds of calls, one after the other with pauses, for so long."""
    end, found = time.perf_counter() + seconds, list[float]()
    while time.perf_counter() < end:
        found.append(case())
        time.sleep(pause)
    return sorted(found)


def shown(times: list[float]) -> str:
    """p50, p99 and the longest."""
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    return f"{statistics.median(times):.1f} | {p99:.1f} | {times[-1]:.1f} | {len(times)}"


def main() -> None:
    """Fills, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--slots", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "REKINDLE_HOME": folder, "REKINDLE_SLOTS": str(options.slots)}
        store = open_store(load_settings(environment).database_url)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        rng = random.Random(0)
        print("| Describe while | p50 ms | p99 ms | longest ms | calls |\n|---|---|---|---|---|")
        with server(port, environment):
            client = Client(port, Path(folder))

            def case() -> float:
                name = job_name(rng.randrange(options.jobs))
                return client.call("DescribeHyperParameterTuningJob", HyperParameterTuningJobName=name)[0]

            fill(store, options.jobs, options.trials)
            # A worker that has only just started says nothing of one that works.
            while not any(len(store.jobs_of(i)) > options.trials for i in range(1, options.jobs + 1)):
                time.sleep(1.0)
            before = sum(len(store.jobs_of(i)) - options.trials for i in range(1, options.jobs + 1))
            busy = timed(case, options.seconds, 0.05)
            views = [describe(store, load_settings().owner, job_name(n)) for n in range(options.jobs)]
        launched = [len(store.jobs_of(v.job.id)) - options.trials for v in views]
        for view in views:
            store.request_stop(f"tuning:{view.job.id}")
        with server(port, environment):
            client = Client(port, Path(folder))
            while any(not store.tuning_job_by_id(v.job.id).status.is_terminal for v in views):
                time.sleep(0.5)
            quiet = timed(case, min(20.0, options.seconds), 0.05)
        print(f"| nothing is to be done | {shown(quiet)} |")
        print(f"| {options.jobs} Bayesian tuning jobs run | {shown(busy)} |")
        least, most = min(launched), max(launched)
        during = sum(launched) - before
        print(f"\nTraining jobs launched in {options.seconds:.0f} s: {during}; of one tuning job {least} to {most} in all.")
        store.close()


if __name__ == "__main__":
    main()
