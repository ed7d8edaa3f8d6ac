from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import pytest

from rekindle.s3 import checksums
from rekindle.s3.errors import S3Error
from rekindle.s3.payload import Payload, Received, read_promise

DATA = b"hello world"


def summed(algorithm: str, data: bytes = DATA) -> str:
    hasher = checksums.new_hasher(algorithm)
    hasher.update(data)
    return base64.b64encode(hasher.digest()).decode()


def receive(headers: Mapping[str, str], body: bytes = DATA) -> Received:
    payload = Payload(read_promise({"content-length": str(len(body)), **headers}))
    assert b"".join(payload.take(body)) == DATA
    return payload.finish()


def test_what_arrives_is_summed() -> None:
    md5 = hashlib.md5(DATA)
    received = receive({"content-md5": base64.b64encode(md5.digest()).decode()})
    assert received == Received(len(DATA), md5.hexdigest(), None)


@pytest.mark.parametrize("algorithm", sorted(checksums.ALGORITHMS))
def test_a_checksum_in_a_header_or_in_the_trailer(algorithm: str) -> None:
    name = f"x-amz-checksum-{algorithm.lower()}"
    body = f"b\r\n{DATA.decode()}\r\n0\r\n{name}:{summed(algorithm)}\r\n\r\n".encode()
    streaming = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(len(DATA)),
        "x-amz-trailer": name,
        "x-amz-sdk-checksum-algorithm": algorithm,
    }
    expected = checksums.Checksum(algorithm, summed(algorithm))
    assert receive({name: summed(algorithm)}).checksum == expected
    assert receive(streaming, body).checksum == expected
    with pytest.raises(S3Error, match="BadDigest"):
        receive({name: summed(algorithm, b"other")})
    with pytest.raises(S3Error, match="BadDigest"):
        receive(streaming, body.replace(summed(algorithm).encode(), summed(algorithm, b"other").encode()))
    with pytest.raises(S3Error, match="The trailer has no"):
        receive(streaming, body.replace(name.encode(), b"x-amz-meta-other"))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-md5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"content-md5": "short"}, "InvalidDigest"),
        ({"content-md5": base64.b64encode(bytes(15)).decode()}, "InvalidDigest"),
        ({"content-length": "10"}, "IncompleteBody"),
        ({"content-length": "12"}, "IncompleteBody"),
        ({"content-length": "eleven"}, "MissingContentLength"),
        ({"content-length": str((5 << 30) + 1)}, "EntityTooLarge"),
        ({"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "9" * 5000}, "EntityTooLarge"),
        ({"x-amz-content-sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, "NotImplemented"),
        ({"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, "MissingContentLength"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": "AAAAAA=="}, "InvalidRequest"),
        ({"x-amz-trailer": "x-amz-meta-a"}, "InvalidRequest"),
        ({"x-amz-trailer": "x-amz-checksum-crc32,x-amz-checksum-sha1"}, "InvalidRequest"),
    ],
)
def test_promises_that_are_not_kept(headers: dict[str, str], code: str) -> None:
    with pytest.raises(S3Error, match=code):
        receive(headers)


def test_a_chunked_body_must_end() -> None:
    headers = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-decoded-content-length": "11"}
    with pytest.raises(S3Error, match="IncompleteBody"):
        receive(headers, b"b\r\nhello world\r\n")
