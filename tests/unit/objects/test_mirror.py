"""A folder's copy follows it: changes and deletions go out, nothing of others' is touched, nothing is brought back twice."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.engine.ports import StoreUnavailable
from rekindle.objects.mirror import mirror, restore
from rekindle.objects.store import Objects
from rekindle.objects.transfer import main
from support.simulated import SimulatedClock


@dataclass
class Counting(Objects):
    """Files of this machine; counts uploads, and refuses one name."""

    refused: str = ""
    answered: bool | None = None
    uploads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def upload(self, path: str, uri: str) -> None:
        self.uploads.append(os.path.basename(path))
        if self.refused and path.endswith(self.refused):
            if self.answered is not None:
                raise StoreUnavailable("not now", uri=uri, answered=self.answered)
            raise InvalidValue("uri", uri, "not this one")
        super().upload(path, uri)


@dataclass
class Place:
    here: Path
    there: Path
    record: str
    objects: Counting

    @property
    def uri(self) -> str:
        return self.there.as_uri() + "/"

    def mirror(self) -> None:
        mirror(self.objects, str(self.here), self.uri, self.record)

    def restore(self) -> None:
        restore(self.objects, self.uri, str(self.here), self.record)

    @property
    def kept(self) -> dict[str, str]:
        return {p.relative_to(self.there).as_posix(): p.read_text() for p in self.there.rglob("*") if p.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "here").mkdir()
    return Place(tmp_path / "here", tmp_path / "there", str(tmp_path / "record"), Counting())


def test_changes_and_deletions_go_out_once(place: Place) -> None:
    (place.here / "deep").mkdir()
    (place.here / "deep" / "a").write_text("1")
    (place.here / "b").write_text("2")
    place.mirror()
    place.mirror()
    assert place.kept == {"deep/a": "1", "b": "2"}
    assert len(place.objects.uploads) == 2
    (place.here / "b").unlink()
    (place.here / "deep" / "a").write_text("longer")
    place.mirror()
    assert place.kept == {"deep/a": "longer"}


@pytest.mark.parametrize("left", [b"", b"\0", b'{"a": [1'])
def test_a_record_that_a_power_failure_cut_short_is_as_none(place: Place, left: bytes) -> None:
    (place.here / "a").write_text("1")
    place.mirror()
    Path(place.record).write_bytes(left)
    place.mirror()
    place.mirror()
    assert place.kept == {"a": "1"}
    assert len(place.objects.uploads) == 2


def test_what_others_put_there_stays_and_does_not_come(place: Place) -> None:
    place.restore()
    place.there.mkdir()
    (place.there / "theirs").write_text("x")
    (place.here / "ours").write_text("y")
    place.mirror()
    place.restore()
    assert place.kept == {"theirs": "x", "ours": "y"}
    assert os.listdir(place.here) == ["ours"]


def test_what_is_brought_back_is_known_and_a_newer_file_is_not_overwritten(place: Place) -> None:
    place.there.mkdir()
    (place.there / "old").write_text("store")
    place.restore()
    assert (place.here / "old").read_text() == "store"
    place.mirror()
    assert place.objects.uploads == []
    (place.here / "old").write_text("newer")
    place.restore()
    assert (place.here / "old").read_text() == "newer"
    (place.here / "old").unlink()
    place.mirror()
    assert place.kept == {}


def test_a_folder_that_is_gone_removes_nothing(place: Place) -> None:
    (place.here / "a").write_text("1")
    place.mirror()
    (place.here / "a").unlink()
    place.here.rmdir()
    place.mirror()
    assert place.kept == {"a": "1"}


def test_one_that_fails_keeps_no_other_from_it_and_is_tried_again(place: Place) -> None:
    for name in "abc":
        (place.here / name).write_text(name)
    place.objects.refused = "b"
    with pytest.raises(InvalidValue, match="not this one"):
        place.mirror()
    assert sorted(place.kept) == ["a", "c"]
    place.objects.refused = ""
    place.mirror()
    assert sorted(place.kept) == ["a", "b", "c"]


def _refusing(scandir: Callable[[str], object], path: str) -> object:
    if path.endswith("closed"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return scandir(path)


def test_a_folder_that_cannot_be_read_is_told_of_and_removes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("closed", "gone", "open"):
        (place.here / name).mkdir()
        (place.here / name / "a").write_text(name)
    place.mirror()
    (place.here / "gone" / "a").unlink()
    (place.here / "open" / "a").write_text("anew")
    with monkeypatch.context() as unreadable:
        unreadable.setattr(os, "scandir", partial(_refusing, os.scandir))
        with pytest.raises(PermissionError, match="closed"):
            place.mirror()
        written = os.stat(place.record).st_mtime_ns
        with pytest.raises(PermissionError, match="closed"):
            place.mirror()
        assert os.stat(place.record).st_mtime_ns == written, "nothing has changed, and the record is written again"
    assert place.kept == {"closed/a": "closed", "gone/a": "gone", "open/a": "anew"}
    place.mirror()
    assert place.kept == {"closed/a": "closed", "open/a": "anew"}


def test_a_file_of_which_nothing_is_told_keeps_no_other_from_going_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (place.here / name).write_text(name)
    place.mirror()
    for name in "abc":
        (place.here / name).write_text("anew")
    stat = os.stat

    def failing(path: str, **options: bool) -> os.stat_result:
        if str(path) == str(place.here / "b"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return stat(path, **options)

    with monkeypatch.context() as broken:
        broken.setattr(os, "stat", failing)
        with pytest.raises(OSError, match="/b'"):
            place.mirror()
    assert place.kept == {"a": "anew", "b": "b", "c": "anew"}


@pytest.mark.parametrize("answered", [True, False])
def test_nor_does_one_that_a_store_has_no_answer_for_now_and_nothing_goes_out_twice(place: Place, answered: bool) -> None:
    for name in "abc":
        (place.here / name).write_text(name)
    place.objects.refused, place.objects.answered = "b", answered
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            place.mirror()
    place.objects.refused = ""
    place.mirror()
    assert sorted(place.kept) == ["a", "b", "c"]
    assert {name: place.objects.uploads.count(name) for name in "abc"} == {"a": 1, "b": 3, "c": 1}


def test_following_goes_on_while_the_supervisor_lives(place: Place) -> None:
    clock, parents = SimulatedClock(), iter([1, 1, 1, 1, 7])
    place.objects.refused = "b"
    (place.here / "b").write_text("b")
    arguments = ["follow", str(place.here), place.uri, place.record]
    began = clock.now()
    assert main(arguments, place.objects, clock, lambda: next(parents)) == 0
    assert place.objects.uploads == ["b"] * 3
    assert clock.now() - began == 9
