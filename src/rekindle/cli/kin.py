"""The warm start report for people: what was taken from each parent, what speaks for it, and who suggested what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rekindle.cli.printing import cell, show, show_rows, table, tell

#: The least rank correlation that bears a parent out, and that says anything for it; negative, against it.
_BORNE_OUT, _SOMETHING = 0.5, 0.2
_TRUSTED_UP_TO = 3.0
#: From so many results on, they say something of a parent.
JUDGED_FROM = 3
#: What a warm start is called in a job file, by the type that it has on the wire.
KINDS = {"IdenticalDataAndAlgorithm": "identical", "TransferLearning": "transfer"}
ROLES = {"rows": "as rows", "kin": "as kin", "shape": "as kin", "none": "no", None: "-"}
_SOURCES = {
    "initial": "the search's own first points",
    "parent": "laid out in view of the parents",
    "random": "random draws",
    "safety": "random draws for safety",
}

_UNSEEN = "Random search draws without a look at the parents; they count for the best overall."


def show_warm_start(found: Mapping[str, Any]) -> None:
    """The whole report on stdout."""
    warm = found["warm_start"]
    unseen, deleted, evidence, unread, outcome = _parts(found)
    for line in (*unseen, f"warm start: {kind_in_words(found)}"):
        tell(line)
    rows = [_row(p, warm["now"]["results"]) for p in warm["parents"]]
    show_rows(_COLUMNS, rows, right=("used", "weight", "agreement", "its best"))
    show("")
    for line in deleted:
        tell(line)
        show("")
    for line in evidence:
        tell(line)
    if warm["looks_at_parents"]:
        show("", table(*readings(warm["parents"])))
        for line in unread:
            tell(line)
        show("")
    for line in outcome:
        tell(line)


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What the report says in words."""
    return [line for part in _parts(found) for line in part]


def _parts(found: Mapping[str, Any]) -> tuple[Iterable[str], ...]:
    """The sentences in their order, in the parts between which the terminal has its tables and blank lines."""
    warm = found["warm_start"]
    looks = warm["looks_at_parents"]
    return (
        () if looks else (_UNSEEN,),
        _deleted(warm),
        _evidence(warm),
        _unread(warm["parents"]) if looks else (),
        (*_suggestions(warm["suggestions"]), _compared(found)),
    )


def _deleted(warm: Mapping[str, Any]) -> Iterator[str]:
    if count := warm["deleted_parents"]:
        were = "was" if count == 1 else "were"
        yield f"{count} of its parents {were} deleted since: what they said then is recorded only."


_COLUMNS = ("parent", "used", "counts", "weight", "agreement", "its best")


def kind_in_words(found: Mapping[str, Any]) -> str:
    """What the tuning job was told of its parents, and by how much it can judge them."""
    warm = found["warm_start"]
    relaxed = ", relaxed" if warm["match"] == "relaxed" else ""
    judged = f"; {warm['now']['results']} results here to judge the parents by" if warm["looks_at_parents"] else ""
    return f"{KINDS[warm['type']]}{relaxed}{judged}"


def _row(p: Mapping[str, Any], results: int) -> list[object]:
    best = "none" if p["best"] is None else p["best"]["objective"]
    weight = "-" if p["weight"] is None else f"{p['weight_at_start']:.2f} -> {p['weight']:.2f}"
    agreement = agreement_text(p["agreement"], results)
    return [_called(p), f"{p['used']} of {p['training_jobs']}", ROLES[p["role"]], weight, agreement, best]


def _called(p: Mapping[str, Any]) -> str:
    return str(p["name"]) if p["direct"] else f"{p['name']} (ancestor)"


def agreement_text(agreement: float | None, results: int) -> str:
    """A rank correlation; where there is none, which the search records as 0, a dash."""
    return f"{agreement:+.2f}" if agreement and results >= JUDGED_FROM else "-"


def _evidence(warm: Mapping[str, Any]) -> Iterator[str]:
    """What was used of each parent, where that is not all, and what this job's own results say of it."""
    for p in warm["parents"]:
        judged = [] if p["weight"] is None else [_verdict(p, warm), _held(p, warm), _unknown(p, warm), _gave(p)]
        told = [*_use(p), *filter(None, judged)]
        if told:
            yield f"{p['name']}: {' '.join(told)}"


def _use(p: Mapping[str, Any]) -> Iterator[str]:
    parts = [f"{p['used']} of {p['training_jobs']} training jobs used"]
    parts += [f"{p['failed']} of them failed"] if p["failed"] else []
    parts += [f"{p['clipped']} of them outside the ranges here"] if p["clipped"] else []
    parts += [f"{count} dropped ({why})" for why, count in p["dropped"].items()]
    if len(parts) > 1:
        yield f"{', '.join(parts)};"


def _held(p: Mapping[str, Any], warm: Mapping[str, Any]) -> str:
    """How results with other values of what is static here are read."""
    if not p["mixed"] or p["best"] is None:
        return ""
    are, values = ("is", "value") if len(p["mixed"]) == 1 else ("are", "values")
    kin = ", so that it counts as kin though it is called identical" if _promised(warm) else ""
    moved = f": its results are read as its model puts them at the {values} here" if p["reliability"] else ""
    return f"It had other values of {', '.join(p['mixed'])}, which {are} static here{kin}{moved}."


def _promised(warm: Mapping[str, Any]) -> bool:
    return KINDS[warm["type"]] == "identical"


def _unknown(p: Mapping[str, Any], warm: Mapping[str, Any]) -> str:
    """Why results of a parent that is called identical cannot count as this job's own, where they lack something."""
    missing = [m["parameter"] for m in p["parameters"] if m["how"] == "missing"]
    if not _promised(warm) or not missing or p["best"] is None:
        return ""
    return f"Though called identical, it cannot count like this job's own: its results say nothing of {', '.join(missing)}."


def _gave(p: Mapping[str, Any]) -> str:
    """What came of a parent that has no say."""
    tried = p["tried_here"]
    if p["role"] != "none" or not tried:
        return ""
    return f"Even so, {_numbers(tried)} {'is one' if len(tried) == 1 else 'are some'} of its best there."


def _verdict(p: Mapping[str, Any], warm: Mapping[str, Any]) -> str:
    results = int(warm["now"]["results"])
    if p["best"] is None:
        return "none of its training jobs has a result: it has nothing to say."
    if p["role"] == "rows":
        return f"its results count like this job's own{_predicted(p) if results else ''}."
    if p["kind"] == "identical" and p["surprise"] > _TRUSTED_UP_TO:
        counts = "it has no say any more" if p["role"] == "none" else f"only its shape counts, with weight {p['weight']:.2f}"
        off = f"{p['surprise']:.1f} deviations off what it predicts (trusted up to {_TRUSTED_UP_TO:g})"
        return f"called identical, but this job's results are {off}: {counts}{_beside(p, warm)}."
    if p["role"] == "none" and not p["weight_at_start"]:
        return f"{_no_model(p)}: it has no say."
    if results < JUDGED_FROM:
        return "too few results here to judge it by yet."
    said, agreement = _said(float(p["agreement"])), agreement_text(p["agreement"], results)
    told = said if agreement == "-" else f"{said} (rank correlation {agreement})"
    return f"{results} results here {told}; {_say(p)}{_beside(p, warm)}."


def _beside(p: Mapping[str, Any], warm: Mapping[str, Any]) -> str:
    """That a parent has no say since the results of another count like this job's own."""
    trusted = [q["name"] for q in warm["parents"] if q["role"] == "rows"]
    return f" while {' and '.join(trusted)} is trusted" if trusted and p["role"] == "none" else ""


def _no_model(p: Mapping[str, Any]) -> str:
    """Why a parent with results never had a say."""
    from rekindle.search.parent_model import MIN_ROWS

    results = p["used"] - p["failed"]
    if results < MIN_ROWS:
        return f"{results} of its results can be read here, and a model takes {MIN_ROWS}"
    return "as they are read here, its results follow no pattern that a model finds"


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


def readings(parents: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """How each parameter was read, a heading and one row for each: the same reading of several parents stands once."""
    rows: list[list[str]] = []
    for name in [m["parameter"] for m in (parents[0]["parameters"] if parents else ())]:
        by_reading: dict[str, list[str]] = {}
        for p in parents:
            by_reading.setdefault(_reading(next(m for m in p["parameters"] if m["parameter"] == name)), []).append(p["name"])
        for i, (reading, names) in enumerate(by_reading.items()):
            whose = "" if len(by_reading) == 1 else ", ".join(names)
            rows.append(["" if i else name, reading, whose])
    return ["parameter", "read", "in" if any(r[2] for r in rows) else ""], rows


def _unread(parents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What parents varied that is not tuned here, static or not there at all; what is alike of several stands once."""
    by_text: dict[str, list[str]] = {}
    for p in parents:
        gone = [name for name in p["unused"] if name not in p["held"]]
        texts = [f"{name} is static here: {value}" for name, value in p["held"].items()]
        for text in [*texts, *([f"{', '.join(gone)} left out: not tuned here"] if gone else [])]:
            by_text.setdefault(text, []).append(p["name"])
    for text, whose in by_text.items():
        yield f"{', '.join(whose)}: {text}"


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
    metric, value = found["objective"]["metric"], own["objective"]
    if not bests:
        return f"Best here: {metric} {cell(value)} by #{own['number']}."
    sign = 1.0 if found["objective"]["goal"] == "minimize" else -1.0
    name, best = min(bests, key=lambda pair: sign * pair[1]["objective"])
    # Numbers that differ look different: a child that runs the parents' best again may get the same but for the last digits.
    figure = repr if cell(value) == cell(best["objective"]) and value != best["objective"] else cell
    here = f"Best here: {metric} {figure(value)} by #{own['number']}"
    theirs = f"{figure(best['objective'])} by #{best['number']} of {name}"
    gain = sign * (best["objective"] - value)
    word = "better than" if gain > 0 else "equal to" if gain == 0 else "not as good as"
    caveat = "" if found["warm_start"]["type"].startswith("Identical") else " (on data of its own: scores may not compare)"
    return f"{here}, {word} the parents' best, {theirs}{caveat}."
