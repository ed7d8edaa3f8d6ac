"""Finished runs on disk: one JSON line each, so that a benchmark that was stopped goes on where it ended.

    python -m benchmarks.results quality      # puts what this machine has run into the repository

A machine's own runs are in ``.cache``. Runs that took days are in ``kept``, which is part of the repository, so that tables can
be made, checked and added to anywhere.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import lzma
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CACHE = Path(__file__).parent / ".cache"
KEPT = Path(__file__).parent / "kept"
SEARCH = Path(__file__).parent.parent / "src" / "rekindle" / "search"
_OF_PARENTS = frozenset({"kinship.py", "parent_model.py", "parent_rows.py", "transfer.py"})
_OF_STOPPING = frozenset({"early_stopping.py", "hyperband.py", "importance.py"})
#: Modules of our search library that a benchmark's runs of ours do not use.
UNUSED = {"quality": _OF_PARENTS | _OF_STOPPING, "warmstart": _OF_STOPPING, "multifidelity": _OF_PARENTS}


@cache
def version_of_ours(benchmark: str) -> str:
    """A hash of the code of our search library, as far as the benchmark's runs use it: changed code makes its old runs void,
    changed comments and docstrings do not."""
    digest = hashlib.sha256()
    for path in sorted(SEARCH.rglob("*.py")):
        if path.name not in UNUSED[benchmark]:
            digest.update(_code_of(path.read_text()).encode())
    return digest.hexdigest()[:12]


def _code_of(source: str) -> str:
    """Source without comments and docstrings, in Python's own layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


class Results:
    """Runs by key: those of the repository and this machine's own."""

    def __init__(self, name: str) -> None:
        self.name = name
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
        lines = [json.dumps(self.runs[key]) + "\n" for key in sorted(self.runs) if self._of_this_version(key)]
        self.kept.parent.mkdir(exist_ok=True)
        self.kept.write_bytes(lzma.compress("".join(lines).encode(), preset=9))
        return len(lines)

    def _of_this_version(self, key: str) -> bool:
        method = key.split("|")[0]
        return "@" not in method or method.endswith(f"@{version_of_ours(self.name)}")


def main() -> None:
    """Puts this machine's runs into the repository."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="of benchmarks")
    for name in parser.parse_args().names:
        results = Results(name)
        print(f"{results.keep()} runs in {results.kept}")


if __name__ == "__main__":
    main()
