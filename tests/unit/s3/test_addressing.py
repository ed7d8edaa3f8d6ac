from __future__ import annotations

import pytest

from rekindle.s3.addressing import address, bucket_of_host, hoisted, query, url
from rekindle.s3.errors import S3Error


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("127.0.0.1:8080", ""),
        ("[::1]:8080", ""),
        ("localhost", ""),
        ("s3.localhost:8080", ""),
        ("box.lan:8080", ""),
        ("s3.amazonaws.com", ""),
        ("s3.us-east-1.amazonaws.com", ""),
        ("s3-eu-west-1.amazonaws.com", ""),
        ("s3.dualstack.us-east-1.amazonaws.com:443", ""),
        ("s3-fips.us-gov-west-1.amazonaws.com", ""),
        ("s3-accelerate.amazonaws.com", ""),
        ("photos.localhost:8080", "photos"),
        ("photos.s3.localhost", "photos"),
        ("photos.s3.amazonaws.com", "photos"),
        ("my.dotted.bucket.s3.us-east-1.amazonaws.com", "my.dotted.bucket"),
        ("sm-pysdk-t-us-gov-west-1.s3.us-gov-west-1.amazonaws.com", "sm-pysdk-t-us-gov-west-1"),
        ("Photos.S3.cn-north-1.amazonaws.com.cn", "photos"),
        ("photos.s3-fips.us-east-1.amazonaws.com", "photos"),
        ("photos.s3-fips.dualstack.us-east-1.amazonaws.com:443", "photos"),
        ("photos.s3-accelerate.amazonaws.com", "photos"),
        ("photos.s3-accelerate.dualstack.amazonaws.com", "photos"),
        ("photos.s3-external-1.amazonaws.com", "photos"),
        ("photos.store.lan", "photos"),
    ],
)
def test_the_bucket_in_a_host(host: str, bucket: str) -> None:
    assert bucket_of_host(host, ("store.lan",)) == bucket


def test_a_name_of_this_server_below_another_of_its_names_is_no_bucket() -> None:
    assert bucket_of_host("store.lan:8421", ("lan", "store.lan")) == ""
    assert bucket_of_host("photos.store.lan:8421", ("lan", "store.lan")) == "photos"
    assert bucket_of_host("photos.lan:8421", ("lan", "store.lan")) == "photos"


@pytest.mark.parametrize(
    ("path", "host", "expected"),
    [
        (b"/", "h", ("", "")),
        (b"/bucket", "h", ("bucket", "")),
        (b"/bucket/", "h", ("bucket", "")),
        (b"/bucket/a/b", "h", ("bucket", "a/b")),
        (b"/bucket//a", "h", ("bucket", "/a")),
        (b"/bucket/a/../../b", "h", ("bucket", "a/../../b")),
        (b"/bucket/%2E%2E%2Fa", "h", ("bucket", "../a")),
        (b"/bucket/a+b%2B%C3%A9", "h", ("bucket", "a+b+é")),
        (b"/bucket/a%00", "h", ("bucket", "a\0")),
        (b"/", "photos.localhost", ("photos", "")),
        (b"/a//b", "photos.localhost", ("photos", "a//b")),
        (b"/bucket/a", "s3.us-east-1.amazonaws.com", ("bucket", "a")),
        (b"/bucket/a", "s3-lab-1.us-east-1.elb.amazonaws.com:8421", ("bucket", "a")),
    ],
)
def test_bucket_and_key(path: bytes, host: str, expected: tuple[str, str]) -> None:
    assert address(path, host) == expected


@pytest.mark.parametrize(
    "host",
    [
        "point-000000000000.s3-accesspoint.us-east-1.amazonaws.com",
        "point-000000000000.s3-object-lambda.us-east-1.amazonaws.com:443",
        "photos--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com",
        "000000000000.s3-control.us-east-1.amazonaws.com",
        "point.mrap.accesspoint.s3-global.amazonaws.com",
    ],
)
def test_the_start_of_a_key_is_never_taken_for_a_bucket_that_the_host_says_in_its_own_way(host: str) -> None:
    with pytest.raises(S3Error, match=r"InvalidRequest: \S+\.amazonaws\.com is none of the hosts of S3"):
        address(b"/archive/key", host)


def test_a_key_must_be_utf8() -> None:
    with pytest.raises(S3Error, match="InvalidURI"):
        address(b"/bucket/%ff", "h")
    with pytest.raises(S3Error, match="InvalidURI"):
        query(b"prefix=%ff")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8421", "http://127.0.0.1:8421/b/a%20b"),
        ("b.s3.us-east-1.amazonaws.com", "https://b.s3.us-east-1.amazonaws.com/b/a%20b"),
    ],
)
def test_an_address_is_that_by_which_the_client_came(host: str, expected: str) -> None:
    assert url("http", b"/b/a%20b?uploadId=1", host) == expected


def test_a_presigned_query_carries_headers() -> None:
    parameters = query(b"X-Amz-Signature=s&X-Amz-Date=d&x-amz-meta-a=b&X-Amz-Checksum-Mode=ENABLED&prefix=p&prefix=q")
    assert parameters["prefix"] == "p"
    assert hoisted(parameters) == {"x-amz-meta-a": "b", "x-amz-checksum-mode": "ENABLED"}


def test_a_checksum_in_a_query_is_not_that_of_the_body() -> None:
    assert hoisted(query(b"X-Amz-Checksum-Crc32=AAAAAA%3D%3D&x-amz-checksum-md5=x&x-amz-sdk-checksum-algorithm=CRC32")) == {}
    assert hoisted(query(b"x-amz-checksum-algorithm=CRC32&x-amz-checksum-type=COMPOSITE")).keys() == {
        "x-amz-checksum-algorithm",
        "x-amz-checksum-type",
    }


@pytest.mark.parametrize("raw", [b"x-amz-meta-a=b%0Ac", b"x-amz-meta-a=%00", b"x-amz-meta-a%20b=c", b"x-amz-meta-a=%E6%97%A5"])
def test_what_no_header_could_say_is_refused_in_a_query_too(raw: bytes) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        hoisted(query(raw))


def test_a_query_says_what_a_header_would() -> None:
    assert hoisted(query(b"x-amz-meta-a=%20b%09c%20&x-amz-meta-b=%C3%A9")) == {"x-amz-meta-a": "b\tc", "x-amz-meta-b": "\u00e9"}
