# ruff: noqa: E501
"""Presigned URLs of signature version 2: botocore makes them, the gateway lets in what is honest and nothing else."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials

from rekindle.gateway.credentials import KeyPair, load_or_create
from rekindle.serving import Address, build_server
from rekindle.settings import Settings
from support.gateway import ALICE, BOB, MOMENT, Echo, body_of, echo_apps, gateway, serving
from support.signing import Sent, exchange, presigned, upload

S3, SAGEMAKER = Echo("s3"), Echo("sagemaker")
HOSTS = frozenset({"tuner.example", "127.0.0.1"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(gateway(echo_apps(s3=S3, sagemaker=SAGEMAKER), hosts=HOSTS)) as port:
        yield port


def link(
    target: str = "/bucket/a/key",
    method: str = "GET",
    pair: KeyPair = ALICE,
    at: float = MOMENT,
    headers: dict[str, str] | None = None,
    host: str = "localhost",
    auth_path: str | None = None,
    body: bytes = b"",
) -> Sent:
    """A request by a URL of botocore's, good for an hour; of its headers, those that a browser would not send stay behind."""
    request = AWSRequest(method, f"http://{host}{target}", dict(headers or {}), auth_path=auth_path)
    with patch("time.time", lambda: at):
        HmacV1QueryAuth(BotoCredentials(pair.access_key, pair.secret_key)).add_auth(request)
    url = urlsplit(request.url)
    sent = [(name, value) for name, value in (headers or {}).items() if name.lower().startswith("content-")]
    return Sent(method, f"{url.path}?{url.query}", [("host", url.netloc), *sent], body)


HONEST: dict[str, Callable[[], Sent]] = {
    "a GET": link,
    "a HEAD": lambda: link(method="HEAD"),
    "a DELETE": lambda: link(method="DELETE"),
    "a PUT": lambda: link(method="PUT", body=b"any body"),
    "a PUT with a content type": lambda: link(method="PUT", headers={"Content-Type": "text/plain"}, body=b"text"),
    "a PUT with an MD5": lambda: link(method="PUT", headers={"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}),
    "the list of buckets": lambda: link("/"),
    "a bucket": lambda: link("/bucket"),
    "a bucket with the slash that botocore signs": lambda: link("/bucket", auth_path="/bucket/"),
    "a bucket's page": lambda: link("/bucket?list-type=2&prefix=a%2Fb&max-keys=7"),
    "a version": lambda: link("/bucket/key?versionId=null"),
    "a sub-resource without a value": lambda: link("/bucket/key?uploads", "POST"),
    "two sub-resources": lambda: link("/bucket/key?uploadId=u%2F1&partNumber=3", "PUT", body=b"part"),
    "headers of the answer": lambda: link(
        "/bucket/key?response-content-disposition=attachment%3B%20filename%3D%22a%2Bb.txt%22"
    ),
    "a key with all sorts of signs": lambda: link("/bucket/a%20b%2Bc/%C3%BC%3F/~x"),
    "metadata and an access list": lambda: link(method="PUT", headers={"x-amz-meta-colour": "red", "X-Amz-Acl": "private"}),
    "a hash of the body": lambda: link(
        method="PUT", headers={"x-amz-content-sha256": sha256(b"this").hexdigest()}, body=b"this"
    ),
    "a session token": lambda: link(headers={"x-amz-security-token": "left/over+token=="}),
    "a bucket in the Host": lambda: link("/a/key", host="bucket.localhost", auth_path="/bucket/a/key"),
    "a bucket in AWS's Host": lambda: link("/k", host="bucket.s3.amazonaws.com", auth_path="/bucket/k"),
    "a bucket under our own name": lambda: link("/k", host="my.bucket.tuner.example:8421", auth_path="/my.bucket/k"),
    "a bucket in the Host, its root": lambda: link("/?uploads", host="bucket.localhost", auth_path="/bucket/"),
    "a header sent beside the URL's": lambda: link(headers={"x-amz-meta-a": "1"}).plus("x-amz-meta-a", "1"),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_botocore_presigns_is_let_in(port: int, name: str) -> None:
    sent = HONEST[name]()
    status, _, answer = exchange(port, sent)
    assert status == 200, answer
    if sent.method != "HEAD":
        shown = body_of(answer)
        assert (shown["app"], shown["account"], shown["access_key"]) == ("s3", ALICE.account, ALICE.access_key)


def test_a_url_acts_for_its_maker(port: int) -> None:
    assert body_of(exchange(port, link(pair=BOB))[2])["account"] == BOB.account


def aimed(sent: Sent, old: str, new: str) -> Sent:
    assert old in sent.target
    return replace(sent, target=sent.target.replace(old, new, 1))


def more(sent: Sent, parameters: str) -> Sent:
    return replace(sent, target=f"{sent.target}&{parameters}")


THIEF = KeyPair("REKINDLETHIEF0000001", "a-secret-that-nobody-here-knows-at-all-00")
GUESSER = KeyPair(ALICE.access_key, ALICE.secret_key[:-1] + "b")
COPY = {"x-amz-copy-source": "/bucket/mine"}
END = str(int(MOMENT) + 3600)
MISMATCH, DENIED, TWICE = "SignatureDoesNotMatch", "AccessDenied", "InvalidArgument"
FORGERIES: dict[str, tuple[Callable[[], Sent], str]] = {
    "an unknown key": (lambda: link(pair=THIEF), "InvalidAccessKeyId"),
    "another secret": (lambda: link(pair=GUESSER), MISMATCH),
    "another's key": (lambda: aimed(link(pair=BOB), BOB.access_key, ALICE.access_key), MISMATCH),
    "another method": (lambda: replace(link(), method="DELETE"), MISMATCH),
    "PUT for GET": (lambda: replace(link(), method="PUT"), MISMATCH),
    "another key": (lambda: aimed(link(), "/a/key", "/a/kez"), MISMATCH),
    "another bucket": (lambda: aimed(link(), "/bucket/", "/cellar/"), MISMATCH),
    "a doubled slash": (lambda: aimed(link(), "/a/key", "/a//key"), MISMATCH),
    "dots": (lambda: aimed(link(), "/a/key", "/x/../a/key"), MISMATCH),
    "a bucket in the Host, for one in the path": (lambda: link().with_header("host", "other.localhost"), MISMATCH),
    "a bucket under our name, for one in the path": (lambda: link().with_header("host", "other.tuner.example"), MISMATCH),
    "another bucket in the Host": (lambda: link("/k", host="bucket.localhost", auth_path="/bucket/k").with_header("host", "cellar.localhost"), MISMATCH),
    "no bucket in the Host any more": (lambda: link("/k", host="bucket.localhost", auth_path="/bucket/k").with_header("host", "localhost"), MISMATCH),
    "expired": (lambda: link(at=MOMENT - 3600), DENIED),
    "long expired": (lambda: link(at=0), DENIED),
    "made to live longer": (lambda: aimed(link(), f"Expires={END}", f"Expires={int(END) + 1}"), MISMATCH),
    "an end that is none": (lambda: aimed(link(), f"Expires={END}", "Expires=never"), DENIED),
    "an end with a sign": (lambda: aimed(link(), f"Expires={END}", f"Expires=%2B{END}"), DENIED),
    "an end far beyond all": (lambda: aimed(link(), f"Expires={END}", f"Expires={'9' * 40}"), DENIED),
    "an end in other digits": (lambda: aimed(link(), f"Expires={END}", "Expires=%D9%A1"), DENIED),
    "no end": (lambda: aimed(link(), f"&Expires={END}", ""), DENIED),
    "two ends": (lambda: more(link(), "Expires=99999999999"), DENIED),
    "no signature": (lambda: replace(link(), target=link().target.replace("Signature=", "S=")), DENIED),
    "an empty signature": (lambda: replace(link(), target=link().target.partition("&Signature=")[0] + f"&Signature=&Expires={END}"), DENIED),
    "two signatures": (lambda: more(link(), "Signature=AAAA"), DENIED),
    "two keys": (lambda: more(link(), f"AWSAccessKeyId={BOB.access_key}"), DENIED),
    "a signature not in ASCII": (lambda: aimed(link(), "&Signature=", "&Signature=%C3%A9"), MISMATCH),
    "an altered signature": (lambda: aimed(link(), "&Signature=", "&Signature=AAAA"), MISMATCH),
    "a sub-resource added": (lambda: more(link(), "acl"), MISMATCH),
    "a sub-resource added in disguise": (lambda: more(link(), "%61cl"), MISMATCH),
    "a sub-resource removed": (lambda: aimed(link("/bucket/key?versionId=1"), "versionId=1&", ""), MISMATCH),
    "a sub-resource altered": (lambda: aimed(link("/bucket/key?versionId=1"), "versionId=1", "versionId=2"), MISMATCH),
    "a sub-resource doubled": (lambda: more(link("/bucket/key?versionId=1"), "versionId=2"), DENIED),
    "headers of the answer added": (lambda: more(link(), "response-content-type=text%2Fhtml"), MISMATCH),
    "a copy source in the query": (lambda: more(link(method="PUT"), "x-amz-copy-source=%2Fbucket%2Fsecret"), MISMATCH),
    "a copy source in the query, in capitals": (lambda: more(link(method="PUT"), "X-AMZ-Copy-Source=%2Fbucket%2Fsecret"), MISMATCH),
    "a copy source in a header": (lambda: link(method="PUT").plus("x-amz-copy-source", "/bucket/secret"), MISMATCH),
    "another copy source in a header": (lambda: link(method="PUT", headers=COPY).plus("x-amz-copy-source", "/bucket/secret"), TWICE),
    "another copy source in the query": (lambda: more(link(method="PUT", headers=COPY), "X-Amz-Copy-Source=%2Fbucket%2Fsecret"), DENIED),
    "a copy source removed": (lambda: replace(link(method="PUT", headers=COPY), target=link(method="PUT", headers=COPY).target.replace("x-amz-copy", "x-copy")), MISMATCH),
    "a header hidden in another": (lambda: replace(link(), target=link().target + "&x-amz-meta-a=1%0Ax-amz-acl:private"), DENIED),
    "a header's name that is none": (lambda: more(link(), "x-amz-meta-a%3A1=2"), DENIED),
    "a content type that was not signed": (lambda: link(method="PUT").plus("content-type", "text/html"), MISMATCH),
    "another content type": (lambda: link(method="PUT", headers={"Content-Type": "text/plain"}).with_header("content-type", "text/html"), MISMATCH),
    "two content types": (lambda: link(method="PUT", headers={"Content-Type": "text/plain"}).plus("content-type", "text/html"), TWICE),
    "no content type where one was signed": (lambda: link(method="PUT", headers={"Content-Type": "text/plain"}).without("content-type"), MISMATCH),
    "another MD5": (lambda: link(method="PUT", headers={"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}).with_header("content-md5", "AAAA"), MISMATCH),
    "a body with another hash": (lambda: link(method="PUT", headers={"x-amz-content-sha256": sha256(b"this").hexdigest()}, body=b"that"), "XAmzContentSHA256Mismatch"),
    "a stream of signed chunks": (lambda: link(method="PUT", headers={"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}), "InvalidArgument"),
    "an Authorization header beside it": (lambda: link().plus("authorization", upload().header("authorization")), TWICE),
    "version 4 in the same query": (lambda: replace(link(), target=link().target + "&" + presigned().target.partition("?")[2]), TWICE),
    "for SageMaker": (lambda: link("/", "POST").plus("x-amz-target", "SageMaker.ListTrainingJobs"), "InvalidSignatureException"),
    "for SageMaker, signed": (lambda: link("/", "POST", headers={"x-amz-target": "SageMaker.ListTrainingJobs"}).plus("x-amz-target", "SageMaker.ListTrainingJobs"), "UnknownOperationException"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_url_is_refused_and_reaches_no_application(port: int, name: str) -> None:
    make, code = FORGERIES[name]
    S3.whole.clear()
    SAGEMAKER.whole.clear()
    status, answered, answer = exchange(port, make())
    assert 400 <= status < 500, answer
    assert answered == code, answer
    assert S3.whole == SAGEMAKER.whole == []


def test_a_url_lives_to_its_end(port: int) -> None:
    assert exchange(port, link(at=MOMENT - 3599))[0] == 200


def test_the_sentences_are_those_of_aws(port: int) -> None:
    assert b"<Message>Request has expired</Message>" in exchange(port, link(at=MOMENT - 3600))[2]
    needed = b"Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
    assert needed in exchange(port, aimed(link(), f"&Expires={END}", ""))[2]
    assert b"Invalid date (should be seconds since epoch): never" in exchange(port, aimed(link(), END, "never"))[2]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The composed server, and its home."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home, f"sqlite:///{home / 'rekindle.db'}")
    with serving(build_server(settings, Address()).asgi) as port:
        yield f"http://localhost:{port}", home


def client(served: tuple[str, Path], style: str) -> Any:
    url, home = served
    pair = load_or_create(home).first
    keys = {"aws_access_key_id": pair.access_key, "aws_secret_access_key": pair.secret_key, "region_name": "us-east-1"}
    return boto3.session.Session().client("s3", endpoint_url=url, config=Config(s3={"addressing_style": style}), **keys)


def fetch(url: str, method: str = "GET", data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """By urllib, straight to the port whatever the URL's bucket is called."""
    parts = urlsplit(url)
    request = urllib.request.Request(
        parts._replace(netloc=f"127.0.0.1:{parts.port}").geturl(), data, {"Host": parts.netloc, **headers}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_unmodified_boto3_in_us_east_1(served: tuple[str, Path], style: str) -> None:
    s3 = client(served, style)
    bucket = f"links-{style}"
    s3_by_path = client(served, "path")
    s3_by_path.create_bucket(Bucket=bucket)
    at = {"Bucket": bucket, "Key": "a b+c/ü.txt"}

    put = s3.generate_presigned_url("put_object", Params={**at, "ContentType": "text/plain", "Metadata": {"colour": "red"}})
    assert "AWSAccessKeyId=" in put
    assert (f"//{bucket}.localhost" in put) == (style == "virtual")
    assert fetch(put, "PUT", b"hello", **{"Content-Type": "text/html"})[0] == 403
    assert fetch(put, "PUT", b"hello", **{"Content-Type": "text/plain"}) == (200, b"")
    head = s3_by_path.head_object(**at)
    assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"colour": "red"})

    get = s3.generate_presigned_url("get_object", Params={**at, "ResponseContentDisposition": 'attachment; filename="a+b"'})
    assert fetch(get) == (200, b"hello")
    assert fetch(get, Range="bytes=1-2") == (206, b"el")
    assert fetch(get, "DELETE")[0] == fetch(get.replace("filename", "filenam3"))[0] == 403
    listed = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    assert b"<KeyCount>1</KeyCount>" in fetch(listed)[1]
    past = s3.generate_presigned_url("get_object", Params=at, ExpiresIn=-5)
    assert b"Request has expired" in fetch(past)[1]
    assert fetch(s3.generate_presigned_url("delete_object", Params=at), "DELETE") == (204, b"")
    assert fetch(get)[0] == 404
