"""The guard that keeps tests away from the real AWS."""

from __future__ import annotations

import socket

import pytest


def test_looking_up_a_name_of_amazons_fails_the_test() -> None:
    with pytest.raises(AssertionError, match=r"looks up api.sagemaker.us-east-1.amazonaws.com"):
        socket.getaddrinfo("api.sagemaker.us-east-1.amazonaws.com", 443)
    assert socket.getaddrinfo("127.0.0.1", 80)
