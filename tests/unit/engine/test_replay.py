"""``verify``: each suggestion follows from what it saw, and what was done to the store behind our back is found."""

from __future__ import annotations

import json
import multiprocessing
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from rekindle.domain.training_job import TrainingJob
from rekindle.domain.tuning_job import Hyperband, StrategyName, TuningJobSpec, TuningJobStatus, WarmStart, WarmStartType
from rekindle.domain.tuning_rules import RELAXED
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


def test_several_processes_find_what_one_finds() -> None:
    engine = Engine(failing)
    engine.create(tuning_spec(strategy=StrategyName.BAYESIAN, jobs=14, parallel=3))
    engine.run("job")
    change_inputs(engine, 10, lambda inputs: inputs["tuned"].update(lr="0.003"))
    alone, together = list(found(engine)), found(engine)
    assert [c.agrees for c in alone].index(False) == 9
    assert list(together.side_by_side(3)) == alone
    # One that dies, killed or out of memory, leaves its share to us.
    going = together.side_by_side(2)
    first = next(going)
    for process in multiprocessing.active_children():
        process.kill()
    assert [first, *going] == alone
    assert not multiprocessing.active_children()


def test_processes_are_started_where_they_are_worth_it() -> None:
    engine = Engine()
    for name, strategy in (("model", StrategyName.BAYESIAN), ("draws", StrategyName.RANDOM)):
        engine.create(tuning_spec(name, strategy=strategy, jobs=85, parallel=85))
        engine.run(name)
    assert [found(engine, "model").processes(most) for most in (1, 2, 8)] == [1, 2, 2]
    assert found(engine, "draws").processes(8) == 1


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


def halving(sampler: str, jobs: int = 24, parallel: int = 4, seed: int = 0) -> tuple[Engine, TuningJobSpec]:
    spec = tuning_spec(strategy=StrategyName.HYPERBAND, jobs=jobs, parallel=parallel, ranges=ranges())
    hyperband = Hyperband(1, 27, sampler)
    return Engine(lambda h: replayed(h, epochs=27)), replace(spec, hyperband=hyperband, random_seed=seed)


def running(engine: Engine) -> list[TrainingJob]:
    return [t for t in engine.trials("job") if t.is_running and t.started_at is not None]


@pytest.fixture(scope="module")
def lost() -> Any:
    """Hyperband with a model, some of whose training jobs were lost after a suggestion had seen what they had emitted."""
    engine, spec = halving("bayesian")
    with closing(engine.store):
        engine.create(spec)
        known = [0]

        def lose(step: int) -> None:
            there = len(engine.trials("job"))
            watched = [t for t in running(engine) if t.points_seen >= 3]
            for trial in watched[-1:] if there > max(known[-1], 8) and len(known) < 9 else ():
                engine.executor.lose(RunKey.of(trial))
                known.append(there)

        engine.run("job", before=lose)
        yield engine


def test_what_saw_the_curve_of_a_lost_attempt_follows_from_it(lost: Engine) -> None:
    again = [t for t in lost.trials("job") if t.attempt > 1]
    assert len(again) >= 2
    for t in again:
        assert list(t.attempt_seqs) == list(range(2, t.attempt + 1))
        assert t.launched_seq < min(t.attempt_seqs.values())
        assert max(t.attempt_seqs.values()) < (t.finished_seq or 0)
    checked = list(found(lost))
    saw = [c for c in checked if any(_was_lost_after(t, c.job.proposal["seen_seq"]) for t in again)]
    assert len(saw) >= 4
    assert [c.agrees for c in checked] == [True] * 24


def _was_lost_after(trial: TrainingJob, seq: int) -> bool:
    return trial.launched_seq <= seq and trial.attempt_at(seq) != trial.attempt


def test_what_a_lost_attempt_emitted_matters_to_what_saw_it(lost: Engine) -> None:
    """Otherwise that the replays agree would say nothing."""
    again = [t for t in lost.trials("job") if t.attempt > 1]
    changed = [c for c in Replay(replace(found(lost).snapshot, lost={})) if not c.agrees]
    assert changed
    for c in changed:
        assert any(_was_lost_after(t, c.job.proposal["seen_seq"]) for t in again)


@pytest.mark.parametrize("sampler", ["random", "bayesian"])
def test_before_the_starts_of_attempts_were_recorded_they_were_not_comparable(sampler: str) -> None:
    """A database of such a build still says so, and no more than that."""
    engine, spec = halving(sampler)
    engine.create(spec)
    engine.run("job", before=lambda step: [engine.executor.lose(RunKey.of(t)) for t in running(engine)[: step in (9, 18)]])
    with engine.store.database.writing() as connection:  # type: ignore[attr-defined]
        for job_id, outcome in connection.execute(text("SELECT id, outcome FROM training_jobs")).all():
            old = {key: value for key, value in json.loads(outcome).items() if key != "attempts"}
            connection.execute(text("UPDATE training_jobs SET outcome = :o WHERE id = :i"), {"o": json.dumps(old), "i": job_id})
    assert any(t.attempt > 1 and not t.attempt_seqs for t in engine.trials("job"))
    checked = list(found(engine))
    assert all(c.agrees for c in checked if c.comparable)
    told = {c.incomparable for c in checked} - {None}
    assert told == (
        set() if sampler == "random" else {"they saw the curve of a training job that was lost and begun again since"}
    )
    assert sum(c.agrees for c in checked) >= 8


@settings(max_examples=5, deadline=None)
@given(
    losses=st.dictionaries(st.integers(4, 40), st.integers(0, 3), max_size=6),
    parallel=st.integers(1, 6),
    seed=st.integers(0, 99),
    restarts=st.sets(st.integers(4, 40), max_size=2),
)
def test_attempts_lost_at_any_moment_leave_every_suggestion_to_be_replayed(
    losses: dict[int, int], parallel: int, seed: int, restarts: set[int]
) -> None:
    engine, spec = halving("bayesian", jobs=14, parallel=parallel, seed=seed)
    engine.create(spec)
    worker = engine.worker("0")
    for step in range(1000):
        for trial in running(engine)[losses.get(step, 9) :][:1]:
            engine.executor.lose(RunKey.of(trial))
        if step in restarts:
            worker.shut_down()
            worker = engine.worker(str(step))
        worker.tick()
        if engine.job("job").status.is_terminal:
            break
        worker.wait()
    assert engine.job("job").status is TuningJobStatus.COMPLETED
    assert [c.agrees for c in found(engine)] == [True] * 14


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


#: What a program may print: floating point's ends, its smallest steps, and plain values.
ODD = (0.0, -0.0, 5e-324, -5e-324, 1e-300, 1e170, -1e170, 1.7e308, -1.7e308, 1.0, -1.0, 3.0)


def odd(values: Sequence[float]) -> Callable[[Mapping[str, str]], Script]:
    def program(hyperparameters: Mapping[str, str]) -> Script:
        chance = random.Random(repr(sorted(hyperparameters.items())))
        return Script([chance.choice(values) for _ in range(chance.choice((1, 3, 9)))], chance.uniform(1.0, 20.0))

    return program


@pytest.mark.parametrize("values", [ODD, (1.7e308, -1.7e308), (0.0, 5e-324, 1e-323)], ids=["odd", "ends", "least"])
@pytest.mark.parametrize("kind", ["median", "hyperband", "TransferLearning", "IdenticalDataAndAlgorithm"])
def test_whatever_a_program_prints_the_job_ends_and_is_explained_and_replayed(kind: str, values: Sequence[float]) -> None:
    engine = Engine(odd(values))
    spec = tuning_spec(strategy=StrategyName.BAYESIAN, jobs=12, parallel=3)
    if kind == "median":
        spec = replace(spec, early_stopping=True)
    elif kind == "hyperband":
        spec = replace(spec, strategy=StrategyName.HYPERBAND, hyperband=Hyperband(1, 9, "bayesian"))
    else:
        engine.create(tuning_spec("theirs", jobs=12))
        engine.run("theirs")
        spec = replace(spec, warm_start=WarmStart(WarmStartType(kind), ("theirs",)))
    engine.create(spec)
    assert engine.run("job", steps=1000).status is TuningJobStatus.COMPLETED
    assert [c.agrees for c in found(engine)] == [True] * 12
    json.dumps(explain_tuning_job(engine.store, engine.owner, "job"), allow_nan=False)
    for trial in engine.trials("job"):
        json.dumps(explain_training_job(engine.store, engine.owner, trial.name), allow_nan=False)
