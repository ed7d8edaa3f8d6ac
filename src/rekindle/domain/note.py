"""What is said of a tuning job's health. A file of its own: records keep notes, and what computes them needs scipy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Note:
    """One finding. ``kind`` is a stable name for programs, ``text`` a sentence for people, ``facts`` its figures."""

    kind: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
