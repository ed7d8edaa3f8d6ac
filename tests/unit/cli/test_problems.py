from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from rekindle.cli.problems import ExitCode, explained, report
from rekindle.engine.ports import StoreUnavailable
from rekindle.gateway.credentials import KeyPair
from rekindle.gateway.errors import CredentialsError, GatewayError, TlsError
from rekindle.storage.store import open_store


def test_a_store_that_is_away_says_its_own_way_out():
    error = StoreUnavailable("the database a.db: the disk is full.", "Free some space.")
    expected = "the store cannot be reached: the database a.db: the disk is full. Free some space."
    assert explained(error) == (ExitCode.UNREACHABLE, expected)


@pytest.mark.parametrize("message", ["a: no answer", "a: no answer."])
def test_one_that_knows_no_way_out_is_to_be_tried_again_however_its_sentence_ends(message):
    expected = "the store cannot be reached: a: no answer. Nothing is lost; try again."
    assert explained(StoreUnavailable(message)) == (ExitCode.UNREACHABLE, expected)


def test_a_real_store_that_cannot_be_opened_says_what_to_do(tmp_path):
    (tmp_path / "rekindle.db").mkdir()
    with pytest.raises(StoreUnavailable) as caught:
        open_store(f"sqlite:///{tmp_path / 'rekindle.db'}")
    code, text = explained(caught.value)
    assert code is ExitCode.UNREACHABLE
    assert text.endswith("it cannot be opened. Check that its folder exists and may be written, or set REKINDLE_HOME.")


@pytest.mark.parametrize("kind", [GatewayError, CredentialsError, TlsError])
def test_what_keeps_the_gateway_from_starting_is_bad_input_with_a_way_out(kind):
    assert explained(kind("ca.key: others may read it.", "Run: chmod 600 ca.key")) == (
        ExitCode.BAD_INPUT,
        "ca.key: others may read it. Run: chmod 600 ca.key",
    )


def test_a_key_that_cannot_be_is_bad_input():
    with pytest.raises(CredentialsError) as caught:
        KeyPair("A" * 20, "s" * 40, "123")
    assert explained(caught.value)[0] is ExitCode.BAD_INPUT


def test_a_current_folder_that_was_removed_is_named_and_not_the_system(tmp_path, monkeypatch):
    folder = tmp_path / "removed"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        Path("job.yaml").absolute()
    expected = "the current folder was removed. Change to one that is there, by `cd`."
    assert explained(caught.value) == (ExitCode.UNREACHABLE, expected)


def test_anything_else_is_a_defect_of_ours():
    code, text = explained(ZeroDivisionError("division by zero"))
    assert code is ExitCode.DEFECT
    assert "`rekindle --debug ...`" in text


def test_a_terminal_folds_an_error_between_words_and_a_pipe_has_it_on_one_line(capsys, monkeypatch):
    error = StoreUnavailable(
        "the database at " + "a/very/long/path/" * 8 + "rekindle.db is away for some reason that takes long."
    )
    report(error)
    (line,) = capsys.readouterr().err.splitlines()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    report(error)
    lines = capsys.readouterr().err.splitlines()
    assert " ".join(part.strip() for part in lines) == line
    assert all(len(part) <= 40 or "/" in part for part in lines)
    assert all(part.startswith("  ") for part in lines[1:])
    assert len(lines) > 3


def test_a_full_disk_says_the_way_out():
    code, text = explained(OSError(errno.ENOSPC, "No space left on device"))
    assert (code, text) == (ExitCode.UNREACHABLE, "the system: No space left on device. Free some space and try again.")


@pytest.mark.parametrize("argv", [["--version"], ["tune", "job.yaml"], ["--debug", "serve"]])
def test_on_windows_itself_the_command_says_where_it_runs(argv: list[str]) -> None:
    absent = "sys.modules.update(dict.fromkeys(('fcntl', 'grp', 'pwd', 'resource', 'termios')))"
    code = f"import os, sys; {absent}; from rekindle.cli.main import main; os.name = 'nt'; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (ExitCode.BAD_INPUT, "", 1)
    assert done.stderr.startswith("error: the command rekindle needs Linux or macOS")
    assert "WSL" in done.stderr
