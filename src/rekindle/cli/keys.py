"""Who may call ``rekindle serve``: ``keys list``, ``keys add``."""

from __future__ import annotations

from typing import Annotated

import typer

from rekindle.cli.options import JsonOption

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account: 12 digits.", show_default=False)]


def build_keys(epilog: str) -> typer.Typer:
    """The group of commands ``keys``."""
    group = typer.Typer(help="The key pairs that `rekindle serve` knows, each of one account.")
    for name, command in (("list", list_keys), ("add", add_key)):
        group.command(name, epilog=epilog)(command)
    return group


def list_keys(as_json: JsonOption = False) -> None:
    """List the access keys and the account of each; secrets are not shown."""
    from rekindle.cli.printing import show, table, write_json
    from rekindle.gateway.credentials import load_or_create
    from rekindle.settings import load_settings

    settings = load_settings()
    pairs = load_or_create(settings.home, settings.account).pairs.values()
    if as_json:
        write_json([{"access_key": pair.access_key, "account": pair.account} for pair in pairs])
        return
    show(table(["access key", "account"], [[pair.access_key, pair.account] for pair in pairs]))


def add_key(account: AccountArgument, as_json: JsonOption = False) -> None:
    """Make a key pair for an account, old or new, and print it as variables. A running server knows it after a restart."""
    from rekindle.cli.printing import write_json
    from rekindle.gateway.credentials import add_pair, load_or_create
    from rekindle.settings import load_settings

    settings = load_settings()
    # The installation's own pair comes first, whoever else is let in.
    load_or_create(settings.home, settings.account)
    pair = add_pair(settings.home, account)
    if as_json:
        write_json({"access_key": pair.access_key, "secret_key": pair.secret_key, "account": pair.account})
        return
    typer.echo(f"export AWS_ACCESS_KEY_ID={pair.access_key}")
    typer.echo(f"export AWS_SECRET_ACCESS_KEY={pair.secret_key}")
    typer.echo(f"for account {pair.account}; restart `rekindle serve` if it runs, so that it knows the key", err=True)
