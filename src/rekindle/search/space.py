"""The search space: named ranges, their scalings, and the map between configurations and the unit cube.

A *configuration* is a mapping from parameter name to a Python value: ``float`` for a continuous range, ``int`` for an
integer range, one of the declared categories for a categorical range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Never

import numpy as np
from numpy.typing import NDArray

Scaling = Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]
Category = str | int | float | bool
Value = float | int | str | bool
Configuration = Mapping[str, Value]

#: ``Auto`` reads a positive range as logarithmic from this ratio of its ends on.
AUTO_LOG_RATIO = 100.0
#: A model looks at the values of an integer range up to this size one by one.
_FEW = 4096
#: Whole numbers up to this one have places of their own on every scale, however many there are.
_SURELY_APART = 2**40
#: How a space is written.
_SPACE = "write Space([Continuous('lr', 0.001, 0.1), ...])"


class SpaceError(ValueError):
    """A range, a space or a configuration that cannot be: names the parameter, the value and the rule."""

    def __init__(self, parameter: str, value: object, reason: str) -> None:
        super().__init__(f"{parameter}: {value!r}: {reason}")
        self.parameter = parameter
        self.value = value
        self.reason = reason


@dataclass(frozen=True)
class Continuous:
    """A real parameter in ``[low, high]``, both ends included.

    ``scaling`` says in which measure the range is uniform: ``Linear``; ``Logarithmic`` (needs ``low > 0``, u = ln x);
    ``ReverseLogarithmic`` (needs ``0 <= low`` and ``high < 1``, u = -ln(1 - x)); ``Auto`` leaves the choice to us.
    Raises SpaceError where these do not hold.
    """

    name: str
    low: float
    high: float
    scaling: Scaling = "Auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _checked_name(self.name))
        _check_ends(self.name, self.low, self.high)
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        _check_scaling(self.name, self.low, self.high, self.scaling)

    @property
    def size(self) -> int | None:
        """How many values there are: 1 for a range of one point, else None (without end)."""
        return 1 if self.low == self.high else None

    def from_unit(self, u: float) -> float:
        """The value at ``u`` in [0, 1] on this range's scale; the ends map to the ends exactly."""
        if u <= 0.0:
            return self.low
        if u >= 1.0:
            return self.high
        a, b = self.ends
        return min(max(_unwarp(a + u * (b - a), self), self.low), self.high)

    def to_unit(self, value: Value) -> float:
        """Where ``value`` lies on this range's scale: 0 at ``low``, 1 at ``high``; outside [0, 1] for a value outside
        the range, clamped to [-1, 2]; 0.5 where the range is one point."""
        return _position(float(value), self)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Both ends on the scale in force."""
        return _warp(self.low, self), _warp(self.high, self)

    @cached_property
    def scale(self) -> Scaling:
        """The scaling in force; see ``resolved_scaling``."""
        return resolved_scaling(self)

    def contains(self, value: object) -> bool:
        """Whether ``value`` is a number within both ends."""
        return _is_number(value) and self.low <= float(value) <= self.high  # type: ignore[arg-type]

    def taken(self, value: Value) -> float:
        """A value that the range contains, as a float."""
        return float(value)


@dataclass(frozen=True)
class Integer:
    """A whole-number parameter in ``[low, high]``, both ends included; scalings as for Continuous, but for the reverse
    logarithmic one, which SageMaker has for continuous ranges only."""

    name: str
    low: int
    high: int
    scaling: Scaling = "Auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _checked_name(self.name))
        for end in (self.low, self.high):
            if not _is_number(end) or end != int(end):
                raise SpaceError(self.name, end, "an integer range needs whole numbers as its ends")
            if float(end) != int(end):
                raise SpaceError(self.name, end, f"floating point has no such number; the nearest is {int(float(end))}")
        _check_ends(self.name, self.low, self.high)
        object.__setattr__(self, "low", int(self.low))
        object.__setattr__(self, "high", int(self.high))
        if self.scaling == "ReverseLogarithmic":
            raise SpaceError(self.name, self.scaling, "ReverseLogarithmic is for continuous ranges only")
        _check_scaling(self.name, self.low, self.high, self.scaling)

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    def from_unit(self, u: float) -> int:
        """The integer whose cell holds ``u``: on the scale from ``low - 1/2`` to ``high + 1/2`` every integer has a cell."""
        a, b = self.ends
        x = _unwarp(a + min(max(u, 0.0), 1.0) * (b - a), self)
        return min(max(round(x), self.low), self.high)

    def to_unit(self, value: Value) -> float:
        """The place of ``value`` between the outer edges of the first and the last cell, in [0, 1]; clamped to [-1, 2]
        for a value outside."""
        return _position(float(value), self)

    @property
    def told_apart(self) -> bool:
        """Whether floating point has a place of its own for each value on this range's scale, where they are few."""
        a, b = self.ends
        if self.size > 1 and not b > a:
            return False
        if self.size > _FEW or max(abs(self.low), abs(self.high)) <= _SURELY_APART:
            return True
        return all(self.from_unit(self.to_unit(k)) == k for k in range(self.low, self.high + 1))

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The outer edges of the first and of the last value's cell, on the scale in force."""
        return _warp(self.low - 0.5, self), _warp(self.high + 0.5, self)

    @cached_property
    def scale(self) -> Scaling:
        """The scaling in force; see ``resolved_scaling``."""
        return resolved_scaling(self)

    def contains(self, value: object) -> bool:
        """Whether ``value`` is a whole number within both ends."""
        return _is_number(value) and value == int(value) and self.low <= value <= self.high  # type: ignore

    def taken(self, value: Value) -> int:
        """A value that the range contains, as an int."""
        return int(value)


@dataclass(frozen=True)
class Categorical:
    """A parameter with a list of values without order: texts, finite numbers, truth values, and None, as scikit-learn's
    parameters have it. Those of numpy become Python's own."""

    name: str
    values: Sequence[Category]

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _checked_name(self.name))
        if isinstance(self.values, str) or not isinstance(self.values, Iterable):
            raise SpaceError(self.name, self.values, "a categorical range is a list of values; write it in brackets")
        if isinstance(self.values, set | frozenset):
            # Its order changes from process to process, and the suggestions would with it.
            raise SpaceError(self.name, self.values, "a set has no order that lasts; write a list")
        object.__setattr__(self, "values", tuple(_checked_category(self.name, native(v)) for v in self.values))
        if not self.values:
            raise SpaceError(self.name, [], "a categorical range needs at least one value")
        seen: set[tuple[type, Category]] = set()
        for value in self.values:
            if (type(value), value) in seen:
                raise SpaceError(self.name, value, "the value is listed twice")
            seen.add((type(value), value))

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    def index(self, value: object) -> int:
        """The place of ``value`` in the list. Raises SpaceError when it is not there."""
        place = self._place(value)
        if place is None:
            raise SpaceError(self.name, value, f"not one of {list(self.values)}")
        return place

    def from_unit(self, u: float) -> Category:
        """The category whose cell of [0, 1] holds ``u``."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def to_unit(self, value: Value) -> float:
        """The middle of the cell of ``value``."""
        return (self.index(value) + 0.5) / len(self.values)

    def contains(self, value: object) -> bool:
        """Whether ``value`` is one of the list."""
        return self._place(value) is not None

    def taken(self, value: Value) -> Category:
        """A value that the range contains, as it is listed."""
        return self.values[self.index(value)]

    def _place(self, value: object) -> int | None:
        value = native(value)
        try:
            return self._order.get((type(value), value))
        except TypeError:  # a list, say, which has no hash and is no category
            return None

    @cached_property
    def _order(self) -> dict[tuple[type, object], int]:
        """The place of each value by its type and itself: 1, 1.0 and True are three."""
        return {(type(value), value): place for place, value in enumerate(self.values)}


Parameter = Continuous | Integer | Categorical


@dataclass(frozen=True)
class Space:
    """An ordered list of parameters with distinct names. ``known_names``: Bayesian search begins around what is known of
    well-known hyperparameters (``C``, ``subsample``), not around the middle of their ranges.

    >>> space = Space([Continuous("lr", 1e-5, 1e-1, scaling="Logarithmic"), Integer("layers", 1, 5)])
    >>> round(space.decode([0.5, 0.99])["lr"], 6)
    0.001
    """

    parameters: Sequence[Parameter]
    known_names: bool = True

    def __init__(self, parameters: Sequence[Parameter], *others: Never, known_names: bool = True) -> None:
        if others:
            raise SpaceError("parameters", (parameters, *others), f"ranges come as one list; {_SPACE}")
        if isinstance(parameters, Parameter):
            raise SpaceError(parameters.name, parameters, f"one range alone is no list of ranges; {_SPACE}")
        if not isinstance(parameters, Iterable):
            raise SpaceError("parameters", parameters, f"not a list of ranges; {_SPACE}")
        if not isinstance(known_names, bool):
            raise SpaceError("known_names", known_names, "whether the names of hyperparameters count is True or False")
        object.__setattr__(self, "parameters", tuple(parameters))
        object.__setattr__(self, "known_names", known_names)
        names: set[str] = set()
        for parameter in self.parameters:
            if not isinstance(parameter, Parameter):
                raise SpaceError("parameters", parameter, f"neither Continuous nor Integer nor Categorical; {_SPACE}")
            if parameter.name in names:
                raise SpaceError(parameter.name, parameter.name, "two parameters have this name")
            names.add(parameter.name)

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(p.name for p in self.parameters)

    @property
    def size(self) -> int | None:
        """How many different configurations there are, or None when there is no end of them."""
        return size_of(self.parameters)

    def decode(self, unit: Sequence[float] | NDArray[np.float64]) -> dict[str, Value]:
        """The configuration at a point of the unit cube, one coordinate in [0, 1] for each parameter."""
        return {p.name: p.from_unit(float(u)) for p, u in zip(self.parameters, unit, strict=True)}

    def encode(self, configuration: Configuration) -> NDArray[np.float64]:
        """The point of the unit cube, shape (d,), for a configuration that names every parameter."""
        return np.array([p.to_unit(configuration[p.name]) for p in self.parameters])

    def check(self, configuration: Configuration) -> None:
        """Raises SpaceError unless the configuration names exactly these parameters with values in their ranges."""
        if not isinstance(configuration, Mapping):
            raise SpaceError("values", configuration, "a configuration is a mapping of names to values, such as {'lr': 0.1}")
        for name in configuration:
            if name not in self.names:
                raise SpaceError(name, configuration[name], f"the space has no such parameter; it has {list(self.names)}")
        for p in self.parameters:
            if p.name not in configuration:
                raise SpaceError(p.name, None, "the configuration does not name this parameter")
            if not p.contains(configuration[p.name]):
                raise SpaceError(p.name, configuration[p.name], f"outside the range {p}")

    def taken(self, configuration: Configuration) -> dict[str, Value]:
        """The configuration, checked, each value of its range's own type: 2.0 is 2 in a range of whole numbers."""
        self.check(configuration)
        return {p.name: p.taken(configuration[p.name]) for p in self.parameters}

    def key(self, configuration: Configuration) -> tuple[object, ...]:
        """What makes a configuration the same as another: its values in the order of the parameters, and the types of its
        categories, since 1, 1.0 and True are three."""
        values, types = self._keyed
        return (*[configuration[name] for name in values], *[type(configuration[name]) for name in types])

    @cached_property
    def _keyed(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names whose values, and whose values' types, are part of a key."""
        return self.names, tuple(p.name for p in self.parameters if isinstance(p, Categorical))


def size_of(parameters: Iterable[Parameter]) -> int | None:
    """The product of the parameters' sizes; None when one of them is without end."""
    product = 1
    for p in parameters:
        if p.size is None:
            return None
        product *= p.size
    return product


def resolved_scaling(parameter: Continuous | Integer) -> Scaling:
    """The scaling in force: what was declared, or for ``Auto`` logarithmic when the ends are positive and
    ``high / low >= 100``, else linear."""
    if parameter.scaling != "Auto":
        return parameter.scaling
    wide = parameter.low > 0 and parameter.high / parameter.low >= AUTO_LOG_RATIO
    return "Logarithmic" if wide else "Linear"


def native(value: object) -> object:
    """A scalar of numpy as Python's own number, text or truth value, which JSON has a form for; anything else as it is."""
    if not isinstance(value, np.generic):
        return value
    for theirs, own in ((np.bool_, bool), (np.integer, int), (np.floating, float), (np.str_, str)):
        if isinstance(value, theirs):
            return own(value)
    return value


def check_told_apart(space: Space) -> None:
    """Raises SpaceError for a range of whole numbers that a model would take for one another (``Integer.told_apart``)."""
    for p in space.parameters:
        if isinstance(p, Integer) and not p.told_apart:
            way_out = f"tune how much is added to {p.low}, or use another strategy"
            raise SpaceError(p.name, [p.low, p.high], f"{not_told_apart(p)}; {way_out}")


def not_told_apart(p: Integer) -> str:
    """The reason why such a range is refused."""
    return f"floating point cannot tell numbers this great apart on a {p.scale.lower()} scale"


def _checked_name(name: object) -> str:
    name = native(name)
    if not isinstance(name, str):
        raise SpaceError(repr(name), name, "a range's first argument is its name, a text")
    return name


def _checked_category(name: str, value: object) -> Category:
    if not isinstance(value, str | int | float | None):
        reason = "a category is a text, a number, a truth value or None; list names, and look up by them what they stand for"
        raise SpaceError(name, value, reason)
    if value != value:
        raise SpaceError(name, value, "what is no number equals nothing, itself included; write it as text")
    if isinstance(value, float) and math.isinf(value):
        raise SpaceError(name, value, "JSON has no infinite numbers; write it as text")
    return value  # type: ignore[return-value]


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the greatest that floating point has
        return False


def _check_ends(name: str, low: float, high: float) -> None:
    for end in (low, high):
        if not _is_number(end):
            raise SpaceError(name, end, "an end of a range must be a finite number")
    if low > high:
        raise SpaceError(name, [low, high], "the range is reversed: min is greater than max")
    if not math.isfinite(float(high) - float(low)):
        raise SpaceError(name, [low, high], "the range is too wide for floating point")


def _check_scaling(name: str, low: float, high: float, scaling: str) -> None:
    if scaling not in ("Auto", "Linear", "Logarithmic", "ReverseLogarithmic"):
        raise SpaceError(name, scaling, "scaling is one of Auto, Linear, Logarithmic, ReverseLogarithmic")
    if scaling == "Logarithmic" and low <= 0:
        raise SpaceError(name, low, "logarithmic scaling needs a min above 0")
    if scaling == "ReverseLogarithmic" and not (0 <= low and high < 1):
        raise SpaceError(name, [low, high], "reverse logarithmic scaling needs 0 <= min and max < 1")


def _warp(x: float, p: Continuous | Integer) -> float:
    scaling = p.scale
    if scaling == "Logarithmic":
        return math.log(x) if x > 0 else -math.inf
    if scaling == "ReverseLogarithmic":
        return -math.log1p(-x) if x < 1 else math.inf
    return x


def _unwarp(w: float, p: Continuous | Integer) -> float:
    scaling = p.scale
    if scaling == "Logarithmic":
        return math.exp(w)
    if scaling == "ReverseLogarithmic":
        return -math.expm1(-w)
    return w


def positions(p: Continuous | Integer, values: Iterable[Value]) -> NDArray[np.float64]:
    """``to_unit`` of each value, bit for bit, shape (n,): for histories of many values."""
    x = [float(v) for v in values]
    a, b = p.ends
    if p.low == p.high or not b > a:
        return np.full(len(x), 0.5)
    if p.scale != "Linear":
        x = [_warp(v, p) for v in x]
    return np.clip((np.array(x) - a) / (b - a), -1.0, 2.0)


def looked_up(values: Sequence[Value], find: Callable[[Value], float]) -> NDArray[np.float64]:
    """``find`` of each value, shape (n,), asked once for each: of a category among many. 1, 1.0 and True are three."""
    keys = [(type(v), v) for v in values]
    found = {key: find(key[1]) for key in set(keys)}
    return np.array([found[key] for key in keys], dtype=np.float64)


def _position(x: float, p: Continuous | Integer) -> float:
    a, b = p.ends
    if p.low == p.high or not b > a:
        return 0.5
    return min(max((_warp(x, p) - a) / (b - a), -1.0), 2.0)
