"""A training job of several instances is several processes of this machine, all or none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rekindle.domain.training_job import Channel, Resources
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import RunState
from rekindle.executors.host import Host
from rekindle.executors.process import ProcessExecutor

from .executor_suite import KEY, WAIT_FOREVER, Bench, archived, finished
from .test_executor_process import ENVIRONMENT

THREE = Resources(instance_count=3)
HOST = "host = os.environ['SM_CURRENT_HOST']\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, sys.executable)


@pytest.fixture
def executor(bench: Bench) -> ProcessExecutor:
    return ProcessExecutor(Host(bench.home, ENVIRONMENT, grace_seconds=0.2), SystemClock())


def log_of(executor: ProcessExecutor) -> dict[str, str]:
    """The log of each instance."""
    return {host: executor.read_log(KEY.owner, KEY.name, host=host)[0].decode() for host in ("algo-1", "algo-2", "algo-3")}


def test_each_host_knows_who_it_is_and_gets_its_part(bench: Bench, executor: ProcessExecutor, tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    for name in ("a", "b", "c", "d", "deep/e"):
        (tmp_path / "data" / name).write_text(name)
    channels = (
        Channel("parts", str(tmp_path / "data"), distribution="ShardedByS3Key"),
        Channel("whole", str(tmp_path / "data")),
    )
    script = HOST + (
        "import json\n"
        "told = json.load(open(os.environ['SM_INPUT_CONFIG_DIR'] + '/resourceconfig.json'))\n"
        "assert told['current_host'] == host and json.loads(os.environ['SM_RESOURCE_CONFIG']) == told\n"
        "parts = os.environ['SM_CHANNEL_PARTS']\n"
        "seen = sorted(os.path.relpath(os.path.join(p, n), parts) for p, _, names in os.walk(parts) for n in names)\n"
        "open(os.environ['SM_MODEL_DIR'] + '/' + host, 'w').write(json.dumps([told['hosts'], seen]))\n"
        "print(len(os.listdir(os.environ['SM_CHANNEL_WHOLE'])), json.loads(os.environ['SM_TRAINING_ENV'])['is_master'])\n"
        "open('own', 'x'); open(os.environ['SM_CHECKPOINT_DIR'] + '/' + host, 'x')\n"
    )
    run = bench.run(script, channels=channels, resources=THREE)
    executor.check(run.spec)
    executor.launch(run)
    report = finished(executor)
    assert report.state is RunState.COMPLETED, log_of(executor)
    hosts = ["algo-1", "algo-2", "algo-3"]
    told = {name: json.loads(text) for name, text in archived(report.model_uri).items()}
    assert told == {h: [hosts, part] for h, part in zip(hosts, (["a", "d"], ["b", "deep/e"], ["c"]), strict=True)}
    assert log_of(executor) == {"algo-1": "5 True\n", "algo-2": "5 False\n", "algo-3": "5 False\n"}
    assert executor.read_log(KEY.owner, KEY.name) == (b"5 True\n", 7)
    assert sorted(p.name for p in (bench.home / "tuning" / KEY.name / "checkpoints").iterdir()) == hosts


def test_one_that_fails_ends_all_and_its_reason_counts(bench: Bench, executor: ProcessExecutor) -> None:
    script = HOST + (
        "print('loss=' + host[-1], flush=True)\n"
        "mark(host)\n"
        "while host != 'algo-2': time.sleep(0.01)\n"
        f"while len(os.listdir({str(bench.marks)!r})) < 3: time.sleep(0.01)\n"
        "sys.exit('no good')\n"
    )
    executor.launch(bench.run(script, resources=THREE))
    report = finished(executor)
    assert report.state is RunState.FAILED
    assert report.exit_code == 1
    assert report.failure_reason.endswith("no good, exit code: 1")
    assert sorted(p.value for p in report.points) == [1, 2, 3]
    assert log_of(executor) == {"algo-1": "loss=1\n", "algo-2": "loss=2\nno good\n", "algo-3": "loss=3\n"}


def test_a_stop_reaches_every_host(bench: Bench, executor: ProcessExecutor) -> None:
    ignoring = "if host == 'algo-2': signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    executor.launch(bench.run(HOST + ignoring + "mark(host)\n" + WAIT_FOREVER, resources=THREE))
    for name in ("algo-1", "algo-2", "algo-3"):
        bench.await_mark(name)
    executor.stop(KEY)
    assert finished(executor).state is RunState.STOPPED


def test_the_last_value_is_that_of_the_last_host(bench: Bench, executor: ProcessExecutor) -> None:
    script = HOST + (
        "first = host == 'algo-1'\n"
        "done = os.path.dirname(os.environ['SM_MODEL_DIR'].replace('/hosts/algo-2', '')) + '/model/first'\n"
        "while not first and not os.path.exists(done): time.sleep(0.01)\n"
        "print('loss=' + host[-1], flush=True)\n"
        "if first: open(done, 'x')\n"
    )
    executor.launch(bench.run(script, resources=Resources(instance_count=2)))
    assert [p.value for p in finished(executor).points] == [1, 2]
