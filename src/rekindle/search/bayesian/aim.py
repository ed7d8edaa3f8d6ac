"""What a suggestion aims at: the greatest expected improvement, or, once a search stands still, something farther away.

A model can be sure of the wrong place: two unlucky results of a category, or values that look like noise, and expected
improvement stays with the best category and the best valley to the end. So when many results brought nothing better, every
third suggestion goes where the model would not go by itself, by its own expected improvement there. A search with parents goes
farther as soon as its models see nothing to gain where the parents led it: the parents may be sure of the wrong place, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.kernel import Columns
from rekindle.search.bayesian.maximise import Objective

Array = NDArray[np.float64]

#: A search stands still after this many results without a better one.
_STILL_AFTER = 8
#: How far below the incumbent a suggestion aims that shall go farther, in model values: only where much is unknown can it win.
_LOWER = 1.0
#: Log expected improvement, in model values, below which there is nothing to gain.
NOTHING = -8.0
#: Taken off where a suggestion must not go; more than any difference of log expected improvement.
_AWAY = 1e12


@dataclass(frozen=True)
class Aim:
    """``lower`` >= 0 is what an improvement must at least be, in model values. ``column``: the categorical column in which the
    suggestion must differ from the best trial; None when it is free."""

    name: str = "improve"
    lower: float = 0.0
    column: int | None = None


FARTHER = Aim("farther", lower=_LOWER)
#: Right beside the best trial, to tell noise from waves (``waves.beside``).
SECOND_LOOK = Aim("second look")


def aim_of(y: Array, asked: int, design: int, columns: Columns) -> Aim:
    """The aim of suggestion number ``asked`` after model values ``y`` (n,), oldest first, the first ``design`` of them not
    chosen by a model.

    While the search stands still, every third suggestion goes in turn to another value of each categorical parameter, and
    farther from everything seen.
    """
    since = len(y) - max(design, int(np.argmin(y)) + 1) if len(y) else 0
    if asked % 3 != 0 or since < _STILL_AFTER:
        return Aim()
    turns = [*(j for j, k in enumerate(columns.categories) if k), None]
    column = turns[(asked // 3) % len(turns)]
    return FARTHER if column is None else Aim("another category", column=column)


@dataclass(frozen=True)
class Elsewhere:
    """``inner`` for rows that do not have ``place`` in ``column``; all others come after these."""

    inner: Objective
    column: int
    place: float

    def __call__(self, x: Array) -> Array:
        """Values (q,) at rows ``x`` (q, d)."""
        return self.inner(x) - self._away(x)

    def with_gradients(self, x: Array) -> tuple[Array, Array]:
        """Values (q,) at rows ``x`` (q, d) and gradients (q, d)."""
        value, gradient = self.inner.with_gradients(x)
        return value - self._away(x), gradient

    def _away(self, x: Array) -> Array:
        return np.where(np.abs(x[:, self.column] - self.place) < 1e-9, _AWAY, 0.0)
