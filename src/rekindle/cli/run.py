"""A command in the environment of a running server: ``run``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from rekindle.cli.printing import complain
from rekindle.cli.problems import ExitCode

if TYPE_CHECKING:
    from rekindle.serving import Address
    from rekindle.settings import Settings

#: Options after the command's name are the command's own.
CONTEXT = {"allow_interspersed_args": False}
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
#: Seconds that a server may take to start, and to answer who has connected.
_PATIENCE, _SILENCE = 60.0, 10.0


def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="The command and its arguments.")],
    serve: Annotated[
        bool, typer.Option("--serve", help="Where no server runs, start one for as long as the command takes.")
    ] = False,
) -> None:
    """Run a command that finds SageMaker here: a script, `jupyter lab`, a shell. Its exit code is the command's."""
    from rekindle.serving import UNSET, UNSET_FOR_PROXY, announced, proxied_environment
    from rekindle.settings import load_settings

    settings = load_settings()
    address = announced(settings)
    running = address.answers()
    if not running and not serve:
        complain(f"error: no server answers at {address.url}; start one in another terminal: rekindle serve")
        raise typer.Exit(ExitCode.UNREACHABLE)
    if running and _is_a_stranger(settings, address):
        _say_who_listens(settings, address, serve)
    with contextlib.nullcontext() if running else _server(settings, address):
        variables = proxied_environment(settings, announced(settings))
        kept = {name: value for name, value in settings.environment.items() if name not in (*UNSET, *UNSET_FOR_PROXY)}
        if running:
            _become(command, kept | variables)
        raise typer.Exit(_follow(command, kept | variables))


def warn_of_a_stranger(settings: Settings, address: Address) -> None:
    """Says so where somebody listens there who is no server of this home."""
    if address.answers() and _is_a_stranger(settings, address):
        _say_who_listens(settings, address, serve=False)


def _is_a_stranger(settings: Settings, address: Address) -> bool:
    """Whether whoever listens there is no server of this home. One that a service manager starts when somebody connects is
    waited for."""
    import http.client

    from rekindle.serving import is_served

    if is_served(settings, address.port):
        return False
    asking = http.client.HTTPConnection(address.reached_at, address.port, timeout=_SILENCE)
    with contextlib.closing(asking), contextlib.suppress(OSError, http.client.HTTPException):
        asking.request("GET", "/healthz")
        asking.getresponse().read()
    return not is_served(settings, address.port)


def _say_who_listens(settings: Settings, address: Address, serve: bool) -> None:
    """A server of another login's, say, knows none of our keys; one that is reached through a tunnel may."""
    told = f"what listens at {address.url} is no server of {settings.home} on this machine"
    if serve:
        complain(f"error: {told}. End it, or leave --serve out and start one elsewhere: rekindle serve --port PORT")
        raise typer.Exit(ExitCode.UNREACHABLE)
    complain(f"warning: {told}; where it knows no key of yours, start one elsewhere: rekindle serve --port PORT")


@contextlib.contextmanager
def _server(settings: Settings, address: Address) -> Iterator[None]:
    """A server of our own; it ends with us, and training jobs that run then go on."""
    import subprocess
    import sys

    from rekindle.bootstrap import make_home
    from rekindle.engine.clock import SystemClock
    from rekindle.serving import announced

    clock = SystemClock()
    make_home(settings)
    argv = [sys.executable, "-m", "rekindle.cli.main", "serve", "--host", address.host, "--port", str(address.port)]
    # In a session of its own, where no Ctrl-C that is meant for the command reaches it.
    with (settings.home / "serve.log").open("wb") as log:
        server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = clock.now() + _PATIENCE
    try:
        while not announced(settings).answers():
            if server.poll() is not None or clock.now() > deadline:
                complain(f"error: the server did not start; it says why in {settings.home / 'serve.log'}")
                raise typer.Exit(ExitCode.UNREACHABLE)
            clock.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait()


def _become(command: list[str], environment: dict[str, str]) -> None:
    """Turns this process into the command, so that signals and the exit code are its own."""
    import os

    with _told(command):
        os.execvpe(command[0], command, environment)  # noqa: S606


def _follow(command: list[str], environment: dict[str, str]) -> int:
    """Runs the command beside us; its exit code, 128 and the signal's number for one that a signal ended."""
    import signal
    import subprocess

    with _told(command):
        process = subprocess.Popen(command, env=environment)
    # The terminal sends Ctrl-C to the command as well, and what it makes of it is its business.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _told(command: list[str]) -> Iterator[None]:
    """Says in one line why a command cannot be run."""
    try:
        yield
    except OSError as error:
        complain(f"error: command: {command[0]!r}: cannot be run ({error.strerror})")
        raise typer.Exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE) from error
