"""What Prometheus is told of the jobs."""

from __future__ import annotations

import pytest

from rekindle.api.translate.events import Events
from rekindle.engine.commands import stop_tuning_job
from rekindle.engine.ports import StoreUnavailable
from rekindle.gateway.figures import JobFigures
from rekindle.gateway.telemetry import Telemetry
from rekindle.storage.store import open_store
from support.engine import Engine
from support.specs import tuning_spec


def told(engine: Engine) -> list[str]:
    telemetry = Telemetry()
    telemetry.registry.register(JobFigures(engine.store, engine.store))
    lines = bytes(telemetry.exposition().body).decode().splitlines()
    return [line for line in lines if line.startswith(("rekindle_jobs", "rekindle_events"))]


def test_jobs_by_state_and_events_that_wait() -> None:
    engine = Engine(store=open_store("sqlite://", announcer=Events({"file": None})))
    engine.create(tuning_spec("first", jobs=2, parallel=1))
    engine.run("first")
    engine.create(tuning_spec("second", jobs=2, parallel=1))
    stop_tuning_job(engine.store, engine.owner, "second")
    assert told(engine) == [
        'rekindle_jobs{kind="tuning",status="Completed"} 1.0',
        'rekindle_jobs{kind="tuning",status="Stopping"} 1.0',
        'rekindle_jobs{kind="training",status="Completed"} 2.0',
        'rekindle_events_waiting{sink="file"} 9.0',
        'rekindle_events_given_up{sink="file"} 0.0',
    ]


def test_a_store_that_cannot_be_reached_is_no_reason_to_tell_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()

    def away() -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(engine.store, "state_counts", away)
    assert told(engine) == []
