"""The warm start report: what was taken from each parent, from whom suggestions came, and that the record is history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rekindle.cli.kin import show_warm_start
from rekindle.cli.reasons import show_training_job
from rekindle.domain.decisions import ParentJob
from rekindle.domain.search_plan import CONTRAST_AT, alike, comparable, strategy_for
from rekindle.domain.tuning_job import StrategyName, TuningJobSpec, WarmStart, WarmStartType
from rekindle.domain.tuning_rules import RELAXED
from rekindle.domain.warm_start import composed, namer
from rekindle.engine.commands import delete_tuning_job
from rekindle.engine.explain import explain_training_job, explain_tuning_job
from rekindle.engine.imports import Result, import_tuning_job
from rekindle.engine.queries import describe, parents_of
from rekindle.engine.replay import replay
from rekindle.search.bayesian.strategy import BayesianSearch
from rekindle.search.space import Categorical, Continuous, Integer, Parameter
from rekindle.search.transfer import _CONTRAST
from rekindle.storage.store import open_store
from support.engine import Engine
from support.simulated import Script
from support.specs import RANGES, tuning_spec


def relaxed_program(hyperparameters: Any) -> Script:
    """A program that takes the learning rate by either of two names."""
    lr = float(hyperparameters.get("lr") or hyperparameters["rate"])
    return Script((abs(lr - 1e-3) + 0.01 * int(hyperparameters.get("layers", 3)),), seconds=5 + 10 * (lr * 1e4 % 1))


@pytest.fixture
def engine() -> Engine:
    return Engine(program=relaxed_program)


def run(engine: Engine, spec: TuningJobSpec) -> None:
    engine.create(spec)
    engine.run(spec.name)


def bayesian(name: str, kind: WarmStartType, *parents: str, jobs: int = 6, **options: Any) -> TuningJobSpec:
    ranges = options.pop("ranges", RANGES)
    statics = options.pop("statics", None)
    warm = WarmStart(kind, parents, **options)
    return tuning_spec(name, strategy=StrategyName.BAYESIAN, jobs=jobs, ranges=ranges, statics=statics, warm_start=warm)


def story(engine: Engine, name: str) -> dict[str, Any]:
    return dict(explain_tuning_job(engine.store, engine.owner, name)["warm_start"])


def test_an_identical_parent_s_best_is_tried_first_and_named(engine: Engine) -> None:
    run(engine, tuning_spec("old", jobs=12))
    run(engine, bayesian("child", WarmStartType.IDENTICAL, "old"))
    warm = story(engine, "child")
    (old,) = warm["parents"]
    assert (old["training_jobs"], old["used"], old["dropped"], old["role"]) == (12, 12, {}, "rows")
    assert old["tried_here"] == [1]
    assert warm["suggestions"][0]["from"] == ["old"]
    assert {p["how"] for p in old["parameters"]} == {"value"}
    best = min(t.objective_value for t in engine.trials("old") if t.objective_value is not None)
    assert old["best"]["objective"] == best


def test_a_suggestion_taken_from_a_parent_names_the_training_job_that_had_it(engine: Engine, capsys: Any) -> None:
    run(engine, tuning_spec("old", jobs=12))
    run(engine, bayesian("child", WarmStartType.IDENTICAL, "old"))
    best = min(engine.trials("old"), key=lambda t: t.objective_value or 0.0)
    told = [explain_training_job(engine.store, engine.owner, t.name) for t in engine.trials("child")]
    expected = {"parent": "old", "training_job": best.name, "number": best.number, "objective": best.objective_value}
    expected["differed"] = []
    assert told[0]["taken_from"] == [expected]
    assert all(t["taken_from"] == [] for t in told if t["source"] != "parent")
    show_training_job(told[0])
    assert f"taken from    #{best.number} of old: loss {best.objective_value:.6g} there" in capsys.readouterr().out


def test_what_is_static_here_and_was_otherwise_where_a_suggestion_was_taken_from_is_told(engine: Engine, capsys: Any) -> None:
    run(engine, tuning_spec("old", jobs=12, ranges=RANGES[:2], statics={"act": "relu", "data": "small", "seed": "1"}))
    statics = {"layers": "2", "act": "relu", "data": "large", "seed": "1"}
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", jobs=2, ranges=RANGES[:1], statics=statics))
    told = explain_training_job(engine.store, engine.owner, engine.trials("child")[0].name)
    (origin,) = told["taken_from"]
    had = next(t for t in engine.trials("old") if t.name == origin["training_job"]).tuned["layers"]
    layers = [] if had == "2" else [{"hyperparameter": "layers", "there": had, "here": "2"}]
    data = {"hyperparameter": "data", "there": "small", "here": "large"}
    assert origin["differed"] == [*layers, data]
    show_training_job(told)
    assert "data small (large here)" in capsys.readouterr().out


def test_an_identical_parent_whose_training_jobs_all_failed_never_had_weight(engine: Engine, capsys: Any) -> None:
    engine.executor.program = lambda given: Script((), seconds=1)
    engine.create(tuning_spec("old", jobs=3))
    engine.run("old")
    engine.executor.program = relaxed_program
    run(engine, bayesian("child", WarmStartType.IDENTICAL, "old", jobs=4))
    (old,) = story(engine, "child")["parents"]
    assert (old["best"], old["weight_at_start"], old["weight"], old["role"]) == (None, 0.0, 0.0, "none")
    show_warm_start(explain_tuning_job(engine.store, engine.owner, "child"))
    row = next(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("old "))
    assert row[-5:] == ["0.00", "->", "0.00", "-", "none"], "nothing is known of an agreement"


def test_a_parent_of_too_few_results_for_a_model_has_no_say_and_gives_the_first_suggestion(engine: Engine, capsys: Any) -> None:
    run(engine, tuning_spec("old", jobs=2))
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", jobs=4))
    assert story(engine, "child")["parents"][0]["tried_here"] == [1]
    show_warm_start(explain_tuning_job(engine.store, engine.owner, "child"))
    told = "old: 2 of its results can be read here, and a model takes 4: it has no say. Even so, #1 is one of its best there."
    assert told in capsys.readouterr().out.splitlines()


def test_results_outside_the_ranges_here_are_not_called_clipped(engine: Engine, capsys: Any) -> None:
    run(engine, tuning_spec("old", jobs=12))
    ranges = (Continuous("lr", 1e-3, 1e-1, "Logarithmic"), *RANGES[1:])
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", jobs=2, ranges=ranges))
    show_warm_start(explain_tuning_job(engine.store, engine.owner, "child"))
    told = capsys.readouterr().out
    outside = sum(float(t.tuned["lr"]) < 1e-3 for t in engine.trials("old"))
    assert f"12 of 12 training jobs used, {outside} of them outside the ranges here;" in told
    assert "clipped" not in told


def test_why_an_identical_parent_counts_as_kin_and_what_is_static_here_is_said(engine: Engine, capsys: Any) -> None:
    run(engine, tuning_spec("old", jobs=12))
    run(engine, bayesian("child", WarmStartType.IDENTICAL, "old", jobs=2, ranges=RANGES[:2], statics={"act": "relu"}))
    run(engine, bayesian("other", WarmStartType.IDENTICAL, "old", jobs=2, ranges=RANGES[::2], statics={"layers": "9"}))
    show_warm_start(explain_tuning_job(engine.store, engine.owner, "other"))
    told = capsys.readouterr().out
    assert "It had other values of layers, which is static here, so that it counts as kin though it is called" in told
    assert "\nold: layers is static here: 9\n" in told
    show_warm_start(explain_tuning_job(engine.store, engine.owner, "child"))
    told = capsys.readouterr().out
    assert "\nold: act is static here: relu\n" in told
    assert "left out" not in told


def test_a_point_for_contrast_is_called_so_though_a_parent_had_it_too(engine: Engine, capsys: Any) -> None:
    values = tuple("abcdefgh")
    engine.executor.program = lambda given: Script((values.index(given["c"]) + 0.1 * (given["k"] == "y"),), seconds=1)
    ranges = (Categorical("c", values), Categorical("k", ("x", "y")))
    run(engine, tuning_spec("old", jobs=16, ranges=ranges))
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", jobs=4, ranges=ranges))
    told = [explain_training_job(engine.store, engine.owner, t.name) for t in engine.trials("child")]
    assert [t["source"] for t in told] == ["parent"] * 4
    assert told[2]["configuration"] == {"c": "e", "k": "y"}, "the middle of all ranges"
    assert [(t["from_parents"], len(t["taken_from"])) for t in told] == [(True, 1), (True, 1), (False, 0), (True, 1)]
    show_training_job(told[2])
    assert "chosen by     the parents: a point for contrast" in capsys.readouterr().out
    assert story(engine, "child")["parents"][0]["tried_here"] == [1, 2, 4]
    show_warm_start(explain_tuning_job(engine.store, engine.owner, "child"))
    assert "#3: laid out in view of the parents" in capsys.readouterr().out


def test_a_parent_s_best_is_called_so_though_the_parent_is_gone(engine: Engine, capsys: Any) -> None:
    run(engine, tuning_spec("old", jobs=12))
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", jobs=2))
    delete_tuning_job(engine.store, engine.owner, "old")
    show_training_job(explain_training_job(engine.store, engine.owner, engine.trials("child")[0].name))
    assert "chosen by     the parents: one of their best" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("p", "one", "other", "same"),
    [
        (Continuous("x", 0.0, 1.0), "1e-3", "0.001", True),
        (Continuous("x", 0.0, 1.0), "0.001", "0.002", False),
        (Continuous("x", 0.0, 1.0), "0.001", "nan", False),
        (Integer("n", 1, 2**60), str(2**53), str(2**53 + 1), False),
        (Integer("n", 1, 2**60), "7", "07", True),
        (Categorical("c", ("1", "1.0")), "1", "1.0", False),
        (Categorical("c", ("1", "1.0")), "1.0", "1.0", True),
    ],
)
def test_what_is_one_value_and_what_is_two(p: Parameter, one: str, other: str, same: bool) -> None:
    assert alike(p, one, other) is same
    assert alike(p, other, one) is same


def test_the_turns_of_contrast_are_those_of_the_search() -> None:
    assert CONTRAST_AT == tuple(k + 1 for k in _CONTRAST)


def test_values_of_a_list_that_read_as_numbers_are_told_apart_by_their_text(engine: Engine) -> None:
    ranges = (Categorical("width", ("1", "1.0", "01", "nan")), Categorical("act", ("relu", "tanh")))
    losses = {"1": 3.0, "1.0": 1.0, "01": 2.0, "nan": 0.0}
    engine.executor.program = lambda given: Script((losses[given["width"]] + (given["act"] == "tanh"),), seconds=1)
    run(engine, tuning_spec("old", jobs=8, ranges=ranges))
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", jobs=5, ranges=ranges))
    had = {t.number: dict(t.tuned) for t in engine.trials("old")}
    told = [explain_training_job(engine.store, engine.owner, t.name) for t in engine.trials("child")]
    assert told[0]["configuration"]["width"] == "nan"
    taken = [(t["configuration"], t["taken_from"]) for t in told if t["from_parents"]]
    assert len(taken) >= 3
    assert all([had[o["number"]] for o in originals] == [configuration] for configuration, originals in taken)
    assert story(engine, "child")["suggestions"][0]["from"] == ["old"]


def test_the_weights_are_those_that_were_recorded(engine: Engine) -> None:
    run(engine, tuning_spec("old", jobs=12))
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", jobs=8))
    (old,) = story(engine, "child")["parents"]
    told = [t.proposal["why"].get("parents", {}).get("parents", []) for t in engine.trials("child")]
    assert old["recorded_weights"] == [parents[0]["weight"] for parents in told if parents]
    assert len(old["recorded_weights"]) >= 3


def test_rows_with_another_value_of_what_is_static_here_are_set_aside(engine: Engine) -> None:
    run(engine, tuning_spec("old", jobs=24))
    run(engine, bayesian("child", WarmStartType.IDENTICAL, "old", ranges=RANGES[:2], statics={"act": "relu"}))
    (old,) = story(engine, "child")["parents"]
    others = sum(t.tuned["act"] != "relu" for t in engine.trials("old"))
    assert 0 < others < 19
    assert old["dropped"] == {"act is not relu": others}
    assert (old["used"], old["role"], old["mixed"]) == (24 - others, "rows", [])
    assert all(c.agrees for c in replay(engine.store, engine.owner, "child"))


def test_an_identical_parent_of_other_numbers_only_lends_its_shape(engine: Engine) -> None:
    run(engine, tuning_spec("old", jobs=12))
    run(engine, bayesian("child", WarmStartType.IDENTICAL, "old", ranges=RANGES[:1] + RANGES[2:], statics={"layers": "2"}))
    (old,) = story(engine, "child")["parents"]
    assert (old["kind"], old["mixed"]) == ("transfer", ["layers"])
    job = engine.job("child")
    strategy = strategy_for(job, job.spec.definition, parents_of(engine.store, job))
    assert isinstance(strategy, BayesianSearch)
    assert strategy.parents[0].held == {"layers": 2}


@pytest.mark.parametrize("text", ["0.01", "1e-2"])
def test_a_number_is_the_same_however_it_is_written(engine: Engine, text: str) -> None:
    run(engine, tuning_spec("old", jobs=8, ranges=(Continuous("lr", 0.01, 0.01), *RANGES[1:])))
    run(engine, bayesian("child", WarmStartType.IDENTICAL, "old", ranges=RANGES[1:], statics={"lr": text}, jobs=2))
    (old,) = story(engine, "child")["parents"]
    assert (old["kind"], old["role"], old["mixed"]) == ("identical", "rows", [])


def test_what_was_static_there_is_a_constant_here(engine: Engine) -> None:
    run(engine, tuning_spec("old", jobs=8, ranges=RANGES[:2], statics={"act": "tanh"}))
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old"))
    (old,) = story(engine, "child")["parents"]
    assert {p["parameter"]: p["how"] for p in old["parameters"]} == {"lr": "value", "layers": "value", "act": "constant"}


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "many", "9" * 400, "", "9007199254740993"])
def test_a_constant_that_is_no_value_is_left_out(engine: Engine, text: str) -> None:
    results = [Result("r", {"lr": str(10 ** -(i % 4 + 1)), "act": "relu"}, float(i)) for i in range(6)]
    spec = tuning_spec("old", ranges=(RANGES[0], RANGES[2]), statics={"layers": text})
    import_tuning_job(engine.store, engine.clock, engine.owner, spec, results, RELAXED)
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", jobs=2))
    (old,) = story(engine, "child")["parents"]
    assert {p["parameter"]: p["how"] for p in old["parameters"]}["layers"] == "missing"


def test_random_search_does_not_look_at_its_parents(engine: Engine) -> None:
    run(engine, tuning_spec("old", jobs=6))
    run(engine, tuning_spec("child", warm_start=WarmStart(WarmStartType.IDENTICAL, ("old",))))
    warm = story(engine, "child")
    assert not warm["looks_at_parents"]
    assert warm["parents"][0]["weight"] is None
    assert describe(engine.store, engine.owner, "child").overall_best is not None


RENAMED = (replace(RANGES[0], name="rate"), Continuous("momentum", 0, 1), RANGES[2])


def family(engine: Engine) -> None:
    """old -> child (which calls lr rate and has momentum) -> grandchild (which calls it speed)."""
    run(engine, tuning_spec("old", jobs=10))
    names = {"old": {"rate": "lr"}}
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", ranges=RENAMED, relaxed=True, names=names))
    speed = (replace(RANGES[0], name="speed"), RANGES[2])
    spec = bayesian(
        "grandchild",
        WarmStartType.IDENTICAL,
        "child",
        ranges=speed,
        statics={"rate": "0.01"},
        relaxed=True,
        recursive=True,
        names={"child": {"speed": "rate"}},
    )
    run(engine, spec)


def test_relaxed_parents_are_read_by_their_names_and_ancestors_through_those_between(engine: Engine) -> None:
    family(engine)
    (old,) = story(engine, "child")["parents"]
    assert {p["parameter"]: p["how"] for p in old["parameters"]} == {"rate": "value", "momentum": "missing", "act": "value"}
    assert old["unused"] == ["layers"]
    warm = engine.job("grandchild").spec.warm_start
    assert warm is not None
    assert warm.ancestors == ("old",)
    assert warm.names == {"child": {"speed": "rate"}, "old": {"speed": "lr"}}
    child, old = story(engine, "grandchild")["parents"]
    assert (child["name"], child["direct"], old["name"], old["direct"]) == ("child", True, "old", False)
    assert {p["parameter"]: p["how"] for p in old["parameters"]} == {"speed": "value", "act": "value"}
    # What the child calls ``rate`` is not what the grandchild calls so.
    assert "rate (the parent's)" not in child["unused"]


def test_relaxed_jobs_replay_bit_for_bit(engine: Engine) -> None:
    family(engine)
    for name in ("child", "grandchild"):
        checked = list(replay(engine.store, engine.owner, name))
        assert len(checked) == 6
        assert all(c.agrees for c in checked)


def test_only_direct_parents_count_for_the_best_overall(engine: Engine) -> None:
    family(engine)
    view = describe(engine.store, engine.owner, "grandchild")
    assert view.overall_best is not None
    assert view.overall_best.tuning_job_name in ("child", "grandchild")
    assert [p.direct for p in parents_of(engine.store, view.job)] == [True, False]


def test_a_parent_that_is_gone_is_told(engine: Engine) -> None:
    run(engine, tuning_spec("old", jobs=6))
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old"))
    engine.store.delete_tuning_job(engine.job("old").id)
    warm = story(engine, "child")
    assert (warm["parents"], warm["deleted_parents"]) == ([], 1)
    assert warm["weights_by_suggestion"][0]["parents"]["parents"][0]["name"] == "old"


def test_names_lead_from_generation_to_generation() -> None:
    called = namer({"rate": "lr", "lr": "learning"})
    assert [called(n) for n in ("lr", "learning", "rate", "act")] == ["rate", "lr", "rate (the parent's)", "act"]
    assert composed(["speed", "act"], {"speed": "rate"}, {"rate": "lr"}) == {"speed": "lr"}
    assert composed(["lr"], {"lr": "rate"}, {"rate": "lr"}) == {}


def test_too_few_alike_are_not_enough_to_set_others_aside(engine: Engine) -> None:
    ranges = (RANGES[0], Categorical("act", tuple(f"a{i}" for i in range(12))))
    run(engine, tuning_spec("old", jobs=12, ranges=ranges))
    job = engine.job("old")
    ours = tuning_spec("child", ranges=ranges[:1], statics={"act": "a0"}).definition
    read = comparable(ParentJob(job, engine.trials("old")), ours, {})
    assert (len(read.jobs), read.aside, read.mixed) == (12, {}, ("act",))


def test_a_training_job_tells_its_original_name() -> None:
    engine = Engine(store=open_store("sqlite://"))
    results = [Result("r", {"lr": "0.01", "layers": "2", "act": "relu"}, 0.5, name="their-001")]
    import_tuning_job(engine.store, engine.clock, engine.owner, tuning_spec("old"), results, RELAXED)
    (trial,) = engine.trials("old")
    assert explain_training_job(engine.store, engine.owner, trial.name)["original_name"] == "their-001"


def test_a_child_whose_parent_was_deleted_is_not_compared_with_what_it_would_be_without(engine: Engine) -> None:
    for name in ("one", "two"):
        run(engine, tuning_spec(name, jobs=8))
    run(engine, bayesian("child", WarmStartType.TRANSFER, "one", "two"))
    delete_tuning_job(engine.store, engine.owner, "two")
    checked = list(replay(engine.store, engine.owner, "child"))
    assert len(checked) == 6
    assert {c.incomparable for c in checked} == {"they were made with the results of 'two', deleted since"}
    assert not any(c.agrees for c in checked)


def test_a_scale_that_changed_is_told_and_the_weight_at_start_is_that_recorded_first(engine: Engine, capsys: Any) -> None:
    run(engine, tuning_spec("old", jobs=12))
    lr, *others = RANGES
    run(engine, bayesian("child", WarmStartType.TRANSFER, "old", ranges=(replace(lr, scaling="Linear"), *others)))
    found = explain_tuning_job(engine.store, engine.owner, "child")
    (old,) = found["warm_start"]["parents"]
    assert [m.get("scaling") for m in old["parameters"]] == [{"there": "Logarithmic", "here": "Linear"}, None, None]
    assert old["weight_at_start"] == old["recorded_weights"][0]
    show_warm_start(found)
    out = capsys.readouterr().out
    assert "by value, same range, scale Logarithmic -> Linear\n" in out
