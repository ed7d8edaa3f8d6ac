"""Where everything lies under the store's folder, and the few things that all its parts share.

```
<root>/<bucket>/...                 the objects: ordinary files
<root>/.rekindle/buckets/           one document for each bucket: owner, birth, region
<root>/.rekindle/metadata/<bucket>/ one document for each object
<root>/.rekindle/uploads/<bucket>/  multipart uploads under way
<root>/.rekindle/scratch/           unfinished files, renamed into their place when they are whole
<root>/.rekindle/locks/             lock files, empty
```
"""

from __future__ import annotations

import contextlib
import threading
import unicodedata
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from rekindle.s3.files import Scratch, locked, make_folders, read_json, remove_quietly, write_json
from rekindle.s3.names import Names

if TYPE_CHECKING:
    from rekindle.engine.ports import Clock

#: Not a legal bucket name, so it can never meet one.
HIDDEN = ".rekindle"
#: Buckets share this many locks.
LOCKS = 64
#: Two objects never get the same time of change; file systems keep at least microseconds.
STAMP_STEP_NS = 1000


class Stamps:
    """Times of change, each later than the one before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0

    def new(self) -> int:
        """The present in nanoseconds, or the least later time not given out yet."""
        with self._lock:
            now = int(self._clock.now() * 1e6) * 1000
            self._last = max(now, self._last + STAMP_STEP_NS)
            return self._last


class Layout:
    """The store's folder. Several processes may open the same one."""

    def __init__(self, root: Path, clock: Clock) -> None:
        make_folders(root)
        self.root = root.resolve()
        self.clock = clock
        self.stamps = Stamps(clock)
        self._hidden = self.root / HIDDEN
        make_folders(self._hidden / "locks")
        self.scratch = Scratch(self._hidden / "scratch")
        self.names = Names(folding=self._folding())

    def bucket(self, name: str) -> Path:
        """The folder of a bucket's objects."""
        return self.root / name

    def record(self, name: str) -> Path:
        """The document about a bucket."""
        return self._hidden / "buckets" / f"{name}.json"

    def metadata(self, name: str) -> Path:
        """The folder of the documents about a bucket's objects."""
        return self._hidden / "metadata" / name

    def uploads(self, name: str) -> Path:
        """The folder of a bucket's multipart uploads."""
        return self._hidden / "uploads" / name

    def locked(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold a bucket's lock: what is decided under it stays true while it is held."""
        return locked(self._hidden / "locks" / f"{zlib.crc32(name.encode()) % LOCKS:02x}")

    def _folding(self) -> bool:
        """Whether the file system folds names; found out once and kept, as the layout depends on it."""
        kept = read_json(self._hidden / "layout.json")
        if kept is None:
            kept = {"folding": self._probe()}
            write_json(self._hidden / "layout.json", self.scratch, kept)
        return bool(kept["folding"])

    def _probe(self) -> bool:
        probe = self.scratch.new().with_suffix(".probe\u00e9")
        probe.touch()
        twins = (probe.with_suffix(".PROBE\u00e9"), probe.with_suffix(unicodedata.normalize("NFD", probe.suffix)))
        folds = any(twin.exists() for twin in twins)
        remove_quietly(probe)
        return folds
