"""A host's slots are shared evenly, nobody starves, and whatever waits says why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.domain.training_job import SecondaryStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import TuningJobStatus
from rekindle.engine.commands import create_training_job
from rekindle.engine.ports import RunKey
from rekindle.engine.reconcile import Step
from rekindle.engine.worker import Worker
from support.engine import Engine
from support.simulated import Script
from support.specs import tuning_spec

TRAINING = tuning_spec().definition.training


@dataclass
class Host:
    """An engine on a host of so many slots, with one worker."""

    engine: Engine
    worker: Worker

    def running(self) -> Counter[str]:
        runs = self.engine.executor._runs.values()
        return Counter(r.run.group for r in runs if self.engine.executor._end(r) > self.engine.clock.now())

    def shown(self, name: str) -> TrainingJob:
        return self.engine.store.training_job(self.engine.owner, name)


def host(slots: int, seconds: float = 10.0) -> Host:
    engine = Engine(program=lambda _: Script((1.0,), seconds))
    engine.executor.slots = slots
    return Host(engine, Worker(Step(engine.store, engine.executor, engine.clock, at_most=1), "a"))


def test_slots_are_shared_evenly_and_the_oldest_has_what_is_left() -> None:
    made = host(slots=5)
    for name in ("first", "second"):
        made.engine.create(tuning_spec(name, jobs=30, parallel=10))
    made.worker.tick()
    assert made.running() == {"first": 3, "second": 2}


def test_one_alone_has_all_and_gives_way_as_its_jobs_end() -> None:
    made = host(slots=4)
    made.engine.create(tuning_spec("first", jobs=40, parallel=10))
    made.worker.tick()
    assert made.running() == {"first": 4}
    made.engine.create(tuning_spec("second", jobs=40, parallel=10))
    made.engine.clock.sleep(10)
    made.worker.tick()
    made.worker.tick()
    assert made.running() == {"first": 2, "second": 2}


def test_nothing_is_drawn_that_cannot_start() -> None:
    made = host(slots=2)
    made.engine.create(tuning_spec("first", jobs=9, parallel=5))
    for _ in range(4):
        made.worker.tick()
    assert len(made.engine.trials("first")) == 2
    assert {t.secondary for t in made.engine.trials("first")} <= {SecondaryStatus.STARTING, SecondaryStatus.TRAINING}


def test_a_training_job_that_waits_says_why_and_has_the_next_slot() -> None:
    made = host(slots=1)
    made.engine.create(tuning_spec("first", jobs=5, parallel=1))
    made.worker.tick()
    job = TrainingJob("alone", made.engine.owner, TRAINING, {"lr": "0.1"}, 0.0)
    create_training_job(made.engine.store, made.engine.executor, made.engine.clock, job)
    for _ in range(2):
        made.worker.tick()
        made.engine.clock.sleep(1)
    waiting = made.shown("alone")
    assert (waiting.status, waiting.secondary) == (TrainingJobStatus.IN_PROGRESS, SecondaryStatus.PENDING)
    assert [t.status.value for t in waiting.transitions] == ["Starting", "Pending"]
    assert waiting.transitions[-1].message == "waits for a free slot: 1 of 1 in use"
    made.engine.clock.sleep(10)
    made.worker.tick()
    assert made.running() == {None: 1}
    made.engine.clock.sleep(10)
    made.worker.tick()
    ended = made.shown("alone")
    assert [t.status.value for t in ended.transitions] == ["Starting", "Pending", "Training", "Completed"]


def test_a_retry_waits_like_everybody() -> None:
    made = host(slots=1)
    made.engine.create(tuning_spec("first", jobs=1, parallel=1))
    made.worker.tick()
    made.engine.create(tuning_spec("second", jobs=1, parallel=1))
    (trial,) = made.engine.trials("first")
    made.engine.executor.lose(RunKey(trial.name, 1))
    for _ in range(3):
        made.worker.tick()
    assert made.running() == {"second": 1}
    assert made.shown(trial.name).secondary is SecondaryStatus.PENDING
    for _ in range(6):
        made.engine.clock.sleep(10)
        made.worker.tick()
    assert made.shown(trial.name).status is TrainingJobStatus.COMPLETED
    assert made.shown(trial.name).attempt == 2


def test_what_waits_can_be_stopped() -> None:
    made = host(slots=0)
    job = TrainingJob("alone", made.engine.owner, TRAINING, {"lr": "0.1"}, 0.0)
    stored = create_training_job(made.engine.store, made.engine.executor, made.engine.clock, job)
    made.worker.tick()
    made.engine.store.request_stop(f"training:{stored.id}")
    for _ in range(2):
        made.worker.tick()
    assert made.shown("alone").status is TrainingJobStatus.STOPPED
    assert made.engine.executor.launches == {}


@settings(max_examples=15, deadline=None)
@given(
    slots=st.integers(1, 5),
    sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=4),
    seconds=st.sampled_from([3.0, 10.0]),
)
def test_budgets_and_limits_hold_and_nobody_starves(slots: int, sizes: list[tuple[int, int]], seconds: float) -> None:
    made = host(slots, seconds)
    for at, (jobs, parallel) in enumerate(sizes):
        made.engine.create(tuning_spec(f"job-{at}", jobs=max(jobs, parallel), parallel=parallel))
    names = {f"job-{at}": parallel for at, (_, parallel) in enumerate(sizes)}
    waited = Counter[str]()
    for _ in range(200):
        made.worker.tick()
        running = made.running()
        assert sum(running.values()) <= slots
        assert all(running[name] <= parallel for name, parallel in names.items())
        left = [n for n in names if not made.engine.job(n).status.is_terminal]
        if not left:
            break
        waited = Counter({n: waited[n] + 1 for n in left if not running[n]})
        # A turn comes before anybody else has had two; a run takes two ticks, and its end one.
        assert all(count <= 3 * (len(names) + 1) for count in waited.values())
        made.engine.clock.sleep(seconds / 2)
    for at, (jobs, parallel) in enumerate(sizes):
        assert made.engine.job(f"job-{at}").status is TuningJobStatus.COMPLETED
        assert len(made.engine.trials(f"job-{at}")) == max(jobs, parallel)
    assert set(made.engine.executor.launches.values()) == {1}


@pytest.mark.parametrize("slots", [None, 2])
def test_one_tuning_job_alone_needs_one_step_for_all_its_slots(slots: int | None) -> None:
    made = host(slots=2)
    made.engine.executor.slots = slots
    made.engine.create(tuning_spec("first", jobs=9, parallel=2))
    made.worker._keep_leases()
    made.worker._move_all(list(made.worker._leases))
    assert made.running() == {"first": 2}
