"""Health notes where people meet them: with the log's end, in the API's description, in the server's log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from rekindle.api.operations import HANDLERS, Service
from rekindle.domain.tuning_job import CompletionCriteria
from rekindle.domain.tuning_rules import RELAXED
from rekindle.engine.health import Examiner, last_lines
from rekindle.engine.queries import describe
from rekindle.engine.reconcile import Step
from rekindle.engine.worker import YIELD_SECONDS, Worker
from support.engine import Engine
from support.simulated import Script, SimulatedExecutor
from support.specs import tuning_spec


@dataclass
class Logging(SimulatedExecutor):
    """An executor whose training jobs have all printed the same."""

    log: bytes = b""
    reads: int = field(default=0)

    def read_log(self, owner, name, offset=0, limit=1 << 20, host="", attempt=0):
        self.reads += 1
        piece = self.log[offset : offset + limit]
        return piece, offset + len(piece)


def silent(log: bytes) -> Engine:
    engine = Engine(program=lambda _: Script((), 10))
    engine.executor = Logging(engine.clock, engine.program, log=log)
    engine.create(tuning_spec(jobs=3, parallel=1))
    return engine


def described(engine: Engine, service: Service) -> dict:
    return HANDLERS["DescribeHyperParameterTuningJob"](service, engine.owner, {"HyperParameterTuningJobName": "job"})


def test_a_metric_that_never_matched_comes_with_the_end_of_the_log() -> None:
    engine = silent(b"".join(b"line %d\n" % n for n in range(500_000)) + b"  loss -> 0.3\n\n" + b"x" * 900 + b"\n")
    engine.run("job")
    service = Service(engine.store, engine.executor, engine.clock, RELAXED, None)
    shown = described(engine, service)
    (note,) = shown["HealthNotes"]
    assert note["Kind"] == "no-metric"
    assert note["Facts"]["log"] == ["line 499997", "line 499998", "line 499999", "loss -> 0.3", "x" * 200]
    assert note["Facts"]["last"] == engine.trials("job")[-1].name
    stored = engine.store.tuning_job_by_id(engine.store.tuning_job(engine.owner, "job").id)
    assert [n.kind for n in stored.notes] == ["no-metric"], "kept with the record"
    reads = engine.executor.reads
    assert described(engine, service) == shown
    assert engine.executor.reads == reads, "nothing has changed, so nothing is read again"


def test_notes_follow_the_results() -> None:
    engine = Engine(program=lambda _: Script((0.5,), 10))
    engine.create(tuning_spec(jobs=6, parallel=1))
    examiner, seen = Examiner(engine.store, engine.executor), []
    look = lambda: examiner.examine(describe(engine.store, engine.owner, "job"))  # noqa: E731
    engine.run("job", before=lambda _: seen.append(len(look())))
    assert (seen[0], max(seen)) == (0, 1)
    (note,) = look()
    assert note.kind == "objective-constant"


def test_a_healthy_description_has_no_members_of_ours() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=2, parallel=1))
    service = Service(engine.store, engine.executor, engine.clock, RELAXED, None)
    engine.worker().tick()
    assert not {"HealthNotes", "WaitingFor"} & set(described(engine, service))


def test_a_description_says_what_a_tuning_job_waits_for_from_the_first_second() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=2, parallel=1))
    service = Service(engine.store, engine.executor, engine.clock, RELAXED, None)
    engine.executor.slots = 0
    worker = engine.worker()
    worker.tick()
    assert described(engine, service)["WaitingFor"].startswith("waits for a worker")
    engine.clock.sleep(YIELD_SECONDS)
    worker.tick()
    assert described(engine, service)["WaitingFor"] == "waits for a free slot: 0 of 0 in use"
    worker.shut_down()
    assert described(engine, service)["WaitingFor"] == "waits for a free slot: 0 of 0 in use"
    engine.clock.sleep(10)
    assert described(engine, service)["WaitingFor"].startswith("waits for a worker")
    engine.store.request_stop(f"tuning:{engine.job('job').id}")
    assert described(engine, service)["WaitingFor"] == "waits for a free slot: 0 of 0 in use"


def given_back(jobs: int) -> tuple[Engine, Service]:
    """A tuning job of which a worker has begun one training job, which is given back."""
    engine = Engine()
    engine.create(tuning_spec(jobs=jobs, parallel=1))
    worker = engine.worker()
    worker.tick()
    assert engine.job("job").waiting_for is None
    worker.shut_down()
    return engine, Service(engine.store, engine.executor, engine.clock, RELAXED, None)


def test_a_tuning_job_that_a_worker_gives_back_for_a_moment_waits_for_no_other_worker() -> None:
    engine, service = given_back(jobs=2)
    assert "WaitingFor" not in described(engine, service)
    engine.clock.sleep(10)
    assert described(engine, service)["WaitingFor"].startswith("waits for a worker")


def test_a_tuning_job_that_begins_no_more_waits_for_no_worker() -> None:
    engine, service = given_back(jobs=1)
    assert "WaitingFor" not in described(engine, service)


def test_a_description_says_what_ended_a_tuning_job() -> None:
    engine = Engine(program=lambda _: Script((0.5,), 10))
    engine.create(replace(tuning_spec(jobs=6, parallel=1), completion=CompletionCriteria(target=0.6)))
    service = Service(engine.store, engine.executor, engine.clock, RELAXED, None)
    assert "EndedBecause" not in described(engine, service)
    engine.run("job")
    assert "0.6" in described(engine, service)["EndedBecause"]


@pytest.mark.parametrize("log", [b"", b"\n", b"\xff\xfe"])
def test_a_log_without_words_is_no_trouble(log: bytes) -> None:
    engine = silent(log)
    engine.run("job")
    assert len(last_lines(engine.executor, engine.owner, "any")) <= 1


def test_the_servers_log_tells_the_end_and_the_notes() -> None:
    engine = silent(b"nothing\n")
    worker = Worker(Step(engine.store, engine.executor, engine.clock), "a")
    with capture_logs() as told:
        for _ in range(90):
            worker.tick()
            worker.wait()
    (end,) = [t for t in told if t["event"] == "tuning job ended"]
    assert (end["tuning_job"], end["status"], end["completed"]) == ("job", "Failed", 3)
    assert [t["kind"] for t in told if t["event"] == "health note"] == ["no-metric"]


def test_a_defect_in_the_notes_ends_no_less(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = silent(b"nothing\n")
    monkeypatch.setattr(Logging, "read_log", lambda *_: 1 / 0)
    with capture_logs() as told:
        engine.run("job")
    job = engine.store.tuning_job(engine.owner, "job")
    assert (job.status.value, job.notes) == ("Failed", None)
    assert [t["event"] for t in told if t["log_level"] == "error"] == ["a defect in the notes on a tuning job's health"]
