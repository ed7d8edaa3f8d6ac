"""The port of every search strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rekindle.search.history import Direction, History
from rekindle.search.space import Configuration, Space


@dataclass(frozen=True)
class Proposal:
    """A configuration to try next and why.

    ``source`` says where it comes from: ``initial``, ``random``, ``grid``, ``model`` or ``parent``.
    ``why`` holds plain data for reports (numbers, strings, lists and mappings of them), ready for JSON.
    """

    configuration: Configuration
    source: str
    why: Mapping[str, object] = field(default_factory=dict)


class Strategy(Protocol):
    """A search algorithm as a pure function of history.

    An implementation is frozen after construction from (space, direction, seed, parents, options). It may not read a
    clock, an environment variable or global random state, nor keep anything between calls that could change an answer:
    what it caches must be a pure function of its arguments. The same history gives the same answer, bit for bit, in any
    process of the same build, whatever the number of threads.
    """

    @property
    def space(self) -> Space:
        """The space that proposals come from."""
        ...

    def propose(self, history: History) -> Proposal | None:
        """The next configuration, or None when every configuration has been tried or is running.

        It never repeats a configuration of ``history`` (finished, failed or pending) while another is left. Random
        draws come from a generator seeded by (seed, history.asked), so that each suggestion is a fresh draw.
        """
        ...

    def to_stop(self, history: History) -> Sequence[int]:
        """Ids of pending trials that are not worth finishing, judged by their curves; empty for most strategies."""
        ...


def is_strategy(given: object) -> bool:
    """Whether ``given`` has what a Strategy has. A class has not: it searches no space yet."""
    return not isinstance(given, type) and all(hasattr(given, name) for name in ("space", "propose", "to_stop"))


def check_inner(direction: Direction, inner: Strategy) -> None:
    """Raises ValueError unless ``inner`` is a Strategy object, which searches in this direction, if in any."""
    if not is_strategy(inner):
        raise ValueError(f"inner: {inner!r} is no Strategy object; write one, such as RandomSearch(space, seed)")
    check_direction(direction, inner)


def check_direction(direction: Direction, strategy: Strategy | None = None) -> None:
    """Raises ValueError for what is no direction, and for another one than that in which ``strategy`` searches, if in any."""
    if direction not in ("minimize", "maximize"):
        raise ValueError(f"direction {direction!r} is neither 'minimize' nor 'maximize'")
    theirs = getattr(strategy, "direction", direction)
    if theirs != direction:
        raise ValueError(f"direction {direction!r} is not that of the strategy, {theirs!r}; give both the same")


def generator(seed: int, *path: int) -> np.random.Generator:
    """The random generator of one decision: a function of the search's seed and the decision's place only."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))
