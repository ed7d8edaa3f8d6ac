# ruff: noqa: E501
"""The published facts: AWS's Signature Version 4 test suite and the worked examples of the S3 reference.

Requests and signatures as published; credentials AKIDEXAMPLE, 2015-08-30T12:36:00Z, us-east-1, service "service".
"""

from __future__ import annotations

from hashlib import sha256

import pytest

from rekindle.gateway.canonical import WireRequest
from rekindle.gateway.chunks import ChunkVerifier
from rekindle.gateway.refusal import Reason, Refusal
from rekindle.gateway.sigv4 import ALGORITHM, EMPTY_SHA256, Claim, Scope, payload_rule, read_claim, verify

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
STAMP = "20150830T123600Z"
HOST = ("host", "example.amazonaws.com")
DATE = ("x-amz-date", STAMP)
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
FORM = ("content-type", "application/x-www-form-urlencoded")
FORM_HASH = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"

# name, method, target, further headers, body, signature
SUITE = [
    ("get-vanilla", "GET", "/", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-vanilla-query", "GET", "/", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-utf8", "GET", "/ሴ", [], b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ("get-unreserved", "GET", f"/{UNRESERVED}", [], b"", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    ("get-space-normalized", "GET", "/example space/", [], b"", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
    ("get-slashes-normalized", "GET", "//example//", [], b"", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    ("get-slash-normalized", "GET", "//", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-relative-normalized", "GET", "/example/..", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-relative-relative-normalized", "GET", "/example1/example2/../..", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-dot-slash-normalized", "GET", "/./", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-pointless-dot-normalized", "GET", "/./example", [], b"", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
    ("get-vanilla-empty-query-key", "GET", "/?Param1=value1", [], b"", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    ("get-vanilla-query-unreserved", "GET", f"/?{UNRESERVED}={UNRESERVED}", [], b"", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    ("get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", [], b"", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("get-vanilla-query-order-encoded", "GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", [], b"", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
    ("get-vanilla-utf8-query", "GET", "/?ሴ=bar", [], b"", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    ("get-vanilla-with-session-token", "GET", "/", [("x-amz-security-token", TOKEN)], b"", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"),
    ("get-header-key-duplicate", "GET", "/", [("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")], b"", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
    ("get-header-value-order", "GET", "/", [("my-header1", f"value{n}") for n in (4, 1, 3, 2)], b"", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
    ("get-header-value-trim", "GET", "/", [("my-header1", " value1"), ("my-header2", ' "a   b   c"')], b"", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
    ("get-header-value-multiline", "GET", "/", [("my-header1", v) for v in ("value1", "value2", "value3")], b"", "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790"),
    ("post-vanilla", "POST", "/", [], b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-vanilla-query", "POST", "/?Param1=value1", [], b"", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ("post-header-key-case", "POST", "/", [], b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-header-key-sort", "POST", "/", [("my-header1", "value1")], b"", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
    ("post-header-value-case", "POST", "/", [("my-header1", "VALUE1")], b"", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
    ("post-sts-header-before", "POST", "/", [("x-amz-security-token", "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==")], b"", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    ("post-x-www-form-urlencoded", "POST", "/", [FORM, ("content-length", "13"), ("x-amz-content-sha256", FORM_HASH)], b"Param1=value1", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
    ("post-x-www-form-urlencoded, as first published", "POST", "/", [FORM], b"Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ("post-x-www-form-urlencoded-parameters, as first published", "POST", "/", [("content-type", "application/x-www-form-urlencoded; charset=utf8")], b"Param1=value1", "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"),
]  # fmt: skip


def wire(method: str, target: str, headers: list[tuple[str, str]]) -> WireRequest:
    path, _, query = target.encode().partition(b"?")
    return WireRequest(method, path, query, tuple((name.encode(), value.encode()) for name, value in headers))


def authorised(
    method: str, target: str, headers: list[tuple[str, str]], signature: str, service: str = "service"
) -> WireRequest:
    """The request with the Authorization header that the published one carries."""
    names = ";".join(sorted({name for name, _ in headers}))
    credential = f"AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request"
    value = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return wire(method, target, [*headers, ("authorization", value)])


@pytest.mark.parametrize(("name", "method", "target", "headers", "body", "signature"), SUITE, ids=[case[0] for case in SUITE])
def test_the_published_signature_verifies(name, method, target, headers, body, signature):
    request = authorised(method, target, [HOST, DATE, *headers], signature)
    verify(request, read_claim(request), SECRET, sha256(body).hexdigest())


@pytest.mark.parametrize(("name", "method", "target", "headers", "body", "signature"), SUITE, ids=[case[0] for case in SUITE])
def test_any_other_body_method_or_secret_is_a_mismatch(name, method, target, headers, body, signature):
    request = authorised(method, target, [HOST, DATE, *headers], signature)
    other = authorised("PUT", target, [HOST, DATE, *headers], signature)
    claim, payload = read_claim(request), sha256(body).hexdigest()
    for tried, secret, digest in (
        (request, SECRET, sha256(b"x").hexdigest()),
        (request, SECRET[:-1], payload),
        (other, SECRET, payload),
    ):
        with pytest.raises(Refusal) as refusal:
            verify(tried, claim, secret, digest)
        assert refusal.value.reason is Reason.MISMATCH


PRESIGNED = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600"  # fmt: skip


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("ሴ=bar", "0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600"),
        ("Param2=value2&Param1=value1", "86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5"),
    ],
)
def test_the_published_presigned_requests_verify(query, signature):
    request = wire("GET", f"/?{query}&{PRESIGNED}&X-Amz-Signature={signature}", [HOST])
    claim = read_claim(request)
    assert (claim.expires, claim.access_key) == (3600, "AKIDEXAMPLE")
    verify(request, claim, SECRET, EMPTY_SHA256)


S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
S3_HOST = ("host", "examplebucket.s3.amazonaws.com")
S3_DATE = ("x-amz-date", "20130524T000000Z")
S3_SCOPE = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
S3_EXAMPLES = [
    ("GET", "/test.txt", [("range", "bytes=0-9"), ("x-amz-content-sha256", EMPTY_SHA256)], "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
    ("PUT", "/test%24file.text", [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY"), ("x-amz-content-sha256", sha256(b"Welcome to Amazon S3.").hexdigest())], "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
    ("GET", "/?lifecycle", [("x-amz-content-sha256", EMPTY_SHA256)], "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
    ("GET", "/?max-keys=2&prefix=J", [("x-amz-content-sha256", EMPTY_SHA256)], "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "headers", "signature"), S3_EXAMPLES)
def test_the_examples_of_the_s3_reference_verify(method, target, headers, signature):
    signed = [S3_HOST, S3_DATE, *headers]
    names = ";".join(sorted(name for name, _ in signed))
    value = f"{ALGORITHM} Credential={S3_SCOPE},SignedHeaders={names},Signature={signature}"
    request = wire(method, target, [*signed, ("authorization", value)])
    claim = read_claim(request)
    verify(request, claim, S3_SECRET, payload_rule(request, claim)[1])


def test_the_presigned_example_of_the_s3_reference_verifies():
    query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"  # fmt: skip
    signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    request = wire("GET", f"/test.txt?{query}&X-Amz-Signature={signature}", [S3_HOST])
    claim = read_claim(request)
    verify(request, claim, S3_SECRET, payload_rule(request, claim)[1])


def chunked_claim(signature: str) -> Claim:
    return Claim("AKIAIOSFODNN7EXAMPLE", Scope("20130524", "us-east-1", "s3"), "20130524T000000Z", ("host",), signature)


BIG, REST, END = (sha256(data).hexdigest() for data in (b"a" * 65536, b"a" * 1024, b""))


def test_the_chunk_example_of_the_s3_reference_verifies():
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    verifier = ChunkVerifier(chunked_claim(seed), S3_SECRET)
    assert verifier.chunk(BIG, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648")
    assert verifier.chunk(REST, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497")
    assert verifier.chunk(END, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9")


def trailer_verifier() -> ChunkVerifier:
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    verifier = ChunkVerifier(chunked_claim(seed), S3_SECRET)
    assert verifier.chunk(BIG, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2")
    assert verifier.chunk(REST, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7")
    assert verifier.chunk(END, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992")
    return verifier


def test_the_trailer_example_of_the_s3_reference_verifies():
    signature = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
    assert trailer_verifier().trailer(b"x-amz-checksum-crc32c:sOO8/Q==\n", signature)
    assert not trailer_verifier().trailer(b"x-amz-checksum-crc32c:sOO8/A==\n", signature)
    assert not trailer_verifier().trailer(b"x-amz-checksum-crc32c:sOO8/Q==\n", signature[:-1] + "0")


def test_chunks_out_of_order_do_not_verify_and_nothing_after_them_does():
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    verifier = ChunkVerifier(chunked_claim(seed), S3_SECRET)
    assert not verifier.chunk(REST, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497")
    assert not verifier.chunk(END, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9")
