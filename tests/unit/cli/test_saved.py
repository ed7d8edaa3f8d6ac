"""What early stopping saved, as ``rekindle show`` and the end of ``rekindle tune`` tell it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rekindle.cli.records import early_stopping_record
from rekindle.cli.summary import saved_line, show_end
from rekindle.domain.tuning_job import Hyperband, StrategyName
from rekindle.engine.queries import describe
from support.engine import Engine
from support.simulated import Script
from support.specs import tuning_spec


def test_the_record_and_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(lambda h: Script([float(h["lr"]) * 100 + 1 / epoch for epoch in range(1, 10)], seconds=18))
    spec = replace(tuning_spec(strategy=StrategyName.HYPERBAND, jobs=8, parallel=2), hyperband=Hyperband(1, 9))
    engine.create(spec)
    job, trials = engine.run("job"), engine.trials("job")
    record = early_stopping_record(job, trials, engine.store)
    assert record is not None
    stopped = [t for t in trials if t.stopped_early and len(engine.store.points(t.id)) < 9]
    missing = sum(9 - len(engine.store.points(t.id)) for t in stopped)
    assert (record["stopped"], record["epochs_saved"], record["full_epochs"]) == (len(stopped), missing, 9)
    assert 0 < record["share"] < 1
    assert saved_line(record) == (
        f"{len(stopped)} stopped early: {missing} epochs ({record['share']:.0%}) and about {record['seconds_saved']:.0f} s of "
        "training saved, had each run 9 epochs"
    )
    assert early_stopping_record(job, [t for t in trials if not t.stopped_early], engine.store) is None
    assert saved_line(None) is None
    show_end(describe(engine.store, job.owner, "job"), trials[-1].name, record)
    assert f"\n{saved_line(record)}.\n" in capsys.readouterr().out
    show_end(describe(engine.store, job.owner, "job"), trials[-1].name)
    assert "stopped early" not in capsys.readouterr().out
