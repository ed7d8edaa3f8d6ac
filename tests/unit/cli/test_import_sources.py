"""Files of history as they are read from the disk."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rekindle.cli.import_sources import from_files
from rekindle.domain.errors import RekindleError
from rekindle.exchange.rows import write_results

JOB = r"""
name: old
command: python train.py
objective: {metric: loss, goal: minimize, regex: 'loss=([0-9.]+)'}
ranges: {x: {min: 0, max: 1}, sep: ["\r\n", "\r", "\n", "\u2028"]}
"""
ROWS = '{"x": 0.5, "sep": "\\r\\n", "loss": 1, "failure_reason": "a\\rb"}\n{"x": 0.5, "sep": "\\r", "loss": 2}\n'


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_is_exported_comes_back_whatever_ends_of_lines_it_holds(tmp_path: Path, form: str) -> None:
    job, first, second = tmp_path / "old.yaml", tmp_path / "first.jsonl", tmp_path / f"second.{form}"
    job.write_text(JOB)
    first.write_text(ROWS)
    found = from_files(str(job), [str(first)], None, {}).results
    assert [r.values["sep"] for r in found] == ["\r\n", "\r"]
    second.write_bytes(write_results(found, form, "loss", ["x", "sep"]).encode())
    again = from_files(str(job), [str(second)], None, {}).results
    assert [(r.values["sep"], r.failure_reason) for r in again] == [("\r\n", "a\rb"), ("\r", None)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_files_of_any_system_are_read(tmp_path: Path, end: str) -> None:
    (tmp_path / "old.yaml").write_text(JOB)
    csv, jsonl = tmp_path / "a.csv", tmp_path / "a.jsonl"
    csv.write_bytes(end.join(("x,sep,loss", '0.5,"\u2028",1', "")).encode())
    jsonl.write_bytes(end.join(('{"x": 0.5, "sep": "\u2028", "loss": 1}', "", "{}")).encode())
    (result,) = from_files(str(tmp_path / "old.yaml"), [str(csv)], None, {}).results
    assert (result.values["sep"], result.objective) == ("\u2028", 1.0)
    results = from_files(str(tmp_path / "old.yaml"), [str(jsonl)], None, {}).results
    assert [r.where.rpartition(":")[2] for r in results] == ["1", "3"]


def test_a_file_that_is_packed_is_told_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(JOB)
    for name in ("a.csv.gz", "a.json"):
        (packed := tmp_path / name).write_bytes(gzip.compress(b"x,sep,loss"))
        with pytest.raises(RekindleError, match=rf"it is packed by gzip\. Unpack it first: gunzip {packed}"):
            from_files(str(tmp_path / "old.yaml"), [str(packed)], None, {})


def test_a_file_that_cannot_be_read_is_named_by_its_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``/dev/zero`` ends where no file of history is that long; it filled the memory."""
    (job := tmp_path / "old.yaml").write_text(JOB)
    monkeypatch.setattr("rekindle.cli.import_sources._MAX_BYTES", 1000)
    for path, reason in (("none.csv", r"cannot be read \(No such file"), ("/dev/zero", "longer than 1,000 bytes")):
        with pytest.raises(RekindleError, match=rf"^RESULTS: '{path}': {reason}.*\. Name a file"):
            from_files(str(job), [path], None, {})
    with pytest.raises(RekindleError, match=r"^JOB: 'none\.json': cannot be read"):
        from_files("none.json", ["none.csv"], None, {})


def test_a_file_of_rows_counts_once(tmp_path: Path) -> None:
    """As where two patterns of a shell take it."""
    (tmp_path / "old.yaml").write_text(JOB)
    rows, link = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    rows.write_text(ROWS)
    link.symlink_to(rows)
    for again in (rows, link, tmp_path / ".." / tmp_path.name / "a.jsonl"):
        with pytest.raises(RekindleError, match=rf"RESULTS: .* it is {rows}, .*Give each file once"):
            from_files(str(tmp_path / "old.yaml"), [str(rows), str(again)], None, {})


DESCRIPTION: dict[str, Any] = {
    "HyperParameterTuningJobName": "a",
    "HyperParameterTuningJobStatus": "Completed",
    "HyperParameterTuningJobConfig": {
        "Strategy": "Random",
        "ResourceLimits": {"MaxParallelTrainingJobs": 1},
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "c", "Values": ["a"]}]},
    },
}


@pytest.mark.parametrize("field", ["HyperParameterRanges", "TuningObjective"])
def test_a_list_where_a_description_has_a_table_is_refused_by_its_place(tmp_path: Path, field: str) -> None:
    path = tmp_path / "describe.json"
    path.write_text(json.dumps(DESCRIPTION | {"TrainingJobDefinition": {field: [1]}}))
    with pytest.raises(RekindleError, match=rf"describe\.json: TrainingJobDefinition\.{field}: \[1\]: must be an object"):
        from_files(str(path), ["none.json"], None, {})


def test_what_sagemaker_answered_is_told_to_be_in_the_wrong_order(tmp_path: Path) -> None:
    describe, jobs, piped = tmp_path / "describe.json", tmp_path / "jobs.json", tmp_path / "jobs"
    describe.write_text(json.dumps(DESCRIPTION | {"TrainingJobDefinition": {}}))
    (job := tmp_path / "old.yaml").write_text(JOB)
    for path in (jobs, piped):
        path.write_text('{"TrainingJobSummaries": []}')
        with pytest.raises(RekindleError, match=r"^JOB: '.*: it is a list of training jobs.* comes first: "):
            from_files(str(path), [str(describe)], None, {})
    with pytest.raises(RekindleError, match=r"^RESULTS: '.*: it is a tuning job's description.* comes first: "):
        from_files(str(job), [str(describe)], None, {})
