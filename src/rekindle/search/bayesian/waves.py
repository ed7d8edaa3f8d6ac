"""Short waves beside noise: how a search tells one from the other.

The prior of lengthscales keeps noise from being read as a function of tiny lengthscales, and so it reads an objective of short
waves as noise. A search that does has no reason to look close to its best point, where such an objective is best.

Results that lie apart say little of which it is. Two right beside one another tell: waves have one value there, noise has two.
So a search that sees noise, and has no such pair, once looks right beside its best trial. And while it sees noise, every second
suggestion is made by another fit whose lengthscales may be short, where this one foretells each result from the others no worse
than the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.fit import Priors
from rekindle.search.bayesian.gp import GP

Array = NDArray[np.float64]

#: Where lengthscales are short, and as likely shorter still as longer.
SHORT = Priors(lengthscale=(0.07, 1.3), shorter=1.3)
#: Among fewer results than this waves cannot be told from noise.
_LEAST_RESULTS = 12
#: Among more, noise shows by itself.
_MOST_RESULTS = 100
#: One suggestion in so many is by another fit than the usual one.
_EVERY = 2
#: How far from the best trial a second look goes, and how close two trials are a pair, in widths of the cube.
_STEP, _PAIR = 2.0**-8, 2.0**-6
#: A fit sees noise where more than this share of the variance is.
_NOISE_SHARE = 0.05


def has_turn(asked: int) -> bool:
    """Whether suggestion number ``asked`` is one by another fit: of short waves, or one that follows where the better results
    are (``concentration``)."""
    return asked % _EVERY == 0


def sees_noise(gp: GP) -> bool:
    """Whether a fit holds a part of what it was fitted to, which is enough to tell, for noise."""
    return len(gp.x) >= _LEAST_RESULTS and gp.hyper.noise > _NOISE_SHARE * (gp.hyper.noise + gp.hyper.signal)


def lacks_pair(x: Array, others: Array) -> bool:
    """Whether results at rows ``x`` (n, d) are to have a pair, and none of them is close to another one, or to one of the
    ``others`` (m, d): trials that run or failed, of which nothing better would come the second time."""
    if len(x) > _MOST_RESULTS:
        return False
    # Column by column: of failed trials there may be thousands.
    away = reduce(np.maximum, (np.abs(np.subtract.outer(u, v)) for u, v in zip(x.T, np.vstack([x, others]).T, strict=True)))
    np.fill_diagonal(away, np.inf)
    return bool(away.min() > _PAIR)


def beside(best: Array, encoding: Encoding, lengthscales: Array) -> Iterator[Array]:
    """Rows right beside the row ``best`` (d,), one for each parameter that has another value so close, first for those by which
    the objective changes least."""
    best = encoding.snap(best[None, :])[0]
    for j in np.argsort(-lengthscales, kind="stable"):
        row = best.copy()
        row[j] += _STEP if row[j] < 0.5 else -_STEP
        row = encoding.snap(row[None, :])[0]
        value = encoding.space.parameters[j].from_unit
        # Near the lower end of a logarithmic range of whole numbers the next one is farther away.
        if abs(row[j] - best[j]) <= _PAIR and value(float(row[j])) != value(float(best[j])):
            yield row
