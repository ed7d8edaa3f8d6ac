"""Explanations for people: why one training job's configuration was chosen, and where a tuning job's came from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rekindle.cli.printing import cell, counted, pairs, show, show_rows, tell
from rekindle.domain.errors import first_of

#: What chose a configuration, by its recorded source.
_CHOOSERS = {
    "initial": "the initial design: points spread over the ranges, before there is a model",
    "model": "the model: the greatest log expected improvement that was found",
    "random": "a random draw on the ranges' scales; it looks at no result",
    "safety": "a random draw for safety, whatever the model says",
    "grid": "the grid: the next combination that had not been tried",
    "parent": "the parents: a point for contrast, in turn with the model's own suggestions",
    "imported": "nobody here: it was imported",
    None: "nobody: it is a training job of its own, not of a search",
}
_VIEWS = {"parents": "the model with parents", "own": "the one without"}
_AIMS = {
    "another category": " among other categories than the best one's, since the search stood still",
    "farther": " far below the incumbent, since the search stood still",
}
_FITS = {
    "short waves": ", where what looks like noise may be short waves",
    "close results": ", by a model that expects changes over short distances, since the better results are close together",
}
#: The same, where more is known than the source.
_CENTRE = "the initial design: the middle of all ranges, or what is known by name, before there is a model"
_OF_DRAWS = "the model: the greatest log expected improvement among random draws"
_SECOND_LOOK = "the model: a second look right beside the best one, to tell noise from short waves"
_TAKEN = "the parents: one of their best, in turn with the model's own suggestions"
_NOTHING_NEW = "a random draw on the ranges' scales: what the search would rather try had been tried"
#: What the terminal tells in words of its own; the rest of what was recorded follows as it is.
_TOLD = frozenset(
    (
        *("n", "failed", "pending", "scaling", "aim", "index", "mean", "deviation", "incumbent", "lengthscales", "parents"),
        *("acquisition", "log_expected_improvement", "failure_probability", "noise_deviation", "fit", "bracket", "rungs"),
    )
)


def show_training_job(found: Mapping[str, Any]) -> None:
    """One training job's explanation on stdout."""
    why = found["why"]
    show(pairs(dict(_facts(found))), "")
    if found["configuration"]:
        show_rows(*_parameters(found))
    parents = why.get("parents") or {}
    if parents.get("parents"):
        show("")
        show_rows(["parent", "counts", "weight then", "agreement"], [_standing(p, why) for p in parents["parents"]])


def _standing(parent: Mapping[str, Any], why: Mapping[str, Any]) -> list[object]:
    """A parent as it stood; before the first result nothing agrees or disagrees with it."""
    from rekindle.cli.kin import JUDGED_FROM, ROLES, agreement_text

    agreement = agreement_text(parent["agreement"], why.get("n", JUDGED_FROM))
    return [parent["name"], ROLES.get(parent["role"], parent["role"]), f"{parent['weight']:.2f}", agreement]


def show_tuning_job(found: Mapping[str, Any]) -> None:
    """A tuning job's explanation on stdout."""
    from rekindle.cli.kin import show_warm_start

    best = found["best"]
    facts = {
        "tuning job": found["tuning_job"],
        "strategy": found["strategy"],
        "suggestions": ", ".join(f"{count} {source}" for source, count in found["sources"].items()) or "none yet",
        "scales": ", ".join(f"{name} {_scale(scale)}" for name, scale in found["scaling"].items()),
        "known names": ", ".join(found["known_names"]),
        "best": best and f"{best['metric']} {cell(best['objective'])} by #{best['number']}",
    }
    show(pairs({name: told for name, told in facts.items() if told}), "")
    if found["warm_start"] is not None:
        show_warm_start(found)
    elif found["imported"]:
        tell("It was imported: nothing was suggested here.")
    else:
        tell("It has no parents: it started from nothing.")


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    from rekindle.domain.training_job import TrainingJobStatus

    why, metric = found["why"], found["metric"] or "objective"
    if found["tuning_job"] is None:
        yield "training job", found["training_job"]
    else:
        yield "training job", f"{found['training_job']}, #{found['number']} of {found['tuning_job']}"
    if found["original_name"] is not None:
        yield "originally", found["original_name"]
    yield "chosen by", _chooser(found)
    if found["taken_from"]:
        yield "taken from", "; ".join(_origin(origin, metric) for origin in found["taken_from"])
    if "n" in why:
        results = counted(why["n"], "result")
        yield "which saw", f"{results}, {why['failed']} failed, {why['pending']} running (events up to {found['seen_events']})"
    elif found["seen_events"] is not None:
        yield "which saw", f"events up to {found['seen_events']}"
    if "rungs" in why:
        yield "bracket", f"{why['bracket']}, judged after {', '.join(map(str, why['rungs']))} epochs"
    yield from _forecast(why, metric)
    if found["objective"] is not None:
        early = found["stopped_early"] and not found["in_full"]
        stopped = ", where it was stopped early" if early else _off(found)
        yield "came out as", f"{metric} {cell(found['objective'])}{stopped}"
    elif TrainingJobStatus(found["status"]).is_terminal:
        yield "came out as", f"no result: {found['status']}"
    yield from ((key, value) for key, value in _flat("", why).items() if key.partition(".")[0] not in _TOLD)


def _origin(origin: Mapping[str, Any], metric: str) -> str:
    result = "failed there" if origin["objective"] is None else f"{metric} {cell(origin['objective'])} there"
    differed = [f"{d['hyperparameter']} {cell(d['there'])} ({cell(d['here'])} here)" for d in origin["differed"]]
    other = f", with {first_of(differed)}" if differed else ""
    return f"#{origin['number']} of {origin['parent']}: {result}{other}"


def _chooser(found: Mapping[str, Any]) -> str:
    why, source = found["why"], found["source"]
    chooser = _CHOOSERS.get(source, str(source))
    match source:
        case "model" if why.get("aim") == "second look":
            return _SECOND_LOOK
        case "model":
            # Only Hyperband's model, whose training jobs are judged at rungs, chooses among draws.
            chooser = _OF_DRAWS if "rungs" in why else chooser
            return chooser + _AIMS.get(why.get("aim"), "") + _FITS.get(why.get("fit"), "")
        case "initial" if why.get("index") == 0:
            return _CENTRE
        case "parent" if found["from_parents"]:
            return _TAKEN
        case "random" if "n" in why:
            return _NOTHING_NEW
    return chooser


def _forecast(why: Mapping[str, Any], metric: str) -> Iterator[tuple[str, object]]:
    """What the model said before the training job ran."""
    if "mean" in why:
        scale = ", on one rung's scale" if "rungs" in why else ""
        yield "model said", f"{metric} {cell(why['mean'])} ± {why['deviation']:.3g} (mean and deviation{scale})"
        yield "incumbent", f"{metric} {cell(why['incumbent'])} (the best so far, as the model sees it)"
    if "acquisition" in why:
        hope = why["log_expected_improvement"]
        yield "hopes for", f"{math.exp(min(hope, 99.0)):.2g} of the results' spread (log expected improvement {hope:.4g})"
        yield "acquisition", f"{why['acquisition']:.4g} (the same, less what the risk to fail takes off)"
        yield "may fail", f"with probability {abs(why['failure_probability']):.2g}"
        yield "noise", f"{why['noise_deviation']:.2g} of the results' spread"
    views = (why.get("parents") or {}).get("views") or {}
    if len(views) > 1:
        yield "say", ", ".join(f"{_VIEWS.get(name, name)} {weight:.2f}" for name, weight in views.items())


def _off(found: Mapping[str, Any]) -> str:
    """How far a result is from what the model said of it. A rung's mean foretells no result: values go on after that rung."""
    why = found["why"]
    if not why.get("deviation") or "rungs" in why:
        return ""
    off = (found["objective"] - why["mean"]) / why["deviation"]
    return f" ({abs(off):.1f} deviations {'above' if off > 0 else 'below'} the mean)"


def _parameters(found: Mapping[str, Any]) -> tuple[list[str], list[list[object]]]:
    lengths = found["why"].get("lengthscales") or {}
    columns = ["parameter", "value", "scale", *(["length scale"] if lengths else [])]
    rows: list[list[object]] = []
    for name, value in found["configuration"].items():
        length = [lengths.get(name)] if lengths else []
        rows.append([name, value, _scale(found["scaling"].get(name)), *length])
    return columns, rows


def _scale(scale: Mapping[str, str] | None) -> str:
    if scale is None:
        return "-"
    return f"{scale['used']} (chosen by Auto)" if scale["declared"] == "Auto" else scale["used"]


def _flat(prefix: str, value: Mapping[str, Any]) -> dict[str, object]:
    """Nested figures as one line each: ``lengthscales.lr``."""
    flat: dict[str, object] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(f"{prefix}{key}.", item)
        else:
            flat[f"{prefix}{key}"] = item
    return flat
