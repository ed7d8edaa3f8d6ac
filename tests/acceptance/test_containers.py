"""Training jobs in real containers, by podman and by docker's client; skipped where no engine runs a container."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rekindle.domain.errors import Unsupported
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Algorithm, Channel, Checkpoints, Resources, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Report, Run, RunKey, RunState
from rekindle.executors import orders
from rekindle.executors.host import Host
from rekindle.executors.images import ImageRule
from rekindle.executors.journal import JournalReader
from rekindle.executors.process import ProcessExecutor
from support import containers
from support.containers import IMAGE, Engine

RULE = ImageRule("rekindle-test", run="container")


@pytest.fixture(scope="module")
def podman() -> Iterator[Engine]:
    with containers.podman() as found:
        if isinstance(found, str):
            pytest.skip(f"no container can be run here: {found}")
        yield found


@pytest.fixture(scope="module", params=["podman", "docker"])
def engine(request: pytest.FixtureRequest, podman: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "podman":
        yield podman
        return
    with containers.docker(podman, tmp_path_factory.mktemp("docker")) as found:
        if isinstance(found, str):
            pytest.skip(found)
        yield found


def rule_of(engine: Engine, *options: str) -> ImageRule:
    return ImageRule("*", "container", engine=engine.name, options=options or engine.options)  # type: ignore[arg-type]


def executor(engine: Engine, home: Path, grace: float = 120.0, rule: ImageRule | None = None) -> ProcessExecutor:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "SECRET": "of the shell", **engine.environ}
    return ProcessExecutor(Host(home, environment, grace_seconds=grace, images=[rule or rule_of(engine)]), SystemClock())


def shell(script: str) -> Algorithm:
    return Algorithm(image=IMAGE, entrypoint=("/bin/sh", "-c"), arguments=(script,))


def ended(runs: ProcessExecutor, key: RunKey) -> Report:
    while (report := runs.report(key)).state is RunState.RUNNING:
        runs.wait([key], 30.0)
    return report


def log(runs: ProcessExecutor, key: RunKey, host: str = "") -> str:
    return runs.read_log(key.owner, key.name, host=host)[0].decode()


def until_logged(runs: ProcessExecutor, key: RunKey, word: str) -> None:
    for _ in range(2000):
        if word in log(runs, key):
            return
        runs.wait([key], 0.05)
    raise AssertionError(log(runs, key))


def names(engine: Engine) -> list[str]:
    return engine.ask("ps", "--all", "--format", "{{.Names}}").split()


def run(runs: ProcessExecutor, spec: TrainingSpec, values: Mapping[str, str] | None = None, name: str = "job") -> Report:
    runs.check(spec, values or {})
    runs.launch(Run(RunKey(name, 1), spec, values or {}))
    return ended(runs, RunKey(name, 1))


def test_the_image_s_own_entry_point_is_told_to_train(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows").write_text("one row")
    spec = TrainingSpec(
        Algorithm(image=IMAGE, metrics=(MetricDefinition("objective", "objective=([0-9.]+);"),)),
        channels=(Channel("train", str(tmp_path / "data")), Channel("one", str(tmp_path / "data" / "rows"))),
        environment={"WORDS": "of several\nlines", "DOCKER_HOST": "nowhere", "http_proxy": "http://127.0.0.1:9"},
    )
    runs = executor(engine, tmp_path / "home")
    report = run(runs, spec, {"lr": "0.1", "quoted": '"x"'})
    printed = log(runs, RunKey("job", 1))
    assert report.state is RunState.COMPLETED, (report, printed)
    assert "told: train\n" in printed
    assert '"quoted": "\\"x\\""' in printed
    assert printed.count("input: one row\n") == 2
    for line in ("WORDS=of several\nlines\n", "DOCKER_HOST=nowhere\n", "http_proxy=http://127.0.0.1:9\n", "HOSTNAME=algo-1\n"):
        assert line in printed
    assert "TRAINING_JOB_NAME=job\n" in printed
    assert "of the shell" not in printed
    assert "container.json" not in printed
    assert [point.value for point in report.points] == [0.25]
    assert report.model_uri is not None
    assert names(engine) == []


def test_an_exit_code_and_a_reason_come_out(engine: Engine, tmp_path: Path) -> None:
    runs = executor(engine, tmp_path / "home")
    report = run(runs, TrainingSpec(shell("echo 'bad row 7' > /opt/ml/output/failure; exit 7")))
    assert (report.state, report.exit_code) == (RunState.FAILED, 7)
    assert report.failure_reason == "AlgorithmError: bad row 7, exit code: 7"
    assert names(engine) == []


def test_what_cannot_be_started_says_why(engine: Engine, tmp_path: Path) -> None:
    runs = executor(engine, tmp_path / "home")
    report = run(runs, TrainingSpec(Algorithm(image=IMAGE, entrypoint=("/no/such/program",))))
    assert report.state is RunState.FAILED
    # Podman's service tells docker's client only that it could not attach.
    assert ("/no/such/program" if engine.name == "podman" else "409") in str(report.failure_reason)
    spec = TrainingSpec(Algorithm(image="127.0.0.1:1/rekindle-test:none"))
    report = run(runs, spec, name="no-image")
    assert report.state is RunState.FAILED
    assert str(report.failure_reason).startswith("ClientError: The container could not be made: ")
    assert names(engine) == []


def test_a_stop_is_a_sigterm_with_grace(engine: Engine, tmp_path: Path) -> None:
    script = "trap 'echo told; echo kept > /opt/ml/model/weights; exit 3' TERM; echo ready; while true; do sleep 0.1; done"
    runs = executor(engine, tmp_path / "home")
    key = RunKey("job", 1)
    runs.launch(Run(key, TrainingSpec(shell(script)), {}))
    until_logged(runs, key, "ready")
    runs.stop(key)
    report = ended(runs, key)
    assert report.state is RunState.STOPPED
    assert log(runs, key).count("told") == 1
    assert (tmp_path / "home" / "_" / "job" / "model" / "weights").read_text() == "kept\n"
    assert names(engine) == []


def test_who_does_not_heed_a_stop_is_killed(engine: Engine, tmp_path: Path) -> None:
    runs = executor(engine, tmp_path / "home", grace=1.0)
    key = RunKey("job", 1)
    runs.launch(Run(key, TrainingSpec(shell("trap '' TERM; echo ready; while true; do sleep 0.1; done")), {}))
    until_logged(runs, key, "ready")
    runs.stop(key)
    assert ended(runs, key).state is RunState.STOPPED
    assert names(engine) == []


def test_the_run_time_limit_ends_it(engine: Engine, tmp_path: Path) -> None:
    runs = executor(engine, tmp_path / "home", grace=1.0)
    report = run(runs, TrainingSpec(shell("while true; do sleep 0.1; done"), max_runtime_seconds=2))
    assert report.state is RunState.TIMED_OUT
    assert names(engine) == []


def test_it_outlives_the_server_and_is_found_again(engine: Engine, tmp_path: Path) -> None:
    key = RunKey("job", 1)
    first = executor(engine, tmp_path / "home")
    script = "echo ready; while [ ! -e /opt/ml/model/go ]; do sleep 0.1; done"
    spec = TrainingSpec(shell(script))
    first.launch(Run(key, spec, {}))
    until_logged(first, key, "ready")
    second = executor(engine, tmp_path / "home")
    second.launch(Run(key, spec, {}))
    assert second.report(key).state is RunState.RUNNING
    assert len(names(engine)) == 1
    (tmp_path / "home" / "_" / "job" / "model" / "go").touch()
    assert ended(second, key).state is RunState.COMPLETED
    assert log(second, key).count("ready") == 1


def test_a_killed_supervisor_s_container_is_gone_before_the_next_attempt(engine: Engine, tmp_path: Path) -> None:
    runs = executor(engine, tmp_path / "home")
    key = RunKey("job", 1)
    script = "echo attempt >> /opt/ml/checkpoints/starts; echo ready; [ -e /opt/ml/checkpoints/again ] || sleep 600"
    spec = TrainingSpec(shell(script))
    runs.launch(Run(key, spec, {}))
    until_logged(runs, key, "ready")
    folder = tmp_path / "home" / "_" / "job"
    reader = JournalReader(folder / ".rekindle" / "1" / "journal.jsonl")
    assert reader.read()
    os.kill(reader.supervisor[0], signal.SIGKILL)
    assert ended(runs, key).state is RunState.LOST
    assert names(engine) == []
    (folder / "checkpoints" / "again").touch()
    runs.launch(Run(RunKey("job", 2), spec, {}))
    assert ended(runs, RunKey("job", 2)).state is RunState.COMPLETED
    assert (folder / "checkpoints" / "starts").read_text() == "attempt\n" * 2


def test_isolation_checkpoints_elsewhere_and_options(engine: Engine, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    script = "cat /proc/net/dev; echo step > /data/state/last; env"
    spec = TrainingSpec(
        shell(script), network_isolation=True, checkpoints=Checkpoints(kept.as_uri(), "/data/state"), environment={}
    )
    runs = executor(engine, tmp_path / "home", rule=rule_of(engine, "--env", "FROM=options"))
    assert run(runs, spec).state is RunState.COMPLETED, log(runs, RunKey("job", 1))
    printed = log(runs, RunKey("job", 1))
    assert "FROM=options\n" in printed
    assert "eth0" not in printed
    # A training job of its own keeps them at the place itself.
    assert (kept / "last").read_text() == "step\n"


@pytest.fixture
def service(podman: Engine, tmp_path: Path) -> containers.Service:
    if shutil.which("docker") is None:
        pytest.skip("no docker client")
    return containers.Service(podman, tmp_path / "docker.sock")


def before(service: containers.Service) -> Engine:
    return Engine("docker", {"DOCKER_HOST": service.address}, ("--network", "host"))


def left_alone(
    service: containers.Service, home: Path, script: str, word: str = "begun", grace: float = 120.0
) -> tuple[ProcessExecutor, RunKey]:
    """A training job whose engine goes away once it has printed a word."""
    runs, key = executor(before(service), home, grace), RunKey("job", 1)
    with service.running():
        runs.launch(Run(key, TrainingSpec(shell(script)), {}))
        until_logged(runs, key, word)
    return runs, key


@pytest.mark.parametrize("code", [0, 3])
def test_a_container_goes_on_and_is_followed_while_its_engine_is_away(
    service: containers.Service, tmp_path: Path, code: int
) -> None:
    script = f"for n in 1 2 3 4 5 6 7; do echo line $n; sleep 1; done; exit {code}"
    runs, key = left_alone(service, tmp_path / "home", script, "line 2")
    time.sleep(2.0)
    with service.running():
        report = ended(runs, key)
        assert (report.state, report.exit_code) == (RunState.FAILED if code else RunState.COMPLETED, code)
        assert not (report.failure_reason or "").startswith("InternalServerError")
        # Between them the client says why it ended.
        printed = [line for line in log(runs, key).splitlines() if line.startswith("line")]
        assert printed == [f"line {n}" for n in range(1, 8)]
        assert "job-1" not in " ".join(names(before(service)))


def test_a_container_that_went_while_its_engine_was_away_is_lost_and_no_failure(
    service: containers.Service, podman: Engine, tmp_path: Path
) -> None:
    runs, key = left_alone(service, tmp_path / "home", "echo begun; sleep 600")
    (name,) = names(podman)
    podman.ask("kill", name)
    with service.running():
        report = ended(runs, key)
    assert report.state is RunState.FAILED
    reason = "InternalServerError: The container engine, docker, was away while the training job ran, which ended with 137."
    assert report.failure_reason == reason


def test_a_training_job_waits_for_an_engine_that_is_not_there_yet(service: containers.Service, tmp_path: Path) -> None:
    runs = executor(before(service), tmp_path / "home")
    key = RunKey("job", 1)
    runs.launch(Run(key, TrainingSpec(shell("echo ran")), {}))
    until_logged(runs, key, "rekindle: docker does not answer; waiting for it: ")
    with service.running():
        assert ended(runs, key).state is RunState.COMPLETED
        assert log(runs, key).endswith("\nran\n")


def test_one_that_is_stopped_while_its_engine_is_away_ends_when_that_is_back(
    service: containers.Service, podman: Engine, tmp_path: Path
) -> None:
    runs, key = left_alone(service, tmp_path / "home", "trap 'exit 3' TERM; echo begun; while :; do sleep 1; done")
    runs.stop(key)
    time.sleep(1.0)
    with service.running():
        assert ended(runs, key).state is RunState.STOPPED
        assert names(podman) == []


def test_so_does_one_for_which_it_was_away_for_longer_than_the_grace(
    service: containers.Service, podman: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "_ENGINE_SECONDS", 1.0)
    runs, key = left_alone(service, tmp_path / "home", "echo begun; sleep 600", grace=1.0)
    runs.stop(key)
    until_logged(runs, key, "rekindle: the container engine does not answer; waiting for it, to end what it runs")
    assert len(names(podman)) == 1
    with service.running():
        assert ended(runs, key).state is RunState.STOPPED
        assert names(podman) == []


def test_several_instances(engine: Engine, tmp_path: Path) -> None:
    spec = TrainingSpec(
        shell("hostname; cat /opt/ml/input/config/resourceconfig.json; touch /opt/ml/model/$(hostname)"),
        resources=Resources(instance_count=2),
    )
    runs = executor(engine, tmp_path / "home", rule=rule_of(engine, "--env", "ANY=option"))
    assert run(runs, spec).state is RunState.COMPLETED, log(runs, RunKey("job", 1))
    printed = log(runs, RunKey("job", 1), host="algo-2")
    assert printed.startswith("algo-2\n")
    assert '"current_host": "algo-2"' in printed
    assert sorted(p.name for p in (tmp_path / "home" / "_" / "job" / "model").iterdir()) == ["algo-1", "algo-2"]


def test_code_for_the_toolkit_is_brought_to_it(engine: Engine, tmp_path: Path) -> None:
    code = tmp_path / "sourcedir.tar.gz"
    code.write_bytes(b"packed")
    values = {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": json.dumps(code.as_uri())}
    runs = executor(engine, tmp_path / "home")
    report = run(runs, TrainingSpec(shell("cat /opt/ml/input/config/hyperparameters.json /opt/ml/input/sourcedir/*")), values)
    assert report.state is RunState.COMPLETED
    printed = log(runs, RunKey("job", 1))
    assert '"sagemaker_submit_directory": "\\"/opt/ml/input/sourcedir/sourcedir.tar.gz\\""' in printed
    assert printed.endswith("packed")


def test_without_an_engine_it_is_refused(tmp_path: Path) -> None:
    runs = ProcessExecutor(Host(tmp_path, {"PATH": str(tmp_path)}, images=[RULE]), SystemClock())
    with pytest.raises(Unsupported, match="there is no docker or podman on PATH"):
        runs.check(TrainingSpec(Algorithm(image=IMAGE)), {})
