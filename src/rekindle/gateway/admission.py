"""Who is calling, proven: from a request and the known keys to a Caller, or a Refusal."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from rekindle.gateway import sigv2, sigv4
from rekindle.gateway.canonical import WireRequest
from rekindle.gateway.chunks import ChunkVerifier
from rekindle.gateway.credentials import Credentials, KeyPair
from rekindle.gateway.refusal import Reason, Refusal
from rekindle.gateway.sigv4 import Claim, Payload

DEFAULT_REGION: Final = "us-east-1"


@dataclass(frozen=True)
class Caller:
    """A request's sender and what it asks for; true once ``proven`` or ``admit_old_url`` returned it."""

    access_key: str
    account: str
    region: str
    service: str
    #: The SHA-256 that a streamed body must turn out to have; None where none was signed, or it was checked already.
    body_sha256: str | None = None
    #: For an aws-chunked body with signed chunks.
    chunk_verifier: ChunkVerifier | None = None


def claimed_pair(request: WireRequest, claim: Claim, credentials: Credentials, now: datetime) -> KeyPair:
    """The key pair that the request claims, after every check that needs neither the body nor the secret."""
    sigv4.check_signed_headers(request, claim)
    sigv4.check_times(claim, now)
    return _pair(claim.access_key, credentials)


def proven(request: WireRequest, claim: Claim, pair: KeyPair, body: bytes | None) -> Caller:
    """The sender, if the signature holds. ``body`` is the whole body, or None for S3, whose bodies stream."""
    rule, word = (Payload.EXACT, sha256(body).hexdigest()) if body is not None else sigv4.payload_rule(request, claim)
    sigv4.verify(request, claim, pair.secret_key, word)
    signed_chunks = rule in (Payload.SIGNED_CHUNKS, Payload.SIGNED_CHUNKS_TRAILER)
    return Caller(
        access_key=pair.access_key,
        account=pair.account,
        region=claim.scope.region,
        service=claim.scope.service,
        body_sha256=word if rule is Payload.EXACT and body is None else None,
        chunk_verifier=ChunkVerifier(claim, pair.secret_key) if signed_chunks else None,
    )


def admit_old_url(request: WireRequest, credentials: Credentials, now: datetime, domains: Collection[str]) -> Caller:
    """The maker of a presigned URL of version 2, which is good for S3 alone and fixes the hash of its body at most.

    ``domains`` are the names of this server under which a Host may name a bucket.
    """
    claim = sigv2.read_claim(request)
    sigv2.check_end(claim, now)
    pair = _pair(claim.access_key, credentials)
    sigv2.verify(request, claim, pair.secret_key, domains)
    return Caller(pair.access_key, pair.account, DEFAULT_REGION, "s3", sigv2.body_sha256(request))


def anonymous(request: WireRequest, service: str, claim: Claim | None, account: str, region: str) -> Caller:
    """The sender where no signature is asked for: the installation's account, in the region it speaks of, else in the given."""
    declared = request.header("x-amz-content-sha256") or ""
    expected = declared if sigv4.HEX64.fullmatch(declared) else None
    return Caller("anonymous", account, claim.scope.region if claim else region, service, expected)


def _pair(access_key: str, credentials: Credentials) -> KeyPair:
    pair = credentials.find(access_key)
    if pair is None:
        raise Refusal(Reason.UNKNOWN_KEY)
    return pair
