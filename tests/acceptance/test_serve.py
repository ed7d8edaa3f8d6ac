"""`rekindle serve` as a user has it: its own process, boto3 with nothing but the variables of `rekindle env`, real training."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from rekindle.cli.serve import _chosen, _listen
from rekindle.domain.errors import InvalidValue
from rekindle.serving import Address, announced, announcing, is_served
from rekindle.settings import Settings
from support import ports
from support.processes import alive
from support.script_jobs import training_request, tuning_request, upload
from support.serving import REKINDLE, Serving, until


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    serving = Serving(tmp_path / "home")
    yield serving
    if serving.process.poll() is None:
        serving.end(signal.SIGTERM)


def uploaded(serving: Serving) -> str:
    s3 = serving.client("s3")
    (bucket,) = [b["Name"] for b in s3.list_buckets()["Buckets"]]
    upload(s3, bucket)
    return bucket


def test_a_tuning_job_and_its_child_survive_the_server(serving: Serving, tmp_path: Path) -> None:
    bucket, gate = uploaded(serving), tmp_path / "gate"
    serving.client("sagemaker").create_hyper_parameter_tuning_job(**tuning_request("mother", bucket, 4, gate))
    until(lambda: counters(serving, "mother")["InProgress"] == 2)
    assert serving.end(signal.SIGTERM) == 0
    serving.start()
    assert counters(serving, "mother")["InProgress"] == 2
    serving.end(signal.SIGKILL)
    gate.touch()
    serving.start()
    mother = ended(serving, "mother")
    assert mother["HyperParameterTuningJobStatus"] == "Completed"
    assert mother["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}

    warm = {
        "WarmStartType": "IdenticalDataAndAlgorithm",
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "mother"}],
    }
    child_request = tuning_request("child", bucket, 2, gate, WarmStartConfig=warm)
    serving.client("sagemaker").create_hyper_parameter_tuning_job(**child_request)
    child = ended(serving, "child")
    both = [mother["BestTrainingJob"], child["BestTrainingJob"]]
    assert child["OverallBestTrainingJob"]["TrainingJobName"] == min(both, key=value)["TrainingJobName"]

    best = serving.client("sagemaker").describe_training_job(TrainingJobName=mother["BestTrainingJob"]["TrainingJobName"])
    key = best["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{bucket}/")
    model = serving.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(model)) as archive:
        assert archive.extractfile("model.txt").read().decode() == best["HyperParameters"]["lr"]
    assert messages(serving, best["TrainingJobName"])[0] == "files ['rows.csv']"
    assert len([m for m in messages(serving, best["TrainingJobName"]) if m.startswith("m=")]) == 3
    became_history_elsewhere(serving, tmp_path)


def answered(url: str) -> int:
    with urllib.request.urlopen(url, timeout=400) as answer:
        return int(answer.status)


def test_who_calls_while_a_server_restarts_waits_where_its_socket_is_handed_over(tmp_path: Path) -> None:
    """As systemd does it: the socket is open for as long as the machine is up, and each server takes it over."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ, log = {**kept, "REKINDLE_HOME": str(tmp_path / "home"), "LISTEN_FDS": "1"}, tmp_path / "log"

    def started(listener: socket.socket, *options: str) -> subprocess.Popen[bytes]:
        hand_over = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
            "os.execv(sys.argv[2], sys.argv[2:])"
        )
        command = [sys.executable, "-c", hand_over, str(listener.fileno()), REKINDLE, "serve", *options]
        with log.open("wb") as told:
            return subprocess.Popen(command, env=environ, pass_fds=[listener.fileno()], stderr=told)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/healthz"
        for _ in range(2):
            waiting = threads.submit(answered, url)
            server = started(listener)
            assert waiting.result() == 200
            server.send_signal(signal.SIGTERM)
            assert server.wait(240) == 0
        refused = started(listener, "--port", "1")
        assert refused.wait(240) == 2
        assert "Leave --port out" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_told_to_end_before_it_listens_ends(tmp_path: Path, number: int) -> None:
    """By then it takes signals, and uvicorn does not: as at Ctrl-C just after the start, or of a service stopped at once."""
    early = (
        "import os, sys; from rekindle.cli import main, serve; "
        f"serve._say_ready = lambda *_: os.kill(os.getpid(), {int(number)}); sys.exit(main.main(sys.argv[1:]))"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    keeper, beside = ports.kept_pair()
    with keeper, beside:
        command = [sys.executable, "-c", early, "serve", "--port", str(ports.number(keeper))]
        environ = {**kept, "REKINDLE_HOME": str(tmp_path / "home")}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "stopped; training jobs that run go on, and the next start finds them"


def became_history_elsewhere(serving: Serving, tmp_path: Path) -> None:
    """``import --from-aws`` in another home, whose client finds the server by the variables that it printed."""
    environ = {**os.environ, **serving.told, "REKINDLE_HOME": str(tmp_path / "elsewhere")}

    def rekindle(*arguments: str) -> Any:
        done = subprocess.run([REKINDLE, *arguments, "--json"], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    for name in ("mother", "child"):
        assert rekindle("import", "--from-aws", name)["status"] == "Completed"
        page = serving.client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        there = sorted(page["TrainingJobSummaries"], key=lambda t: t["CreationTime"])
        here = rekindle("trials", name)
        assert [str(t["values"]["lr"]) for t in here] == [t["TunedHyperParameters"]["lr"] for t in there]
        assert [t["objective"] for t in here] == [t["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for t in there]


def test_a_worker_that_is_killed_is_started_again_and_nothing_runs_twice(serving: Serving, tmp_path: Path) -> None:
    bucket, gate = uploaded(serving), tmp_path / "gate"
    request = tuning_request("job", bucket, 3, gate)
    serving.client("sagemaker").create_hyper_parameter_tuning_job(**request)
    until(lambda: counters(serving, "job")["InProgress"] == 2)
    for _ in range(2):
        worker = only_worker(serving)
        os.kill(worker, signal.SIGKILL)
        until(lambda killed=worker: serving.workers() not in ([], [killed]))
        assert counters(serving, "job")["InProgress"] == 2
    gate.touch()
    job = ended(serving, "job")
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    listed = serving.client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="job")
    for trial in listed["TrainingJobSummaries"]:
        assert len([m for m in messages(serving, trial["TrainingJobName"]) if m.startswith("files")]) == 1
    assert "the worker ended; another is started" in serving.log.read_text()


def test_autotune_chooses_what_is_left_out_and_runs_it(serving: Serving) -> None:
    request = tuning_request("auto", uploaded(serving), 3)
    config = request["HyperParameterTuningJobConfig"]
    config["ParameterRanges"] = {"AutoParameters": [{"Name": "lr", "ValueHint": "0.08"}]}
    sagemaker = serving.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**request, Autotune={"Mode": "Enabled"})
    job = ended(serving, "auto")
    assert (job["HyperParameterTuningJobStatus"], job["Autotune"]) == ("Completed", {"Mode": "Enabled"}), job
    shown = job["HyperParameterTuningJobConfig"]
    (tuned,) = shown["ParameterRanges"]["ContinuousParameterRanges"]
    assert (tuned["Name"], tuned["MinValue"], tuned["MaxValue"]) == ("lr", "0.04", "0.16")
    assert shown["TrainingJobEarlyStoppingType"] == "Auto"
    assert shown["TuningJobCompletionCriteria"] == {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}
    listed = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="auto")
    rates = [float(t["TunedHyperParameters"]["lr"]) for t in listed["TrainingJobSummaries"]]
    assert len(set(rates)) == 3
    assert all(0.04 <= rate <= 0.16 for rate in rates)
    for trial, rate in zip(listed["TrainingJobSummaries"], rates, strict=True):
        found = sagemaker.describe_training_job(TrainingJobName=trial["TrainingJobName"])
        assert (found["TrainingJobStatus"], float(found["HyperParameters"]["lr"])) == ("Completed", rate)


def test_a_worker_leaves_with_its_server(serving: Serving) -> None:
    worker = only_worker(serving)
    serving.end(signal.SIGKILL)
    until(lambda: not alive(worker))
    serving.start()
    only_worker(serving)
    assert serving.end(signal.SIGTERM) == 0
    assert serving.workers() == []


def only_worker(serving: Serving) -> int:
    """Waits for there to be one worker; the one that was seen then."""
    seen: list[int] = []

    def look() -> bool:
        seen[:] = serving.workers()
        return len(seen) == 1

    until(look)
    return seen[0]


def test_a_training_job_of_another_account_has_that_account_s_buckets(serving: Serving) -> None:
    ours = uploaded(serving)
    lines = serving.run("keys", "add", "111122223333").splitlines()
    printed = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    keys = printed["AWS_ACCESS_KEY_ID"], printed["AWS_SECRET_ACCESS_KEY"]
    serving.end(signal.SIGTERM)
    serving.start()
    s3, sagemaker = serving.client("s3", *keys), serving.client("sagemaker", *keys)
    s3.create_bucket(Bucket="theirs")
    upload(s3, "theirs")
    checkpoints = {"CheckpointConfig": {"S3Uri": "s3://theirs/checkpoints"}}
    with pytest.raises(Exception, match=f'No S3 objects found under S3 URL "s3://{ours}/train"'):
        sagemaker.create_training_job(**training_request("stolen", ours))
    sagemaker.create_training_job(**training_request("own", "theirs", **checkpoints))
    until(lambda: sagemaker.describe_training_job(TrainingJobName="own")["TrainingJobStatus"] != "InProgress")
    shown = sagemaker.describe_training_job(TrainingJobName="own")
    assert shown["TrainingJobStatus"] == "Completed", shown.get("FailureReason")
    found = {o["Key"] for o in s3.list_objects_v2(Bucket="theirs")["Contents"]}
    assert found >= {"out/own/output/model.tar.gz", "checkpoints/starts"}


def counters(serving: Serving, name: str) -> dict[str, int]:
    found = serving.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    return found["TrainingJobStatusCounters"]


def ended(serving: Serving, name: str) -> dict[str, Any]:
    sagemaker = serving.client("sagemaker")

    def describe() -> dict[str, Any]:
        return sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    until(lambda: describe()["HyperParameterTuningJobStatus"] != "InProgress")
    return describe()


def value(job: dict[str, Any]) -> float:
    return job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]


def messages(serving: Serving, job: str) -> list[str]:
    logs, group = serving.client("logs"), "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)["events"]
    return [e["message"] for e in events]


def test_without_a_signature_nothing_is_served(serving: Serving) -> None:
    anonymous = boto3.client(
        "sagemaker",
        "us-east-1",
        endpoint_url=f"http://127.0.0.1:{serving.port}",
        aws_access_key_id="A" * 20,
        aws_secret_access_key="b",
    )
    with pytest.raises(Exception, match="UnrecognizedClientException"):
        anonymous.list_hyper_parameter_tuning_jobs()


def test_an_upload_that_lasts_until_the_server_ends_is_told_so_and_the_old_object_stays(serving: Serving) -> None:
    s3 = serving.client("s3")
    bucket = uploaded(serving)
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    url = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"}))
    with closing(http.client.HTTPConnection(url.netloc, timeout=240)) as connection:
        connection.putrequest("PUT", f"{url.path}?{url.query}")
        connection.putheader("content-length", "50000000")
        connection.endheaders(b"new")
        until(lambda: b"rekindle_http_requests_in_flight 2.0" in page(serving, "/metrics"))
        serving.process.send_signal(signal.SIGTERM)
        answer = connection.getresponse()
        assert (answer.status, b"<Code>ServiceUnavailable</Code>" in answer.read()) == (503, True)
    assert serving.process.wait(240) == 0
    serving.start()
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"
    assert "Traceback" not in serving.log.read_text()


def page(serving: Serving, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{serving.port}{path}", timeout=240) as answer:
        return bytes(answer.read())


def refused(environ: dict[str, str], *options: str) -> str:
    """The one line of a server that does not start."""
    done = subprocess.run([REKINDLE, "serve", *options], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_a_taken_port_is_said_in_one_line_and_by_whom_it_is_taken(serving: Serving, tmp_path: Path) -> None:
    port = str(serving.port)
    told = f"error: --port: {port}: cannot listen there (Address already in use). Choose another by --port, or end the"
    assert refused(serving.environ, "--port", port) == f"{told} server of {serving.home}.\n"
    elsewhere = {**serving.environ, "REKINDLE_HOME": str(tmp_path / "elsewhere")}
    assert refused(elsewhere, "--port", port) == f"{told} other server.\n"


@pytest.fixture
def port() -> Iterator[int]:
    with ports.kept() as keeper:
        yield ports.number(keeper)


def test_of_two_servers_that_start_at_once_on_a_port_one_says_that_it_is_taken(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    homes = [{**kept, "REKINDLE_HOME": str(tmp_path / name)} for name in ("one", "two")]
    keeper = ports.kept()
    port = ports.number(keeper)
    command = [REKINDLE, "serve", "--port", str(port)]
    servers = [subprocess.Popen(command, env=home, stderr=subprocess.PIPE, text=True) for home in homes]
    try:
        until(lambda: any(s.poll() is not None for s in servers))
        (loser,) = (s for s in servers if s.poll() is not None)
        (error,) = loser.communicate()[1].strip().splitlines()
        assert error.startswith(f"error: --port: {port}: cannot listen there (Address already in use)")
        assert loser.returncode == 2
        until(Address(port=port).answers)
    finally:
        for server in servers:
            with server:
                server.terminate()
        keeper.close()


def test_of_two_servers_of_a_home_the_one_that_is_left_is_where_clients_are_led(tmp_path: Path) -> None:
    """They were led to where nobody listened any more."""
    settings, first, second = Settings(tmp_path, "sqlite://"), Address(port=4321), Address(port=4323)
    with contextlib.ExitStack() as running:
        assert running.enter_context(announcing(settings, first, lambda: None)) is None
        with announcing(settings, second, lambda: None) as elder:
            assert (elder, announced(settings)) == (first, first)
            running.close()
            until(lambda: announced(settings) == second)
            assert is_served(settings, second.port)
        # One that has ended is no server's successor.
        until(lambda: not is_served(settings, second.port))
        with announcing(settings, first, lambda: None) as elder:
            assert (elder, announced(settings)) == (None, first)


def test_a_server_that_cannot_listen_leaves_the_address_of_the_last_one(tmp_path: Path, port: int) -> None:
    settings = Settings(tmp_path, "sqlite://")
    last = Address(port=4321, proxy_port=4322)
    with announcing(settings, last, lambda: None):
        pass
    address, bound, proxy = _chosen(settings, None, port, None)
    _, faster, other_proxy = _chosen(settings, None, address.port, None)
    with bound, proxy, faster, other_proxy:
        faster.listen()
        seen = []

        def listen() -> None:
            seen.append(announced(settings))
            _listen("--port", address.host, address.port, bound)

        with (
            pytest.raises(InvalidValue, match=f"--port: {address.port}: cannot listen there"),
            announcing(settings, address, listen),
        ):
            pytest.fail("it serves")
    assert (seen, announced(settings)) == ([address], last)


def test_every_address_is_also_the_one_that_env_names(tmp_path: Path, port: int) -> None:
    settings = Settings(tmp_path, "sqlite://")
    try:
        address, bound, proxy = _chosen(settings, "::", port, None)
    except InvalidValue:
        pytest.skip("this machine has no IPv6")
    with bound, proxy:
        _listen("--port", address.host, address.port, bound)
        assert address.answers()


def test_the_proxy_cannot_be_where_the_api_is(tmp_path: Path, port: int) -> None:
    settings = Settings(tmp_path, "sqlite://")
    with pytest.raises(
        InvalidValue, match=rf"^--proxy-port: {port}: the API listens there\. Choose another, or leave it out\."
    ):
        _chosen(settings, "127.0.0.1", port, port)


def test_the_proxy_s_port_is_nobody_else_s_from_the_start(tmp_path: Path, port: int) -> None:
    """Of two servers that start together, one that has bound its port only would find it taken when it comes to listen."""
    settings = Settings(tmp_path, "sqlite://")
    address, bound, held = _chosen(settings, "127.0.0.1", port, None)
    with bound, held, pytest.raises(InvalidValue, match=f"--proxy-port: {address.proxy_port}: cannot listen there"):
        _chosen(settings, "127.0.0.1", port, address.proxy_port)
