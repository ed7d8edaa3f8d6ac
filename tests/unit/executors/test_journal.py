"""A worker reads on in a journal from what is recorded of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rekindle.engine.ports import RunKey, RunState
from rekindle.executors import journal, records
from rekindle.executors.journal import JournalReader

KEY = RunKey("job-1", 1)
BEGIN = records.line({"supervisor": 7, "start": "1", "at": 1.0}) + records.line({"phase": "Training", "at": 2.0, "message": ""})


def emission(value: float) -> bytes:
    return records.line({"metric": "loss", "value": value, "at": 3.0})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(BEGIN + b"".join(emission(i) for i in range(100)) + emission(100)[:-5])
    return path


@pytest.mark.parametrize("seen", [0, 1, 60, 99, 100])
def test_what_is_recorded_is_counted_and_not_read_again(path: Path, seen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, reader, parsed, loads = JournalReader(path), JournalReader(path), [], json.loads
    assert whole.read()
    monkeypatch.setattr(journal.json, "loads", lambda line: (parsed.append(line), loads(line))[1])
    assert reader.read(seen)
    assert len(parsed) == 102 - seen
    assert [p.index for p in reader.report(KEY, seen).points] == list(range(seen, 100))
    assert reader.report(KEY, seen) == whole.report(KEY, seen)
    assert (reader.first, reader.supervisor) == (whole.first, (7, "1"))


def test_what_another_has_recorded_meanwhile_leaves_no_hole(path: Path) -> None:
    reader = JournalReader(path)
    reader.read()
    with path.open("ab") as file:
        file.write(emission(100)[-5:] + b"".join(emission(i) for i in range(101, 120)) + emission(0)[:9] + b"\n")
        file.write(records.end(RunState.LOST.value, 4.0, None, "gone", None))
    reader.read(110)
    report = reader.report(KEY, 110)
    assert [p.value for p in report.points] == list(range(110, 120))
    assert (report.state, report.started_at, report.failure_reason) == (RunState.LOST, 2.0, "gone")


def test_no_more_is_at_hand_than_fits_and_what_is_recorded_takes_no_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MOST_POINTS", 30)
    reader, found = JournalReader(path), []
    for told in (30, 30, 30, 10, 0):
        reader.read(len(found))
        reader.read(len(found))
        points = reader.report(KEY, len(found)).points
        assert (len(points), reader.is_behind) == (told, told == 30)
        found += points
    assert [p.value for p in found] == list(range(100))
