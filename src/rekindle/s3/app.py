"""The object store as an ASGI application. Whoever calls it has checked who asks.

The scope's `state` may hold: `account` (whose buckets), `chunk_verifier` (see `chunked.ChunkVerifier`) and `request_id`.
All work on files happens in threads; the event loop only passes blocks on.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from rekindle.engine.ports import Clock
from rekindle.s3 import addressing, xml
from rekindle.s3.buckets import Buckets
from rekindle.s3.drop import BLOCK_BYTES
from rekindle.s3.errors import NotModified, S3Error
from rekindle.s3.exchange import Answer, Call, Content, Sink, Store
from rekindle.s3.layout import Layout
from rekindle.s3.payload import Payload, read_promise
from rekindle.s3.routes import Route, route

#: Threads for work on files.
THREADS = 32
#: A slow operation begins its answer after this time, and then sends a space this often, as S3 does.
PATIENCE_SECONDS = 5.0
#: Of a body that nobody wants, this much is read so that the client can hear why: a part, as large as boto3 makes them.
DRAIN_BYTES = 8 << 20
DRAIN_SECONDS = 1.0


def create_app(
    root: Path,
    *,
    clock: Clock,
    region: str,
    default_account: str,
    domains: tuple[str, ...] = (),
    patience: float = PATIENCE_SECONDS,
) -> ASGIApp:
    """The object store over the folder `root`. Buckets of which nobody says whose they are belong to `default_account`;
    `domains` are this server's names for virtual-host style."""
    layout = Layout(root, clock)
    store = Store(layout, Buckets(layout, region=region, default_account=default_account), region)
    return ObjectStoreApp(store, default_account=default_account, domains=domains, patience=patience)


class ObjectStoreApp:
    """Takes requests apart, has them worked on, and puts answers together."""

    def __init__(self, store: Store, *, default_account: str, domains: tuple[str, ...], patience: float) -> None:
        self._store = store
        self._default_account = default_account
        self._domains = domains
        self._patience = patience
        self._threads = CapacityLimiter(THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, Body(receive), Reply(scope, send))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                self._store.layout.scratch.close()
                return

    async def _http(self, scope: Scope, body: Body, reply: Reply) -> None:
        try:
            call = self._call(scope)
            await self._work(route(call), call, body, reply)
        except NotModified as unchanged:
            await reply.answer(Answer(304, unchanged.headers))
        except ClientDisconnect:
            return
        except S3Error as error:
            await self._refuse(scope, body, reply, error)
        except OSError as error:
            if reply.started:
                # In the middle of an object, where an error's document would be taken for its content.
                raise
            await self._refuse(scope, body, reply, S3Error("InternalError", f"The store's folder: {error.strerror}."))

    def _call(self, scope: Scope) -> Call:
        sent: dict[str, str] = {}
        for raw, value in scope["headers"]:
            name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
            sent[name] = f"{sent[name]},{text}" if name in sent else text
        raw_path = scope.get("raw_path") or scope["path"].encode()
        bucket, key = addressing.address(raw_path, sent.get("host", ""), self._domains)
        query = addressing.query(scope.get("query_string", b""))
        state = scope.get("state") or {}
        return Call(
            method=scope["method"],
            bucket=bucket,
            key=key,
            query=query,
            headers={**addressing.hoisted(query), **sent},
            account=state.get("account") or self._default_account,
            scheme=scope.get("scheme", "http"),
            raw_path=raw_path,
            verifier=state.get("chunk_verifier"),
        )

    async def _work(self, found: Route, call: Call, body: Body, reply: Reply) -> None:
        if found.opener is not None:
            sink = await self._thread(found.opener, self._store, call)
            await reply.answer(await self._fill(sink, body))
            return
        document = await self._document(call, found.body_limit, body)
        handler = partial(found.handler or _nothing, self._store, replace(call, body=document))
        if found.slow:
            await self._slowly(handler, reply)
        else:
            await self._send(await self._thread(handler), body, reply)

    async def _thread(self, work: Any, *args: Any) -> Any:
        return await to_thread.run_sync(work, *args, limiter=self._threads)

    async def _fill(self, sink: Sink, body: Body) -> Answer:
        try:
            async for block in body.blocks():
                await self._thread(sink.write, block)
            answer: Answer = await self._thread(sink.finish)
            return answer
        finally:
            with anyio.CancelScope(shield=True):
                await self._thread(sink.abandon)

    async def _document(self, call: Call, limit: int, body: Body) -> bytes:
        if not limit or (call.headers.get("content-length", "0") == "0" and "transfer-encoding" not in call.headers):
            return b""
        promise = read_promise(call.headers)
        if promise.size > limit:
            raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=str(limit))
        payload = Payload(promise, call.verifier)
        pieces: list[bytes] = []
        async for block in body.blocks():
            pieces.extend(payload.take(block))
        payload.finish()
        return b"".join(pieces)

    async def _slowly(self, handler: Any, reply: Reply) -> None:
        """Have a long operation done, and keep the client from giving up meanwhile."""
        outcome: list[Answer | Exception] = []
        done = anyio.Event()

        async def work() -> None:
            try:
                outcome.append(await self._thread(handler))
            except (S3Error, OSError) as error:
                outcome.append(error)
            done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            while not done.is_set():
                with anyio.move_on_after(self._patience):
                    await done.wait()
                if not done.is_set():
                    await reply.keep_alive()
        await self._conclude(outcome[0], reply)

    async def _conclude(self, outcome: Answer | Exception, reply: Reply) -> None:
        if isinstance(outcome, Answer):
            await reply.answer(outcome)
        elif reply.started:
            # The status is out already; clients of S3 look into the body for an error.
            error = outcome if isinstance(outcome, S3Error) else S3Error("InternalError")
            await reply.answer(Answer(body=error_document(error, reply)))
        else:
            raise outcome

    async def _send(self, answer: Answer, body: Body, reply: Reply) -> None:
        if answer.content is None:
            await reply.answer(answer)
            return
        try:
            await reply.start(answer.status, answer.headers)
            await self._stream(answer.content, body, reply)
        finally:
            answer.content.file.close()

    async def _stream(self, content: Content, body: Body, reply: Reply) -> None:
        content.file.seek(content.start)
        left = content.length
        while left:
            block = await self._thread(content.file.read, min(BLOCK_BYTES, left))
            if not block:
                raise RuntimeError("an object's file was cut short while it was being sent")
            left -= len(block)
            await reply.body(block, more=True)
            if left:
                # Sending does not say so: the rest would be read for nobody.
                await body.check_client()
        await reply.body(b"")

    async def _refuse(self, scope: Scope, body: Body, reply: Reply, error: S3Error) -> None:
        # A client that still waits for `100 Continue` has not sent its body and must not be asked for it: its next request
        # would be taken for that.
        waits = not body.is_begun and any(name == b"expect" for name, _ in scope["headers"])
        if not waits:
            with anyio.move_on_after(DRAIN_SECONDS):
                await body.drain(DRAIN_BYTES)
        # Of a longer body the server reads on as it is sent: were it to close, the client would not get to the answer.
        headers = {"connection": "close"} if waits else {}
        await reply.answer(Answer(error.status, headers, body=error_document(error, reply)))


def _nothing(store: Store, call: Call) -> Answer:
    raise S3Error("MethodNotAllowed")


def error_document(error: S3Error, reply: Reply) -> bytes:
    """The document that tells an error."""
    details = [xml.leaf(name, xml.readable(value)) for name, value in error.details.items() if name != "Resource"]
    where = [
        xml.leaf("Resource", xml.readable(reply.path)),
        xml.leaf("RequestId", reply.request_id),
        xml.leaf("HostId", "rekindle"),
    ]
    head = [xml.leaf("Code", error.code), xml.leaf("Message", xml.readable(error.message))]
    return xml.document("Error", *head, *details, *where, namespace=False)


class Body:
    """The request's body as it comes in."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True
        #: Whether any of it was asked for.
        self.is_begun = False

    async def _next(self) -> bytes:
        self.is_begun = True
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._more = False
            raise ClientDisconnect
        self._more = message.get("more_body", False)
        data: bytes = message.get("body", b"")
        return data

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body in blocks of about a mebibyte."""
        pieces: list[bytes] = []
        size = 0
        while self._more:
            piece = await self._next()
            pieces.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                yield b"".join(pieces)
                pieces, size = [], 0
        if size:
            yield b"".join(pieces)

    async def check_client(self) -> None:
        """Raises ClientDisconnect where the client is gone; waits for nothing."""
        with anyio.CancelScope() as at_once:
            at_once.cancel()
            await self._next()

    async def drain(self, limit: int) -> None:
        """Read and forget what is left, up to a limit."""
        with contextlib.suppress(ClientDisconnect):
            while self._more and limit > 0:
                limit -= len(await self._next())


class Reply:
    """The answer on its way out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._head = scope["method"] == "HEAD"
        self.path: str = scope["path"]
        self.request_id: str = (scope.get("state") or {}).get("request_id") or secrets.token_hex(8).upper()
        self.started = False
        self._declared = False

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status and the headers."""
        told = {"x-amz-request-id": self.request_id, "x-amz-id-2": "rekindle", **headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in told.items()]
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def body(self, data: bytes, *, more: bool = False) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": b"" if self._head else data, "more_body": more})

    async def keep_alive(self) -> None:
        """Begin an answer whose outcome is open, or let the client see that it is still coming."""
        if not self.started:
            await self.start(200, {"content-type": "application/xml"})
        await self.body(b" " if self._declared else xml.DECLARATION, more=True)
        self._declared = True

    async def answer(self, answer: Answer) -> None:
        """Send a whole small answer, or the rest of one that was kept alive."""
        if self.started:
            await self.body(answer.body.removeprefix(xml.DECLARATION))
            return
        length = {} if answer.status in (204, 304) else {"content-length": str(len(answer.body))}
        kind = {"content-type": "application/xml"} if answer.body else {}
        await self.start(answer.status, {**length, **kind, **answer.headers})
        await self.body(answer.body)
