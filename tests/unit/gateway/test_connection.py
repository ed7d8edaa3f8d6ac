"""Connections as sockets have them: what neither speaks nor ends its request's head is let go, and no body is cut short."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send

from rekindle.gateway.connection import Connection, _Lingering
from support.gateway import echo_apps, gateway, sends_at_once, serving

_HEAD = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"


class Hasty(Connection):
    #: Longer than a client on a crowded machine may stand still between its connection and its request.
    head_seconds = 1.0
    stall_seconds = 1.0


class Patient(Connection):
    #: A crowded machine takes seconds to pass over a body of 32 MiB.
    head_seconds = 600.0


class Gigabyte:
    """An application that sends it, and says when it has done so, or has nobody left to send it to."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1 << 10):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        self.ended.set()


class Gone:
    """A transport whose peer has gone, as the system tells it."""

    aborted = False

    def is_closing(self) -> bool:
        return False

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    def abort(self) -> None:
        self.aborted = True


def test_one_who_left_while_he_was_refused_is_no_defect() -> None:
    gone, lingers = Gone(), list[bool]()
    _Lingering(cast(asyncio.Transport, gone), lambda: True, lambda: lingers.append(True)).close()
    assert gone.aborted
    assert not lingers


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(gateway(insecure_no_auth=True), http=Hasty) as port:
        yield port


@pytest.fixture(scope="module")
def patient() -> Iterator[int]:
    """Of a server that cuts nobody off who is not scheduled for a moment."""
    with serving(gateway(insecure_no_auth=True), http=Patient) as port:
        yield port


def until_closed(connection: socket.socket) -> bytes:
    """All that is still sent."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_no_answer_waits_for_the_client_to_confirm_its_first_piece(patient: int) -> None:
    with socket.create_connection(("127.0.0.1", patient), timeout=20) as connection:
        connection.sendall(_HEAD + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert sends_at_once(connection)


def while_sending(connection: socket.socket, piece: bytes) -> tuple[bool, bytes]:
    """Sends a piece again and again, for 20 seconds or until the connection is closed: whether it was, and what came."""
    began, closed, answers = time.monotonic(), False, b""
    while not closed and time.monotonic() - began < 20:
        try:
            connection.sendall(piece)
            got = connection.recv(65536)
            closed, answers = not got, answers + got
        except TimeoutError:
            continue
        except ConnectionError:
            closed = True
    return closed, answers


def is_cut_off(connection: socket.socket) -> bool:
    """Whether one who goes on sending, for 20 seconds at most, finds that nobody listens any more."""
    began = time.monotonic()
    while time.monotonic() - began < 20:
        try:
            connection.sendall(b"x")
            time.sleep(0.01)
        except ConnectionError:
            return True
    return False


def test_a_connection_that_says_nothing_is_closed(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        assert until_closed(connection) == b""


@pytest.mark.parametrize("before", [b"", _HEAD + b"\r\n"])
def test_a_head_that_goes_on_and_on_is_cut_off(port: int, before: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
        connection.sendall(before + _HEAD)
        closed, answers = while_sending(connection, b"x-a: b\r\n")
        assert closed
        assert answers.count(b"HTTP/1.1 200") == (1 if before else 0)


def test_a_head_without_end_is_refused_by_its_size(patient: int) -> None:
    with socket.create_connection(("127.0.0.1", patient), timeout=20) as connection:
        connection.sendall(_HEAD + b"x-a: " + b"b" * (17 << 10))
        assert until_closed(connection).startswith(b"HTTP/1.1 400")


def test_a_body_that_takes_its_time_is_waited_for(port: int) -> None:
    first, last = (
        f"PUT /bucket/key HTTP/1.1\r\nhost: localhost\r\nconnection: {then}\r\ncontent-length: 2\r\n\r\nx".encode()
        for then in ("keep-alive", "close")
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        # Between two requests it would be cut off after as long: the second comes with the end of the first.
        for sent in (first, b"y" + last):
            connection.sendall(sent)
            time.sleep(1.2 * Hasty.head_seconds)
        connection.sendall(b"y")
        assert until_closed(connection).count(sha256(b"xy").hexdigest().encode()) == 2


_REFUSED = "POST / HTTP/1.1\r\nhost: elsewhere.example\r\n{more}content-length: {length}\r\n\r\n"


def test_a_body_that_goes_on_after_the_answer_is_read_to_its_end(patient: int) -> None:
    head = _REFUSED.format(more="", length=32 << 20).encode()
    last = _REFUSED.format(more="connection: close\r\n", length=1).encode()
    with socket.create_connection(("127.0.0.1", patient), timeout=20) as connection:
        connection.sendall(head + bytes(32 << 20) + last + b"x")
        assert until_closed(connection).count(b"HTTP/1.1 403") == 2


def test_a_body_that_goes_on_after_the_answer_is_read_for_a_while(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(_REFUSED.format(more="", length=1 << 40).encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 403")
        assert is_cut_off(connection)


@pytest.mark.parametrize("words", ["1.1\r\nconnection: close", "1.0"])
def test_who_wants_the_connection_closed_gets_to_read_why_a_body_is_refused(patient: int, words: str) -> None:
    with socket.create_connection(("127.0.0.1", patient), timeout=20) as connection:
        head = f"POST / HTTP/{words}\r\nhost: elsewhere.example\r\ncontent-length: {32 << 20}\r\n\r\n"
        connection.sendall(head.encode() + bytes(32 << 20))
        assert until_closed(connection).startswith(b"HTTP/1.1 403")


def test_a_body_that_goes_on_after_a_last_answer_is_read_for_a_while(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(_REFUSED.format(more="connection: close\r\n", length=1 << 40).encode())
        assert until_closed(connection).startswith(b"HTTP/1.1 403")
        assert is_cut_off(connection)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone can do this")
def test_one_who_asks_and_does_not_read_is_let_go() -> None:
    app = Gigabyte()
    with (
        serving(gateway(echo_apps(s3=app), insecure_no_auth=True), http=Hasty) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
        connection.sendall(b"GET /bucket/key HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert app.ended.wait(20)


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
def test_an_offer_to_speak_otherwise_is_passed_over_without_a_word(
    patient: int, offer: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "handlers", [caplog.handler])
    caplog.set_level(logging.WARNING, logger="uvicorn.error")
    with socket.create_connection(("127.0.0.1", patient), timeout=20) as connection:
        connection.sendall(_HEAD + f"connection: upgrade, close\r\nupgrade: {offer}\r\n\r\n".encode())
        assert until_closed(connection).startswith(b"HTTP/1.1 200")
    assert caplog.messages == []
