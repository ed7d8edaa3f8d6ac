"""Training jobs on a real Ray cluster: as a user has them, and through the death of everything on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from conformance.executor_suite import KEY, WAIT_FOREVER, Bench, finished
from conformance.executor_suite import until as soon
from conformance.supervised_suite import ENVIRONMENT, supervisor_of
from rekindle.domain.training_job import Resources
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Executor, RunKey, RunState
from rekindle.executors.host import Host
from rekindle.executors.instances import parse_instances
from rekindle.executors.process import ProcessExecutor
from rekindle.executors.ray_cluster import RayCluster
from support.processes import alive
from support.serving import REKINDLE

from .conftest import TOKEN, RayHead

TRAINER = """\
import os, sys
print("on ray", "RAY_ADDRESS" in os.environ, os.environ["OMP_NUM_THREADS"], os.environ["TOKEN"])
print("loss=" + sys.argv[2])
open(os.environ["SM_MODEL_DIR"] + "/m", "w").write(sys.argv[2])
"""
JOB = f"""\
name: lab
command: {sys.executable} -I -S train.py
source: code
objective: {{metric: loss, goal: minimize, regex: 'loss=(.*)'}}
ranges: {{x: {{min: 0, max: 1}}}}
limits: {{jobs: 3, parallel: 2}}
resources: {{cpus: 2}}
environment: {{TOKEN: of-nobody-else}}
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, sys.executable)


def executor_of(bench: Bench, head: RayHead, **more: Any) -> Executor:
    return ProcessExecutor(
        Host(bench.home, {**ENVIRONMENT, "RAY_AUTH_TOKEN": TOKEN}, cluster=RayCluster(head.address), **more), SystemClock()
    )


def tune(folder: Path, head: RayHead, *before: str) -> subprocess.CompletedProcess[str]:
    """`rekindle tune` of a job file."""
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_text(TRAINER)
    (folder / "job.yaml").write_text(JOB)
    environ = {
        **os.environ,
        "REKINDLE_HOME": str(folder / "home"),
        "REKINDLE_RAY_ADDRESS": head.address,
        "RAY_AUTH_TOKEN": TOKEN,
    }
    command = [*before, REKINDLE, "tune", str(folder / "job.yaml"), "--json"]
    return subprocess.run(command, env=environ, capture_output=True, text=True)


def test_a_tuning_job_runs_on_the_cluster_and_tells_it_no_secrets(head: RayHead, tmp_path: Path) -> None:
    done = tune(tmp_path, head)
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["best"]
    environ = {**os.environ, "REKINDLE_HOME": str(tmp_path / "home")}
    log = subprocess.run([REKINDLE, "logs", best["name"]], env=environ, capture_output=True, text=True).stdout
    assert log.splitlines()[0] == "on ray True 2 of-nobody-else"
    ours = [job for job in head.jobs() if job["submission_id"].startswith("rekindle-lab-")]
    assert [job["status"] for job in ours] == ["SUCCEEDED"] * 3
    assert best["name"] in {job["metadata"]["rekindle"] for job in ours}
    assert "of-nobody-else" not in json.dumps(ours)


def test_an_attempt_begins_with_the_end_of_the_one_before_though_all_who_watched_it_are_dead(
    head: RayHead, bench: Bench
) -> None:
    mine = f"open({str(bench.marks)!r} + '/pid', 'w').write(str(os.getpid()))\n"
    executor_of(bench, head).launch(bench.run(mine + WAIT_FOREVER))
    bench.await_mark("ready")
    supervisor = supervisor_of(bench.home, KEY)
    watchers = [supervisor.parent(), supervisor, *supervisor.children()]
    for process in watchers:
        process.kill()
    psutil.wait_procs(watchers, 30)
    former = int((bench.marks / "pid").read_text())
    assert alive(former)
    # What a lost attempt's orders say would end it by itself; here a machine without them takes over.
    orders = bench.home / "tuning" / KEY.name / ".rekindle" / "1" / "orders"
    orders.write_bytes(orders.read_bytes().replace(b"\0ask\0", b"\0not\0"))
    again = RunKey(KEY.name, 2)
    after = executor_of(bench, head)
    after.launch(bench.run(f"print(os.path.exists('/proc/{former}/cmdline') and 'both run' or 'alone')", key=again))
    assert finished(after, again).state is RunState.COMPLETED
    assert after.read_log(KEY.owner, KEY.name)[0] == b"alone\n"
    assert not alive(former)


def test_a_head_that_is_silent_for_a_while_changes_nothing(head: RayHead, bench: Bench) -> None:
    executor = executor_of(bench, head)
    executor.launch(bench.run(f"mark('ready')\nwhile not os.path.exists({str(bench.marks / 'go')!r}): time.sleep(0.01)"))
    bench.await_mark("ready")
    dashboard = head.dashboard()
    dashboard.send_signal(signal.SIGSTOP)
    try:
        (bench.marks / "go").touch()
        executor.wait([KEY], 2.0)
        assert executor.report(KEY).state is RunState.RUNNING
    finally:
        dashboard.send_signal(signal.SIGCONT)
    report = finished(executor)
    assert (report.state, report.failure_reason) == (RunState.COMPLETED, None)


def test_a_program_is_ended_though_the_head_is_silent(head: RayHead, bench: Bench) -> None:
    executor = executor_of(bench, head)
    goodbye = "signal.signal(signal.SIGTERM, lambda *_: (print('goodbye', flush=True), os._exit(5)))\n"
    executor.launch(bench.run(goodbye + WAIT_FOREVER))
    bench.await_mark("ready")
    dashboard = head.dashboard()
    dashboard.send_signal(signal.SIGSTOP)
    try:
        executor.stop(KEY)
        report = finished(executor)
    finally:
        dashboard.send_signal(signal.SIGCONT)
    assert (report.state, report.exit_code) == (RunState.STOPPED, 5)
    assert executor.read_log(KEY.owner, KEY.name)[0] == b"goodbye\n"


def test_who_stops_the_job_in_ray_is_told_of(head: RayHead, bench: Bench) -> None:
    executor = executor_of(bench, head)
    executor.launch(bench.run(WAIT_FOREVER))
    bench.await_mark("ready")
    (running,) = [job["submission_id"] for job in head.jobs() if job["status"] == "RUNNING"]
    head.stop(running)
    report = finished(executor)
    assert report.state is RunState.FAILED
    assert report.failure_reason == "ClientError: The job was stopped in the Ray cluster by somebody else., exit code: 1"


def test_a_job_waits_for_what_it_asks_for_and_can_be_stopped_then(head: RayHead, bench: Bench) -> None:
    executor = executor_of(bench, head, instances=parse_instances("ml.big=cpus:3"))
    big = Resources(instance_type="ml.big")
    executor.launch(bench.run(WAIT_FOREVER, resources=big))
    bench.await_mark("ready")
    second = RunKey("waits", 1)
    executor.launch(bench.run("mark('second')", key=second, resources=big))
    soon(lambda: "PENDING" in [job["status"] for job in head.jobs()], "the job that waits")
    executor.stop(second)
    assert finished(executor, second).state is RunState.STOPPED
    executor.stop(KEY)
    assert finished(executor).state is RunState.STOPPED
    # Ray cannot take a job out of its queue: it begins now, and finds nothing to run.
    soon(lambda: not {"PENDING", "RUNNING"} & {job["status"] for job in head.jobs()}, "the end of the queue")
    assert bench.marked("second") == 0


def test_a_token_that_the_cluster_does_not_take_is_told_before_anything_runs(head: RayHead, tmp_path: Path) -> None:
    done = tune(tmp_path, head, "env", "RAY_AUTH_TOKEN=of-another")
    assert done.returncode == 4
    asked = f"error: REKINDLE_RAY_ADDRESS: '{head.address}': no Ray cluster can be reached there: 403: Forbidden"
    assert done.stderr.startswith(asked)
    assert "RAY_AUTH_TOKEN" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a view of its own")
def test_a_folder_that_the_nodes_do_not_have_is_named(head: RayHead, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    hidden = f'mount -t tmpfs none "{tmp_path}/home" && exec "$@"'
    done = tune(tmp_path, head, "unshare", "--mount", "sh", "-c", hidden, "sh")
    assert done.returncode == 1
    assert "does not have the folder" in done.stderr


# The nodes of a head that is gone get their minute.
@pytest.mark.slow
def test_a_job_that_goes_down_with_its_cluster_is_run_again(head: RayHead, bench: Bench) -> None:
    executor = executor_of(bench, head)
    executor.launch(bench.run(WAIT_FOREVER))
    bench.await_mark("ready")
    head.end()
    head.start()
    report = finished(executor)
    # A reason that begins like this is no fault of the job's: it is tried again.
    why = "InternalServerError: The Ray cluster lost the training job: it knows nothing of the job any more"
    assert (report.state, report.failure_reason) == (RunState.FAILED, why)
    again = RunKey(KEY.name, 2)
    executor.launch(bench.run("mark('again')", key=again))
    assert finished(executor, again).state is RunState.COMPLETED
    assert bench.marked("again") == 1


# A node gets its minute.
@pytest.mark.slow
def test_a_job_does_not_run_on_beside_its_next_attempt_where_its_node_goes_down_alone(head: RayHead, bench: Bench) -> None:
    executor = executor_of(bench, head, instances=parse_instances("ml.big=cpus:6"))
    mine = f"open({str(bench.marks)!r} + '/pid', 'w').write(str(os.getpid()))\n"
    with head.another_node(6) as raylet:
        executor.launch(bench.run(mine + WAIT_FOREVER, resources=Resources(instance_type="ml.big")))
        bench.await_mark("ready")
        former = int((bench.marks / "pid").read_text())
        raylet.kill()
        report = finished(executor)
        assert report.failure_reason.startswith("InternalServerError: The Ray cluster lost the training job: ")
        again = RunKey(KEY.name, 2)
        executor.launch(bench.run(f"print(os.path.exists('/proc/{former}/cmdline') and 'both run' or 'alone')", key=again))
        assert finished(executor, again).state is RunState.COMPLETED
        assert executor.read_log(KEY.owner, KEY.name)[0] == b"alone\n"
