"""A training job's log: its first megabyte and its last ten are kept, what lies between is dropped as it grows.

The log is a row of files, each named by the offset of its first byte, so that offsets count all bytes ever logged.
"""

from __future__ import annotations

import os

# Supervisors start light: no contextlib.
# ruff: noqa: SIM105

#: Bytes from the start of a log that are kept for good.
HEAD_BYTES = 1 << 20
#: Bytes from the end of a log that are kept at least.
KEEP_BYTES = 10 << 20
#: Into how many files the kept end is divided: the more, the less is kept beyond ``KEEP_BYTES``.
_PARTS = 5
_PREFIX = "log-"


def folder_of(attempt: str, host: str) -> str:
    """The folder of the log of one of an attempt's hosts; the first host's is the attempt's own."""
    return attempt if host in ("", "algo-1") else os.path.join(attempt, host)


class LogWriter:
    """Appends to the log in ``folder``. A full disk loses lines of the log and nothing else."""

    def __init__(self, folder: str, head: int = HEAD_BYTES, keep: int = KEEP_BYTES) -> None:
        self._folder = folder
        self._head = max(1, head)
        self._keep = keep
        self._part = max(1, keep // _PARTS)
        self._starts: list[int] = []
        self._offset = 0
        self._end = 0
        self._fd = -1

    def write(self, data: bytes) -> None:
        """Appends ``data``."""
        while data:
            if self._offset >= self._end:
                self._next_file()
            room = self._end - self._offset
            self._append(data[:room])
            data = data[room:]

    def close(self) -> None:
        """Lets go of the last file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, data: bytes) -> None:
        # Offsets are kept true by writing at a place: what could not be written reads as missing, not as moved.
        try:
            if self._fd < 0:
                self._fd = os.open(_file(self._folder, self._starts[-1]), os.O_WRONLY | os.O_CREAT, 0o644)
            os.pwrite(self._fd, data, self._offset - self._starts[-1])
        except OSError:
            pass
        self._offset += len(data)

    def _next_file(self) -> None:
        self.close()
        self._end = self._offset + (self._part if self._starts else self._head)
        self._starts.append(self._offset)
        self._drop()

    def _drop(self) -> None:
        # The first file is the head. The oldest of the others may go once those after it hold enough.
        while len(self._starts) > 2 and self._offset - self._starts[2] >= self._keep:
            _remove(_file(self._folder, self._starts.pop(1)))


def read(folder: str, offset: int, limit: int) -> tuple[bytes, int]:
    """At most ``limit`` bytes from ``offset`` or, where that part was dropped, from the next that is kept; and the
    offset after them. What lies on the two sides of a gap never comes in one piece."""
    pieces: list[bytes] = []
    while limit > 0:
        start, data = _piece(folder, offset, limit)
        if not data or (pieces and start != offset):
            break
        pieces.append(data)
        offset = start + len(data)
        limit -= len(data)
    return b"".join(pieces), offset


def _piece(folder: str, offset: int, limit: int) -> tuple[int, bytes]:
    """What one file has from ``offset`` on, or the first file after it that has anything; and where that begins."""
    starts = _starts(folder)
    at = max((i for i, start in enumerate(starts) if start <= offset), default=0)
    for start in starts[at:]:
        try:
            with open(_file(folder, start), "rb") as file:
                begin = max(offset, start)
                # File systems refuse to seek far beyond any file's end.
                if begin - start >= os.fstat(file.fileno()).st_size:
                    continue
                file.seek(begin - start)
                data = file.read(limit)
        except FileNotFoundError:  # dropped since we looked
            continue
        if data:
            return begin, data
    return offset, b""


def _starts(folder: str) -> list[int]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(int(n[len(_PREFIX) :]) for n in names if n.startswith(_PREFIX) and n[len(_PREFIX) :].isdigit())


def _file(folder: str, start: int) -> str:
    return os.path.join(folder, f"{_PREFIX}{start:015d}")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
