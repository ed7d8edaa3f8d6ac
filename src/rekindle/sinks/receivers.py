"""What users say of who is told of state changes: for each receiver a webhook or a file, and which events it wants."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rekindle.domain.errors import InvalidValue
from rekindle.domain.event_pattern import EventPattern, read_pattern
from rekindle.engine.event_ports import Sink
from rekindle.engine.paths import text_of_setting, with_home
from rekindle.engine.ports import Clock

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: What stands for a value that is nobody's business.
_HIDDEN = "..."


@dataclass(frozen=True)
class Receiver:
    """Somebody who is told: by ``webhook`` (a URL; ``secret`` is the key that signs what it is sent; empty: unsigned), or in
    ``file``. ``pattern`` says of which events; None: of all."""

    name: str
    webhook: str = field(default="", repr=False)
    secret: bytes = field(default=b"", repr=False)
    file: Path | None = None
    pattern: EventPattern | None = None

    def sink(self, clock: Clock) -> Sink:
        """The way to it."""
        # Imported when there is somebody to tell: TLS takes a command that tells nobody too long.
        if self.file is not None:
            from rekindle.sinks.file import EventFile

            return EventFile(self.file, self.name)
        from rekindle.sinks.webhook import Webhook

        return Webhook(self.webhook, self.secret, clock, self.name)


def load_receivers(path: Path, setting: str = "") -> tuple[Receiver, ...]:
    """The receivers of a file. Raises InvalidValue, naming file and entry or, where there is nothing to read, the setting that
    names the file, and showing neither URL nor secret."""
    import yaml

    try:
        entries = yaml.safe_load(text_of_setting(path, setting or path.name))
    # Beside YAML's own errors: a date that is none, an escape beyond Unicode, nesting without end.
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        # The sentence of the error quotes the file, which holds secrets.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InvalidValue(path.name, str(path), f"not YAML{where}") from None
    if not isinstance(entries, list | None):
        raise InvalidValue(path.name, _HIDDEN, "not a list of receivers", "Begin each with: - name: NAME")
    return tuple(_receiver(entry, f"{path.name}[{at}]", path.parent) for at, entry in enumerate(entries or (), start=1))


def distinct(receivers: Sequence[Receiver]) -> tuple[Receiver, ...]:
    """The same, if no two have one name: what each was told is kept under it. Raises InvalidValue."""
    seen: set[str] = set()
    for receiver in receivers:
        if receiver.name in seen:
            raise InvalidValue("events.name", receiver.name, "two receivers have this name", "Give one of them another.")
        seen.add(receiver.name)
    return tuple(receivers)


def read_url(place: str, text: str) -> str:
    """The URL as it is. An error does not repeat it: tokens stand in such URLs."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.fragment
        # As it will be asked for: a name with an empty part, or one that is too long, would be a defect each time.
        (parts.hostname or "").encode("idna")
    except ValueError:
        valid = False
    if valid and text.isascii() and text.isprintable() and " " not in text:
        return text
    raise InvalidValue(place, _HIDDEN, "not a URL of the form https://HOST[:PORT]/PATH")


def read_secret(place: str, text: str) -> bytes:
    """The key in a secret as Standard Webhooks writes it: ``whsec_`` and base64 of 24 to 64 bytes."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if text.startswith("whsec_") and 24 <= len(key) <= 64:
        return key
    way_out = 'Make one by: echo "whsec_$(openssl rand -base64 32)"'
    raise InvalidValue(place, _HIDDEN, "not whsec_ and base64 of 24 to 64 bytes", way_out)


def _receiver(entry: Any, place: str, folder: Path) -> Receiver:
    if not isinstance(entry, Mapping):
        raise InvalidValue(place, _HIDDEN, "not a group of settings", "Write: - name: NAME")
    if unknown := [name for name in entry if name not in _READERS]:
        raise InvalidValue(f"{place}.{unknown[0]}", _HIDDEN, f"not one of {', '.join(_READERS)}")
    if "name" not in entry:
        raise InvalidValue(f"{place}.name", None, "a name is needed, of your choice: `rekindle events` tells by it how it goes")
    if ("webhook" in entry) == ("file" in entry):
        raise InvalidValue(place, str(entry["name"]), "needs a webhook or a file, and not both")
    if "secret" in entry and "file" in entry:
        raise InvalidValue(f"{place}.secret", _HIDDEN, "this is for a webhook")
    return Receiver(**{name: _READERS[name](value, f"{place}.{name}", folder) for name, value in entry.items()})


def _name(value: Any, place: str, _folder: Path) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidValue(place, value, "not 1 to 63 letters, digits or characters of ._-, the first a letter or digit")
    return value


def _webhook(value: Any, place: str, _folder: Path) -> str:
    return read_url(place, value if isinstance(value, str) else "")


def _secret(value: Any, place: str, _folder: Path) -> bytes:
    return read_secret(place, value if isinstance(value, str) else "")


def _file(value: Any, place: str, folder: Path) -> Path:
    if not isinstance(value, str) or not value:
        raise InvalidValue(place, value, "not a path")
    return folder / with_home(value, place)


def _pattern(value: Any, place: str, _folder: Path) -> EventPattern:
    return read_pattern(value, place)


_READERS: Mapping[str, Callable[[Any, str, Path], Any]] = {
    "name": _name,
    "webhook": _webhook,
    "secret": _secret,
    "file": _file,
    "pattern": _pattern,
}
