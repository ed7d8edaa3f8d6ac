"""A tuning job of an account that cannot be asked: the reason, and nothing that may be secret."""

from __future__ import annotations

import pytest

from rekindle.api.account import fetch
from rekindle.domain.errors import RekindleError


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("garbage", "Invalid endpoint: garbage"),
        ("http://me:s3cret@127.0.0.1:port", "Port could not be cast"),
        ("http://me:s3cret@127.0.0.1:1", r"Could not connect to the endpoint URL: \"http://me:\*\*\*@127\.0\.0\.1:1/\""),
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_told(monkeypatch: pytest.MonkeyPatch, endpoint: str, told: str) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RekindleError, match=f"^--from-aws old: {told}.*AWS_ENDPOINT_URL") as caught:
        fetch("old", None, "us-east-1")
    assert "s3cret" not in str(caught.value)
