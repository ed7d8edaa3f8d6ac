"""What every sink keeps, told by a real outbox: each event, in order, whoever was away or died meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from rekindle.api.translate.events import Events
from rekindle.engine.event_ports import Sink
from rekindle.engine.messenger import FIRST_PAUSE, HOLD_SECONDS, Messenger
from rekindle.engine.ports import StoreUnavailable
from rekindle.sinks.file import EventFile
from rekindle.sinks.webhook import Webhook
from rekindle.storage.store import open_store
from support.engine import Engine
from support.receiver import Receiver, receiving
from support.simulated import SimulatedClock
from support.specs import tuning_spec


class Place(Protocol):
    """Where a sink leads, below a folder of the test's; ``told`` stands in the error of one that is away."""

    told: str
    sink: Sink

    def __init__(self, folder: Path) -> None: ...

    def leave(self) -> None:
        """From now on it takes nothing."""

    def come_back(self) -> None:
        """It takes events again."""

    def heard(self) -> list[str]:
        """All that it was told, in order."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""


class AFile(Place):
    """A file, whose folder can be away as on a disk that is not mounted."""

    told = "file.jsonl: "

    def __init__(self, folder: Path) -> None:
        self._path = folder / "events" / "file.jsonl"
        self.sink = EventFile(self._path, "ear")

    def leave(self) -> None:
        if self._path.parent.exists():
            self._path.parent.rename(self._path.parent.with_name("aside"))
        self._path.parent.write_text("")

    def come_back(self) -> None:
        self._path.parent.unlink()
        if (aside := self._path.parent.with_name("aside")).exists():
            aside.rename(self._path.parent)

    def heard(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []


class APipe(Place):
    """A pipe, as ``/dev/stdout`` may be one, whose reader can be away."""

    told = "nobody reads it"

    def __init__(self, folder: Path) -> None:
        self._path, self._heard = folder / "pipe", b""
        os.mkfifo(self._path)
        self.sink = EventFile(self._path, "ear")
        self.come_back()

    def leave(self) -> None:
        self.heard()
        os.close(self._reading)

    def come_back(self) -> None:
        self._reading = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)

    def heard(self) -> list[str]:
        while chunk := self._read():
            self._heard += chunk
        return self._heard.decode().splitlines()

    def close(self) -> None:
        os.close(self._reading)

    def _read(self) -> bytes:
        try:
            return os.read(self._reading, 65_536)
        except BlockingIOError:
            return b""


class AWebhook(Place):
    """A server, which can be down."""

    told = "refused"

    def __init__(self, _folder: Path) -> None:
        self._servers: list[Receiver] = []
        self._up, self._port = ExitStack(), 0
        self.come_back()
        self.sink = Webhook(self._servers[0].url, b"", SimulatedClock(), "ear")

    def leave(self) -> None:
        self._up.close()

    def come_back(self) -> None:
        self._servers.append(self._up.enter_context(receiving(self._port)))
        self._port = int(self._servers[0].url.rpartition(":")[2])

    def heard(self) -> list[str]:
        return [body.decode() for server in self._servers for _, body in server.got]

    def close(self) -> None:
        self._up.close()


class ARefusingWebhook(AWebhook):
    """A server that is there and takes nothing."""

    told = "status 503"

    def leave(self) -> None:
        self._servers[0].status = 503

    def come_back(self) -> None:
        if not self._servers:
            super().come_back()
        self._servers[0].status = 200


@pytest.fixture(params=[AFile, APipe, AWebhook, ARefusingWebhook])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    found: Place = request.param(tmp_path)
    yield found
    found.close()


@pytest.fixture
def engine() -> Engine:
    """One whose tuning job has ended, with all that there is to tell of it."""
    engine = Engine(store=open_store("sqlite://", announcer=Events({"ear": None})))
    engine.create(tuning_spec(jobs=3, parallel=1))
    engine.run("job")
    return engine


def waiting(engine: Engine) -> list[str]:
    """What is still to be told, in order; who looks gives it back."""
    found = [e.body for e in engine.store.claim_events("ear", "look", engine.clock.now(), engine.clock.now(), 1000)]
    engine.store.release_sink("ear", "look")
    return found


def messenger(engine: Engine, place: Place, holder: str = "a") -> Messenger:
    return Messenger(engine.store, place.sink, engine.clock, holder)


def test_each_event_comes_whole_once_and_in_order(engine: Engine, place: Place) -> None:
    told = waiting(engine)
    assert messenger(engine, place).tell() == len(told) == 11
    assert place.heard() == told
    assert all(json.loads(line)["detail"] for line in place.heard())


def test_what_happens_while_it_is_away_is_told_once_it_is_back(engine: Engine, place: Place) -> None:
    told, teller = waiting(engine), messenger(engine, place)
    place.leave()
    for _ in range(2):
        assert teller.tell() == 0
        engine.clock.sleep(2 * FIRST_PAUSE)
    (state,) = engine.store.sink_states()
    assert (state.waiting, state.given_up, state.failures) == (11, 0, 2)
    assert place.told in (state.error or "")
    place.come_back()
    assert teller.tell() == 11
    assert place.heard() == told


def test_one_that_leaves_half_way_has_what_it_got_and_gets_the_rest(engine: Engine, place: Place) -> None:
    told, teller = waiting(engine), messenger(engine, place)
    teller.tell(cut=lambda: len(place.heard()) == 4)
    place.leave()
    assert teller.tell() == 0
    place.come_back()
    engine.clock.sleep(2 * FIRST_PAUSE)
    assert teller.tell() == 7
    assert place.heard() == told


def test_a_process_that_dies_before_it_notes_an_event_costs_none(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = waiting(engine)

    def dies(*_: object) -> None:
        raise StoreUnavailable("killed here", "")

    with monkeypatch.context() as patched:
        patched.setattr(engine.store, "told", dies)
        with pytest.raises(StoreUnavailable):
            messenger(engine, place).tell()
    engine.clock.sleep(HOLD_SECONDS + 1)
    assert messenger(engine, place, "b").tell() == 11
    assert place.heard() == [told[0], *told]
