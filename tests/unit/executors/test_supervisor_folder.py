"""A supervisor on a full disk, which has room again after a while or never: it makes the job's folder, and keeps results."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from rekindle.engine.room import NO_ROOM
from rekindle.executors import archive, children, supervisor, workdir

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
    found._wishes = SimpleNamespace(terminated=False, stop=False, give_up=False, waited=[])  # type: ignore[assignment]
    found._output = SimpleNamespace(feed=lambda _: None, tail="No space left on device\n")  # type: ignore[assignment]
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


@pytest.mark.parametrize(
    ("code", "whose"),
    [
        *((code, "InternalServerError") for code in (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOSPC, errno.EDQUOT)),
        *((code, "ClientError") for code in (errno.ENOENT, errno.EACCES)),
    ],
)
def test_a_disk_that_fails_is_no_fault_of_the_training_job(
    made: Made, monkeypatch: pytest.MonkeyPatch, code: int, whose: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(supervisor, "_ROOM_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(made, "_phase", lambda *_: None)
    made._orders = {"refusal": [], "inputs": [], "restore": [], "sharded": ["train"], "hosts": []}
    for step in ("deal", "build"):
        monkeypatch.setattr(workdir, "build", lambda *_: None)
        monkeypatch.setattr(workdir, step, fail)
        with pytest.raises(supervisor.Ended, match="failed") as ended:
            made._prepare()
        assert (ended.value.reason or "").startswith(f"{whose}: The ")
        assert os.strerror(code) in (ended.value.reason or "")


@pytest.fixture
def said(made: Made, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    found: list[str | None] = []
    monkeypatch.setattr(made, "_say", found.append)
    return found


def test_results_wait_for_room_and_the_longer_the_more_seldom_do_they_fill_what_there_is(
    made: Made, said: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, rested = Disk(full=9), list[float]()
    monkeypatch.setattr(archive, "store", lambda _source, _target: disk.build(made._folder, {}))
    monkeypatch.setattr(made, "_rest", lambda seconds, _giving_up: rested.append(seconds))
    made._pack("model", "model.tar.gz", 86_400.0)
    assert rested == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0]
    assert said == ["the disk is full; waiting for room for the results"]


@pytest.mark.parametrize(("patience", "code"), [(0.0, errno.ENOSPC), (86_400.0, errno.EIO)])
def test_what_keeps_results_from_being_kept_is_told(
    made: Made, said: list[str | None], monkeypatch: pytest.MonkeyPatch, patience: float, code: int
) -> None:
    monkeypatch.setattr(archive, "store", lambda _source, _target: Disk(1000, code).build(made._folder, {}))
    with pytest.raises(OSError, match=os.strerror(code)):
        made._pack("model", "model.tar.gz", patience)
    assert said == []


def test_who_wants_an_end_gets_one_without_results(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "store", lambda _source, _target: Disk(1000, errno.EDQUOT).build(made._folder, {}))
    made._wishes.give_up = True  # type: ignore[misc]
    with pytest.raises(supervisor.Ended, match="stopped") as ended:
        made._pack("model", "model.tar.gz", 86_400.0)
    assert (ended.value.reason or "").startswith("ClientError: Artifact upload failed: ")


@pytest.fixture
def codes(made: Made, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What transfers exit with: the last of them each time that there are no more."""
    found = [NO_ROOM]
    monkeypatch.setattr(made, "_transferred", lambda *_: (found.pop(0) if found[1:] else found[0]) << 8)
    return found


def test_what_is_brought_in_waits_for_room_too(
    made: Made, codes: list[int], said: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes[:] = [NO_ROOM] * 3 + [0]
    made._bring("fetch all", "Data download failed")
    assert said == ["the disk is full; waiting for room"]
    assert made._wishes.waited == [5.0] * 3  # type: ignore[attr-defined]
    codes[:] = [NO_ROOM]
    monkeypatch.setattr(supervisor, "_ROOM_PATIENCE_SECONDS", 0.0)
    with pytest.raises(supervisor.NoRoom) as ended:
        made._bring("fetch all", "Data download failed")
    assert ended.value.reason == "ClientError: Data download failed: No space left on device"


def test_a_stop_ends_that(made: Made, codes: list[int]) -> None:
    made._wishes.stop = True  # type: ignore[misc]
    with pytest.raises(supervisor.Ended, match="stopped"):
        made._bring("fetch all", "Data download failed")


def test_so_do_results_that_go_to_a_store(
    made: Made, codes: list[int], said: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rested = list[float]()
    monkeypatch.setattr(made, "_rest", lambda seconds, _giving_up: rested.append(seconds))
    codes[:] = [NO_ROOM] * 3 + [0]
    made._transfer("keep model", "Artifact upload failed", lambda: "", 86_400.0, 600.0)
    assert (rested, said) == ([0.5, 1.0, 2.0], ["the disk is full; waiting for room for the results"])
    codes[:] = [NO_ROOM]
    with pytest.raises(supervisor.NoRoom, match="failed"):
        made._transfer("keep model", "Artifact upload failed", lambda: "", 86_400.0, 0.0)


def test_an_engine_that_hangs_as_what_runs_there_is_to_end_is_waited_for(
    made: Made, said: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[dict[int, int]] = [{}, {1: os.EX_TEMPFAIL << 8}, {1: 0}]
    monkeypatch.setattr(made, "_spawn_unheard", lambda *_: 1)
    monkeypatch.setattr(supervisor, "_REMOVAL_SECONDS", 0.0)
    monkeypatch.setattr(children, "ended", lambda: answers.pop(0))
    monkeypatch.setattr(children, "kill_leftovers", lambda *_: None)
    made._orders = {"environment": []}
    made._end_elsewhere()
    assert answers == []
    assert said == ["the container engine does not answer; waiting for it, to end what it runs"]
