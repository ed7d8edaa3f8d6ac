"""The installation that the commands work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rekindle.bootstrap import App
    from rekindle.domain.errors import NotFound


def open_app() -> App:
    """Opens the home folder and the store. Raises StoreUnavailable where that cannot be done."""
    from rekindle.bootstrap import build
    from rekindle.engine.ports import StoreUnavailable

    try:
        return build()
    except OSError as error:
        raise StoreUnavailable(f"{error.filename or 'the home folder'}: {error.strerror or error}") from error


def no_such_job(name: str) -> NotFound:
    """The error of a parent's name where there is no home folder yet."""
    from rekindle.domain.errors import NotFound
    from rekindle.settings import load_settings

    return NotFound("tuning job", name, close=f"There is no tuning job at all: no folder {str(load_settings().home)!r} yet.")


def app_if_there() -> App | None:
    """The installation, where its home folder is there and can be opened; None otherwise: makes no folder."""
    from rekindle.engine.ports import StoreUnavailable
    from rekindle.settings import load_settings

    try:
        return open_app() if load_settings().home.exists() else None
    except StoreUnavailable:
        return None
