"""An ASGI application behind a real server on loopback, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp


class _Server(uvicorn.Server):
    """One that closes at its end what is still connected. uvicorn leaves that to the end of the process, which is far off: here
    the garbage collector would find it, and whatever test runs by then would fail."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()


@contextmanager
def serving(app: ASGIApp, **settings: Any) -> Iterator[int]:
    """The server's port. The settings are uvicorn's."""
    # It listens before the server's thread has come to run: who connects waits.
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2, **settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
