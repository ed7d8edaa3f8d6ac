"""Tables of many columns: every value whole, on a terminal of any width and in a file."""

import re
import sys
from types import SimpleNamespace

import pytest

from rekindle.cli import jobs
from rekindle.cli.printing import cell, show, show_rows, table

NAMES = [f"parameter_{i:02d}" for i in range(30)]
COLUMNS = ["", "training job", *NAMES]
ROWS = [[number, f"job-{number:03d}-0123abcd", *(number + i / 8 for i in range(30))] for number in (1, 2)]
APART = [(f"#{row[0]}  {row[1]}", " ".join(f"{n}={v:g}" for n, v in zip(NAMES, row[2:], strict=True))) for row in ROWS]


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Makes stdout a terminal of so many columns."""

    def of(columns: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))

    return of


def test_zero_has_no_sign():
    assert [cell(-0.0), cell(0.0), cell(-1e-9)] == ["0", "0", "-1e-09"]


@pytest.mark.parametrize("columns", [20, 40, 80, 100])
def test_a_terminal_that_is_too_narrow_has_each_row_apart_and_breaks_no_value(terminal, capsys, columns):
    terminal(columns)
    show_rows(COLUMNS, ROWS, APART)
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if len(line) > columns]
    words = {word for line in lines for word in line.split()}
    assert words == {word for head, rest in APART for word in f"{head} {rest}".split()}


def test_a_terminal_that_is_wide_enough_has_the_table(terminal, capsys):
    terminal(40)
    show_rows(["", "training job", "x"], [[1, "job-001-0123abcd", 0.125]], [("#1", "x=0.125")])
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.split() for line in text.splitlines() if "job" in line] == [
        ["training", "job", "x"],
        ["1", "job-001-0123abcd", "0.125"],
    ]


@pytest.mark.parametrize(("colour", "terminal"), [("", "xterm"), ("1", "xterm"), ("1", "dumb")])
def test_a_file_has_every_row_on_one_line_however_many_columns_there_are(capsys, monkeypatch, colour, terminal):
    monkeypatch.setenv("FORCE_COLOR", colour)
    monkeypatch.setenv("TERM", terminal)
    show_rows(COLUMNS, ROWS, APART)
    header, _, *rows = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert header.split() == ["training", "job", *NAMES]
    assert [row.split() for row in rows] == [[str(row[0]), row[1], *(f"{v:g}" for v in row[2:])] for row in ROWS]


def test_the_list_of_tuning_jobs_has_a_line_for_each_on_a_terminal_of_80_columns(terminal, capsys, monkeypatch):
    terminal(80)
    record = {
        "name": "digits-svm",
        "status": "Completed",
        "strategy": "Bayesian",
        "waiting_for": None,
        "best_objective": 1 / 3,
        "limits": {"jobs": 24},
        "training_jobs": {"completed": 24, "in_progress": 0, "non_retryable_error": 0},
        "created_at": "2026-11-28T22:25:08.070+00:00",
    }
    monkeypatch.setattr("rekindle.cli.opened.open_app", lambda: SimpleNamespace(store=None, owner=None))
    monkeypatch.setattr("rekindle.engine.queries.every_tuning_job", lambda *_: iter([record]))
    monkeypatch.setattr(jobs, "_listed", lambda app, job: job)
    jobs.jobs()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert lines[2:] == ["digits-svm   Completed   Bayesian   24/24        0   0.333333   2026-11-28 22:25"]


def test_a_file_has_no_blanks_at_the_ends_of_lines_whatever_colours_are_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    show(table(["", "best"], [["x", 1], ["model", "/a/long/path"]]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["best"]
    assert [line for line in lines if line != line.rstrip()] == []


def test_states_of_training_jobs_in_words():
    by_time = {"status": "Stopped", "secondary_status": "MaxRuntimeExceeded", "stopped_early": False}
    assert jobs.state_in_words(by_time) == "Stopped by time"
    assert jobs.counts_in_words({"completed": 2, "retryable_error": 1, "stopped": 0}) == "2 completed, 1 to be tried again"
    assert jobs.counts_in_words({"completed": 0}) == "none yet"
