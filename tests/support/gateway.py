"""A gateway over small applications that say what reached them, a real server on loopback, and botocore's signers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from contextlib import AbstractContextManager
from dataclasses import replace
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from rekindle.gateway.app import Gateway, GatewaySettings
from rekindle.gateway.connection import Connection
from rekindle.gateway.credentials import Credentials, KeyPair
from rekindle.gateway.routing import Apps
from support import http_server

#: 2015-08-30T12:36:00Z, the moment of AWS's own test suite.
MOMENT = 1440938160.0
STAMP = "20150830T123600Z"
ALICE = KeyPair("REKINDLETESTALICE001", "alice-secret-alice-secret-alice-secret-a", "111111111111")
BOB = KeyPair("REKINDLETESTBOB00001", "bob-secret-bob-secret-bob-secret-bob-sec", "222222222222")
CREDENTIALS = Credentials.of(ALICE, BOB)
#: What an echo shows of the scope's state.
SHOWN = ("account", "region", "service", "access_key", "request_id")


class Echo:
    """An application that reads the whole body and answers with what it got; keeps the bodies that came whole."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.whole: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = b"".join([part async for part in request.stream()])
        self.whole.append(body)
        state = scope["state"]
        shown: dict[str, Any] = {key: state[key] for key in SHOWN}
        answer = {**shown, "app": self.name, "sha256": sha256(body).hexdigest(), "chunked": state["chunk_verifier"] is not None}
        await JSONResponse(answer)(scope, receive, send)


def echo_apps(**others: ASGIApp) -> Apps:
    """An echo behind each service, but for those given."""
    echoes: dict[str, ASGIApp] = {name: Echo(name) for name in Apps.services()}
    return Apps(**{**echoes, **others})


def gateway(apps: Apps | None = None, now: float = MOMENT, **settings: Any) -> Gateway:
    """A gateway whose clock stands still."""
    return Gateway(apps or echo_apps(), CREDENTIALS, replace(GatewaySettings(), **settings), lambda: now)


def serving(app: ASGIApp, http: type[Connection] = Connection) -> AbstractContextManager[int]:
    """The port of a real server on loopback with this application."""
    return http_server.serving(app, http=http, lifespan="off")


def sends_at_once(client: socket.socket) -> bool:
    """Whether the other end of a client's connection, which is ours too, holds back no small piece."""
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as end:
                    if end.getpeername() == client.getsockname():
                        return bool(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    raise AssertionError("nobody is connected to the client")


def body_of(answer: bytes) -> dict[str, Any]:
    """A JSON answer."""
    parsed: dict[str, Any] = json.loads(answer)
    return parsed
