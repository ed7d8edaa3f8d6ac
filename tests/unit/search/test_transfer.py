"""Warm start: what parents are worth, how their rows are read, and that nothing about them can break a search."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from rekindle.search import Categorical, Continuous, History, Integer, Parent, Space, Tuner
from rekindle.search.bayesian.blas import single_thread
from rekindle.search.bayesian.encoding import Encoding
from rekindle.search.bayesian.fit import most_probable
from rekindle.search.bayesian.gp import GP
from rekindle.search.bayesian.initial import design_point
from rekindle.search.bayesian.strategy import BayesianSearch, _Suggestion
from rekindle.search.bayesian.targets import Targets
from rekindle.search.history import Direction
from rekindle.search.parent_model import _PARENT_PRIORS, at_held, model_of
from rekindle.search.parent_rows import MAX_ROWS, coordinates_of, places, rows_of
from rekindle.search.space import Configuration, Parameter, Value
from rekindle.search.strategy import generator
from rekindle.search.transfer import Kin, WarmStart, _fitted_to, _kin, _size_at_fit, kin_of, report, standing

SPACE = Space([Continuous("x", 0.0, 1.0, "Linear"), Continuous("y", 0.0, 1.0, "Linear")])
SPACE_ENCODING = Encoding(SPACE)
Function = Callable[[Configuration], float]


def bowl(c: Configuration, x: float = 0.7, y: float = 0.2) -> float:
    return (float(c["x"]) - x) ** 2 + (float(c["y"]) - y) ** 2


def results(f: Function, n: int = 30, seed: int = 0, space: Space = SPACE) -> list[tuple[Configuration, float | None]]:
    rng = np.random.default_rng(seed)
    configurations = [space.decode(rng.random(len(space))) for _ in range(n)]
    return [(c, f(c)) for c in configurations]


def search(parents: Sequence[Parent], f: Function, n: int, space: Space = SPACE, seed: int = 0) -> Tuner:
    tuner = Tuner(space, "bayesian", "minimize", seed, parents)
    for _ in range(n):
        trial = tuner.ask()
        tuner.tell(trial.id, f(trial.values))
    return tuner


def best_of(trials: Sequence[tuple[Configuration, float | None]]) -> float:
    return min(v for _, v in trials if v is not None)


@pytest.mark.parametrize("seed", range(5))
def test_first_suggestion_with_an_identical_parent_is_as_good_as_its_best(seed: int) -> None:
    trials = results(bowl, seed=seed)
    tuner = search([Parent(SPACE, trials, "identical")], bowl, 1, seed=seed)
    assert tuner.best.value <= best_of(trials)


def test_identical_parents_rows_are_the_searchs_own() -> None:
    trials = results(bowl)
    tuner = search([Parent(SPACE, trials, "identical")], bowl, 4)
    assert tuner.best.value < 0.2 * best_of(trials)
    assert tuner.explain(3)["parents"]["parents"][0]["role"] == "rows"  # type: ignore[index]


def test_kin_on_another_scale_show_the_way() -> None:
    kin = [Parent(SPACE, results(lambda c: 1e4 + 300 * bowl(c, 0.65, 0.25), seed=s), name=f"p{s}") for s in range(3)]
    tuner = search(kin, bowl, 4)
    assert tuner.best.value < 0.01


def test_negated_parent_loses_its_say_and_does_no_lasting_harm() -> None:
    parent = Parent(SPACE, [(c, -v) for c, v in results(bowl) if v is not None])
    tuner = search([parent], bowl, 16)
    told = report(SPACE, "minimize", [parent], tuner.history).parents[0]
    assert told.weight < 0.2 * told.weight_at_start
    assert tuner.best.value < 0.01


def test_negated_identical_parent_is_distrusted() -> None:
    parent = Parent(SPACE, [(c, -v) for c, v in results(bowl) if v is not None], "identical")
    tuner = search([parent], bowl, 16)
    told = report(SPACE, "minimize", [parent], tuner.history).parents[0]
    assert told.role != "rows"
    assert told.surprise > 3
    assert tuner.best.value < 0.01


@pytest.mark.parametrize("values", [[-50.0, -49.0, -48.0], [-50.0] * 6], ids=["three", "six alike"])
def test_an_identical_parent_of_too_few_results_for_a_model_is_distrusted_by_those_of_the_same_configurations(
    values: list[float],
) -> None:
    # Its results are in another unit: its region looks best whatever is found there.
    rng = np.random.default_rng(3)
    trials = [(SPACE.decode(0.9 + 0.1 * rng.random(2)), value) for value in values]
    parent = Parent(SPACE, trials, "identical")
    tuner = search([parent], bowl, 16)
    told = report(SPACE, "minimize", [parent], tuner.history).parents[0]
    assert tuner.history.trials[0].configuration == min(trials, key=lambda t: t[1])[0]
    assert (told.role, told.surprise > 3) == ("none", True)
    assert tuner.best.value < 0.01


def test_an_identical_parent_of_a_few_results_that_are_found_again_keeps_its_rows() -> None:
    parent = Parent(SPACE, results(bowl)[:3], "identical")
    told = report(SPACE, "minimize", [parent], search([parent], bowl, 8).history).parents[0]
    assert (told.role, told.surprise) == ("rows", 0.0)


def contrasts(parent: Parent) -> list[int]:
    tuner = search([parent], bowl, 10)
    seen = [tuner.history.trials[i].configuration for i in range(10)]
    design = [SPACE.decode(design_point((0.5, 0.5), k, generator(0))) for k in range(4)]
    return [i for i, c in enumerate(seen) if any(np.allclose([c["x"], c["y"]], [p["x"], p["y"]], atol=1e-5) for p in design)]


def test_a_parent_that_the_results_bear_out_costs_one_point_of_contrast() -> None:
    assert contrasts(Parent(SPACE, results(bowl))) == [2]


def test_a_contrary_parent_is_met_with_more_points_of_contrast() -> None:
    assert contrasts(Parent(SPACE, [(c, -v) for c, v in results(bowl) if v is not None]))[:3] == [2, 5, 8]


def from_parents(kin: Parent, f: Function, n: int = 8) -> list[int]:
    """At which numbers of asked trials a configuration of the parent was tried."""
    tuner = search([kin], f, n)
    known = [tuple(c.values()) for c, _ in kin.trials]
    return [i for i, t in enumerate(tuner.history.trials) if tuple(t.configuration.values()) in known]


def test_while_there_are_few_results_the_next_best_of_the_parents_are_tried() -> None:
    kin = Parent(SPACE, results(lambda c: bowl(c, 0.6, 0.3), 40))
    assert from_parents(kin, bowl) == [0, 1, 3, 4, 6]


def test_of_a_parents_best_neighbours_count_as_one() -> None:
    near = [({"x": 0.7 + 0.001 * i, "y": 0.2}, 0.01 + 1e-4 * i) for i in range(12)]
    kin = kin_of(SPACE_ENCODING, "minimize", (Parent(SPACE, [*near, *results(bowl, 40)]),))
    rows = np.array([x for _, x in kin.named])
    apart = np.max(np.abs(rows[:, None] - rows[None]), axis=2) + np.eye(len(rows))
    assert len(rows) == 10
    assert apart.min() >= 0.1
    assert kin.named[0][0] == min([*near, *results(bowl, 40)], key=lambda pair: pair[1])[0]


def test_side_by_side_trials_try_different_ones_of_the_parents_best() -> None:
    kin = [Parent(SPACE, results(lambda c: bowl(c, 0.6, 0.3), 40, seed)) for seed in range(2)]
    tuner = Tuner(SPACE, parents=kin)
    trials = [tuner.ask() for _ in range(5)]
    assert [tuner.explain(t.id)["source"] for t in trials] == ["parent"] * 5
    assert len({tuple(t.values.values()) for t in trials}) == 5
    tuner.tell(trials[1].id, bowl(trials[1].values))
    sixth, seventh = tuner.ask(), tuner.ask()
    assert [tuner.explain(t.id)["source"] for t in (sixth, seventh)] == ["model", "parent"]


def test_a_contrary_parents_best_are_left() -> None:
    kin = Parent(SPACE, [(c, -v) for c, v in results(bowl, 40) if v is not None])
    assert from_parents(kin, bowl) == [0, 1]


def test_a_shuffled_parent_changes_nothing() -> None:
    trials = results(bowl, 40)
    values = [v for _, v in trials]
    np.random.default_rng(3).shuffle(values)  # type: ignore[arg-type]
    kin = Parent(SPACE, [(c, v) for (c, _), v in zip(trials, values, strict=True)])
    told = report(SPACE, "minimize", [kin], History()).parents[0]
    assert (told.role, told.weight_at_start) == ("none", 0.0)
    cold = search([], bowl, 6)
    assert [t.configuration for t in search([kin], bowl, 6).history.trials] == [t.configuration for t in cold.history.trials]


def test_shuffled_parent_has_little_reliability() -> None:
    trials = results(bowl, 40)
    values = [v for _, v in trials]
    np.random.default_rng(3).shuffle(values)  # type: ignore[arg-type]
    shuffled = Parent(SPACE, [(c, v) for (c, _), v in zip(trials, values, strict=True)], name="shuffled")
    told = report(SPACE, "minimize", [shuffled, Parent(SPACE, trials, name="true")], History()).parents
    assert told[0].reliability < 0.3 < 0.8 < told[1].reliability
    assert told[0].weight_at_start < 0.3 * told[1].weight_at_start


def test_one_contrary_parent_among_three_starts_with_less() -> None:
    kin = [Parent(SPACE, results(bowl, seed=s)) for s in range(3)]
    contrary = Parent(SPACE, [(c, -v) for c, v in results(bowl, seed=5) if v is not None])
    told = report(SPACE, "minimize", [*kin, contrary], History()).parents
    assert told[3].weight_at_start < 0.2 * min(p.weight_at_start for p in told[:3])


def test_a_search_that_has_arrived_where_its_parents_led_it_looks_farther() -> None:
    """There is a deeper valley that the parent does not know; at the parent's optimum nothing is left to gain."""

    def valley(c: Configuration) -> float:
        return (float(c["x"]) - 0.8) ** 2 + (float(c["y"]) - 0.2) ** 2

    def two_valleys(c: Configuration) -> float:
        return valley(c) - 0.9 * math.exp(-((float(c["x"]) - 0.2) ** 2 + (float(c["y"]) - 0.7) ** 2) / 0.03)

    tuner = search([Parent(SPACE, results(valley, 40))], two_valleys, 24)
    aims = [tuner.explain(i).get("aim") for i in range(24)]
    assert "farther" in aims
    first = aims.index("farther")
    assert min(t.value for t in tuner.history.trials[:first] if t.value is not None) < 1e-3
    points = SPACE_ENCODING.encode([t.configuration for t in tuner.history.trials])
    apart = [np.abs(points[:i] - points[i]).max(axis=1).min() for i in range(first, 24)]
    assert np.median(apart) > 0.05
    assert tuner.best.value < -0.05


def test_suggestions_are_a_function_of_the_arguments() -> None:
    kin = [Parent(SPACE, results(bowl, seed=s)) for s in range(2)]
    first, second = search(kin, bowl, 8, seed=4), search(kin, bowl, 8, seed=4)
    assert [t.configuration for t in first.history.trials] == [t.configuration for t in second.history.trials]
    assert [first.explain(i) for i in range(8)] == [second.explain(i) for i in range(8)]


def test_a_suggestion_does_not_depend_on_the_fits_that_are_kept() -> None:
    kin = [Parent(SPACE, results(bowl, seed=s)) for s in range(2)]
    asked = search(kin, bowl, 27)
    with_kept = asked.ask()
    _kin.cache_clear()
    fresh = search(kin, bowl, 0)
    for trial in asked.history.trials[:27]:
        fresh.add(trial.configuration, trial.value)
    again = fresh.ask()
    assert again.values == with_kept.values
    assert fresh.explain(again.id) == asked.explain(with_kept.id)


def test_of_many_results_the_last_few_wait_for_the_next_fit() -> None:
    values = np.random.default_rng(0).random(31)

    def sizes(wait: int) -> list[int]:
        return [len(_fitted_to(np.zeros((n, 2)), values[:n], "minimize", wait).y) for n in (0, 1, 24, 25, 26, 28, 31)]

    assert sizes(4) == [0, 1, 24, 24, 24, 28, 28]
    assert sizes(2) == [0, 1, 24, 24, 26, 26, 30]


@pytest.mark.parametrize("wait", [2, 4])
def test_the_more_results_the_longer_they_wait_and_none_longer_than_a_tenth_of_them(wait: int) -> None:
    sizes = [_size_at_fit(n, wait) for n in range(600)]
    assert sizes == sorted(sizes)
    assert all(n - size < max(4, 0.1 * size) for n, size in enumerate(sizes))
    assert len(set(sizes[100:200])) <= 10
    # A fit is a function of what it was made of: from there on it is the same.
    assert all(_size_at_fit(size, wait) == size for size in sizes)


def test_no_suggestion_of_the_first_fifty_past_the_fits_for_each_waits_for_two_fits() -> None:
    ours, theirs = ({_size_at_fit(n, wait) for n in range(25, 75)} for wait in (2, 4))
    assert not (ours & theirs) - {24}


def test_results_in_another_unit_are_not_taken_for_those_that_are_kept() -> None:
    """Doubled, results are the same in model values, but not beside what the parents' unit says of them."""
    half = [(c, None if v is None else v / 2) for c, v in results(bowl, seed=3)]
    kin = [Parent(SPACE, results(bowl))]
    _kin.cache_clear()
    alone = asked_after(kin, half)
    _kin.cache_clear()
    asked_after(kin, [(c, None if v is None else 2 * v) for c, v in half])
    assert asked_after(kin, half) == alone


def asked_after(kin: list[Parent], known: list[tuple[Configuration, float | None]]) -> object:
    tuner = search(kin, bowl, 0)
    for configuration, value in known:
        tuner.add(configuration, value)
    return tuner.explain(tuner.ask().id)


def test_maximising_is_minimising_the_negative() -> None:
    parent = results(bowl)
    up = Tuner(SPACE, "bayesian", "maximize", 1, [Parent(SPACE, [(c, -v) for c, v in parent if v is not None])])
    down = Tuner(SPACE, "bayesian", "minimize", 1, [Parent(SPACE, parent)])
    for _ in range(6):
        a, b = up.ask(), down.ask()
        assert a.values == b.values
        up.tell(a.id, -bowl(a.values))
        down.tell(b.id, bowl(b.values))


@pytest.mark.parametrize("kind", ["identical", "transfer"])
@pytest.mark.parametrize(
    "trials",
    [
        [],
        [({"x": 0.5, "y": 0.5}, None)] * 6,
        [({"x": 0.5, "y": 0.5}, 1.0)],
        [({"x": 0.1 * i, "y": 0.5}, 7.0) for i in range(10)],
        [({"x": 0.1 * i, "y": 0.5}, math.nan if i % 2 else math.inf) for i in range(10)],
        [({"x": 0.1 * i, "y": 0.5}, 1e300 * (-1) ** i) for i in range(10)],
        [({"x": 0.1 * i, "y": 0.5}, 1e-300 * i) for i in range(10)],
        [({"x": 5.0 + i, "y": -3.0}, float(i)) for i in range(10)],
        [({"x": 0.3, "y": 0.3}, float(i)) for i in range(10)],
        [({"z": 1.0}, float(i)) for i in range(10)],
    ],
    ids=["none", "failed", "one", "constant", "nan", "huge", "tiny", "outside", "repeated", "disjoint"],
)
def test_no_parent_breaks_a_search(kind: str, trials: list[tuple[Configuration, float | None]]) -> None:
    old = (
        Space([Continuous("z", 0, 2)])
        if trials and "z" in trials[0][0]
        else Space([Continuous("x", -9, 99), Continuous("y", -9, 9)])
    )
    parent = Parent(old, trials, kind)  # type: ignore[arg-type]
    tuner = search([parent], bowl, 7)
    assert len({SPACE.key(t.configuration) for t in tuner.history.trials}) == 7
    for trial in tuner.history.trials:
        SPACE.check(trial.configuration)
    json.dumps(report(SPACE, "minimize", [parent], tuner.history).as_dict(), allow_nan=False)


def test_every_trial_failing_never_ends_the_search() -> None:
    tuner = Tuner(SPACE, parents=[Parent(SPACE, results(bowl))])
    for _ in range(12):
        tuner.fail(tuner.ask().id)
    assert len(tuner.history.failed) == 12


def test_many_pending_trials_are_all_different() -> None:
    tuner = Tuner(
        SPACE, parents=[Parent(SPACE, results(bowl, seed=s), kind) for s, kind in enumerate(["transfer", "identical"])]
    )  # type: ignore[arg-type]
    asked = [tuner.ask() for _ in range(20)]
    assert len({SPACE.key(t.values) for t in asked}) == 20


def test_what_failed_in_an_identical_parent_is_avoided() -> None:
    def half(c: Configuration) -> float | None:
        return None if float(c["x"]) < 0.4 else bowl(c)

    rng = np.random.default_rng(0)
    trials = [(c, half(c)) for c in (SPACE.decode(rng.random(2)) for _ in range(40))]

    def failures(parents: Sequence[Parent]) -> int:
        tuner = Tuner(SPACE, parents=parents)
        for _ in range(8):
            trial = tuner.ask()
            value = half(trial.values)
            tuner.tell(trial.id, math.nan if value is None else value)
        return len(tuner.history.failed)

    assert failures([Parent(SPACE, trials, "identical")]) == 0 < failures([])


def test_an_identical_parent_whose_best_lies_outside_the_range_still_lends_its_rows() -> None:
    child = Space([Continuous("x", 0.0, 0.5, "Linear"), Continuous("y", 0.0, 1.0, "Linear")])
    tuner = search([Parent(SPACE, results(bowl), "identical")], bowl, 3, child)
    told = report(child, "minimize", [Parent(SPACE, results(bowl), "identical")], tuner.history).parents[0]
    assert told.counts["clipped"] > 0
    assert tuner.best.value < 0.06
    for trial in tuner.history.trials:
        child.check(trial.configuration)


def test_report_tells_the_searchs_own_evidence() -> None:
    good = Parent(SPACE, results(bowl), name="good")
    contrary = Parent(SPACE, [(c, -v) for c, v in results(bowl, seed=1) if v is not None], name="contrary")
    tuner = search([good, contrary], bowl, 10)
    told = report(SPACE, "minimize", [good, contrary], tuner.history)
    assert told.results == 10
    assert told.parents[0].agreement > 0.5 > -0.5 > told.parents[1].agreement
    assert told.parents[1].weight < told.parents[0].weight
    assert told.parents[0].best == best_of(good.trials)
    assert tuner.explain(9)["parents"]["views"].keys() >= {"parents"}  # type: ignore[attr-defined,index]


# Rows


MIXED = Space([Continuous("lr", 1e-4, 1e-1, "Logarithmic"), Integer("layers", 1, 4), Categorical("act", ["relu", "tanh"])])


def mapped(space: Space, trials: list[tuple[Configuration, float | None]], child: Space = MIXED):
    return rows_of(Parent(space, trials), Encoding(child), "minimize")


def row(lr: Value = 0.01, layers: Value = 2, act: Value = "relu") -> Configuration:
    return {"lr": lr, "layers": layers, "act": act}


def test_changed_ranges_map_by_value_and_keep_what_lies_outside() -> None:
    old = Space([Continuous("lr", 1e-3, 10.0, "Linear"), Integer("layers", 1, 8), Categorical("act", ["relu", "tanh"])])
    rows = mapped(old, [(row(lr=0.01), 1.0), (row(lr=1.0), 2.0), (row(layers=8), 3.0)])
    assert [c.how for c in rows.columns] == ["new range", "new range", "value"]
    assert rows.x[0] == pytest.approx(MIXED.encode(row(lr=0.01)))
    assert rows.x[1, 0] > 1
    assert rows.counts["clipped"] == 2
    assert rows.configurations[0] == row()
    assert rows.configurations[1] is None


def test_what_the_parent_held_constant_maps_as_its_constant() -> None:
    old = Space([Continuous("lr", 1e-4, 1e-1, "Logarithmic"), Integer("layers", 3, 3), Categorical("act", ["tanh"])])
    rows = mapped(old, [(row(layers=3, act="tanh"), 1.0)])
    assert [c.how for c in rows.columns] == ["value", "constant", "constant"]
    assert rows.x[0] == pytest.approx(MIXED.encode(row(layers=3, act="tanh")))


def test_a_parameter_that_the_parent_lacks_is_left_out_of_its_model() -> None:
    old = Space([Continuous("lr", 1e-4, 1e-1, "Logarithmic")])
    rng = np.random.default_rng(0)
    trials: list[tuple[Configuration, float | None]] = [
        ({"lr": c["lr"]}, math.log10(float(c["lr"])) ** 2) for c in (old.decode(rng.random(1)) for _ in range(20))
    ]
    rows = mapped(old, trials)
    assert [c.how for c in rows.columns] == ["value", "missing", "missing"]
    model = model_of(rows, Encoding(MIXED), "minimize")
    assert model is not None
    low, high = np.array([[0.3, 0.125, 0.25]]), np.array([[0.3, 0.875, 0.75]])
    assert model.mean(low) == pytest.approx(model.mean(high))


def test_a_category_unknown_to_the_child_drops_the_row() -> None:
    old = Space([MIXED.parameters[0], MIXED.parameters[1], Categorical("act", ["relu", "tanh", "elu"])])
    rows = mapped(old, [(row(), 1.0), (row(act="tanh"), 2.0), (row(act="elu"), 0.0)])
    assert rows.counts["used"] == 2
    assert rows.counts["dropped: a value that this search does not have"] == 1


@pytest.mark.parametrize(("there", "how", "used"), [(8, "new range", 8), (7, "missing", 27)])
def test_where_few_rows_have_categories_known_here_the_parameter_counts_as_missing(there: int, how: str, used: int) -> None:
    old = Space([MIXED.parameters[0], MIXED.parameters[1], Categorical("act", ["relu", "elu"])])
    rows = mapped(old, [(row(act="relu" if i < there else "elu"), float(i)) for i in range(there + 20)])
    assert (rows.columns[2].how, rows.counts["used"]) == (how, used)


@pytest.mark.parametrize(("shared", "how", "used"), [(0, ["missing", "new range"], 12), (8, ["new range", "new range"], 8)])
def test_rows_are_counted_that_can_be_read_in_every_list(shared: int, how: list[str], used: int) -> None:
    old = Space([SPACE.parameters[0], Categorical("a", ["here", "gone"]), Categorical("b", ["here", "gone"])])
    child = Space([SPACE.parameters[0], Categorical("a", ["here"]), Categorical("b", ["here"])])
    # Of 40 rows, 10 can be read in the first list, 12 in the second, so many in both.
    known = [*[("here", "here")] * shared, *[("here", "gone")] * (10 - shared), *[("gone", "here")] * (12 - shared)]
    known += [("gone", "gone")] * (40 - len(known))
    rows = mapped(old, [({"x": i / 40, "a": a, "b": b}, float(i)) for i, (a, b) in enumerate(known)], child)
    assert ([c.how for c in rows.columns[1:]], rows.counts["used"]) == (how, used)


def test_an_identical_parent_lends_its_rows_though_most_are_of_a_category_that_is_gone() -> None:
    whole = Space([*SPACE.parameters, Categorical("k", ["a", "b", "gone"])])
    rng = np.random.default_rng(0)
    names = ["a", "b", *["gone"] * 4]
    # What is gone is best elsewhere.
    trials: list[tuple[Configuration, float | None]] = [
        ({**c, "k": k}, bowl(c, 0.1, 0.9) - 1.0 if k == "gone" else bowl(c) + (k == "b"))
        for c, k in ((SPACE.decode(rng.random(2)), names[i % 6]) for i in range(60))
    ]
    parent = Parent(whole, trials, kind="identical")
    child = Space([*SPACE.parameters, Categorical("k", ["a", "b"])])
    tuner = Tuner(child, strategy="bayesian", direction="minimize", seed=0, parents=[parent])
    first = tuner.ask().values
    assert first["k"] == "a"
    assert bowl(first) <= min(v for c, v in trials if c["k"] == "a" and v is not None)


def test_categories_written_alike_are_the_same() -> None:
    child = Space([Categorical("depth", [1, 2, 3])])
    rows = mapped(Space([Categorical("depth", ["1", "2"])]), [({"depth": "2"}, 1.0)], child)
    assert rows.configurations == ({"depth": 2},)


def test_of_categories_written_alike_each_is_itself() -> None:
    space = Space([Categorical("c", [1, "1", "a"]), Continuous("x", 0.0, 1.0)])
    trials: list[tuple[Configuration, float | None]] = [({"c": "1", "x": x / 10}, float(x)) for x in range(10)]
    trials += [({"c": 1, "x": x / 10}, 50.0 + x) for x in range(10)]
    assert mapped(space, trials, space).configurations == tuple(c for c, _ in trials)
    assert Tuner(space, parents=[Parent(space, trials, "identical")]).ask().values == {"c": "1", "x": 0.0}


def test_large_parents_keep_their_best_and_count_the_rest() -> None:
    trials = results(bowl, 5000)
    rows = rows_of(Parent(SPACE, trials), Encoding(SPACE), "minimize")
    assert rows.counts["used"] == len(rows.x) == MAX_ROWS
    assert rows.counts[f"dropped: beyond the {MAX_ROWS} rows kept"] == 5000 - MAX_ROWS
    kept = sorted(v for v in rows.values)
    assert kept[: MAX_ROWS // 2] == sorted(v for _, v in trials if v is not None)[: MAX_ROWS // 2]


def test_five_parents_of_five_thousand_are_modelled_by_a_bounded_number_of_rows() -> None:
    kin = [Parent(SPACE, results(bowl, 5000, seed=s), name=f"p{s}") for s in range(5)]
    tuner = search(kin, bowl, 2)
    told = report(SPACE, "minimize", kin, tuner.history)
    assert [p.counts["trials"] for p in told.parents] == [5000] * 5
    assert tuner.best.value < 0.01


# The parts


def test_what_parents_say_is_computed_once() -> None:
    trials = results(bowl)
    assert kin_of(Encoding(SPACE), "minimize", (Parent(SPACE, trials),)) is kin_of(
        Encoding(SPACE), "minimize", (Parent(SPACE, list(trials)),)
    )


def test_parents_that_differ_in_one_value_are_told_apart_and_numpys_numbers_will_do() -> None:
    trials = results(bowl)
    numpys: list[tuple[Configuration, float | None]] = [({k: np.float64(v) for k, v in c.items()}, v) for c, v in trials]
    other: list[tuple[Configuration, float | None]] = [*trials[:-1], (trials[-1][0], 0.5)]
    found = [kin_of(Encoding(SPACE), "minimize", (Parent(SPACE, t),)) for t in (trials, other, numpys, list(numpys))]
    assert found[0] is not found[1]
    assert found[2] is found[3]
    assert np.array_equal(found[0].rows[0].x, found[2].rows[0].x)


def test_each_of_two_parents_with_the_same_results_is_told_by_its_own_name() -> None:
    trials = results(bowl)
    for name in ("old", "new"):
        parents = [Parent(SPACE, trials, name=name)]
        tuner = search(parents, bowl, 1)
        assert [p["name"] for p in tuner.explain(0)["parents"]["parents"]] == [name]  # type: ignore[index]
        assert [p.name for p in report(SPACE, "minimize", parents, tuner.history).parents] == [name]


def test_standing_before_any_result_trusts_identical_parents() -> None:
    kin = Kin(Encoding(SPACE), "minimize", (Parent(SPACE, results(bowl), "identical"),))
    now = standing(kin, np.zeros((0, 2)), np.zeros(0), np.zeros(0), None)
    assert now.trusted.all()


def ridge(c: Configuration) -> float:
    """A valley whose floor lies where it does by y."""
    return (float(c["x"]) - 0.2 - 0.6 * float(c["y"])) ** 2 + 0.3 * float(c["y"])


def test_results_are_read_as_if_found_at_the_value_that_the_new_search_holds() -> None:
    here, trials = Space([SPACE.parameters[0]]), results(ridge, 40)
    moved = at_held(Parent(SPACE, trials, held={"y": 0.9}), "minimize")
    meant = [ridge({"x": c["x"], "y": 0.9}) for c, _ in trials]
    off = lambda rows: float(np.mean([abs((v or 0.0) - m) for (_, v), m in zip(rows, meant, strict=True)]))  # noqa: E731
    assert off(moved.trials) < 0.2 * off(trials)
    for held, best in ((0.1, 0.26), (0.9, 0.74)):
        tuner = Tuner(here, parents=[Parent(SPACE, trials, held={"y": held})])
        assert float(tuner.ask().values["x"]) == pytest.approx(best, abs=0.1)


def test_a_held_value_that_a_parent_cannot_place_leaves_its_results_as_they_are() -> None:
    space = Space([SPACE.parameters[0], Categorical("c", ["a", "b"])])
    trials = [({"x": c["x"], "c": "ab"[i % 2]}, v) for i, (c, v) in enumerate(results(bowl, 30))]
    parent = Parent(space, trials, held={"c": "z"})
    assert at_held(parent, "minimize") is parent
    with pytest.raises(ValueError, match=r"held parameters \['q'\] are none of its own"):
        Parent(space, trials, held={"q": 1})


def test_trials_that_a_parent_cannot_place_stay_as_they_are() -> None:
    odd: list[tuple[Configuration, float | None]] = [
        ({"x": 0.5}, 1.0),
        ({"x": 0.1, "y": "text"}, 2.0),
        ({"x": 0.2, "y": 0.3}, None),
    ]
    moved = at_held(Parent(SPACE, [*results(ridge, 30), *odd], held={"y": 0.9}), "minimize")
    assert list(moved.trials[30:]) == odd
    assert moved.trials[:30] != tuple(results(ridge, 30))


PLACES: list[tuple[str, Parameter, Value, float]] = [
    ("a number", Continuous("p", 0.0, 4.0, "Linear"), 3, 0.75),
    ("a number that is written out", Continuous("p", 0.0, 4.0, "Linear"), "3", 0.75),
    ("a number outside the range", Continuous("p", 0.0, 4.0, "Linear"), 6.0, 1.5),
    ("a number far outside", Continuous("p", 0.0, 4.0, "Linear"), 1e300, 2.0),
    ("a number that no logarithm has", Continuous("p", 0.1, 10.0, "Logarithmic"), -3.0, -1.0),
    ("a whole number", Integer("p", 1, 4), 3, 0.625),
    ("a whole number that is written out", Integer("p", 1, 4), "3", 0.625),
    ("a whole number as a float", Integer("p", 1, 4), 3.0, 0.625),
    ("text", Continuous("p", 0.0, 4.0, "Linear"), "three", math.nan),
    ("no number", Continuous("p", 0.0, 4.0, "Linear"), math.nan, math.nan),
    ("no finite number", Integer("p", 1, 4), math.inf, math.nan),
    ("no finite number, written out", Integer("p", 1, 4), "-inf", math.nan),
    ("a number beyond floats", Integer("p", 1, 4), 10**400, math.nan),
    ("a category", Categorical("p", ["a", "b"]), "b", 0.75),
    ("a category that is not there", Categorical("p", ["a", "b"]), "c", math.nan),
    ("a category that is written alike", Categorical("p", ["2", "3"]), 3, 0.75),
]


@pytest.mark.parametrize(("parameter", "value", "at"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES])
def test_a_value_has_one_place_wherever_it_is_asked_for(parameter: Parameter, value: Value, at: float) -> None:
    assert places(parameter, [value])[0] == pytest.approx(at, nan_ok=True)
    other = Continuous("x", 0.0, 1.0, "Linear")
    trials = [*({"x": i / 20, "p": parameter.from_unit(i % 7 / 6)} for i in range(20)), {"x": 0.5, "p": value}]
    parent = Parent(Space([parameter, other]), [(c, bowl({"x": c["x"], "y": 0.0}) + i % 7) for i, c in enumerate(trials)])
    assert coordinates_of(parameter, parent)[-1] == pytest.approx(at, nan_ok=True)
    # A row that a new search uses, a row that is moved to what it holds, and what it holds itself.
    assert rows_of(parent, Encoding(parent.space), "minimize").counts["used"] == (21 if -1.0 < at < 2.0 else 20)
    moved = at_held(replace(parent, held={"p": parameter.from_unit(0.0 if at > 0.5 else 1.0)}), "minimize")
    assert (moved.trials[-1] == parent.trials[-1]) == math.isnan(at)
    assert (at_held(replace(parent, held={"p": value}), "minimize").trials == parent.trials) == math.isnan(at)


def test_what_a_search_holds_is_part_of_what_its_parents_are_kept_by() -> None:
    here, trials = Encoding(Space([SPACE.parameters[0]])), results(ridge, 30)
    low, high = (kin_of(here, "minimize", (Parent(SPACE, trials, held={"y": y}),)) for y in (0.1, 0.9))
    assert low is not high
    assert low.first() != high.first()


def model_with_failures(failed: Callable[[int, Configuration], bool]) -> tuple[float, int, int]:
    """Reliability of a parent that converged on its best, rows of its model, failures."""
    far, near = results(bowl, 20), [(c, bowl(c)) for c, _ in results(bowl, 20, seed=1) if bowl(c) < 0.3]
    trials = [(c, None if failed(i, c) else v) for i, (c, v) in enumerate([*far, *near])]
    model = model_of(rows_of(Parent(SPACE, trials), SPACE_ENCODING, "minimize"), SPACE_ENCODING, "minimize")
    assert model is not None
    return model.reliability, len(model.gp.y), sum(v is None for _, v in trials)


def test_failures_anywhere_do_not_cost_a_parent_its_say() -> None:
    rng = np.random.default_rng(3)
    chance = rng.random(40) < 0.15
    whole, rows, _ = model_with_failures(lambda i, c: False)
    reliability, kept, failures = model_with_failures(lambda i, c: bool(chance[i]))
    assert failures >= 4
    assert kept == rows - failures, "they say nothing of the objective"
    assert reliability > 0.9 * whole


def test_failures_of_a_region_are_bad_results_there() -> None:
    reliability, kept, failures = model_with_failures(lambda i, c: float(c["x"]) < 0.25)
    assert failures >= 4
    assert kept == model_with_failures(lambda i, c: False)[1]
    assert reliability > 0.5


def test_of_the_rows_used_those_that_failed_are_counted() -> None:
    trials = [(c, None if i % 50 == 0 else v) for i, (c, v) in enumerate(results(bowl, 1000))]
    rows = rows_of(Parent(SPACE, trials), SPACE_ENCODING, "minimize", 100)
    assert rows.counts["used"] == 100
    assert 0 < rows.counts["failed"] == int((~rows.succeeded).sum()) < 20


def test_the_two_models_are_weighed_by_how_well_they_predict_the_results() -> None:
    contrary = Parent(SPACE, [(c, -v) for c, v in results(bowl) if v is not None])
    seen = 0
    for parent in (Parent(SPACE, results(bowl)), contrary):
        history = search([parent], bowl, 9).history
        strategy = BayesianSearch(SPACE, "minimize", 0, (parent,), prior=WarmStart(SPACE, "minimize", (parent,)))
        made = _Suggestion(strategy, history, set())
        with single_thread():
            odds = [0.9, 0.1] * np.exp([log_density(gp, range(len(gp.y))[own]) for gp, own in made.models])
            assert made._evidence == pytest.approx(list(odds / odds.sum()), rel=1e-6)
        assert [*strategy.view_weights(history).values()] == (made._evidence if parent is not contrary else [0.0, 1.0])
        seen += abs(made._evidence[0] - 0.9) > 0.02
    assert seen, "the results had a say"


def log_density(gp: GP, rows: Sequence[int]) -> float:
    """The sum over rows of the log density of each one's value given all others, by leaving it out."""
    total = 0.0
    for i in rows:
        conditional = _inverted(gp)[i]
        variance = 1.0 / conditional[i]
        mean = gp.y[i] - variance * float(conditional @ (gp.y - gp._prior_mean(gp.x)))
        total += -0.5 * (gp.y[i] - mean) ** 2 / variance - 0.5 * math.log(variance)
    return total


def _inverted(gp: GP) -> np.ndarray:
    """The inverse of the covariance of a GP's values, from its Cholesky factor."""
    return np.linalg.inv(gp._lower @ gp._lower.T)


@pytest.mark.parametrize("off", [0.0, 0.05, 0.095, 0.1, 0.12, 0.3])
def test_an_identical_parent_is_trusted_up_to_three_deviations(off: float) -> None:
    own = np.random.default_rng(4).random((6, 2))
    values = np.array([bowl(SPACE.decode(u)) for u in own]) + off
    kin = kin_of(SPACE_ENCODING, "minimize", (Parent(SPACE, results(bowl), "identical"),))
    targets = Targets.of(values, "minimize")
    now = standing(kin, own, targets.forward(values), values, targets)
    assert now.trusted[0] == (now.surprise[0] <= 3.0)


def test_values_below_a_range_are_clipped_as_those_above_it() -> None:
    space = Space([Continuous("x", 0.25, 0.75, "Linear"), Continuous("y", 0.0, 1.0, "Linear")])
    trials = [({"x": x, "y": 0.5}, x) for x in (0.1, 0.2, 0.25, 0.5, 0.75, 0.9)]
    rows = rows_of(Parent(SPACE, trials), Encoding(space), "minimize")
    assert (rows.counts["used"], rows.counts["clipped"]) == (6, 3)


@pytest.mark.parametrize(("near", "left_out"), [(8, 2), (7, 0)])
def test_what_lies_far_outside_a_range_is_left_out_where_enough_is_left(near: int, left_out: int) -> None:
    space = Space([Continuous("x", 0.4, 0.5, "Linear"), Continuous("y", 0.0, 1.0, "Linear")])
    places = [0.31, 0.59, *[0.45] * (near - 2), 0.29, 0.61]
    rows = rows_of(Parent(SPACE, [({"x": x, "y": 0.5}, x) for x in places]), Encoding(space), "minimize")
    assert rows.counts["dropped: farther outside a range here than it is wide"] == left_out
    assert (rows.counts["used"], rows.counts["clipped"]) == (near + 2 - left_out, 4 - left_out)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_failures_of_a_parent_count_as_its_worst_result(direction: Direction) -> None:
    trials = [(c, None if float(c["x"]) < 0.3 else v) for c, v in results(lambda c: -float(c["x"]), 40)]
    sign = 1.0 if direction == "minimize" else -1.0
    parent = Parent(SPACE, [(c, None if v is None else sign * v) for c, v in trials])
    rows = rows_of(parent, SPACE_ENCODING, direction)
    made = model_of(rows, SPACE_ENCODING, direction)
    assert made is not None
    assert len(made.gp.y) == 40
    np.testing.assert_allclose(made.gp.y[~rows.succeeded], made.gp.y.max())


def test_what_a_parent_held_constant_fades_slowly_along_it() -> None:
    held = Space([Continuous("x", 0.0, 1.0, "Linear"), Continuous("y", 0.3, 0.3)])
    trials = results(lambda c: math.sin(9 * float(c["x"])), 40, space=held)
    made = model_of(rows_of(Parent(held, trials), SPACE_ENCODING, "minimize"), SPACE_ENCODING, "minimize")
    assert made is not None
    assert made.gp.hyper.lengthscales[0] < 1.0
    assert made.gp.hyper.lengthscales[1] >= 2.0


def test_a_parent_of_too_few_results_for_a_model_names_its_best() -> None:
    trials = results(bowl, 3)
    tuner = Tuner(SPACE, parents=[Parent(SPACE, trials)])
    assert tuner.ask().values == min(trials, key=lambda pair: pair[1] or 0.0)[0]
    assert tuner.explain(0)["source"] == "parent"


def test_what_parents_say_of_lengthscales_is_never_taken_for_certain() -> None:
    kin = kin_of(SPACE_ENCODING, "minimize", tuple(Parent(SPACE, results(bowl, seed=s), name=str(s)) for s in range(5)))
    assert kin.priors.learned_deviations[:2] == pytest.approx((0.5, 0.5))


def test_rows_are_spread_along_what_their_parent_lacks() -> None:
    line = Space([Continuous("x", 0.0, 1.0, "Linear")])
    kin = kin_of(SPACE_ENCODING, "minimize", (Parent(line, results(lambda c: (float(c["x"]) - 0.7) ** 2, 30, space=line)),))
    assert kin.family is not None
    assert np.ptp(kin.family.x[:, 1]) > 0.8


def test_the_named_lie_a_tenth_of_a_range_apart() -> None:
    grid = [{"x": x / 32, "y": 0.5} for x in range(33)]
    kin = kin_of(SPACE_ENCODING, "minimize", (Parent(SPACE, [(c, float(c["x"]) ** 2) for c in grid]),))
    assert [c["x"] for c, _ in kin.named] == [k / 8 for k in range(9)]


def test_surprise_is_how_far_predictions_are_off_in_deviations() -> None:
    trials = [(c, None if float(c["x"]) < 0.2 else v) for c, v in results(bowl, 40)]
    kin = kin_of(SPACE_ENCODING, "minimize", (Parent(SPACE, trials, "identical"),))
    model, rows = kin.models[0], kin.rows[0]
    assert model is not None
    own = np.array([[0.3, 0.4], [0.6, 0.1], [0.9, 0.9], [0.5, 0.5]])
    values = np.array([0.3, 0.2, 0.4, 0.1])
    # In the parent's standard units, in which failures count as its worst result and the mean of all is 0.
    parents = Targets.of(rows.values[rows.succeeded], "minimize")
    standard = parents.forward(rows.values[rows.succeeded])
    zero = np.mean([*standard, *[standard.max()] * int((~rows.succeeded).sum())])
    mean, variance = model.gp.predict(own)
    z = (parents.forward(values) - zero - mean) / np.sqrt(variance + model.gp.noise + 0.15**2)
    mine = Targets.of(values, "minimize")
    now = standing(kin, own, mine.forward(values), values, mine)
    assert now.surprise[0] == pytest.approx(np.sqrt(np.mean(z**2)))


def test_reliability_is_the_share_of_the_results_variance_that_is_predicted_without_each() -> None:
    def falling(c: Configuration) -> float:
        return 0.2 * math.sin(40 * float(c["y"])) - float(c["x"])

    trials = [(c, None if float(c["x"]) < 0.3 else v) for c, v in results(falling, 40)]
    rows = rows_of(Parent(SPACE, trials), SPACE_ENCODING, "minimize")
    made = model_of(rows, SPACE_ENCODING, "minimize")
    assert made is not None
    assert len(made.gp.y) == 40
    off = (made.gp.y - made.gp.leave_one_out()[0])[rows.succeeded]
    expected = 1.0 - np.mean(off**2) / np.var(made.gp.y[rows.succeeded])
    assert 0.0 < made.reliability == pytest.approx(expected)


@pytest.mark.parametrize(("noise", "seed", "heard"), [(0.21, 4, True), (0.3, 3, False)])
def test_a_parent_has_a_say_where_its_model_predicts_a_tenth_of_the_variance(noise: float, seed: int, heard: bool) -> None:
    rng = np.random.default_rng(seed)
    trials: list[tuple[Configuration, float | None]] = []
    for _ in range(40):
        c = SPACE.decode(rng.random(2))
        trials.append((c, bowl(c) + noise * rng.standard_normal()))
    parent = Parent(SPACE, trials)
    made = model_of(rows_of(parent, SPACE_ENCODING, "minimize"), SPACE_ENCODING, "minimize")
    assert made is not None
    assert 0.05 < made.reliability < 0.15
    assert (made.reliability > 0.1) == heard
    assert Kin(SPACE_ENCODING, "minimize", (parent,)).members == ((0,) if heard else ())
    holding = replace(parent, held={"y": 0.9})
    assert (at_held(holding, "minimize") is not holding) == heard


def test_a_parents_model_is_fitted_to_rows_of_all_ranks() -> None:
    rows = rows_of(Parent(SPACE, results(bowl, 200)), SPACE_ENCODING, "minimize")
    made = model_of(rows, SPACE_ENCODING, "minimize")
    assert made is not None
    ranked = sorted(range(200), key=lambda i: rows.values[i])
    some = [ranked[int(k * 199 / 119)] for k in range(120)]
    hyper = most_probable(made.gp.x[some], made.gp.y[some], SPACE_ENCODING.columns, _PARENT_PRIORS)
    assert made.gp.hyper.log.tolist() == hyper.log.tolist()


def test_four_results_are_worth_a_model_and_three_are_not() -> None:
    made = [rows_of(Parent(SPACE, results(bowl, n)), SPACE_ENCODING, "minimize") for n in (3, 4)]
    assert [model_of(rows, SPACE_ENCODING, "minimize") is None for rows in made] == [True, False]


def test_each_parent_gives_twenty_candidates_and_a_share_of_the_familys_rows() -> None:
    parents = tuple(Parent(SPACE, results(bowl, 100, seed), name=f"p{seed}") for seed in range(3))
    kin = Kin(SPACE_ENCODING, "minimize", parents)
    assert len(kin.candidates) == 3 * 20
    assert kin.family is not None
    assert kin.family.members.sum(axis=0).tolist() == [60, 60, 60]


def test_an_identical_parent_has_all_weight_at_start() -> None:
    parents = [Parent(SPACE, results(bowl, seed=s), kind, kind) for s, kind in enumerate(("identical", "transfer"))]  # type: ignore[arg-type]
    told = report(SPACE, "minimize", parents, History()).parents
    assert told[0].weight_at_start == told[0].weight == 1.0
    assert 0.0 < told[1].weight_at_start < 1.0


def test_another_category_is_far_however_near_in_the_cube() -> None:
    space = Space([Continuous("x", 0, 1, "Linear"), Categorical("c", [f"v{i}" for i in range(20)])])
    trials = [({"x": 0.5, "c": f"v{i}"}, float(i)) for i in range(20)]
    kin = Kin(Encoding(space), "minimize", (Parent(space, trials),))  # type: ignore[arg-type]
    assert [c["c"] for c, _ in kin._best_apart(kin.rows[0])] == [f"v{i}" for i in range(10)]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_of_many_rows_the_best_in_the_searchs_direction_are_kept(direction: Direction) -> None:
    trials = results(bowl, 100)
    ranked = sorted((v for _, v in trials if v is not None), reverse=direction == "maximize")
    kept = rows_of(Parent(SPACE, trials), SPACE_ENCODING, direction, limit=40).values
    assert len(kept) == 40
    assert set(ranked[:20]) <= set(kept.tolist())
    assert not set(ranked[20:40]) <= set(kept.tolist())
