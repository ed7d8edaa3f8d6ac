"""A tuning job as one page: what was found, how the search went, what its parents gave, and every training job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from xml.etree.ElementTree import Element

from rekindle.pages import charts
from rekindle.pages.markup import Child, append, document, node
from rekindle.pages.scales import number

Record = Mapping[str, Any]

#: How every page begins: a file that begins so may be replaced by a newer page.
MARK = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="rekindle report">'
#: Rows of the table of training jobs.
_MOST_ROWS = 1000
#: Longer text of a table has lines of its own width; shorter text has one, for a number that is broken after its sign or before
#: its unit is read as another, and a wide table breaks whatever it may.
_LONG = 40
#: What a browser may do for the page: draw it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_ARROWS = "Arrows at an edge are results far beyond it. "
_MOUSE = "A mark tells more where the mouse rests on it."


@dataclass(frozen=True)
class Told:
    """What a page tells. ``job`` is what ``rekindle show --json`` prints, ``trials`` what ``rekindle trials --json`` does, each
    with its ``state`` in words, ``why`` what ``rekindle explain --json`` does. ``counts`` says how many training jobs are in
    which state, ``definitions`` are (name, ranges) of each training job definition, ``kind`` is that of a warm start and
    ``sentences`` the report on the parents, in words, ``readings`` how each parameter of theirs was read (a heading and rows);
    ``curves`` has what a training job, by its name, emitted of the objective: (step, value)."""

    job: Record
    trials: Sequence[Record]
    counts: str
    why: Record
    definitions: Sequence[tuple[str | None, Sequence[Record]]]
    kind: str = ""
    sentences: Sequence[str] = ()
    readings: tuple[Sequence[str], Sequence[Sequence[str]]] = ((), ())
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    made_at: str = ""


def page(told: Told) -> str:
    """The page as HTML: one file, without scripts and without anything from elsewhere."""
    best = (told.job["best"] or {}).get("name")
    trials = [_seen(t, best) for t in told.trials]
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", name="generator", content="rekindle report"),
        node("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("title", f"{told.job['name']} - tuning job"),
        node("style", files("rekindle.pages").joinpath("report.css").read_text(encoding="utf-8")),
    )
    body = node("body")
    for part in _parts(told, trials):
        append(body, part)
    return document(node("html", head, body, lang="en"))


def _seen(trial: Record, best: str | None) -> Record:
    """Who had all its epochs was not stopped early."""
    early = trial["stopped_early"] and not trial.get("in_full", False)
    return {**trial, "is_best": trial["name"] == best, "stopped_early": early}


def _parts(told: Told, trials: Sequence[Record]) -> Iterator[Element]:
    job = told.job
    yield _header(job, len(told.definitions) == 1)
    yield node("div", *_facts(told), class_="facts")
    yield from (node("div", text, class_="note") for text in _notes(job))
    if job["best"] is not None:
        yield from _best(job)
    yield from _search(told, trials)
    yield from _parameters(told, trials)
    yield from _warm_start(told)
    yield from _curves(told, trials)
    yield from _table(told, trials)
    again = node("code", f"rekindle report {job['name']}")
    yield node("footer", f"Made {_minute(told.made_at)} UTC by ", again, ", which makes it again as things stand then.")


def _header(job: Record, alone: bool) -> Element:
    """``alone``: it has one definition, whose static values are those of all its training jobs."""
    objective = job["objective"]
    line = f"{job['status']}: {job['strategy']} search, to {objective['goal']} {objective['metric']}"
    because = [f" It ended because {job['ended_because']}."] if job["ended_because"] else []
    ended = f", ended {_minute(job['ended_at'])}" if job["ended_at"] else ""
    fixed = ", ".join(f"{name}={_text(value)}" for name, value in job["static"].items()) if alone else ""
    again = f"Seed {job['seed']}. Created {_minute(job['created_at'])}{ended} (UTC).{f' Static: {fixed}.' if fixed else ''}"
    return node(
        "header", node("h1", job["name"]), node("p", line + ".", *because, class_="soft"), node("p", again, class_="soft")
    )


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _facts(told: Told) -> Iterator[Element]:
    job, trials = told.job, told.trials
    best, overall = job["best"], job["overall_best"]
    if best is not None:
        yield _fact(number(best["objective"]), "best ", node("bdi", best["metric"]), f", #{best['number']}")
    if overall is not None and (best is None or overall["name"] != best["name"]):
        yield _fact(number(overall["objective"]), f"best with the parents', {overall['name']}")
    limit = job["limits"]["jobs"]
    yield _fact(f"{len(trials)}{f' of {limit}' if limit else ''}", f"training jobs: {told.counts}")
    seconds = [t["seconds"] for t in trials if t["seconds"] is not None]
    if seconds:
        yield _fact(_duration(sum(seconds)), f"of training, {job['limits']['parallel']} at a time")
    if saved := job["early_stopping"]:
        yield _fact(f"{saved['share']:.0%}", f"of epochs saved: {saved['stopped']} stopped early")


def _notes(job: Record) -> Iterator[str]:
    if job["failure_reason"]:
        yield str(job["failure_reason"])
    for waiting in job["waiting"]:
        yield f"waits: {waiting['training_job'] or 'the next training job'} {waiting['reason']}"
    for cause in job["failure_causes"][:3]:
        yield f"{cause['count']} failed like {cause['training_job']}: {cause['reason']}"
    yield from (str(note["text"]) for note in job["notes"] if note["kind"] != "failures-alike")


def _best(job: Record) -> Iterator[Element]:
    best = job["best"]
    yield node("h2", "The best configuration")
    rows = [(name, _text(value)) for name, value in best["values"].items()]
    yield _rows(["hyperparameter", "value"], rows, ())
    model: list[Child] = [" Its model: ", node("code", best["model"]), "."] if best["model"] else []
    of: list[Child] = [] if best["definition"] is None else [", of the definition ", node("code", best["definition"])]
    yield node("p", "By ", node("code", best["name"]), *of, ".", *model, class_="soft")


def _search(told: Told, trials: Sequence[Record]) -> Iterator[Element]:
    if not trials:
        return
    yield node("h2", "The search")
    if all(t["objective"] is None for t in trials):
        # Without a result there is no scale to draw on.
        yield node("p", f"No training job has a value of {told.job['objective']['metric']}.", class_="soft")
        return
    chart = charts.progress(trials, told.job["objective"], _parents_best(told.why))
    yield node("div", *(_key(kind, text) for kind, text in _legend(told, trials, chart)), class_="legend")
    yield chart
    yield node("p", *[_ARROWS] * charts.has_arrows(chart), _MOUSE, class_="soft")


def _parameters(told: Told, trials: Sequence[Record]) -> Iterator[Element]:
    for definition, ranges in told.definitions:
        own = [t for t in trials if t["definition"] == definition and t["objective"] is not None]
        if len(own) < 2:
            continue
        yield node("h2", f"Hyperparameters{f' of {definition}' if definition else ''}")
        importances = {i["parameter"]: i for i in told.job["importances"] if i["definition"] == definition}
        if len(importances) > 1:
            yield node("p", "The percentage is how much of what makes good results good is due to each.", class_="soft")
        ordered = sorted(ranges, key=lambda r: -importances[r["name"]]["share"] if r["name"] in importances else 0.0)
        pictures = []
        for declared in ordered:
            importance = importances.get(declared["name"])
            words = [] if importance is None else [_due(importance, len(importances))]
            heading = node("h3", node("bdi", declared["name"]), node("span", *words, class_="soft"))
            pictures.append(node("div", heading, charts.parameter(own, declared, told.job["objective"])))
        yield node("div", *pictures, class_="small")


def _due(importance: Record, among: int) -> str:
    if among == 1:
        # The share of the only one is all there is, whether it matters or not.
        return " nothing shows that it matters" if importance["may_be_chance"] or not importance["share"] else " matters"
    return f" {importance['share']:.0%}{', may be chance' if importance['may_be_chance'] else ''}"


def _warm_start(told: Told) -> Iterator[Element]:
    warm = told.why["warm_start"]
    if warm is None:
        return
    yield node("h2", "What the parents gave")
    yield node("p", f"Warm start: {told.kind}.", class_="soft")
    columns = [
        "parent",
        "training jobs",
        "used",
        "outside the ranges here",
        "dropped",
        "weight at the start",
        "now",
        "its best",
    ]
    yield _rows(columns, [_parent(p) for p in warm["parents"]], columns[1:])
    yield node("ul", *(node("li", sentence) for sentence in told.sentences))
    if told.readings[1]:
        yield _rows(*told.readings, ())
    lines = _weights(warm)
    if any(len(line) > 1 for line in lines.values()):
        yield node("h3", "Weights, as they were recorded with each suggestion")
        yield node("div", *(_key(f"line line-{i % 6}", name) for i, name in enumerate(lines)), class_="legend")
        yield charts.weights(lines)


def _parent(p: Record) -> list[str]:
    weights = [f"{p[key]:.2f}" if p[key] is not None else "-" for key in ("weight_at_start", "weight")]
    dropped = ", ".join(f"{count} ({why})" for why, count in p["dropped"].items() if count) or "0"
    best = "none" if p["best"] is None else number(p["best"]["objective"])
    name = p["name"] if p["direct"] else f"{p['name']} (ancestor)"
    return [name, str(p["training_jobs"]), str(p["used"]), str(p["clipped"]), dropped, *weights, best]


def _weights(warm: Record) -> dict[str, list[tuple[int, float]]]:
    """Of the model with parents, and of each parent: (number of the suggestion, weight)."""
    found: dict[str, list[tuple[int, float]]] = {}
    for suggestion in warm["weights_by_suggestion"]:
        recorded = suggestion["parents"] or {}
        say = (recorded.get("views") or {}).get("parents")
        if say is not None:
            found.setdefault("the model with parents", []).append((suggestion["number"], float(say)))
        for parent in recorded.get("parents") or ():
            found.setdefault(str(parent["name"]), []).append((suggestion["number"], float(parent["weight"])))
    return found


def _parents_best(why: Record) -> float | None:
    """The best that a parent has; None without parents, and where their scores need not compare."""
    warm = why["warm_start"]
    if warm is None or not warm["type"].startswith("Identical"):
        return None
    values = [p["best"]["objective"] for p in warm["parents"] if p["best"]]
    return min(values, key=lambda v: v if why["objective"]["goal"] == "minimize" else -v, default=None)


def _curves(told: Told, trials: Sequence[Record]) -> Iterator[Element]:
    minimise = told.job["objective"]["goal"] == "minimize"
    found = [(t, curve) for t in trials if len(curve := told.curves.get(t["name"], ())) > 1]
    if not found:
        return

    def rank(pair: tuple[Record, Sequence[tuple[float, float]]]) -> tuple[bool, bool, float]:
        value = pair[0]["objective"]
        return not pair[0]["is_best"], value is None, 0.0 if value is None else value if minimise else -value

    few = f"The best {charts.MOST_LINES} of {len(found)}. " if len(found) > charts.MOST_LINES else ""
    yield node("h2", "While training jobs ran")
    best = "; the best stands out" if any(t["is_best"] for t, _ in found) else ""
    early = "; grey lines that end in a ring were stopped early" if any(t["stopped_early"] for t, _ in found) else ""
    chart = charts.curves(sorted(found, key=rank), told.job["objective"])
    edge = " A line along an edge is beyond it there." if charts.has_lines_beyond(chart) else ""
    yield node("p", f"{few}{told.job['objective']['metric']} by step{best}{early}.{edge}", class_="soft")
    yield chart


def _table(told: Told, trials: Sequence[Record]) -> Iterator[Element]:
    if not trials:
        return
    metric, several = told.job["objective"]["metric"], len(told.definitions) > 1
    sign = 1.0 if told.job["objective"]["goal"] == "minimize" else -1.0
    ranked = sorted(trials, key=lambda t: (t["objective"] is None, sign * (t["objective"] or 0.0), t["number"]))
    names = list(dict.fromkeys(r["name"] for _, ranges in told.definitions for r in ranges))
    columns = ["#", "status", *["definition"] * several, metric, "time", "chosen by", *names]
    which, order = ("best", "The best first.") if ranked[0]["objective"] is not None else ("first", "In their order.")
    cut = f" The {which} {_MOST_ROWS} of {len(ranked)}." if len(ranked) > _MOST_ROWS else ""
    yield node("h2", "Training jobs")
    yield node("p", order + cut, class_="soft")
    yield _rows(columns, [_row(t, names, several) for t in ranked[:_MOST_ROWS]], ("#", metric, "time"))


def _row(trial: Record, names: Sequence[str], several: bool) -> list[Child]:
    objective = "-" if trial["objective"] is None else number(trial["objective"])
    values = [_text(trial["values"].get(name)) for name in names]
    marked = node("b", objective) if trial["is_best"] else objective
    called = node("span", str(trial["number"]), title=trial["name"])
    definition = [str(trial["definition"] or "-")] * several
    return [called, _state(trial), *definition, marked, _duration(trial["seconds"]), str(trial["source"] or "-"), *values]


def _state(trial: Record) -> Element:
    """The state, and the reason behind it for who asks, by mouse, finger or key."""
    kind = "bad" if trial["status"] == "Failed" else None
    if not trial["failure_reason"]:
        return node("span", trial["state"], class_=kind)
    return node("details", node("summary", trial["state"], class_=kind), trial["failure_reason"])


def _rows(columns: Sequence[str], rows: Iterable[Sequence[Child]], right: Sequence[str]) -> Element:
    """A table; the columns ``right`` are aligned to the right."""
    sides = ["number" if column in right else None for column in columns]
    head = node("tr", *(node("th", _cell(column), class_=side) for column, side in zip(columns, sides, strict=True)))
    body = [node("tr", *(node("td", _cell(c), class_=side) for c, side in zip(row, sides, strict=True))) for row in rows]
    return node("div", node("table", node("thead", head), node("tbody", *body)), class_="scroll")


def _cell(child: Child) -> Child:
    return node("span", child, class_="long") if isinstance(child, str) and len(child) > _LONG else child


def _legend(told: Told, trials: Sequence[Record], chart: Element) -> Iterator[tuple[str, str]]:
    yield from charts.legend(trials)
    if (best := _parents_best(told.why)) is not None:
        far = "" if charts.has_level(chart) else f", {number(best)}, beyond the edge"
        yield "level", f"the parents' best{far}"


def _key(kind: str, text: str) -> Element:
    """An entry of a legend: a mark as it is drawn, and its words."""
    if kind.startswith("point"):
        mark = node("circle", cx=9, cy=6, r=4, class_=kind)
    elif kind == "failed":
        mark = node("path", d="M6 3l6 6m0 -6l-6 6", class_=kind)
    else:
        mark = node("line", x1=1, x2=17, y1=6, y2=6, class_=kind)
    return node("span", node("svg", mark, viewBox="0 0 18 12", aria_hidden="true"), text)


def _fact(value: str, *what: Child) -> Element:
    return node("div", node("b", value), node("span", *what), class_="fact")


def _text(value: object) -> str:
    return "-" if value is None else number(value) if isinstance(value, float) else str(value)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{seconds:.1f} s"
