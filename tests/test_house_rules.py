"""The rules of the house, each shown to catch what it is for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main

from rekindle.api.operations import HANDLERS
from rekindle.cli.program import build_app
from rekindle.domain.builtins.catalogue import BUILTINS
from rekindle.sinks.receivers import Receiver
from rekindle.storage.schema import metadata
from support.house import SOURCE, banned_uses, facade, rooms

ROOT = SOURCE.parents[1]
FILES = sorted(SOURCE.rglob("*.py"))


def below(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_time_environment_and_randomness_stay_in_their_homes() -> None:
    assert [use for f in FILES for use in banned_uses(below(f), f.read_text())] == []


@pytest.mark.parametrize(
    "line",
    [
        "import time; time.time()",
        "import time as t\nfrom time import sleep",
        "import os; os.environ['A']",
        "from os import environ",
        "from datetime import datetime; datetime.now()",
        "import datetime; datetime.datetime.now()",
        "import numpy as np; np.random.seed(1)",
        "import pickle; pickle.loads(b'')",
    ],
)
def test_a_use_outside_its_home_is_caught(line: str) -> None:
    assert list(banned_uses("engine/worker.py", line))


def test_init_files_are_empty() -> None:
    assert [below(f) for f in FILES if facade(below(f), f.read_text())] == []


def test_a_facade_is_caught() -> None:
    assert facade("engine/__init__.py", "from rekindle.engine.worker import Worker")
    assert not facade("engine/__init__.py", '"""Words."""')


def test_the_architecture_page_draws_the_real_house() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawn = set(re.findall(r"^  ([a-z_0-9]+(?:/|\.py))\s", page, re.MULTILINE))
    assert drawn == rooms()


def test_the_architecture_page_has_the_floors_that_are_enforced() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawn = re.findall(r"^  ([a-z_0-9]+)(?:/|\.py)\s", page, re.MULTILINE)
    first, last = re.findall(r"`([a-z]+)/` to `([a-z]+)/` are siblings", page)[0]
    siblings = drawn[drawn.index(first) : drawn.index(last) + 1]
    floors = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    enforced = [sorted(room for room in floor.split(" | ") if not room.startswith("(")) for floor in floors]
    assert [[room] for room in drawn if room not in siblings] == [floor for floor in enforced if len(floor) == 1]
    assert sorted(siblings) in enforced


def anchors(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_links_between_pages_lead_somewhere() -> None:
    lost = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]:
        for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", page.read_text()):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                lost.append((page.name, link))
    assert lost == []


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name}" not in readme] == []


def test_every_setting_is_documented() -> None:
    documented = (ROOT / "docs" / "settings.md").read_text()
    read = set(re.findall(r"\"(REKINDLE_[A-Z_]+)\"", (SOURCE / "settings.py").read_text()))
    assert read
    assert {name for name in read if f"`{name}`" not in documented} == set()


def test_every_kind_of_health_note_is_documented() -> None:
    page = (ROOT / "docs" / "training-jobs.md").read_text().split("## Health")[1].split("\n## ")[0]
    kinds = set(re.findall(r"Note\(\s*\"([a-z-]+)\"", (SOURCE / "domain" / "health.py").read_text()))
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == kinds


def test_every_operation_is_documented() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text().split("\n## ")[0]
    beside = "\n".join(f.read_text() for f in sorted((SOURCE / "companions").glob("*.py")))
    served = {*HANDLERS, *re.findall(r'"([A-Z]\w+)": (?:partial\(|_\w+,\n)', beside)}
    assert {"CreateTrainingJob", "GetCallerIdentity", "GetLogEvents", "GetMetricStatistics"} <= served
    assert {*re.findall(r"`([A-Z]\w+[a-z]\w+)`", page)} == {*served, "UnknownOperationException", "AssumeRole"}
    assert len(HANDLERS) == 17, "the page says seventeen"


def test_every_metric_of_a_built_in_algorithm_is_documented() -> None:
    rows = [row for row in (ROOT / "docs" / "algorithms.md").read_text().splitlines() if row.startswith("| metrics |")]
    told = [metric.name for builtin in BUILTINS for metric in builtin.metrics]
    assert told
    words = set(re.findall(r"[\w-]+", " ".join(rows)))
    assert {name for name in told if not set(name.split(":")) <= words} == set()


def test_every_key_of_a_receiver_is_documented() -> None:
    shown = set(re.findall(r"^[- ] (\w+): ", (ROOT / "docs" / "events.md").read_text(), re.MULTILINE))
    assert {f.name for f in fields(Receiver)} <= shown


def test_the_storage_page_lists_the_tables() -> None:
    page = (ROOT / "docs" / "storage.md").read_text()
    listed = set(re.findall(r"^([a-z_]+)  +\S", page.split("## Tables")[1].split("```")[1], re.MULTILINE))
    assert listed == {*metadata.tables, "alembic_version"}


def test_every_command_is_documented() -> None:
    documented = (ROOT / "docs" / "cli.md").read_text()
    done = subprocess.run([sys.executable, "-m", "rekindle.cli.main", "--help"], capture_output=True, text=True, check=True)
    commands = set(re.findall(r"^[│ ]+([a-z][a-z-]+)  +\S", done.stdout, re.MULTILINE))
    assert {"tune", "plan", "resume"} <= commands
    assert {name for name in commands if f"rekindle {name}" not in documented} == set()


def commands(group: Any, path: str = "rekindle") -> Iterator[tuple[str, Any]]:
    """Each command that is shown, by its whole name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


#: Options that many commands have, which the page explains once for all.
EVERYWHERE = {"--json", "--quiet"}


def test_every_option_is_documented_beside_its_command() -> None:
    rows = [line for line in (ROOT / "docs" / "cli.md").read_text().splitlines() if line.startswith("| `rekindle ")]
    missing = []
    for name, command in commands(typer.main.get_command(build_app())):
        (row,) = (row for row in rows if re.search(rf"`{name}\b", row.split(" | ")[0]))
        options = ([*p.opts, *p.secondary_opts] for p in command.params if p.opts[0].startswith("--"))
        missing += [(name, o) for o in options if not any(re.search(rf"{n}\b", row) or n in EVERYWHERE for n in o)]
    assert missing == []


def test_the_command_runs_as_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "rekindle", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\S*\n", done.stdout)


def test_no_lock_file_names_a_registry() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in path.read_text()


def lint(folder: Path) -> str:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder / "src")}).stdout


#: For each import contract, a file and a line that breaks it.
BREAKS = {
    "floors": ("search/space.py", "import rekindle.domain.errors"),
    "pure": ("domain/errors.py", "import logging"),
    "search-parts": ("search/history.py", "import re2"),
    "botocore": ("engine/queries.py", "import botocore"),
    "sqlalchemy": ("cli/main.py", "import sqlalchemy"),
    "cycles": ("engine/ports.py", "import rekindle.engine.worker"),
}


def test_each_import_contract_breaks_when_it_is_broken(tmp_path: Path) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {c["id"] for c in contracts} == set(BREAKS)
    shutil.copytree(SOURCE, tmp_path / "src" / "rekindle")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert "0 broken" in lint(tmp_path)
    for path, line in BREAKS.values():
        broken = tmp_path / "src" / "rekindle" / path
        broken.write_text(broken.read_text() + f"\n{line}\n")
    report = lint(tmp_path)
    for contract in contracts:
        assert f"{contract['name']} BROKEN" in report


def test_siblings_are_blind_to_each_other(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "src" / "rekindle")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    store = tmp_path / "src" / "rekindle" / "jobfile" / "load.py"
    store.write_text(store.read_text() + "\nimport rekindle.storage.store\n")
    assert "rekindle.jobfile is not allowed to import rekindle.storage" in lint(tmp_path)
