"""Training jobs as runs of the real MLflow, in a database of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest

from rekindle.engine.imports import Result
from rekindle.exchange.mlflow_runs import write_runs
from support.postgres import running_server
from support.serving import until

REKINDLE = str(Path(sys.executable).parent / "rekindle")
EXPORT = ("export", "old", "--as", "mlflow", "--to")
#: As long as a hyperparameter's value may be.
LONG = "8," * 1250
ROWS = """\
x,k@1,status,loss,started_at,ended_at,name
0.5,a,,0.25,2026-01-01T00:00:00+00:00,2026-01-01T00:00:05+00:00,t-1
1,b,Failed,,,,t-2
"""
JOB = f"""\
name: old
command: python train.py
objective: {{metric: loss, goal: minimize, regex: 'loss=([0-9.]+)'}}
ranges: {{x: {{min: 0, max: 1}}, "k@1": [a, b]}}
static: {{depth: 3, layers: "{LONG}"}}
limits: {{jobs: 2}}
"""
CUT = """\
import sys
from mlflow import MlflowClient
MlflowClient.set_terminated = lambda *_, **__: sys.exit(9)
from rekindle.cli.main import main
main(sys.argv[1:])
"""
SLOW = """\
import sys, time
from pathlib import Path
from mlflow import MlflowClient
create_run = MlflowClient.create_run
def slowly(*args, **kwargs):
    Path("begun").touch()
    while not Path("other").read_text():
        time.sleep(0.05)
    return create_run(*args, **kwargs)
MlflowClient.create_run = slowly
from rekindle.cli.main import main
main(sys.argv[1:])
"""
READ = """\
import json, sys
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1])
runs = client.search_runs([client.get_experiment_by_name("old").experiment_id], order_by=["attributes.run_name"])
told = [[r.info.run_name, r.info.status, r.data.params, r.data.metrics, r.info.end_time - r.info.start_time] for r in runs]
print(json.dumps(told))
"""


def test_training_jobs_become_runs_once(tmp_path: Path) -> None:
    environ = {**os.environ, "REKINDLE_HOME": str(tmp_path / "home")}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "old.yaml").write_text(JOB)
    (tmp_path / "rows.csv").write_text(ROWS)
    run(REKINDLE, "import", "old.yaml", "rows.csv")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert subprocess.run([sys.executable, "-c", CUT, *EXPORT, uri], cwd=tmp_path, env=environ, check=False).returncode == 9
    names = [trial["name"] for trial in json.loads(run(REKINDLE, "trials", "old", "--json"))]
    first = run(REKINDLE, *EXPORT, uri)
    assert "2 runs are added to experiment old" in first
    assert "note: k@1 is called k_1 there" in first
    again = run(REKINDLE, *EXPORT, uri)
    assert "0 runs are added" in again
    assert "2 were there already" in again
    found: list[Any] = json.loads(run(sys.executable, "-c", READ, uri))
    assert found == [
        [names[0], "FINISHED", {"x": "0.5", "k_1": "a", "depth": "3", "layers": LONG}, {"loss": 0.25}, 5000],
        [names[1], "FAILED", {"x": "1.0", "k_1": "b", "depth": "3", "layers": LONG}, {}, 0],
    ]


def test_two_exports_at_once_write_each_run_once(tmp_path: Path) -> None:
    _two_at_once(tmp_path, {"REKINDLE_HOME": str(tmp_path / "home")}, {})


def test_two_homes_on_one_database_that_export_at_once_write_each_run_once(tmp_path: Path) -> None:
    """The second took what the first was about to write for the left-over of a killed export, and deleted it."""
    with running_server() as url:
        one, other = ({"REKINDLE_HOME": str(tmp_path / home), "REKINDLE_DATABASE_URL": url} for home in ("one", "two"))
        _two_at_once(tmp_path, one, other)


def _two_at_once(tmp_path: Path, one: Mapping[str, str], other: Mapping[str, str]) -> None:
    (tmp_path / "old.yaml").write_text(JOB)
    (tmp_path / "rows.csv").write_text(ROWS)
    uri, said = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "other"

    def start(environ: Mapping[str, str], *command: str, **where: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **one, **environ}, text=True, **where)

    assert start(one, REKINDLE, "import", "old.yaml", "rows.csv").wait() == 0
    with said.open("w") as told:
        first = start(one, sys.executable, "-c", SLOW, *EXPORT, uri, stdout=subprocess.PIPE)
        until((tmp_path / "begun").exists)
        # The first goes on once the second says that it waits.
        second = start(other, sys.executable, "-u", REKINDLE, *EXPORT, uri, stdout=subprocess.PIPE, stderr=told)
        try:
            assert "2 runs are added" in first.communicate()[0]
            assert "0 runs are added" in second.communicate()[0]
        finally:
            first.kill()
            second.kill()
    assert "waits for another export of old to MLflow" in said.read_text()


@pytest.mark.filterwarnings("ignore")  # of what MLflow itself uses
def test_an_export_beside_another_into_the_same_experiment_leaves_its_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from another home, or of another tuning job under this name."""
    uri, client = f"sqlite:///{tmp_path}/mlflow.db", mlflow.MlflowClient
    find, log = client.get_experiment_by_name, client.log_batch
    beside = lambda: write_runs(uri, "e", "loss", "minimize", {}, [Result("", {}, 2.0, name="b")], {})  # noqa: E731

    def found_late(self: mlflow.MlflowClient, name: str) -> Any:
        monkeypatch.setattr(client, "get_experiment_by_name", find)
        found = find(self, name)
        self.create_experiment(name)
        return found

    def logged_late(self: mlflow.MlflowClient, *args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(client, "log_batch", log)
        assert beside() == 1
        log(self, *args, **kwargs)

    monkeypatch.setattr(client, "get_experiment_by_name", found_late)
    monkeypatch.setattr(client, "log_batch", logged_late)
    assert write_runs(uri, "e", "loss", "minimize", {}, [Result("", {}, 1.0, name="a")], {}) == 1
    there = client(uri)
    runs = there.search_runs([there.get_experiment_by_name("e").experiment_id])
    assert sorted((r.info.run_name, r.info.status, r.data.metrics["loss"]) for r in runs) == [
        ("a", "FINISHED", 1.0),
        ("b", "FINISHED", 2.0),
    ]
