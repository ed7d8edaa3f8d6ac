"""Every error that Rekindle raises for a reason that a user can mend.

::

    RekindleError         (also the root of what single rooms add: a job file's errors, the gateway's)
    ├── InvalidValue      a field holds what it may not (what validation refuses)
    ├── NotFound          a named thing does not exist
    ├── NameInUse         a name is taken
    ├── WrongState        the thing is there, but not in a state for this
    ├── LimitExceeded     a quota of the service
    └── Unsupported       a legal request for something that this installation cannot do
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager


class WithHint(Exception):
    """An error for people: ``message`` is one line that says what is wrong; ``hint`` says the way out, where there is one."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message.rstrip('.')}. {self.hint}" if self.hint else self.message


class RekindleError(WithHint):
    """The root."""


class InvalidValue(RekindleError):
    """``field`` (a path such as ``ranges.C.min``) holds ``value``, which breaks a rule; None where nothing is given at all.

    ``code`` names the rule for faces that have a sentence of their own for it; ``facts`` are what that sentence needs.
    """

    def __init__(self, field: str, value: object, reason: str, hint: str = "", code: str = "", **facts: object) -> None:
        #: What is wrong, for a face that spells the field in its own way.
        self.finding = reason if value is None else f"{shown(value)}: {reason}"
        super().__init__(f"{field}: {self.finding}", hint)
        self.field = field
        self.value = value
        self.reason = reason
        self.code = code
        self.facts = facts

    def inside(self, where: str) -> InvalidValue:
        """The same error of a field further in."""
        return InvalidValue(f"{where}{self.field}", self.value, self.reason, self.hint, self.code, **self.facts)


class NotFound(RekindleError):
    """There is no ``kind`` (``tuning job``, ``training job``) called ``name``; ``close`` is a sentence that tells what was
    probably meant, where that is known."""

    def __init__(self, kind: str, name: str, hint: str = "", close: str = "") -> None:
        super().__init__(f"there is no {kind} called {shown(name)}.", f"{hint} {close}".strip())
        self.kind = kind
        self.name = name
        self.close = close


class NameInUse(RekindleError):
    """A ``kind`` called ``name`` exists already; names differ by more than case."""

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        super().__init__(f"a {kind} called {shown(name)} exists already.", hint)
        self.kind = kind
        self.name = name


class WrongState(RekindleError):
    """``name`` is in ``state``, in which what was asked cannot be done."""

    def __init__(self, kind: str, name: str, state: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind
        self.name = name
        self.state = state


class LimitExceeded(RekindleError):
    """More than a quota allows: ``limit`` names it, ``allowed`` and ``asked`` are counts; ``used`` of those asked for are
    there already. ``field`` is where it was asked for, if in one place."""

    def __init__(self, limit: str, allowed: int, asked: int, hint: str = "", used: int = 0, field: str = "") -> None:
        super().__init__(f"{limit}: {shown(asked)}: the limit is {allowed}.", hint)
        self.limit = limit
        self.allowed = allowed
        self.asked = asked
        self.used = used
        self.field = field

    def inside(self, where: str) -> LimitExceeded:
        """The same error of a field further in."""
        return LimitExceeded(self.limit, self.allowed, self.asked, self.hint, self.used, f"{where}{self.field}")


class Unsupported(RekindleError):
    """A legal request for something that this installation cannot do; the message says what to configure. ``field`` is the
    path of the field that asks for it, as in InvalidValue; empty where there is none."""

    def __init__(self, message: str, hint: str = "", field: str = "") -> None:
        super().__init__(message, hint)
        self.field = field

    def inside(self, where: str) -> Unsupported:
        """The same error of a field further in; a message about a field begins with it."""
        return Unsupported(f"{where}{self.message}", self.hint, f"{where}{self.field}" if self.field else "")


@contextmanager
def within(where: str) -> Iterator[None]:
    """What is refused inside is told with the names of fields from ``where`` on; empty: as it is."""
    try:
        yield
    except (InvalidValue, LimitExceeded, Unsupported) as error:
        if not where:
            raise
        raise error.inside(where) from error


def shown(value: object, most: int = 80) -> str:
    """``value`` as it stands in an error: quoted, on one line, cut to ``most`` characters."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def first_of(names: Sequence[str]) -> str:
    """The first five of ``names`` as they stand in an error, with dots where there are more."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def did_you_mean(word: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """A question naming the closest known word, or what ``elsewhere`` has for the closest of its words; else empty."""
    plain = {plain_word(w): meant for w, meant in (elsewhere or {}).items()} | {plain_word(k): k for k in known}
    close = difflib.get_close_matches(plain_word(word[:100]), plain, n=1, cutoff=0.6)
    return f"Did you mean {plain[close[0]]!r}?" if close else ""


def plain_word(word: str) -> str:
    """A word without what people write differently: case, hyphens, underscores and spaces."""
    return word.lower().replace("-", "").replace("_", "").replace(" ", "")
