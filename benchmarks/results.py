"""Finished runs on disk: one JSON line each, so that a benchmark that was stopped goes on where it ended.

    python -m benchmarks.results quality      # puts what this machine has run into the repository

A machine's own runs are in ``.cache``. Runs that took days are in ``kept``, which is part of the repository, so that tables can
be made, checked and added to anywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CACHE = Path(__file__).parent / ".cache"
KEPT = Path(__file__).parent / "kept"
SEARCH = Path(__file__).parent.parent / "src" / "rekindle" / "search"


@cache
def version_of_ours() -> str:
    """A hash of our search library: a changed library makes its old runs void."""
    digest = hashlib.sha256()
    for path in sorted(SEARCH.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Results:
    """Runs by key: those of the repository and this machine's own."""

    def __init__(self, name: str) -> None:
        self.path, self.kept = CACHE / f"{name}.jsonl", KEPT / f"{name}.jsonl.xz"
        self.runs: dict[str, dict[str, object]] = dict(self._read())

    def _read(self) -> Iterator[tuple[str, dict[str, object]]]:
        lines = lzma.decompress(self.kept.read_bytes()).decode().splitlines() if self.kept.exists() else []
        lines += self.path.read_text().splitlines() if self.path.exists() else []
        for line in lines:
            record = json.loads(line)
            yield record["key"], record

    def get(self, key: str) -> dict[str, object] | None:
        """A finished run, or None."""
        return self.runs.get(key)

    def put(self, key: str, record: dict[str, object]) -> None:
        """Keeps a finished run on this machine."""
        self.runs[key] = {"key": key, **record}
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(self.runs[key]) + "\n")

    def keep(self) -> int:
        """Puts all runs into the repository, but for those of other versions of our library; how many these are."""
        lines = [json.dumps(self.runs[key]) + "\n" for key in sorted(self.runs) if _of_this_version(key)]
        self.kept.parent.mkdir(exist_ok=True)
        self.kept.write_bytes(lzma.compress("".join(lines).encode(), preset=9))
        return len(lines)


def _of_this_version(key: str) -> bool:
    method = key.split("|")[0]
    return "@" not in method or method.endswith(f"@{version_of_ours()}")


def main() -> None:
    """Puts this machine's runs into the repository."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="of benchmarks")
    for name in parser.parse_args().names:
        results = Results(name)
        print(f"{results.keep()} runs in {results.kept}")


if __name__ == "__main__":
    main()
