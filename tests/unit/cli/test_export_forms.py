"""Files that an export writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rekindle.cli.export_forms import _write
from rekindle.domain.errors import InvalidValue


def test_what_cannot_be_written_leaves_no_part_that_would_pass_for_the_whole(tmp_path: Path) -> None:
    """As on a disk that is full: the part was there, and the next try was refused because of it."""
    first, second = (str(tmp_path / name) for name in ("describe.json", "training-jobs.json"))
    with pytest.raises(InvalidValue, match="cannot be written"):
        _write({first: "x", second: "x" * 100_000 + "\ud800"})
    assert list(tmp_path.iterdir()) == []
    Path(second).write_text("kept")
    with pytest.raises(InvalidValue, match="exists already"):
        _write({first: "x", second: "x"})
    assert [p.read_text() for p in tmp_path.iterdir()] == ["kept"]
