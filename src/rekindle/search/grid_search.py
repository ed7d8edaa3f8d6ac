"""Grid search: every combination once, in the declared order, the last parameter turning fastest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rekindle.search.history import History
from rekindle.search.space import Categorical, Continuous, Space, SpaceError, Value
from rekindle.search.strategy import Proposal


@dataclass(frozen=True)
class GridSearch:
    """Every configuration of a finite space in lexicographic order. Raises SpaceError for a space without end."""

    space: Space

    def __post_init__(self) -> None:
        for p in self.space.parameters:
            if p.size is None:
                raise SpaceError(p.name, p, "grid search needs a finite list of values; this range is continuous")

    def propose(self, history: History) -> Proposal | None:
        """The first configuration that the history does not hold."""
        seen = {self.space.key(t.configuration) for t in history.trials}
        size = self.space.size or 0
        for index in range(min(size, len(seen) + 1)):
            configuration = configuration_at(self.space, index)
            if self.space.key(configuration) not in seen:
                return Proposal(configuration, "grid", {"index": index})
        return None

    def to_stop(self, history: History) -> Sequence[int]:
        """Nothing: a grid is for seeing every point."""
        return ()


def configuration_at(space: Space, index: int) -> dict[str, Value]:
    """Configuration number ``index`` (0 up to the space's size - 1) of a finite space in lexicographic order."""
    values: dict[str, Value] = {}
    for p in reversed(space.parameters):
        index, place = divmod(index, p.size or 1)
        values[p.name] = p.values[place] if isinstance(p, Categorical) else p.low + (0 if isinstance(p, Continuous) else place)
    return {name: values[name] for name in space.names}
