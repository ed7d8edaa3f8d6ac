"""What a tuning job can ask for beyond one program at a time, through real processes: retries, instances, definitions."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from rekindle.bootstrap import App, build
from rekindle.companions.readers import JobLogs
from rekindle.domain.errors import InvalidValue
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Algorithm, Checkpoints, Resources, TrainingJob, TrainingJobStatus, TrainingSpec
from rekindle.domain.tuning_job import TuningJobSpec, TuningJobStatus, WarmStart, WarmStartType
from rekindle.domain.tuning_rules import RELAXED
from rekindle.engine.commands import create_tuning_job
from rekindle.engine.queries import describe
from rekindle.executors.journal import JournalReader
from rekindle.settings import load_settings
from support.specs import tuning_spec

REKINDLE = str(Path(sys.executable).parent / "rekindle")


@pytest.fixture
def app(tmp_path: Path) -> App:
    return build(load_settings({**os.environ, "REKINDLE_HOME": str(tmp_path / "home")}))


def training(script: str, **fields: object) -> TrainingSpec:
    metrics = (MetricDefinition("loss", "loss=([-+0-9.e]+)"),)
    return replace(TrainingSpec(Algorithm(command=f"sh -c '{script}'", arguments_style="none", metrics=metrics)), **fields)


def create(app: App, spec: TuningJobSpec) -> None:
    create_tuning_job(app.store, app.executor, app.clock, app.owner, spec, RELAXED)


def work(app: App, until: Callable[[], bool], seconds: float = 400.0) -> None:
    end = time.monotonic() + seconds
    app.worker("tuning:1").run(lambda: until() or time.monotonic() > end)
    assert until(), "took too long"


def trials(app: App) -> tuple[TrainingJob, ...]:
    return app.store.jobs_of(1)


def ended(app: App) -> bool:
    return app.store.tuning_job_by_id(1).status.is_terminal


def test_a_killed_attempt_is_followed_by_another_of_the_same_name_with_its_checkpoints(app: App, tmp_path: Path) -> None:
    script = (
        "C=$SM_CHECKPOINT_DIR/step; if [ -e $C ]; then echo loss=$(cat $C); "
        "else echo 0.25 > $C; echo begun; printf half; sleep 600; fi"
    )
    spec = training(script, checkpoints=Checkpoints(str(tmp_path / "kept")), max_retries=1)
    create(app, tuning_spec(jobs=1, parallel=1, training=spec))
    # What a supervisor has not read yet dies with it.
    work(app, lambda: [app.executor.read_log(app.owner, t.name)[0] for t in trials(app)] == [b"begun\nhalf"])
    (before,) = trials(app)
    assert (before.attempt, before.status) == (1, TrainingJobStatus.IN_PROGRESS)
    (journal,) = (tmp_path / "home").rglob("1/journal.jsonl")
    reader = JournalReader(journal)
    assert reader.read()
    psutil.Process(reader.supervisor[0]).kill()
    counted: list[int] = []

    def look() -> bool:
        counted.append(describe(app.store, app.owner, "job").counters.retryable_error)
        return ended(app)

    work(app, look)
    (after,) = trials(app)
    assert (after.name, after.attempt, after.status) == (before.name, 2, TrainingJobStatus.COMPLETED)
    assert after.objective_value == 0.25, "the second attempt went on from the first one's checkpoint"
    assert [t.status.value for t in after.transitions][:4] == ["Starting", "Training", "Interrupted", "Starting"]
    assert max(counted) == 1
    assert counted[-1] == 0
    logs = JobLogs(app.store, app.executor)
    streams = [s.name for s in logs.streams(app.owner, f"{after.name}/", "", 10)]
    assert len(set(streams)) == 2, "each attempt has a stream of its own, the earlier one first"
    assert [[e.message for e in logs.events(app.owner, s, 0, 10) or ()] for s in streams] == [["begun", "half"], ["loss=0.25"]]


def test_each_instance_has_a_log_and_a_stream_of_its_own(app: App, tmp_path: Path) -> None:
    spec = training("echo I am $SM_CURRENT_HOST; echo loss=1", resources=Resources(instance_count=2))
    create(app, tuning_spec(jobs=1, parallel=1, training=spec))
    work(app, lambda: ended(app))
    (job,) = trials(app)
    logs = JobLogs(app.store, app.executor)
    streams = [s.name for s in logs.streams(app.owner, f"{job.name}/", "", 10)]
    assert [s.rpartition("-")[0] for s in streams] == [f"{job.name}/algo-1", f"{job.name}/algo-2"]
    said = [[e.message for e in logs.events(app.owner, s, 0, 10) or ()] for s in streams]
    assert said == [["I am algo-1", "loss=1"], ["I am algo-2", "loss=1"]]
    environ = {**os.environ, "REKINDLE_HOME": str(tmp_path / "home")}
    printed = subprocess.run([REKINDLE, "logs", job.name], env=environ, capture_output=True, text=True, check=True).stdout
    expected = ["[algo-1] I am algo-1", "[algo-1] loss=1", "[algo-2] I am algo-2", "[algo-2] loss=1"]
    assert printed.splitlines() == expected
    one = [REKINDLE, "logs", job.name, "--instance", "algo-2"]
    assert subprocess.run(one, env=environ, capture_output=True, text=True, check=True).stdout == "I am algo-2\nloss=1\n"
    wrong = subprocess.run([*one[:-1], "algo-9"], env=environ, capture_output=True, text=True, check=False)
    assert (wrong.returncode, "the training job has algo-1, algo-2" in wrong.stderr) == (2, True)
    first = subprocess.run([*one, "--attempt", "1"], env=environ, capture_output=True, text=True, check=True)
    assert first.stdout == "I am algo-2\nloss=1\n"
    never = subprocess.run([*one, "--attempt", "2"], env=environ, capture_output=True, text=True, check=False)
    assert (never.returncode, "the training job has had 1" in never.stderr) == (2, True)
    apart = {**environ, "REKINDLE_HOME": str(tmp_path / "apart"), "REKINDLE_DATABASE_URL": app.settings.database_url}
    elsewhere = subprocess.run([REKINDLE, "logs", job.name], env=apart, capture_output=True, text=True, check=False)
    assert (elsewhere.returncode, elsewhere.stdout) == (2, "")
    assert f"The log of {job.name} is not in this home folder" in elsewhere.stderr


def test_several_definitions_run_and_what_does_not_go_with_them_is_refused(app: App) -> None:
    base = tuning_spec(jobs=8, parallel=2)
    good, poor = (
        replace(base.definition, name=name, training=training(f"echo loss={loss}"))
        for name, loss in (("good", 0.1), ("poor", 5))
    )
    spec = replace(base, definitions=(good, poor))
    with pytest.raises(InvalidValue, match="early_stopping"):
        create(app, replace(spec, early_stopping=True))
    with pytest.raises(InvalidValue, match="warm_start"):
        create(app, replace(spec, warm_start=WarmStart(WarmStartType.TRANSFER, ("other",))))
    create(app, spec)
    work(app, lambda: ended(app))
    assert app.store.tuning_job_by_id(1).status is TuningJobStatus.COMPLETED
    counts = Counter(t.definition_name for t in trials(app))
    assert counts["good"] > counts["poor"] >= 1
    assert {t.objective_value for t in trials(app) if t.definition_name == "good"} == {0.1}
    shown = describe(app.store, app.owner, "job")
    assert shown.best is not None
    assert shown.best.definition_name == "good"
    assert json.dumps(dict(shown.best.tuned))
    environ = {**os.environ, "REKINDLE_HOME": str(app.settings.home)}
    table = subprocess.run([REKINDLE, "trials", "job", "--csv"], env=environ, capture_output=True, text=True, check=True).stdout
    assert Counter(row["definition"] for row in csv.DictReader(table.splitlines())) == counts
    text = subprocess.run([REKINDLE, "trials", "job"], env=environ, capture_output=True, text=True, check=True).stdout
    assert "definition" in text.splitlines()[0]
    text = subprocess.run([REKINDLE, "best", "job"], env=environ, capture_output=True, text=True, check=True).stdout
    assert ["definition", "good"] in [line.split() for line in text.splitlines()]
