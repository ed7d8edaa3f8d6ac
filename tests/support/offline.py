"""No name but this machine's is looked up: whoever needs another fails, and is told of."""

from __future__ import annotations

import socket
from typing import Any

LOOKED_UP: set[str] = set()
_REAL = socket.getaddrinfo


def refuse_names() -> None:
    """From now on, in this process."""
    socket.getaddrinfo = _refusing


def allow_names() -> None:
    """Ends that."""
    socket.getaddrinfo = _REAL


def _refusing(host: Any, *more: Any, **named: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if name not in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "", None, socket.gethostname()):
        LOOKED_UP.add(name)
        raise socket.gaierror(socket.EAI_NONAME, "names are not looked up in this suite")
    return _REAL(host, *more, **named)
