"""Who may call: key pairs, each of one account, in one private file.

``load_or_create`` gives the keys of a folder, making the first pair where there is none. ``Credentials`` is frozen; a
running server keeps the keys it started with.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rekindle.gateway.errors import CredentialsError
from rekindle.gateway.private_files import locked, write_whole

DEFAULT_ACCOUNT: Final = "000000000000"
FILE_NAME: Final = "credentials.json"

_LOCK = f".{FILE_NAME}.lock"
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
#: Ours are long; those of an object store of the user's own may be as short as that store takes them.
_ACCESS_KEY = re.compile(r"[!-~]{3,128}", re.ASCII)
_MIN_SECRET = 3


@dataclass(frozen=True)
class KeyPair:
    """An access key, its secret (never shown by ``repr``) and the 12-digit account that it acts for."""

    access_key: str
    secret_key: str = field(repr=False)
    account: str = DEFAULT_ACCOUNT

    def __post_init__(self) -> None:
        if not _ACCESS_KEY.fullmatch(self.access_key):
            raise CredentialsError(f"access key {self.access_key!r}: needs 3 to 128 printable characters")
        if len(self.secret_key) < _MIN_SECRET:
            raise CredentialsError(f"secret of access key {self.access_key!r}: needs at least {_MIN_SECRET} characters")
        if not _ACCOUNT.fullmatch(self.account):
            raise CredentialsError(f"account {self.account!r} of access key {self.access_key!r}: needs 12 digits")


@dataclass(frozen=True)
class Credentials:
    """The known key pairs, by access key."""

    pairs: Mapping[str, KeyPair] = field(repr=False)

    @classmethod
    def of(cls, *pairs: KeyPair) -> Credentials:
        """The given pairs; raises CredentialsError where two share an access key."""
        by_key = {pair.access_key: pair for pair in pairs}
        if len(by_key) != len(pairs):
            raise CredentialsError("an access key is listed twice.", "Each may act for one account only.")
        return cls(MappingProxyType(by_key))

    def with_first(self, pair: KeyPair) -> Credentials:
        """These and another pair before them, which takes the place of one with its access key."""
        others = [p for key, p in self.pairs.items() if key != pair.access_key]
        return Credentials.of(pair, *others)

    def find(self, access_key: str) -> KeyPair | None:
        """The pair of an access key, or None."""
        return self.pairs.get(access_key)

    def for_account(self, account: str) -> KeyPair | None:
        """The first pair that acts for an account, or None."""
        return next((pair for pair in self.pairs.values() if pair.account == account), None)

    @property
    def first(self) -> KeyPair:
        """The pair that was made first, whatever its account."""
        return next(iter(self.pairs.values()))


def new_pair(account: str = DEFAULT_ACCOUNT) -> KeyPair:
    """A fresh random pair: 60 bits of name, 240 bits of secret. The prefix says at a glance that it is no AWS key. Raises
    CredentialsError for what is no account."""
    if not _ACCOUNT.fullmatch(account):
        raise CredentialsError(f"account {account!r}: needs 12 digits.", f"Write all twelve, such as {DEFAULT_ACCOUNT}.")
    name = base64.b32encode(secrets.token_bytes(8)).decode("ascii")[:12]
    return KeyPair(f"REKINDLE{name}", secrets.token_urlsafe(30), account)


def load_or_create(folder: Path, account: str = DEFAULT_ACCOUNT) -> Credentials:
    """The keys stored in ``folder``; where none of them acts for ``account``, one is made and stored (mode 0600).

    Processes that start at once agree: one makes the pair, all read the same file. Raises CredentialsError where the file
    is damaged or readable by others.
    """
    credentials = _stored(folder)
    if credentials.for_account(account) is None:
        with locked(folder, _LOCK):
            credentials = _stored(folder)
            if credentials.for_account(account) is None:
                _write(folder / FILE_NAME, [*credentials.pairs.values(), new_pair(account)])
                credentials = _stored(folder)
    return credentials


def _stored(folder: Path) -> Credentials:
    path = folder / FILE_NAME
    return Credentials.of(*_read(path)) if path.exists() else Credentials.of()


def add_pair(folder: Path, account: str) -> KeyPair:
    """Makes and stores one more pair, for the same account or another; a running server must be restarted to know it."""
    with locked(folder, _LOCK):
        pair = new_pair(account)
        _write(folder / FILE_NAME, [*_stored(folder).pairs.values(), pair])
    return pair


def _write(path: Path, pairs: Sequence[KeyPair]) -> None:
    write_whole(path, json.dumps({"keys": [_to_json(pair) for pair in pairs]}, indent=2).encode(), 0o600)


def _read(path: Path) -> list[KeyPair]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise CredentialsError(f"{path}: mode {mode:04o} lets others read the secrets.", f"Run: chmod 600 {path}")
    try:
        pairs = [_from_json(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        way_out = "Restore it, or delete it to have a new pair made."
        raise CredentialsError(f"{path}: not a key file ({error}).", way_out) from None
    if not pairs:
        raise CredentialsError(f"{path}: holds no key.", "Delete it to have a new pair made.")
    return pairs


def _to_json(pair: KeyPair) -> dict[str, str]:
    return {"access_key_id": pair.access_key, "secret_access_key": pair.secret_key, "account": pair.account}


def _from_json(entry: Mapping[str, Any]) -> KeyPair:
    return KeyPair(str(entry["access_key_id"]), str(entry["secret_access_key"]), str(entry["account"]))
