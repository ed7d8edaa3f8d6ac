"""What text may hold, wherever it comes from and goes."""

from __future__ import annotations

import re

#: In a URL a token before the host, or a password behind a user's name (not a port behind the host; a database's may hold a
#: slash), and a password among the options.
_SECRETS = re.compile(r"(://[^/\s:\[]*:)(?!\d*(?:[/\s]|$))\S*(?=@)|(://)[^/\s:]*(?=@)|([?&](?:ssl)?password=)[^&\s]*")
#: Of what Python takes for a number: no underscores, no other scripts' digits.
_NUMBER = re.compile(r"\s*[-+]?([0-9.]+(e[-+]?[0-9]+)?|inf(inity)?|nan)\s*", re.IGNORECASE | re.ASCII)


def unwanted(text: str) -> str:
    """The first character that no file, environment or database can hold: NUL, or half of a surrogate pair; else empty."""
    return next((c for c in text if c == "\x00" or "\ud800" <= c <= "\udfff"), "")


def storable(text: str) -> str:
    """The text with a question mark for each character that no file, environment or database can hold."""
    return "".join("?" if unwanted(c) else c for c in text)


def number_of(text: str) -> float:
    """The number that a text spells, which may be infinite or none. Raises ValueError for any other text."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def without_secrets(text: str) -> str:
    """The text with what may be secret in its URLs hidden: a password, or a token that stands as the user."""
    return _SECRETS.sub(r"\1\2\3***", text)
