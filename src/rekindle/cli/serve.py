"""SageMaker's API on this machine: ``serve``, ``env``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rekindle.cli.options import JsonOption, whole_number
from rekindle.cli.printing import complain, write_json

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from rekindle.domain.errors import InvalidValue
    from rekindle.serving import Address
    from rekindle.settings import Settings

#: The first file descriptor that a service manager hands over.
_FIRST_FD: Final = 3

HostOption = Annotated[str | None, typer.Option("--host", help="The address to listen on.", show_default="127.0.0.1")]
_port = partial(typer.Option, "--port", parser=whole_number("--port", 1, 65535), metavar="PORT", help="The port.")
PortOption = Annotated[int | None, _port(show_default="8421")]
_ANNOUNCED: Final = "what the running server has announced"
ProxyPortOption = Annotated[
    int | None,
    typer.Option(
        "--proxy-port",
        parser=whole_number("--proxy-port", 1, 65535),
        metavar="PORT",
        help="The HTTPS proxy's port.",
        show_default="the port plus 1",
    ),
]


def serve(
    host: HostOption = None,
    port: PortOption = None,
    proxy_port: ProxyPortOption = None,
    insecure_no_auth: Annotated[
        bool, typer.Option("--insecure-no-auth", help="Ask for no signature. For tests; on loopback only.")
    ] = False,
) -> None:
    """Serve SageMaker's API, its companions and S3 on one port, and run the jobs. Ctrl-C ends it; training jobs go on."""
    import uvicorn

    from rekindle.bootstrap import make_home
    from rekindle.cli.beside import worker_beside
    from rekindle.cli.follow import Interrupt
    from rekindle.cli.logging import log_to_stderr
    from rekindle.gateway.connection import Connection
    from rekindle.serving import announcing, build_proxy, build_server
    from rekindle.settings import load_settings

    settings = load_settings()
    handed = _handed_over(settings.environment)
    if handed:
        address, bound, proxy_socket = _taken(handed, host, port, proxy_port)
    else:
        address, bound, proxy_socket = _chosen(settings, host, port, proxy_port)
    log_to_stderr()
    with bound, proxy_socket:
        make_home(settings)
        worker = worker_beside(address)
        server = build_server(settings, address, insecure=insecure_no_auth, worker_runs=worker.runs)
        proxy = build_proxy(settings, address)
        config = uvicorn.Config(
            server.asgi,
            http=Connection,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        http = uvicorn.Server(config)
        # Interrupt takes the signal that uvicorn raises once more when it is done, so that the worker ends cleanly too, and one
        # that comes before uvicorn takes them itself.
        interrupt = Interrupt(partial(setattr, http, "should_exit", True))
        listen = partial(_listen, "--port", address.host, address.port, bound)
        with announcing(settings, address, listen) as elder, interrupt, worker, proxy.serving(proxy_socket):
            _say_ready(address, settings.home.as_posix(), elder)
            http.run([bound])
    complain("stopped; training jobs that run go on, and the next start finds them")


def env(
    host: Annotated[str | None, typer.Option("--host", help="The server's address.", show_default=_ANNOUNCED)] = None,
    port: Annotated[int | None, _port(show_default=_ANNOUNCED)] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also the HTTPS proxy, for SDKs that build AWS's URLs themselves."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the variables that point AWS clients here: eval "$(rekindle env)"."""
    import shlex
    from dataclasses import replace

    from rekindle.cli.run import warn_of_a_stranger
    from rekindle.domain.errors import InvalidValue
    from rekindle.serving import UNSET, UNSET_FOR_PROXY, announced, client_environment, proxied_environment
    from rekindle.settings import is_endpoint, load_settings

    settings = load_settings()
    there = announced(settings)
    if host is None and port is None:
        warn_of_a_stranger(settings, there)
    there = replace(there, host=host or there.host, port=port or there.port)
    if host is not None and not is_endpoint(there.url.lower()):
        way_out = "Write it alone, without http:// and a port, which --port names."
        raise InvalidValue("--host", host, "neither a host's name nor an address", way_out)
    variables = (proxied_environment if everything else client_environment)(settings, there)
    if as_json:
        write_json(variables)
        return
    typer.echo(f"unset {' '.join((*UNSET, *UNSET_FOR_PROXY) if everything else UNSET)}")
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _handed_over(environ: Mapping[str, str]) -> list[socket.socket]:
    """The sockets on which a service manager listens for us (systemd's protocol): while we restart, clients wait there and are
    not refused. The first is the port's, the second, if there is one, the HTTPS proxy's."""
    import os
    import socket

    from rekindle.domain.errors import InvalidValue

    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environ.get("LISTEN_FDS", "")
    if count not in ("1", "2"):
        raise InvalidValue("LISTEN_FDS", count, "not one socket or two", "Give ListenStream= for the port, and for the proxy.")
    sockets = [socket.socket(fileno=_FIRST_FD + number) for number in range(int(count))]
    for taken in sockets:
        taken.set_inheritable(False)
        if taken.family not in (socket.AF_INET, socket.AF_INET6) or taken.type != socket.SOCK_STREAM:
            raise InvalidValue("LISTEN_FDS", count, "not a TCP socket", "Write ListenStream=127.0.0.1:8421.")
    return sockets


def _taken(
    sockets: list[socket.socket], host: str | None, port: int | None, proxy_port: int | None
) -> tuple[Address, socket.socket, socket.socket]:
    """Where the sockets that were handed over listen, the first of them, and the proxy's. Raises InvalidValue where the command
    says otherwise."""
    from rekindle.domain.errors import InvalidValue
    from rekindle.serving import Address

    found = sockets[0].getsockname()
    for name, asked, given in (("--host", host, found[0]), ("--port", port, found[1])):
        if asked not in (None, given):
            raise InvalidValue(name, asked, f"the socket that was handed over is at {given}", f"Leave {name} out.")
    proxy = sockets[1] if len(sockets) > 1 else _proxy_socket(found[0], found[1], proxy_port)
    return Address(found[0], found[1], proxy.getsockname()[1]), sockets[0], proxy


def _chosen(
    settings: Settings, host: str | None, port: int | None, proxy_port: int | None
) -> tuple[Address, socket.socket, socket.socket]:
    """Where to listen, a socket that is bound there and does not listen yet, and the proxy's."""
    from rekindle.domain.errors import InvalidValue
    from rekindle.serving import DEFAULT_HOST, DEFAULT_PORT, Address

    host, port = host or DEFAULT_HOST, port or DEFAULT_PORT
    bound = _bound("--port", host, port, settings)
    try:
        proxy = _proxy_socket(host, port, proxy_port)
    except InvalidValue:
        bound.close()
        raise
    return Address(host, port, proxy.getsockname()[1]), bound, proxy


def _proxy_socket(host: str, port: int, proxy_port: int | None) -> socket.socket:
    """A port for the proxy that nobody asked for by its number may be taken: then another does."""
    from rekindle.domain.errors import InvalidValue

    if proxy_port == port:
        raise InvalidValue("--proxy-port", port, "the API listens there", "Choose another, or leave it out.")
    try:
        return _listening("--proxy-port", host, proxy_port or port % 65535 + 1)
    except InvalidValue:
        if proxy_port is not None:
            raise
        return _listening("--proxy-port", host, 0)


def _listening(name: str, host: str, port: int) -> socket.socket:
    listening = _bound(name, host, port)
    _listen(name, host, port, listening)
    return listening


def _bound(name: str, host: str, port: int, settings: Settings | None = None) -> socket.socket:
    """A socket at a port where nobody listens; until it does, others may bind the port as well. Raises InvalidValue, which says
    whether it is a server of the home in the ``settings`` that listens there."""
    import socket

    from rekindle.serving import is_served

    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if bound.family == socket.AF_INET6:
        # "::" is every address, those of IPv4 too: `rekindle env` names one of these.
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        listener = f"the server of {settings.home}" if settings and is_served(settings, port) else "the other server"
        raise _refusal(name, host, port, error, listener) from error
    return bound


def _listen(name: str, host: str, port: int, bound: socket.socket) -> None:
    """Listens on a bound socket; one that was handed over does so already. Raises InvalidValue where another was faster."""
    try:
        bound.listen()
    except OSError as error:
        bound.close()
        raise _refusal(name, host, port, error) from error


def _refusal(name: str, host: str, port: int, error: OSError, listener: str = "the other server") -> InvalidValue:
    import errno
    import socket

    from rekindle.domain.errors import InvalidValue

    reason = f"cannot listen there ({error.strerror})"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return InvalidValue("--host", host, reason, "Give --host an address of this machine.")
    if error.errno != errno.EADDRINUSE:
        return InvalidValue(name, port, reason, f"Choose another by {name}, or run it as a user who may.")
    return InvalidValue(name, port, reason, f"Choose another by {name}, or end {listener}.")


def _say_ready(address: Address, home: str, elder: Address | None) -> None:
    typer.echo(f"rekindle serves SageMaker's API at {address.url}; its home is {home}", err=True)
    if elder is not None:
        points = "`rekindle env` and `run` point there until it ends, and then here"
        typer.echo(f"  another server of this home listens at {elder.url}: {points}", err=True)
        return
    typer.echo('  eval "$(rekindle env)"     in another terminal points boto3, the aws CLI and the SDKs here', err=True)
    typer.echo(
        f"  rekindle run -- COMMAND    runs a script or a notebook here as it is (HTTPS proxy: {address.proxy_url})", err=True
    )
