# ruff: noqa: E501
"""Forgeries over a real socket: each is refused, with the code that the service's clients know, and reaches no application."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest

from rekindle.gateway.credentials import KeyPair
from support.gateway import ALICE, BOB, MOMENT, STAMP, Echo, body_of, echo_apps, gateway, serving
from support.signing import TARGET, Sent, exchange, identity, listing, presigned, sign, upload

S3, SAGEMAKER = Echo("s3"), Echo("sagemaker")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(gateway(echo_apps(s3=S3, sagemaker=SAGEMAKER))) as port:
        yield port


@pytest.mark.parametrize("make", [listing, upload, presigned, identity])
@pytest.mark.parametrize("pair", [ALICE, BOB])
def test_the_honest_request_is_let_in_for_its_account(port, make, pair):
    status, _, answer = exchange(port, make(pair=pair))
    assert status == 200, answer
    shown = body_of(answer)
    assert (shown["account"], shown["region"], shown["access_key"]) == (pair.account, "eu-west-3", pair.access_key)
    assert shown["app"] == shown["service"] == {listing: "sagemaker", upload: "s3", presigned: "s3", identity: "sts"}[make]


HOUR = 3600.0
THIEF = KeyPair("REKINDLETHIEF0000001", "a-secret-that-nobody-here-knows-at-all-00")
GUESSER = KeyPair(ALICE.access_key, ALICE.secret_key[:-1] + "b")
CHANGED = {"x-amz-content-sha256": sha256(b"another object").hexdigest()}


def rescope(old: str, new: str) -> Callable[[str], str]:
    return lambda value: value.replace(old, new)


def resign_claiming(sent: Sent, names: str) -> Sent:
    return sent.authorization(lambda value: re.sub(r"SignedHeaders=[^,]+", f"SignedHeaders={names}", value))


MISMATCH, S3_MISMATCH = "InvalidSignatureException", "SignatureDoesNotMatch"
INCOMPLETE, S3_MALFORMED = "IncompleteSignatureException", "AuthorizationHeaderMalformed"
FORGERIES: dict[str, tuple[Callable[[], Sent], str]] = {
    "no signature": (lambda: listing().without("authorization"), "MissingAuthenticationTokenException"),
    "no signature, S3": (lambda: upload().without("authorization"), "AccessDenied"),
    "no signature, STS": (lambda: identity().without("authorization"), "MissingAuthenticationToken"),
    "an unknown key": (lambda: listing(pair=THIEF), "UnrecognizedClientException"),
    "an unknown key, S3": (lambda: upload(pair=THIEF), "InvalidAccessKeyId"),
    "an unknown key, STS": (lambda: identity(pair=THIEF), "InvalidClientTokenId"),
    "a known key, another secret": (lambda: listing(pair=GUESSER), MISMATCH),
    "a known key, another secret, S3": (lambda: upload(pair=GUESSER), S3_MISMATCH),
    "a known key, another secret, STS": (lambda: identity(pair=GUESSER), S3_MISMATCH),
    "another's key with one's own signature": (lambda: listing(pair=BOB).authorization(rescope(BOB.access_key, ALICE.access_key)), MISMATCH),
    "an altered body": (lambda: replace(listing(), body=b'{"MaxResults": 6}'), MISMATCH),
    "an altered body, S3": (lambda: replace(upload(), body=b"the objecT"), "XAmzContentSHA256Mismatch"),
    "a body cut short, S3": (lambda: replace(upload(), body=b"the objec"), "XAmzContentSHA256Mismatch"),
    "an altered body and its hash, S3": (lambda: replace(upload(), body=b"another object").with_header("x-amz-content-sha256", CHANGED["x-amz-content-sha256"]), S3_MISMATCH),
    "the hash made unsigned, S3": (lambda: upload().with_header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), S3_MISMATCH),
    "the hash made a stream, S3": (lambda: upload().with_header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), S3_MISMATCH),
    "no hash, S3": (lambda: upload().without("x-amz-content-sha256"), S3_MISMATCH),
    "a hash that is none, S3": (lambda: upload().with_header("x-amz-content-sha256", "yes"), "InvalidArgument"),
    "an unsigned body to a JSON service": (lambda: listing().plus("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), MISMATCH),
    "another path": (lambda: replace(upload(), target="/bucket/b/key"), S3_MISMATCH),
    "a path with dots": (lambda: replace(upload(), target="/bucket/x/../a/key"), S3_MISMATCH),
    "a path with a doubled slash": (lambda: replace(upload(), target="/bucket/a//key"), S3_MISMATCH),
    "a path encoded twice": (lambda: replace(upload(), target="/bucket/a%252Fkey"), S3_MISMATCH),
    "a further query parameter": (lambda: replace(upload(), target="/bucket/a/key?acl"), S3_MISMATCH),
    "another method": (lambda: replace(upload(), method="DELETE"), S3_MISMATCH),
    "an altered signed header": (lambda: upload().with_header("x-amz-meta-colour", "blue"), S3_MISMATCH),
    "a signed header left out": (lambda: upload().without("x-amz-meta-colour"), S3_MISMATCH),
    "a further header that ought to be signed": (lambda: upload().plus("x-amz-acl", "public-read"), "AccessDenied"),
    "a further copy source": (lambda: upload().plus("x-amz-copy-source", "/bucket/secret"), "AccessDenied"),
    "another operation": (lambda: listing().with_header("X-Amz-Target", "SageMaker.StopTrainingJob"), MISMATCH),
    "a second operation": (lambda: listing().plus("X-Amz-Target", "SageMaker.StopTrainingJob"), INCOMPLETE),
    "a second Authorization": (lambda: listing().plus("Authorization", "AWS4-HMAC-SHA256 Credential=x"), INCOMPLETE),
    "a second date": (lambda: listing().plus("X-Amz-Date", STAMP), INCOMPLETE),
    "a second hash, S3": (lambda: upload().plus("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), "InvalidArgument"),
    "both forms at once, S3": (lambda: replace(upload(), target=presigned().target), "InvalidArgument"),
    "another Host": (lambda: listing().with_header("host", "127.0.0.1"), MISMATCH),
    "replayed for another region": (lambda: listing().authorization(rescope("/eu-west-3/", "/us-east-1/")), MISMATCH),
    "replayed for another service": (lambda: listing().authorization(rescope("/sagemaker/", "/logs/")), MISMATCH),
    "a signature for another service and our target": (lambda: sign(botocore.auth.SigV4Auth, "logs", AWSRequest("POST", "http://localhost/", {"X-Amz-Target": TARGET}, b"{}")), "UnknownOperationException"),
    "a service that is not there": (lambda: sign(botocore.auth.SigV4Auth, "kms", AWSRequest("POST", "http://localhost/", {"X-Amz-Target": "TrentService.Decrypt"}, b"{}")), "UnknownOperationException"),
    "replayed on another day": (lambda: listing().authorization(rescope("/20150830/", "/20150831/")), INCOMPLETE),
    "expired": (lambda: listing(at=MOMENT - 901), MISMATCH),
    "expired, S3": (lambda: upload(at=MOMENT - 901), "RequestTimeTooSkewed"),
    "expired, STS": (lambda: identity(at=MOMENT - 901), S3_MISMATCH),
    "from the future": (lambda: listing(at=MOMENT + 901), MISMATCH),
    "from the future, S3": (lambda: upload(at=MOMENT + 901), "RequestTimeTooSkewed"),
    "expired with a fresh date": (lambda: listing(at=MOMENT - HOUR).with_header("X-Amz-Date", STAMP), MISMATCH),
    "no date": (lambda: listing().without("X-Amz-Date"), INCOMPLETE),
    "a date that is none": (lambda: listing().with_header("X-Amz-Date", "20151332T990000Z"), INCOMPLETE),
    "the first year": (lambda: listing().with_header("X-Amz-Date", "00010101T000000Z").authorization(rescope("/20150830/", "/00010101/")), MISMATCH),
    "the last year": (lambda: listing().with_header("X-Amz-Date", "99991231T235959Z").authorization(rescope("/20150830/", "/99991231/")), MISMATCH),
    "Host not among the signed headers": (lambda: resign_claiming(listing(), "content-type;x-amz-date;x-amz-target"), MISMATCH),
    "Host not among the signed headers, S3": (lambda: resign_claiming(upload(), "x-amz-content-sha256;x-amz-date;x-amz-meta-colour"), "AccessDenied"),
    "no signed headers": (lambda: resign_claiming(listing(), ""), INCOMPLETE),
    "signed headers out of order": (lambda: resign_claiming(listing(), "x-amz-target;x-amz-date;host;content-type"), INCOMPLETE),
    "signed headers repeated": (lambda: resign_claiming(listing(), "content-type;host;host;x-amz-date;x-amz-target"), INCOMPLETE),
    "signed headers in capitals": (lambda: resign_claiming(listing(), "Content-Type;Host;X-Amz-Date;X-Amz-Target"), INCOMPLETE),
    "a truncated signature": (lambda: listing().authorization(lambda value: value[:-1]), MISMATCH),
    "an empty signature": (lambda: listing().authorization(lambda value: value[:-64]), INCOMPLETE),
    "a signature in capitals": (lambda: listing().authorization(lambda value: value[:-64] + value[-64:].upper()), MISMATCH),
    "a signature not in ASCII": (lambda: listing().authorization(lambda value: value[:-1] + "é"), MISMATCH),
    "two signatures in one header": (lambda: listing().authorization(lambda value: f"{value}, Signature={'0' * 64}"), INCOMPLETE),
    "no credential": (lambda: listing().authorization(lambda value: re.sub(r"Credential=[^,]+, ", "", value)), INCOMPLETE),
    "a scope that is none": (lambda: listing().authorization(rescope("/aws4_request", "")), INCOMPLETE),
    "a scope that is none, S3": (lambda: upload().authorization(rescope("/aws4_request", "/aws5_request")), S3_MALFORMED),
    "a region that is none": (lambda: listing().authorization(rescope("eu-west-3", "eu west")), INCOMPLETE),
    "another algorithm": (lambda: listing().authorization(rescope("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")), INCOMPLETE),
    "another algorithm, S3": (lambda: upload().authorization(rescope("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")), "InvalidRequest"),
    "signature version 2": (lambda: upload().with_header("authorization", f"AWS {ALICE.access_key}:c2lnbmF0dXJl"), "InvalidRequest"),
    "a password": (lambda: upload().with_header("authorization", "Basic YWxpY2U6c2VjcmV0"), "InvalidRequest"),
    "a presigned URL with another method": (lambda: replace(presigned(), method="DELETE"), S3_MISMATCH),
    "a presigned URL with HEAD for GET": (lambda: replace(presigned(), method="PUT", body=b"x"), S3_MISMATCH),
    "a presigned URL for another key": (lambda: replace(presigned(), target=presigned().target.replace("/a/key", "/a/other")), S3_MISMATCH),
    "a presigned URL with another parameter": (lambda: replace(presigned(), target=presigned().target.replace("versions=1", "versions=2")), S3_MISMATCH),
    "a presigned URL that expired": (lambda: presigned(at=MOMENT - HOUR), "AccessDenied"),
    "a presigned URL from the future": (lambda: presigned(at=MOMENT + 901), "AccessDenied"),
    "a presigned URL made to live longer": (lambda: replace(presigned(at=MOMENT - HOUR), target=presigned(at=MOMENT - HOUR).target.replace("Expires=3600", "Expires=7200")), S3_MISMATCH),
    "a presigned URL that lives for more than a week": (lambda: replace(presigned(), target=presigned().target.replace("Expires=3600", "Expires=604801")), "AuthorizationQueryParametersError"),
    "a presigned URL that never lived": (lambda: replace(presigned(), target=presigned().target.replace("Expires=3600", "Expires=-1")), "AuthorizationQueryParametersError"),
    "a presigned URL without its end": (lambda: replace(presigned(), target=presigned().target.replace("&X-Amz-Expires=3600", "")), "AuthorizationQueryParametersError"),
    "a presigned URL with two ends": (lambda: replace(presigned(), target=presigned().target + "&X-Amz-Expires=604800"), "AuthorizationQueryParametersError"),
    "a presigned URL with two signatures": (lambda: replace(presigned(), target=presigned().target + f"&X-Amz-Signature={'0' * 64}"), "AuthorizationQueryParametersError"),
    "a presigned URL with an unsigned header": (lambda: presigned("PUT").plus("x-amz-acl", "public-read"), "AccessDenied"),
    "a presigned URL by an unknown key": (lambda: presigned(pair=THIEF), "InvalidAccessKeyId"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused_and_reaches_no_application(port, name):
    make, code = FORGERIES[name]
    S3.whole.clear()
    SAGEMAKER.whole.clear()
    status, answered, answer = exchange(port, make())
    assert 400 <= status < 500, answer
    assert answered == code, answer
    assert S3.whole == SAGEMAKER.whole == []


def test_the_sentences_are_those_of_aws(port):
    sentence = "The request signature we calculated does not match the signature you provided. Check your "
    wrong = json.loads(exchange(port, listing(pair=GUESSER))[2])["message"]
    assert wrong == f"{sentence}AWS Secret Access Key and signing method. Consult the service documentation for details."
    assert f"<Message>{sentence}key and signing method.</Message>".encode() in exchange(port, upload(pair=GUESSER))[2]
    late = json.loads(exchange(port, listing(at=MOMENT - HOUR))[2])["message"]
    assert late == "Signature expired: 20150830T113600Z is now earlier than 20150830T122100Z (20150830T123600Z - 15 min.)"
    early = json.loads(exchange(port, listing(at=MOMENT + HOUR))[2])["message"]
    assert (
        early == "Signature not yet current: 20150830T133600Z is still later than 20150830T125100Z (20150830T123600Z + 15 min.)"
    )
    unknown = json.loads(exchange(port, listing(pair=THIEF))[2])["message"]
    assert unknown == "The security token included in the request is invalid."


@pytest.mark.parametrize("at", [MOMENT - 900, MOMENT + 900])
def test_a_clock_up_to_a_quarter_of_an_hour_off_is_let_in(port, at):
    assert exchange(port, listing(at=at))[0] == exchange(port, upload(at=at))[0] == 200


def test_a_presigned_url_lives_to_its_end(port):
    assert exchange(port, presigned(at=MOMENT - HOUR + 1))[0] == 200


def test_a_leftover_session_token_does_no_harm(port):
    class WithToken(botocore.auth.SigV4Auth):
        def _modify_request_before_signing(self, request):
            request.headers["X-Amz-Security-Token"] = "left over from another account"
            super()._modify_request_before_signing(request)

    sent = sign(WithToken, "sagemaker", AWSRequest("POST", "http://localhost/", {"X-Amz-Target": TARGET}, b"{}"))
    assert "x-amz-security-token" in sent.header("authorization")
    assert exchange(port, sent)[0] == 200


def test_the_date_header_will_do_where_there_is_no_amz_date(port):
    class WithDate(botocore.auth.SigV4Auth):
        def _modify_request_before_signing(self, request):
            request.headers["Date"] = "set by the signer"
            super()._modify_request_before_signing(request)

    sent = sign(WithDate, "sagemaker", AWSRequest("POST", "http://localhost/", {"X-Amz-Target": TARGET}, b"{}"))
    assert sent.header("date") == "Sun, 30 Aug 2015 12:36:00 -0000"
    assert exchange(port, sent)[0] == 200
    assert exchange(port, sent.with_header("date", "Sun, 30 Aug 2015 12:36:01 -0000"))[1] == MISMATCH
