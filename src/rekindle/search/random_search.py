"""Random search: independent draws, uniform on each range's scale."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from rekindle.search.grid_search import configuration_at
from rekindle.search.history import History
from rekindle.search.space import Configuration, Space
from rekindle.search.strategy import Proposal, generator

#: Draws that may hit known configurations before we look for the unknown ones one by one.
_REDRAWS = 100
#: A finite space up to this size is searched through for what is left; a larger one is never exhausted in practice.
_ENUMERABLE = 1_000_000


@dataclass(frozen=True)
class RandomSearch:
    """Independent uniform draws; draw number k depends on (seed, k) alone, so it is the same at any parallelism."""

    space: Space
    seed: int

    def propose(self, history: History) -> Proposal | None:
        """A draw that is not in the history; None when a finite space is exhausted."""
        seen = {self.space.key(t.configuration) for t in history.trials}
        configuration = draw_unseen(self.space, self.seed, history.asked, seen)
        return None if configuration is None else Proposal(configuration, "random")

    def to_stop(self, history: History) -> Sequence[int]:
        """Nothing: random search runs every trial to its end."""
        return ()


def draw_unseen(space: Space, seed: int, index: int, seen: Set[tuple[object, ...]]) -> Configuration | None:
    """Uniform draw number ``index``, drawn again while it is in ``seen`` (keys by ``Space.key``); None if all are."""
    if space.size is not None and len(seen) >= space.size:
        return None
    rng = generator(seed, index)
    for _ in range(_REDRAWS):
        configuration = space.decode(rng.random(len(space)))
        if space.key(configuration) not in seen:
            return configuration
    return _any_unseen(space, rng.random(), seen)


def _any_unseen(space: Space, u: float, seen: Set[tuple[object, ...]]) -> Configuration | None:
    size = space.size
    if size is None or size > _ENUMERABLE:
        return None
    left = [i for i in range(size) if space.key(configuration_at(space, i)) not in seen]
    return configuration_at(space, left[int(u * len(left))]) if left else None
