"""``rekindle keys``: what it prints, and what it keeps to itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rekindle.cli.main import main
from rekindle.gateway.credentials import load_or_create


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REKINDLE_HOME", str(tmp_path))
    return tmp_path


def test_a_new_account_gets_a_key_and_the_first_stays_first(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "add", "222222222222"]) == 0
    printed = capsys.readouterr().out.split()
    credentials = load_or_create(home)
    made = credentials.for_account("222222222222")
    assert made is not None
    assert printed == ["export", f"AWS_ACCESS_KEY_ID={made.access_key}", "export", f"AWS_SECRET_ACCESS_KEY={made.secret_key}"]
    assert credentials.first.account == "000000000000"
    assert main(["keys", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert [entry["account"] for entry in json.loads(listed)] == ["000000000000", "222222222222"]
    assert made.secret_key not in listed


def test_what_is_no_account_is_refused_and_nothing_is_added(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "add", "12"]) == 2
    assert capsys.readouterr().err == "error: account '12': needs 12 digits. Write all twelve, such as 000000000000.\n"
    assert len(load_or_create(home).pairs) == 1


def test_a_key_file_that_others_can_read_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "list"])
    (home / "credentials.json").chmod(0o644)
    assert main(["keys", "list"]) == 2
    assert "chmod 600" in capsys.readouterr().err
