"""The object store behind the real gateway: boto3 signs, the gateway verifies, the store takes the body apart."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import io
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials
from botocore.exceptions import ClientError

from rekindle.engine.clock import SystemClock
from rekindle.gateway.app import Gateway, GatewaySettings
from rekindle.gateway.credentials import KeyPair
from rekindle.s3.app import create_app
from support.gateway import ALICE, BOB, CREDENTIALS, echo_apps
from support.object_store import ACCOUNT, memory_folder, served

DATA = hashlib.shake_128(b"signed").digest(200_000)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with memory_folder() as folder:
        store = create_app(folder, clock=SystemClock(), region="us-east-1", default_account=ACCOUNT)
        with served(Gateway(echo_apps(s3=store), CREDENTIALS, GatewaySettings(), time.time)) as url:
            yield url


def client(url: str, pair: KeyPair, **config: Any) -> Any:
    keys = {"aws_access_key_id": pair.access_key, "aws_secret_access_key": pair.secret_key, "region_name": "us-east-1"}
    settings = Config(retries={"total_max_attempts": 1}, **config)
    return boto3.session.Session().client("s3", endpoint_url=url, config=settings, **keys)


@pytest.fixture(scope="module")
def alice(url: str) -> Iterator[Any]:
    with closing(client(url, ALICE, signature_version="s3v4")) as s3:
        s3.create_bucket(Bucket="alice")
        yield s3


def test_signed_requests(alice: Any) -> None:
    for key in ("a/b", "..", "a b+c/ü?", "a//b", "%41"):
        alice.put_object(Bucket="alice", Key=key, Body=DATA, Metadata={"k": "v"})
        assert alice.get_object(Bucket="alice", Key=key)["Body"].read() == DATA
    alice.copy_object(Bucket="alice", Key="copy", CopySource={"Bucket": "alice", "Key": "a b+c/ü?"})
    settings = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    alice.upload_fileobj(io.BytesIO(bytes(11 << 20)), "alice", "large", Config=settings)
    assert alice.head_object(Bucket="alice", Key="large")["ContentLength"] == 11 << 20
    listed = [entry["Key"] for entry in alice.list_objects_v2(Bucket="alice")["Contents"]]
    assert {"..", "a//b", "copy", "large"} <= set(listed)


def test_buckets_belong_to_the_key_s_account(alice: Any, url: str) -> None:
    with closing(client(url, BOB)) as bob, pytest.raises(ClientError, match="AccessDenied"):
        bob.list_objects_v2(Bucket="alice")


def test_presigned_urls(alice: Any) -> None:
    # In us-east-1 boto3 presigns with the old signature version 2 unless it is told otherwise.
    def send(method: str, operation: str, body: bytes | None = None) -> tuple[int, bytes]:
        link = urlsplit(alice.generate_presigned_url(operation, Params={"Bucket": "alice", "Key": "by/link"}))
        with closing(http.client.HTTPConnection(link.netloc)) as connection:
            connection.request(method, f"{link.path}?{link.query}", body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    assert send("PUT", "put_object", DATA) == (200, b"")
    assert send("GET", "get_object") == (200, DATA)


class StreamingAuth(S3SigV4Auth):
    """botocore's signer, for a body whose chunks are signed one by one."""

    def __init__(self, kind: str) -> None:
        super().__init__(BotoCredentials(ALICE.access_key, ALICE.secret_key), "s3", "us-east-1")
        self._kind = kind

    def payload(self, request: AWSRequest) -> str:
        return self._kind


@dataclass
class Chain:
    """Signs the chunks of one body, each on top of the one before: written from S3's documentation."""

    key: bytes
    head: str
    previous: str

    def sign(self, kind: str, *digests: str) -> str:
        text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", self.head, self.previous, *digests])
        self.previous = hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
        return self.previous

    def chunk(self, data: bytes) -> bytes:
        signature = self.sign("PAYLOAD", hashlib.sha256(b"").hexdigest(), hashlib.sha256(data).hexdigest())
        return b"%x;chunk-signature=%s\r\n" % (len(data), signature.encode())


def stream(url: str, key: str, *, trailer: bool, spoil: bytes = b"") -> tuple[int, bytes]:
    """PUT the data in signed chunks; `spoil` is text of the body to be changed on the way."""
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    headers = {"X-Amz-Decoded-Content-Length": str(len(DATA)), "Content-Encoding": "aws-chunked"}
    if trailer:
        headers["X-Amz-Trailer"] = "x-amz-checksum-crc32"
    request = AWSRequest("PUT", f"{url}/alice/{key}", headers)
    StreamingAuth(kind).add_auth(request)
    body = chunked(request, trailer)
    if spoil:
        body = body.replace(spoil, bytes(len(spoil)), 1)
    link = urlsplit(url)
    with closing(http.client.HTTPConnection(link.netloc)) as connection:
        connection.request("PUT", f"/alice/{key}", body, dict(request.headers))
        answer = connection.getresponse()
        return answer.status, answer.read()


def chunked(request: AWSRequest, trailer: bool) -> bytes:
    stamp = request.context["timestamp"]
    day = stamp[:8]
    key = ("AWS4" + ALICE.secret_key).encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    seed = request.headers["Authorization"].rpartition("Signature=")[2]
    chain = Chain(key, f"{stamp}\n{day}/us-east-1/s3/aws4_request", seed)
    pieces = [DATA[at : at + 65536] for at in range(0, len(DATA), 65536)]
    body = b"".join(chain.chunk(piece) + piece + b"\r\n" for piece in pieces) + chain.chunk(b"")
    if trailer:
        line = b"x-amz-checksum-crc32:" + b64encode(zlib.crc32(DATA).to_bytes(4, "big"))
        signature = chain.sign("TRAILER", hashlib.sha256(line + b"\n").hexdigest())
        body += line + b"\r\nx-amz-trailer-signature:" + signature.encode() + b"\r\n"
    return body + b"\r\n"


@pytest.mark.parametrize("trailer", [False, True])
def test_signed_chunks(alice: Any, url: str, trailer: bool) -> None:
    assert stream(url, "chunks", trailer=trailer) == (200, b"")
    assert alice.get_object(Bucket="alice", Key="chunks")["Body"].read() == DATA


@pytest.mark.parametrize("trailer", [False, True])
def test_a_forged_chunk_stores_nothing(alice: Any, url: str, trailer: bool) -> None:
    status, answer = stream(url, "forged", trailer=trailer, spoil=DATA[70_000:70_010])
    assert (status, b"SignatureDoesNotMatch" in answer) == (403, True)
    with pytest.raises(ClientError, match="404"):
        alice.head_object(Bucket="alice", Key="forged")


def test_a_forged_trailer_stores_nothing(alice: Any, url: str) -> None:
    status, answer = stream(url, "forged", trailer=True, spoil=b"x-amz-trailer-signature")
    assert (status, b"<Error>" in answer) == (403, True)
    with pytest.raises(ClientError, match="404"):
        alice.head_object(Bucket="alice", Key="forged")


def test_a_body_that_is_not_the_signed_one_stores_nothing(alice: Any, url: str) -> None:
    request = AWSRequest("PUT", f"{url}/alice/forged", {}, b"signed body")
    S3SigV4Auth(BotoCredentials(ALICE.access_key, ALICE.secret_key), "s3", "us-east-1").add_auth(request)
    headers = {**dict(request.headers), "X-Amz-Content-SHA256": hashlib.sha256(b"signed body").hexdigest()}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc)) as connection:
        connection.request("PUT", "/alice/forged", b"forged body", headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read().count(b"<Error>")) == (400, 1)
    with pytest.raises(ClientError, match="404"):
        alice.head_object(Bucket="alice", Key="forged")
