"""Who a worker is, whether it still lives, and what it keeps of what it no longer moves."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import psutil
import pytest

from rekindle.domain.decisions import ParentJob
from rekindle.domain.tuning_job import TuningJobStatus, WarmStart, WarmStartType
from rekindle.engine.ports import RunKey
from rekindle.engine.worker import LEASE_SECONDS, holder_name, is_dead
from support.engine import Engine
from support.simulated import SimulatedExecutor
from support.specs import tuning_spec


def test_a_process_that_lives_is_not_called_dead_and_one_that_ended_is() -> None:
    tell = "from rekindle.engine.worker import holder_name; print(holder_name(), flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", tell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    name = other.stdout.readline().strip()
    assert [is_dead(holder_name()), is_dead(name)] == [False, False]
    other.communicate("\n")
    assert is_dead(name)


def test_a_later_process_of_the_same_number_is_another() -> None:
    assert is_dead(f"{socket.gethostname()}/{os.getpid()}/1")
    assert not is_dead(f"elsewhere/{os.getpid()}/1")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the start is told by the clock")
def test_a_clock_that_is_set_makes_nobody_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    name = holder_name()
    started = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: started + 3600.0)
    assert not is_dead(name)


class _Attentive(SimulatedExecutor):
    """Notes for which runs it was told to wait."""

    waited: Sequence[RunKey] = ()

    def wait(self, keys: Sequence[RunKey], seconds: float, descriptors: Sequence[int] = ()) -> None:
        self.waited = tuple(keys)
        super().wait(keys, seconds, descriptors)


def test_nothing_is_kept_of_the_parents_of_jobs_that_have_ended() -> None:
    engine = Engine()
    engine.create(tuning_spec("parent"))
    engine.run("parent")
    gc.collect()
    before = sum(type(thing) is ParentJob for thing in gc.get_objects())
    engine.create(tuning_spec("child", warm_start=WarmStart(WarmStartType.TRANSFER, ("parent",))))
    worker = engine.worker()
    while not engine.job("child").status.is_terminal:
        worker.tick()
        worker.wait()
    gc.collect()
    assert sum(type(thing) is ParentJob for thing in gc.get_objects()) == before


def test_who_lost_a_lease_waits_no_more_for_what_runs_under_it() -> None:
    """The real executor would return at once when such a run has ended, again and again."""
    engine = Engine()
    engine.executor = _Attentive(engine.clock, engine.program)
    engine.create(tuning_spec(jobs=2, parallel=1))
    sleeper, taker = engine.worker("sleeper"), engine.worker("taker")
    sleeper.tick()
    sleeper.wait()
    assert len(engine.executor.waited) == 1
    engine.clock.sleep(LEASE_SECONDS + 1)
    taker.tick()
    sleeper.tick()
    engine.executor.waited = ()
    sleeper.wait()
    assert engine.executor.waited == ()
    assert engine.run("job", "taker").status is TuningJobStatus.COMPLETED
