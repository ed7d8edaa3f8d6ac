"""The job's folder, as a supervisor makes it: on a disk that has no room for a while, and on one that never has."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from rekindle.executors import supervisor, workdir

Made = supervisor.Supervisor


class Disk:
    """Takes half of a folder and is full then, so often."""

    def __init__(self, full: int, code: int = errno.ENOSPC) -> None:
        self.full = full
        self.code = code
        self.found: list[bool] = []

    def build(self, folder: str, orders: object) -> None:
        self.found.append((Path(folder) / "code").exists())
        (Path(folder) / "code").mkdir(exist_ok=True)
        if len(self.found) <= self.full:
            raise OSError(self.code, os.strerror(self.code))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    found = object.__new__(Made)
    found._folder, found._orders = str(tmp_path), {}
    found._wishes = SimpleNamespace(terminated=False, stop=False, waited=[])  # type: ignore[assignment]
    found._wishes.wait = found._wishes.waited.append  # type: ignore[method-assign, attr-defined]
    return found


def test_a_full_disk_is_waited_for_and_nothing_is_left_on_it_meanwhile(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(full=3)
    monkeypatch.setattr(workdir, "build", disk.build)
    made._build()
    assert disk.found == [False] * 4
    assert made._wishes.waited == [5.0] * 3  # type: ignore[attr-defined]


def test_who_asks_it_to_stop_is_not_kept_by_a_full_disk(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workdir, "build", Disk(full=1000).build)
    made._wishes.stop = True  # type: ignore[misc]
    with pytest.raises(supervisor.Ended, match="stopped"):
        made._build()


@pytest.mark.parametrize(("patience", "code"), [(0.0, errno.ENOSPC), (600.0, errno.EACCES)])
def test_other_errors_are_told_at_once_and_this_one_in_the_end(
    made: Made, monkeypatch: pytest.MonkeyPatch, patience: float, code: int
) -> None:
    monkeypatch.setattr(workdir, "build", Disk(1000, code).build)
    monkeypatch.setattr(supervisor, "_ROOM_PATIENCE_SECONDS", patience)
    with pytest.raises(OSError, match=os.strerror(code)):
        made._build()
    assert made._wishes.waited == []  # type: ignore[attr-defined]
