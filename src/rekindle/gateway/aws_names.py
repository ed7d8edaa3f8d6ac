"""The host names that are AWS's own."""

from __future__ import annotations

from typing import Final

#: What they end with.
AWS_DOMAINS: Final = ("amazonaws.com", "amazonaws.com.cn", "api.aws")


def is_aws(host: str) -> bool:
    """Whether a host name (in lower case) is one of AWS's own."""
    return host.endswith(tuple(f".{domain}" for domain in AWS_DOMAINS))
