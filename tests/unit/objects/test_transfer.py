"""The transfer process waits for an object store that does not answer, and for nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.engine.patience import PATIENCE_SECONDS
from rekindle.engine.ports import StoreUnavailable
from rekindle.objects.store import Objects
from rekindle.objects.transfer import main
from support.simulated import SimulatedClock


@dataclass
class Silent(Objects):
    """Does not answer the first ``times`` calls."""

    times: int = 0
    calls: int = 0
    moved: list[tuple[str, str]] = field(default_factory=list)

    def upload(self, path: str, uri: str) -> None:
        self.calls += 1
        if self.calls <= self.times:
            raise StoreUnavailable("nobody answers")
        self.moved.append((path, uri))


def test_a_silent_store_is_waited_for() -> None:
    store, clock = Silent(times=20), SimulatedClock()
    assert main(["upload", "a", "s3://b/c"], store, clock) == 0
    assert store.moved == [("a", "s3://b/c")]


def test_not_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    store, clock = Silent(times=10**9), SimulatedClock()
    began = clock.now()
    assert main(["upload", "a", "s3://b/c"], store, clock) == 1
    assert clock.now() - began >= PATIENCE_SECONDS
    told, waited_for = capsys.readouterr().err.splitlines(), "rekindle: nobody answers; trying again"
    assert (set(told[:-1]), told[-1]) == ({waited_for}, "nobody answers")
    # Who looks into the log in the evening sees what goes on.
    assert len(told) > PATIENCE_SECONDS / 3600


@pytest.mark.parametrize("arguments", [["upload", "a", "s3://b/c"], ["mirror", "HERE", "s3://b/c", "HERE/../record"]])
def test_who_wants_an_end_waits_for_the_grace_alone(arguments: list[str], tmp_path: Path) -> None:
    here, give_up = tmp_path / "here", tmp_path / "give-up"
    here.mkdir()
    (here / "a").write_text("a")
    arguments = [a.replace("HERE", str(here)) for a in arguments]

    class Asking(Silent):
        def upload(self, path: str, uri: str) -> None:
            if self.calls == 5:
                give_up.touch()
            super().upload(path, uri)

    store, clock = Asking(times=10**9), SimulatedClock()
    began = clock.now()
    assert main([*arguments, str(give_up), "30"], store, clock) == os.EX_UNAVAILABLE
    assert 30 <= clock.now() - began < 60
    back = Asking(times=5)
    assert main([*arguments, str(give_up), "30"], back, SimulatedClock()) == 0


def test_what_is_refused_is_not_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    class Refusing(Silent):
        def upload(self, path: str, uri: str) -> None:
            self.calls += 1
            raise InvalidValue("uri", uri, "no such bucket")

    store = Refusing()
    assert main(["upload", "a", "s3://b/c"], store, SimulatedClock()) == 1
    assert store.calls == 1
    assert "no such bucket" in capsys.readouterr().err
