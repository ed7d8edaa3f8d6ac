"""A host's slots are shared evenly, nobody starves, and whatever waits says why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.domain.capacity import PATIENCE_SECONDS, Room
from rekindle.domain.decisions import Snapshot
from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import Resources, SecondaryStatus, TrainingJob, TrainingJobStatus, TrainingSpec
from rekindle.domain.tuning_job import Definition, TuningJobSpec, TuningJobStatus
from rekindle.engine.commands import create_training_job
from rekindle.engine.ports import JobStore, Lease, RunKey, RunState, StoreUnavailable
from rekindle.engine.reconcile import Step
from rekindle.engine.suggestions import HereAndNow, Suggestion
from rekindle.engine.worker import BETWEEN_OFFERS_SECONDS, POLL_SECONDS, YIELD_SECONDS, Worker
from support.engine import Engine
from support.simulated import Script, SimulatedClock, SimulatedExecutor
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
    for _ in range(3):
        made.worker.tick()
        made.engine.clock.sleep(YIELD_SECONDS / 2)
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
    made.engine.clock.sleep(YIELD_SECONDS)
    made.worker.tick()
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
    made.engine.clock.sleep(YIELD_SECONDS)
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
    made.worker._keep_leases(made.engine.clock.now())
    made.worker._move_all(list(made.worker._work))
    assert made.running() == {"first": 2}


@pytest.mark.parametrize("of_its_own", [False, True])
def test_what_a_host_will_never_have_room_for_goes_to_one_that_has(of_its_own: bool) -> None:
    engine = Engine(program=lambda _: Script(seconds=5.0))
    engine.executor.gpus = 1
    executor = SimulatedExecutor(engine.clock, engine.program, gpus=0)
    other = Worker(Step(engine.store, executor, engine.clock, at_most=1), "b@two")
    mine = Worker(Step(engine.store, engine.executor, engine.clock, at_most=1), "a@one")
    if of_its_own:
        job = TrainingJob("own", engine.owner, replace(TRAINING, resources=Resources(gpus=1)), {}, 0.0)
        create_training_job(engine.store, engine.executor, engine.clock, job)
    else:
        engine.create(needing(1, jobs=3))
    releases = count()
    release = engine.store.release
    engine.store.release = lambda *given, **told: (next(releases), release(*given, **told))
    for _ in range(120):
        other.tick()
        engine.clock.sleep(0.5)
    assert next(releases) in (6, 7), "it is held most of the time where nobody else takes it"
    for _ in range(120):
        other.tick()
        mine.tick()
        engine.clock.sleep(0.5)
    status = engine.store.training_job(engine.owner, "own").status if of_its_own else engine.job("needs-1").status
    assert status.value == "Completed"
    assert list(executor.launches) == []


def another(engine: Engine, slots: int | None = None, gpus: int | None = None, holder: str = "b@two") -> Worker:
    """A worker of another host, which has its own places and shares the store."""
    executor = SimulatedExecutor(engine.clock, engine.program, slots=slots, gpus=gpus)
    return Worker(Step(engine.store, executor, engine.clock, at_most=1), holder)


def test_a_host_that_is_idle_gets_work_that_waits_at_another() -> None:
    made = host(slots=1, seconds=300.0)
    for name in ("first", "second", "third", "fourth"):
        made.engine.create(tuning_spec(name, jobs=1, parallel=1))
    made.engine.clock.sleep(YIELD_SECONDS)
    made.worker.tick()
    other, began = another(made.engine, slots=1), made.engine.clock.now()
    assert other.step.store.claim("nobody", 1.0) == [], "one has claimed all"
    while not other.step.executor.running:  # type: ignore[attr-defined]
        made.engine.clock.sleep(POLL_SECONDS)
        made.worker.tick()
        other.tick()
        assert made.engine.clock.now() - began <= BETWEEN_OFFERS_SECONDS
    while not all(made.engine.job(n).status.is_terminal for n in ("first", "second", "third", "fourth")):
        made.engine.clock.sleep(POLL_SECONDS)
        made.worker.tick()
        other.tick()
    assert made.engine.clock.now() - began <= 600 + 3 * BETWEEN_OFFERS_SECONDS, "half of what one host takes"
    assert [len(e.launches) for e in (made.engine.executor, other.step.executor)] == [2, 2]  # type: ignore[attr-defined]


def test_what_nobody_else_takes_keeps_its_place() -> None:
    made = host(slots=99, seconds=1e6)
    made.engine.executor.slots, made.engine.executor.gpus = None, 4
    made.engine.create(needing(1, jobs=500, parallel=4))
    made.worker.tick()
    made.engine.create(needing(4, jobs=2, parallel=1))
    waits: set[float | None] = set()
    offered = 0
    for _ in range(int(PATIENCE_SECONDS / POLL_SECONDS)):
        made.engine.clock.sleep(POLL_SECONDS)
        made.worker.tick()
        offered += "tuning:2" in made.worker._offers
        waits |= {work.waits_since for subject, work in made.worker._work.items() if subject == "tuning:2"}
    assert offered * POLL_SECONDS <= PATIENCE_SECONDS / 5
    assert offered
    assert len(waits) <= 2, "None, until it was looked at, and when that was"


def test_what_another_host_has_no_room_for_either_stays_where_it_has_waited() -> None:
    made = host(slots=1, seconds=1e6)
    other = another(made.engine, slots=1)
    made.engine.create(tuning_spec("first", jobs=1, parallel=1))
    made.worker.tick()
    made.engine.create(tuning_spec("second", jobs=1, parallel=1))
    other.tick()
    for name in ("third", "fourth"):
        made.engine.create(tuning_spec(name, jobs=1, parallel=1))
    made.worker.tick()
    for _ in range(4 * int(YIELD_SECONDS / POLL_SECONDS)):
        made.engine.clock.sleep(POLL_SECONDS)
        other.tick()
        made.worker.tick()
    held = [{*w._work, *w._offers} for w in (made.worker, other)]
    for _ in range(4 * int(PATIENCE_SECONDS / POLL_SECONDS)):
        made.engine.clock.sleep(POLL_SECONDS)
        other.tick()
        made.worker.tick()
    assert held == [{*w._work, *w._offers} for w in (made.worker, other)]


@pytest.mark.parametrize("for_ever", [False, True])
def test_a_training_job_that_has_begun_is_not_offered_for_its_checkpoints_are_here(for_ever: bool) -> None:
    made = host(slots=1, seconds=1e6)
    made.engine.executor.gpus = 1
    training = replace(TRAINING, resources=Resources(gpus=1))
    made.engine.create(tuning_spec("first", jobs=1, parallel=1, training=training))
    made.worker.tick()
    made.engine.create(tuning_spec("second", jobs=1, parallel=1))
    (trial,) = made.engine.trials("first")
    made.engine.executor.lose(RunKey(trial.name, 1))
    if for_ever:
        made.engine.executor.gpus = 0
    other = another(made.engine, slots=1, gpus=1)
    for _ in range(int(PATIENCE_SECONDS / POLL_SECONDS)):
        made.worker.tick()
        other.tick()
        made.engine.clock.sleep(POLL_SECONDS)
    assert trial.name not in {key.name for key in other.step.executor.launches}  # type: ignore[attr-defined]
    assert made.shown(trial.name).attempt == 2


@pytest.mark.parametrize("parallel", [3, 4])
def test_who_needs_much_is_not_passed_for_ever_where_two_hosts_hand_it_to_each_other(parallel: int) -> None:
    number = count()
    made = host(slots=99)
    made.engine.executor.program = lambda _: Script((1.0,), 20.0 + 5.0 * max(0, 4 - next(number)))
    made.engine.executor.slots, made.engine.executor.gpus = None, 4
    other = another(made.engine, gpus=4)
    other.step.executor.program = made.engine.executor.program  # type: ignore[attr-defined]
    for name, worker in (("first", made.worker), ("second", other)):
        training = replace(TRAINING, resources=Resources(gpus=1))
        made.engine.create(tuning_spec(name, jobs=500, parallel=parallel, training=training))
        worker.tick()
    made.engine.create(needing(4, jobs=2, parallel=1))
    began, held = made.engine.clock.now(), []
    while not made.engine.trials("needs-4"):
        made.engine.clock.sleep(POLL_SECONDS)
        for worker in (made.worker, other):
            worker.tick()
            held += [worker.holder] if "tuning:3" in worker._work else []
        assert made.engine.clock.now() - began < 3 * PATIENCE_SECONDS
    moves = sum(a != b for a, b in pairwise(held))
    assert moves <= (2 if parallel == 4 else 2 * PATIENCE_SECONDS), "a host without room takes nothing"


@dataclass(frozen=True, kw_only=True)
class _Slow(HereAndNow):
    """Needs some seconds for each suggestion, and makes it anew where it was told to forget it."""

    clock: SimulatedClock
    seconds: float
    ready: dict[int, float] = field(default_factory=dict)
    thrown_away: list[int] = field(default_factory=list)

    def asked_for_others(self, job_id: int) -> int:
        return len(self.ready.keys() - {job_id})

    def forget(self, job_id: int) -> None:
        if self.ready.pop(job_id, None) is not None:
            self.thrown_away.append(job_id)

    def suggest(self, snapshot: Snapshot, definition: Definition) -> Suggestion | None:
        if self.clock.now() < self.ready.setdefault(snapshot.job.id, self.clock.now() + self.seconds):
            return None
        del self.ready[snapshot.job.id]
        return super().suggest(snapshot, definition)


def test_what_is_about_to_begin_is_not_offered() -> None:
    made = host(slots=1)
    slow = _Slow(clock=made.engine.clock, seconds=9.0)
    made.worker.step = replace(made.worker.step, suggester=slow)
    for name in ("first", "second"):
        made.engine.create(tuning_spec(name, jobs=4, parallel=1))
    began = made.engine.clock.now()
    while not all(made.engine.job(name).status.is_terminal for name in ("first", "second")):
        made.worker.tick()
        made.engine.clock.sleep(POLL_SECONDS)
        assert made.engine.clock.now() - began < 8 * 25.0 + YIELD_SECONDS
    assert slow.thrown_away == []


class _Unheard:
    """A store whose next answer to a release is lost."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def release(self, lease: Lease, has_runs: bool = False) -> None:
        self._store.release(lease, has_runs)
        if not self.lost:
            self.lost = True
            raise StoreUnavailable("the connection broke")


def test_nothing_is_run_twice_where_the_answer_to_an_offer_is_lost() -> None:
    made = host(slots=1, seconds=1e6)
    unheard = _Unheard(made.engine.store)
    made.worker.step = replace(made.worker.step, store=unheard)
    made.engine.create(tuning_spec("first", jobs=1, parallel=1))
    made.worker.tick()
    job = TrainingJob("alone", made.engine.owner, TRAINING, {"lr": "0.1"}, made.engine.clock.now())
    create_training_job(made.engine.store, made.engine.executor, made.engine.clock, job)
    other = another(made.engine, slots=1)
    while not unheard.lost:
        made.engine.clock.sleep(POLL_SECONDS)
        made.worker.tick()
    # It is launched there, which is not recorded yet, and there is room here now.
    launched, other.step.store.commit = other.step.store.commit, lambda *_: ()  # type: ignore[method-assign]
    other.tick()
    other.step.store.commit = launched  # type: ignore[method-assign]
    made.engine.executor.slots = 2
    made.worker.tick()
    assert [RunKey("alone", 1) in e.launches for e in (other.step.executor, made.engine.executor)] == [True, False]  # type: ignore[attr-defined]


def test_work_at_which_nobody_can_look_keeps_no_other_from_beginning() -> None:
    made = host(slots=2)
    made.engine.create(tuning_spec("first", jobs=1, parallel=1))
    room, asked = made.engine.executor.room, count()

    def with_a_defect(spec: TrainingSpec) -> Room:
        if next(asked) == 0:
            raise RuntimeError("a defect")
        return room(spec)

    made.engine.executor.room = with_a_defect  # type: ignore[method-assign]
    made.engine.create(tuning_spec("second", jobs=1, parallel=1))
    made.worker.tick()
    assert made.running() == {"second": 1}
    made.engine.clock.sleep(YIELD_SECONDS)
    made.worker.tick()
    assert made.running() == {"first": 1, "second": 1}


class _Without(SimulatedExecutor):
    """A host that lacks the folder of every job."""

    def check(self, spec: TrainingSpec, hyperparameters: Mapping[str, str] | None = None) -> None:
        raise InvalidValue("source", "/data/code", "there is no such folder on this machine")


@pytest.mark.parametrize("of_its_own", [False, True])
def test_work_whose_files_are_on_another_machine_goes_there_though_that_is_full(of_its_own: bool) -> None:
    made = host(slots=1, seconds=60.0)
    lacking = _Without(made.engine.clock, made.engine.program, slots=1)
    other = Worker(Step(made.engine.store, lacking, made.engine.clock, at_most=1), "b@two")
    made.engine.create(tuning_spec("first", jobs=2, parallel=2))
    made.worker.tick()
    if of_its_own:
        job = TrainingJob("own", made.engine.owner, TRAINING, {"lr": "0.1"}, made.engine.clock.now())
        create_training_job(made.engine.store, made.engine.executor, made.engine.clock, job)
    else:
        made.engine.create(tuning_spec("second", jobs=2, parallel=2))
    for _ in range(600):
        other.tick()
        made.worker.tick()
        made.engine.clock.sleep(POLL_SECONDS)
    status = made.shown("own").status if of_its_own else made.engine.job("second").status
    assert (status.value, lacking.launches) == ("Completed", {})


def test_work_whose_files_are_nowhere_is_run_where_it_is_and_says_why_it_fails() -> None:
    made = host(slots=1)
    lacking = _Without(made.engine.clock, lambda _: Script((), 1.0, RunState.FAILED, "there is no such folder"), slots=1)
    other = Worker(Step(made.engine.store, lacking, made.engine.clock, at_most=1), "b@two")
    made.engine.create(tuning_spec("first", jobs=1, parallel=1))
    for _ in range(20):
        other.tick()
        made.engine.clock.sleep(POLL_SECONDS)
    assert [t.failure_reason for t in made.engine.trials("first")] == ["there is no such folder"]


@settings(max_examples=10, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(2, 6)), min_size=2, max_size=5),
    gpus=st.integers(0, 4),
    seconds=st.sampled_from([3.0, 20.0]),
)
def test_nobody_starves_on_two_hosts_and_nothing_is_run_twice(
    sizes: list[tuple[int, int, int]], gpus: int, seconds: float
) -> None:
    made = host(slots=99, seconds=seconds)
    made.engine.executor.slots, made.engine.executor.gpus = None, 4
    other = another(made.engine, gpus=gpus)
    for at, (needed, parallel, jobs) in enumerate(sizes):
        training = replace(TRAINING, resources=Resources(gpus=needed))
        made.engine.create(tuning_spec(f"job-{at}", jobs=max(jobs, parallel), parallel=parallel, training=training))
    names = [f"job-{at}" for at in range(len(sizes))]
    for _ in range(2000):
        for worker in (made.worker, other):
            worker.tick()
        if all(made.engine.job(n).status.is_terminal for n in names):
            break
        made.engine.clock.sleep(1.1)
    launches = [*made.engine.executor.launches, *other.step.executor.launches]  # type: ignore[attr-defined]
    assert sorted(key.name for key in launches) == sorted(t.name for n in names for t in made.engine.trials(n))
    assert {made.engine.job(n).status for n in names} == {TuningJobStatus.COMPLETED}


def needing(gpus: int, **options: int) -> TuningJobSpec:
    return tuning_spec(f"needs-{gpus}", training=replace(TRAINING, resources=Resources(gpus=gpus)), **options)


def test_who_needs_much_is_not_passed_for_ever_by_those_who_need_little() -> None:
    made, number = host(slots=99), count()
    # The small ones end one after the other: never are four free together by themselves.
    made.engine.executor.program = lambda _: Script((1.0,), 20.0 + 5.0 * max(0, 4 - next(number)))
    made.engine.executor.slots, made.engine.executor.gpus = None, 4
    made.engine.create(needing(1, jobs=500, parallel=4))
    made.worker.tick()
    made.engine.create(needing(4, jobs=2, parallel=1))
    began = made.engine.clock.now()
    while not made.running()["needs-4"]:
        made.engine.clock.sleep(2.5)
        made.worker.tick()
        assert made.engine.clock.now() - began < 3 * PATIENCE_SECONDS
    assert made.engine.job("needs-4").waiting_for is None
    assert made.engine.clock.now() - began >= PATIENCE_SECONDS


def test_who_has_had_its_turn_is_not_waited_for_as_if_it_had_not() -> None:
    made = host(slots=99, seconds=2 * PATIENCE_SECONDS)
    made.engine.executor.slots, made.engine.executor.gpus = None, 5
    made.engine.create(needing(5, jobs=1, parallel=1))
    made.worker.tick()
    made.engine.create(needing(3, jobs=9, parallel=2))
    while not made.running()["needs-3"]:
        made.worker.tick()
        made.engine.clock.sleep(10)
    made.engine.create(needing(1, jobs=9, parallel=2))
    for _ in range(2):
        made.engine.clock.sleep(YIELD_SECONDS)
        made.worker.tick()
    assert made.running() == {"needs-3": 1, "needs-1": 2}


def test_who_can_never_be_served_keeps_nobody_waiting() -> None:
    made = host(slots=99)
    made.engine.executor.slots, made.engine.executor.gpus = None, 4
    made.engine.create(needing(8, jobs=1, parallel=1))
    made.engine.create(needing(1, jobs=40, parallel=4))
    for _ in range(40):
        made.worker.tick()
        made.engine.clock.sleep(10)
    assert made.engine.job("needs-1").status is TuningJobStatus.COMPLETED
    assert made.engine.job("needs-8").waiting_for == "needs 8 GPUs; 4 on this host"


@settings(max_examples=8, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(2, 8)), min_size=2, max_size=4),
    seconds=st.sampled_from([3.0, 20.0]),
)
def test_nobody_starves_whatever_each_needs(sizes: list[tuple[int, int, int]], seconds: float) -> None:
    made = host(slots=99, seconds=seconds)
    made.engine.executor.slots, made.engine.executor.gpus = None, 4
    for at, (gpus, parallel, jobs) in enumerate(sizes):
        training = replace(TRAINING, resources=Resources(gpus=gpus))
        made.engine.create(tuning_spec(f"job-{at}", jobs=max(jobs, parallel), parallel=parallel, training=training))
    names = [f"job-{at}" for at in range(len(sizes))]
    since = dict.fromkeys(names, made.engine.clock.now())
    most = (PATIENCE_SECONDS + 2 * seconds) * len(names)
    for _ in range(1000):
        made.worker.tick()
        now, running = made.engine.clock.now(), made.running()
        assert sum(gpus * running[name] for name, (gpus, _, _) in zip(names, sizes, strict=True)) <= 4
        left = [n for n in names if not made.engine.job(n).status.is_terminal]
        if not left:
            return
        since = {n: now if running[n] else since[n] for n in left}
        assert all(now - begun <= most for begun in since.values())
        made.engine.clock.sleep(1.7)
    raise AssertionError("it has no end")


def test_a_tuning_job_that_cannot_begin_says_why() -> None:
    made = host(slots=1)
    made.engine.create(tuning_spec("first", jobs=3, parallel=1))
    made.worker.tick()
    made.engine.create(tuning_spec("second", jobs=3, parallel=1))
    made.engine.clock.sleep(YIELD_SECONDS)
    for _ in range(2):
        made.worker.tick()
    assert made.engine.trials("second") == ()
    assert made.engine.job("second").waiting_for == "waits for a free slot: 1 of 1 in use"
    modified = made.engine.job("second").modified_at
    made.engine.clock.sleep(1)
    made.worker.tick()
    assert made.engine.job("second").modified_at == modified, "to wait on is no change"
    made.engine.clock.sleep(10)
    for _ in range(2):
        made.worker.tick()
    assert made.running() == {"second": 1}
    assert made.engine.job("second").waiting_for is None
