"""The HTTPS proxy and `rekindle run`, as clients meet them: AWS's own names, real TLS, a real server behind."""

from __future__ import annotations

import json
import signal
import socket
import socketserver
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

from support import ports
from support.serving import REKINDLE, Serving

STS = "https://sts.us-east-1.amazonaws.com"
#: What the SDKs do: the endpoint is theirs, the rest comes from the environment. Names are never looked up.
WHO_AM_I = f"""\
import socket, sys
real = socket.getaddrinfo
def refuse(host, *more, **named):
    assert host in ("127.0.0.1", "localhost"), f"looked up {{host}}"
    return real(host, *more, **named)
socket.getaddrinfo = refuse
import boto3
print(boto3.client("sts", endpoint_url="{STS}").get_caller_identity()["Arn"])
sys.exit(7)
"""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    serving = Serving(tmp_path_factory.mktemp("proxy") / "home")
    yield serving
    serving.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def variables(serving: Serving) -> dict[str, str]:
    printed = subprocess.run([REKINDLE, "env", "--all", "--json"], env=serving.environ, capture_output=True, check=True)
    return json.loads(printed.stdout)


def run(serving: Serving, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return rekindle(serving, "run", *command, **environ)


def rekindle(serving: Serving, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([REKINDLE, *words], env={**serving.environ, **environ}, capture_output=True, text=True, check=False)


def client(service: str, variables: dict[str, str], *, trusted: str | bool = True, **config: object) -> object:
    return boto3.client(
        service,
        "us-east-1",
        endpoint_url=f"https://{service}.us-east-1.amazonaws.com",
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        verify=variables["AWS_CA_BUNDLE"] if trusted else None,
        config=Config(proxies={"https": variables["HTTPS_PROXY"]}, **config),
    )


def test_another_home_s_server_is_told_from_our_own(serving: Serving, tmp_path: Path) -> None:
    """As where another login's is at the port: it knows none of our keys."""
    assert run(serving, "--", "true").stderr == ""
    announced = Path(serving.environ["REKINDLE_HOME"], "server.json").read_text()
    (tmp_path / "server.json").write_text(announced)
    told = f"what listens at http://127.0.0.1:{json.loads(announced)['port']} is no server of {tmp_path} on this machine"
    done = run(serving, "--", "true", REKINDLE_HOME=str(tmp_path))
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: {told}")
    done = run(serving, "--serve", "--", "true", REKINDLE_HOME=str(tmp_path))
    assert done.returncode == 4
    assert done.stderr.startswith(f"error: {told}. End it, or leave --serve out and start one elsewhere")
    assert rekindle(serving, "env").stderr == ""
    for options, warning in (((), f"warning: {told}"), (("--port", "8421"), "")):
        printed = rekindle(serving, "env", "--json", *options, REKINDLE_HOME=str(tmp_path))
        assert json.loads(printed.stdout)["AWS_REGION"] == "us-east-1"
        assert printed.stderr.startswith(warning)
        assert bool(printed.stderr) == bool(warning)


def connect(variables: dict[str, str], target: str) -> socket.socket:
    host, _, port = variables["HTTPS_PROXY"].removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    return connection


def test_a_command_finds_hard_wired_hosts_here_and_its_exit_code_is_its_own(serving: Serving) -> None:
    done = run(serving, "--", sys.executable, "-c", WHO_AM_I, https_proxy="http://127.0.0.1:1")
    assert done.stdout.strip().startswith("arn:aws:sts::000000000000:assumed-role/rekindle/")
    assert done.returncode == 7


def test_a_command_keeps_its_options(serving: Serving) -> None:
    assert run(serving, sys.executable, "--version").stdout.startswith("Python 3")


def test_a_command_that_is_not_there(serving: Serving) -> None:
    done = run(serving, "--", "no-such-command")
    assert (done.returncode, done.stderr.count("\n")) == (127, 1)
    assert done.stderr.startswith("error: command: 'no-such-command': cannot be run")


def test_without_a_server_run_says_how_to_start_one(tmp_path: Path, serving: Serving) -> None:
    done = run(serving, "--", "true", REKINDLE_HOME=str(tmp_path))
    assert done.returncode == 4
    assert done.stderr.endswith("start one in another terminal: rekindle serve\n")


def test_clients_stay_with_the_first_of_two_servers_of_a_home(serving: Serving) -> None:
    before = json.loads(serving.run("env", "--json"))
    with ports.kept() as keeper:
        command = [REKINDLE, "serve", "--port", str(ports.number(keeper))]
        second = subprocess.Popen(command, env=serving.environ, stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        lines = iter(second.stderr.readline, "")
        assert next(line for line in lines if "another server of this home listens" in line)
        assert json.loads(serving.run("env", "--json")) == before
        second.terminate()
        second.communicate(timeout=240)
    assert json.loads(serving.run("env", "--json")) == before
    serving.end(signal.SIGTERM)
    serving.start()
    assert json.loads(serving.run("env", "--json")) == before


def test_a_server_for_the_command_alone(tmp_path: Path, serving: Serving) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with ports.kept() as keeper:
        (home / "server.json").write_text(json.dumps({"host": "127.0.0.1", "port": ports.number(keeper)}))
        done = run(serving, "--serve", "--", sys.executable, "-c", WHO_AM_I, REKINDLE_HOME=str(home))
        assert ":assumed-role/rekindle/" in done.stdout, done.stderr
        assert done.returncode == 7
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports.number(keeper)), timeout=60)


def test_the_authority_is_private_and_bound_to_aws_names(serving: Serving, variables: dict[str, str]) -> None:
    from cryptography import x509

    folder = Path(serving.environ["REKINDLE_HOME"]) / "tls"
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    found = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert found.critical
    assert {name.value for name in found.value.permitted_subtrees} == {"amazonaws.com", "amazonaws.com.cn", "api.aws"}
    bundle = Path(variables["AWS_CA_BUNDLE"]).read_bytes()
    assert (folder / "ca.pem").read_bytes() in bundle
    assert bundle.count(b"BEGIN CERTIFICATE") > 50


@pytest.mark.parametrize("addressing", ["path", "virtual"])
def test_an_object_goes_through_in_both_ways_whole(variables: dict[str, str], addressing: str) -> None:
    s3 = client("s3", variables, s3={"addressing_style": addressing})
    bucket, body = "sagemaker-us-east-1-000000000000", bytes(range(256)) * 20_000
    s3.put_object(Bucket=bucket, Key=f"proxied/{addressing}", Body=body)
    assert s3.get_object(Bucket=bucket, Key=f"proxied/{addressing}")["Body"].read() == body


def test_who_does_not_trust_the_authority_is_not_served(variables: dict[str, str]) -> None:
    with pytest.raises(SSLError):
        client("sts", variables, trusted=False, retries={"max_attempts": 0}).get_caller_identity()


def test_certificates_stand_strict_checks(variables: dict[str, str]) -> None:
    context = ssl.create_default_context(cafile=variables["AWS_CA_BUNDLE"])
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with connect(variables, "s3.eu-central-1.amazonaws.com:443") as connection:
        assert b" 200 " in connection.recv(4096)
        with context.wrap_socket(connection, server_hostname="s3.eu-central-1.amazonaws.com") as secured:
            secured.sendall(b"GET /healthz HTTP/1.1\r\nHost: s3.eu-central-1.amazonaws.com\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: secured.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200")


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data.upper())


def test_other_hosts_are_tunnelled_untouched(variables: dict[str, str]) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with connect(variables, f"localhost:{server.server_address[1]}") as connection:
            assert b" 200 " in connection.recv(4096)
            connection.sendall(b"not tls at all")
            assert connection.recv(4096) == b"NOT TLS AT ALL"
        server.shutdown()


def test_other_hosts_are_reached_through_the_proxy_that_was_there_before(tmp_path: Path, variables: dict[str, str]) -> None:
    chained = Serving(tmp_path / "home", https_proxy=variables["HTTPS_PROXY"])
    try:
        port = json.loads((tmp_path / "home" / "server.json").read_text())["proxy_port"]
        ours = {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with connect(ours, f"localhost:{server.server_address[1]}") as connection:
                assert b" 200 " in connection.recv(4096)
                connection.sendall(b"through two")
                assert connection.recv(4096) == b"THROUGH TWO"
            server.shutdown()
        with connect(ours, "localhost:1") as connection:
            assert b"The proxy before us does not reach localhost" in connection.makefile("rb").read()
    finally:
        chained.end(signal.SIGTERM)


def test_other_hosts_are_refused_where_the_setting_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    refusing = Serving(home, REKINDLE_PROXY_OTHERS="refuse")
    try:
        port = json.loads((home / "server.json").read_text())["proxy_port"]
        with connect({"HTTPS_PROXY": f"http://127.0.0.1:{port}"}, "example.org:443") as connection:
            answer = connection.recv(4096)
    finally:
        refusing.end(signal.SIGTERM)
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"REKINDLE_PROXY_OTHERS" in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"GET http://example.org/ HTTP/1.1\r\n\r\n", b"405"), (b"CONNECT sts:0 HTTP/1.1\r\n\r\n", b"400")],
)
def test_what_is_no_connect_is_refused(variables: dict[str, str], sent: bytes, status: bytes) -> None:
    host, _, port = variables["HTTPS_PROXY"].removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(sent)
        assert connection.recv(4096).split(b" ")[1] == status
