# ruff: noqa: E501
"""The gateway as a whole, called without a network: what it lets through, what it refuses, what it tells."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Message
from structlog.testing import capture_logs

from rekindle.gateway.answers import TABLES, Dialect
from rekindle.gateway.app import Gateway, GatewaySettings
from rekindle.gateway.errors import GatewayError
from rekindle.gateway.origin import is_loopback
from rekindle.gateway.refusal import Reason
from rekindle.gateway.routing import Apps
from support.gateway import ALICE, Echo, echo_apps, gateway
from support.signing import Sent, error_code, identity, listing, presigned, sign, upload


class Answer:
    """What a client would read."""

    def __init__(self, messages: list[Message]) -> None:
        self.status: int = messages[0]["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(app: Gateway, sent: Sent, parts: list[bytes] | None = None, stuck: bool = False) -> Answer:
    """Hands a request to the gateway in the given parts; ``stuck`` never sends the last one."""

    async def run() -> Answer:
        pending = list(parts if parts is not None else [sent.body])
        answered: list[Message] = []

        async def receive() -> Message:
            if pending:
                body = pending.pop(0)
                return {"type": "http.request", "body": body, "more_body": bool(pending) or stuck}
            return await asyncio.Future()

        async def send(message: Message) -> None:
            answered.append(message)

        path, _, query = sent.target.encode("latin-1").partition(b"?")
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.headers]
        scope = {"type": "http", "method": sent.method, "scheme": "http", "client": ("127.0.0.1", 1), "headers": headers}
        scope |= {"path": path.decode(), "raw_path": path, "query_string": query}
        await app(scope, receive, send)
        return Answer(answered)

    return asyncio.run(run())


def plain(target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Sent:
    named = {"host": "localhost", **headers}
    return Sent(method, target, [(name.replace("_", "-"), value) for name, value in named.items()], body)


OURS = [
    *("localhost", "localhost:8080", "LOCALHOST.", "bucket.localhost:1", "127.0.0.1:1", "[::1]:8080", "10.1.2.3"),
    *("api.sagemaker.eu-west-3.amazonaws.com", "bucket.s3.amazonaws.com", "sts.cn-north-1.amazonaws.com.cn"),
    *("tuner.lab", "bucket.tuner.lab:8080"),
]
NOT_OURS = [
    *("evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "localhost@evil.example"),
    *("amazonaws.com", "evilamazonaws.com", "nottuner.lab", "", "a:b:c", "[evil.example]", "[::1"),
]


@pytest.mark.parametrize("host", OURS)
def test_our_own_names_are_served(host):
    assert call(gateway(hosts=frozenset({"tuner.lab"})), plain("/healthz", host=host)).json == {"status": "ok"}


@pytest.mark.parametrize("host", NOT_OURS)
def test_another_name_that_points_here_is_refused(host):
    answer = call(gateway(hosts=frozenset({"tuner.lab"})), plain("/healthz", host=host))
    assert (answer.status, b"<Code>AccessDenied</Code>" in answer.body) == (403, True)


def test_who_names_no_host_is_told_to() -> None:
    # Balancers ask for /healthz by HTTP/1.0, which knows no Host; an empty name cannot be added to REKINDLE_HOSTS.
    answer = call(gateway(), plain("/healthz", host=""))
    assert answer.status == 403
    assert b"Send a Host header" in answer.body
    assert b"REKINDLE_HOSTS" not in answer.body


def test_a_request_without_host_is_refused():
    assert call(gateway(), Sent("GET", "/healthz")).status == 403


def for_a_url(sent: Sent, host: str) -> Sent:
    """The same request as clients send it to a proxy."""
    return replace(sent, target=f"http://{host}{sent.target}")


@pytest.mark.parametrize("sent", [listing(), upload(), presigned()])
def test_a_request_for_a_whole_url_is_served_as_one_for_its_path(sent):
    assert call(gateway(), for_a_url(sent, "localhost")).status == 200
    assert call(gateway(), for_a_url(sent.with_header("host", "evil.example"), "localhost")).status == 200
    assert call(gateway(), for_a_url(sent, "127.0.0.1")).status in (400, 403)
    assert call(gateway(), for_a_url(sent, "evil.example")).status == 403


def test_what_reaches_the_application_of_a_whole_url_is_its_path():
    async def shows(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(f"{scope['path']} {scope['raw_path'].decode()}")(scope, receive, send)

    app = gateway(echo_apps(s3=shows), insecure_no_auth=True)
    assert call(app, plain("http://localhost/bucket/a%20b?versions")).body == b"/bucket/a b /bucket/a%20b"
    assert call(app, plain("HTTP://localhost")).body == b"/ /"
    assert call(gateway(), plain("http://localhost/healthz")).json == {"status": "ok"}


ORIGINS = [
    ("http://localhost", 200),
    ("https://lab.example", 200),
    ("http://localhost:80", 403),
    ("https://localhost", 403),
    ("null", 403),
    ("http://evil.example", 403),
]


@pytest.mark.parametrize(("origin", "status"), ORIGINS)
def test_the_origin_must_be_ours(origin, status):
    app = gateway(origins=frozenset({"https://lab.example"}))
    assert call(app, plain("/healthz", origin=origin)).status == status
    signed = listing().plus("origin", origin)
    assert call(app, signed).status == status


def test_the_callers_account_and_region_reach_the_application():
    answer = call(gateway(), listing())
    assert answer.json["account"] == ALICE.account
    assert answer.json["region"] == "eu-west-3"
    assert answer.json["request_id"] == answer.headers["x-amzn-requestid"]
    assert call(gateway(), upload()).headers["x-amz-request-id"]


def test_too_many_headers_are_refused():
    many = plain("/healthz", **{f"x_h{n}": "1" for n in range(200)})
    assert call(gateway(), many).status == 400


@pytest.mark.parametrize(
    ("sent", "code"), [(listing(), "ValidationException"), (identity(), "ValidationError"), (upload(), "InvalidRequest")]
)
def test_a_body_whose_end_is_told_in_two_ways_is_refused(sent, code):
    answer = call(gateway(), sent.plus("content-length", str(len(sent.body))).plus("transfer-encoding", "chunked"))
    assert (answer.status, answer.headers["connection"], error_code(answer.body)) == (400, "close", code)


def test_a_large_body_is_refused_and_a_large_object_is_not():
    big = b"x" * (2**22 + 1)
    for sent in (replace(listing(), body=big), replace(listing(), body=big).plus("content-length", str(len(big)))):
        answer = call(gateway(), sent)
        assert (answer.status, answer.json["__type"]) == (413, "ValidationException")
        assert "4194304 bytes" in answer.json["message"]
    sent = upload(body=big)
    assert (
        call(gateway(), sent, parts=[big[at : at + 65536] for at in range(0, len(big), 65536)]).json["sha256"]
        == sha256(big).hexdigest()
    )


def test_a_compressed_body_is_refused_by_its_name_and_a_compressed_object_is_not():
    answer = call(gateway(), listing().plus("content-encoding", "gzip"))
    assert (answer.status, answer.json["__type"]) == (400, "SerializationException")
    assert answer.json["message"].startswith("Content-Encoding: 'gzip': bodies are read as they are. Send it uncompressed")
    assert call(gateway(), listing().plus("content-encoding", "amz-1.0")).status == 200
    assert call(gateway(), upload().plus("content-encoding", "gzip")).status == 200


def test_a_body_that_does_not_come_is_not_waited_for():
    answer = call(gateway(body_seconds=0.01), listing(), parts=[b"{"], stuck=True)
    assert (answer.status, answer.json["__type"]) == (408, "RequestTimeoutException")
    s3 = Echo("s3")
    answer = call(gateway(echo_apps(s3=s3), idle_seconds=0.01), upload(), parts=[b"the"], stuck=True)
    assert (answer.status, b"<Code>RequestTimeout</Code>" in answer.body) == (400, True)
    assert s3.whole == []


async def _stubborn(scope: Any, receive: Any, send: Any) -> None:
    """An application that turns every failure into its own answer."""
    try:
        while (await receive()).get("more_body"):
            pass
    except Exception:
        await PlainTextResponse("mine", 500)(scope, receive, send)
        return
    await PlainTextResponse("stored")(scope, receive, send)


def test_a_forged_body_is_answered_by_the_gateway_whatever_the_application_does():
    app = gateway(echo_apps(s3=_stubborn))
    assert call(app, upload()).body == b"stored"
    for strict in (app, gateway(echo_apps(s3=_stubborn), insecure_no_auth=True)):
        answer = call(strict, upload(), parts=[b"the ", b"objecT"])
        assert (answer.status, b"XAmzContentSHA256Mismatch" in answer.body) == (400, True)


async def _broken(scope: Any, receive: Any, send: Any) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(("sent", "code"), [(listing(), "InternalFailure"), (upload(), "InternalError")])
def test_a_defect_behind_is_an_internal_error_with_an_id(sent, code):
    with capture_logs() as logs:
        answer = call(gateway(echo_apps(sagemaker=_broken, s3=_broken)), sent)
    assert answer.status == 500
    assert code in answer.body.decode()
    assert "ZeroDivision" not in answer.body.decode()
    failed = next(entry for entry in logs if entry["event"] == "request failed")
    assert failed["request_id"] == (answer.headers.get("x-amzn-requestid") or answer.headers["x-amz-request-id"])


@pytest.mark.parametrize("sent", [listing(), identity(), upload()])
def test_a_request_that_lasts_until_the_server_ends_is_told_to_come_again(sent):
    async def lasts(scope: Any, receive: Any, send: Any) -> None:
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
        await asyncio.Future()

    answer = call(gateway(echo_apps(sagemaker=lasts, sts=lasts, s3=lasts)), sent)
    assert (answer.status, error_code(answer.body)) == (503, "ServiceUnavailable")


async def _half(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError


def test_an_answer_that_breaks_off_is_not_followed_by_another():
    answer = call(gateway(echo_apps(sagemaker=_half)), listing())
    assert (answer.status, answer.body) == (200, b"")


def test_the_health_page_speaks_for_the_parts_behind():
    app = Gateway(echo_apps(), gateway().credentials, GatewaySettings(), lambda: 0.0, health=lambda: False)
    assert (call(app, plain("/healthz")).status, call(app, plain("/healthz")).json) == (503, {"status": "unavailable"})


def test_metrics_count_what_happened():
    app = gateway()
    call(app, listing())
    call(app, plain("/", "POST", x_amz_target="SageMaker.Search"))
    call(app, replace(listing(), method="BREW"))
    page = call(app, plain("/metrics"))
    assert page.headers["content-type"].startswith("text/plain")
    assert b'rekindle_http_requests_total{method="POST",service="sagemaker",status="200"} 1.0' in page.body
    assert b'rekindle_http_refused_total{reason="missing"} 1.0' in page.body
    assert b'method="other",service="sagemaker",status="400"' in page.body


def test_a_bucket_named_metrics_can_still_be_read():
    signed = sign(botocore.auth.S3SigV4Auth, "s3", AWSRequest("GET", "http://localhost/metrics", {}, b""))
    assert call(gateway(), signed).json["app"] == "s3"


def test_a_browser_is_told_what_runs_here_and_a_client_without_a_signature_is_refused():
    accept = "text/html,application/xhtml+xml,*/*;q=0.8"
    front = call(gateway(), plain("/", accept=accept))
    assert (front.status, front.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert b"rekindle jobs" in front.body
    for sent in (plain("/"), plain("/", accept="*/*"), plain("/bucket", accept=accept), plain("/", "PUT", accept=accept)):
        assert call(gateway(), sent).status == 403
    assert call(gateway(), plain("/?acl", accept=accept)).status == 403
    assert call(gateway(), plain("/", accept=accept, host="evil.example")).status == 403


def test_the_access_log_tells_who_did_what_and_no_secret():
    with capture_logs() as logs:
        answer = call(gateway(), listing())
    entry = next(entry for entry in logs if entry["event"] == "request")
    assert entry["request_id"] == answer.headers["x-amzn-requestid"]
    shown = (entry["service"], entry["operation"], entry["account"], entry["status"], entry["path"], entry["bytes_in"])
    assert shown == ("sagemaker", "SageMaker.ListHyperParameterTuningJobs", ALICE.account, 200, "/", len(listing().body))
    assert entry["bytes_out"] == len(answer.body)
    assert ALICE.secret_key not in str(logs)
    assert "Signature" not in str(logs)


def test_without_authentication_only_on_loopback():
    with pytest.raises(GatewayError, match=r"--insecure-no-auth: not on '0\.0\.0\.0'"):
        GatewaySettings(insecure_no_auth=True, bind_host="0.0.0.0")
    with capture_logs() as logs:
        gateway(insecure_no_auth=True, bind_host="::1")
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert "INSECURE" in logs[0]["event"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "localhost.evil.example", ""])
def test_others_are_not(host):
    assert not is_loopback(host)


FORM = {"content_type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("sent", "service"),
    [
        (plain("/", "POST", b"{}", x_amz_target="SageMaker.Search"), "sagemaker"),
        (plain("/", "POST", b"{}", x_amz_target="Logs_20140328.GetLogEvents"), "logs"),
        (plain("/", "POST", b"Action=GetCallerIdentity&Version=2011-06-15", **FORM), "sts"),
        (plain("/", "POST", b"Action=GetRole&RoleName=x", **FORM), "iam"),
        (plain("/", "POST", b"Action=GetMetricStatistics", **FORM), "monitoring"),
        (plain("/", host="sts.eu-west-3.amazonaws.com"), "sts"),
        (plain("/bucket/key", "PUT", b"data"), "s3"),
        (listing().authorization(lambda value: value[:-8]), "sagemaker"),
        (plain("/bucket", authorization="Basic eDp5"), "s3"),
    ],
)  # fmt: skip
def test_without_authentication_the_service_is_guessed(sent, service):
    answer = call(gateway(insecure_no_auth=True), sent)
    assert (answer.json["app"], answer.json["account"]) == (service, "000000000000")
    assert answer.json["sha256"] == sha256(sent.body).hexdigest()


def test_without_authentication_a_page_of_another_site_is_still_refused():
    app = gateway(insecure_no_auth=True)
    assert call(app, plain("/bucket/key", sec_fetch_site="cross-site")).status == 403
    assert call(app, plain("/bucket/key", sec_fetch_site="none")).status == 200
    assert call(app, plain("/bucket/key", host="evil.example")).status == 403


def test_every_reason_has_an_answer_in_every_dialect():
    for dialect in Dialect:
        assert set(TABLES[dialect]) == set(Reason)


def test_the_applications_behind_are_started_and_stopped_with_the_server():
    told: list[str] = []

    async def stateful(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            message = await receive()
            told.append(message["type"])
            await send({"type": f"{message['type']}.complete"})

    async def run() -> list[str]:
        coming = asyncio.Queue()
        for kind in ("lifespan.startup", "lifespan.shutdown"):
            coming.put_nowait({"type": kind})
        answered: list[str] = []

        async def send(message: Message) -> None:
            answered.append(message["type"])

        await gateway(echo_apps(s3=stateful, sts=_broken))({"type": "lifespan"}, coming.get, send)
        return answered

    assert asyncio.run(run()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert told == ["lifespan.startup", "lifespan.shutdown"]


WORDS = st.sampled_from(
    ["AWS4-HMAC-SHA256", "Credential=", ALICE.access_key, "/20150830/eu-west-3/s3/aws4_request", "SignedHeaders=host", "Signature=", ", ", " ",
     "=", "/", ";", "x", "20150830T123600Z", "UNSIGNED-PAYLOAD", "SageMaker.Search", "é", "application/x-www-form-urlencoded"]
)  # fmt: skip
PHRASES = st.lists(WORDS, max_size=8).map("".join)
NAMES = [
    "authorization",
    "x-amz-date",
    "date",
    "x-amz-content-sha256",
    "x-amz-target",
    "content-type",
    "content-length",
    "origin",
    "expect",
]
QUERIES = st.lists(st.tuples(st.sampled_from(["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature", "Action"]), PHRASES), max_size=7)  # fmt: skip


@given(
    st.sampled_from(["GET", "POST", "PUT", "BREW"]),
    st.sampled_from(["/", "/bucket/key", "//", "/%ff%zz"]),
    QUERIES,
    st.lists(st.tuples(st.sampled_from(NAMES), PHRASES), max_size=6),
    st.binary(max_size=20),
)
def test_no_unsigned_request_is_served_or_breaks_anything(method, path, query, headers, body):
    encoded = urlencode(query)
    sent = Sent(method, f"{path}?{encoded}" if encoded else path, [("host", "localhost"), *headers], body)
    echo = Echo("any")
    apps = Apps(echo, echo, echo, echo, echo, echo)
    answer = call(gateway(apps, body_seconds=0.01, idle_seconds=0.01), sent)
    assert 400 <= answer.status < 500
    assert echo.whole == []
    if answer.body.startswith(b"<"):
        assert ElementTree.fromstring(answer.body) is not None
    else:
        assert answer.json["__type"]
    assert call(gateway(insecure_no_auth=True, body_seconds=0.01, idle_seconds=0.01), sent).status < 500


def test_who_is_not_let_in_for_a_name_is_told_which_setting_would():
    assert b"Add it to REKINDLE_HOSTS" in call(gateway(), plain("/healthz", host="tuner.lab")).body
    assert b"Add it to REKINDLE_ORIGINS" in call(gateway(), plain("/healthz", origin="https://pages.lab")).body
