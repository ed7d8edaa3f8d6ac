"""The outbox over each database: an event is there when its state change is, and leaves once it has been told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
from tests.support.jobs import LONG, OWNER, training_job, trial, tuning_job
from tests.support.postgres import running_server

from rekindle.domain.errors import NameInUse
from rekindle.domain.training_job import SecondaryStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import TuningJob, TuningJobStatus
from rekindle.engine.event_ports import Event, SinkState
from rekindle.engine.ports import Change, Lease, LeaseLost
from rekindle.storage.store import SqlStore, open_store


@dataclass(frozen=True)
class Plain:
    """Events that say the state."""

    sinks: Sequence[str] = ("file", "webhook")

    def training_job(self, job: TrainingJob) -> Event:
        return Event(f"{job.name} {job.secondary} {job.attempt}", job.created_at, json.dumps(job.status), tuple(self.sinks))

    def tuning_job(self, job: TuningJob, jobs: Sequence[TrainingJob]) -> Event:
        return Event(f"{job.name} {job.status} {len(jobs)}", job.created_at, "{}", tuple(self.sinks))


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path) -> Iterator[SqlStore]:
    if request.param == "postgres":
        with running_server() as url, closing(open_store(url, announcer=Plain())) as found:
            yield found
        return
    url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'rekindle.db'}"
    with closing(open_store(url, announcer=Plain())) as found:
        yield found


def waiting(store: SqlStore, sink: str = "file", holder: str = "a", now: float = 0.0) -> list[str]:
    found = [e.id for e in store.claim_events(sink, holder, now, now + 10, 100)]
    store.release_sink(sink, holder)
    return found


def held(store: SqlStore, job: TuningJob) -> Lease:
    (lease,) = store.claim("w", LONG, only=f"tuning:{job.id}")
    return lease


def test_state_changes_and_nothing_else_are_told_in_order(store: SqlStore) -> None:
    job = store.create_tuning_job(tuning_job())
    lease = held(store, job)
    one, two = store.commit(lease, Change(job, added=(trial(job, 1), trial(job, 2))))
    assert waiting(store) == ["job InProgress 0", "job-001-x Starting 1", "job-002-x Starting 1"]
    one = replace(one, secondary=SecondaryStatus.TRAINING, started_at=5.0)
    store.commit(lease, Change(replace(job, seq=9), changed=(one, replace(two, modified_at=7.0))))
    again = replace(one, secondary=SecondaryStatus.STARTING, attempt=2)
    store.commit(lease, Change(changed=(again,)))
    again = replace(again, attempt=3)
    store.commit(lease, Change(changed=(again,)))
    done = replace(again, secondary=SecondaryStatus.COMPLETED, status=TrainingJobStatus.COMPLETED)
    store.commit(lease, Change(replace(job, status=TuningJobStatus.COMPLETED), changed=(done,), added=(trial(job, 3),)))
    first, second, *told = waiting(store)[3:]
    assert [first, second] == ["job-001-x Training 1", "job-001-x Starting 2"]
    assert told == ["job-001-x Starting 3", "job-001-x Completed 3", "job-003-x Starting 1", "job Completed 3"]
    assert waiting(store, "webhook") == waiting(store)


def test_a_change_that_was_not_made_is_not_told(store: SqlStore) -> None:
    job = store.create_tuning_job(tuning_job())
    lease = held(store, job)
    with pytest.raises(NameInUse):
        store.create_tuning_job(tuning_job("JOB"))
    store.evict("w")
    (other,) = store.claim("v", LONG)
    assert other.subject == lease.subject
    with pytest.raises(LeaseLost):
        store.commit(lease, Change(replace(job, status=TuningJobStatus.FAILED), added=(trial(job, 1),)))
    assert waiting(store) == ["job InProgress 0"]


def test_training_jobs_of_their_own_are_told_and_imported_ones_are_not(store: SqlStore) -> None:
    store.create_training_job(training_job())
    store.import_tuning_job(replace(tuning_job("old"), status=TuningJobStatus.COMPLETED), [trial(tuning_job("old"), 1)])
    assert waiting(store) == ["alone Starting 1"]


def test_one_holder_at_a_time_tells_a_sink(store: SqlStore) -> None:
    store.create_tuning_job(tuning_job())
    (event,) = store.claim_events("file", "a", 0.0, 10.0, 100)
    store.release_sink("file", "b")
    assert store.claim_events("file", "b", 5.0, 15.0, 100) == [], "it is not b's to give back"
    assert [e.id for e in store.claim_events("webhook", "b", 5.0, 15.0, 100)] == [event.id]
    assert store.claim_events("file", "b", 10.5, 20.0, 100) == [event]
    for late in (
        lambda: store.told("file", "a", event, 30.0),
        lambda: store.put_off("file", "a", 30.0, "no"),
        lambda: store.give_up("file", "a", event, 10.5, "no"),
    ):
        with pytest.raises(LeaseLost):
            late()
    assert store.claim_events("file", "b", 11.0, 20.0, 100) == [event]
    store.told("file", "b", event, 30.0)
    assert store.claim_events("file", "b", 12.0, 20.0, 100) == []
    assert waiting(store, "webhook", "b", 20.0) == [event.id]


def test_who_tells_keeps_the_sink_for_longer_with_each_event_and_who_puts_it_off_lets_it_go(store: SqlStore) -> None:
    job = store.create_tuning_job(tuning_job())
    store.commit(held(store, job), Change(added=(trial(job, 1),)))
    first, second = store.claim_events("file", "a", 0.0, 10.0, 100)
    store.told("file", "a", first, 30.0)
    assert store.claim_events("file", "b", 20.0, 50.0, 100) == []
    store.put_off("file", "a", 25.0, "down")
    assert store.claim_events("file", "b", 24.0, 50.0, 100) == []
    assert store.claim_events("file", "b", 25.0, 50.0, 100) == [second]


def test_what_was_told_put_off_and_given_up_is_counted(store: SqlStore) -> None:
    job = store.create_tuning_job(tuning_job())
    store.commit(held(store, job), Change(added=(trial(job, 1), trial(job, 2))))
    first, second, _ = store.claim_events("file", "a", 1.0, 10.0, 100)
    store.told("file", "a", first, 10.0)
    store.give_up("file", "a", second, 2.0, "no")
    store.put_off("file", "a", 50.0, "down")
    assert store.claim_events("file", "a", 49.0, 60.0, 100) == []
    states = {s.name: s for s in store.sink_states()}
    assert states["file"] == SinkState("file", 1, 1, 2.0, 1, 1, 50.0, "down")
    assert states["webhook"] == SinkState("webhook", 0, 3, 1.0)
    assert store.try_again("webhook") == 0
    assert store.claim_events("file", "a", 49.0, 60.0, 100) == []
    assert store.try_again() == 1
    assert waiting(store, now=3.0) == ["job-001-x Starting 1", "job-002-x Starting 1"]
    assert store.drop_events("webhook") == 3
    assert len(waiting(store)) == 2
    assert store.drop_events() == 2
    assert waiting(store) == []


@pytest.mark.parametrize("said", ["\x15\x03\x03\x00\x02", "/events/\udcfc.jsonl"])
def test_whatever_a_sink_fails_of_is_noted(store: SqlStore, said: str) -> None:
    """A port that speaks TLS answers HTTP with bytes, and a path need not be text."""
    job = store.create_tuning_job(tuning_job())
    store.commit(held(store, job), Change(added=(trial(job, 1),)))
    first, *_ = store.claim_events("file", "a", 1.0, 10.0, 100)
    store.give_up("file", "a", first, 2.0, said)
    store.put_off("file", "a", 50.0, said)
    (state,) = (s for s in store.sink_states() if s.name == "file")
    assert (state.given_up, state.failures, state.error) == (1, 1, said.replace("\0", "?").replace("\udcfc", "?"))


def test_without_an_announcer_nothing_is_written(tmp_path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path / 'rekindle.db'}")) as plain:
        job = plain.create_tuning_job(tuning_job())
        plain.commit(held(plain, job), Change(added=(trial(job, 1),)))
        assert plain.sink_states() == []
        assert plain.tuning_job(OWNER, "job").id == job.id
