"""Requests signed by botocore at the moment of the fixed clock, in the form in which they go onto the wire."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from rekindle.gateway.credentials import KeyPair
from support.gateway import ALICE, MOMENT

TARGET = "SageMaker.ListHyperParameterTuningJobs"


@dataclass(frozen=True)
class Sent:
    """A request as it goes onto the wire; ``headers`` may repeat a name."""

    method: str
    target: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str:
        return next(value for key, value in self.headers if key.lower() == name.lower())

    def with_header(self, name: str, value: str) -> Sent:
        return replace(self, headers=[(key, value if key.lower() == name.lower() else old) for key, old in self.headers])

    def without(self, name: str) -> Sent:
        return replace(self, headers=[(key, value) for key, value in self.headers if key.lower() != name.lower()])

    def plus(self, name: str, value: str) -> Sent:
        return replace(self, headers=[*self.headers, (name, value)])

    def authorization(self, change: Callable[[str], str]) -> Sent:
        return self.with_header("authorization", change(self.header("authorization")))


def sign(
    signer: Any, service: str, request: AWSRequest, pair: KeyPair = ALICE, at: float = MOMENT, region: str = "eu-west-3"
) -> Sent:
    moment = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
    with patch("botocore.auth.get_current_datetime", lambda: moment):
        signer(BotoCredentials(pair.access_key, pair.secret_key), service, region).add_auth(request)
    prepared = request.prepare()
    url = urlsplit(prepared.url)
    headers = [(key, value) for key, value in prepared.headers.items() if key.lower() not in ("content-length", "host")]
    target = url.path + (f"?{url.query}" if url.query else "")
    body = prepared.body or b""
    return Sent(prepared.method, target, [("host", url.netloc), *headers], body.encode() if isinstance(body, str) else body)


def listing(**options: Any) -> Sent:
    """A signed call of SageMaker."""
    headers = {"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.1"}
    return sign(
        botocore.auth.SigV4Auth, "sagemaker", AWSRequest("POST", "http://localhost/", headers, b'{"MaxResults": 5}'), **options
    )


def upload(body: bytes = b"the object", **options: Any) -> Sent:
    """A signed PUT of an object."""
    request = AWSRequest("PUT", "http://localhost/bucket/a/key", {"x-amz-meta-colour": "red"}, body)
    return sign(botocore.auth.S3SigV4Auth, "s3", request, **options)


def presigned(method: str = "GET", **options: Any) -> Sent:
    """A presigned URL of S3, good for an hour."""
    return sign(
        botocore.auth.S3SigV4QueryAuth, "s3", AWSRequest(method, "http://localhost/bucket/a/key?versions=1", {}, b""), **options
    )


def identity(**options: Any) -> Sent:
    """A signed call of STS."""
    form = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    return sign(botocore.auth.SigV4Auth, "sts", AWSRequest("POST", "http://localhost/", headers, form), **options)


def exchange(port: int, sent: Sent) -> tuple[int, str, bytes]:
    """Status, error code (empty for none) and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(sent.method, sent.target, skip_host=True, skip_accept_encoding=True)
    for name, value in sent.headers:
        connection.putheader(name, value)
    if sent.body or sent.method in ("PUT", "POST"):
        connection.putheader("content-length", str(len(sent.body)))
    connection.endheaders(sent.body or None)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    assert {"x-amzn-requestid", "x-amz-request-id"} & {name.lower() for name in response.headers} or response.status == 400
    return response.status, error_code(answer), answer


def error_code(answer: bytes) -> str:
    if answer.startswith(b"{"):
        return json.loads(answer).get("__type", "")
    found = re.search(rb"<Code>(\w+)</Code>", answer)
    return found[1].decode() if found else ""
