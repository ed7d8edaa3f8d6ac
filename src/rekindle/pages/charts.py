"""Charts of a tuning job as SVG: drawn here, so that a page needs no script and nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any
from xml.etree.ElementTree import Element

from rekindle.pages.markup import node
from rekindle.pages.scales import Categories, Linear, Scale, number, of_objective, of_range, widened

#: Points of one chart; of more, the better half and every so many of the others are drawn.
MOST_POINTS = 2000
#: Lines of one chart of learning curves.
MOST_LINES = 60
#: Text of an axis is cut to so many characters; from such a place on it ends under its value, for want of room behind it.
_LABEL, _AT_THE_EDGE = 14, 0.93
#: About how wide a letter of an axis is (as in DejaVu Sans; others have narrower ones), and how far apart lines of them are.
_LETTER, _LINE = 7.0, 12.0

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Frame:
    """A chart's place for points, with its axes."""

    x: Scale
    y: Linear
    width: float = 760.0
    height: float = 280.0
    margin: float = 72.0
    bottom: float = 34.0

    @cached_property
    def left(self) -> float:
        """Where the y axis stands: at the margin, or as far in as its longest label wants."""
        return max(self.margin, *(len(_cut(text)) * _LETTER + 14.0 for _, text in self.y.ticks()))

    def at(self, x: Any, y: Any) -> tuple[float, float] | None:
        """Where a point stands; None where either value has no place."""
        across, up = self.x.place(x), self.y.place(y)
        return None if across is None or up is None else (self.across(across), self.up(up))

    def across(self, place: float) -> float:
        """From a place on the x axis to the picture."""
        return self.left + place * (self.width - self.left - 12.0)

    def up(self, place: float) -> float:
        """From a place on the y axis to the picture."""
        return 10.0 + (1.0 - place) * (self.height - self.bottom - 10.0)

    def drawn(self, title: str, *marks: Element) -> Element:
        """The picture: what it shows for those who do not see it, axes, marks."""
        box = f"0 0 {self.width:g} {self.height:g}"
        return node("svg", node("title", title), *self._axes(), *marks, viewBox=box, role="img", class_="chart")

    def _axes(self) -> Iterator[Element]:
        right, floor = self.width - 12.0, self.up(0.0)
        for place, text in self.y.ticks():
            y = self.up(place)
            yield node("line", x1=self.left, x2=right, y1=y, y2=y, class_="grid")
            yield node("text", _cut(text), x=self.left - 8.0, y=y + 4.0, class_="tick", text_anchor="end")
        marks = self.x.ticks()
        slanted = isinstance(self.x, Categories) and sum(len(_cut(text)) + 2 for _, text in marks) * _LETTER > right - self.left
        free = -math.inf
        for place, text in marks:
            x, anchor = self.across(place), "end" if slanted or place > _AT_THE_EDGE else "middle"
            room = _LINE if slanted else len(_cut(text)) * _LETTER
            begins = x - room * {"end": 1.0, "middle": 0.5}[anchor]
            if begins < free:
                continue  # No room beside the one before it.
            free = begins + room + 4.0 * (not slanted)
            # Many categories: each under its place, read upwards.
            turned = f"rotate(-40 {x:.1f} {floor + 12:.1f})" if slanted else None
            yield node("text", _cut(text), x=x, y=floor + 18.0, class_="tick", text_anchor=anchor, transform=turned)
        yield node("line", x1=self.left, x2=right, y1=floor, y2=floor, class_="axis")


def progress(trials: Sequence[Record], objective: Record, parents_best: float | None) -> Element:
    """The objective of each training job in the order of their numbers, the best so far, and the parents' best, unless
    that lies beyond an edge: a line there would pass for a value of the axis."""
    minimise = objective["goal"] == "minimize"
    with_value = [t for t in trials if t["objective"] is not None]
    values = [t["objective"] for t in with_value] + ([parents_best] if parents_best is not None else [])
    last = max((t["number"] for t in trials), default=1)
    frame = Frame(widened(1.0, float(last), whole=True), of_objective(values, minimise))
    marks: list[Element] = []
    if parents_best is not None and frame.y.holds(parents_best):
        marks.append(_level(frame, parents_best, f"the parents' best, {number(parents_best)}"))
    marks += _failures(frame, [t for t in trials if t["status"] == "Failed"])
    marks += _points(frame, _fewer(with_value, minimise), lambda t: t["number"], objective["metric"], _configuration)
    marks += _best_so_far(frame, with_value, minimise, float(last))
    return frame.drawn(f"{objective['metric']} of each training job, by number", *marks)


def has_arrows(chart: Element) -> bool:
    """Whether results stand at an edge, far beyond which they lie."""
    return any(mark.tag == "path" and "point" in mark.attrib["class"].split() for mark in chart)


def has_lines_beyond(chart: Element) -> bool:
    """Whether a curve goes beyond an edge, along which it is drawn as long as it does."""
    return any("beyond" in mark.attrib.get("class", "").split() for mark in chart)


def has_level(chart: Element) -> bool:
    """Whether the parents' best is drawn."""
    return any(mark.attrib.get("class") == "level" for mark in chart)


def parameter(trials: Sequence[Record], declared: Record, objective: Record) -> Element:
    """The objective over the values of one hyperparameter, on the scale on which it is searched."""
    minimise, name = objective["goal"] == "minimize", declared["name"]
    there = [t for t in trials if t["objective"] is not None and name in t["values"]]
    scale = of_range(declared)
    deep = 92.0 if isinstance(scale, Categories) and len(scale.values) > 4 else 34.0
    frame = Frame(scale, of_objective([t["objective"] for t in there], minimise), 312.0, 156.0 + deep, 58.0, deep)

    def own(trial: Record) -> Any:
        return trial["values"][name]

    # One value each: whole configurations in each of thirty charts made a page of 2,000 training jobs 76 MB large.
    marks = _points(frame, _fewer(there, minimise), own, objective["metric"], lambda t: _setting(name, own(t)))
    return frame.drawn(f"{objective['metric']} by {name}", *marks)


def weights(lines: Mapping[str, Sequence[tuple[int, float]]]) -> Element:
    """What was recorded with each suggestion: (number, weight) of each line, from 0 to 1."""
    last = max((n for line in lines.values() for n, _ in line), default=1)
    frame = Frame(widened(1.0, float(last), whole=True), Linear(0.0, 1.04), height=220.0)
    marks = []
    for i, (name, line) in enumerate(lines.items()):
        marks.append(_line(frame, line, f"line line-{i % 6}", f"{name}: {line[0][1]:.2f} at first, {line[-1][1]:.2f} at last"))
    return frame.drawn("the parents' weights by suggestion", *marks)


def curves(found: Sequence[tuple[Record, Sequence[tuple[float, float]]]], objective: Record) -> Element:
    """What training jobs emitted while they ran, (step, value) each; the best stands out."""
    minimise, drawn = objective["goal"] == "minimize", found[:MOST_LINES]
    steps = [step for _, curve in drawn for step, _ in curve]
    values = [value for _, curve in drawn for _, value in curve]
    frame = Frame(widened(min(steps), max(steps)), of_objective(values, minimise))
    marks = []
    for trial, curve in reversed(drawn):
        kind = "line line-best" if trial["is_best"] else "line line-cut" if trial["stopped_early"] else "line line-other"
        beyond = "" if all(frame.y.holds(value) for _, value in curve) else " beyond"
        marks.append(_line(frame, curve, kind + beyond, f"#{trial['number']}: {number(curve[-1][1])} after {len(curve)}"))
        end = frame.at(*curve[-1])
        if trial["stopped_early"] and end is not None:
            marks.append(node("circle", cx=end[0], cy=end[1], r=2.5, class_="point cut"))
    return frame.drawn(f"{objective['metric']} while training jobs ran", *marks)


def kind_of(trial: Record) -> str:
    """What chose a configuration, as far as the charts tell it apart."""
    source = trial["source"]
    return source if source in ("initial", "model", "parent", "imported") else "drawn"


def _points(
    frame: Frame, trials: Sequence[Record], across: Callable[[Record], Any], metric: str, told: Callable[[Record], str]
) -> list[Element]:
    found = []
    for trial in trials:
        place = frame.at(across(trial), trial["objective"])
        if place is not None:
            title = node("title", f"#{trial['number']}  {metric}={number(trial['objective'])}\n{told(trial)}")
            found.append(_point(frame, trial, place, title))
    # The best on top of all.
    return sorted(found, key=lambda mark: "best" in mark.attrib["class"].split())


def _point(frame: Frame, trial: Record, place: tuple[float, float], told: Element) -> Element:
    kind = f"point {kind_of(trial)}{' cut' if trial['stopped_early'] else ''}{' best' if trial['is_best'] else ''}"
    x, y = place
    if not frame.y.holds(trial["objective"]):
        # An arrow at the edge beyond which it lies.
        towards = 5.0 if y > frame.height / 2 else -5.0
        return node("path", told, d=f"M{x - 4:.1f} {y - towards:.1f}h8l-4 {towards:.1f}z", class_=kind)
    return node("circle", told, cx=x, cy=y, r=5.5 if trial["is_best"] else 3.5, class_=kind)


def _failures(frame: Frame, trials: Sequence[Record]) -> list[Element]:
    """Crosses on the axis."""
    found, y = [], frame.up(0.0)
    for trial in trials[:MOST_POINTS]:
        x = frame.across(frame.x.place(trial["number"]) or 0.0)
        told = f"#{trial['number']} failed: {trial['failure_reason'] or 'no reason was given'}\n{_configuration(trial)}"
        path = f"M{x - 3:.1f} {y - 7:.1f}l6 6m0 -6l-6 6"
        found.append(node("path", node("title", told), d=path, class_="failed"))
    return found


def _best_so_far(frame: Frame, trials: Sequence[Record], minimise: bool, last: float) -> list[Element]:
    corners: list[tuple[float, float]] = []
    best: float | None = None
    for trial in trials:
        value = trial["objective"]
        if best is None or (value < best if minimise else value > best):
            if best is not None:
                corners.append((trial["number"], best))
            corners.append((trial["number"], value))
            best = value
    if best is None:
        return []
    return [_line(frame, [*corners, (last, best)], "line line-best", f"best so far: {number(best)}")]


def _line(frame: Frame, points: Sequence[tuple[float, float]], kind: str, told: str) -> Element:
    places = [place for point in points if (place := frame.at(*point)) is not None]
    if len(places) == 1:
        places.append((places[0][0] + 4.0, places[0][1]))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in _visible(places))
    return node("polyline", node("title", told), points=path, class_=kind)


def _visible(places: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """All places of a line, or, of more than a picture can show, those at which it enters and leaves each of its columns, and
    the lowest and the highest between."""
    if len(places) <= MOST_POINTS:
        return places
    kept: list[tuple[float, float]] = []
    for _, found in groupby(places, key=lambda place: int(place[0])):
        column = list(found)
        heights = [y for _, y in column]
        ends = {0, heights.index(min(heights)), heights.index(max(heights)), len(column) - 1}
        kept += [column[i] for i in sorted(ends)]
    return kept


def _level(frame: Frame, value: float, told: str) -> Element:
    y = frame.up(frame.y.place(value) or 0.0)
    return node("line", node("title", told), x1=frame.left, x2=frame.width - 12.0, y1=y, y2=y, class_="level")


def _fewer(trials: Sequence[Record], minimise: bool) -> Sequence[Record]:
    """All, or the better half of what can be drawn and every so many of the others."""
    if len(trials) <= MOST_POINTS:
        return trials
    ranked = sorted(trials, key=lambda t: t["objective"] if minimise else -t["objective"])
    half = MOST_POINTS // 2
    return [*ranked[:half], *ranked[half :: (len(ranked) - half) // half + 1]]


def _configuration(trial: Record) -> str:
    return "\n".join(_setting(name, value) for name, value in trial["values"].items())


def _setting(name: str, value: Any) -> str:
    return f"{name}: {number(value) if isinstance(value, float) else value}"


def _cut(text: str) -> str:
    """Names that are alike often differ at their ends."""
    half = _LABEL // 2
    return text if len(text) <= _LABEL else f"{text[: half - 1]}…{text[-half:]}"


def legend(trials: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """The classes of the marks that are there, with what they stand for."""
    words = {
        "initial": "first points",
        "model": "chosen by the model",
        "parent": "in view of the parents",
        "drawn": "drawn, or of a grid",
        "imported": "imported",
    }
    kinds = {kind_of(t) for t in trials if t["objective"] is not None}
    yield from (("point " + kind, text) for kind, text in words.items() if kind in kinds)
    if any(t["stopped_early"] and t["objective"] is not None for t in trials):
        yield "point cut", "stopped early"
    if any(t["status"] == "Failed" for t in trials):
        yield "failed", "failed"
    if any(t["objective"] is not None for t in trials):
        yield "line line-best", "best so far"
