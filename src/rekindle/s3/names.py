"""Keys and bucket names, and the file names that stand for them.

A key becomes the natural path wherever a file system allows it: `data/train.csv` is the file `train.csv` in the folder
`data`. What no file system can hold is written with `%`:

=====================================  ==================================================
in the key                             in the folder
=====================================  ==================================================
an empty segment (`a//b`, `a/`)        `%`
the segments `.` and `..`              `%2e` and `%2e%2e`
control characters                     `%` and two lower-case hex digits
a `%` that would read as an escape     `%25`
a segment of more than 240 bytes       pieces; every piece but the last is a folder ending in `%-`
`a` while there is an `a/b`            `a%=`, because `a` is a folder
=====================================  ==================================================

On a file system that folds case or Unicode forms, capital letters and letters beyond ASCII are escaped as well.
The mapping is one to one, and no path it makes has a `..` or a leading `/`: a key can never leave its bucket's folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rekindle.domain.object_names import MAX_KEY_BYTES
from rekindle.s3.errors import S3Error

#: Longest file name we make, in bytes; file systems allow 255, and the marks below need room.
MAX_NAME_BYTES = 240
#: Ends the name of a folder that holds the rest of a long segment.
CONTINUED = "%-"
#: Ends the name of a file whose natural name is taken by a folder.
DISPLACED = "%="
#: Stands for an empty segment.
EMPTY = "%"

_ALWAYS = r"[\x00-\x1f\x7f]|%(?=[0-9a-f]{2}|[-=])"
_UNSAFE = re.compile(_ALWAYS)
_UNSAFE_WHEN_FOLDING = re.compile(_ALWAYS + r"|[A-Z]|[^\x00-\x7f]")
_ESCAPES = re.compile(r"(?:%[0-9a-f]{2})+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_RESERVED_STARTS = ("xn--", "sthree-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_bucket_name(name: str) -> None:
    """Refuse what AWS refuses as the name of a general purpose bucket."""
    legal = _BUCKET.fullmatch(name) and ".." not in name and not _ADDRESS.fullmatch(name)
    if not legal or name.startswith(_RESERVED_STARTS) or name.endswith(_RESERVED_ENDS):
        raise S3Error("InvalidBucketName", BucketName=name)


def check_key(key: str) -> None:
    """Refuse a key that is longer than S3 allows."""
    size = len(key.encode())
    if size > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError", Size=str(size), MaxSizeAllowed=str(MAX_KEY_BYTES))


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02x}" for byte in match.group().encode())


def _unescape(match: re.Match[str]) -> str:
    return bytes.fromhex(match.group().replace("%", "")).decode()


def _pieces(name: str) -> list[str]:
    """Cut a long name into pieces of about equal length, so that none can be `.`, `..` or empty."""
    raw = name.encode()
    count = -(-len(raw) // MAX_NAME_BYTES)
    cuts = [len(raw) * i // count for i in range(count + 1)]
    for i, cut in enumerate(cuts[1:-1], start=1):
        while raw[cut] & 0xC0 == 0x80:
            cut -= 1
        cuts[i] = cut
    return [raw[a:b].decode() for a, b in pairwise(cuts)]


@dataclass(frozen=True)
class Names:
    """The mapping, for a file system that keeps names as they are or (`folding`) for one that folds them."""

    folding: bool = False

    def segment(self, text: str) -> list[str]:
        """The file names, outer to inner, that stand for one segment of a key."""
        if text == "":
            return [EMPTY]
        if text in (EMPTY, ".", ".."):
            return ["".join(f"%{ord(c):02x}" for c in text)]
        name = (_UNSAFE_WHEN_FOLDING if self.folding else _UNSAFE).sub(_escape, text)
        if len(name.encode()) <= MAX_NAME_BYTES:
            return [name]
        *outer, last = _pieces(name)
        return [piece + CONTINUED for piece in outer] + [last]

    def path(self, key: str) -> tuple[str, ...]:
        """The natural path of a key, relative to its bucket's folder."""
        return tuple(name for text in key.split("/") for name in self.segment(text))

    def displaced(self, key: str) -> tuple[str, ...]:
        """Where the object lies while its natural path is a folder."""
        *folders, last = self.path(key)
        return (*folders, last + DISPLACED)

    def folder(self, prefix: str) -> tuple[str, ...]:
        """The folder of all keys that start with `prefix`, which is empty or ends with a slash."""
        return self.path(prefix[:-1]) if prefix else ()

    def text(self, names: Sequence[str]) -> str | None:
        """The segment that these names stand for (without marks); None when a key would not be stored under them."""
        joined = "".join(names)
        if joined == EMPTY:
            return ""
        try:
            text = _ESCAPES.sub(_unescape, joined)
            return text if [name.removesuffix(CONTINUED) for name in self.segment(text)] == list(names) else None
        except UnicodeError:
            return None
