"""The warm start report for people: what was taken from each parent, what speaks for it, and who suggested what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rekindle.cli.printing import cell

if TYPE_CHECKING:
    from rich.console import RenderableType

#: The least rank correlation that bears a parent out, and that says anything for it; negative, against it.
_BORNE_OUT, _SOMETHING = 0.5, 0.2
_TRUSTED_UP_TO = 3.0
#: From so many results on, they say something of a parent.
JUDGED_FROM = 3
_KINDS = {"IdenticalDataAndAlgorithm": "identical", "TransferLearning": "transfer"}
ROLES = {"rows": "as rows", "kin": "as kin", "shape": "as kin", "none": "no", None: "-"}
_SOURCES = {
    "initial": "the search's own first points",
    "parent": "laid out in view of the parents",
    "random": "random draws",
    "safety": "random draws for safety",
}


def show_warm_start(found: Mapping[str, Any]) -> None:
    """The whole report on stdout."""
    from rekindle.cli.printing import show, table, tell

    warm = found["warm_start"]
    if not warm["looks_at_parents"]:
        tell("Random search draws without a look at the parents; they count for the best overall.")
    tell(_title(found))
    right = ("used", "weight", "agreement", "its best")
    show(table(_COLUMNS, [_row(p, warm["now"]["results"]) for p in warm["parents"]], right=right), "")
    if warm["deleted_parents"]:
        tell(f"{warm['deleted_parents']} of its parents were deleted since: what they said then is recorded only.")
        show("")
    for line in _evidence(warm):
        tell(line)
    if warm["looks_at_parents"]:
        show("", _readings(warm["parents"]))
        for line in _unread(warm["parents"]):
            tell(line)
        show("")
    for line in _suggestions(warm["suggestions"]):
        tell(line)
    tell(_compared(found))


_COLUMNS = ("parent", "used", "counts", "weight", "agreement", "its best")


def _title(found: Mapping[str, Any]) -> str:
    warm = found["warm_start"]
    relaxed = ", relaxed" if warm["match"] == "relaxed" else ""
    judged = f"; {warm['now']['results']} results here to judge the parents by" if warm["looks_at_parents"] else ""
    return f"warm start: {_KINDS[warm['type']]}{relaxed}{judged}"


def _row(p: Mapping[str, Any], results: int) -> list[object]:
    best = "none" if p["best"] is None else p["best"]["objective"]
    weight = "-" if p["weight"] is None else f"{p['weight_at_start']:.2f} -> {p['weight']:.2f}"
    agreement = "-" if p["weight"] is None or results < JUDGED_FROM else f"{p['agreement']:+.2f}"
    return [_called(p), f"{p['used']} of {p['training_jobs']}", ROLES[p["role"]], weight, agreement, best]


def _called(p: Mapping[str, Any]) -> str:
    return str(p["name"]) if p["direct"] else f"{p['name']} (ancestor)"


def _evidence(warm: Mapping[str, Any]) -> Iterator[str]:
    """What was used of each parent, where that is not all, and what this job's own results say of it."""
    for p in warm["parents"]:
        told = [*_use(p), *([] if p["weight"] is None else [_verdict(p, int(warm["now"]["results"])) + _held(p)])]
        if told:
            yield f"{p['name']}: {' '.join(told)}"


def _use(p: Mapping[str, Any]) -> Iterator[str]:
    parts = [f"{p['used']} of {p['training_jobs']} training jobs used"]
    parts += [f"{p['failed']} of them failed"] if p["failed"] else []
    parts += [f"{p['clipped']} of them clipped to the ranges"] if p["clipped"] else []
    parts += [f"{count} dropped ({why})" for why, count in p["dropped"].items()]
    if len(parts) > 1:
        yield f"{', '.join(parts)};"


def _held(p: Mapping[str, Any]) -> str:
    """How results with other values of what is static here are read."""
    if not p["mixed"]:
        return ""
    are, values = ("is", "value") if len(p["mixed"]) == 1 else ("are", "values")
    return (
        f" It had other values of {', '.join(p['mixed'])}, which {are} static here: its results are read as its model puts them"
        f" at the {values} here."
    )


def _verdict(p: Mapping[str, Any], results: int) -> str:
    if p["best"] is None:
        return "none of its training jobs has a result: it has nothing to say."
    if p["role"] == "rows":
        return f"its results count like this job's own{_predicted(p) if results else ''}."
    if p["kind"] == "identical" and p["surprise"] > _TRUSTED_UP_TO:
        counts = "it has no say any more" if p["role"] == "none" else f"only its shape counts, with weight {p['weight']:.2f}"
        return f"called identical, but this job's results are {p['surprise']:.1f} deviations off what it predicts: {counts}."
    if p["role"] == "none" and not p["weight_at_start"]:
        return "as they are read here, its results follow no pattern that a model finds: it has no say."
    if results < JUDGED_FROM:
        return "too few results here to judge it by yet."
    said = _said(float(p["agreement"]))
    return f"{results} results here {said} (rank correlation {p['agreement']:+.2f}); {_say(p)}."


def _predicted(p: Mapping[str, Any]) -> str:
    """How well this job's results are predicted by those of an identical parent; by few or equal ones nothing is."""
    if not p["surprise"]:
        return "; they are too few, or too much alike, to be judged by this job's results"
    return f", which they predict within {p['surprise']:.1f} deviations (trusted up to {_TRUSTED_UP_TO:g})"


def _say(p: Mapping[str, Any]) -> str:
    """What became of a parent's weight, and why, where its agreement does not show it."""
    if p["role"] == "none":
        return "it has no say any more"
    say, before = f"its weight {_change(p)}", p["weight_at_start"]
    if p["agreement"] >= _BORNE_OUT and p["weight"] < before / 2:
        return f"{say}, since this job's own results say more by now"
    if p["agreement"] < _SOMETHING and p["weight"] > before:
        return f"{say}, since the values fit, if not their order"
    return say


def _said(agreement: float) -> str:
    if agreement >= _BORNE_OUT:
        return "bear it out"
    if agreement >= _SOMETHING:
        return "bear it out in part"
    return "neither bear out nor contradict its order" if agreement > -_SOMETHING else "contradict it"


def _change(p: Mapping[str, Any]) -> str:
    before, now = f"{p['weight_at_start']:.2f}", f"{p['weight']:.2f}"
    return f"stays at {now}" if before == now else f"went from {before} to {now}"


def _readings(parents: Sequence[Mapping[str, Any]]) -> RenderableType:
    """How each parameter was read, one row for each: the same reading of several parents stands once."""
    from rekindle.cli.printing import table

    rows: list[list[str]] = []
    for name in [m["parameter"] for m in (parents[0]["parameters"] if parents else ())]:
        by_reading: dict[str, list[str]] = {}
        for p in parents:
            by_reading.setdefault(_reading(next(m for m in p["parameters"] if m["parameter"] == name)), []).append(p["name"])
        for i, (reading, names) in enumerate(by_reading.items()):
            whose = "" if len(by_reading) == 1 else ", ".join(names)
            rows.append(["" if i else name, reading, whose])
    return table(["parameter", "read", "in" if any(r[2] for r in rows) else ""], rows)


def _unread(parents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What parents varied that is not tuned here; what several left out alike stands once."""
    by_names: dict[str, list[str]] = {}
    for p in parents:
        if p["unused"]:
            by_names.setdefault(", ".join(p["unused"]), []).append(p["name"])
    for names, whose in by_names.items():
        yield f"{', '.join(whose)}: {names} left out: not tuned here"


def _reading(m: Mapping[str, Any]) -> str:
    scale = f", scale {m['scaling']['there']} -> {m['scaling']['here']}" if m.get("scaling") else ""
    match m["how"]:
        case "value":
            return f"by value, same range{scale}"
        case "new range":
            return f"by value, range {m['detail']}{scale}"
        case "constant":
            return f"constant: {m['detail']}"
        case _:
            return f"not at all: {m['detail']}"


def _suggestions(suggestions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Who suggested what, in one line for each kind."""
    if not suggestions:
        yield "No suggestion has been made yet."
        return
    by: dict[str, list[Mapping[str, Any]]] = {}
    for s in suggestions:
        whose = " and ".join(s["from"])
        by.setdefault(f"of {whose}" if whose else str(s["source"]), []).append(s)
    for kind, group in by.items():
        yield f"{_numbers([s['number'] for s in group])}: {_kind(kind, group)}"


def _kind(kind: str, group: Sequence[Mapping[str, Any]]) -> str:
    if kind.startswith("of "):
        return f"a configuration {kind}, as it was there" if len(group) == 1 else f"configurations {kind}, as they were there"
    if kind == "model":
        says = [s["parents_say"] for s in group if s["parents_say"] is not None]
        told = f"; the model with parents has {says[0]:.2f} of the say at first, {says[-1]:.2f} at last" if says else ""
        return f"chosen by the model{told}"
    return _SOURCES.get(kind, kind)


def _numbers(numbers: Sequence[int]) -> str:
    """``#1, #4-#7``."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"#{r[0]}" if len(r) == 1 else f"#{r[0]}-#{r[-1]}" for r in runs)


def _compared(found: Mapping[str, Any]) -> str:
    """How this job's best compares with the parents'."""
    own, bests = found["best"], [(p["name"], p["best"]) for p in found["warm_start"]["parents"] if p["best"]]
    if own is None:
        return "Nothing has a result here yet."
    here = f"Best here: {found['objective']['metric']} {cell(own['objective'])} by #{own['number']}"
    if not bests:
        return f"{here}."
    sign = 1.0 if found["objective"]["goal"] == "minimize" else -1.0
    name, best = min(bests, key=lambda pair: sign * pair[1]["objective"])
    theirs = f"{cell(best['objective'])} by #{best['number']} of {name}"
    gain = sign * (best["objective"] - own["objective"])
    word = "better than" if gain > 0 else "equal to" if gain == 0 else "not as good as"
    caveat = "" if found["warm_start"]["type"].startswith("Identical") else " (on data of its own: scores may not compare)"
    return f"{here}, {word} the parents' best, {theirs}{caveat}."
