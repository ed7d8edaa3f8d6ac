"""Request bodies, bounded: read whole for the small services, watched as they stream for S3."""

from __future__ import annotations

import asyncio
from hashlib import sha256

from starlette.types import Message, Receive

from rekindle.gateway.canonical import WireRequest
from rekindle.gateway.refusal import Reason, Refusal

#: What is still read of the body of a refused request, so that its sender gets to read the answer.
_DRAIN_BYTES = 8 * 2**20
_DRAIN_SECONDS = 1.0
_WAY_OUT = "Send it uncompressed, without this header (boto3: Config(disable_request_compression=True))."


async def read_whole(request: WireRequest, receive: Receive, limit: int, seconds: float) -> bytes:
    """The body, of at most ``limit`` bytes and within ``seconds``; else BODY_TOO_LARGE or BODY_TOO_SLOW."""
    length = request.header("content-length") or ""
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            return await _collect(receive, limit)
    except TimeoutError:
        raise Refusal(Reason.BODY_TOO_SLOW, f"The request body did not arrive within {seconds:g} s.") from None


def check_length(request: WireRequest) -> None:
    """A body's end is told in one way; else TWO_LENGTHS: a proxy before us may believe the other, and take for the body what
    would be a request here (RFC 9112, 6.3)."""
    if request.values("transfer-encoding") and request.values("content-length"):
        raise Refusal(
            Reason.TWO_LENGTHS, "Content-Length and Transfer-Encoding both say where the body ends; send one of them."
        )


def check_plain(request: WireRequest) -> None:
    """A body that is read whole is taken as it came; else ENCODED_BODY: nobody behind would know what it says."""
    given = request.header("content-encoding") or ""
    # `amz-1.0` is what older SDKs of AWS call plain JSON.
    if any(name.strip().lower() not in ("", "identity", "amz-1.0") for name in given.split(",")):
        raise Refusal(Reason.ENCODED_BODY, f"Content-Encoding: {given[:64]!r}: bodies are read as they are. {_WAY_OUT}")


def replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives a body that was read already, once, and then what the connection has to say."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again


class WatchedBody:
    """A body that streams through: each part must come within a time, and the whole must have the hash that was signed.

    The last part is handed on only when the hash holds, so an application that stores what it was given whole never stores
    a forged body. Once it failed, ``failure`` says why, and receiving raises it.
    """

    def __init__(self, receive: Receive, expected_sha256: str | None, idle_seconds: float) -> None:
        self.failure: Refusal | None = None
        self._receive = receive
        self._expected = expected_sha256
        self._idle_seconds = idle_seconds
        self._hash = sha256()
        self._done = False

    async def receive(self) -> Message:
        """The next message of the connection."""
        if self.failure is not None:
            raise self.failure
        if self._done:
            return await self._receive()
        message = await self._in_time()
        if message["type"] == "http.request":
            self._follow(message)
        return message

    async def _in_time(self) -> Message:
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await self._receive()
        except TimeoutError:
            self.failure = Refusal(Reason.BODY_TOO_SLOW, f"Nothing arrived for {self._idle_seconds:g} s.")
            raise self.failure from None

    def _follow(self, message: Message) -> None:
        self._done = not message.get("more_body", False)
        if self._expected is None:
            return
        self._hash.update(message.get("body", b""))
        if self._done and self._hash.hexdigest() != self._expected:
            self.failure = Refusal(Reason.PAYLOAD_MISMATCH)
            raise self.failure


async def drain(receive: Receive) -> None:
    """Reads what is left of a refused body, up to a bound."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            await _collect(receive, _DRAIN_BYTES)
    except (TimeoutError, Refusal):
        return


async def _collect(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(Reason.BODY_TOO_SLOW, "The connection was closed before the request body ended.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(Reason.BODY_TOO_LARGE, f"Request size exceeded: the body may hold at most {limit} bytes.")
