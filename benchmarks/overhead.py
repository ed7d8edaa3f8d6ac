"""What a training job costs beside the user's own script: wall time per do-nothing training job.

    .venv/bin/python benchmarks/overhead.py [--jobs 40] [--parallel 2] [--rounds 3]

Rows, all in one run, alternating: a bare ``python script`` (the floor), Rekindle (``rekindle tune`` of a random search, with
everything durable, start of the command included and without it), Optuna with SQLite and a subprocess for each trial, and
Syne Tune's local backend. Peers are measured where they are installed: give their interpreter with ``--peers PYTHON``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
    for row, seconds in rows.items():
        each = statistics.median(seconds) / options.jobs
        print(f"| {row} | {each * 1000:.1f} | {each / floor:.1f} |")
    net = (statistics.median(rows["rekindle tune"]) - single) / (options.jobs - 1)
    print(f"| rekindle tune, without the command's own start and end | {net * 1000:.1f} | {net / floor:.1f} |")


if __name__ == "__main__":
    main()
