"""What a Ray cluster is asked for and what it is not, and what its nodes are to do; `make test-ray` has real clusters."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from rekindle.domain.capacity import Room
from rekindle.domain.errors import Unsupported
from rekindle.domain.training_job import Algorithm, Resources, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import ClusterUnavailable, Run, RunKey
from rekindle.executors import ray_cluster, ray_job
from rekindle.executors.host import Host
from rekindle.executors.images import ImageRule
from rekindle.executors.instances import parse_instances
from rekindle.executors.leftovers import RUN_MARK
from rekindle.executors.orders import orders_of
from rekindle.executors.process import ProcessExecutor
from rekindle.executors.programs import Program
from rekindle.executors.ray_cluster import RayCluster
from support.processes import alive
from support.serving import until

ADDRESS = "http://head:8265"
PLAIN = Resources()


def job(folder: Path, *argv: str, attempt: int = 1, resources: Resources = PLAIN, **host: Any) -> dict[str, Any]:
    """A run's Ray job with its files on the disk, as a supervisor would leave them."""
    run = Run(RunKey("job", attempt), TrainingSpec(Algorithm(command="true"), resources=resources), {})
    where = Host(folder / "home", {"PATH": os.environ["PATH"]}, cluster=RayCluster(ADDRESS), **host)
    environment = {"PATH": os.environ["PATH"], "A": "b c", RUN_MARK: "mark"}
    made = RayCluster(ADDRESS).elsewhere(run, folder, where, Program(argv=argv), environment)
    (folder / "code").mkdir(exist_ok=True)
    for path, text in made.files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    told = json.loads(Path(made.command[-1], ray_job.DESCRIPTION).read_text())
    return {"made": made, "told": told, "control": Path(told["control"])}


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a node has as `sh`."""
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"there is no {request.param} here")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(found)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return str(request.param)


def on_node(job: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Ray's part: a shell that is given the entry point."""
    return subprocess.Popen(["sh", "-c", job["told"]["request"]["entrypoint"]], start_new_session=True)


def test_it_asks_for_what_the_job_or_its_instance_type_needs(tmp_path: Path) -> None:
    table = parse_instances("ml.g5.*=cpus:4,memory:16,gpus:1")
    by_type = job(tmp_path, "true", resources=Resources(instance_type="ml.g5.xlarge"), instances=table)["told"]["request"]
    assert {n: v for n, v in by_type.items() if n.startswith("entrypoint_")} == {
        "entrypoint_num_cpus": 4.0,
        "entrypoint_num_gpus": 1.0,
        "entrypoint_memory": 16_000_000_000,
    }
    by_job = job(tmp_path, "true", resources=Resources(cpus=2, gpus=3))["told"]["request"]
    assert (by_job["entrypoint_num_cpus"], by_job["entrypoint_num_gpus"]) == (2, 3)
    plain = job(tmp_path, "true")["told"]["request"]
    assert [n for n in plain if n.startswith("entrypoint_")] == ["entrypoint_num_cpus"]


@pytest.mark.parametrize("ray", [ADDRESS, "http://another:8265", ""])
def test_a_second_attempt_begins_with_the_end_of_the_first_wherever_that_was_sent(tmp_path: Path, ray: str) -> None:
    run = Run(RunKey("job", 2), TrainingSpec(Algorithm(command="true")), {})
    host = Host(tmp_path / "home", {"PATH": os.environ["PATH"]}, cluster=RayCluster(ray) if ray else None)
    assert orders_of(run, tmp_path, host)["before"] == []
    first = job(tmp_path, "true")
    *_, verb, folder = orders_of(run, tmp_path, host)["before"]
    assert (verb, folder) == ("end", str(first["control"]))


def test_a_job_made_again_under_its_name_is_another_to_ray_and_a_former_one_in_its_queue_runs_nothing(tmp_path: Path) -> None:
    former = job(tmp_path, "touch", "ran")
    shutil.rmtree(former["control"])
    again = job(tmp_path, "touch", "ran")
    assert again["told"]["id"] != former["told"]["id"]
    assert on_node(former).wait(30) == ray_job.NO_FOLDER
    assert list((tmp_path / "code").iterdir()) == []
    assert on_node(again).wait(30) == 0
    assert [path.name for path in (tmp_path / "code").iterdir()] == ["ran"]


@pytest.mark.usefixtures("shell")
def test_a_node_notes_what_is_printed_and_how_the_program_ended(tmp_path: Path) -> None:
    made = job(tmp_path, "sh", "-c", 'pwd; echo "$A" >&2; exit 7')
    assert on_node(made).wait(30) == 7
    assert (made["control"] / ray_job.OUTPUT).read_text() == f"{tmp_path}/code\nb c\n"
    assert (made["control"] / ray_job.EXIT).read_text() == "7\n"


@pytest.mark.usefixtures("shell")
def test_a_signal_is_the_program_s_and_the_node_waits_for_it(tmp_path: Path) -> None:
    made = job(tmp_path, "sh", "-c", "trap 'sleep 0.3; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    node = on_node(made)
    output = made["control"] / ray_job.OUTPUT
    until(lambda: output.exists() and output.read_text() == "ready\n", 30)
    os.killpg(node.pid, signal.SIGTERM)
    assert node.wait(30) == 5
    assert (made["control"] / ray_job.EXIT).read_text() == "5\n"


@pytest.mark.usefixtures("shell")
def test_a_node_ends_what_the_program_has_left_running(tmp_path: Path) -> None:
    left = "import subprocess, sys; print(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid)"
    made = job(tmp_path, sys.executable, "-c", left)
    assert on_node(made).wait(30) == 0
    pid = int((made["control"] / ray_job.OUTPUT).read_text())
    until(lambda: not alive(pid), 30)


@pytest.mark.usefixtures("shell")
def test_nothing_is_lost_where_a_program_opens_its_output_anew(tmp_path: Path) -> None:
    made = job(tmp_path, "sh", "-c", "echo loss=1; echo anew > /dev/stderr; echo again > /dev/stdout; echo loss=2")
    assert on_node(made).wait(30) == 0
    assert (made["control"] / ray_job.OUTPUT).read_text() == "loss=1\nanew\nagain\nloss=2\n"


@pytest.mark.usefixtures("shell")
def test_a_node_does_not_wait_for_who_has_escaped_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_LINGER_SECONDS", 1)
    made = job(tmp_path, "sh", "-c", "env -i setsid sleep 1000 & echo $!; exit 3")
    assert on_node(made).wait(60) == 3
    os.kill(int((made["control"] / ray_job.OUTPUT).read_text()), signal.SIGKILL)


def unwanted_soon(monkeypatch: pytest.MonkeyPatch, folder: Path, *argv: str) -> tuple[dict[str, Any], subprocess.Popen[bytes]]:
    """A job whose node looks often whether it is wanted; its program prints `ready` once it runs."""
    monkeypatch.setattr(ray_cluster, "_LOOK_SECONDS", 0.2)
    (folder / "home").mkdir()
    made = job(folder, *argv, grace_seconds=1)
    node = on_node(made)
    until(lambda: (made["control"] / ray_job.OUTPUT).read_text().endswith("ready\n"), 30)
    return made, node


DEAF = ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("argv", "code"), [(("sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"), 5), (DEAF, 137)]
)
def test_a_node_ends_a_program_that_is_withdrawn_though_the_cluster_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], code: int
) -> None:
    made, node = unwanted_soon(monkeypatch, tmp_path, *argv)
    ray_job.withdraw(str(made["control"]))
    assert node.wait(30) == code
    assert (made["control"] / ray_job.EXIT).read_text() == f"{code}\n"


@pytest.mark.usefixtures("shell")
def test_a_node_ends_a_program_whose_folder_is_gone_or_another_s_and_none_that_it_cannot_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, node = unwanted_soon(monkeypatch, tmp_path, *DEAF)
    # A shared file system that is away for a while takes everything with it.
    home, control = (tmp_path / "home").rename(tmp_path / "away"), made["control"].rename(tmp_path / "control")
    with pytest.raises(subprocess.TimeoutExpired):
        node.wait(1)
    control.rename(made["control"])
    home.rename(tmp_path / "home")
    with pytest.raises(subprocess.TimeoutExpired):
        node.wait(1)
    shutil.rmtree(made["control"])
    again = on_node(job(tmp_path, *DEAF, grace_seconds=1))
    assert node.wait(30) == 137
    with pytest.raises(subprocess.TimeoutExpired):
        again.wait(1)
    until(lambda: (made["control"] / ray_job.OUTPUT).read_text().endswith("ready\n"), 30)
    ray_job.withdraw(str(made["control"]))
    assert again.wait(30) == 137


@pytest.mark.usefixtures("shell")
def test_who_looks_whether_a_program_is_wanted_does_not_outlive_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, node = unwanted_soon(monkeypatch, tmp_path, "sh", "-c", "echo ready; sleep 0.5")
    assert node.wait(30) == 0
    until(lambda: not [p for p in psutil.process_iter() if group_of(p) == node.pid], 30)


@pytest.mark.usefixtures("shell")
def test_a_program_does_not_outlive_the_shell_that_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, node = unwanted_soon(monkeypatch, tmp_path, *DEAF)
    # What Ray does when a node's raylet has died: it kills the job's first process, and none that this has started.
    node.kill()
    node.wait(30)
    until(lambda: not [p for p in psutil.process_iter() if group_of(p) == node.pid], 30)


def group_of(process: psutil.Process) -> int:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(process.pid)
    return 0


def test_a_job_that_was_withdrawn_or_has_no_folder_runs_nothing(tmp_path: Path) -> None:
    made = job(tmp_path, "touch", "ran")
    ray_job.withdraw(str(made["control"]))
    ray_job.withdraw(str(made["control"]))
    assert on_node(made).wait(30) == ray_job.NO_FOLDER
    assert list((tmp_path / "code").iterdir()) == []


def test_a_cluster_that_never_answers_is_named(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        made = job(tmp_path, "true")
        (tmp_path / "output").mkdir()
        file = Path(made["made"].command[-1], ray_job.DESCRIPTION)
        file.write_text(json.dumps({**made["told"], "address": address}))
        impatient = """
import sys
from rekindle.executors import ray_cluster, ray_job
ray_job._PATIENCE_SECONDS = 0.5
ray_job.main("run", sys.argv[1])
"""
        done = subprocess.run(
            [sys.executable, "-c", impatient, file.parent], cwd=tmp_path / "code", capture_output=True, text=True
        )
    assert done.returncode == 1
    assert done.stdout.startswith(f"rekindle: the Ray cluster at {address} gives no answer (")
    reason = (tmp_path / "output" / "failure").read_text()
    assert reason.startswith(f"ClientError: The Ray cluster at {address} did not take the job: ")
    assert "REKINDLE_RAY_ADDRESS" in reason


#: What is answered to a request, by its method and path, and to how manieth of its kind: code and body.
Answer = Callable[[str, str, int], tuple[int, str]]
UNKNOWN = (404, "Job it does not exist")


@contextlib.contextmanager
def head(
    answer: Answer, token: Callable[[], str] | None = None, seen: list[str | None] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Something at an address that answers so, to who has the token if it wants one; its address, and what it was asked. A body
    ending in `...` is cut short. It notes in `seen` what each shows to be let in."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            what = f"{self.command} {self.path.rpartition('/')[2]}"
            asked.append(what)
            seen.append(self.headers["Authorization"]) if seen is not None else None
            code, body = answer(self.command, self.path, asked.count(what))
            if token and self.headers["Authorization"] != f"Bearer {token()}":
                code, body = 403, "no such token"
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", body) if code == 302 else None
            self.end_headers()
            self.wfile.write(body.removesuffix("...").encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def follow(made: dict[str, Any], address: str) -> subprocess.Popen[bytes]:
    """What a supervisor starts in the program's place; what it prints is in the file `said`."""
    folder = Path(made["told"]["folder"])
    (folder / "output").mkdir(exist_ok=True)
    file = Path(made["made"].command[-1], ray_job.DESCRIPTION)
    file.write_text(json.dumps({**made["told"], "address": address}))
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(made["made"].command, cwd=folder / "code", stdout=said)


def status(word: str, **more: object) -> tuple[int, str]:
    return 200, json.dumps({"status": word, **more})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, "<html>no such page</html>"), "404: Not Found"),
        ((200, "<html>"), "what answers there is not"),
        ((200, "[]"), "what answers there is not"),
        ((200, "{}"), "what answers there is not"),
    ],
)
def test_a_server_that_is_no_ray_takes_no_job_and_is_named(tmp_path: Path, answer: tuple[int, str], said: str) -> None:
    with head(lambda *_: answer) as (address, _asked):
        assert follow(job(tmp_path, "true"), address).wait(30) == 1
    reason = (tmp_path / "output" / "failure").read_text()
    assert reason.startswith(f"ClientError: The Ray cluster at {address} did not take the job: ")
    assert said in reason
    assert "REKINDLE_RAY_ADDRESS" in reason


def asked_for(monkeypatch: pytest.MonkeyPatch, folder: Path, address: str, **environment: str) -> str:
    """Why a training job is not accepted where the cluster's address is this."""
    host = Host(folder, {"PATH": os.environ["PATH"], **environment}, cluster=RayCluster(address))
    with pytest.raises(ClusterUnavailable) as caught:
        ProcessExecutor(host, SystemClock()).check(TrainingSpec(Algorithm(command="true")))
    assert caught.value.hint.startswith("Set REKINDLE_RAY_ADDRESS to ")
    begin = f"REKINDLE_RAY_ADDRESS: {address!r}: no Ray cluster can be reached there: "
    assert caught.value.message.startswith(begin)
    return caught.value.message.removeprefix(begin)


def test_a_cluster_that_is_none_or_does_not_let_us_in_is_told_before_a_training_job_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with head(lambda *_: (403, "Forbidden: Invalid authentication token")) as (address, _asked):
        assert asked_for(monkeypatch, tmp_path, address) == "403: Forbidden: Invalid authentication token"
    assert "refused" in asked_for(monkeypatch, tmp_path, address)
    assert "no_proxy" not in asked_for(monkeypatch, tmp_path, address)
    monkeypatch.setenv("http_proxy", "http://u:secret@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    told = asked_for(monkeypatch, tmp_path, "http://head.invalid:8265")
    assert told.endswith("(by way of the proxy in http_proxy; no_proxy names hosts that are asked without it)")
    assert "secret" not in told


@pytest.mark.parametrize("token", ["half\nhalf", "h\u00e4lf"])
def test_a_token_that_cannot_be_one_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    with head(lambda *_: UNKNOWN) as (address, asked):
        told = asked_for(monkeypatch, tmp_path, address, RAY_AUTH_TOKEN=token)
    assert told.startswith("the token for it holds a line break")
    assert "lf" not in told
    assert asked == []


def test_a_job_waits_for_the_next_token_where_the_last_one_has_run_out(tmp_path: Path) -> None:
    def answer(method: str, _path: str, times: int) -> tuple[int, str]:
        if method == "POST":
            return 200, "{}"
        return (403, "Forbidden: token has run out") if times == 1 else UNKNOWN if times == 2 else status("SUCCEEDED")

    with head(answer) as (address, _asked):
        assert follow(job(tmp_path, "true"), address).wait(30) == 0
    assert "403: Forbidden: token has run out" in (tmp_path / "said").read_text()


def test_a_job_that_waits_in_the_cluster_says_for_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    waits = status("PENDING", message="Job has not started yet.")
    made = job(tmp_path, "true", resources=Resources(cpus=64, gpus=2))
    monkeypatch.setattr(ray_job, "_WAITING_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path / "code")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with head(lambda _method, _path, times: waits if times < 3 else status("SUCCEEDED")) as (address, _asked):
            assert ray_job.Job({**made["told"], "address": address}).run() == 0
    finally:
        signal.signal(signal.SIGTERM, handler)
    said = capfdbinary.readouterr().out.decode()
    assert said.startswith(
        "rekindle: the job waits in the Ray cluster for a node with 64 CPUs, 2 GPUs: Job has not started yet. "
    )
    assert "stop the job and ask for less" in said


def test_nothing_starts_while_the_cluster_cannot_be_reached_and_it_is_told_why(tmp_path: Path) -> None:
    run = Run(RunKey("job", 1), TrainingSpec(Algorithm(command="true")), {})
    with head(lambda *_: (401, "Unauthorized: Missing authentication token")) as (address, asked):
        executor = ProcessExecutor(Host(tmp_path, {"PATH": os.environ["PATH"]}, cluster=RayCluster(address)), SystemClock())
        why = "waits for the Ray cluster, which cannot be reached: 401: Unauthorized: Missing authentication token"
        assert executor.room(run.spec) == Room(0, why)
        executor.launch(run)
        assert executor.report(run.key) is None
        # Not asked again for each training job.
        assert len(asked) == 1
    with head(lambda *_: UNKNOWN) as (address, _asked):
        executor = ProcessExecutor(Host(tmp_path, {"PATH": os.environ["PATH"]}, cluster=RayCluster(address)), SystemClock())
        assert executor.room(run.spec) == Room()


@pytest.mark.parametrize("there", [UNKNOWN, (200, '{"status": "RUNNING"}')])
def test_a_cluster_that_sends_us_on_is_told_with_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[int, str]
) -> None:
    """And does not get us to tell the token there: that is the cluster's alone."""
    here: list[str | None] = []
    elsewhere: list[str | None] = []
    with (
        head(lambda *_: there, seen=elsewhere) as (new, _),
        head(lambda *_: (302, f"{new}/api/jobs/rekindle"), seen=here) as (old, _asked),
    ):
        told = asked_for(monkeypatch, tmp_path, old, RAY_AUTH_TOKEN="secret")
        assert told == f"it sends us on to {new}/api/jobs/rekindle"
    assert (set(here), set(elsewhere)) == ({"Bearer secret"}, {None})


def ender(made: dict[str, Any], verb: str, address: str) -> subprocess.Popen[str]:
    """What ends an attempt that others have left running."""
    file = made["control"] / ray_job.DESCRIPTION
    file.write_text(json.dumps({**made["told"], "address": address}))
    words = [sys.executable, ray_job.__file__, verb, str(made["control"])]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_a_server_that_is_no_ray_does_not_say_that_a_former_attempt_has_ended(tmp_path: Path) -> None:
    made = job(tmp_path, "true")
    with head(lambda _method, _path, time: UNKNOWN if time > 1 else (404, "not found")) as (address, asked):
        said, _ = ender(made, "end", address).communicate(timeout=30)
    assert asked == [f"GET {made['told']['id']}"] * 2
    assert said.startswith(f"rekindle: waiting for the Ray cluster at {address}, where a former attempt may run: 404")


def test_a_cluster_that_is_gone_for_good_is_waited_for_until_somebody_says_so(tmp_path: Path) -> None:
    made = job(tmp_path, "true")
    with ender(made, "end", "http://127.0.0.1:9") as ending:
        assert f"If that cluster is gone for good, remove {made['control']}/ray.json" in ending.stdout.readline()
        assert ending.poll() is None
        (made["control"] / ray_job.DESCRIPTION).unlink()
        assert ending.wait(30) == 0


def test_a_former_attempt_whose_end_its_node_has_noted_is_over_though_the_cluster_is_silent(tmp_path: Path) -> None:
    made = job(tmp_path, "true")
    with ender(made, "end", "http://127.0.0.1:9") as ending:
        assert "where a former attempt may run" in ending.stdout.readline()
        (made["control"] / ray_job.EXIT).write_text("143\n")
        assert ending.wait(30) == 0


def test_a_stop_that_the_cluster_does_not_hear_of_ends_with_the_program(tmp_path: Path) -> None:
    made = job(tmp_path, "true")
    with head(lambda *_: status("RUNNING")) as (address, asked):
        following = follow(made, address)
        until(lambda: bool(asked), 30)
    following.terminate()
    until(lambda: not (made["control"] / ray_job.LAUNCH).exists(), 30)
    (made["control"] / ray_job.OUTPUT).write_text("all of it")
    (made["control"] / ray_job.EXIT).write_text("5\n")
    assert following.wait(30) == 5
    assert (tmp_path / "said").read_text() == "all of it"


def test_who_waits_for_us_does_not_wait_for_a_cluster_that_is_silent(tmp_path: Path) -> None:
    made = job(tmp_path, "true")
    with ender(made, "ask", "http://127.0.0.1:9") as asking:
        assert asking.wait(30) == 0
    # Should the job be in a queue there, it finds nothing to run.
    assert not (made["control"] / ray_job.LAUNCH).exists()


@pytest.mark.parametrize("first", [UNKNOWN, (200, '{"status": "FAILED", "message": "The node died."}')])
def test_a_head_that_has_lost_a_job_that_began_is_not_believed_at_once(tmp_path: Path, first: tuple[int, str]) -> None:
    made = job(tmp_path, "true")
    (made["control"] / ray_job.PIPE).touch()
    with (
        head(lambda _, path, _time: UNKNOWN if path.endswith(".2") else first) as (address, asked),
        ender(made, "end", address) as ending,
    ):
        until(lambda: bool(asked), 30)
        with pytest.raises(subprocess.TimeoutExpired):
            ending.wait(2)
        (made["control"] / ray_job.EXIT).write_text("0\n")
        assert ending.wait(30) == 0


def test_a_job_that_was_lost_with_its_node_is_not_wanted_there_any_more(tmp_path: Path) -> None:
    made = job(tmp_path, "true")
    with head(lambda *_: status("FAILED", message="The node died.")) as (address, _asked):
        assert follow(made, address).wait(30) == os.EX_TEMPFAIL
    assert (made["control"] / "lost").read_text() == "The Ray cluster lost the training job: The node died."
    assert not (made["control"] / ray_job.LAUNCH).exists()


def test_a_token_s_file_may_hold_another_by_now(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    with head(lambda *_: status("RUNNING"), lambda: token.read_text("latin-1").strip()) as (address, _asked):
        cluster = ray_job.Cluster(address, environ={"RAY_AUTH_TOKEN_PATH": str(token)})
        assert cluster.job("any")
        token.write_text("second\n")
        assert cluster.job("any")
        token.write_bytes(b"\xff")
        with pytest.raises(ray_job.Silent, match="no such token"):
            cluster.job("any")


@pytest.mark.parametrize("taken", [400, 500])
def test_a_job_that_arrived_though_the_answer_said_otherwise_is_followed(tmp_path: Path, taken: int) -> None:
    def answer(method: str, _path: str, time: int) -> tuple[int, str]:
        if method == "POST":
            return (504, "too late") if time == 1 else (taken, "Job with submission_id it already exists")
        return UNKNOWN if time <= 2 else status("SUCCEEDED")

    with head(answer) as (address, asked):
        assert follow(job(tmp_path, "true"), address).wait(30) == 0
    assert asked.count("POST ") == 2


def test_a_job_that_the_cluster_refuses_finds_nothing_to_run_should_it_have_it_after_all(tmp_path: Path) -> None:
    made = job(tmp_path, "true")
    with head(lambda method, *_: (400, "no such resource") if method == "POST" else UNKNOWN) as (address, _asked):
        assert follow(made, address).wait(30) == 1
    assert not (made["control"] / ray_job.LAUNCH).exists()
    assert "did not take the job: 400: no such resource. " in (tmp_path / "output" / "failure").read_text()


def test_an_answer_that_is_cut_short_is_asked_for_again(tmp_path: Path) -> None:
    made = job(tmp_path, "true")
    (made["control"] / ray_job.OUTPUT).write_text("all of it")
    answers = [status("RUNNING"), (200, "{..."), status("SUCCEEDED")]
    with head(lambda _method, _path, time: answers[time - 1]) as (address, asked):
        assert follow(made, address).wait(30) == 0
    assert len(asked) == 3
    assert (tmp_path / "said").read_text() == "all of it"
    # It is in the log now.
    assert not (made["control"] / ray_job.OUTPUT).exists()


def test_a_program_that_prints_faster_than_we_do_can_be_stopped(tmp_path: Path) -> None:
    made = job(tmp_path, "true")
    with (made["control"] / ray_job.OUTPUT).open("wb") as printed:
        printed.truncate(1 << 40)
    (tmp_path / "said").symlink_to(os.devnull)
    with head(lambda method, *_: (200, "{}") if method == "POST" else status("RUNNING")) as (address, asked):
        following = follow(made, address)
        until(lambda: len(asked) > 1, 30)
        following.terminate()
        until(lambda: "POST stop" in asked, 15)
        following.kill()
        following.wait(30)


def test_a_program_s_own_exit_code_is_none_of_the_folder_s(tmp_path: Path) -> None:
    made = job(tmp_path, "sh", "-c", f"exit {ray_job.NO_FOLDER}")
    # There before it is looked for: some file systems remember that a file is not there.
    assert (made["control"] / ray_job.OUTPUT).read_text() == ""
    assert on_node(made).wait(30) == ray_job.NO_FOLDER
    with head(lambda *_: status("FAILED", driver_exit_code=ray_job.NO_FOLDER)) as (address, _asked):
        assert follow(made, address).wait(30) == ray_job.NO_FOLDER
    assert not (tmp_path / "output" / "failure").exists()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            TrainingSpec(Algorithm(command="true"), resources=Resources(instance_count=2)),
            "resources.instances: 2: a training job is one program on a Ray cluster.",
        ),
        (TrainingSpec(Algorithm(image="own:1")), "image: 'own:1': images are not run as containers on a Ray cluster."),
    ],
)
def test_what_does_not_run_there_is_refused_and_says_why(tmp_path: Path, spec: TrainingSpec, said: str) -> None:
    engine = tmp_path / "podman"
    engine.write_text("#!/bin/sh\n")
    engine.chmod(0o755)
    rules = (ImageRule("own", run="container", engine="podman"),)
    host = Host(tmp_path, {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, images=rules, cluster=RayCluster(ADDRESS))
    with pytest.raises(Unsupported, match="^" + said.replace(".", r"\.")) as caught:
        ProcessExecutor(host, SystemClock()).check(spec)
    assert caught.value.hint


def test_a_node_does_not_hear_of_what_only_this_machine_has() -> None:
    ours = {"PATH": "/bin", "TMPDIR": "/scratch", "CUDA_VISIBLE_DEVICES": "0", "RAY_AUTH_TOKEN": "t"}
    ours |= {"RAY_ADDRESS": "auto", "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}
    assert RayCluster(ADDRESS).inherited(ours) == {"PATH": "/bin", "RAY_AUTH_TOKEN": "t"}
