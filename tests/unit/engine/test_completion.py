"""When a tuning job ends: every criterion through the engine, on a simulated executor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.domain.decisions import Snapshot
from rekindle.domain.search_plan import next_definition
from rekindle.domain.training_job import ObjectiveStatus, Owner, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import CompletionCriteria, StrategyName, TuningJob, TuningJobStatus
from rekindle.engine.ports import RunState
from rekindle.engine.replay import replay
from rekindle.search.space import Categorical, Continuous, Integer
from support.engine import Engine
from support.simulated import Script
from support.specs import several, tuning_spec


def by_turns(*losses: float | str, seconds: float = 10.0) -> Engine:
    """An engine whose n-th training job ends with the n-th loss, the later ones with the last; a text is a failure."""
    started: list[str] = []

    def program(hyperparameters: Mapping[str, str]) -> Script:
        outcome = losses[min(len(started), len(losses) - 1)]
        started.append(str(hyperparameters))
        if isinstance(outcome, str):
            return Script((), seconds, RunState.FAILED, outcome)
        return Script((outcome,), seconds)

    return Engine(program)


@settings(max_examples=15, deadline=None)
@given(
    jobs=st.integers(1, 12),
    parallel=st.integers(1, 12),
    slots=st.none() | st.integers(1, 4),
    seconds=st.lists(st.floats(0.1, 20.0), min_size=1, max_size=8),
    fail_every=st.integers(2, 5),
    lose_at=st.integers(1, 40),
)
def test_the_budget_is_exact_at_any_concurrency(
    jobs: int, parallel: int, slots: int | None, seconds: list[float], fail_every: int, lose_at: int
) -> None:
    count = [0]

    def program(_: Mapping[str, str]) -> Script:
        count[0] += 1
        failed = count[0] % fail_every == 0
        return Script((1.0,), seconds[count[0] % len(seconds)], RunState.FAILED if failed else RunState.COMPLETED, "no")

    engine = Engine(program)
    engine.executor.slots = slots
    engine.create(tuning_spec(jobs=jobs, parallel=min(parallel, jobs)))

    def lose(step: int) -> None:
        running = [k for k in engine.executor.launches if engine.executor.report(k).state is RunState.RUNNING]
        if step == lose_at and running:
            engine.executor.lose(running[0])

    assert engine.run("job", before=lose).status.is_terminal
    trials = engine.trials("job")
    assert [t.number for t in trials] == list(range(1, jobs + 1))
    assert engine.most_running <= min(parallel, jobs, slots or jobs)
    assert set(engine.executor.launches.values()) == {1}
    assert all(t.status.is_terminal for t in trials)


def test_the_clock_stops_what_runs_and_completes() -> None:
    engine = by_turns(1.0, 0.9, 0.8, seconds=400)
    engine.create(tuning_spec(jobs=50, parallel=2, runtime=600))
    job = engine.run("job")
    assert job.status is TuningJobStatus.COMPLETED
    assert job.failure_reason is None
    assert job.ended_at is not None
    assert 600 <= job.ended_at - job.created_at < 610
    trials = engine.trials("job")
    assert [t.status for t in trials] == [TrainingJobStatus.COMPLETED] * 2 + [TrainingJobStatus.STOPPED] * 2
    assert not any(t.stopped_early for t in trials)
    assert engine.executor.running == 0


def test_five_without_a_gain_of_one_percent_end_it_and_stop_the_rest() -> None:
    engine = by_turns(1.0, 0.995, 0.993, 0.5, 0.499, 0.498, 0.497, 0.496, 0.4959, 0.1)
    criteria = CompletionCriteria(max_not_improving=5)
    engine.create(tuning_spec(jobs=50, parallel=1, completion=criteria))
    job = engine.run("job")
    assert job.status is TuningJobStatus.COMPLETED
    assert (len(engine.trials("job")), job.not_improving) == (9, 5)


def test_where_nothing_has_succeeded_there_is_no_best_to_improve() -> None:
    criteria = CompletionCriteria(max_not_improving=3)
    engine = by_turns(*["no such file"] * 4, 1.0)
    engine.create(tuning_spec(jobs=50, parallel=1, completion=criteria))
    job = engine.run("job")
    assert (job.status, len(engine.trials("job")), job.not_improving) == (TuningJobStatus.COMPLETED, 8, 3)
    assert (job.ended_because or "").startswith("3 training jobs in a row have not improved")
    engine = by_turns("no such file")
    engine.create(tuning_spec(jobs=50, parallel=1, completion=criteria))
    job = engine.run("job")
    assert (job.status, len(engine.trials("job"))) == (TuningJobStatus.FAILED, 5)
    assert (job.failure_reason or "").startswith("No training job succeeded after 5 attempts.")


def test_a_criterion_stops_running_training_jobs_cleanly() -> None:
    engine = Engine(lambda h: Script((0.5,) * 8, seconds=5 if float(h["lr"]) > 1e-3 else 500))
    engine.create(tuning_spec(jobs=30, parallel=6, completion=CompletionCriteria(target=0.5)))
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    trials = engine.trials("job")
    assert {t.status for t in trials} == {TrainingJobStatus.COMPLETED, TrainingJobStatus.STOPPED}
    assert all(t.objective_value == 0.5 or t.objective_status is ObjectiveStatus.FAILED for t in trials)
    assert engine.executor.running == 0
    assert not any(t.stopped_early for t in trials)


@pytest.mark.parametrize("ends_it", [True, False])
def test_convergence_is_recorded_and_ends_it_where_asked_for(ends_it: bool) -> None:
    engine = by_turns(1.0)
    engine.create(tuning_spec(jobs=25, parallel=1, completion=CompletionCriteria(on_convergence=ends_it)))
    job = engine.run("job")
    assert job.status is TuningJobStatus.COMPLETED
    assert job.converged_at is not None
    # One that improved and nineteen that did not: see CONVERGENCE_CHANCE.
    assert len(engine.trials("job")) == (20 if ends_it else 25)
    ended = [t.ended_at for t in engine.trials("job") if t.ended_at is not None]
    assert job.converged_at >= ended[19]


def test_a_late_gain_does_not_take_convergence_back() -> None:
    engine = by_turns(*[1.0] * 21, 0.5)
    engine.create(tuning_spec(jobs=25, parallel=1))
    job = engine.run("job")
    assert job.converged_at is not None
    assert job.not_improving == 3


def test_five_fruitless_training_jobs_end_it_with_what_most_died_of() -> None:
    engine = by_turns("Traceback\nValueError: bad lr", "KeyError: 'x'", "Traceback\nValueError: bad lr")
    engine.create(tuning_spec(jobs=20, parallel=1))
    job = engine.run("job")
    assert job.status is TuningJobStatus.FAILED
    assert len(engine.trials("job")) == 5
    assert (job.failure_reason or "").startswith("No training job succeeded after 5 attempts.")
    assert "4 of 5" in (job.failure_reason or "")
    assert "ValueError: bad lr" in (job.failure_reason or "")


values = st.lists(st.floats(0, 1), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(values=values, count=st.integers(2, 10), winner=st.integers(0, 9))
def test_definitions_share_half_and_the_winner_gets_the_rest(values: list[float], count: int, winner: int) -> None:
    one = tuning_spec().definition
    definitions = tuple(replace(one, name=f"d{i}") for i in range(count))
    spec = replace(tuning_spec(jobs=500), definitions=definitions)
    job = TuningJob(spec, Owner(), "uid", created_at=0.0, id=1)
    trials: list[TrainingJob] = []
    for number, value in enumerate(values * 2, start=1):
        definition = next_definition(Snapshot(job, tuple(trials)))
        loss = value - 10 if definition.name == f"d{winner % count}" else value
        trials.append(ended(number, definition.name, loss))
        counts = Counter(t.definition_name for t in trials)
        assert min(counts[d.name] for d in definitions) >= number / (2 * count) - 1
    counts = Counter(t.definition_name for t in trials)
    tried = counts[f"d{winner % count}"]
    assert tried >= max(counts.values()) - 1
    if len(trials) >= 4 * count:
        assert tried >= len(trials) / 2 - count


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("strategy", [StrategyName.RANDOM, StrategyName.BAYESIAN])
def test_a_definition_that_is_used_up_leaves_its_turns_to_the_others(strategy: StrategyName, parallel: int) -> None:
    # The one of few configurations has the best objective, and would be the next.
    engine = Engine(lambda h: Script((0.0 if "n" in h else 1.0,), seconds=5))
    spec = several(strategy, 9, (Integer("n", 0, 1),), (Continuous("x", 0, 1),), (Continuous("y", 0, 1),))
    engine.create(replace(spec, limits=replace(spec.limits, max_parallel=parallel)))
    job = engine.run("job")
    assert (job.status, job.ended_because) == (TuningJobStatus.COMPLETED, None)
    counts = Counter(t.definition_name for t in engine.trials("job"))
    assert (counts["d0"], counts.total()) == (2, 9)
    assert min(counts["d1"], counts["d2"]) >= 1
    assert all(c.agrees for c in replay(engine.store, engine.owner, "job"))


def test_it_ends_once_all_definitions_are_used_up() -> None:
    engine = Engine(lambda _: Script((1.0,), seconds=5))
    spec = several(StrategyName.RANDOM, None, (Integer("n", 0, 0),), (Integer("m", 1, 3),))
    engine.create(replace(spec, limits=replace(spec.limits, max_runtime_seconds=3600)))
    job = engine.run("job")
    assert (job.status, job.ended_because) == (TuningJobStatus.COMPLETED, "every configuration has been tried")
    assert Counter(t.definition_name for t in engine.trials("job")) == {"d0": 1, "d1": 3}


@pytest.mark.parametrize("parallel", [1, 3])
def test_one_that_has_tried_everything_in_vain_has_failed(parallel: int) -> None:
    engine = by_turns("no such file")
    few = (Categorical("lr", ("0.1", "0.2", "0.3")),)
    engine.create(tuning_spec(ranges=few, jobs=None, runtime=100_000, parallel=parallel))
    job = engine.run("job")
    assert (job.status, len(engine.trials("job"))) == (TuningJobStatus.FAILED, 3)
    assert (job.failure_reason or "").startswith("All training jobs failed.")


def test_a_grid_of_several_definitions_is_run_to_its_end() -> None:
    engine = Engine(lambda h: Script((float(h.get("a", 9)),), seconds=5))
    listed = (Categorical("a", ("1", "2")),), (Categorical("b", ("3",)),), (Categorical("c", ("4", "5", "6")),)
    engine.create(several(StrategyName.GRID, None, *listed))
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    assert sorted(v for t in engine.trials("job") for v in t.tuned.values()) == ["1", "2", "3", "4", "5", "6"]


def ended(number: int, definition: str, loss: float) -> TrainingJob:
    return TrainingJob(
        f"job-{number:03d}",
        Owner(),
        tuning_spec().definition.training,
        {},
        0.0,
        number=number,
        definition_name=definition,
        status=TrainingJobStatus.COMPLETED,
        objective_status=ObjectiveStatus.SUCCEEDED,
        objective_value=loss,
        launched_seq=number,
        finished_seq=1000 + number,
    )
