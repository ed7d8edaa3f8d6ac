"""The log keeps its start and its end, and never more than it may."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rekindle.executors.logfile import LogWriter, read


def pieces(folder: Path, limit: int = 7) -> dict[int, bytes]:
    found, offset = {}, 0
    while (got := read(str(folder), offset, limit))[0]:
        data, offset = got
        found[offset - len(data)] = data
    return found


@given(writes=st.lists(st.binary(min_size=1, max_size=60), max_size=60), head=st.integers(0, 40), keep=st.integers(1, 100))
def test_what_is_kept_is_true_and_enough_and_not_too_much(tmp_path_factory, writes: list[bytes], head: int, keep: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    writer, whole = LogWriter(str(folder), head, keep), b""
    for data in writes:
        writer.write(data)
        whole += data
    writer.close()
    found = pieces(folder)
    assert all(whole[at : at + len(data)] == data for at, data in found.items())
    kept = {at + i for at, data in found.items() for i in range(len(data))}
    assert kept >= set(range(min(head, len(whole)))) | set(range(max(0, len(whole) - keep), len(whole)))
    assert len(kept) <= max(1, head) + keep + 2 * max(1, keep // 5)
    assert sum(p.stat().st_size for p in folder.iterdir()) == len(kept)


def test_reading_stops_at_a_gap_and_goes_on_after_it(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path), head=10, keep=10)
    writer.write(bytes(range(100)))
    assert read(str(tmp_path), 0, 1000) == (bytes(range(10)), 10)
    data, after = read(str(tmp_path), 10, 1000)
    assert data == bytes(range(100 - len(data), 100))
    assert after == 100
    assert read(str(tmp_path), 100, 10) == (b"", 100)
    assert read(str(tmp_path), 0, 0) == (b"", 0)
    writer.close()


def test_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    writer = LogWriter(str(tmp_path), head=4, keep=20)
    writer.write(b"abcd")
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        disk.setattr(os, "open", full)
        writer.write(b"efgh")
    writer.write(b"ijklmnop")
    assert read(str(tmp_path), 0, 4) == (b"abcd", 4)
    assert pieces(tmp_path)[8] == b"ijklmno"
    writer.close()


def test_a_disk_that_was_full_when_the_log_began_loses_what_was_written_then_only(tmp_path: Path, monkeypatch) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    writer = LogWriter(str(tmp_path))
    with monkeypatch.context() as disk:
        disk.setattr(os, "open", full)
        writer.write(b"lost\n")
    writer.write(b"kept\n")
    assert read(str(tmp_path), 5, 100) == (b"kept\n", 10)
    writer.close()
