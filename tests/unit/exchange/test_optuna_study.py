"""Studies of the real Optuna become history, and history becomes a study."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from rekindle.domain.errors import InvalidValue, NameInUse, RekindleError
from rekindle.engine.imports import Result, import_tuning_job, results_of
from rekindle.exchange.optuna_study import Study, read_study, renamed, write_study
from rekindle.search.space import Categorical, Continuous, Integer
from support.engine import Engine
from support.specs import tuning_spec

optuna.logging.set_verbosity(optuna.logging.ERROR)
Objective = Callable[[optuna.Trial], Any]


def study_of(folder: Path, objective: Objective, trials: int = 4, name: str = "tune me", **options: Any) -> Study:
    url = f"sqlite:///{folder}/study.db"
    study = optuna.create_study(storage=url, study_name=name, sampler=optuna.samplers.RandomSampler(seed=1), **options)
    study.optimize(objective, n_trials=trials, catch=ZeroDivisionError)
    return read_study(url)


def every_kind(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -1, 1)
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 8, log=True)
    units = trial.suggest_int("units", 16, 64, step=16)
    act = trial.suggest_categorical("act", ["relu", None, True, 3])
    if trial.number == 1:
        return 1 / 0
    if trial.number == 2:
        for step in range(3):
            trial.report(10.0 + step, step)
        raise optuna.TrialPruned
    return x**2 + abs(math.log10(lr) + 3) + layers + units + (act == "relu")


def test_distributions_become_ranges_and_trials_results(tmp_path: Path) -> None:
    found = study_of(tmp_path, every_kind, direction="maximize")
    assert found.ranges == (
        Continuous("x", -1, 1, "Linear"),
        Continuous("lr", 1e-5, 1e-1, "Logarithmic"),
        Integer("layers", 1, 8, "Logarithmic"),
        Integer("units", 16, 64, "Linear"),
        Categorical("act", ("relu", "None", "True", "3")),
    )
    assert found.direction == "maximize"
    assert [r.status for r in found.results] == ["Completed", "Failed", "Stopped", "Completed"]
    assert found.results[2].objective == 12.0
    assert found.results[2].curve == (10.0, 11.0, 12.0)
    assert found.notes == ("units: ranges have no step of 16 here: every value between its ends is allowed",)
    assert all(r.started_at <= r.ended_at for r in found.results)


def test_a_study_becomes_a_tuning_job(tmp_path: Path) -> None:
    found = study_of(tmp_path, every_kind)
    engine = Engine()
    spec = tuning_spec("study", ranges=found.ranges)
    import_tuning_job(engine.store, engine.clock, engine.owner, spec, found.results, _quotas())
    jobs = engine.trials("study")
    assert [j.status.value for j in jobs] == ["Completed", "Failed", "Stopped", "Completed"]
    assert [dict(j.tuned) for j in jobs] == [dict(r.values) for r in found.results]
    assert [j.objective_value for j in jobs] == [r.objective for r in found.results]
    assert jobs[0].proposal["name"] == "trial 0"
    curves = engine.store.curves(engine.job("study").id)
    assert {j.number: [p.observation.value for p in curves.get(j.id, ())] for j in jobs} == {
        i: list(r.curve) for i, r in enumerate(found.results, start=1)
    }
    assert results_of(jobs, curves)[2].curve == (10.0, 11.0, 12.0)


def test_what_is_conditional_is_left_out_and_told(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        rare = trial.suggest_float("rare", 0, 1) if trial.number == 0 else 0.0
        often = trial.suggest_float("often", 0, 1) if trial.number != 1 else 0.0
        return trial.suggest_float("x", 0, 1 + trial.number) + rare + often

    found = study_of(tmp_path, objective, trials=5)
    assert [p.name for p in found.ranges] == ["often", "x"]
    assert found.ranges[1] == Continuous("x", 0, 5, "Linear")
    assert len(found.results) == 4
    assert found.notes == (
        "rare: only 1 of 5 trials have it: left out",
        "1 trials without some parameter that the others have: left out",
        "x: its range changed; the widest is kept",
    )


def test_trials_without_a_parameter_that_nobody_asks_for_stay(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        often = trial.suggest_float("often", 0, 1) if trial.number != 1 else 0.0
        return trial.suggest_float("x", 0, 1) + often

    study_of(tmp_path, objective, trials=5)
    found = read_study(f"sqlite:///{tmp_path}/study.db", among=["x"])
    assert (len(found.results), [p.name for p in found.ranges], found.notes) == (5, ["x"], ())


def test_choices_that_are_written_alike_are_told(tmp_path: Path) -> None:
    found = study_of(tmp_path, lambda trial: len(str(trial.suggest_categorical("act", [None, "None", "a", 1, True]))))
    assert found.ranges == (Categorical("act", ("None", "a", "1", "True")),)
    assert found.notes == ("act: None is written alike in two of its choices, which become one",)


def test_choices_that_are_lists_or_tables_are_their_texts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=url, study_name="nets")
    with pytest.warns(UserWarning, match="which is of type"):
        study.optimize(lambda t: len(t.suggest_categorical("layers", [(64, 64), [8], {"a": 1}, None]) or ""), n_trials=5)
    found = read_study(url)
    assert found.ranges == (Categorical("layers", ("[64, 64]", "[8]", "{'a': 1}", "None")),)
    assert [r.objective for r in found.results] == [float(len(_read(r.values["layers"]))) for r in found.results]
    assert found.notes == ()


def _read(text: str) -> Any:
    return ast.literal_eval(text) or ""


def test_what_still_runs_is_left_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=url, study_name="s")
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=2)
    study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    found = read_study(url)
    assert len(found.results) == 2
    assert found.notes == ("1 trials still running or waiting: left out",)


def test_history_comes_back_from_a_study(tmp_path: Path) -> None:
    engine = Engine()
    engine.create(tuning_spec("old", jobs=6))
    engine.run("old")
    job, jobs = engine.job("old"), engine.trials("old")
    results = results_of(jobs, engine.store.curves(job.id))
    url = f"sqlite:///{tmp_path}/study.db"
    write_study(url, "old", job.spec.definition, results)
    found = read_study(url)
    assert found.metric == "loss"
    assert [dict(r.values) for r in found.results] == [dict(r.values) for r in results]
    for back, row in zip(found.results, results, strict=True):
        assert (back.objective, back.status, back.name, back.curve) == (row.objective, row.status, row.name, row.curve)
        # One of them may fall into an hour that the clock strikes twice: Optuna's own times could not tell which.
        assert (back.created_at, back.started_at, back.ended_at) == (row.created_at, row.started_at, row.ended_at)
    best = optuna.load_study(study_name="old", storage=url).best_trial
    assert best.value == min(r.objective for r in results if r.objective is not None)


def test_failed_and_stopped_results_keep_their_state(tmp_path: Path) -> None:
    values = {"lr": "0.01", "layers": "2", "act": "relu"}
    rows = [
        Result("", values, None, started_at=1.8e9, ended_at=1.8e9 + 5, failure_reason="out of memory", name="a"),
        Result("", values, 0.5, started_at=1.8e9, ended_at=1.8e9 + 5, stopped=True, name="b"),
        Result("", values, None, started_at=1.8e9, ended_at=1.8e9 + 5, completed=True, name="c"),
    ]
    url = f"sqlite:///{tmp_path}/study.db"
    write_study(url, "s", tuning_spec().definition, rows)
    found = read_study(url, "s").results
    assert [(r.status, r.objective, r.failure_reason, r.name) for r in found] == [
        ("Failed", None, "out of memory", "a"),
        ("Stopped", 0.5, None, "b"),
        ("Completed", None, None, "c"),
    ]


def test_static_hyperparameters_come_back_so_that_it_can_be_a_parent_again(tmp_path: Path) -> None:
    definition = tuning_spec(statics={"epochs": "3", "data": "s3://b/k"}).definition
    url = f"sqlite:///{tmp_path}/study.db"
    write_study(url, "s", definition, [Result("", {"lr": "0.01", "layers": "2", "act": "relu"}, 0.5)])
    assert read_study(url).statics == definition.statics
    study = optuna.create_study(storage=url, study_name="theirs")
    study.set_user_attr("rekindle", "mine")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert read_study(url, "theirs").statics == {}


def test_a_study_is_not_written_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    write_study(url, "s", tuning_spec().definition, [])
    with pytest.raises(NameInUse, match="study"):
        write_study(url, "s", tuning_spec().definition, [])


def test_a_study_that_was_broken_off_leaves_nothing_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/study.db"

    def cut(study: optuna.Study, trials: Iterable[Any]) -> None:
        study.add_trial(next(iter(trials)))
        raise KeyboardInterrupt

    definition = tuning_spec(ranges=(Continuous("x", 0, 1),)).definition
    results = [Result("1", {"x": "0.5"}, 1.0), Result("2", {"x": "0.6"}, 2.0)]
    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, "add_trials", cut)
        with pytest.raises(KeyboardInterrupt):
            write_study(url, "s", definition, results)
    write_study(url, "s", definition, results)
    assert [r.objective for r in read_study(url).results] == [1.0, 2.0]


def test_a_part_of_a_study_passes_for_no_whole_one(tmp_path: Path) -> None:
    """A process that is killed takes nothing back."""
    url = f"sqlite:///{tmp_path}/study.db"
    definition = tuning_spec(ranges=(Continuous("x", 0, 1),)).definition
    results = [Result("1", {"x": "0.5"}, 1.0), Result("2", {"x": "0.6"}, 2.0)]

    def meanwhile(rows: Sequence[Result]) -> Iterator[Result]:
        yield rows[0]
        with pytest.raises(InvalidValue, match=r"1 of 2 trials are there\. Delete it"):
            read_study(url)
        with pytest.raises(NameInUse, match="was broken off, or is under way"):
            write_study(url, "s", definition, results)
        yield rows[1]

    write_study(url, "s", definition, results, meanwhile)
    assert len(read_study(url).results) == 2


def test_what_cannot_be_opened_or_mapped_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    with pytest.raises(InvalidValue, match="there is no such file"):
        read_study(url)
    assert not (tmp_path / "study.db").exists()
    with pytest.raises(InvalidValue, match=r"Write sqlite:///study\.db"):
        read_study("study.db")
    with pytest.raises(RekindleError, match="Optuna cannot open this storage"):
        write_study("nonsense://x", "s", tuning_spec().definition, [])
    (tmp_path / "text.db").write_text("no database")
    with pytest.raises(InvalidValue, match="cannot open"):
        read_study(f"sqlite:///{tmp_path}/text.db")
    study = optuna.create_study(storage=url, study_name="bare")
    study.optimize(lambda trial: 1.0, n_trials=2)
    with pytest.raises(InvalidValue, match="'bare': none of its 2 trials has ended with parameters"):
        read_study(url, "bare")
    optuna.delete_study(storage=url, study_name="bare")
    optuna.create_study(storage=url, study_name="a", directions=["minimize", "maximize"])
    with pytest.raises(InvalidValue, match=r"2 objectives, not one.*trials_dataframe"):
        read_study(url)
    optuna.create_study(storage=url, study_name="b")
    with pytest.raises(InvalidValue, match="several studies"):
        read_study(url)
    with pytest.raises(InvalidValue, match="there is no such study"):
        read_study(url, "c")


def test_no_error_repeats_the_password_of_a_storage() -> None:
    url = "nonsense://me:s3cret@127.0.0.1/studies"
    with pytest.raises(InvalidValue, match=r"nonsense://me:\*\*\*@127\.0\.0\.1/studies") as read:
        read_study(url)
    with pytest.raises(RekindleError, match=r"--to nonsense://me:\*\*\*@127\.0\.0\.1/studies") as written:
        write_study(url, "s", tuning_spec().definition, [])
    assert "s3cret" not in f"{read.value} {written.value}"


def test_parameters_take_the_names_that_the_program_knows_them_by(tmp_path: Path) -> None:
    found = study_of(tmp_path, lambda trial: trial.suggest_float("learning_rate", 0, 1) + trial.suggest_float("x", 0, 1))
    ours = renamed(found, {"learning-rate": "learning_rate"})
    assert [p.name for p in ours.ranges] == ["learning-rate", "x"]
    assert [r.values["learning-rate"] for r in ours.results] == [r.values["learning_rate"] for r in found.results]
    assert all(set(r.values) == {"learning-rate", "x"} for r in ours.results)
    with pytest.raises(InvalidValue, match="--column lr: 'rate': the study has no such parameter"):
        renamed(found, {"lr": "rate"})
    with pytest.raises(InvalidValue, match="'x': two of the study's parameters would have this name"):
        renamed(found, {"x": "learning_rate"})


@pytest.mark.parametrize(
    ("distribution", "told"),
    [
        (optuna.distributions.IntDistribution(0, 2**63 - 1), "floating point has no such number"),
        (optuna.distributions.FloatDistribution(0.0, math.inf), "must be a finite number"),
    ],
)
def test_a_range_that_has_no_counterpart_is_refused_by_name_with_the_way_out(tmp_path: Path, distribution, told: str) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=url)
    both = {"seed": distribution, "x": optuna.distributions.FloatDistribution(0, 1)}
    study.add_trial(optuna.trial.create_trial(params={"seed": 3, "x": 0.5}, distributions=both, value=1.0))
    with pytest.raises(InvalidValue, match=rf"--from-optuna: seed: .*{told}.*a job file"):
        read_study(url)
    assert read_study(url, among=["x"]).ranges == (Continuous("x", 0, 1, "Linear"),)


def _quotas() -> Any:
    from rekindle.domain.tuning_rules import RELAXED

    return RELAXED
