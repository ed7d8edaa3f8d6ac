"""A client's connection: uvicorn's, with a bound on the time that the head of a request may take; h11 bounds its size."""

from __future__ import annotations

import asyncio
import socket
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def send_at_once(transport: asyncio.BaseTransport) -> None:
    """Has small pieces sent as they come. asyncio sees to that only where a socket was made with its protocol's number; else
    the body of an answer waits some 40 ms for the client to confirm that it has the head."""
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)


class Connection(H11Protocol):
    """Closes where a new connection says nothing, or the head of a request does not end, for ``head_seconds``; or where a body
    whose request was answered before its end goes on for as long, which is read so that its sender gets to the answer."""

    head_seconds: ClassVar[float] = 30.0

    _ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection stands."""
        super().connection_made(transport)
        send_at_once(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes came: of a head or of a body, whose slowness is the gateway's business."""
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

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE and self.conn.our_state is not h11.DONE:
            self._forget()
        elif self._ends is None:
            self._ends = self.loop.call_later(self.head_seconds, self.timeout_keep_alive_handler)

    def _forget(self) -> None:
        if self._ends is not None:
            self._ends.cancel()
            self._ends = None
