"""A machine's slots and GPUs: held by what runs, by whichever executor it was started, and free again with its end."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from rekindle.domain.errors import Unsupported
from rekindle.domain.training_job import Channel, Owner, Resources, TrainingJobStatus
from rekindle.domain.tuning_rules import RELAXED
from rekindle.engine.clock import SystemClock
from rekindle.engine.commands import create_tuning_job
from rekindle.engine.ports import RunKey, RunState
from rekindle.engine.reconcile import Step
from rekindle.engine.worker import YIELD_SECONDS, Worker
from rekindle.executors import machine
from rekindle.executors.host import Host
from rekindle.executors.instances import parse_instances
from rekindle.executors.ledger import Amount, Ledger
from rekindle.executors.process import ProcessExecutor
from rekindle.storage.store import open_store
from support.simulated import SimulatedClock
from support.specs import tuning_spec

from .executor_suite import KEY, PATIENCE, WAIT_FOREVER, Bench, finished
from .supervised_suite import ENVIRONMENT, supervisor_of
from .test_executor_process import no_room

OTHER = RunKey("job-2", 1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, sys.executable)


def executor_of(bench: Bench, slots: int | None = None, gpus: str = "") -> ProcessExecutor:
    environment = ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": gpus}
    return ProcessExecutor(Host(bench.home, environment, grace_seconds=0.2, slots=slots), SystemClock())


def test_a_run_without_a_slot_stays_unlaunched_until_one_is_free(bench: Bench) -> None:
    executor, another = executor_of(bench, slots=1), executor_of(bench, slots=1)
    run, other = bench.run(WAIT_FOREVER), bench.run(WAIT_FOREVER, key=OTHER)
    assert executor.room(run.spec).runs == 1
    executor.launch(run)
    room = another.room(run.spec)
    assert (room.runs, room.reason) == (0, "waits for a free slot: 1 of 1 in use")
    another.launch(other)
    assert another.report(OTHER) is None
    bench.await_mark("ready")
    executor.stop(KEY)
    assert finished(executor).state is RunState.STOPPED
    # As soon as the end is told the slot is free.
    another.launch(other)
    another.stop(OTHER)
    assert finished(another, OTHER).state is RunState.STOPPED


def test_files_that_are_away_are_waited_for(bench: Bench, tmp_path: Path) -> None:
    executor, data = executor_of(bench, slots=1), tmp_path / "data.csv"
    data.write_text("1")
    spec = bench.run("mark('ran')", channels=(Channel("train", data.as_uri()),)).spec
    for place, what in (
        (bench.source, f"its source folder, {str(bench.source)!r}"),
        (data, f"its input 'train', {data.as_uri()!r}"),
    ):
        aside = place.rename(tmp_path / "aside")
        room = executor.room(spec)
        assert (room.runs, room.ever) == (0, False)
        assert room.reason == f"waits for {what}, which is not there: bring it back, and it goes on"
        aside.rename(place)
        assert executor.room(spec).runs == 1


@pytest.mark.parametrize("named", ["python", "command"])
def test_an_interpreter_that_is_away_is_waited_for(bench: Bench, tmp_path: Path, named: str) -> None:
    executor, place = executor_of(bench, slots=1), tmp_path / "environment" / "bin" / "python"
    place.parent.mkdir(parents=True)
    place.symlink_to(sys.executable)
    run = bench.run("mark('ran')")
    words = str(run.spec.algorithm.command).split(maxsplit=1)
    given = {"python": str(tmp_path / "environment"), "command": f"{place} {words[1]}"}
    algorithm = replace(run.spec.algorithm, **{"command": f"python {words[1]}", named: given[named]})
    run = replace(run, spec=replace(run.spec, algorithm=algorithm))
    executor.check(run.spec)
    aside = (tmp_path / "environment").rename(tmp_path / "aside")
    what = {"python": f"its Python, {given['python']!r}", "command": f"its program, {str(place)!r}"}[named]
    room = executor.room(run.spec)
    assert (room.runs, room.ever) == (0, False)
    assert room.reason == f"waits for {what}, which is not there: bring it back, and it goes on"
    executor.launch(run)
    assert executor.report(run.key) is None
    aside.rename(tmp_path / "environment")
    executor.launch(run)
    assert finished(executor).state is RunState.COMPLETED


def test_a_run_whose_files_are_away_stays_unlaunched_until_they_are_back(bench: Bench) -> None:
    executor, run = executor_of(bench, slots=1), bench.run("mark('ran')")
    aside = bench.source.rename(bench.source.with_name("aside"))
    executor.launch(run)
    assert executor.report(run.key) is None
    aside.rename(bench.source)
    executor.launch(run)
    assert finished(executor).state is RunState.COMPLETED


def test_a_killed_supervisor_gives_its_slot_back(bench: Bench) -> None:
    executor = executor_of(bench, slots=1)
    script = "found = sorted(int(f) for f in os.listdir('/proc/self/fd'))\nopen('../model/fds', 'w').write(str(found))\n"
    run = bench.run(script + WAIT_FOREVER)
    executor.launch(run)
    bench.await_mark("ready")
    assert executor.room(run.spec).runs == 0
    supervisor_of(bench.home, KEY).kill()
    assert finished(executor).state is RunState.LOST
    assert executor.room(run.spec).runs == 1
    (seen,) = bench.home.rglob("model/fds")
    assert seen.read_text() == "[0, 1, 2, 3]"


def test_gpus_that_are_asked_for_are_had_alone(bench: Bench) -> None:
    executor = executor_of(bench, gpus="4,7")
    script = "open(os.environ['SM_MODEL_DIR'] + '/gpus', 'a').write(os.environ['CUDA_VISIBLE_DEVICES'])\n" + WAIT_FOREVER
    two = bench.run(script, resources=Resources(gpus=1, instance_count=2))
    one = bench.run(script, key=OTHER, resources=Resources(gpus=1))
    executor.check(two.spec)
    executor.launch(two)
    bench.await_mark("ready")
    room = executor.room(one.spec)
    assert (room.runs, room.reason) == (0, "waits for 1 GPU: 2 of 2 in use")
    executor.launch(one)
    assert executor.report(OTHER) is None
    executor.stop(KEY)
    finished(executor)
    assert executor.room(one.spec).runs == 2


@pytest.mark.parametrize(
    ("gpus", "resources", "lack"),
    [
        ("", Resources(gpus=1), "needs 1 GPU; none on this host"),
        ("0", Resources("x", 2, gpus=1), "needs 2 GPUs; 1 on this host"),
    ],
)
def test_what_can_never_be_had_is_refused(bench: Bench, gpus: str, resources: Resources, lack: str) -> None:
    executor, spec = executor_of(bench, gpus=gpus), bench.spec("", resources=resources)
    with pytest.raises(Unsupported, match=f"resources.gpus: 1: the job {lack}"):
        executor.check(spec)
    assert executor.room(spec).reason == lack


TYPES = parse_instances("ml.small=cpus:1,memory:2;ml.big=cpus:3,memory:2;ml.gpu.*=gpus:1;ml.tiny=cpus:0.1,memory:0.1")


def counting(bench: Bench, cpus: float, memory: float, gpus: str = "") -> ProcessExecutor:
    environment = ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": gpus}
    total = Amount(cpus, memory)
    clock = SystemClock()
    return ProcessExecutor(Host(bench.home, environment, grace_seconds=0.2, slots=9, instances=TYPES, total=total), clock)


def test_cpus_and_memory_are_held_by_what_runs_and_free_when_it_is_killed(bench: Bench) -> None:
    executor, another = counting(bench, 4, 100), counting(bench, 4, 100)
    big = bench.run(WAIT_FOREVER, resources=Resources("ml.big"))
    executor.launch(big)
    bench.await_mark("ready")
    small = bench.run("", key=OTHER, resources=Resources("ml.small", 2))
    room = another.room(small.spec)
    assert (room.runs, room.reason) == (0, "waits for 2 CPUs: 3 of 4 in use")
    another.launch(small)
    assert another.report(OTHER) is None
    assert another.room(bench.spec("", resources=Resources("ml.small"))).runs == 1
    supervisor_of(bench.home, KEY).kill()
    assert finished(executor).state is RunState.LOST
    assert another.room(small.spec).runs == 2
    another.launch(small)
    assert finished(another, OTHER).state is RunState.COMPLETED


def test_the_scarcest_says_why_and_a_job_files_own_figures_win(bench: Bench) -> None:
    executor = counting(bench, 8, 3)
    executor.launch(bench.run(WAIT_FOREVER, resources=Resources("ml.small", cpus=2)))
    bench.await_mark("ready")
    room = executor.room(bench.spec("", resources=Resources("ml.small")))
    assert (room.runs, room.reason) == (0, "waits for 2 GB of memory: 2 of 3 GB in use")
    assert executor.room(bench.spec("", resources=Resources("ml.other", cpus=3))).runs == 2
    assert executor.room(bench.spec("", resources=Resources("ml.other"))).runs == 8
    executor.stop(KEY)
    finished(executor)


def test_what_was_taken_for_a_launch_that_fails_half_way_is_given_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = counting(bench, 4, 100, gpus="0")
    run = bench.run("", resources=Resources("ml.small", gpus=1))
    (bench.home / ".ledger" / "mutex").mkdir(parents=True)
    executor.launch(run)
    assert executor.report(KEY) is None
    (bench.home / ".ledger" / "mutex").rmdir()
    # What other tests have left may go at any time.
    gc.collect()
    descriptors = set(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", no_room)
        executor.launch(run)
    assert set(os.listdir("/proc/self/fd")) <= descriptors
    assert executor.room(run.spec).runs == 1
    executor.launch(run)
    assert finished(executor).state is RunState.COMPLETED


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources("ml.big", 2), "resources.instance_type: 'ml.big': the job needs 6 CPUs; 4 on this host"),
        (Resources("local", cpus=5), "resources.cpus: 5: the job needs 5 CPUs; 4 on this host"),
        (Resources("ml.small", 3), "resources.instance_type: 'ml.small': the job needs 6 GB of memory; 5 GB on this host"),
        (Resources("ml.gpu.x", 2), "resources.instance_type: 'ml.gpu.x': the job needs 2 GPUs; 1 on this host"),
    ],
)
def test_a_type_that_takes_more_than_there_is_is_refused(bench: Bench, resources: Resources, message: str) -> None:
    executor, spec = counting(bench, 4, 5, gpus="0"), bench.spec("", resources=resources)
    with pytest.raises(Unsupported) as caught:
        executor.check(spec)
    assert str(caught.value).startswith(message)
    assert not executor.room(spec).ever


@pytest.mark.parametrize(("name", "seen"), [("ml.big", "3 3"), ("ml.tiny", "1 1")])
def test_a_type_with_cpus_has_as_many_threads(bench: Bench, name: str, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpus", lambda: 8)
    executor = counting(bench, 4, 5)
    script = "print(os.environ['SM_NUM_CPUS'], os.environ['OMP_NUM_THREADS'])"
    executor.launch(bench.run(script, resources=Resources(name)))
    assert finished(executor).state is RunState.COMPLETED
    assert executor.read_log(KEY.owner, KEY.name)[0].decode() == f"{seen}\n"


@pytest.mark.parametrize(
    ("resources", "chosen", "seen"),
    [(Resources("ml.gpu.x"), {}, "4 1"), (Resources(), {}, "4,7 2"), (Resources(), {"CUDA_VISIBLE_DEVICES": "8"}, "8 1")],
)
def test_a_job_is_told_how_many_gpus_it_sees(bench: Bench, resources: Resources, chosen: dict[str, str], seen: str) -> None:
    executor = counting(bench, 4, 5, gpus="4,7,8,9")
    script = "print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['SM_NUM_GPUS'])"
    executor.launch(bench.run(script, resources=resources, environment=chosen))
    assert finished(executor).state is RunState.COMPLETED
    assert executor.read_log(KEY.owner, KEY.name)[0].decode() == f"{seen}\n"


def test_many_processes_never_take_more_than_there_is(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from rekindle.executors.ledger import Amount, Ledger\n"
        "lock = Ledger(Path(sys.argv[1]), Amount(3, 9)).take(Amount(1, 1)); print(lock is not None, flush=True)\n"
        "sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, str(tmp_path / "ledger")]
    crowd = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    assert sorted(p.stdout.readline().strip() for p in crowd) == ["False"] * 5 + ["True"] * 3
    ledger = Ledger(tmp_path / "ledger", Amount(3, 9))
    assert ledger.held() == Amount(3, 3)
    for process in crowd:
        process.communicate("")
    assert ledger.held() == Amount()
    assert ledger.take(Amount(3, 3)) is not None
    assert len(list((tmp_path / "ledger").glob("*.held"))) == 1, "entries of the dead are swept"


def test_fractions_fill_what_there_is(bench: Bench, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", Amount(0.3, 0.3))
    assert None not in [ledger.take(Amount(0.1, 0.1)) for _ in range(3)]
    assert ledger.take(Amount(0.1, 0.1)) is None
    executor = counting(bench, 0.3, 0.3)
    executor.check(bench.spec("", resources=Resources("ml.tiny", 3)))
    with pytest.raises(Unsupported, match=r"needs 0.4 CPUs; 0.3 on this host"):
        executor.check(bench.spec("", resources=Resources("ml.tiny", 4)))


def test_a_worker_runs_two_tuning_jobs_on_one_slot(bench: Bench, tmp_path: Path) -> None:
    executor, clock, store = executor_of(bench, slots=1), SystemClock(), open_store(f"sqlite:///{tmp_path / 'db'}")
    go = f"{bench.marks}/' + os.environ['TRAINING_JOB_NAME']"
    training = bench.spec(f"while not os.path.exists('{go}): time.sleep(0.01)\nprint('loss=1')")
    names, earlier = ("first", "second"), SimulatedClock(clock.now() - YIELD_SECONDS)
    for name in names:
        create_tuning_job(store, executor, earlier, Owner(), tuning_spec(name, jobs=3, parallel=3, training=training), RELAXED)
    jobs = lambda: [store.tuning_job(Owner(), name) for name in names]  # noqa: E731
    trials_of = lambda: [t for j in jobs() for t in store.jobs_of(j.id)]  # noqa: E731
    deadline = clock.now() + PATIENCE

    def ended() -> bool:
        # Who looks when the slot becomes free has it: here that is never between the looks of the two.
        for trial in trials_of():
            if trial.is_running:
                (bench.marks / trial.name).touch()
                finished(executor, RunKey.of(trial))
        return all(j.status.is_terminal for j in jobs()) or clock.now() > deadline

    Worker(Step(store, executor, clock, at_most=1), "here").run(ended)
    trials = sorted(trials_of(), key=lambda t: t.started_at)
    assert [t.status for t in trials] == [TrainingJobStatus.COMPLETED] * 6
    assert all(a.ended_at <= b.started_at for a, b in pairwise(trials))
    assert [t.tuning_job_name for t in trials] == ["first", "second"] * 3
