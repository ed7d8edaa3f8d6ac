"""A command in the environment of a running server: ``run``."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from rekindle.cli.problems import ExitCode

#: Options after the command's name are the command's own.
CONTEXT = {"allow_interspersed_args": False}
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="The command and its arguments.", show_default=False)
    ],
) -> None:
    """Run a command that finds SageMaker here: a script, `jupyter lab`, a shell. Its exit code is the command's."""
    from rekindle.gateway.tls import TlsError
    from rekindle.serving import UNSET, UNSET_FOR_PROXY, announced, proxied_environment
    from rekindle.settings import load_settings

    settings = load_settings()
    address = announced(settings)
    if not address.answers():
        typer.echo(f"error: no server answers at {address.url}; start one in another terminal: rekindle serve", err=True)
        raise typer.Exit(ExitCode.UNREACHABLE)
    try:
        variables = proxied_environment(settings, address)
    except TlsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(ExitCode.BAD_INPUT) from error
    kept = {name: value for name, value in settings.environment.items() if name not in (*UNSET, *UNSET_FOR_PROXY)}
    _become(command, kept | variables)


def _become(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Turns this process into the command, so that signals and the exit code are its own."""
    import os

    try:
        os.execvpe(command[0], command, environment)  # noqa: S606
    except OSError as error:
        typer.echo(f"error: command: {command[0]!r}: cannot be run ({error.strerror})", err=True)
        raise typer.Exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE) from error
