"""Ports for servers that are told by number where to listen."""

from __future__ import annotations

import socket


def kept(port: int = 0) -> socket.socket:
    """A socket that keeps a port, by default one that is free, for a server of this machine until it is closed.

    It does not listen: who connects is refused until the server does, also while that is started again. The kernel gives the
    port to nobody else who asks for any port or connects to somewhere, as it does with one that was only looked at.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        keeper.bind(("127.0.0.1", port))
    except OSError:
        keeper.close()
        raise
    return keeper


def kept_pair() -> tuple[socket.socket, socket.socket]:
    """Keeps a port and the next one, where `rekindle serve` has its proxy."""
    while True:
        first = kept()
        try:
            return first, kept(number(first) + 1)
        except OSError:
            first.close()


def number(keeper: socket.socket) -> int:
    """Which port it keeps."""
    return int(keeper.getsockname()[1])
