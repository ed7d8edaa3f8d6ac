"""Pages of what the commands' records can hold that no quick training job shows."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from rekindle.pages import charts
from rekindle.pages.report import Told, page


def trial(number: int, objective: float | None, **more: Any) -> dict[str, Any]:
    made = {"number": number, "name": f"job-{number:03d}", "definition": None, "status": "Completed", "objective": objective}
    made |= {"values": {"lr": 0.1 * number}, "source": "model", "stopped_early": False, "seconds": 1.0, "failure_reason": None}
    return {"state": more.get("status", "Completed"), **made, **more}


def told(trials: list[dict[str, Any]], **more: Any) -> Told:
    job = {
        "name": "job",
        "status": "InProgress",
        "strategy": "Bayesian",
        "seed": 7,
        "static": {"cv": "5"},
        "created_at": "2026-11-30T04:12:22.123+00:00",
        "ended_at": None,
        "ended_because": None,
        "failure_reason": None,
        "objective": {"metric": "loss", "goal": "minimize"},
        "limits": {"jobs": None, "parallel": 1},
        "best": None,
        "overall_best": None,
        "early_stopping": None,
        "failure_causes": [],
        "notes": [],
        "waiting": [],
        "importances": [],
    }
    linear = {"name": "lr", "type": "continuous", "min": 0.0, "max": 10.0, "resolved_scaling": "Linear"}
    given = {"definitions": [(None, [linear])], "why": {"warm_start": None, "objective": job["objective"]}, **more}
    return Told(job=job, trials=trials, counts="none yet", **given)


def test_each_definition_has_charts_of_its_own_ranges() -> None:
    ranges = [{"name": name, "type": "categorical", "values": ["a", "b"]} for name in ("act", "opt")]
    trials = [trial(n, float(n), definition="one", values={"act": "a"}) for n in (1, 2)]
    trials += [trial(n, float(n), definition="two", values={"opt": "b"}) for n in (3, 4)]
    made = page(told(trials, definitions=[("one", ranges[:1]), ("two", ranges[1:])]))
    assert "Hyperparameters of one" in made
    assert "<title>loss by act</title>" in made
    assert "<title>loss by opt</title>" in made
    assert "<th>definition</th>" in made


def test_of_several_definitions_the_best_ones_is_named() -> None:
    best = trial(3, 3.0, definition="two", values={"opt": "b"}, metric="loss", model=None)
    made = told([best], definitions=[("one", []), ("two", [])])
    assert "of the definition <code>two</code>" in page(replace(made, job={**made.job, "best": best}))
    alone = {**best, "definition": None}
    assert "of the definition" not in page(replace(made, job={**made.job, "best": alone}))


def test_a_large_share_says_that_it_may_be_chance() -> None:
    shares = [("lr", 0.82, True), ("act", 0.18, False)]
    found = told([trial(n, float(n)) for n in range(1, 4)])
    ranges = [{"name": "act", "type": "categorical", "values": ["a", "b"]}, *found.definitions[0][1]]
    importances = [{"definition": None, "parameter": n, "share": s, "may_be_chance": c} for n, s, c in shares]
    made = page(replace(found, job={**found.job, "importances": importances}, definitions=[(None, ranges)]))
    assert "82%, may be chance<" in made
    assert "18%<" in made


@pytest.mark.parametrize(("by_chance", "words"), [(True, "nothing shows that it matters"), (False, "matters")])
def test_the_only_hyperparameter_has_no_share(by_chance: bool, words: str) -> None:
    found = told([trial(n, float(n)) for n in range(1, 4)])
    importances = [{"definition": None, "parameter": "lr", "share": 1.0, "may_be_chance": by_chance}]
    made = page(replace(found, job={**found.job, "importances": importances}))
    assert f"> {words}</span>" in made
    assert "%" not in made.partition("Hyperparameters</h2>")[2].partition("<svg")[0]


def test_of_many_training_jobs_the_better_ones_are_drawn_and_all_are_counted() -> None:
    many = 3 * charts.MOST_POINTS
    made = page(told([trial(n, float(n)) for n in range(1, many + 1)]))
    assert f"<b>{many}</b>" in made
    assert 2 * charts.MOST_POINTS * 0.7 < made.count("<circle") <= 2 * charts.MOST_POINTS + 1
    assert "The best 1000 of 6000." in made
    assert '<span title="job-1000">' in made
    assert '<span title="job-1001">' not in made


def test_a_mark_tells_the_whole_configuration_once_and_its_own_value_in_the_chart_of_each_hyperparameter() -> None:
    names = [f"p{n}" for n in range(20)]
    ranges = [{"name": name, "type": "continuous", "min": 0.0, "max": 1.0, "resolved_scaling": "Linear"} for name in names]
    trials = [trial(n, float(n), values=dict.fromkeys(names, 0.1 * n)) for n in range(1, 4)]
    made = page(told(trials, definitions=[(None, ranges)]))
    assert made.count("<title>#2  loss=2\np0: 0.2\np1: 0.2\n") == 1
    for name in names[1:]:
        assert made.count(f"<title>#2  loss=2\n{name}: 0.2</title>") == 1


def test_training_jobs_without_a_result_stand_in_their_own_order() -> None:
    assert "In their order. The first 1000 of 1001." in page(told([trial(n, None) for n in range(1, 1002)]))
    assert "The best first.<" in page(told([trial(1, None), trial(2, 2.0)]))


def test_values_that_are_no_numbers_stop_no_page() -> None:
    trials = [trial(1, None, status="InProgress", seconds=None, source=None), trial(2, float("inf")), trial(3, -1e308)]
    trials += [trial(4, 1e308), trial(5, 0.5, values={}), trial(6, None, status="Failed", failure_reason="x" * 1000)]
    curves = {"job-003": [(1, float("nan")), (2, float("inf"))], "job-004": [(1, 1.0), (2, 2.0)]}
    made = page(told(trials, curves=curves))
    assert "While training jobs ran" in made
    assert not re.search(r"\b(nan|inf)\b", re.sub(r"<title>.*?</title>|<td.*?</td>", "", made, flags=re.DOTALL))


def test_labels_of_an_axis_do_not_overlap_and_differ() -> None:
    names = [f"a_very_long_category_name_{i:02d}" for i in range(30)]
    cats = {"name": "lr", "type": "categorical", "values": names}
    near = {"name": "lr", "type": "continuous", "min": 0.0, "max": 0.9999999, "resolved_scaling": "ReverseLogarithmic"}
    for declared, between in ((cats, 11.0), (near, 5.0 * 6.5)):
        chart = charts.parameter([trial(1, 1.0, is_best=True)], declared, {"metric": "loss", "goal": "minimize"})
        ticks = [e for e in chart if e.tag == "text" and float(e.attrib["y"]) > 156.0]
        at = sorted(float(e.attrib["x"]) for e in ticks)
        assert len(ticks) > 3
        assert min(b - a for a, b in pairwise(at)) >= between
        assert len({e.text for e in ticks}) == len(ticks)


def test_of_a_long_curve_as_much_is_drawn_as_a_picture_can_show() -> None:
    """Each of 20,000 values of 30 training jobs made a page of 7 MB."""
    curve = [(float(step), 0.0 if step == 31_415 else 1.0 + step % 2) for step in range(50_000)]
    chart = charts.curves([(trial(1, 1.0, is_best=True), curve)], {"metric": "loss", "goal": "minimize"})
    (line,) = (mark for mark in chart if mark.tag == "polyline")
    places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
    assert len(places) < 3_000
    assert places == sorted(places, key=lambda place: place[0])
    heights = sorted({y for _, y in places})
    assert len(heights) == 3  # the one spike is among them
    assert min(x for x, _ in places) < 100 < 700 < max(x for x, _ in places)


def test_only_the_best_training_jobs_curve_stands_out() -> None:
    trials = [trial(1, 1.0), trial(2, 2.0)]
    made = page(told(trials, curves={"job-002": [(1, 3.0), (2, 2.0)]}))
    assert 'class="line line-best"' not in made.partition("While training jobs ran")[2]
    assert "stopped early" not in made


def test_a_page_says_by_what_its_tuning_job_could_be_made_again_and_when_it_ran() -> None:
    going = told([])
    assert "Seed 7. Created 2026-11-30 04:12 (UTC). Static: cv=5.<" in page(going)
    ended = replace(going, job={**going.job, "ended_at": "2026-11-30T04:15:00.000+00:00"}, definitions=going.definitions * 2)
    assert "Created 2026-11-30 04:12, ended 2026-11-30 04:15 (UTC).<" in page(ended)


def test_the_chart_of_an_only_hyperparameter_is_as_small_as_of_one_among_many() -> None:
    """It was as wide as the page, its letters three times those of the other charts."""
    assert re.search(r"\.small {[^}]*repeat\(auto-fill, ", page(told([])))


def test_lines_of_weights_differ_by_more_than_their_colour() -> None:
    dashes = re.findall(r"\.line-[1-5] {[^}]*stroke-dasharray: ([^;]+);", page(told([])))
    assert len(set(dashes)) == 5


def test_a_name_that_is_read_from_the_right_leaves_the_share_beside_it_alone() -> None:
    made = page(told([trial(1, 1.0), trial(2, 2.0)]))
    assert "<bdi>lr</bdi>" in made


def test_a_metric_that_is_read_from_the_right_leaves_the_number_beside_it_alone() -> None:
    """'best שגיאה, #9' was shown as 'best 9# ,שגיאה'."""
    best = trial(9, 1.0, metric="שגיאה", model=None)
    made = told([best])
    assert "best <bdi>שגיאה</bdi>, #9" in page(replace(made, job={**made.job, "best": best}))


def test_a_training_job_that_ran_in_full_was_not_cut_and_what_waits_is_told() -> None:
    trials = [trial(1, 1.0, stopped_early=True, in_full=True, state="Stopped at the end"), trial(2, 2.0)]
    given = told(trials)
    made = page(replace(given, job={**given.job, "waiting": [{"training_job": None, "reason": "for a place"}]}))
    assert "<span>Stopped at the end</span>" in made
    assert "point model cut" not in made
    assert "waits: the next training job for a place" in made


def test_a_hyperparameter_may_be_called_as_a_column_is() -> None:
    declared = {"name": "number", "type": "continuous", "min": 0.0, "max": 10.0, "resolved_scaling": "Linear"}
    trials = [trial(n, float(n), values={"number": 5.0}) for n in (1, 2)]
    made = page(told(trials, definitions=[(None, [declared])]))
    chart = made.split("<title>loss by number</title>")[1].split("</svg>")[0]
    places = re.findall(r'<circle cx="([^"]+)"', chart)
    assert len(places) == 2
    assert len(set(places)) == 1


def test_without_a_result_there_is_no_chart_but_a_word() -> None:
    trials = [trial(1, None, status="InProgress"), trial(2, None, status="Failed", failure_reason="no such data: x.csv")]
    for made in (page(told(trials[:1])), page(told(trials))):
        assert "<svg" not in made
        assert "No training job has a value of loss." in made
    assert "<svg" in page(told([*trials, trial(3, 1.0)]))


def test_a_reason_to_fail_is_there_for_who_has_no_mouse() -> None:
    made = page(told([trial(1, 1.0), trial(2, None, status="Failed", failure_reason="first line\nno such data: x.csv")]))
    row = made[made.index('title="job-002"') :]
    assert '<details><summary class="bad">Failed</summary>first line\nno such data: x.csv</details>' in row
    assert made.count("<details>") == 1


@pytest.mark.parametrize(
    ("best", "drawn", "legend"),
    [(3.5, True, "the parents' best<"), (90.0, False, "the parents' best, 90, beyond the edge<")],
)
def test_the_parents_best_is_a_line_only_where_the_axis_has_it(best: float, drawn: bool, legend: str) -> None:
    parent = {"name": "old", "direct": True, "training_jobs": 3, "used": 3, "clipped": 0, "dropped": {}}
    parent |= {"weight_at_start": 1.0, "weight": 1.0, "best": {"objective": best}}
    warm = {"type": "IdenticalDataAndAlgorithm", "parents": [parent], "weights_by_suggestion": []}
    given = told([trial(n, float(n)) for n in range(1, 6)])
    made = page(replace(given, why={**given.why, "warm_start": warm}))
    assert (f"<title>the parents' best, {best:g}</title>" in made) == drawn
    assert legend in made


def test_the_kind_of_a_warm_start_is_told_in_words() -> None:
    warm = {"type": "IdenticalDataAndAlgorithm", "parents": [], "weights_by_suggestion": []}
    given = told([trial(1, 1.0)], kind="identical, relaxed")
    made = page(replace(given, why={**given.why, "warm_start": warm}))
    assert "Warm start: identical, relaxed." in made
    assert "IdenticalDataAndAlgorithm" not in made


def test_long_text_of_a_table_has_lines_of_its_own_and_short_text_one() -> None:
    """A table too wide for its page breaks its cells wherever they may be: '1e-' and '05', 200 letters in forty lines."""
    long = "a long value " * 10
    made = page(told([trial(1, 1.0, values={"lr": long}), trial(2, 2.0, values={"lr": 1e-5})]))
    assert f'<td><span class="long">{long}</span></td>' in made
    assert "<td>1e-05</td>" in made
    assert "\ntd { white-space: nowrap; }" in made


@pytest.mark.parametrize("values", [(1.0, 2.0), (1e9 + 1.0, 1e9 + 3.5), (-0.99999991, -0.9999999)])
def test_labels_of_the_objective_stand_within_their_picture(values: tuple[float, float]) -> None:
    linear = {"name": "lr", "type": "continuous", "min": 0.0, "max": 10.0, "resolved_scaling": "Linear"}
    trials = [trial(n, v, is_best=False) for n, v in enumerate(values, 1)]
    chart = charts.parameter(trials, linear, {"metric": "loss", "goal": "minimize"})
    floor = max(float(t.get("y", 0)) for t in chart.iter("text"))
    labels = [t for t in chart.iter("text") if float(t.get("y", 0)) < floor]
    assert len(labels) > 1
    # A letter of an axis is about 7 wide.
    assert all(float(t.get("x", 0)) - 7.0 * len(t.text or "") >= 0 for t in labels)


@pytest.mark.parametrize(("first", "said"), [(0.9, False), (2.3, True)])
def test_a_curve_that_begins_far_beyond_the_axis_is_not_called_flat(first: float, said: bool) -> None:
    """As a network's does whose first epochs are far worse than all the others: it is drawn along the edge."""
    curve = [(float(step), value) for step, value in enumerate([first, *(0.9 - 0.05 * n for n in range(9))])]
    made = page(told([trial(1, 0.5)], curves={"job-001": curve}))
    assert ("A line along an edge is beyond it there." in made) is said


def test_labels_have_room_for_letters_as_wide_as_dejavu_sans_has() -> None:
    whole = {"name": "lr", "type": "integer", "min": -(2**31), "max": 2**31 - 1, "resolved_scaling": "Linear"}
    trials = [trial(n, v, is_best=False) for n, v in enumerate((123456.7, 123456.8), 1)]
    chart = charts.parameter(trials, whole, {"metric": "loss", "goal": "minimize"})
    floor = max(float(t.get("y", 0)) for t in chart.iter("text"))
    spans = []
    for label in (t for t in chart.iter("text") if float(t.get("y", 0)) == floor):
        wide = 7.3 * len(label.text or "")  # "1e+09" is 36.5 wide there
        begins = float(label.get("x", 0)) - wide * {"end": 1.0, "middle": 0.5}[label.get("text-anchor", "")]
        spans.append((begins, begins + wide))
    assert len(spans) > 2
    assert all(end < begins for (_, end), (begins, _) in pairwise(spans))
