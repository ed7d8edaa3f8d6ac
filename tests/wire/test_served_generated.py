"""Generated requests, validly signed, through the gateway of the composed server: every one gets an answer that is no 5xx."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from rekindle.api.operations import HANDLERS
from rekindle.gateway.credentials import KeyPair, load_or_create
from rekindle.serving import Address, build_server
from rekindle.settings import Settings
from support.gateway import serving
from support.shapes import broken, request_of, training_request_of, tuning_request_of
from support.signing import Sent, exchange, sign

SEEDS = st.integers(0, 2**63 - 1)
REGIONS = ("us-east-1", "eu-west-3", "mars-north-1")
ODD = ("", "a", "a/b", "..", "a b+c", "ü?", "%41", "a//b", "\n", "x" * 1025, "0", "-1", "null", "true", "1970-01-01", "=&")
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS")
QUERY = (
    "acl", "attributes", "continuation-token", "delete", "delimiter", "encoding-type", "fetch-owner", "list-type", "location",
    "marker", "max-keys", "max-parts", "partNumber", "policy", "prefix", "response-content-type", "response-expires", "select",
    "start-after", "tagging", "uploadId", "uploads", "versionId", "versions", "website", "x-amz-acl", "nobody-knows",
)  # fmt: skip
HEADERS = (
    "content-md5", "content-type", "expect", "if-match", "if-modified-since", "if-none-match", "range", "x-amz-acl",
    "x-amz-checksum-crc32", "x-amz-copy-source", "x-amz-copy-source-range", "x-amz-decoded-content-length", "x-amz-meta-a",
    "x-amz-object-attributes", "x-amz-sdk-checksum-algorithm", "x-amz-server-side-encryption", "x-amz-storage-class",
    "x-amz-tagging", "x-amz-trailer",
)  # fmt: skip
WORDS = (*ODD, "there", "1", "5", "1000", "bytes=0-3", "url", "/", "/there/k", "a=b", "private", "AES256", "*", "text/html")
DOCUMENTS = (b"", b"x", b"<", b"<Delete><Object><Key>k</Key></Object></Delete>", b"<Tagging><TagSet/></Tagging>", b"x" * 70_000)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, KeyPair]]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home, f"sqlite:///{home / 'rekindle.db'}")
    with serving(build_server(settings, Address()).asgi) as port:
        pair = load_or_create(home).first
        for path in ("/there", "/there/k"):
            made = sign(S3SigV4Auth, "s3", AWSRequest("PUT", f"http://localhost{path}", {}, b""), pair, time.time())
            assert exchange(port, made)[0] == 200
        yield port, pair


@given(seed=SEEDS)
def test_signed_calls_of_sagemaker_and_its_companions(served: tuple[int, KeyPair], answered: Counter[str], seed: int) -> None:
    port, pair = served
    random = Random(seed)
    sent = sign(SigV4Auth, *_call(random), pair, time.time(), random.choice(REGIONS))
    status, code, answer = exchange(port, sent)
    answered["signed calls"] += 1
    assert status < 500, (status, answer, sent)
    assert (status == 200) == (code == ""), (status, answer, sent)


@given(seed=SEEDS)
def test_signed_requests_of_s3(served: tuple[int, KeyPair], answered: Counter[str], seed: int) -> None:
    port, pair = served
    random = Random(seed)
    status, code, answer = exchange(port, _s3_request(random, pair))
    answered["signed requests of S3"] += 1
    # That a thing is not implemented is an answer of S3's own, with a status above 500.
    assert status < 500 or (status, code) == (501, "NotImplemented") or not answer, (status, answer)
    assert status != 500


def _call(random: Random) -> tuple[str, AWSRequest]:
    if random.random() < 0.6:
        operation = random.choice([*HANDLERS, "CreateModel", ""])
        request = _sagemaker(random, operation)
        body = broken(random, request) if random.random() < 0.7 else json.dumps(request).encode()
        return "sagemaker", _json("SageMaker", operation, body)
    if random.random() < 0.6:
        members = {name: random.choice([*WORDS, 1, -1, None, [], {}, 2**70]) for name in _some(random, LOG_MEMBERS)}
        target = (
            "Logs_20140328",
            random.choice(["DescribeLogGroups", "DescribeLogStreams", "GetLogEvents", "FilterLogEvents"]),
        )
        return "logs", _json(*target, json.dumps(members).encode())
    service, action = random.choice([("sts", "GetCallerIdentity"), ("iam", "GetRole"), ("monitoring", "GetMetricStatistics")])
    form = {"Action": action, **{name: random.choice(WORDS) for name in _some(random, QUERY_MEMBERS)}}
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    return service, AWSRequest("POST", "http://localhost/", headers, form)


LOG_MEMBERS = ("logGroupName", "logStreamName", "nextToken", "limit", "startFromHead", "startTime", "filterPattern", "orderBy")
QUERY_MEMBERS = ("RoleName", "Namespace", "MetricName", "StartTime", "EndTime", "Period", "Statistics.member.1", "Version")


def _sagemaker(random: Random, operation: str) -> dict[str, Any]:
    if operation == "CreateHyperParameterTuningJob":
        return tuning_request_of(random)
    if operation == "CreateTrainingJob" or operation not in HANDLERS:
        return training_request_of(random)
    return request_of(random, operation)


def _json(prefix: str, operation: str, body: bytes) -> AWSRequest:
    headers = {"X-Amz-Target": f"{prefix}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    return AWSRequest("POST", "http://localhost/", headers, body)


def _s3_request(random: Random, pair: KeyPair) -> Sent:
    host = random.choice(["localhost", "127.0.0.1", "there.localhost", "there.s3.us-east-1.amazonaws.com"])
    path = quote("/" + random.choice(["", "there", "there/k", "there/new", "gone/k", f"there/{random.choice(ODD)}"]), safe="/")
    query = "&".join(f"{n}={quote(random.choice(WORDS))}" if random.random() < 0.8 else n for n in _some(random, QUERY))
    headers = {name: random.choice(WORDS).strip() for name in _some(random, HEADERS) if random.random() < 0.5}
    headers = {name: value for name, value in headers.items() if value.isascii() and value.isprintable()}
    method, body = random.choice(METHODS), random.choice(DOCUMENTS)
    url = f"http://{host}{path}" + (f"?{query}" if query else "")
    if random.random() < 0.2:
        return _old_url(AWSRequest(method, url, {}), pair, body)
    if random.random() < 0.4:
        presigned = sign(S3SigV4QueryAuth, "s3", AWSRequest(method, url, headers), pair, time.time(), random.choice(REGIONS))
        return replace(presigned, body=body)
    return sign(S3SigV4Auth, "s3", AWSRequest(method, url, headers, body), pair, time.time(), random.choice(REGIONS))


def _old_url(request: AWSRequest, pair: KeyPair, body: bytes) -> Sent:
    HmacV1QueryAuth(Credentials(pair.access_key, pair.secret_key)).add_auth(request)
    url = urlsplit(request.url)
    return Sent(request.method, f"{url.path}?{url.query}", [("host", url.netloc)], body)


def _some(random: Random, names: tuple[str, ...]) -> list[str]:
    return random.sample(names, random.choice([0, 0, 1, 1, 2, 3]))
