"""What the readers of logs look at: no more than what they show, however much there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from rekindle.companions.readers import JobLogs, JobMetrics
from rekindle.domain.metrics import MetricDefinition
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


def test_a_page_of_streams_reads_the_records_of_that_page_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of a search through all logs read all training jobs."""
    logs, read = JobLogs(engine.store, engine.executor), []
    ask = engine.store.training_jobs

    def counting(*arguments: Any) -> Any:
        jobs, after = ask(*arguments)
        read.extend(job.name for job in jobs)
        return jobs, after

    monkeypatch.setattr(engine.store, "training_jobs", counting)
    monkeypatch.setattr("rekindle.companions.readers._AT_ONCE", 3)
    names = [trial.name for trial in engine.trials("job")]
    first = logs.streams(engine.owner, "", "", 5)
    assert read == names[:6]
    read.clear()
    rest = logs.streams(engine.owner, "job", first[-1].name, 4)
    assert read == names[4:10]
    assert [stream.name.partition("/")[0] for stream in (*first, *rest)] == names[:9]


def test_streams_are_in_the_order_of_their_own_names(engine: Engine) -> None:
    for name in ("a", "a-b", "B", "c"):
        engine.create(tuning_spec(name, jobs=1, parallel=1))
        engine.run(name)
    logs = JobLogs(engine.store, engine.executor)
    found = [stream.name for stream in logs.streams(engine.owner, "", "", 50)]
    assert found == sorted(found)
    assert len(found) == 16
    after = [logs.streams(engine.owner, "", name, 1) for name in found]
    assert [stream.name for page in after for stream in page] == found[1:]


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


def test_the_copy_of_the_objectives_metric_has_the_objectives_values(engine: Engine) -> None:
    """Describe shows both among the metrics, and SDKs ask for each that it shows."""
    metrics, trial = JobMetrics(engine.store), engine.trials("job")[0]
    own, copy, none = (metrics.points(engine.owner, trial.name, name, 0, 1e12) for name in ("loss", "ObjectiveMetric", "other"))
    assert own
    assert (copy, none) == (own, [])


def test_a_metric_that_is_called_as_the_copy_is_another(engine: Engine) -> None:
    spec = tuning_spec("named", jobs=1, parallel=1)
    algorithm = spec.definition.training.algorithm
    metrics = (*algorithm.metrics, MetricDefinition("ObjectiveMetric", "never=([0-9.]+)"))
    training = replace(spec.definition.training, algorithm=replace(algorithm, metrics=metrics))
    engine.create(replace(spec, definitions=(replace(spec.definition, training=training),)))
    engine.run("named")
    assert JobMetrics(engine.store).points(engine.owner, engine.trials("named")[0].name, "ObjectiveMetric", 0, 1e12) == []
