"""The options of ``import`` and ``export``, however many there are by now."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main

from rekindle.cli.export_forms import FORMS
from rekindle.cli.main import main
from rekindle.cli.program import build_app
from support.house import SOURCE

IMPORT, EXPORT = (typer.main.get_command(build_app()).commands[name] for name in ("import", "export"))
#: By which option, or in which arguments, history comes, and the other options that are read with it. Those of any have none.
READ_WITH = {
    ("a.yaml", "a.csv"): {"--objective", "--column"},
    ("--from-aws", "a"): {"--profile", "--region"},
    ("--from-optuna", "sqlite:///a.db"): {"--study", "--objective", "--column"},
}
READ_WITH_ANY = {"--name", "--json", "--help"}
OPTIONS = {option for param in IMPORT.params for option in param.opts if option.startswith("--")}


def test_every_source_is_above() -> None:
    assert {place for place, *_ in READ_WITH if place in OPTIONS} == {o for o in OPTIONS if o.startswith("--from-")}


@pytest.mark.parametrize(
    ("source", "option"),
    # Of two sources, either may be the one that the other does not go with.
    [(s, o) for s, read in READ_WITH.items() for o in sorted(OPTIONS - READ_WITH_ANY - read) if not o.startswith("--from-")],
    ids=str,
)
def test_what_would_go_unread_is_refused(
    source: tuple[str, str], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REKINDLE_HOME", str(tmp_path))
    assert main(["import", *source, option, "a=b"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {option}: ")
    assert "does not go with" in told


@pytest.mark.parametrize("first", sorted(o for o in OPTIONS if o.startswith("--from-")))
def test_history_comes_from_one_place(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REKINDLE_HOME", str(tmp_path))
    for other in [o for o in OPTIONS if o.startswith("--from-") and o != first]:
        assert main(["import", first, "sqlite:///a.db", other, "sqlite:///b.db"]) == 2
        assert "does not go with --from-" in capsys.readouterr().err
    assert main(["import", first, "sqlite:///a.db", "a.yaml", "a.csv"]) == 2
    assert "a.csv" in (told := capsys.readouterr().err) or "takes no further files" in told


@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_export_is_told_where_people_look_for_it(form: str) -> None:
    (helped,) = (param.help for param in EXPORT.params if "--as" in param.opts)
    assert form in helped.replace(",", "").replace(".", "").split()
    page = (SOURCE.parents[1] / "docs" / "cli.md").read_text()
    row = next(line for line in page.splitlines() if "rekindle export" in line)
    assert form in row.replace(",", "").split()
