from __future__ import annotations

import hashlib
import zlib

import pytest
from awscrt import checksums as crt
from hypothesis import given
from hypothesis import strategies as st

from rekindle.s3 import checksums
from rekindle.s3.checksums import Checksum
from rekindle.s3.crc import LANE_BYTES, MAX_LANES, Crc, combine
from rekindle.s3.errors import S3Error

ORACLES = {"CRC32": zlib.crc32, "CRC32C": crt.crc32c, "CRC64NVME": crt.crc64nvme}
names = st.sampled_from(sorted(ORACLES))


def pseudo_random(size: int) -> bytes:
    return hashlib.shake_128(b"rekindle").digest(size)


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
@pytest.mark.parametrize(
    "size", [0, 1, LANE_BYTES - 1, LANE_BYTES, LANE_BYTES + 1, 3 * LANE_BYTES, 70_001, LANE_BYTES * MAX_LANES, 3_000_003]
)
def test_a_crc_equals_that_of_the_aws_library(name: str, size: int) -> None:
    data, crc = pseudo_random(size), Crc(name)
    crc.update(data[: size // 3])
    crc.update(data[size // 3 :])
    assert int.from_bytes(crc.digest(), "big") == ORACLES[name](data)


@given(names, st.lists(st.binary(max_size=1500), max_size=6))
def test_the_cuts_do_not_matter(name: str, pieces: list[bytes]) -> None:
    crc = Crc(name)
    for piece in pieces:
        crc.update(piece)
    assert int.from_bytes(crc.digest(), "big") == ORACLES[name](b"".join(pieces))


@given(names, st.binary(max_size=600), st.binary(max_size=600))
def test_two_crcs_make_the_crc_of_both(name: str, first: bytes, second: bytes) -> None:
    oracle = ORACLES[name]
    assert combine(name, oracle(first), oracle(second), len(second)) == oracle(first + second)


@pytest.mark.parametrize("algorithm", sorted(checksums.ALGORITHMS))
def test_a_composite_is_the_checksum_of_checksums(algorithm: str) -> None:
    def of(data: bytes) -> Checksum:
        hasher = checksums.new_hasher(algorithm)
        hasher.update(data)
        return checksums.from_digest(algorithm, hasher.digest())

    parts = [(of(b"one"), 3), (of(b"two"), 3)]
    expected = of(parts[0][0].digest + parts[1][0].digest)
    assert checksums.join(parts, "COMPOSITE") == Checksum(algorithm, expected.value + "-2", "COMPOSITE")
    if algorithm.startswith("CRC"):
        assert checksums.join(parts, "FULL_OBJECT") == of(b"onetwo")


def test_one_checksum_at_most() -> None:
    headers = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-type": "FULL_OBJECT"}
    assert checksums.from_headers(headers) == Checksum("CRC32", "AAAAAA==")
    with pytest.raises(S3Error, match="single"):
        checksums.from_headers(headers | {"x-amz-checksum-crc32c": "AAAAAA=="})


@pytest.mark.parametrize("value", ["", "AAAA", "not base64", "AAAAAAAA", "AAAAAA"])
def test_a_checksum_must_be_one(value: str) -> None:
    with pytest.raises(S3Error, match="x-amz-checksum-crc32 header is invalid"):
        checksums.parse("CRC32", value)


@pytest.mark.parametrize(("algorithm", "kind"), [("CRC64NVME", "COMPOSITE"), ("SHA256", "FULL_OBJECT"), ("CRC32", "OTHER")])
def test_kinds_that_do_not_go_together(algorithm: str, kind: str) -> None:
    with pytest.raises(S3Error, match=kind):
        checksums.check_kind(algorithm, kind)


@pytest.mark.parametrize("name", ["sha512", "md5", "xxhash3", "of-tomorrow"])
def test_a_checksum_that_nobody_here_can_check_is_refused(name: str) -> None:
    with pytest.raises(S3Error, match="Use one of CRC32, CRC32C"):
        checksums.from_headers({f"x-amz-checksum-{name}": "AAAA"})
    assert checksums.from_headers({f"x-amz-checksum-{what}": "x" for what in ("algorithm", "mode", "type")}) is None


def test_an_unknown_algorithm_is_refused() -> None:
    assert checksums.check_algorithm("crc32c") == "CRC32C"
    with pytest.raises(S3Error, match="CRC64NVME"):
        checksums.check_algorithm("MD5")
