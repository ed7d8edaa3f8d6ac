"""The one port: every request passes here, in this order.

limits on headers -> Host and Origin -> open pages (/healthz, /metrics, a browser's /) -> signature -> body ->
the service's own app.

The gateway asks for a signature on loopback too: a page of any web site can make a browser send requests to it. What the
applications are told of the caller is in ``scope["state"]``: ``account``, ``region``, ``service``, ``access_key``,
``request_id`` and ``chunk_verifier``.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote
from uuid import uuid4

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rekindle.gateway import sigv2, sigv4
from rekindle.gateway.admission import DEFAULT_REGION, Caller, admit_old_url, anonymous, claimed_pair, proven
from rekindle.gateway.answers import answer
from rekindle.gateway.bodies import WatchedBody, check_length, check_plain, drain, read_whole, replayed
from rekindle.gateway.canonical import WireRequest
from rekindle.gateway.credentials import DEFAULT_ACCOUNT, Credentials
from rekindle.gateway.errors import GatewayError
from rekindle.gateway.lifespan import relay
from rekindle.gateway.origin import check_host, check_origin, check_same_site, is_loopback
from rekindle.gateway.refusal import Reason, Refusal
from rekindle.gateway.routing import Apps, check_target, dialect_of, guess_service, is_buffered
from rekindle.gateway.sigv4 import Claim
from rekindle.gateway.telemetry import Record, Telemetry

_LOG = structlog.get_logger("rekindle.gateway")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/]*)(/.*)?", re.DOTALL)
#: What a browser shows that was sent to the address which `rekindle serve` prints; AWS's clients do not ask for HTML.
_FRONT = """\
Rekindle runs here. It serves SageMaker's API and S3 to AWS clients, and has no web pages.

  eval "$(rekindle env)"     in a terminal points boto3, the aws CLI and SageMaker's SDKs here
  rekindle jobs              lists the tuning jobs
  rekindle show JOB          one of them: its state, its best, what waits and what failed
  rekindle report JOB        makes a page of one, with charts

  /healthz                   whether all is well
  /metrics                   figures for Prometheus
"""


@dataclass(frozen=True)
class GatewaySettings:
    """What may differ from one installation to another."""

    #: Host names under which clients may call, next to addresses, localhost and AWS's own names.
    hosts: frozenset[str] = frozenset()
    #: Origins (``https://name:port``) whose web pages may call, next to our own.
    origins: frozenset[str] = frozenset()
    #: Bytes of a request body, except in S3. The largest tuning job that SageMaker's model allows has 2.8 million.
    body_limit: int = 2**22
    #: Seconds within which such a body must have come.
    body_seconds: float = 30.0
    #: Seconds that a streamed body may stand still.
    idle_seconds: float = 60.0
    max_headers: int = 128
    #: Asks for no signature. For tests; on loopback only.
    insecure_no_auth: bool = False
    #: For whom requests without a signature are, and in which region.
    account: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION
    #: The address that the server listens on; only ``insecure_no_auth`` looks at it.
    bind_host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        if self.insecure_no_auth and not is_loopback(self.bind_host):
            raise GatewayError(
                f"--insecure-no-auth: not on {self.bind_host!r}, which others can reach.", "Use 127.0.0.1 or drop the option."
            )


class Gateway:
    """The ASGI application in front of all others.

    ``now`` gives seconds since the epoch; ``health`` says whether the parts behind are well (it may block; it runs in a
    thread).
    """

    def __init__(
        self,
        apps: Apps,
        credentials: Credentials,
        settings: GatewaySettings,
        now: Callable[[], float],
        telemetry: Telemetry | None = None,
        health: Callable[[], bool] = lambda: True,
    ) -> None:
        self.apps = apps
        self.credentials = credentials
        self.settings = settings
        self.telemetry = telemetry or Telemetry()
        self._now = now
        self._health = health
        if settings.insecure_no_auth:
            _LOG.warning("INSECURE: requests are served without a signature; any program on this machine can start processes")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever it is; no exception leaves."""
        if scope["type"] == "lifespan":
            await relay(self.apps.distinct(), receive, send)
        elif scope["type"] == "http":
            exchange = _Exchange(origin_form(scope), receive, send)
            with self.telemetry.in_flight.track_inprogress():
                await self._answer(exchange)
            self.telemetry.done(exchange.finished())
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, exchange: _Exchange) -> None:
        try:
            await self._serve(exchange)
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except asyncio.CancelledError:
            # The server ends, and its patience with requests that last is over.
            await exchange.refuse(Refusal(Reason.ENDING))
        except Exception:
            _LOG.exception("request failed", request_id=exchange.record.request_id)
            await exchange.refuse(Refusal(Reason.INTERNAL))

    async def _serve(self, exchange: _Exchange) -> None:
        request = exchange.request
        self._check_envelope(exchange)
        if not (sigv4.carries_signature(request) or sigv2.carries_signature(request)):
            page = self._open_page(request)
            if page is not None:
                await page(exchange.scope, exchange.receive, exchange.send)
                return
        caller, body = await self._admit(exchange)
        app = self.apps.of(caller.service)
        check_target(request, caller.service)
        if body:
            check_plain(request)
        await exchange.serve(app, caller, body, self.settings.idle_seconds)

    def _check_envelope(self, exchange: _Exchange) -> None:
        request = exchange.request
        if len(request.headers) > self.settings.max_headers:
            raise Refusal(
                Reason.TOO_MANY_HEADERS, f"{len(request.headers)} headers; at most {self.settings.max_headers} are read."
            )
        check_length(request)
        check_host(request, self.settings.hosts)
        check_origin(request, exchange.scope.get("scheme", "http"), self.settings.origins)

    def _open_page(self, request: WireRequest) -> ASGIApp | None:
        """What is shown to anybody. A bucket of that name is still reached, as S3 requests are signed."""
        path = request.path.decode("latin-1")
        if request.method not in ("GET", "HEAD"):
            return None
        if path == "/" and not request.query and "text/html" in (request.header("accept") or ""):
            return PlainTextResponse(_FRONT)
        return {"/healthz": self._healthz, "/metrics": self._metrics}.get(path)

    async def _healthz(self, scope: Scope, receive: Receive, send: Send) -> None:
        well = await run_in_threadpool(self._health)
        await JSONResponse({"status": "ok" if well else "unavailable"}, 200 if well else 503)(scope, receive, send)

    async def _metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        # It may ask the store.
        answer = await run_in_threadpool(self.telemetry.exposition)
        await answer(scope, receive, send)

    async def _admit(self, exchange: _Exchange) -> tuple[Caller, bytes | None]:
        if self.settings.insecure_no_auth:
            return await self._admit_anyone(exchange)
        now = datetime.fromtimestamp(self._now(), UTC)
        if sigv2.carries_signature(exchange.request):
            exchange.record.service = "s3"
            return admit_old_url(exchange.request, self.credentials, now, self.settings.hosts), None
        claim = sigv4.read_claim(exchange.request)
        exchange.record.service = _known(claim.scope.service)
        # The body is read for those only who name a key that we know.
        pair = claimed_pair(exchange.request, claim, self.credentials, now)
        body = await self._body(exchange, claim)
        return proven(exchange.request, claim, pair, body), body

    async def _admit_anyone(self, exchange: _Exchange) -> tuple[Caller, bytes | None]:
        check_same_site(exchange.request)
        try:
            claim = sigv4.read_claim(exchange.request)
        except Refusal:
            claim = None
        body = await self._body(exchange, claim)
        service = claim.scope.service if claim else guess_service(exchange.request, body or b"")
        exchange.record.service = _known(service)
        return anonymous(exchange.request, service, claim, self.settings.account, self.settings.region), body

    async def _body(self, exchange: _Exchange, claim: Claim | None) -> bytes | None:
        if not is_buffered(exchange.request, claim.scope.service if claim else None):
            return None
        return await read_whole(exchange.request, exchange.receive, self.settings.body_limit, self.settings.body_seconds)


class _Exchange:
    """One request and its answer: its id, what was received and sent so far, and how to refuse it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.request = wire_request(scope)
        client = scope.get("client") or ("-", 0)
        path = self.request.path.decode("latin-1")[:1024]
        self.record = Record(str(uuid4()), scope["method"], path, str(client[0]), operation=self.request.header("x-amz-target"))
        self._receive = receive
        self._send = send
        self._began = time.perf_counter()
        self._body_ended = False
        self._watched: WatchedBody | None = None

    async def receive(self) -> Message:
        """The connection's next message, counted."""
        message = await self._receive()
        self.record.bytes_in += len(message.get("body", b""))
        self._body_ended |= not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Sends a message of an application, with the request id; nothing once its request's body proved to be forged."""
        if self._watched is not None and self._watched.failure is not None:
            return
        await self._emit(message)

    async def serve(self, app: ASGIApp, caller: Caller, body: bytes | None, idle_seconds: float) -> None:
        """Lets the application answer a caller."""
        self.record.account, self.record.access_key = caller.account, caller.access_key
        inner = {**self.scope, "state": {**self.scope.get("state", {}), **self._state(caller)}}
        if body is not None:
            await app(inner, replayed(body, self.receive), self.send)
            return
        self._watched = WatchedBody(self.receive, caller.body_sha256, idle_seconds)
        try:
            await app(inner, self._watched.receive, self.send)
        finally:
            if self._watched.failure is not None:
                raise self._watched.failure

    async def refuse(self, refusal: Refusal) -> None:
        """Answers with an error in the client's own dialect; when the answer has begun already, all that is left is to stop."""
        self.record.refused = refusal.reason.value
        if self.record.status:
            return
        service = None if self.record.service == "-" else self.record.service
        response = answer(refusal, dialect_of(self.request, service), self.record.request_id)
        # Who waits to be asked for a body does not send it now, and the next request would be taken for it.
        waits = self.request.header("expect") is not None and not self.record.bytes_in
        if waits or refusal.reason is Reason.TWO_LENGTHS:
            response.headers["connection"] = "close"
        if not (waits or self._body_ended or refusal.reason in (Reason.BODY_TOO_SLOW, Reason.ENDING)):
            await drain(self.receive)
        await response(self.scope, self.receive, self._emit)

    def finished(self) -> Record:
        """The record, complete."""
        self.record.seconds = time.perf_counter() - self._began
        return self.record

    async def _emit(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.record.status = message["status"]
            message = {**message, "headers": self._with_request_id(message.get("headers", ()))}
        else:
            self.record.bytes_out += len(message.get("body", b""))
        await self._send(message)

    def _with_request_id(self, headers: Any) -> list[tuple[bytes, bytes]]:
        name = b"x-amz-request-id" if self.record.service == "s3" else b"x-amzn-requestid"
        kept = [(key, value) for key, value in headers if key.lower() != name]
        return [*kept, (name, self.record.request_id.encode("ascii"))]

    def _state(self, caller: Caller) -> Mapping[str, Any]:
        return {
            "account": caller.account,
            "region": caller.region,
            "service": caller.service,
            "access_key": caller.access_key,
            "request_id": self.record.request_id,
            "chunk_verifier": caller.chunk_verifier,
        }


def _known(service: str) -> str:
    """A service as the record has it: callers may name whatever they like."""
    return service if service in Apps.services() else "other"


def origin_form(scope: Scope) -> Scope:
    """The scope of a request for a whole URL, which is what clients send to a proxy, as if it had come for the path at the
    URL's host: what else the request says of its host is to be ignored (RFC 9112, 3.2.2)."""
    absolute = _ABSOLUTE.fullmatch(scope.get("raw_path") or b"")
    if absolute is None:
        return scope
    raw_path = absolute[2] or b"/"
    others = [(name, value) for name, value in scope["headers"] if name.lower() != b"host"]
    return {
        **scope,
        "raw_path": raw_path,
        "path": unquote(raw_path.decode("latin-1")),
        "headers": [(b"host", absolute[1]), *others],
    }


def wire_request(scope: Scope) -> WireRequest:
    """The request of an ASGI scope, as it came over the wire."""
    raw_path = scope.get("raw_path") or scope["path"].encode("utf-8")
    headers = tuple((name.lower(), value) for name, value in scope["headers"])
    return WireRequest(scope["method"], raw_path.partition(b"?")[0], scope.get("query_string", b""), headers)
