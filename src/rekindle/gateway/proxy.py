"""An HTTPS proxy for the host names that SDKs build themselves, whatever endpoint they are given.

It knows CONNECT alone. For AWS's own hosts it ends TLS with a certificate of the installation's authority, and what comes
out goes to the gateway byte for byte: the Host header, which the signature covers, stays. For all other hosts it is a plain
tunnel, through the proxy that the user has already if there is one, or it refuses, by setting.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import SplitResult, unquote, urlsplit

import structlog

from rekindle.gateway.aws_names import is_aws
from rekindle.gateway.connection import STALL_SECONDS, bound_stall, send_at_once
from rekindle.gateway.origin import is_loopback
from rekindle.gateway.tls import Authority

_LOG = structlog.get_logger("rekindle.gateway.proxy")
_HEAD_LIMIT = 16 * 1024
_HEAD_SECONDS = 30.0
_CONNECT_SECONDS = 30.0
_CHUNK = 64 * 1024
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)

_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class ProxySettings:
    """Where the gateway is, and what becomes of hosts that are not AWS's.

    ``tunnels``: whether they are connected at all; never for a client on another machine, so this is no open proxy.
    ``untouched`` are AWS hosts that are theirs after all: those of the user's own object store. ``upstream`` is the URL
    of the proxy through which the world is reached, empty for none.
    """

    gateway: tuple[str, int]
    tunnels: bool = True
    untouched: frozenset[str] = frozenset()
    upstream: str = ""


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Proxy:
    """Serves connections, each in a task of its own."""

    def __init__(self, settings: ProxySettings, authority: Authority) -> None:
        self._settings = settings
        self._authority = authority

    @contextlib.contextmanager
    def serving(self, listening: socket.socket) -> Iterator[None]:
        """Serves on a bound socket, in a thread with an event loop of its own, for as long as the context lasts."""
        loop = asyncio.new_event_loop()
        ended = asyncio.Event()
        thread = threading.Thread(target=self._run, args=(loop, listening, ended), name="proxy")
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(ended.set)
            thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop, listening: socket.socket, ended: asyncio.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            # What is still connected at the end is cancelled by the runner.
            runner.run(self._listen(listening, ended))

    async def _listen(self, listening: socket.socket, ended: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connected, sock=listening, limit=_HEAD_LIMIT)
        await ended.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        send_at_once(writer.transport)
        bound_stall(writer.transport, STALL_SECONDS)
        try:
            await self._serve(reader, writer)
        except _Refused as refused:
            await _answer(writer, refused.status, str(refused))
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            _LOG.debug("connection ended", reason=str(error))
        except asyncio.CancelledError:
            writer.transport.abort()
        except Exception:
            _LOG.exception("connection failed")
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        host, port = target(head)
        if is_aws(host) and host not in self._settings.untouched:
            await self._end_tls(host, reader, writer)
        else:
            await self._tunnel(host, port, reader, writer)

    async def _end_tls(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await _reach(self._settings.gateway)
        with _closing(inner[1]):
            await _established(writer)
            try:
                await writer.start_tls(self._authority.context(host))
            except ssl.SSLError as error:
                hint = "it must trust the authority of `rekindle env --all`: AWS_CA_BUNDLE"
                _LOG.warning("a client ended TLS", host=host, reason=error.reason, hint=hint)
                return
            await _join((reader, writer), inner)

    async def _tunnel(self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername") or ("",)
        if not self._settings.tunnels:
            raise _Refused(HTTPStatus.FORBIDDEN, f"{host} is not one of AWS's hosts, and REKINDLE_PROXY_OTHERS is 'refuse'.")
        if not is_loopback(str(peer[0])):
            raise _Refused(
                HTTPStatus.FORBIDDEN, f"{host} is not one of AWS's hosts; only clients of this machine reach others."
            )
        outer = await self._outside(host, port)
        with _closing(outer[1]):
            await _established(writer)
            await _join((reader, writer), outer)

    async def _outside(self, host: str, port: int) -> _Ends:
        if not self._settings.upstream:
            return await _reach((host, port))
        upstream, address = _proxy_before_us(self._settings.upstream)
        ends = await _reach(address)
        ends[1].write(_connect_request(host, port, upstream.username, upstream.password))
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                head = await ends[0].readuntil(b"\r\n\r\n")
            status = head.split(b"\r\n")[0].decode("latin-1").split(" ", 2)[1:]
        except (OSError, EOFError, asyncio.LimitOverrunError):
            status = ["it does not answer"]
        if status[:1] != ["200"]:
            ends[1].close()
            raise _Refused(HTTPStatus.BAD_GATEWAY, f"The proxy before us does not reach {host}: {' '.join(status)}")
        return ends


def target(head: bytes) -> tuple[str, int]:
    """The host, in lower case and without a final dot, and the port that a CONNECT request names."""
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or words[0] != "CONNECT":
        raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "This port is an HTTPS proxy; it knows CONNECT alone.")
    host, colon, port = words[1].rpartition(":")
    host = host.strip("[]") if host.startswith("[") else host.lower().rstrip(".")
    named = _HOST.fullmatch(host) or _is_ipv6(host)
    if not (colon and named and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise _Refused(HTTPStatus.BAD_REQUEST, "CONNECT needs host:port.")
    return host, int(port)


def _is_ipv6(host: str) -> bool:
    """Whether the text is an IPv6 address without a zone, in which Python's own lets any character pass."""
    try:
        socket.inet_pton(socket.AF_INET6, host)
    except OSError:
        return False
    return True


def _proxy_before_us(url: str) -> tuple[SplitResult, tuple[str, int]]:
    """What the variable says, and where that is. A scheme may be left out, as for most clients."""
    try:
        upstream = urlsplit(url if "://" in url else f"http://{url}")
        address = (upstream.hostname or "", upstream.port or 8080)
    except ValueError:
        address = ("", 0)
    if not address[0]:
        # Its value may hold a password.
        raise _Refused(HTTPStatus.BAD_GATEWAY, "HTTPS_PROXY, as the server found it, is not of the form http://host:port.")
    return upstream, address


def _connect_request(host: str, port: int, user: str | None, password: str | None) -> bytes:
    named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {named} HTTP/1.1", f"Host: {named}"]
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}"
        lines.append(f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _reach(address: tuple[str, int]) -> _Ends:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await asyncio.open_connection(*address, limit=_HEAD_LIMIT)
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "it does not answer"
        raise _Refused(HTTPStatus.BAD_GATEWAY, f"{address[0]}:{address[1]} cannot be reached: {reason}") from error


async def _established(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await writer.drain()


async def _answer(writer: asyncio.StreamWriter, status: HTTPStatus, sentence: str) -> None:
    body = f"{sentence}\n".encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(OSError):
        writer.write(head.encode("latin-1") + b"Connection: close\r\n\r\n" + body)
        await writer.drain()


async def _join(one: _Ends, other: _Ends) -> None:
    """Carries bytes both ways until both sides have ended."""
    await asyncio.gather(_carry(one[0], other[1]), _carry(other[0], one[1]))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        # TLS has no half-closed state.
        if writer.can_write_eof() and not writer.is_closing():
            with contextlib.suppress(OSError):
                writer.write_eof()
        else:
            writer.close()


@contextlib.contextmanager
def _closing(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    finally:
        writer.close()
