"""What the readers of logs look at: no more than what they show, however much there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from rekindle.companions.readers import JobLogs
from support.engine import Engine, by_learning_rate
from support.simulated import SimulatedExecutor
from support.specs import tuning_spec


@dataclass
class Counting(SimulatedExecutor):
    """Counts the logs that are looked at."""

    looks: int = 0

    def read_log(self, *arguments: Any, **options: Any) -> tuple[bytes, int]:
        self.looks += 1
        return super().read_log(*arguments, **options)


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    engine.executor = Counting(engine.clock, by_learning_rate)
    engine.create(tuning_spec(jobs=12, parallel=3))
    engine.run("job")
    return engine


def test_a_page_of_streams_looks_at_the_logs_of_that_page_alone(engine: Engine) -> None:
    logs = JobLogs(engine.store, engine.executor)
    first = [stream.name for stream in logs.streams(engine.owner, "", "", 5)]
    rest = [stream.name for stream in logs.streams(engine.owner, "job-", first[-1], 50)]
    assert [name.partition("/")[0] for name in (*first, *rest)] == [trial.name for trial in engine.trials("job")]
    assert engine.executor.looks == 12  # type: ignore[attr-defined]


def test_the_streams_of_one_training_job_are_found_without_a_look_at_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, name = JobLogs(engine.store, engine.executor), engine.trials("job")[6].name

    def through_all(*_: object) -> None:
        raise AssertionError("it looks through all training jobs")

    monkeypatch.setattr(engine.store, "training_jobs", through_all)
    assert [stream.name.partition("/")[0] for stream in logs.streams(engine.owner, f"{name}/", "", 50)] == [name]
    assert list(logs.streams(engine.owner, f"{name}/algo-2", "", 50)) == []
    assert list(logs.streams(engine.owner, f"{name.upper()}/", "", 50)) == [], "a stream's name has its case"
    assert list(logs.streams(engine.owner, "none/", "", 50)) == []
