"""The pages on the library, held to it: their samples run, and none of its calls is left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import rekindle.search
from rekindle.search import Tuner
from rekindle.search.hyperband import Hyperband

ROOT = Path(__file__).parents[3]
LIBRARY = ROOT / "docs" / "library.md"


def samples(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def run(sample: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(sample, names)
    return names


def test_a_warm_start_begins_with_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    warm, _ = samples(LIBRARY)
    names = run(warm)
    assert names["trial"].values == {"lr": 0.01, "layers": 1}
    assert 'best of monday\'s: {"lr": 0.01, "layers": 1}' in warm
    assert capsys.readouterr().out == "parent\n"


def test_the_other_samples_run() -> None:
    halving = run(samples(LIBRARY)[1])["tuner"]
    assert any(t.stopped for t in halving.history.trials)
    assert {"rungs", "bracket"} <= halving.explain(0).keys()
    (plain,) = samples(ROOT / "README.md")
    assert run(plain)["tuner"].best.value < 0.05


def test_every_call_is_on_the_page() -> None:
    page = LIBRARY.read_text()
    calls = [name for name in vars(Tuner) if not name.startswith("_")]
    assert {"ask", "tell", "best"} <= {*calls}
    assert [name for name in calls if not re.search(rf"`{name}[(`]", page)] == []
    # What a strategy of one's own needs, and what a history is made of, is told where it stands.
    inner = {"Direction", "History", "Observation", "Proposal", "Strategy", "Trial", "TrialState"}
    assert [name for name in rekindle.search.__all__ if name not in page and name not in inner] == []
    assert Hyperband.__name__ in page
