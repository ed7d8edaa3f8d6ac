# ruff: noqa: E501
"""aws-chunked uploads through the gateway into the real object store: signed chunks and trailers, honest and forged."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import botocore.auth
import botocore.crt.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from rekindle.gateway.chunks import ChunkVerifier
from rekindle.gateway.sigv4 import Claim, Scope
from rekindle.s3.app import create_app
from support.gateway import ALICE, STAMP, echo_apps, gateway, serving
from support.object_store import ACCOUNT
from support.signing import Sent, exchange, sign
from support.simulated import SimulatedClock

CHUNKS, CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
SCOPE = "20150830/eu-west-3/s3/aws4_request"
PARTS = [b"a" * 8192, b"b" * 8192, b"the rest", b""]
CHECKSUM = b"x-amz-checksum-sha256:Kk9HHWPL7xGyAdsRjLZ8A2CP5h9I1M5KTKnyyXQPSZY=\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    store = create_app(folder, clock=SimulatedClock(), region="eu-west-3", default_account=ACCOUNT)
    with serving(gateway(echo_apps(s3=store))) as port:
        status, _, answer = exchange(
            port, sign(botocore.auth.S3SigV4Auth, "s3", AWSRequest("PUT", "http://localhost/bucket", {}, b""))
        )
        assert status == 200, answer
        yield port


@dataclass(frozen=True)
class Chunk:
    data: bytes
    signature: str

    def encoded(self) -> bytes:
        return f"{len(self.data):x};chunk-signature={self.signature}\r\n".encode() + self.data + b"\r\n"


def chain(seed: str, parts: Sequence[bytes]) -> list[Chunk]:
    """The chunks with their signatures, computed here by the book, without the code under test."""
    chunks, previous = [], seed
    for part in parts:
        previous = by_the_book("AWS4-HMAC-SHA256-PAYLOAD", [previous, sha256(b"").hexdigest(), sha256(part).hexdigest()])
        chunks.append(Chunk(part, previous))
    return chunks


def by_the_book(kind: str, lines: Sequence[str]) -> str:
    key = f"AWS4{ALICE.secret_key}".encode()
    for part in SCOPE.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return hmac.new(key, "\n".join([kind, STAMP, SCOPE, *lines]).encode(), "sha256").hexdigest()


def chunked(word: str, encode: Callable[[str], bytes], extra: dict[str, str]) -> Sent:
    """An upload that announces a stream of signed chunks; ``encode`` makes the body from the seed signature."""

    class Streaming(botocore.auth.S3SigV4Auth):
        def payload(self, request):
            return word

    length = str(sum(map(len, PARTS)))
    headers = {"x-amz-decoded-content-length": length, "content-encoding": "aws-chunked", **extra}
    sent = sign(Streaming, "s3", AWSRequest("PUT", "http://localhost/bucket/key", headers, b""))
    return replace(sent, body=encode(sent.header("authorization")[-64:]))


def plain_chunks(change: Callable[[list[Chunk]], Sequence[Chunk]] = lambda chunks: chunks) -> Sent:
    return chunked(CHUNKS, lambda seed: b"".join(chunk.encoded() for chunk in change(chain(seed, PARTS))), {})


def with_trailer(
    trailer: bytes = CHECKSUM, signed: bytes = CHECKSUM, change: Callable[[str], str] = lambda signature: signature
) -> Sent:
    def encode(seed: str) -> bytes:
        chunks = chain(seed, PARTS)
        signature = change(by_the_book("AWS4-HMAC-SHA256-TRAILER", [chunks[-1].signature, sha256(signed).hexdigest()]))
        body = b"".join(chunk.encoded() for chunk in chunks)[:-2]
        return body + trailer.replace(b"\n", b"\r\n") + f"x-amz-trailer-signature:{signature}\r\n\r\n".encode()

    return chunked(CHUNKS_TRAILER, encode, {"x-amz-trailer": "x-amz-checksum-sha256"})


def trailer_of(parts: Sequence[bytes]) -> bytes:
    return b"x-amz-checksum-sha256:" + base64.b64encode(sha256(b"".join(parts)).digest()) + b"\n"


@pytest.mark.parametrize("make", [plain_chunks, lambda: with_trailer(trailer_of(PARTS), trailer_of(PARTS))])
def test_an_honest_stream_is_stored(port, make):
    status, _, answer = exchange(port, make())
    assert status == 200, answer
    read = sign(botocore.auth.S3SigV4Auth, "s3", AWSRequest("GET", "http://localhost/bucket/key", {}, b""))
    assert exchange(port, read)[2] == b"".join(PARTS)


def swapped(chunks: list[Chunk]) -> list[Chunk]:
    return [chunks[1], chunks[0], *chunks[2:]]


def with_data(chunks: list[Chunk], index: int, data: bytes) -> list[Chunk]:
    return [*chunks[:index], replace(chunks[index], data=data), *chunks[index + 1 :]]


GOOD = trailer_of(PARTS)
FORGED_STREAMS = {
    "chunks in another order": lambda: plain_chunks(swapped),
    "an altered first chunk": lambda: plain_chunks(lambda chunks: with_data(chunks, 0, b"A" * 8192)),
    "an altered last chunk": lambda: plain_chunks(lambda chunks: with_data(chunks, 2, b"the REST")),
    "a chunk left out": lambda: plain_chunks(lambda chunks: [chunks[0], *chunks[2:]]),
    "a chunk twice": lambda: plain_chunks(lambda chunks: [chunks[0], *chunks]),
    "data moved from one chunk to the next": lambda: plain_chunks(lambda chunks: with_data(with_data(chunks, 0, b"a" * 8191), 1, b"a" + b"b" * 8192)),
    "a signature cut short": lambda: plain_chunks(lambda chunks: [replace(chunks[0], signature=chunks[0].signature[:-1]), *chunks[1:]]),
    "a foreign signature": lambda: plain_chunks(lambda chunks: [replace(chunks[0], signature="0" * 64), *chunks[1:]]),
    "an unsigned chunk": lambda: chunked(CHUNKS, lambda seed: b"5\r\nhello\r\n0\r\n\r\n", {}),
    "an end that is not signed": lambda: plain_chunks(lambda chunks: [*chunks[:-1], Chunk(b"", "0" * 64)]),
    "no end": lambda: plain_chunks(lambda chunks: chunks[:-1]),
    "an altered trailer": lambda: with_trailer(CHECKSUM, GOOD),
    "an altered trailer signature": lambda: with_trailer(GOOD, GOOD, lambda signature: "0" * 64),
    "a trailer signature cut short": lambda: with_trailer(GOOD, GOOD, lambda signature: signature[:-1]),
    "a further trailer": lambda: with_trailer(GOOD + b"x-amz-meta-more:1\n", GOOD),
    "chunks of another request": lambda: chunked(CHUNKS, lambda seed: b"".join(chunk.encoded() for chunk in chain("0" * 64, PARTS)), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED_STREAMS)
def test_a_forged_stream_is_refused_and_leaves_nothing(port, folder, name):
    sent = FORGED_STREAMS[name]()
    sent = replace(sent, target="/bucket/key")
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    status, code, answer = exchange(port, sent)
    assert (status, code) in {(403, "SignatureDoesNotMatch"), (400, "InvalidRequest"), (400, "IncompleteBody")}, answer
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before


def test_the_verifier_agrees_with_the_book():
    claim = Claim(ALICE.access_key, Scope("20150830", "eu-west-3", "s3"), STAMP, ("host",), "0" * 64)
    verifier = ChunkVerifier(claim, ALICE.secret_key)
    assert all(verifier.chunk(sha256(chunk.data).hexdigest(), chunk.signature) for chunk in chain("0" * 64, PARTS))


@pytest.mark.parametrize("service", ["s3", "sagemaker"])
def test_sigv4a_is_refused_by_name(port, service):
    kind = botocore.crt.auth.CrtS3SigV4AsymAuth if service == "s3" else botocore.crt.auth.CrtSigV4AsymAuth
    request = AWSRequest(
        "PUT",
        "http://localhost/bucket/key",
        {"host": "localhost", "x-amz-target": "SageMaker.X"} if service != "s3" else {},
        b"body",
    )
    kind(BotoCredentials(ALICE.access_key, ALICE.secret_key), service, "*").add_auth(request)
    prepared = request.prepare()
    headers = [(name, value) for name, value in prepared.headers.items() if name.lower() not in ("host", "content-length")]
    status, code, answer = exchange(port, Sent("PUT", "/bucket/key", [("host", "localhost"), *headers], b"body"))
    assert (status, code) == (400, "InvalidRequest" if service == "s3" else "IncompleteSignatureException")
    assert b"Please use AWS4-HMAC-SHA256" in answer
