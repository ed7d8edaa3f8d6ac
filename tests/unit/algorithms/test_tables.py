"""A channel's files become one table, in each format, or are refused with the file and the reason."""

from __future__ import annotations

import errno
import gzip
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from scipy import sparse

from rekindle.algorithms.job import UserError
from rekindle.algorithms.recordio import MAGIC, frames
from rekindle.algorithms.tables import data_files, read_table
from support.tables import _frame, _map, recordio, two_classes, write_csv, write_libsvm

X, Y = two_classes(12)


def same(table, features=X, labels=Y) -> None:
    found = table.features.toarray() if sparse.issparse(table.features) else table.features
    np.testing.assert_allclose(found, features, rtol=1e-5)
    np.testing.assert_allclose(table.labels, labels)


def test_files_follow_each_other_by_path_and_hidden_ones_do_not_count(tmp_path: Path) -> None:
    write_csv(tmp_path / "b.csv", X[4:], Y[4:])
    write_csv(tmp_path / "a" / "x.csv", X[:4], Y[:4])
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".crc").write_text("no data")
    assert [p.name for p in data_files(tmp_path)] == ["x.csv", "b.csv"]
    same(read_table(tmp_path, "csv"))


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write_csv(tmp_path / "elsewhere" / "b.csv", X[4:], Y[4:])
    write_csv(tmp_path / "train" / "a.csv", X[:4], Y[:4])
    for name, target in (("here", "."), ("there", ".."), ("more", "../elsewhere")):
        (tmp_path / "train" / name).symlink_to(target)
    (tmp_path / "channel").symlink_to("train")
    assert [p.name for p in data_files(tmp_path / "channel")] == ["a.csv", "b.csv"]
    same(read_table(tmp_path / "channel", "csv"))
    # Two folders, each with links to the other: there are ways without end, of which each folder is on once.
    for at, target in (("one/two", "../two"), ("one/again", "../two"), ("two/one", "../one"), ("two/again", "../one")):
        (tmp_path / "both" / at).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "both" / at).symlink_to(target)
    write_csv(tmp_path / "both" / "one" / "c.csv", X, Y)
    assert len(data_files(tmp_path / "both")) == 3


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", " "])
def test_csv_with_any_delimiter(tmp_path: Path, delimiter: str) -> None:
    path = write_csv(tmp_path / "a.csv", X, Y)
    path.write_text(path.read_text().replace(",", delimiter))
    same(read_table(tmp_path, "csv"))


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_csv_with_the_lines_of_other_machines(tmp_path: Path, end: str) -> None:
    path = write_csv(tmp_path / "a.csv", X, Y)
    path.write_bytes(path.read_text().replace("\n", end).encode())
    same(read_table(tmp_path, "csv"))


def test_csv_compressed_with_quotes_weights_and_gaps(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b'1,0.5,"3",,5\r\n0,2,4,6,\r\n'))
    table = read_table(tmp_path, "csv", weights=True)
    assert table.labels.tolist() == [1, 0]
    assert table.weights.tolist() == [0.5, 2]
    np.testing.assert_equal(table.features, np.array([[3, np.nan, 5], [4, 6, np.nan]], dtype=np.float32))


def test_libsvm_with_weights_groups_and_comments(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1:0.5 qid:1 0:2 3:4 # first_1 \u0663\n\n0:2 qid:1 1:7\n")
    table = read_table(tmp_path, "libsvm")
    assert table.features.toarray().tolist() == [[2, 0, 0, 4], [0, 7, 0, 0]]
    assert (table.labels.tolist(), table.weights.tolist(), table.groups.tolist()) == ([1, 0], [0.5, 2], [1, 1])


def test_libsvm_files_of_different_width_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1 0:1\n")
    (tmp_path / "b").write_text("0 2:3\n")
    table = read_table(tmp_path, "libsvm")
    assert table.features.toarray().tolist() == [[1, 0, 0], [0, 0, 3]]
    assert table.widened(5).columns == 5


def test_libsvm_parquet_and_recordio_hold_what_csv_holds(tmp_path: Path) -> None:
    write_libsvm(tmp_path / "svm" / "a", X, Y)
    same(read_table(tmp_path / "svm", "libsvm"))
    (tmp_path / "parquet").mkdir()
    columns = {f"c{i}": c for i, c in enumerate([Y, *X.T])}
    parquet.write_table(pyarrow.table(columns), tmp_path / "parquet" / "a.parquet")
    same(read_table(tmp_path / "parquet", "parquet"))
    (tmp_path / "io").mkdir()
    (tmp_path / "io" / "a.pbr").write_bytes(recordio(X, Y))
    same(read_table(tmp_path / "io", "recordio-protobuf"))


def test_a_record_in_several_frames_is_one() -> None:
    record = recordio(X[:1], Y[:1])[8:]

    def frame(place: int, part: bytes) -> bytes:
        return MAGIC.to_bytes(4, "little") + (place << 29 | len(part)).to_bytes(4, "little") + part

    # The magic number itself is what is cut out where a record is split.
    whole = record[:8] + MAGIC.to_bytes(4, "little") + record[12:]
    assert list(frames(frame(1, whole[:8]) + frame(3, whole[12:]))) == [whole]


def test_a_channel_without_rows_is_no_table(tmp_path: Path) -> None:
    assert read_table(tmp_path, "csv") is None
    (tmp_path / "a").write_text("\n\n")
    assert read_table(tmp_path, "csv") is None
    assert read_table(tmp_path, "libsvm") is None


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("csv", b"label,a,b\n1,2,3\n", "First line 'label,a,b...' of file 'f' is not 'CSV' format"),
        (
            "csv",
            b"0,14.5,True\n1,13.5,False\n",
            "numbers only, without a header line. Column 3 is 'True'. Write truth values as 1 and 0: "
            "pandas.get_dummies(..., dtype=int)",
        ),
        ("csv", b"1,2,3\n1,2\n", "Failed to load csv data"),
        ("csv", b"1,2,3\n1,2,3\n1,NA,3\n", "could not convert string 'NA' to float32 at row 3, column 2. (file 'f')"),
        ("csv", b"1,,3\n1,2,3\n1,NA,3\n", "could not convert string 'NA' to float32 at row 3, column 2. (file 'f')"),
        ("csv", b"1,2,3\n1,2\n", "changed from 3 to 2 at row 2 (file 'f')"),
        ("csv", b"1,2\n1,-inf\n", "/f', row 2: a feature is infinite, or too large"),
        ("csv", b"1,2\nnan,2\n", "/f', row 2: the label is missing"),
        ("csv", b"1,2\n1e39,2\n", "/f', row 2: the label is missing or no finite number"),
        ("libsvm", b"1 0:1\n1\n1 1:1 4:1e39\n", "/f', row 3: a feature is infinite, or too large"),
        ("libsvm", b"1:1 0:1\n1:-1 0:1\n", "/f', row 2: the weight is negative"),
        ("csv", b"1\n0\n", "has 1 columns, and no feature among them"),
        ("libsvm", b"1,2,3\n", "Line 1 '1,2,3...' of file 'f' is not 'LIBSVM' format"),
        ("libsvm", b"1\t2\t3\n", "<index>:<value> ... If it is a table, say that its channel's content type is text/csv."),
        ("libsvm", b"1 0:1\n1 a:1\n", "Line 2 '1 a:1...'"),
        ("libsvm", b"1:2 0:1\n1 0:1\n", "a weight is in 1 of 2 lines"),
        ("libsvm", b"1 -1:1\n", "an index is negative"),
        ("libsvm", b"1 2147483647:1\n", "File 'f': an index is larger than 2147483646. Number the features from 0 on"),
        ("libsvm", b"1 9223372036854775807:1\n", "File 'f': an index is larger than 2147483646"),
        ("libsvm", b"1 99999999999999999999:1\n", "File 'f': an index is larger than 2147483646"),
        ("csv", gzip.compress(b"1,2,3\n", mtime=0)[:-9], "File 'f' begins as a gzip file and cannot be unpacked"),
        ("csv", b"\x1f\x8b no gzip", "File 'f' begins as a gzip file and cannot be unpacked"),
        # Python alone reads 1_0 as 10, and other scripts' digits as digits.
        ("csv", b"0,1,3\n1,1_0,3\n", "could not convert string '1_0' to float32 at row 2, column 2"),
        ("csv", b"1_0,1,3\n1,1,3\n", "Column 1 is '1_0'"),
        ("csv", "0,1\n1,\u0663\n".encode(), "could not convert string '\u0663' to float32 at row 2, column 2"),
        ("libsvm", b"0 1:1\n1 1:1_0\n", "Line 2 '1 1:1_0...' of file 'f' is not 'LIBSVM' format"),
        ("libsvm", b"0 1:1\n1 1_0:1\n", "Line 2 '1 1_0:1...' of file 'f' is not 'LIBSVM' format"),
        ("libsvm", "0 1:1\n1 1:\u0663\n".encode(), "of file 'f' is not 'LIBSVM' format"),
        ("parquet", b"1,2,3\n", "Failed to load parquet data"),
        ("recordio-protobuf", b"1,2,3,4,5\n", "there is no record at byte 0"),
        ("recordio-protobuf", recordio(X, Y)[:-6], "the file ends within a record"),
        ("recordio-protobuf", recordio(X, Y)[:8] + b"\xff" * len(recordio(X[:1], Y[:1])), "Failed to load recordio-protobuf"),
        ("recordio-protobuf", _frame(_map(1, b"12345")), "(file 'f')"),
    ],
)
def test_what_is_no_data_is_refused(tmp_path: Path, kind: str, data: bytes, words: str) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(UserError) as refused:
        read_table(tmp_path, kind)
    assert words in str(refused.value)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train" / "day").mkdir(parents=True)
    (tmp_path / "train" / "a.csv").write_text("1,2\n0,3\n")
    listed = os.scandir

    def scandir(path: str) -> Any:
        # Root may list all: the system's answer to others stands in for it.
        if str(path).endswith("day"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"Folder 'train/day' cannot be read: Permission denied\. Mend it, or take it out"):
        read_table(tmp_path / "train", "csv")


def test_a_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "train" / "day").mkdir(parents=True)
    (tmp_path / "train" / "a.csv").write_text("1,2\n0,3\n")
    odd = tmp_path / "train" / "day" / "b.csv"
    odd.symlink_to("nowhere")
    with pytest.raises(UserError, match=r"File 'train/day/b.csv' cannot be read: it is a link that leads nowhere"):
        read_table(tmp_path / "train", "csv")
    odd.unlink()
    os.mkfifo(odd)
    with pytest.raises(UserError, match=r"File 'train/day/b.csv' cannot be read: it is no regular file"):
        read_table(tmp_path / "train", "csv")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            [datetime(2020, 1, 1, tzinfo=UTC), None],
            "times are no numbers; write them as numbers, such as the days since the first",
        ),
        ([date(2020, 1, 1), date(2020, 1, 2)], "times are no numbers"),
        ([timedelta(1), timedelta(2)], "times are no numbers"),
        (["1", "2_0"], "could not convert string to float: '2_0'"),
    ],
)
def test_what_looks_like_a_number_to_python_alone_is_none_in_a_parquet_file(
    tmp_path: Path, values: list[Any], words: str
) -> None:
    parquet.write_table(pyarrow.table({"y": [0, 1], "a": values}), tmp_path / "f")
    with pytest.raises(UserError, match=words):
        read_table(tmp_path, "parquet")


def test_numbers_of_all_kinds_and_gaps_are_taken_of_a_parquet_file(tmp_path: Path) -> None:
    columns = {
        "y": [0, 1],
        "a": [1, None],
        "b": [True, None],
        "c": ["1.5", None],
        "d": [Decimal("2.5"), None],
        "e": [None, None],
    }
    parquet.write_table(pyarrow.table({**columns, "e": [None, None]}), tmp_path / "f")
    table = read_table(tmp_path, "parquet")
    np.testing.assert_equal(table.features, np.array([[1, 1, 1.5, 2.5, np.nan], [np.nan] * 5], dtype=np.float32))


def test_a_parquet_file_is_refused_with_the_column(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"y": [0, 1], "age": [1.0, 2.0], "colour": ["red", "blue"]}), tmp_path / "f")
    with pytest.raises(UserError, match=r"convert string to float: 'red' \(file 'f', column 'colour'\)"):
        read_table(tmp_path, "parquet")
