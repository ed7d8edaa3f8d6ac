"""``verify``: each suggestion follows from what it saw, and what was done to the store behind our back is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from rekindle.domain.tuning_job import RELAXED, Hyperband, StrategyName, TuningJobStatus, WarmStart, WarmStartType
from rekindle.engine.explain import explain_training_job, explain_tuning_job
from rekindle.engine.imports import Result, import_tuning_job
from rekindle.engine.ports import RunKey, RunState
from rekindle.engine.replay import Replay, replay
from rekindle.search.space import Categorical, Continuous
from support.curves import ranges, replayed
from support.engine import Engine, by_learning_rate
from support.simulated import Script
from support.specs import RANGES, tuning_spec

WIDE = (Continuous("lr", 1e-5, 1.0, "Auto"), *RANGES[1:])
LISTED = (Categorical("lr", ("0.001", "0.01", "0.1")), Categorical("layers", ("1", "2")), Categorical("act", ("relu", "tanh")))


def failing(hyperparameters: Mapping[str, str]) -> Script:
    """Fails in one region, ends without a value in another."""
    lr = float(hyperparameters["lr"])
    if lr > 1e-2:
        return Script((), 4.0, RunState.FAILED, "ValueError: diverged")
    return Script((), 4.0) if lr > 5e-3 else by_learning_rate(hyperparameters)


def found(engine: Engine, name: str = "job") -> Replay:
    return replay(engine.store, engine.owner, name)


@pytest.mark.parametrize(
    ("spec", "program"),
    [
        (tuning_spec(strategy=StrategyName.GRID, jobs=None, ranges=LISTED), by_learning_rate),
        (tuning_spec(strategy=StrategyName.BAYESIAN, jobs=12, ranges=LISTED, parallel=3), by_learning_rate),
        (tuning_spec(strategy=StrategyName.BAYESIAN, jobs=12, ranges=WIDE), failing),
        (tuning_spec(strategy=StrategyName.BAYESIAN, jobs=12, direction="maximize"), by_learning_rate),
        (tuning_spec(strategy=StrategyName.BAYESIAN, jobs=24, parallel=20), by_learning_rate),
        (replace(tuning_spec(strategy=StrategyName.BAYESIAN, jobs=10), early_stopping=True), by_learning_rate),
    ],
    ids=["grid", "categories", "failures", "maximise", "20 at once", "early stopping"],
)
def test_whole_jobs_are_replayed_bit_for_bit(spec: Any, program: Any) -> None:
    engine = Engine(program)
    engine.create(spec)
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    checked = list(found(engine))
    assert len(checked) == len(found(engine)) == len(engine.trials("job"))
    assert all(c.agrees for c in checked)


def test_a_job_that_runs_and_one_that_was_stopped_are_replayed() -> None:
    engine = Engine()
    engine.create(tuning_spec(strategy=StrategyName.BAYESIAN, jobs=20, parallel=3))
    worker = engine.worker()
    for _ in range(24):
        worker.tick()
        worker.wait()
    running = list(found(engine))
    assert any(c.job.is_running for c in running)
    assert len(running) > 5
    engine.store.request_stop(f"tuning:{engine.job('job').id}")
    worker.shut_down()
    assert engine.run("job").status is TuningJobStatus.STOPPED
    assert all(c.agrees for c in [*running, *found(engine)])


def test_an_imported_job_has_nothing_to_replay_and_its_child_is_replayed() -> None:
    engine = Engine()
    results = [Result("r", {"lr": str(10.0 ** -(i % 4 + 1)), "layers": "2", "act": "relu"}, float(i)) for i in range(6)]
    import_tuning_job(engine.store, engine.clock, engine.owner, tuning_spec("theirs"), results, RELAXED)
    warm = WarmStart(WarmStartType.TRANSFER, ("theirs",))
    engine.create(tuning_spec(strategy=StrategyName.BAYESIAN, jobs=6, warm_start=warm))
    engine.run("job")
    assert (len(found(engine, "theirs")), list(found(engine, "theirs"))) == (0, [])
    assert [c.agrees for c in found(engine)] == [True] * 6


@pytest.fixture
def ran() -> Any:
    engine = Engine()
    with closing(engine.store):
        engine.create(tuning_spec(strategy=StrategyName.BAYESIAN, jobs=10))
        engine.run("job")
        yield engine


def change(engine: Engine, number: int, **columns: Any) -> None:
    """What nobody but a stranger does: writes into a training job's row."""
    names = ", ".join(f"{name} = :{name}" for name in columns)
    with engine.store.database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(text(f"UPDATE training_jobs SET {names} WHERE number = :number"), {**columns, "number": number})


def change_inputs(engine: Engine, number: int, edit: Callable[[dict[str, Any]], object]) -> None:
    with engine.store.database.reading() as connection:  # type: ignore[attr-defined]
        query = text("SELECT inputs FROM training_jobs WHERE number = :number")
        inputs = json.loads(connection.execute(query, {"number": number}).scalar())
    edit(inputs)
    change(engine, number, inputs=json.dumps(inputs))


def test_a_changed_result_shows_in_the_first_suggestion_that_saw_it(ran: Engine) -> None:
    change(ran, 5, objective_value=1e-9)
    first = next(c for c in found(ran) if not c.agrees)
    five = next(t for t in ran.trials("job") if t.number == 5)
    assert first.comparable
    assert first.job.proposal["seen_seq"] >= (five.finished_seq or 0)
    earlier = [c for c in found(ran) if c.job.proposal["seen_seq"] < (five.finished_seq or 0)]
    assert len(earlier) >= 5
    assert all(c.agrees for c in earlier)


def test_a_changed_configuration_is_found_where_it_was_changed(ran: Engine) -> None:
    before = next(t for t in ran.trials("job") if t.number == 4).tuned["lr"]
    change_inputs(ran, 4, lambda inputs: inputs["tuned"].update(lr=repr(float(before) * (1 + 2**-50))))
    first = next(c for c in found(ran) if not c.agrees)
    assert first.job.number == 4
    assert first.replayed is not None
    assert first.replayed["lr"] == before


def test_another_moment_than_it_saw_is_found(ran: Engine) -> None:
    change_inputs(ran, 8, lambda inputs: inputs["proposal"].update(seen_seq=4))
    assert [c.job.number for c in found(ran) if not c.agrees] == [8]


def test_a_training_job_that_is_missing_is_told_and_what_came_after_it_is_not_compared(ran: Engine) -> None:
    with ran.store.database.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(text("DELETE FROM training_jobs WHERE number = 6"))
    assert found(ran).missing == (6,)
    checked = {c.job.number: c for c in found(ran)}
    assert all(checked[number].agrees for number in range(1, 6))
    told = {checked[number].incomparable for number in range(7, 11)}
    assert told == {"they come after training job #6, whose record is lost"}


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda i: i["tuned"].pop("lr"), "it has values of act, layers; the ranges are of act, layers, lr"),
        (lambda i: i["tuned"].update(rate="1"), "it has values of act, layers, lr, rate; the ranges are of act, layers, lr"),
        (lambda i: i["tuned"].update(lr="fast"), "lr: 'fast': not a number"),
        (lambda i: i["tuned"].update(lr="7.0"), "lr: 7.0: outside the range"),
        (lambda i: i["tuned"].update(act="gelu"), "act: 'gelu': outside the range"),
        (lambda i: i["proposal"].pop("seen_seq"), "what its suggestion saw is not recorded"),
        (lambda i: i.update(definition_name="other"), "it is of a definition that the tuning job does not have, 'other'"),
    ],
)
def test_a_record_that_no_search_can_have_made_is_told_and_ends_nothing(ran: Engine, edit: Any, told: str) -> None:
    change_inputs(ran, 7, edit)
    checked = {c.job.number: c for c in found(ran)}
    assert (checked[7].unreadable or "").startswith(told)
    assert all(checked[number].agrees for number in range(1, 7))
    assert {checked[number].incomparable for number in range(8, 11)} == {
        "they come after training job #7, whose record is lost"
    }


def test_an_infinite_result_is_told(ran: Engine) -> None:
    change(ran, 3, objective_value=float("inf"))
    assert {c.job.number: c.unreadable for c in found(ran)}[3] == "its objective value is inf"


def test_suggestions_of_another_version_are_not_compared(ran: Engine) -> None:
    for number in (1, 2, 3):
        change_inputs(ran, number, lambda inputs: inputs["proposal"].update(algorithm=1))
    checked = list(found(ran))
    assert {c.incomparable for c in checked[:3]} == {"they were made by another version of the search"}
    assert all(c.agrees for c in checked[3:])


@pytest.mark.parametrize("sampler", ["random", "bayesian"])
def test_what_saw_the_curve_of_a_lost_attempt_is_not_compared(sampler: str) -> None:
    engine = Engine(lambda h: replayed(h, epochs=27))
    spec = tuning_spec(strategy=StrategyName.HYPERBAND, jobs=24, parallel=4, ranges=ranges())
    engine.create(replace(spec, hyperband=Hyperband(1, 27, sampler)))

    def lose(step: int) -> None:
        running = [t for t in engine.trials("job") if t.is_running and t.started_at is not None and t.attempt == 1]
        if step in (9, 18) and running:
            engine.executor.lose(RunKey.of(running[0]))

    engine.run("job", before=lose)
    again = [t for t in engine.trials("job") if t.attempt > 1]
    assert again
    checked = list(found(engine))
    assert all(c.agrees for c in checked if c.comparable)
    told = {c.incomparable for c in checked} - {None}
    assert told == (
        set() if sampler == "random" else {"they saw the curve of a training job that was lost and begun again since"}
    )
    assert sum(c.agrees for c in checked) >= 8


def test_several_definitions_are_replayed_each_by_its_own_history() -> None:
    engine = Engine()
    spec = tuning_spec(strategy=StrategyName.BAYESIAN, jobs=16)
    narrow = (Continuous("lr", 1e-4, 2e-3, "Linear"), *RANGES[1:])
    one, two = replace(spec.definition, name="one"), replace(spec.definition, name="two", ranges=narrow)
    engine.create(replace(spec, definitions=(one, two)))
    engine.run("job")
    checked = list(found(engine))
    assert {c.job.definition_name for c in checked} == {"one", "two"}
    assert [c.agrees for c in checked] == [True] * 16
    told = explain_tuning_job(engine.store, engine.owner, "job")["scaling"]
    assert (told["one.lr"]["used"], told["two.lr"]["used"]) == ("Logarithmic", "Linear")
    mine = next(t for t in engine.trials("job") if t.definition_name == "two")
    assert explain_training_job(engine.store, engine.owner, mine.name)["scaling"]["lr"]["used"] == "Linear"
