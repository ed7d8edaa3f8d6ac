"""How much a host has for training jobs, and whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """How many more training jobs of a kind a host can start now (None: any number), and why it cannot start more.
    ``ever``: whether it could start one if nothing else ran."""

    runs: int | None = None
    reason: str = ""
    ever: bool = True

    def takes(self, count: int) -> bool:
        """Whether so many can start."""
        return self.runs is None or count <= self.runs


#: Who has had nothing running for so many seconds, for want of room, is waited for: nobody else begins before.
PATIENCE_SECONDS = 60.0


def turn(running: int, idle_since: int, age: int) -> tuple[int, int, int]:
    """What turns are ordered by: who has the fewest running is next; of equals who has had none for the longest; then the
    oldest (the lowest ``age``).

    One training job a turn, the slots of a host are shared out evenly, and nobody waits for ever: who has none is passed only
    by those who have been without for longer, or for PATIENCE_SECONDS by those who fit in where it does not.
    """
    return running, idle_since, age
