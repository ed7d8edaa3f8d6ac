"""What a trainer leaves where it fails: a reason, whatever is in it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from rekindle.algorithms import job
from rekindle.algorithms.job import Job, UserError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("File 'day\udcff': the label is missing"), "Customer Error: File 'day\\udcff': the label is missing"),
        (UserError("Column 3 is 'caf\ufffd'"), "Customer Error: Column 3 is 'caf\ufffd'"),
        (MemoryError(), "Out of memory: train on fewer rows"),
    ],
)
def test_it_is_left_in_whatever_letters(error: Exception, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Job({}, {}, tmp_path, tmp_path, tmp_path / "data", tmp_path, False, "algo-1", ("algo-1",))
    monkeypatch.setattr(job, "this_job", lambda: there)
    # The log of somebody whose locale is an old one.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))

    def train(_: Job) -> None:
        raise error

    assert job.run(train) == job.USER_ERROR
    assert (tmp_path / "failure").read_text(encoding="utf-8").startswith(reason)


def test_a_library_that_does_not_load_says_what_it_lacks(tmp_path: Path) -> None:
    # As where macOS has no OpenMP: what helps stands above the last line.
    (tmp_path / "xgboost.py").write_text("raise OSError('It could not be loaded.\\nRun `brew install libomp`.\\n[]')\n")
    there = Job({}, {}, tmp_path, tmp_path, tmp_path / "data", tmp_path, False, "algo-1", ("algo-1",))
    code = f"""
import sys
from pathlib import *
sys.path.insert(0, {str(tmp_path)!r})
from rekindle.algorithms import job, xgboost
job.this_job = lambda: job.{there!r}
sys.exit(xgboost.main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    reason = "Customer Error: xgboost cannot be loaded: It could not be loaded. Run `brew install libomp`. []"
    assert (tmp_path / "failure").read_text() == reason
    assert done.returncode == job.USER_ERROR
