"""The HTTPS proxy by itself: the proxy before it, and names that nobody can have."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rekindle.gateway import tls
from rekindle.gateway.proxy import Proxy, ProxySettings
from support.gateway import sends_at_once


class Before(socketserver.StreamRequestHandler):
    """The proxy that was there before: it connects everything to itself, and says back what it hears."""

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.wfile.write(self.rfile.readline().upper())


class Mute(socketserver.BaseRequestHandler):
    """One that hangs up."""

    def handle(self) -> None:
        self.request.recv(4096)


@contextmanager
def before(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def asking(folder: Path, upstream: str, target: str) -> Iterator[socket.socket]:
    """A client that has asked for a tunnel and sent one line through it."""
    proxy = Proxy(ProxySettings(("127.0.0.1", 1), upstream=upstream), tls.load_or_create(folder, time.time))
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        proxy.serving(listening),
        socket.create_connection(listening.getsockname(), timeout=10) as client,
    ):
        client.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\nhello\n".encode())
        yield client


def ask(folder: Path, upstream: str, target: str = "example.org:443") -> bytes:
    """All that the proxy says."""
    with asking(folder, upstream, target) as client:
        return client.makefile("rb").read()


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_proxy_before_us_may_be_named_without_a_scheme(tmp_path: Path, scheme: str) -> None:
    with before(Before) as address:
        assert ask(tmp_path, scheme + address).endswith(b"HELLO\n")


@pytest.mark.parametrize("upstream", ["http://127.0.0.1:99999", "http://127.0.0.1:port", "http://", "://"])
def test_one_that_cannot_be_is_named(tmp_path: Path, upstream: str) -> None:
    answer = ask(tmp_path, upstream)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"HTTPS_PROXY" in answer


def test_one_that_hangs_up_is_told_of(tmp_path: Path) -> None:
    with before(Mute) as address:
        answer = ask(tmp_path, f"http://{address}")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"The proxy before us does not reach example.org" in answer


def test_a_name_that_no_host_can_have_is_refused(tmp_path: Path) -> None:
    for strange in ("x" * 64 + ".org:443", "[fe80::1%\nx]:443"):
        assert ask(tmp_path, "", strange).startswith(b"HTTP/1.1 400 ")


def test_what_goes_through_is_not_held_back(tmp_path: Path) -> None:
    with before(Before) as address, asking(tmp_path, address, "example.org:443") as client:
        assert client.recv(1) == b"H"
        assert sends_at_once(client)
