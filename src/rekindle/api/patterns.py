"""Patterns of AWS's service models, which are Java regular expressions, as RE2: linear time, whatever a client sends.

RE2 lacks a few of Java's forms. ``translate`` rewrites those that the models use; what it cannot rewrite it refuses by
UnsupportedPattern, and a test holds that none of our operations has such a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import re2

#: RE2 takes no count beyond this.
_MAX_COUNT = 1000
#: Java's dot leaves out more line ends than RE2's.
_DOT = r"[^\n\r\x{85}\x{2028}\x{2029}]"
_POSIX = {
    "Alnum": "alnum",
    "Alpha": "alpha",
    "Digit": "digit",
    "Lower": "lower",
    "Upper": "upper",
    "Punct": "punct",
    "Space": "space",
}
_TOKEN = re.compile(
    r"""(?P<banned_end>\(\?<!(?:\\.|[^\\()\[\]])\)$)   # the last character must not be this one
      | (?P<look>\(\?(?!:).)                           # any other look-around or flag
      | (?P<count>\{\d+(?:,\d*)?\})
      | (?P<escape>\\(?:[pP]\{\w+\}|u[0-9A-Fa-f]{4}|.))
      | (?P<bracket>\[\^?)
      | (?P<dot>\.)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


class UnsupportedPattern(ValueError):
    """A pattern with a form that we cannot match in linear time."""


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern that must match a whole string."""

    source: str
    _compiled: Any
    #: A character that the string may not end with; None for no such rule.
    _banned_end: str | None

    def matches(self, text: str) -> bool:
        """Whether the pattern matches all of ``text``."""
        if self._banned_end is not None and text.endswith(self._banned_end):
            return False
        return self._compiled.fullmatch(text) is not None


@cache
def compiled(source: str) -> Pattern:
    """The pattern, compiled once; raises UnsupportedPattern."""
    translated, banned_end = translate(source)
    options = re2.Options()
    options.log_errors = False
    try:
        return Pattern(source, re2.compile(translated, options), banned_end)
    except re2.error as error:
        raise UnsupportedPattern(f"{source!r}: {error}") from None


def translate(source: str) -> tuple[str, str | None]:
    """RE2's form of a Java pattern, and the character that a match may not end with, if the pattern says so at its end."""
    parts: list[str] = []
    banned_end: str | None = None
    tokens = _TOKEN.finditer(source)
    for token in tokens:
        kind, text = token.lastgroup, token.group()
        if kind == "banned_end":
            banned_end = text[4:-1].removeprefix("\\")
        elif kind == "look":
            raise UnsupportedPattern(f"{source!r}: {text!r} is a form that cannot be matched in linear time")
        elif kind == "count":
            parts.append(_counted(source, parts.pop() if parts else "", text))
        elif kind == "bracket":
            parts.append(text + "".join(_class_parts(source, tokens)) + "]")
        else:
            parts.append(_DOT if kind == "dot" else _escape(text, in_class=False))
    return "".join(parts), banned_end


def _class_parts(source: str, tokens: Iterator[re.Match[str]]) -> Iterator[str]:
    """What stands in a class, up to its closing bracket, which it takes away."""
    for token in tokens:
        for text in _pieces(token):
            if text == "]":
                return
            yield _escape(text, in_class=True)
    raise UnsupportedPattern(f"{source!r}: a character class is not closed")


def _pieces(token: re.Match[str]) -> list[str]:
    """Inside a class only escapes are more than single characters."""
    return [token.group()] if token.lastgroup == "escape" else list(token.group())


def _escape(text: str, in_class: bool) -> str:
    if text[:3] in (r"\p{", r"\P{") and text[3:-1] in _POSIX:
        name = f"[:{'^' if text[1] == 'P' else ''}{_POSIX[text[3:-1]]}:]"
        return name if in_class else f"[{name}]"
    if text.startswith(r"\u"):
        return rf"\x{{{text[2:]}}}"
    if in_class and text == "[":
        return r"\["
    return text


def _counted(source: str, atom: str, count: str) -> str:
    """``atom{m,n}``, in pieces where a number is larger than RE2 takes."""
    low, comma, high = count[1:-1].partition(",")
    numbers = [int(number) for number in (low, high) if number]
    if max(numbers) <= _MAX_COUNT:
        return atom + count
    if atom in ("", ")") or (comma and not high):
        raise UnsupportedPattern(f"{source!r}: {count} repeats too often")
    least, most = numbers[0], numbers[-1]
    pieces: list[str] = []
    while most:
        upper = min(most, _MAX_COUNT)
        lower = min(least, upper)
        pieces.append(f"{atom}{{{lower},{upper}}}")
        least, most = least - lower, most - upper
    return "".join(pieces)
