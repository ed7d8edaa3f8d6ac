"""Suggestions by processes beside the worker: the same as without, whatever becomes of the processes."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from rekindle.domain.decisions import Snapshot
from rekindle.domain.tuning_job import Hyperband, StrategyName, TuningJobStatus
from rekindle.engine.ports import RunKey
from rekindle.engine.reconcile import Step
from rekindle.engine.replay import replay
from rekindle.engine.suggestion_pool import SuggestionFailed, SuggestionPool
from rekindle.engine.suggestions import Suggestion
from rekindle.engine.worker import Worker
from rekindle.search.history import History
from rekindle.search.space import Continuous, Space
from rekindle.search.strategy import Proposal
from support.engine import Engine
from support.simulated import Script
from support.specs import tuning_spec

#: Seconds: each process imports the search, which on a crowded machine takes its time.
PATIENCE = 400.0


@pytest.fixture(scope="module")
def processes() -> Iterator[SuggestionPool]:
    """Processes take a while to start: tests share them."""
    pool = SuggestionPool(2)
    yield pool
    pool.close()


@pytest.fixture
def pool(processes: SuggestionPool) -> Iterator[SuggestionPool]:
    yield processes
    for job_id in range(10):
        processes.forget(job_id)


def worker_of(engine: Engine, pool: SuggestionPool, holder: str = "a", **options: object) -> Worker:
    return Worker(Step(engine.store, engine.executor, engine.clock, pool, **options), holder)  # type: ignore[arg-type]


def run_all(engine: Engine, worker: Worker, names: list[str], seconds: float = PATIENCE) -> None:
    """Works until all have ended; real processes take real time, while the training jobs' clock is simulated."""
    deadline = time.monotonic() + seconds
    while not all(engine.job(name).status.is_terminal for name in names):
        assert time.monotonic() < deadline
        worker.tick()
        worker.wait()


def agreed(engine: Engine, name: str) -> int:
    found = list(replay(engine.store, engine.owner, name))
    assert all(checked.agrees for checked in found)
    return len(found)


def test_every_suggestion_follows_from_the_history_that_it_recorded(pool: SuggestionPool) -> None:
    engine = Engine()
    names = [f"job-{i}" for i in range(3)]
    for name in names:
        engine.create(tuning_spec(name, jobs=8, parallel=3, strategy=StrategyName.BAYESIAN))
    run_all(engine, worker_of(engine, pool), names)
    assert len(pool.processes()) == 2
    for name in names:
        assert engine.job(name).status is TuningJobStatus.COMPLETED
        assert agreed(engine, name) == 8
        assert {t.proposal["source"] for t in engine.trials(name)} >= {"initial", "model"}
    assert set(engine.executor.launches.values()) == {1}


def test_killed_processes_cost_nothing(pool: SuggestionPool) -> None:
    engine = Engine()
    names = ["one", "two"]
    for name in names:
        engine.create(tuning_spec(name, jobs=7, parallel=2, strategy=StrategyName.BAYESIAN))
    worker, killed = worker_of(engine, pool), set()
    deadline = time.monotonic() + PATIENCE
    while not all(engine.job(name).status.is_terminal for name in names):
        assert time.monotonic() < deadline
        worker.tick()
        busy = [pid for pid, at_work in pool.processes().items() if at_work and pid not in killed]
        if busy and len(killed) < 3:
            os.kill(busy[0], signal.SIGKILL)
            killed.add(busy[0])
        worker.wait()
    assert len(killed) == 3
    assert [agreed(engine, name) for name in names] == [7, 7]
    assert set(engine.executor.launches.values()) == {1}


def test_a_machine_that_has_no_process_for_us_is_waited_for() -> None:
    """It has no pipe to one either, which is easier to bring about."""
    engine, pool = Engine(), SuggestionPool(1)
    engine.create(tuning_spec("job", jobs=4, parallel=1, strategy=StrategyName.BAYESIAN))
    worker, deadline = worker_of(engine, pool), time.monotonic() + PATIENCE
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        while not any(pool.processes().values()):
            assert time.monotonic() < deadline
            worker.tick()
            engine.clock.sleep(1.0)
        (pid,) = pool.processes()
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with capture_logs() as told:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
            for _ in range(5):
                worker.tick()
                engine.clock.sleep(1.0)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert [line["event"] for line in told] == ["cannot start a process for suggestions; trying again"]
        run_all(engine, worker, ["job"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        pool.close()
    assert agreed(engine, "job") == 4


def test_runs_that_are_lost_while_a_suggestion_is_made_leave_it_to_be_replayed(pool: SuggestionPool) -> None:
    """Hyperband's model looks at curves: a suggestion that comes back may have seen one that has begun again since."""
    engine = Engine(lambda h: Script([float(h["lr"]) + 1 / k for k in range(1, 28)], 27.0 + 10 * float(h["lr"])))
    spec = tuning_spec("job", strategy=StrategyName.HYPERBAND, jobs=10, parallel=3)
    engine.create(replace(spec, hyperband=Hyperband(1, 27, "bayesian")))
    worker, lost = worker_of(engine, pool), 0
    deadline = time.monotonic() + PATIENCE
    while not engine.job("job").status.is_terminal:
        assert time.monotonic() < deadline
        worker.tick()
        running = [t for t in engine.trials("job") if t.is_running and t.started_at and t.points_seen >= 2 and t.attempt == 1]
        if any(pool.processes().values()) and running and lost < 3:
            engine.executor.lose(RunKey.of(running[0]))
            lost += 1
        worker.wait()
    assert lost >= 2
    assert sum(t.attempt == 2 for t in engine.trials("job")) >= 2
    assert agreed(engine, "job") == 10


def test_slots_are_not_promised_twice(pool: SuggestionPool) -> None:
    engine = Engine()
    engine.executor.slots = 1
    names = ["one", "two", "three"]
    for name in names:
        engine.create(tuning_spec(name, jobs=5, parallel=2, strategy=StrategyName.BAYESIAN))
    run_all(engine, worker_of(engine, pool, at_most=1), names)
    assert [agreed(engine, name) for name in names] == [5, 5, 5]


@pytest.fixture
def engine() -> Engine:
    """One whose Bayesian search has come to its fourth training job."""
    engine = Engine()
    engine.create(tuning_spec("job", jobs=6, parallel=1, strategy=StrategyName.BAYESIAN))
    worker = engine.worker()
    while len(engine.trials("job")) < 4:
        worker.tick()
        worker.wait()
    worker.shut_down()
    return engine


def test_what_no_longer_follows_is_thrown_away(pool: SuggestionPool, engine: Engine) -> None:
    snapshot = Snapshot(engine.job("job"), engine.trials("job")[:2])
    later = Snapshot(engine.job("job"), engine.trials("job")[:3])
    definition = snapshot.job.spec.definition
    assert pool.suggest(snapshot, definition) is None
    made(pool)
    assert pool.suggest(later, definition) is None
    made(pool)
    suggestion = pool.suggest(later, definition)
    assert suggestion == Suggestion(suggestion.proposal, later.job.seq)  # type: ignore[union-attr]


def test_nor_is_one_that_saw_what_a_copy_of_the_database_that_was_put_back_does_not_know(
    pool: SuggestionPool, engine: Engine
) -> None:
    job, trials = engine.job("job"), engine.trials("job")
    definition = job.spec.definition
    assert pool.suggest(Snapshot(replace(job, seq=job.seq + 2), trials), definition) is None
    made(pool)
    # Of the same trials, but not of the same record.
    assert pool.suggest(Snapshot(job, trials), definition) is None
    made(pool)
    suggestion = pool.suggest(Snapshot(job, trials), definition)
    assert suggestion == Suggestion(suggestion.proposal, job.seq)  # type: ignore[union-attr]


def made(pool: SuggestionPool) -> None:
    deadline = time.monotonic() + PATIENCE
    while not pool.answered():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@dataclass(frozen=True)
class Deadly:
    """A search that takes its process with it, or fails."""

    kills: bool
    space: Space = field(default_factory=lambda: Space([Continuous("lr", 0.0, 1.0)]))

    def propose(self, history: History) -> Proposal | None:
        if self.kills:
            os._exit(1)
        raise ValueError("no suggestion")

    def to_stop(self, history: History) -> list[int]:
        return []


@pytest.mark.parametrize(("kills", "said"), [(True, "died 3 times"), (False, "ValueError: no suggestion")])
def test_a_search_that_always_fails_is_a_defect_and_not_tried_for_ever(
    pool: SuggestionPool, monkeypatch: pytest.MonkeyPatch, kills: bool, said: str
) -> None:
    engine = Engine()
    engine.create(tuning_spec("job", jobs=6, parallel=1, strategy=StrategyName.BAYESIAN))
    worker = engine.worker()
    while len(engine.trials("job")) < 2:
        worker.tick()
        worker.wait()
    worker.shut_down()
    monkeypatch.setattr("rekindle.engine.suggestion_pool.strategy_for", lambda *_: Deadly(kills))
    snapshot = Snapshot(engine.job("job"), engine.trials("job"))
    assert pool.suggest(snapshot, snapshot.job.spec.definition) is None
    made(pool)
    with pytest.raises(SuggestionFailed, match=said):
        pool.suggest(snapshot, snapshot.job.spec.definition)


def test_cheap_suggestions_need_no_process(pool: SuggestionPool) -> None:
    engine = Engine()
    engine.create(tuning_spec("job", jobs=8, parallel=2, strategy=StrategyName.RANDOM))
    run_all(engine, worker_of(engine, pool), ["job"])
    assert not any(pool.processes().values())
