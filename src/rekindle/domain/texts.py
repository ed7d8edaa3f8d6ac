"""What text may hold, wherever it comes from and goes."""

from __future__ import annotations


def unwanted(text: str) -> str:
    """The first character that no file, environment or database can hold: NUL, or half of a surrogate pair; else empty."""
    return next((c for c in text if c == "\x00" or "\ud800" <= c <= "\udfff"), "")


def storable(text: str) -> str:
    """The text with a question mark for each character that no file, environment or database can hold."""
    return "".join("?" if unwanted(c) else c for c in text)
