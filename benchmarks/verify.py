"""Whole tuning jobs, run and replayed: does every suggestion follow from what it saw, and how long does ``verify`` take?

    python -m benchmarks.verify                              # prints a line for each job as it is done
    python -m benchmarks.verify --only warm --share 0.1      # one of them, with a tenth of the training jobs

The worker, the store (SQLite in a file) and ``rekindle verify`` (a process of its own) are the real ones; training jobs are
simulated, so that all the time there is goes to the search. Four run at a time, one in twelve fails, one in forty ends without
a finite objective. Halfway the worker vanishes without a word, and another one goes on from the file.

- ``bayesian``: 1,000 training jobs, six parameters of all types.
- ``warm``: 200 with three parents of 100 training jobs each.
- ``hyperband``: 300 with a model that draws them, 27 epochs at most; one in ten is lost on its way and begun again.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from rekindle.domain.training_job import TrainingJobStatus  # noqa: E402
from rekindle.domain.tuning_job import Hyperband, StrategyName, TuningJobSpec, WarmStart, WarmStartType  # noqa: E402
from rekindle.engine.ports import RunKey, RunState  # noqa: E402
from rekindle.search.space import Categorical, Continuous, Integer, Parameter  # noqa: E402
from rekindle.storage.store import open_store  # noqa: E402
from support.engine import Engine  # noqa: E402
from support.simulated import Script  # noqa: E402
from support.specs import tuning_spec  # noqa: E402

RANGES: tuple[Parameter, ...] = (
    Continuous("lr", 1e-6, 1.0, "Logarithmic"),
    Continuous("momentum", 0.5, 0.999, "ReverseLogarithmic"),
    Continuous("dropout", 0.0, 0.6, "Linear"),
    Integer("layers", 1, 12),
    Integer("width", 8, 2048, "Auto"),
    Categorical("act", ("relu", "tanh", "gelu", "silu", "elu")),
)
EPOCHS = 27


def chance(hyperparameters: Mapping[str, str]) -> random.Random:
    """The same luck for the same configuration."""
    return random.Random(repr(sorted(hyperparameters.items())))


def program(epochs: int, shift: float = 0.0) -> object:
    """A training job by its hyperparameters: a curve that falls to a noisy quadratic's value, a failure, or nothing."""

    def run(hyperparameters: Mapping[str, str]) -> Script:
        luck = chance(hyperparameters)
        seconds = luck.uniform(5.0, 15.0)
        if luck.random() < 1 / 12:
            return Script((), seconds / 2, RunState.FAILED, "ValueError: diverged")
        if luck.random() < 1 / 40:
            return Script((), seconds)
        distances = [
            p.to_unit(p_value(p, hyperparameters[p.name])) - 0.3 - shift for p in RANGES if not isinstance(p, Categorical)
        ]
        value = sum(d * d for d in distances) + 0.1 * len(hyperparameters["act"]) + luck.gauss(0.0, 0.02)
        return Script([value + 1.0 / (epoch + 1) - 1.0 / epochs for epoch in range(epochs)], seconds)

    return run


def p_value(parameter: Parameter, text: str) -> float | int:
    """A numeric hyperparameter's value."""
    return int(text) if isinstance(parameter, Integer) else float(text)


@dataclass
class Home:
    """A folder with a database in it, and who works on it."""

    folder: Path
    engine: Engine

    def restart(self, holder: str) -> None:
        """The worker has vanished and its connection with it; leases of the dead are freed, as a worker does that starts."""
        self.engine.store.close()
        self.engine.store = open_store(self.url)
        self.engine.store.evict(holder)

    @property
    def url(self) -> str:
        """The database's."""
        return f"sqlite:///{self.folder / 'rekindle.db'}"


def run(home: Home, spec: TuningJobSpec, losing: bool = False) -> float:
    """Runs a tuning job with a restart in the middle, and returns how many seconds its suggestions and records took."""
    engine, jobs = home.engine, spec.limits.max_jobs or 0
    job_id = engine.create(spec).id
    begin, holder, worker = time.perf_counter(), f"{spec.name}-1", engine.worker(f"{spec.name}-1")
    while not engine.store.tuning_job_by_id(job_id).status.is_terminal:
        worker.tick()
        there = engine.store.jobs_of(job_id, engine.store.tuning_job_by_id(job_id).seq - 60)
        if losing:
            lose(engine, there)
        if holder.endswith("1") and there and there[-1].number >= jobs / 2:
            home.restart(holder)
            holder = f"{spec.name}-2"
            worker = engine.worker(holder)
            continue
        worker.wait()
    return time.perf_counter() - begin


def lose(engine: Engine, jobs: Sequence[object]) -> None:
    """Loses the first attempt of one training job in ten, once it has emitted a few values."""
    for job in jobs:
        if job.is_running and job.number % 10 == 0 and job.attempt == 1 and job.points_seen >= 4:
            engine.executor.lose(RunKey.of(job))


def bayesian(home: Home, share: float) -> tuple[str, float]:
    """A long search."""
    home.engine.executor.program = program(1)
    spec = tuning_spec("bayesian", strategy=StrategyName.BAYESIAN, jobs=round(1000 * share), parallel=4, ranges=RANGES)
    return spec.name, run(home, spec)


def warm(home: Home, share: float) -> tuple[str, float]:
    """A search with parents whose best lie elsewhere."""
    names = []
    for number in range(3):
        home.engine.executor.program = program(1, 0.05 * (number + 1))
        names.append(f"parent-{number}")
        spec = tuning_spec(names[-1], jobs=max(4, round(100 * share)), parallel=4, ranges=RANGES, seed=number)
        run(home, spec)
    home.engine.executor.program = program(1)
    start = WarmStart(WarmStartType.TRANSFER, tuple(names))
    jobs = max(4, round(200 * share))
    spec = tuning_spec("warm", strategy=StrategyName.BAYESIAN, jobs=jobs, parallel=4, ranges=RANGES, warm_start=start)
    return spec.name, run(home, spec)


def hyperband(home: Home, share: float) -> tuple[str, float]:
    """Successive halving with a model, and lost attempts."""
    home.engine.executor.program = program(EPOCHS)
    jobs = max(4, round(300 * share))
    spec = tuning_spec("hyperband", strategy=StrategyName.HYPERBAND, jobs=jobs, parallel=4, ranges=RANGES)
    return spec.name, run(home, replace(spec, hyperband=Hyperband(1, EPOCHS, "bayesian")), losing=True)


CASES = {case.__name__: case for case in (bayesian, warm, hyperband)}


def main() -> None:
    """Runs the cases and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--share", type=float, default=1.0, help="of the training jobs")
    options = parser.parse_args()
    columns = ("tuning job", "training jobs", "failed", "begun again", "run, s", "verify, s", "verify said")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in [options.only] if options.only else CASES:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), name, options.share)


def measure(folder: Path, case: str, share: float) -> None:
    """One line of the table."""
    home = Home(folder, Engine())
    home.engine.store = open_store(home.url)
    name, seconds = CASES[case](home, share)
    trials = home.engine.trials(name)
    home.engine.store.close()
    begin = time.perf_counter()
    told = subprocess.run(
        [str(Path(sys.executable).parent / "rekindle"), "verify", name],
        env={**os.environ, "REKINDLE_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = sum(t.status is TrainingJobStatus.FAILED for t in trials)
    again = sum(t.attempt > 1 for t in trials)
    said = f"{' / '.join((told.stdout + told.stderr).split(chr(10))).strip(' /')} (exit code {told.returncode})"
    print(
        f"| {name} | {len(trials)} | {failed} | {again} | {seconds:.0f} | {time.perf_counter() - begin:.0f} | {said} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
