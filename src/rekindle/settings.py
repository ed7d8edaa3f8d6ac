"""The settings of this installation, read from the environment in this one place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import STOP_GRACE_SECONDS, Owner


@dataclass(frozen=True)
class Settings:
    """Everything that an installation may choose.

    ``home`` holds the database, the training jobs' folders and keys. ``database_url`` is SQLAlchemy's. ``limits``:
    ``aws`` enforces SageMaker's quotas, ``relaxed`` those of the machine only. ``environment`` is what training jobs inherit.
    """

    home: Path
    database_url: str
    limits: Literal["aws", "relaxed"] = "relaxed"
    account: str = "000000000000"
    region: str = "us-east-1"
    stop_grace_seconds: float = STOP_GRACE_SECONDS
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def runs(self) -> Path:
        """The folder that holds the training jobs' folders."""
        return self.home / "runs"

    @property
    def owner(self) -> Owner:
        """Whose jobs the command line's are."""
        return Owner(self.account, self.region)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from ``REKINDLE_*`` variables (of this process unless given). Raises InvalidValue, naming the variable."""
    environ = os.environ if environ is None else environ
    home = Path(environ.get("REKINDLE_HOME") or _default_home()).expanduser().absolute()
    return Settings(
        home=home,
        database_url=environ.get("REKINDLE_DATABASE_URL") or f"sqlite:///{home / 'rekindle.db'}",
        limits=_limits(environ.get("REKINDLE_LIMITS") or "relaxed"),
        account=_account(environ.get("REKINDLE_ACCOUNT") or "000000000000"),
        region=environ.get("REKINDLE_REGION") or "us-east-1",
        stop_grace_seconds=_seconds("REKINDLE_STOP_GRACE", environ.get("REKINDLE_STOP_GRACE") or str(STOP_GRACE_SECONDS)),
        environment=dict(environ),
    )


def _default_home() -> str:
    import platformdirs

    return platformdirs.user_data_dir("rekindle", appauthor=False)


def _limits(text: str) -> Literal["aws", "relaxed"]:
    if text == "aws":
        return "aws"
    if text == "relaxed":
        return "relaxed"
    raise InvalidValue("REKINDLE_LIMITS", text, "neither 'aws' nor 'relaxed'")


def _account(text: str) -> str:
    if len(text) == 12 and text.isascii() and text.isdigit():
        return text
    raise InvalidValue("REKINDLE_ACCOUNT", text, "an account is 12 digits")


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidValue(name, text, "not a number of seconds") from error
    if not 0 <= value < 1e9:
        raise InvalidValue(name, text, "must be from 0 to 1e9 seconds")
    return value
