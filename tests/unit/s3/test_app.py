from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from rekindle.s3.app import create_app
from rekindle.s3.routes import ROUTES, SUBRESOURCES
from support.object_store import ACCOUNT, StillClock, memory_folder


@pytest.fixture(scope="module")
def app() -> Iterator[ASGIApp]:
    with memory_folder() as folder:
        yield create_app(folder, clock=StillClock(), region="us-east-1", default_account=ACCOUNT, patience=0.01)


def ask(
    app: ASGIApp, method: str, target: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    path, _, query = target.partition("?")
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode("latin-1", "replace")}
    scope |= {"query_string": query.encode("latin-1", "replace"), "headers": raw}
    arriving = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return arriving.pop() if arriving else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert not sent[-1].get("more_body", False)
    told = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(message["body"] for message in sent[1:])


PARTS = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"
_texts = st.one_of(
    st.sampled_from(
        ["", "1", "-1", "0", "999999999999", "x", "null", "url", "/", "%00", "%ff", "%C3%A9", "bytes=0-1", "true", "../.."]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?# "), max_size=8),
)
_parameters = st.sampled_from([
    *sorted(SUBRESOURCES), "list-type", "prefix", "delimiter", "marker", "start-after", "continuation-token", "max-keys",
    "encoding-type", "partNumber", "max-parts", "part-number-marker", "max-uploads", "key-marker", "upload-id-marker",
    "versionId", "response-expires",
])  # fmt: skip
_queries = st.dictionaries(_parameters, _texts, max_size=4).map(lambda found: "&".join(f"{k}={v}" for k, v in found.items()))
_names = st.sampled_from([
    "host", "range", "if-match", "if-none-match", "if-modified-since", "content-md5", "content-type", "content-encoding",
    "content-length", "x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-copy-source", "x-amz-copy-source-range",
    "x-amz-trailer", "x-amz-checksum-crc32", "x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-sdk-checksum-algorithm",
    "x-amz-acl", "x-amz-tagging", "x-amz-meta-a", "x-amz-storage-class", "x-amz-mp-object-size", "x-amz-object-attributes",
])  # fmt: skip
_values = st.sampled_from(["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "/bucket/k", "CRC32", "REPLACE", "*", '"x"', "AAAAAA=="])
_headers = st.dictionaries(_names, st.one_of(_texts, _values), max_size=5)
_bodies = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [
            b"<Delete><Object><Key>a/b</Key></Object></Delete>",
            PARTS,
            b"<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>",
            b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>",
            b"1\r\nx\r\n0\r\n\r\n",
        ]
    ),
)
_paths = st.one_of(
    st.sampled_from(["/", "/bucket", "/bucket/", "/bucket/k", "/bucket/k/l", "/other"]), _texts.map("/bucket/{}".format)
)


@given(st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"]), _paths, _queries, _headers, _bodies)
def test_no_request_breaks_the_store(
    app: ASGIApp, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    ask(app, "PUT", "/bucket", {"content-length": "0"})
    status, told, answer = ask(app, method, f"{path}?{query}", {"content-length": str(len(body)), **headers}, body)
    assert status < 500 or status == 501
    if method != "HEAD" and status >= 400:
        assert told["content-type"] == "application/xml"
        expat.ParserCreate().Parse(answer, True)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.target} {route.query}")
def test_every_operation_wants_its_bucket(app: ASGIApp, route: Any) -> None:
    target = {"service": "/", "bucket": "/absent", "object": "/absent/k"}[route.target]
    query = "&".join(f"{name}=1" for name in route.query)
    documents = {"put_tagging": b"<Tagging/>", "complete_upload": PARTS}
    body = documents.get(getattr(route.handler, "__name__", ""), b"")
    headers = {"content-length": str(len(body))} | ({route.header: "/absent/k"} if route.header else {})
    status, _, answer = ask(app, route.method, f"{target}?{query}", headers, body)
    # A slow operation may have begun its answer before it failed.
    if route.target == "service":
        assert status == 200
    elif status != 400:
        assert (status in (200, 404), b"<Code>NoSuchBucket</Code>" in answer) == (True, True)


def test_a_write_that_is_none_we_know_is_refused_and_the_object_stays(app: ASGIApp) -> None:
    assert ask(app, "PUT", "/known", {})[0] == 200
    assert ask(app, "PUT", "/known/key", {"content-length": "4"}, b"kept")[0] == 200
    source = {"x-amz-copy-source": "known/key", "x-amz-metadata-directive": "REPLACE"}
    for method, target, headers in (
        ("PUT", "/known/key?annotation&annotationName=a", {"content-length": "4"}),
        ("DELETE", "/known/key?annotation&annotationName=a", {}),
        ("GET", "/known/key?annotation&annotationName=a", {}),
        ("PUT", "/known/key?of-tomorrow", {"content-length": "4"}),
        ("PUT", "/known/key?of-tomorrow", source),
        ("PUT", "/known/key?partNumber=1", {"content-length": "4"}),
        ("PUT", "/known/key?versionId=null", {"content-length": "4"}),
        ("DELETE", "/known/key?of-tomorrow", {}),
        ("PUT", "/unknown?abac", {}),
    ):
        status, _, told = ask(app, method, target, headers, b"lost" if headers else b"")
        assert (status, f"{method} ?{target.partition('?')[2][:4]}".encode() in told) == (501, True)
    assert ask(app, "GET", "/known/key", {})[2] == b"kept"
    assert ask(app, "HEAD", "/unknown", {})[0] == 404
    assert ask(app, "PUT", "/known/key?x-id=PutObject&X-Trace=1", {"content-length": "4"}, b"next")[0] == 200
    assert ask(app, "DELETE", "/known/key?versionId=null&x-id=DeleteObject", {})[0] == 204


def test_every_operation_of_boto3_that_a_parameter_names_is_known_by_it() -> None:
    model = botocore.session.get_session().get_service_model("s3")
    uris = [model.operation_model(name).http["requestUri"] for name in model.operation_names]
    named = {part.partition("=")[0] for uri in uris for part in uri.partition("?")[2].split("&") if part}
    # Those two only say more of an operation that has its name already.
    assert named - {"list-type", "select-type"} <= SUBRESOURCES


def test_the_end_of_the_server_takes_its_scratch_along() -> None:
    with memory_folder() as folder:
        made = create_app(folder, clock=StillClock(), region="us-east-1", default_account=ACCOUNT)
        messages = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
        sent: list[str] = []

        async def receive() -> Any:
            return messages.pop()

        async def send(message: Any) -> None:
            sent.append(message["type"])

        asyncio.run(made({"type": "lifespan"}, receive, send))
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert list((folder / ".rekindle" / "scratch").iterdir()) == []
