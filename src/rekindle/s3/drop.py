"""A new file under construction."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

#: Written data is forced to disk this often, so that the last flush of a large upload is not long.
SYNC_EVERY_BYTES = 128 << 20
#: Files are read and written in blocks of this size: it bounds the memory of one request.
BLOCK_BYTES = 1 << 20


class Drop:
    """A new file under construction: written in pieces, durable when finished, gone when abandoned."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("xb")
        self._unsynced = 0

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._sync_at_times(len(data))

    def append(self, path: Path) -> None:
        """Append the content of another file, inside the kernel where it can."""
        self._file.flush()
        with path.open("rb") as source:
            left = os.fstat(source.fileno()).st_size
            while left:
                moved = _copy(source, self._file, min(left, SYNC_EVERY_BYTES))
                left -= moved
                self._sync_at_times(moved)

    def _sync_at_times(self, written: int) -> None:
        self._unsynced += written
        if self._unsynced >= SYNC_EVERY_BYTES:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._unsynced = 0

    def finish(self, mtime_ns: int) -> None:
        """Give the file its time of change and make it durable."""
        self._file.flush()
        os.utime(self._file.fileno(), ns=(mtime_ns, mtime_ns))
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Remove the file, wherever its construction stands."""
        try:
            # On a full disk this fails once more over what is still buffered, and closes it all the same.
            with contextlib.suppress(OSError):
                self._file.close()
        finally:
            self.path.unlink(missing_ok=True)


def _copy(source: BinaryIO, target: BinaryIO, count: int) -> int:
    if hasattr(os, "copy_file_range"):
        with contextlib.suppress(OSError):
            return os.copy_file_range(source.fileno(), target.fileno(), count)
    # Not every file system can copy inside the kernel.
    data = os.read(source.fileno(), min(count, BLOCK_BYTES))
    return os.write(target.fileno(), data)
