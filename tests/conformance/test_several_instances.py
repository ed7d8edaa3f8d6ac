"""A training job of several instances is several processes of this machine, all or none."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rekindle.domain.training_job import Algorithm, Channel, Resources
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import RunState
from rekindle.executors import opt_ml
from rekindle.executors.host import Host
from rekindle.executors.process import ProcessExecutor

from .executor_suite import KEY, WAIT_FOREVER, Bench, archived, finished
from .supervised_suite import ENVIRONMENT

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


#: Each host listens, and tells the others its port by a file; then it calls each by its name.
CALLS = HOST + (
    "import json, socket\n"
    "hosts = json.loads(os.environ['SM_HOSTS'])\n"
    "server = socket.create_server((host, 0))\n"
    "def place(name): return os.environ['SM_MODEL_DIR'] + '/' + name\n"
    "open(place(host + '.new'), 'w').write(str(server.getsockname()[1]))\n"
    "os.rename(place(host + '.new'), place(host))\n"
    "while not all(os.path.exists(place(name)) for name in hosts): time.sleep(0.01)\n"
    "calls = [socket.create_connection((name, int(open(place(name)).read()))) for name in hosts]\n"
    "for call in calls: call.sendall(host.encode()); call.close()\n"
    "heard = [server.accept()[0].makefile().read() for _ in hosts]\n"
    "print(sorted(heard))\n"
)


def test_hosts_find_each_other_by_name(bench: Bench, executor: ProcessExecutor, tmp_path: Path) -> None:
    if problem := opt_ml.probe(str(tmp_path)):
        pytest.skip(f"this machine gives no process a view of its own: {problem}")
    before = Path("/etc/hosts").read_bytes()
    executor.launch(bench.run(CALLS, resources=THREE))
    assert finished(executor).state is RunState.COMPLETED, log_of(executor)
    heard = "['algo-1', 'algo-2', 'algo-3']\n"
    assert log_of(executor) == dict.fromkeys(("algo-1", "algo-2", "algo-3"), heard)
    assert Path("/etc/hosts").read_bytes() == before


def test_a_command_that_is_not_there_is_named_though_several_hosts_look_for_it(bench: Bench, executor: ProcessExecutor) -> None:
    run = bench.run("", resources=THREE)
    executor.launch(replace(run, spec=replace(run.spec, algorithm=Algorithm(command="no-such-program"))))
    report = finished(executor)
    assert report.failure_reason.startswith("ClientError: the program 'no-such-program' could not be started: No such file")


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
