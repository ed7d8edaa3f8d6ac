"""Finished runs on disk: one JSON line each, so that a benchmark that was stopped goes on where it ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CACHE = Path(__file__).parent / ".cache"
SEARCH = Path(__file__).parent.parent / "src" / "rekindle" / "search"


@cache
def version_of_ours() -> str:
    """A hash of our search library: a changed library makes its old runs void."""
    digest = hashlib.sha256()
    for path in sorted(SEARCH.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Results:
    """Runs by key, kept in one file."""

    def __init__(self, name: str) -> None:
        self.path = CACHE / f"{name}.jsonl"
        CACHE.mkdir(exist_ok=True)
        self.runs: dict[str, dict[str, object]] = dict(self._read())

    def _read(self) -> Iterator[tuple[str, dict[str, object]]]:
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                record = json.loads(line)
                yield record["key"], record

    def get(self, key: str) -> dict[str, object] | None:
        """A finished run, or None."""
        return self.runs.get(key)

    def put(self, key: str, record: dict[str, object]) -> None:
        """Keeps a finished run."""
        self.runs[key] = {"key": key, **record}
        with self.path.open("a") as file:
            file.write(json.dumps(self.runs[key]) + "\n")
