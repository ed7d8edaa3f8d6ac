"""A client's connection: uvicorn's, with a bound on the time that the head of a request may take; h11 bounds its size."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: How long one who reads is waited for: programs take an object bit by bit while they train.
STALL_SECONDS = 1800.0


def send_at_once(transport: asyncio.BaseTransport) -> None:
    """Has small pieces sent as they come. asyncio sees to that only where a socket was made with its protocol's number; else
    the body of an answer waits some 40 ms for the client to confirm that it has the head."""
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)


def bound_stall(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Has a connection end whose peer is there, and for so long takes nothing of what is sent: it would be held for ever. The
    kernel alone sees every byte that is taken; that of Linux can do this."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = round(1000 * seconds)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


class _Lingering:
    """A transport that is not closed over a body that is still being sent: its sender, whom that would cut off, might never get
    to the answer. It says that there is no more to come from here, and what comes is for ``Connection`` to pass over."""

    def __init__(self, transport: asyncio.Transport, is_sending: Callable[[], bool], lingers: Callable[[], None]) -> None:
        self._transport = transport
        self._is_sending = is_sending
        self._lingers = lingers
        self.is_lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether it is, but for what is still read."""
        return self.is_lingering or self._transport.is_closing()

    def close(self) -> None:
        """Closes it; once more, at once."""
        if self.is_closing() or not self._is_sending():
            self._transport.close()
            return
        self.is_lingering = True
        try:
            self._transport.write_eof()
        except OSError:  # the peer is gone already
            self._transport.abort()
            return
        self._transport.resume_reading()
        self._lingers()


class Connection(H11Protocol):
    """Closes where a new connection says nothing, or the head of a request does not end, for ``head_seconds``; or where a body
    whose request was answered before its end goes on for as long, which is read so that its sender gets to the answer, be it
    the connection's last or not. One who takes nothing of an answer is let go after ``stall_seconds``."""

    head_seconds: ClassVar[float] = 30.0
    stall_seconds: ClassVar[float] = STALL_SECONDS

    _ends: asyncio.TimerHandle | None = None
    _lingering: _Lingering

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection stands."""
        self._lingering = _Lingering(transport, lambda: self.conn.their_state is h11.SEND_BODY, self._linger)
        super().connection_made(cast(asyncio.Transport, self._lingering))
        send_at_once(transport)
        bound_stall(transport, self.stall_seconds)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes came: of a head or of a body, whose slowness is the gateway's business."""
        if self._lingering.is_lingering:
            return
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._forget()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        # HTTP/1.1 alone is spoken here, whatever is installed: an offer of more is passed over, as Java's client makes one of
        # HTTP/2 with its requests. uvicorn advises in the log to install itself with other parts.
        return False

    def _linger(self) -> None:
        self._forget()
        # Who does not take the answer either is not waited for.
        self._ends = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE and self.conn.our_state is not h11.DONE:
            self._forget()
        elif self._ends is None:
            self._ends = self.loop.call_later(self.head_seconds, self._cut_off)

    def _cut_off(self) -> None:
        self.timeout_keep_alive_handler()
        if self._lingering.is_lingering:
            # Its body was read for as long already.
            self.transport.close()

    def _forget(self) -> None:
        if self._ends is not None:
            self._ends.cancel()
            self._ends = None
