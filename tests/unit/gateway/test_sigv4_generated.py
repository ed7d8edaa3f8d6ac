"""Generated requests, signed by botocore's own signers: each is let in, and no altered one is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from unittest.mock import patch
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import assume, given
from hypothesis import strategies as st

from rekindle.gateway.admission import Caller, claimed_pair, proven
from rekindle.gateway.canonical import WireRequest
from rekindle.gateway.refusal import Refusal
from rekindle.gateway.sigv4 import read_claim
from support.gateway import ALICE, BOB, CREDENTIALS, MOMENT

NOW = datetime.fromtimestamp(MOMENT, UTC)
KEYS = BotoCredentials(ALICE.access_key, ALICE.secret_key)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12).map("x-amz-meta-".__add__)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=5)
PARAMETERS = st.dictionaries(TEXT.filter(lambda name: not name.lower().startswith("x-amz")), TEXT, max_size=5)
SEGMENTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00/"), max_size=10), max_size=4)
METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"])
BODIES = st.binary(max_size=200)


def encoded_path(segments: list[str]) -> str:
    return "/" + "/".join(botocore.auth.quote(segment, safe="-_.~") for segment in segments)


def signed(signer: type, service: str, request: AWSRequest) -> WireRequest:
    """The wire form of a request that botocore signed at NOW."""
    with patch("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        signer(KEYS, service, "eu-west-3").add_auth(request)
    prepared = request.prepare()
    url = urlsplit(prepared.url)
    headers = [
        (name.lower().encode(), value.encode("latin-1") if isinstance(value, str) else value)
        for name, value in prepared.headers.items()
    ]
    if not any(name == b"host" for name, _ in headers):
        headers.append((b"host", url.netloc.encode()))
    return WireRequest(prepared.method, url.path.encode(), url.query.encode(), tuple(headers))


def admitted(request: WireRequest, body: bytes | None) -> Caller:
    """The sender, by the gateway's two steps: the key pair first, and then what is signed."""
    claim = read_claim(request)
    return proven(request, claim, claimed_pair(request, claim, CREDENTIALS, NOW), body)


def let_in(request: WireRequest, body: bytes | None) -> str:
    caller = admitted(request, body)
    if body is None:
        return caller.body_sha256 or "unsigned"
    return caller.account


@given(METHODS, SEGMENTS, PARAMETERS, HEADERS, BODIES)
def test_every_request_that_botocore_signs_for_a_service_is_let_in(method, segments, parameters, headers, body):
    request = AWSRequest(method, f"http://localhost:1{encoded_path(segments)}", headers, body, parameters)
    wire = signed(botocore.auth.SigV4Auth, "sagemaker", request)
    assert let_in(wire, body) == ALICE.account


@given(METHODS, SEGMENTS, PARAMETERS, HEADERS, BODIES)
def test_every_request_that_botocore_signs_for_s3_is_let_in(method, segments, parameters, headers, body):
    request = AWSRequest(method, f"http://localhost:1{encoded_path(segments)}", headers, body, parameters)
    wire = signed(botocore.auth.S3SigV4Auth, "s3", request)
    assert let_in(wire, None) == sha256(body).hexdigest()


@given(METHODS, SEGMENTS, PARAMETERS, HEADERS)
def test_every_presigned_s3_url_of_botocore_is_let_in(method, segments, parameters, headers):
    request = AWSRequest(method, f"http://localhost:1{encoded_path(segments)}", headers, b"", parameters)
    wire = signed(botocore.auth.S3SigV4QueryAuth, "s3", request)
    assert let_in(wire, None) == "unsigned"


@given(PARAMETERS)
def test_every_presigned_url_of_botocore_for_another_service_is_let_in(parameters):
    wire = signed(botocore.auth.SigV4QueryAuth, "sts", AWSRequest("GET", "http://localhost:1/", {}, b"", parameters))
    assert let_in(wire, b"") == ALICE.account


def altered(wire: WireRequest, part: str, draw: st.DataObject) -> WireRequest:
    """The request with one part of it changed in meaning."""
    if part == "method":
        return replace(wire, method=draw.draw(METHODS.filter(lambda method: method != wire.method)))
    if part == "path":
        return replace(wire, path=wire.path + b"/" + draw.draw(st.text("abc", min_size=1)).encode())
    if part == "query":
        return replace(wire, query=wire.query + b"&" + draw.draw(st.text("abc", min_size=1)).encode() + b"=1")
    signed_names = read_claim(wire).signed_headers
    index = draw.draw(st.sampled_from([at for at, (name, _) in enumerate(wire.headers) if name.decode() in signed_names]))
    name, value = wire.headers[index]
    if part == "header":
        return replace(wire, headers=(*wire.headers[:index], (name, value + b"x"), *wire.headers[index + 1 :]))
    if part == "header gone":
        return replace(wire, headers=wire.headers[:index] + wire.headers[index + 1 :])
    return replace(wire, headers=(*wire.headers, (b"x-amz-more", b"1")))


@pytest.mark.parametrize("part", ["method", "path", "query", "header", "header gone", "header more"])
@given(data=st.data())
def test_no_altered_request_is_let_in(part, data):
    headers = data.draw(HEADERS)
    request = AWSRequest(
        data.draw(METHODS), f"http://localhost:1{encoded_path(data.draw(SEGMENTS))}", headers, b"body", data.draw(PARAMETERS)
    )
    wire = signed(botocore.auth.S3SigV4Auth, "s3", request)
    forged = altered(wire, part, data)
    with pytest.raises(Refusal):
        admitted(forged, None)


@given(BODIES, BODIES)
def test_no_other_body_is_let_in(body, other):
    assume(body != other)
    wire = signed(botocore.auth.SigV4Auth, "sagemaker", AWSRequest("POST", "http://localhost:1/", {}, body))
    assert let_in(wire, body) == ALICE.account
    with pytest.raises(Refusal):
        let_in(wire, other)


@given(
    st.binary(max_size=300),
    st.binary(max_size=300),
    st.lists(st.tuples(st.binary(max_size=30), st.binary(max_size=60)), max_size=6),
)
def test_nothing_but_a_refusal_comes_of_any_bytes(path, query, headers):
    names = [b"authorization", b"x-amz-date", b"host", b"x-amz-content-sha256"]
    named = [(names[index % 4], value) for index, (_, value) in enumerate(headers)]
    request = WireRequest("GET", b"/" + path, query, (*headers, *named))
    with pytest.raises(Refusal):
        admitted(request, None)


@given(st.text("0123456789TZ", max_size=17), st.text("abc/ 0123456789-=,;", max_size=60), st.sampled_from([ALICE, BOB]))
def test_nothing_but_a_refusal_comes_of_any_authorization(stamp, rest, pair):
    value = f"AWS4-HMAC-SHA256 Credential={pair.access_key}/20150830/r/s3/aws4_request,SignedHeaders=host,Signature={rest}"
    headers = ((b"authorization", value.encode()), (b"date", stamp.encode()), (b"host", b"localhost"))
    request = WireRequest("GET", b"/", b"", headers)
    with pytest.raises(Refusal):
        admitted(request, None)
