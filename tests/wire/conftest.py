"""What the wire tests share."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from support.wire import Wire, wire


@pytest.fixture(scope="module")
def sagemaker() -> Iterator[Wire]:
    """The SageMaker service with a simulated executor; one for each module of tests."""
    with wire() as found:
        yield found


@pytest.fixture(scope="session", autouse=True)
def no_real_aws() -> Iterator[None]:
    """No test may as much as ask where AWS is."""
    resolve = socket.getaddrinfo

    def guarded(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name.rstrip(".").endswith((".amazonaws.com", ".amazonaws.com.cn", ".aws")):
            raise AssertionError(f"a test looks up {name}")
        return resolve(host, *arguments, **options)

    socket.getaddrinfo = guarded
    try:
        yield
    finally:
        socket.getaddrinfo = resolve
