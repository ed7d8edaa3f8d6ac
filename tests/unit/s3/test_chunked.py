from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.s3.chunked import ChunkedDecoder
from rekindle.s3.errors import S3Error

SIGNATURE = "ab" * 32


class Recorder:
    """Believes everything up to a given moment, and writes down what it was asked."""

    def __init__(self, good: int = 1000) -> None:
        self.asked: list[tuple[str, str]] = []
        self._good = good

    def chunk(self, payload_sha256: str, signature: str) -> bool:
        self.asked.append((payload_sha256, signature))
        return len(self.asked) <= self._good

    def trailer(self, canonical: bytes, signature: str) -> bool:
        return self.chunk(canonical.decode(), signature)


def encode(chunks: list[bytes], trailer: str = "", signed: bool = False) -> bytes:
    mark = f";chunk-signature={SIGNATURE}" if signed else ""
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), mark.encode(), chunk) for chunk in chunks)
    return body + f"0{mark}\r\n{trailer}\r\n".encode()


def decode(decoder: ChunkedDecoder, pieces: list[bytes]) -> bytes:
    return b"".join(piece for data in pieces for piece in decoder.feed(data))


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.lists(st.integers(1, 30), max_size=40), st.booleans())
def test_any_cut_of_the_body_gives_the_payload(chunks: list[bytes], cuts: list[int], signed: bool) -> None:
    body, pieces = encode(chunks, "x-amz-checksum-crc32:AAAAAA==\r\n", signed), []
    for cut in cuts:
        pieces.append(body[:cut])
        body = body[cut:]
    decoder = ChunkedDecoder(signed=signed, trailing=True, verifier=None)
    assert decode(decoder, [*pieces, body]) == b"".join(chunks)
    assert decoder.complete
    assert decoder.trailer == {"x-amz-checksum-crc32": "AAAAAA=="}


def test_each_chunk_and_the_trailer_is_verified_in_order() -> None:
    trailer = f"x-amz-checksum-crc32:AAAAAA==\n\r\nx-amz-trailer-signature:{SIGNATURE}\r\n"
    recorder = Recorder()
    decoder = ChunkedDecoder(signed=True, trailing=True, verifier=recorder)
    decode(decoder, [encode([b"one", b"two"], trailer, signed=True)])
    sums = [hashlib.sha256(data).hexdigest() for data in (b"one", b"two", b"")]
    assert recorder.asked == [(text, SIGNATURE) for text in [*sums, "x-amz-checksum-crc32:AAAAAA==\n"]]


@pytest.mark.parametrize("good", [0, 1, 2])
def test_a_wrong_chunk_signature_is_refused(good: int) -> None:
    decoder = ChunkedDecoder(signed=True, trailing=False, verifier=Recorder(good))
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        decode(decoder, [encode([b"one", b"two"], signed=True)])


def test_a_signed_trailer_cannot_be_left_out() -> None:
    decoder = ChunkedDecoder(signed=True, trailing=True, verifier=Recorder(2))
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        decode(decoder, [encode([b"one"], signed=True)])


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"3\r\nabcd\r\n",
        b"11111111111111111\r\n",
        b"3;chunk-signature=short\r\nabc\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n\r\nmore\r\n",
        b"0\r\n\r\nm",
        b"x" * 5000,
        b"0\r\n" + b"".join(b"n%d:v\r\n" % i for i in range(20)),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        decode(ChunkedDecoder(signed=False, trailing=True, verifier=None), [body])


def test_a_signed_body_needs_signatures() -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        decode(ChunkedDecoder(signed=True, trailing=False, verifier=None), [encode([b"one"])])


def test_a_body_that_stops_early_is_not_complete() -> None:
    decoder = ChunkedDecoder(signed=False, trailing=False, verifier=None)
    decode(decoder, [encode([b"one"])[:-2]])
    assert not decoder.complete
