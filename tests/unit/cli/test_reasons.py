"""What ``explain`` and ``verify`` show people."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from rekindle.cli.kin import show_warm_start
from rekindle.cli.reasons import show_training_job, show_tuning_job
from rekindle.cli.replay import Findings, watched
from rekindle.domain.tuning_job import Hyperband, StrategyName, WarmStart, WarmStartType
from rekindle.engine.explain import explain_training_job, explain_tuning_job
from rekindle.engine.ports import RunState
from rekindle.engine.replay import Checked, replay
from rekindle.search.space import Categorical, Continuous, Integer
from support.engine import Engine
from support.simulated import Script
from support.specs import RANGES, tuning_spec

AUTO = (Continuous("lr", 1e-5, 1.0, "Auto"), Integer("layers", 1, 5), RANGES[2])


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = Engine()
    engine.create(tuning_spec(strategy=StrategyName.BAYESIAN, jobs=8, ranges=AUTO))
    engine.run("job")
    return engine


def shown(engine: Engine, capsys: Any, number: int) -> str:
    trial = engine.trials("job")[number - 1]
    show_training_job(explain_training_job(engine.store, engine.owner, trial.name))
    return str(capsys.readouterr().out)


def test_a_suggestion_of_the_model_tells_its_forecast_and_what_came_of_it(engine: Engine, capsys: Any) -> None:
    told = shown(engine, capsys, 8)
    why = engine.trials("job")[7].proposal["why"]
    assert "chosen by     the model: the greatest log expected improvement" in told
    assert f"{why['n']} results, 0 failed, {why['pending']} running (events up to" in told
    assert f"model said    loss {why['mean']:.6g} ± {why['deviation']:.3g}" in told
    assert f"incumbent     loss {why['incumbent']:.6g}" in told
    assert f"hopes for     {math.exp(why['log_expected_improvement']):.2g} of the results' spread (log expected" in told
    assert f"acquisition   {why['acquisition']:.4g} (the same, less what the risk to fail takes off)" in told
    assert f"{why['lengthscales']['lr']:.6g}" in told
    assert "Logarithmic (chosen by Auto)" in told
    assert "Linear (chosen by Auto)" in told
    assert "deviations " in told
    assert max(map(len, told.splitlines())) <= 80


def test_a_suggestion_by_short_waves_says_so(engine: Engine, capsys: Any) -> None:
    trial = engine.trials("job")[7]
    found = explain_training_job(engine.store, engine.owner, trial.name)
    show_training_job({**found, "why": {**found["why"], "fit": "short waves"}})
    told = " ".join(capsys.readouterr().out.split())
    assert "the greatest log expected improvement that was found, where what looks like noise may be short waves" in told
    assert "noise may be" not in shown(engine, capsys, 8)
    assert "usual" not in shown(engine, capsys, 8)


def test_a_model_that_expects_changes_over_short_distances_says_so(engine: Engine, capsys: Any) -> None:
    found = explain_training_job(engine.store, engine.owner, engine.trials("job")[7].name)
    show_training_job({**found, "why": {**found["why"], "fit": "close results"}})
    told = " ".join(capsys.readouterr().out.split())
    assert "that was found, by a model that expects changes over short distances, since the better results are close" in told


def test_a_second_look_says_what_it_is_for(engine: Engine, capsys: Any) -> None:
    found = explain_training_job(engine.store, engine.owner, engine.trials("job")[7].name)
    show_training_job({**found, "why": {**found["why"], "aim": "second look", "fit": "short waves"}})
    told = " ".join(capsys.readouterr().out.split())
    assert "chosen by the model: a second look right beside the best one, to tell noise from short waves which saw" in told


def test_a_first_point_says_that_there_was_no_model(engine: Engine, capsys: Any) -> None:
    told = shown(engine, capsys, 1)
    first = "the initial design: the middle of all ranges, or what is known by name, before there is a model"
    assert f"chosen by     {first}" in told
    assert "which saw     0 results, 0 failed, 0 running (events up to 0)" in told
    assert "model said" not in told
    assert "length scale" not in told
    second = shown(engine, capsys, 2)
    assert "chosen by     the initial design: points spread over the ranges, before there is a model" in second


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        (StrategyName.RANDOM, "a random draw on the ranges' scales; it looks at no result"),
        (StrategyName.GRID, "the grid: the next combination that had not been tried"),
    ],
)
def test_what_chooses_without_a_model(strategy: StrategyName, told: str, capsys: Any) -> None:
    engine = Engine()
    listed = (Categorical("lr", ("0.1", "0.2")), Categorical("layers", ("1", "2")), Categorical("act", ("relu", "tanh")))
    engine.create(tuning_spec(strategy=strategy, jobs=4 if strategy is StrategyName.RANDOM else None, ranges=listed))
    engine.run("job")
    assert f"chosen by     {told}\n" in bare(shown(engine, capsys, 3))


def bare(text: str) -> str:
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def test_hyperbands_suggestions_tell_among_what_a_model_chose_and_which_were_stopped(capsys: Any) -> None:
    engine = Engine(lambda h: Script([float(h["lr"]) + 1 / k for k in range(1, 10)], 9.0))
    spec = tuning_spec(strategy=StrategyName.HYPERBAND, jobs=16)
    engine.create(replace(spec, hyperband=Hyperband(1, 9, "bayesian")))
    engine.run("job")
    told = {t.number: bare(shown(engine, capsys, t.number)) for t in engine.trials("job")}
    chosen = [t for t in engine.trials("job") if t.proposal["source"] == "model"]
    assert len(chosen) >= 4
    for trial in chosen:
        assert "chosen by     the model: the greatest log expected improvement among random draws\n" in told[trial.number]
        assert "(mean and deviation, on one rung's scale)\n" in told[trial.number]
        assert "deviations" not in told[trial.number]
    assert any(not t.cut_short for t in chosen)
    assert any(t.cut_short for t in engine.trials("job"))
    for trial in engine.trials("job"):
        ending = f"came out as   loss {trial.objective_value:.6g}, where it was stopped early\n"
        assert (ending in told[trial.number]) == trial.cut_short
        assert "bracket" in told[trial.number]


def test_a_training_job_that_had_all_of_its_epochs_is_not_called_stopped_early(capsys: Any) -> None:
    engine = Engine(lambda h: Script([float(h["lr"]) + 1 / k for k in range(1, 20)], 19.0))
    engine.create(replace(tuning_spec(strategy=StrategyName.HYPERBAND, jobs=9), hyperband=Hyperband(1, 9)))
    engine.run("job")
    emitted = {t.number: len(engine.store.points(t.id)) for t in engine.trials("job")}
    early = {number: "stopped early" in shown(engine, capsys, number) for number in emitted}
    assert early == {number: count < 9 for number, count in emitted.items()}
    assert set(early.values()) == {True, False}
    assert all(t.cut_short for t in engine.trials("job"))


def test_a_training_job_without_a_result_says_how_it_ended(capsys: Any) -> None:
    engine = Engine(lambda h: Script((), 5.0, RunState.FAILED, "ValueError: diverged"))
    engine.create(tuning_spec(jobs=1, parallel=1))
    engine.worker().tick()
    assert "came out as" not in shown(engine, capsys, 1)
    engine.run("job", holder="a")
    assert "came out as   no result: Failed\n" in bare(shown(engine, capsys, 1))


def test_a_draw_since_all_else_was_tried_says_so(engine: Engine, capsys: Any) -> None:
    found = dict(explain_training_job(engine.store, engine.owner, engine.trials("job")[5].name))
    show_training_job({**found, "source": "random"})
    assert "a random draw on the ranges' scales: what the search would rather try had been tried" in capsys.readouterr().out


def test_what_is_recorded_and_not_told_in_words_is_told_as_it_is(engine: Engine, capsys: Any) -> None:
    found = dict(explain_training_job(engine.store, engine.owner, engine.trials("job")[0].name))
    show_training_job({**found, "why": {"novelty": {"lr": 0.5}}})
    assert "novelty.lr    0.5" in capsys.readouterr().out


def test_a_training_job_outlives_its_tuning_job_with_its_reasons(capsys: Any) -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=2))
    engine.run("job")
    trial = engine.trials("job")[0]
    engine.store.delete_tuning_job(engine.job("job").id)
    show_training_job(explain_training_job(engine.store, engine.owner, trial.name))
    assert "chosen by     a random draw" in capsys.readouterr().out


def test_a_tuning_job_tells_its_scales_and_its_best(engine: Engine, capsys: Any) -> None:
    found = explain_tuning_job(engine.store, engine.owner, "job")
    assert found["scaling"] == {
        "lr": {"declared": "Auto", "used": "Logarithmic"},
        "layers": {"declared": "Auto", "used": "Linear"},
    }
    show_tuning_job(found)
    told = capsys.readouterr().out
    assert "lr Logarithmic (chosen by Auto), layers Linear (chosen by Auto)" in told
    assert f"loss {found['best']['objective']:.6g} by #{found['best']['number']}" in told


def test_no_bar_is_drawn_into_a_file_whatever_colours_are_asked_for(engine: Engine, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert len(list(watched(replay(engine.store, engine.owner, "job")))) == 8
    assert capsys.readouterr().err == ""


def findings(engine: Engine, **changes: Any) -> Findings:
    checked = list(replay(engine.store, engine.owner, "job"))
    seventh = checked[6]
    checked[6] = Checked(seventh.job, seventh.recorded, {**seventh.recorded, **changes})
    return Findings("job", False, (), tuple(checked))


def test_the_first_difference_is_shown_and_only_what_differs(engine: Engine, capsys: Any) -> None:
    found = findings(engine, lr="0.5")
    found.say()
    told = capsys.readouterr().out
    assert "job: 7 of 8 suggestions follow from what they saw, bit for bit." in told
    seventh = engine.trials("job")[6]
    assert f"The first that does not: {seventh.name} (#7, event {seventh.launched_seq})" in told
    assert [line.split() for line in told.splitlines() if line.startswith("lr")] == [["lr", seventh.tuned["lr"], "0.5"]]
    assert "act" not in told.partition("The first")[2].partition("Its record")[0]
    assert not found.all_is_well
    assert found.record()["different"][0]["replayed"]["lr"] == "0.5"


def test_nothing_to_replay_is_said(capsys: Any) -> None:
    Findings("theirs", True, (), ()).say()
    Findings("fresh", False, (), ()).say()
    assert capsys.readouterr().out.splitlines() == [
        "theirs: there is nothing to replay: it was imported.",
        "fresh: there is nothing to replay: no suggestion has been made yet.",
    ]


def test_missing_and_unreadable_records_are_findings(engine: Engine, capsys: Any) -> None:
    trial = engine.trials("job")[2]
    lost = Checked(trial, trial.tuned, None, None, "lr: 'x': not a number")
    found = Findings("job", False, (2,), (lost,))
    found.say()
    assert capsys.readouterr().out.splitlines() == [
        "job: training job #2 is missing: its record is not in the store.",
        f"job: the record of {trial.name} (#3) cannot be right: lr: 'x': not a number.",
    ]
    assert not found.all_is_well
    assert found.reasons == Counter()
    assert found.record()["unreadable"] == [{"training_job": trial.name, "number": 3, "reason": "lr: 'x': not a number"}]


@pytest.fixture(scope="module")
def family() -> Engine:
    """A child that holds what its parents varied, and its parents, with names as people give them."""
    engine = Engine()
    parents = ("resnet-cifar-first-1", "resnet-cifar-first-2")
    for name in parents:
        engine.create(tuning_spec(name, jobs=20))
        engine.run(name)
    warm = WarmStart(WarmStartType.TRANSFER, parents)
    fewer = {"ranges": RANGES[:2], "statics": {"act": "relu"}}
    engine.create(tuning_spec("child", strategy=StrategyName.BAYESIAN, jobs=6, warm_start=warm, **fewer))
    engine.run("child")
    return engine


@pytest.mark.parametrize("show_it", ["tuning job", "training job"])
def test_explanations_break_no_word_on_a_narrow_terminal(
    family: Engine, show_it: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in {"TERM": "xterm", "COLUMNS": "40"}.items():
        monkeypatch.setenv(name, value)
    if show_it == "tuning job":
        show_tuning_job(explain_tuning_job(family.store, family.owner, "child"))
        expected = "resnet-cifar-first-1:\n  used "
    else:
        show_training_job(explain_training_job(family.store, family.owner, family.trials("child")[0].name))
        expected = "resnet-cifar-first-1:\n  counts as kin, weight then "
    told = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, told.splitlines())) <= 40
    assert expected in told
    assert "agreement" in told


@pytest.mark.parametrize("columns", [80, 120])
def test_the_warm_start_report_fits_a_terminal_without_a_broken_word(
    family: Engine, columns: int, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = explain_tuning_job(family.store, family.owner, "child")
    show_tuning_job(found)
    whole = capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in {"TERM": "dumb", "COLUMNS": str(columns)}.items():
        monkeypatch.setenv(name, value)
    show_tuning_job(found)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    rules = {"─" * n for n in range(columns + 1)}
    assert [word for line in lines for word in line.split() if word not in rules] == [
        word for word in whole.split() if not word.startswith("─")
    ]
    for parent in found["warm_start"]["parents"]:
        assert parent["dropped"]
        row = next(line.split() for line in lines if line.startswith(parent["name"] + " "))
        weights = [f"{parent['weight_at_start']:.2f}", "->", f"{parent['weight']:.2f}"]
        figures = [*str(parent["used"]).split(), "of", "20", "as", "kin", *weights, f"{parent['agreement']:+.2f}"]
        assert row == [parent["name"], *figures, f"{parent['best']['objective']:.6g}"]


def test_what_was_taken_from_parents_says_from_whom_and_that_nothing_bears_them_out_yet(family: Engine, capsys: Any) -> None:
    engine = family
    first, *later = engine.trials("child")
    assert first.proposal["source"] == "parent"
    show_training_job(explain_training_job(engine.store, engine.owner, first.name))
    told = bare(capsys.readouterr().out)
    assert "chosen by     the parents: one of their best, in turn with the model's own suggestions\n" in told
    assert "taken from    #" in told
    assert [line.split()[-1] for line in told.splitlines() if line.startswith("resnet-cifar")] == ["-", "-"]
    second = next(t for t in later if t.number == 2)
    show_training_job(explain_training_job(engine.store, engine.owner, second.name))
    lines = [line for line in bare(capsys.readouterr().out).splitlines() if line.startswith("resnet-cifar")]
    assert [line.split()[-1] for line in lines] == ["-", "-"], "so few results say nothing of a parent"
    assert all("as kin" in line for line in lines)
    last = next(t for t in reversed(later) if t.proposal["source"] == "model")
    show_training_job(explain_training_job(engine.store, engine.owner, last.name))
    told = bare(capsys.readouterr().out)
    views = last.proposal["why"]["parents"]["views"]
    if len(views) > 1:
        assert f"say           the model with parents {views['parents']:.2f}, the one without {views['own']:.2f}\n" in told
    assert all(line.split()[-1][0] in "+-" for line in told.splitlines() if line.startswith("resnet-cifar"))


def parent_record(**changes: Any) -> dict[str, Any]:
    told = {"name": "old", "direct": True, "training_jobs": 4, "used": 4, "failed": 0, "clipped": 0, "dropped": {}, "mixed": []}
    figures = {"kind": "transfer", "role": "kin", "weight_at_start": 0.7, "weight": 0.7, "agreement": 0.9, "surprise": 1.0}
    best = {"training_job": "old-001", "number": 1, "objective": 0.5}
    figures |= {"reliability": 0.8, "held": {}, "tried_here": []}
    return {**told, **figures, "parameters": [], "unused": [], "best": best, **changes}


@pytest.mark.parametrize(
    ("changes", "results", "told"),
    [
        ({}, 2, "old: too few results here to judge it by yet."),
        ({"best": None, "role": "none", "failed": 4}, 5, "4 of them failed; none of its training jobs has a result"),
        ({"role": "none", "weight_at_start": 0.0, "weight": 0.0}, 5, "no pattern that a model finds: it has no say."),
        ({"role": "none", "weight": 0.0}, 5, "bear it out (rank correlation +0.90); it has no say any more."),
        ({"agreement": 0.1, "weight": 0.9}, 5, "went from 0.70 to 0.90, since the values fit, if not their order."),
        (
            {"kind": "identical", "role": "rows"},
            5,
            "its results count like this job's own, which they predict within 1.0 deviations (trusted up to 3).",
        ),
        (
            {"kind": "identical", "role": "rows", "surprise": 0.0},
            5,
            "like this job's own; they are too few, or too much alike, to be judged by this job's results.",
        ),
        (
            {"kind": "identical", "role": "none", "surprise": 9.4, "weight_at_start": 1.0, "weight": 0.0},
            5,
            "9.4 deviations off what it predicts (trusted up to 3): it has no say any more.",
        ),
        (
            {"role": "none", "weight": 0.0, "agreement": 0.0, "tried_here": [1, 4]},
            5,
            "contradict its order; it has no say any more. Even so, #1, #4 are some of its best there.",
        ),
        (
            {"parameters": [{"parameter": "lr", "how": "missing", "detail": "unread"}], "promised": True},
            5,
            "Though called identical, it cannot count like this job's own: its results say nothing of lr.",
        ),
        (
            {"kind": "identical", "surprise": 9.4, "weight_at_start": 1.0, "weight": 0.4, "mixed": ["lr", "act"]},
            5,
            "only its shape counts, with weight 0.40. It had other values of lr, act, which are static here: its results are"
            " read as its model puts them at the values here.",
        ),
    ],
)
def test_what_is_said_of_a_parent(changes: dict[str, Any], results: int, told: str, capsys: Any) -> None:
    warm = {
        "type": "IdenticalDataAndAlgorithm" if "promised" in changes else "TransferLearning",
        "match": "exact",
        "looks_at_parents": True,
        "now": {"results": results},
    }
    warm |= {"parents": [parent_record(**changes)], "deleted_parents": 0, "suggestions": []}
    show_warm_start({"warm_start": warm, "best": None, "objective": {"metric": "loss", "goal": "minimize"}})
    lines = capsys.readouterr().out.splitlines()
    assert told in next(line for line in lines if line.startswith("old: "))
    row = next(line.split() for line in lines if line.startswith("old "))
    agreement = parent_record(**changes)["agreement"]
    assert row[-2] == (f"{agreement:+.2f}" if results >= 3 and agreement else "-")
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("own", "best", "told"),
    [
        (0.25, 0.5, "Best here: loss 0.25 by #3, better than the parents' best, 0.5 by #7 of old"),
        (0.25, 0.25, "Best here: loss 0.25 by #3, equal to the parents' best, 0.25 by #7 of old"),
        (58.62901, 58.629003, "loss 58.62901 by #3, not as good as the parents' best, 58.629003 by #7 of old"),
    ],
)
def test_results_that_differ_look_different(own: float, best: float, told: str, capsys: Any) -> None:
    theirs = parent_record(best={"training_job": "old-007", "number": 7, "objective": best, "configuration": {}})
    warm = {"type": "IdenticalDataAndAlgorithm", "match": "exact", "looks_at_parents": True, "now": {"results": 5}}
    warm |= {"parents": [theirs], "deleted_parents": 0, "suggestions": []}
    ours = {"number": 3, "objective": own}
    show_warm_start({"warm_start": warm, "best": ours, "objective": {"metric": "loss", "goal": "minimize"}})
    assert told in capsys.readouterr().out
