"""Axes: where a value stands between two ends, and which values are written beside the line."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

#: An axis of objectives ends at so many times the spread of the better half, where the worst lies far beyond that.
_SHOWN, _FAR = 3.0, 6.0
#: About so many values are written beside an axis.
_TICKS = 5


class Scale(Protocol):
    """An axis."""

    def place(self, value: Any) -> float | None:
        """Where a value stands: 0 at the low end, 1 at the high one; None for what has no place."""

    def ticks(self) -> Sequence[tuple[float, str]]:
        """Places from 0 to 1 with what is written there."""


@dataclass(frozen=True)
class Linear:
    """From ``low`` to ``high``; values beyond stand at the ends. ``whole``: of whole numbers."""

    low: float
    high: float
    whole: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value lies between the ends."""
        return self.low <= value <= self.high

    def place(self, value: Any) -> float | None:
        """See Scale."""
        return _between(value, self.low, self.high, lambda x: x)

    def ticks(self) -> Sequence[tuple[float, str]]:
        """Round numbers."""
        return _written(self, round_numbers(self.low, self.high, 1.0 if self.whole else 0.0))


@dataclass(frozen=True)
class Logarithmic:
    """Of positive numbers."""

    low: float
    high: float

    def place(self, value: Any) -> float | None:
        """See Scale."""
        return _between(value, self.low, self.high, lambda x: math.log(x) if x > 0 else -math.inf)

    def ticks(self) -> Sequence[tuple[float, str]]:
        """Powers of ten, as many as there is room for; the ends where there are too few."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        step = max(1, math.ceil((last - first + 1) / _TICKS))
        powers = [10.0**n for n in range(first, last + 1, step)]
        return _written(self, powers if len(powers) > 1 else [self.low, self.high])


@dataclass(frozen=True)
class TowardsOne:
    """Reverse logarithmic: of numbers below one, the finer the nearer to it."""

    low: float
    high: float

    def place(self, value: Any) -> float | None:
        """See Scale."""
        return _between(value, self.low, self.high, lambda x: -math.log1p(-x) if x < 1 else math.inf)

    def ticks(self) -> Sequence[tuple[float, str]]:
        """0.9, 0.99, 0.999 and so on, as far as they lie between the ends; and the ends."""
        nines = [1.0 - 10.0**-n for n in range(1, 7)]
        return _written(self, [self.low, *(x for x in nines if self.low < x < self.high), self.high])


@dataclass(frozen=True)
class Categories:
    """One place for each value, in the order in which they were declared."""

    values: Sequence[str]

    def place(self, value: Any) -> float | None:
        """See Scale."""
        try:
            return (self.values.index(str(value)) + 0.5) / len(self.values)
        except ValueError:
            return None

    def ticks(self) -> Sequence[tuple[float, str]]:
        """All of them."""
        return [((i + 0.5) / len(self.values), value) for i, value in enumerate(self.values)]


def of_range(declared: Mapping[str, Any]) -> Scale:
    """The axis of a range, on the scale on which it is searched (a record as ``--json`` has it)."""
    if declared["type"] == "categorical":
        return Categories([str(v) for v in declared["values"]])
    low, high = float(declared["min"]), float(declared["max"])
    whole = declared["type"] == "integer"
    if low == high:
        return widened(low, high, whole)
    match declared["resolved_scaling"]:
        case "Logarithmic":
            return Logarithmic(low, high)
        case "ReverseLogarithmic":
            return TowardsOne(low, high)
        case _:
            return Linear(low, high, whole)


def of_objective(values: Sequence[float], minimise: bool) -> Linear:
    """The axis of objectives. Those far worse than the better half would press it into a line: they stand at the edge then."""
    signed = sorted(v if minimise else -v for v in values if math.isfinite(v))
    if not signed:
        return Linear(0.0, 1.0)
    best, worst = signed[0], signed[-1]
    spread = signed[(len(signed) - 1) // 2] - best
    if spread > 0 and worst - best > _FAR * spread:
        worst = best + _SHOWN * spread
    ends = (best, worst) if minimise else (-worst, -best)
    return widened(*ends)


def widened(low: float, high: float, whole: bool = False) -> Linear:
    """A little beyond both ends, so that points at them are whole; something also where they are equal."""
    margin = 0.04 * high - 0.04 * low or (0.5 if whole else 0.5 * abs(low)) or 0.5
    return Linear(max(low - margin, -sys.float_info.max), min(high + margin, sys.float_info.max), whole)


def round_numbers(low: float, high: float, least: float) -> list[float]:
    """Some multiples of 1, 2 or 5 times a power of ten, and not below ``least``, from ``low`` to ``high``."""
    rough = high / _TICKS - low / _TICKS
    if rough <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(next((m * power for m in (1, 2, 5) if m * power >= rough), 10 * power), least)
    if low + step == low:
        return [low]
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def number(value: float) -> str:
    """A number beside an axis."""
    return f"{value + 0.0:.6g}"


def _written(scale: Scale, marks: Sequence[float]) -> list[tuple[float, str]]:
    """Numbers at their places, with as many digits as tell them apart."""
    texts = [number(x) for x in marks]
    for digits in range(7, 18):
        if len(set(texts)) == len(set(marks)):
            break
        texts = [f"{x + 0.0:.{digits}g}" for x in marks]
    return [(place, text) for x, text in zip(marks, texts, strict=True) if (place := scale.place(x)) is not None]


def _between(value: Any, low: float, high: float, along: Callable[[float], float]) -> float | None:
    try:
        x = float(value)
    except (TypeError, ValueError):
        return None
    if math.isnan(x):
        return None
    # Halves: the difference of two numbers may be too large for one.
    start, end = along(low) / 2, along(high) / 2
    return min(max((along(x) / 2 - start) / (end - start), 0.0), 1.0) if end > start else 0.5
