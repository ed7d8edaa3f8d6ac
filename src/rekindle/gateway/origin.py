"""Whether a request may come from where it says: against pages that make a browser call us, and DNS rebinding.

A page of another site can make the browser send requests here, and can point its own name at our address. So the Host must
be a name that only we can have, and an Origin, which browsers send and SDKs do not, must be ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from rekindle.gateway.aws_names import is_aws
from rekindle.gateway.canonical import WireRequest
from rekindle.gateway.refusal import Reason, Refusal


def check_host(request: WireRequest, configured: Collection[str]) -> str:
    """The host name, when it is an address, a loopback name, an AWS name or a configured one, or under one."""
    host = host_name(request.header("host") or "")
    if is_address(host) or host == "localhost" or host.endswith(".localhost") or is_aws(host):
        return host
    if any(host == name or host.endswith(f".{name}") for name in configured):
        return host
    if not host:
        raise Refusal(Reason.HOST, "The request names no host. Send a Host header with this server's name or address.")
    raise Refusal(
        Reason.HOST,
        f"The Host '{host[:255]}' is not one of this server. Add it to REKINDLE_HOSTS and restart the server if it should be.",
    )


def check_origin(request: WireRequest, scheme: str, configured: Collection[str]) -> None:
    """No Origin, our own, or a configured one."""
    origins = {value.decode("latin-1").strip().lower() for value in request.values("origin")}
    ours = {f"{scheme}://{(request.header('host') or '').lower()}", *configured}
    strange = sorted(origins - ours)
    if strange:
        way_out = "Add it to REKINDLE_ORIGINS and restart the server if it should be."
        sentence = f"The Origin '{strange[0][:255]}' is not allowed. {way_out}"
        raise Refusal(Reason.ORIGIN, sentence)


def check_same_site(request: WireRequest) -> None:
    """Not sent by a browser for a page of another site: what is left to rely on where no signature is asked for."""
    if request.header("sec-fetch-site") not in (None, "same-origin", "none"):
        raise Refusal(
            Reason.ORIGIN, "A page of another site made the browser send this request; it is not served without a signature."
        )


def host_name(host: str) -> str:
    """A Host header without its port, in lower case, without a final dot."""
    name = host.strip().lower()
    if name.startswith("["):
        address, closed, _ = name[1:].partition("]")
        return address if closed else ""
    return name.partition(":")[0].rstrip(".")


def is_address(host: str) -> bool:
    """Whether the name is an IP address, which nobody else's name can be."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether the name or address is this machine's own loopback."""
    if not is_address(host):
        return host == "localhost"
    address = ipaddress.ip_address(host)
    # How a client of IPv4 shows on a socket of IPv6, which older Pythons do not look through.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
