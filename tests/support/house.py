"""The house rules as functions over source text, so that each can be shown to catch what it is for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "rekindle"

#: What may be called in one home only, and where that is (paths below the package).
HOMES: dict[str, tuple[str, ...]] = {
    "datetime.now": (),
    "datetime.utcnow": (),
    "time.time": ("engine/clock.py", "executors/supervisor.py", "executors/container.py"),
    "time.sleep": (
        *("engine/clock.py", "executors/supervisor.py"),
        # Programs of their own, to which nobody could give a clock.
        *("executors/container.py", "executors/ray_job.py", "executors/script_mode.py"),
    ),
    # These, but for the settings, start a training job's own process: its environment is the job's, not ours.
    "os.environ": (
        "settings.py",
        "executors/container.py",
        "executors/opt_ml.py",
        "executors/ray_job.py",
        "executors/script_mode.py",
        "algorithms/job.py",
    ),
    "os.getenv": (),
    "random.random": (),
    "random.seed": (),
    "random.choice": (),
    "np.random.seed": (),
    "np.random.rand": (),
    "np.random.random": (),
    "pickle.loads": (),
    "pickle.dumps": (),
    "pickle.load": (),
    "pickle.dump": (),
}
#: ``__init__`` files that may hold code: the library's face and the package's root.
FACES = ("__init__.py", "search/__init__.py")


def dotted(node: ast.expr) -> str:
    """``a.b.c`` for a chain of attributes, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def banned_uses(path: str, source: str) -> Iterator[str]:
    """Uses of a banned name outside its home; ``path`` is below the package."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        name = dotted(node) if isinstance(node, ast.Attribute) else ""
        for banned, homes in HOMES.items():
            if (name == banned or name.endswith("." + banned)) and path not in homes:
                yield f"{path}:{node.lineno}: {name}"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in HOMES and path not in HOMES[whole]:
                    yield f"{path}:{node.lineno}: from {node.module} import {alias.name}"


def facade(path: str, source: str) -> bool:
    """Whether an ``__init__`` file that must be empty is not (a docstring is allowed)."""
    if not path.endswith("__init__.py") or path in FACES:
        return False
    body = ast.parse(source).body
    return any(not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)) for n in body)


def rooms() -> set[str]:
    """The package's folders and modules on the ground floor, as the architecture page draws them."""
    found = {p.name + "/" for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__" and any(p.glob("*.py"))}
    return found | {p.name for p in SOURCE.glob("*.py") if p.name != "__init__.py"}
