"""The plug is pulled: workers and supervisors die by SIGKILL at random moments, and nothing is lost or run twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from rekindle.bootstrap import App, build
from rekindle.domain.completion import best_job
from rekindle.domain.training_job import LOST_RETRIES, ObjectiveStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import TuningJob, TuningJobStatus
from rekindle.engine.ports import JobFilter, Page
from rekindle.settings import load_settings

#: How often the worker dies.
KILLS = 25
REKINDLE = str(Path(sys.executable).parent / "rekindle")

#: Says that it started (once for each process, atomically), takes a moment, prints its loss.
TRAINER = """\
echo "$TRAINING_JOB_NAME" >> "$STARTS"
sleep 0.2
echo "loss=$SM_HP_X"
"""

JOB = """\
name: plug
command: sh train.sh
objective: {metric: loss, goal: minimize, regex: 'loss=([-+0-9.e]+)'}
ranges:
  x: {min: 0, max: 1}
strategy: random
limits: {jobs: 30, parallel: 2}
environment: {STARTS: "%s"}
"""


class Plug:
    """A tuning job in a home of its own, worked on by processes that are there to be killed."""

    def __init__(self, folder: Path) -> None:
        self.starts = folder / "starts"
        self.killed: Counter[str] = Counter()
        source = folder / "source"
        source.mkdir()
        (source / "train.sh").write_text(TRAINER)
        (source / "job.yaml").write_text(JOB % self.starts)
        self.environ = {**os.environ, "REKINDLE_HOME": str(folder / "home")}
        self.run("tune", "--detach", str(source / "job.yaml"))

    def run(self, *arguments: str) -> None:
        subprocess.run([REKINDLE, *arguments], env=self.environ, check=True, capture_output=True)

    def worker(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([REKINDLE, "resume", "--quiet", "plug"], env=self.environ, stdout=subprocess.DEVNULL)

    def app(self) -> App:
        return build(load_settings(self.environ))

    def trials(self, app: App) -> tuple[TrainingJob, ...]:
        return app.store.jobs_of(app.store.tuning_job(app.owner, "plug").id)

    def supervisors(self) -> list[tuple[psutil.Process, str]]:
        """Processes of this home that run a training job, whose child is its program; and the training job's name."""
        found: dict[int, tuple[psutil.Process, str]] = {}
        for process in psutil.process_iter():
            try:
                variables = process.environ()
                if variables.get("STARTS") == str(self.starts):
                    parent = process.parent()
                    if parent is not None and "supervisor" in " ".join(parent.cmdline()):
                        found[parent.pid] = parent, variables["TRAINING_JOB_NAME"]
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return list(found.values())

    def kill_a_supervisor(self, worker: subprocess.Popen[bytes]) -> int:
        """Waits for one to be there while the worker lives; how many it killed. No training job's is killed so often that it
        is given up: where workers get no farther between two kills, it is the same one each time."""
        found: list[tuple[psutil.Process, str]] = []
        # What one look saw counts: by the next its training job may have ended.
        until(lambda: bool(found.extend(self.supervisors()) or found) or worker.poll() is not None)
        found = sorted((f for f in found if self.killed[f[1]] < LOST_RETRIES), key=lambda f: self.killed[f[1]])[:1]
        for victim, name in found:
            self.killed[name] += 1
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        return len(found)


def until(condition: Callable[[], bool], seconds: float = 400.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)


def test_kills_at_random_moments_lose_nothing_and_run_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    plug = Plug(tmp_path)
    app = plug.app()
    supervisors_killed = 0
    for kill in range(KILLS):
        worker = plug.worker()
        # At a random moment, but before so much is done that the last kills would find nothing to interrupt.
        moment, most = time.monotonic() + chance.uniform(0.0, 1.2), 30 * (kill + 1) / KILLS
        until(lambda moment=moment, most=most: time.monotonic() >= moment or len(plug.trials(app)) >= most)
        if kill % 4 == 0:
            supervisors_killed += plug.kill_a_supervisor(worker)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    # Where every worker was killed before it had begun anything, all of the work is left.
    assert plug.worker().wait(timeout=400) in (0, 3)
    assert supervisors_killed >= 5
    check(plug, app)


def check(plug: Plug, app: App) -> None:
    job = app.store.tuning_job(app.owner, "plug")
    trials = plug.trials(app)
    assert job.status is TuningJobStatus.COMPLETED
    assert len(trials) == 30
    assert len({t.name for t in trials}) == 30
    assert [(t.name, t.attempt, t.failure_reason) for t in trials if t.status is not TrainingJobStatus.COMPLETED] == []
    assert all(t.objective_status is ObjectiveStatus.SUCCEEDED for t in trials)
    for trial in trials:
        assert [p.value for p in app.store.points(trial.id, "loss")] == [trial.objective_value]
        assert trial.objective_value == float(trial.tuned["x"])
    starts = Counter(plug.starts.read_text().split())
    assert set(starts) == {t.name for t in trials}
    assert all(starts[t.name] <= t.attempt for t in trials)
    assert sum(t.attempt > 1 for t in trials) <= 10
    best = best_job(trials, "minimize")
    assert best is not None
    assert best.objective_value == min(float(t.tuned["x"]) for t in trials)
    until(lambda: not plug.supervisors())


#: Prints nine losses; the first training job is the best, and waits after the third until somebody lets it go on.
CURVE = """\
i=1
while [ $i -le 9 ]; do
  case "$TRAINING_JOB_NAME" in
    *-001-*) echo "loss=-$i"; while [ $i = 3 ] && ! [ -e "$GO" ]; do sleep 0.05; done;;
    *) echo "loss=$SM_HP_X";;
  esac
  i=$((i + 1))
done
"""

HALVING = """\
name: halving
command: sh train.sh
objective: {metric: loss, goal: minimize, regex: 'loss=([-+0-9.e]+)'}
ranges:
  x: {min: 0, max: 1}
strategy: hyperband
hyperband: {min_resource: 1, max_resource: 9, sampler: bayesian}
limits: {jobs: 16, parallel: 3}
environment: {GO: "%s"}
"""


def test_suggestions_that_saw_a_run_which_was_killed_are_replayed(tmp_path: Path) -> None:
    """Hyperband with a model: later suggestions looked at the curve of an attempt that is then lost and begun again."""
    go = tmp_path / "go"
    (tmp_path / "train.sh").write_text(CURVE)
    (tmp_path / "job.yaml").write_text(HALVING % go)
    environ = {**os.environ, "REKINDLE_HOME": str(tmp_path / "home")}
    worker = subprocess.Popen([REKINDLE, "tune", "--quiet", str(tmp_path / "job.yaml")], env=environ)
    app = build(load_settings(environ))

    def trials() -> tuple[TrainingJob, ...]:
        jobs = [j for j in tuning_jobs(app) if j.name == "halving"]
        return app.store.jobs_of(jobs[0].id) if jobs else ()

    # The others may be through before the first has begun to train.
    until(lambda: len(trials()) >= 12 and len(app.store.points(trials()[0].id, "loss")) == 3)
    kill_run("halving-001-", str(go))
    until(lambda: trials()[0].attempt == 2)
    go.touch()
    assert worker.wait(timeout=400) == 0
    (first, *later) = trials()
    assert first.status is TrainingJobStatus.COMPLETED
    assert len(app.store.curves_of_attempts(first.tuning_job_id or 0)[first.id, 1]) == 3
    assert sum(first.attempt_at(t.proposal["seen_seq"]) == 1 for t in later) >= 11
    told = subprocess.run([REKINDLE, "verify", "halving"], env=environ, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "halving: 16 of 16 suggestions follow from what they saw, bit for bit.\n")


def tuning_jobs(app: App) -> Sequence[TuningJob]:
    return app.store.tuning_jobs(app.owner, JobFilter(), Page())[0]


def kill_run(name: str, go: str) -> None:
    """Kills a training job's supervisor by SIGKILL, and its program."""
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if environ.get("GO") == go and environ.get("TRAINING_JOB_NAME", "").startswith(name):
                parent = process.parent()
                if parent is not None and "supervisor" in " ".join(parent.cmdline()):
                    parent.kill()
                process.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
