"""The times that a supervisor tells: those of the clock when it began, and from then on what has passed."""

from __future__ import annotations

import json
import time

import pytest

from rekindle.executors import supervisor


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_is_set_makes_no_training_job_longer_or_shorter(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    before = json.loads(supervisor.Ended("completed").line())["at"]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step)
    after = json.loads(supervisor.Ended("completed").line())["at"]
    assert 0 <= after - before < 60


def test_they_are_seconds_since_the_epoch() -> None:
    # Slewed clocks drift apart a little, over the days that a process may live.
    assert abs(json.loads(supervisor.Ended("completed").line())["at"] - time.time()) < 60
