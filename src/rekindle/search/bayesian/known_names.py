"""Where the good values of hyperparameters with well-known names are thought to lie.

Ranges are chosen around what is thought good, so the first points of a search lie around their middle (decision 42). Of some
names more is known, and the first points lie around that. The model hears nothing of it: it believes results alone. Where the
numbers are from: docs/search.md; what they are worth: decision 53.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rekindle.search.space import Categorical, Continuous, Integer, Space

#: More of these is better, and costs time: where in their range they are thought to be.
_EFFORT = 0.75
_EFFORTS = {
    "nestimators",
    "numround",
    "numboostround",
    "nrounds",
    "numtrees",
    "ntrees",
    "iterations",
    "maxiter",
    "epochs",
    "nepochs",
    "numepochs",
    "numtrainepochs",
}
#: Values that are good for many data sets.
_VALUES = {
    "C": 32.0,
    "cost": 32.0,
    "gamma": 2.0**-6,
    "eta": 0.1,
    "shrinkage": 0.1,
    "subsample": 0.8,
    "maxsamples": 0.8,
    "samplefraction": 0.8,
    "baggingfraction": 0.8,
    "colsamplebytree": 0.75,
    "featurefraction": 0.75,
    "minchildweight": 2.0,
    "lambda": 1.0,
    "reglambda": 1.0,
    "lambdal2": 1.0,
    "batchsize": 32.0,
}
#: What is good for boosted trees only; what a search over these has beside it. Networks and AdaBoost learn at another rate.
_VALUES_OF_TREES = {"learningrate": 0.1}
_OF_TREES = {
    "numround",
    "numboostround",
    "maxdepth",
    "maxleafnodes",
    "numleaves",
    "minsamplesleaf",
    "minchildweight",
    "subsample",
}
#: Categories that are the usual ones wherever they can be chosen.
_CATEGORIES = {"rbf", "relu", "adam", "gbtree"}
#: As far from the ends of a range a known value counts as lying, at least.
_MARGIN = 0.2


def middles(space: Space) -> tuple[float, ...]:
    """For each parameter the coordinate in [0, 1] around which good values are thought to lie: 1/2, the middle of its range,
    where its name says nothing, and for categories, which have none."""
    if not space.known_names:
        return (0.5,) * len(space)
    trees = any(_plain(p.name) in _OF_TREES for p in space.parameters)
    values = _VALUES | _VALUES_OF_TREES if trees else _VALUES
    return tuple(0.5 if isinstance(p, Categorical) else _middle(p, values) for p in space.parameters)


def first_category(parameter: Categorical, known_names: bool = True) -> int:
    """Which of a parameter's values to begin with: the usual one, else the middle one."""
    usual = (k for k, value in enumerate(parameter.values) if known_names and value in _CATEGORIES)
    return next(usual, parameter.size // 2)


def known(space: Space) -> list[str]:
    """The names of the parameters that a search begins elsewhere with than in their middle."""
    return [
        p.name
        for p, middle in zip(space.parameters, middles(space), strict=True)
        if middle != 0.5 or (isinstance(p, Categorical) and first_category(p, space.known_names) != p.size // 2)
    ]


def _plain(name: str) -> str:
    """A name without what it belongs to, and without what its parts are joined by: ``model__min-child_weight``. ``C`` is known,
    ``c`` may be any constant."""
    last = re.split(r"__|[./:]", name)[-1]
    return last if last in ("C", "c") else re.sub(r"[-_ ]", "", last).lower()


def _middle(parameter: Continuous | Integer, values: Mapping[str, float]) -> float:
    """The coordinate of a numeric parameter; ``values`` are the good ones by plain name."""
    name = _plain(parameter.name)
    if name in _EFFORTS:
        return _EFFORT
    value = values.get(name)
    if value is None or not parameter.low <= value <= parameter.high:
        return 0.5
    place = parameter.to_unit(round(value) if isinstance(parameter, Integer) else value)
    return min(max(place, _MARGIN), 1.0 - _MARGIN)
