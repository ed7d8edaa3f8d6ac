"""A worker whose store cannot be written: it waits, complains now and then, and goes on where it stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from rekindle.domain.tuning_job import TuningJobStatus
from rekindle.engine.ports import RunKey, StoreUnavailable
from rekindle.engine.worker import POLL_SECONDS
from support.engine import Engine
from support.simulated import SimulatedExecutor
from support.specs import tuning_spec


class _WakesAtOnce(SimulatedExecutor):
    """Returns at once while a run that is waited for has ended, as the real one does."""

    def wait(self, keys: Sequence[RunKey], seconds: float, descriptors: Sequence[int] = ()) -> None:
        if keys and self.running < len(keys):
            return
        super().wait(keys, seconds, descriptors)


def test_an_end_that_cannot_be_recorded_is_tried_again_at_leisure(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.executor = _WakesAtOnce(engine.clock, engine.program)
    engine.create(tuning_spec(jobs=2, parallel=1))
    worker = engine.worker()
    worker.tick()
    engine.clock.sleep(60)
    assert engine.executor.running == 0

    def full(*_: Any) -> None:
        raise StoreUnavailable("the disk is full.", "Free some space.")

    began = engine.clock.now()
    with monkeypatch.context() as away, capture_logs() as told:
        away.setattr(engine.store, "commit", full)
        for _ in range(100):
            worker.tick()
            worker.wait()
    assert engine.clock.now() - began >= 100 * POLL_SECONDS
    assert [line["reason"] for line in told] == ["the disk is full."]
    worker.shut_down()
    assert engine.run("job").status is TuningJobStatus.COMPLETED
    assert [t.attempt for t in engine.trials("job")] == [1, 1]


def test_a_store_that_goes_away_again_is_told_of_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    worker = engine.worker()

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("the server is away.")

    with capture_logs() as told:
        for _ in range(2):
            with monkeypatch.context() as broken:
                broken.setattr(engine.store, "claim", away)
                for _ in range(2):
                    worker.tick()
            worker.tick()
    assert len(told) == 2


def test_who_works_until_the_store_says_so_waits_for_a_store_that_is_away() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=2, parallel=1))
    answers = iter([False, True, True])

    def ended() -> bool:
        if next(answers, False):
            raise StoreUnavailable("the database does not answer.")
        return engine.job("job").status.is_terminal

    engine.worker().run(ended)
    assert engine.job("job").status is TuningJobStatus.COMPLETED
