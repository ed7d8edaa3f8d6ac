"""What every store of objects promises (engine/ports.py), as tests that each adapter inherits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.engine.ports import ObjectStore


class ObjectStoreSuite(ABC):
    """Inherit, with fixtures ``store`` and ``base`` (a URI below which nothing is), and say how an object is put and got."""

    @abstractmethod
    def put(self, store: ObjectStore, uri: str, data: bytes) -> None:
        """Makes an object by another way than the store's."""

    def got(self, store: ObjectStore, uri: str, folder: Path) -> dict[str, bytes]:
        store.download(uri, str(folder))
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    @pytest.fixture
    def filled(self, store: ObjectStore, base: str) -> str:
        for name, data in (("train/a.csv", b"a"), ("train/deep/b ü.csv", b"bb"), ("train-2/c.csv", b"ccc"), ("zero", b"")):
            self.put(store, f"{base}/{name}", data)
        return base

    def test_a_folder(self, store: ObjectStore, filled: str, tmp_path: Path) -> None:
        store.check(f"{filled}/train/")
        assert list(store.list(f"{filled}/train/")) == [("a.csv", 1), ("deep/b ü.csv", 2)]
        assert self.got(store, f"{filled}/train/", tmp_path) == {"a.csv": b"a", "deep/b ü.csv": b"bb"}

    def test_one_object(self, store: ObjectStore, filled: str, tmp_path: Path) -> None:
        store.check(f"{filled}/train/a.csv")
        assert list(store.list(f"{filled}/zero")) == [("zero", 0)]
        assert self.got(store, f"{filled}/train/a.csv", tmp_path) == {"a.csv": b"a"}

    def test_a_prefix_is_how_names_start(self, store: ObjectStore, filled: str, tmp_path: Path) -> None:
        store.check(f"{filled}/tr")
        expected = {"train/a.csv": b"a", "train/deep/b ü.csv": b"bb", "train-2/c.csv": b"ccc"}
        assert self.got(store, f"{filled}/tr", tmp_path) == expected

    def test_where_something_can_be_put(self, store: ObjectStore, base: str) -> None:
        store.check_target(f"{base}/none/")

    def test_nothing_there(self, store: ObjectStore, filled: str, tmp_path: Path) -> None:
        assert list(store.list(f"{filled}/none/")) == []
        with pytest.raises(InvalidValue, match=f"uri: '{filled}/none/'"):
            store.check(f"{filled}/none/")
        with pytest.raises(InvalidValue, match=f"uri: '{filled}/none/'"):
            store.download(f"{filled}/none/", str(tmp_path))

    def test_one_object_and_no_other(self, store: ObjectStore, filled: str, tmp_path: Path) -> None:
        assert store.has(f"{filled}/train/a.csv")
        assert not any(store.has(f"{filled}/{name}") for name in ("train/a", "train", "none"))
        assert store.read(f"{filled}/train/a.csv", 1) == b"a"
        store.fetch(f"{filled}/train/a.csv", str(tmp_path / "a"))
        assert (tmp_path / "a").read_bytes() == b"a"

    def test_one_object_that_is_not_there_or_too_long(self, store: ObjectStore, filled: str, tmp_path: Path) -> None:
        with pytest.raises(InvalidValue, match="longer than 1 bytes") as refused:
            store.read(f"{filled}/train-2/c.csv", 1)
        assert refused.value.code == "too-long"
        for uri in (f"{filled}/train/none", f"{filled}/train/a"):
            with pytest.raises(InvalidValue, match=uri) as refused:
                store.read(uri, 10)
            assert refused.value.code == "no-object"
            with pytest.raises(InvalidValue, match=uri):
                store.fetch(uri, str(tmp_path / "x"))

    def test_upload_and_over_again(self, store: ObjectStore, base: str, tmp_path: Path) -> None:
        for data in (b"first", b"second"):
            (tmp_path / "file").write_bytes(data)
            store.upload(str(tmp_path / "file"), f"{base}/out/model.tar.gz")
        (tmp_path / "got").mkdir()
        assert self.got(store, f"{base}/out/", tmp_path / "got") == {"model.tar.gz": b"second"}

    def test_remove_takes_one_away_and_may_find_none(self, store: ObjectStore, filled: str) -> None:
        for _ in range(2):
            store.remove(f"{filled}/train/a.csv")
        assert list(store.list(f"{filled}/train/")) == [("deep/b ü.csv", 2)]

    def test_upload_of_a_file_that_is_not_there(self, store: ObjectStore, base: str, tmp_path: Path) -> None:
        with pytest.raises((InvalidValue, OSError)):
            store.upload(str(tmp_path / "none"), f"{base}/out/x")
        assert list(store.list(f"{base}/out/")) == []
