"""Telling a sink: in order, again until it has it, never for ever, and never in anybody's way."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rekindle.api.translate.events import Events
from rekindle.engine.clock import SystemClock
from rekindle.engine.event_ports import Event, Undelivered
from rekindle.engine.messenger import FIRST_PAUSE, HOLD_SECONDS, LONGEST_PAUSE, PATIENCE_SECONDS, Messenger, pause, telling
from rekindle.engine.ports import StoreUnavailable
from rekindle.storage.store import open_store
from support.engine import Engine
from support.specs import tuning_spec


@dataclass
class Ear:
    """A sink that hears, or fails as ``fails`` says of the number of the call."""

    name: str = "ear"
    fails: Callable[[int, Event], Undelivered | None] = lambda _number, _event: None
    calls: int = 0
    heard: list[str] = field(default_factory=list)

    def deliver(self, event: Event) -> None:
        self.calls += 1
        failure = self.fails(self.calls, event)
        if failure is not None:
            raise failure
        self.heard.append(event.id)


def engine_with(sinks: tuple[str, ...] = ("ear",), jobs: int = 3) -> Engine:
    engine = Engine(store=open_store("sqlite://", announcer=Events(dict.fromkeys(sinks))))
    engine.create(tuning_spec(jobs=jobs, parallel=1))
    return engine


def messenger(engine: Engine, sink: Ear, holder: str = "a") -> Messenger:
    return Messenger(engine.store, sink, engine.clock, holder)  # type: ignore[arg-type]


def test_each_is_told_once_and_in_order() -> None:
    engine, ear = engine_with(), Ear()
    engine.run("job")
    waiting = [e.id for e in engine.store.claim_events("ear", "a", 0, 1, 1000)]
    assert messenger(engine, ear).tell() == len(waiting) == 2 + 3 * 3
    assert ear.heard == waiting
    assert messenger(engine, ear).tell() == 0


def test_one_that_fails_is_left_alone_for_longer_and_longer_and_keeps_its_order() -> None:
    engine = engine_with()
    engine.run("job")
    ear = Ear(fails=lambda number, _: Undelivered("down") if number <= 6 else None)
    told, tries = messenger(engine, ear), []
    while ear.calls < 7:
        before = ear.calls
        told.tell()
        if ear.calls > before:
            tries.append(engine.clock.now())
        engine.clock.sleep(0.5)
    pauses = [b - a for a, b in pairwise(tries)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert len(ear.heard) == 11
    assert engine.store.sink_states()[0].failures == 0


def test_failures_are_counted_in_a_row() -> None:
    engine, ear = engine_with(), Ear(fails=lambda number, _: Undelivered("down") if number % 2 else None)
    engine.run("job")
    teller = messenger(engine, ear)
    for told in range(4):
        assert teller.tell() == min(told, 1)
        engine.clock.sleep(FIRST_PAUSE)
    assert len(ear.heard) == 3


def test_a_sink_that_fails_again_and_again_is_complained_of_once() -> None:
    engine, ear = engine_with(), Ear(fails=lambda _number, _event: Undelivered("down"))
    teller = messenger(engine, ear)
    with capture_logs() as told:
        for _ in range(4):
            teller.tell()
            engine.clock.sleep(LONGEST_PAUSE)
    assert ear.calls == 4
    assert [line["event"] for line in told] == ["cannot tell events; trying again"]


def test_pauses_have_a_limit() -> None:
    assert [pause(1), pause(2), pause(9), pause(10_000)] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 256.0, LONGEST_PAUSE]


def test_an_event_that_the_receiver_will_never_take_does_not_hold_up_the_others() -> None:
    engine = engine_with()
    engine.run("job")
    ear = Ear(fails=lambda number, _: Undelivered("status 400", final=True) if number == 2 else None)
    messenger(engine, ear).tell()
    (state,) = engine.store.sink_states()
    assert (len(ear.heard), state.waiting, state.given_up) == (10, 0, 1)
    engine.store.try_again()
    messenger(engine, ear).tell()
    assert (len(ear.heard), engine.store.sink_states()[0].given_up) == (11, 0)


def test_nothing_is_tried_for_ever() -> None:
    engine = engine_with(jobs=1)
    engine.run("job")
    ear = Ear(fails=lambda _number, _event: Undelivered("down"))
    told = messenger(engine, ear)
    end = engine.clock.now() + PATIENCE_SECONDS + 2 * LONGEST_PAUSE
    while engine.clock.now() < end:
        told.tell()
        engine.clock.sleep(LONGEST_PAUSE / 2)
    (state,) = engine.store.sink_states()
    assert (state.waiting, state.given_up) == (0, 5)
    assert ear.calls < PATIENCE_SECONDS / LONGEST_PAUSE + 40


def test_what_has_waited_for_days_is_not_given_up_at_the_first_failure() -> None:
    engine = engine_with(jobs=1)
    engine.clock.sleep(3 * PATIENCE_SECONDS)
    ear = Ear(fails=lambda number, _event: Undelivered("no network yet") if number < 4 else None)
    told = messenger(engine, ear)
    for _ in range(10):
        told.tell()
        engine.clock.sleep(FIRST_PAUSE)
    (state,) = engine.store.sink_states()
    assert (len(ear.heard), state.waiting, state.given_up) == (1, 0, 0)


def test_of_two_processes_one_tells_and_the_other_takes_over() -> None:
    engine = engine_with()
    engine.run("job")
    first = Ear(fails=lambda number, _: None if number < 4 else pytest.fail("it is dead"))
    with pytest.raises(pytest.fail.Exception):
        messenger(engine, first, "a").tell()
    second = Ear()
    assert messenger(engine, second, "b").tell() == 0
    engine.clock.sleep(HOLD_SECONDS + 1)
    assert messenger(engine, second, "b").tell() == 8
    assert len({*first.heard, *second.heard}) == 11


@pytest.mark.parametrize("fails", [True, False])
def test_a_clock_that_was_years_ahead_keeps_no_sink_from_being_told(fails: bool) -> None:
    engine = engine_with(jobs=1)
    engine.clock.sleep(1e8)
    engine.store.claim_events("ear", "a", engine.clock.now(), engine.clock.now() + HOLD_SECONDS, 1)
    if fails:
        engine.store.put_off("ear", "a", engine.clock.now() + FIRST_PAUSE, "down")
    engine.clock.sleep(-1e8)
    assert messenger(engine, Ear(), "b").tell() == 1


def test_a_dead_sink_keeps_neither_the_search_nor_another_sink_waiting() -> None:
    engine = engine_with(("dead", "ear"))
    released, entered = threading.Event(), threading.Event()

    @dataclass
    class Dead(Ear):
        def deliver(self, event: Event) -> None:
            entered.set()
            released.wait(60)
            raise Undelivered("timed out")

    ear, clock = Ear(), SystemClock()
    with telling([Messenger(engine.store, sink, clock, "a") for sink in (Dead("dead"), ear)]):
        assert entered.wait(60)
        # All of this happens while the dead one is being asked.
        engine.run("job")
        released.set()
    Messenger(engine.store, ear, clock, "a").tell()
    assert len(ear.heard) == 11


def test_one_that_the_sink_has_is_not_told_again_when_the_store_could_not_note_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, ear = engine_with(), Ear()
    engine.run("job")
    noted = engine.store.told
    monkeypatch.setattr(engine.store, "told", unavailable)
    teller = messenger(engine, ear)
    with pytest.raises(StoreUnavailable):
        teller.tell()
    monkeypatch.setattr(engine.store, "told", noted)
    assert teller.tell() == 11
    assert len(ear.heard) == len({*ear.heard}) == 11


def unavailable(*_: object) -> None:
    raise StoreUnavailable("the database: locked", "wait")


def test_a_process_that_ends_sees_the_event_in_hand_through_and_begins_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rekindle.engine.messenger.FAREWELL_SECONDS", 0.1)
    engine, entered, cuts = engine_with(), threading.Event(), []

    class Watched(Messenger):
        def run(self, until: Callable[[], bool], cut: Callable[[], bool]) -> None:
            cuts.append(cut)
            super().run(until, cut)

    @dataclass
    class Slow(Ear):
        def deliver(self, event: Event) -> None:
            super().deliver(event)
            entered.set()
            # It has the event in hand until nothing new may begin.
            while not cuts[0]():
                SystemClock().sleep(0.01)

    engine.run("job")
    slow = Slow()
    with telling([Watched(engine.store, slow, SystemClock(), "a")]):
        assert entered.wait(60)
    assert len(slow.heard) == 1
    # It gave the sink back: the next process need not wait.
    assert Messenger(engine.store, ear := Ear(), SystemClock(), "b").tell() == 10
    assert not {*slow.heard} & {*ear.heard}


def test_a_process_that_ends_stays_a_little_for_what_is_still_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # A little, on a crowded machine, may be less than these eleven take.
    monkeypatch.setattr("rekindle.engine.messenger.FAREWELL_SECONDS", 60.0)
    engine = engine_with()
    engine.run("job")

    @dataclass
    class Leisurely(Ear):
        def deliver(self, event: Event) -> None:
            SystemClock().sleep(0.005)
            super().deliver(event)

    with telling([Messenger(engine.store, ear := Leisurely(), SystemClock(), "a")]):
        pass
    assert len(ear.heard) == 11


def test_what_is_at_hand_when_the_work_ends_is_told_and_the_sink_is_free_for_the_next_process() -> None:
    engine, ear = engine_with(), Ear()
    engine.run("job")
    messenger(engine, ear).run(lambda: True, lambda: False)
    assert len(ear.heard) == 11
    engine.create(tuning_spec("next"))
    assert messenger(engine, Ear(), "b").tell() == 1


def test_a_sink_that_takes_its_time_stays_ours_from_one_look_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rekindle.engine.messenger._BATCH", 2)
    engine = engine_with()
    engine.run("job")

    @dataclass
    class Slow(Ear):
        def deliver(self, event: Event) -> None:
            now = engine.clock.now()
            assert engine.store.claim_events("ear", "b", now, now + 1, 1) == []
            engine.clock.sleep(0.9 * HOLD_SECONDS)
            super().deliver(event)

    assert messenger(engine, Slow()).tell() == 11


class Unplugged(BaseException):
    """The power goes."""


@settings(max_examples=12, deadline=None)
@given(at=st.integers(1, 45), after=st.booleans())
def test_the_power_may_go_at_any_write_or_delivery_and_no_state_change_goes_untold(at: int, after: bool) -> None:
    # Nobody tells the ledger: it keeps every event that was written.
    engine, ear = engine_with(("ear", "ledger"), jobs=3), Ear()
    store, calls = engine.store, [0]

    def cut(call):
        def through(*arguments):
            calls[0] += 1
            if calls[0] == at and not after:
                raise Unplugged
            result = call(*arguments)
            if calls[0] == at:
                raise Unplugged
            return result

        return through

    originals = store.commit, store.told, ear.deliver
    store.commit, store.told, ear.deliver = map(cut, originals)
    try:
        engine.run("job", holder="a", before=lambda _: messenger(engine, ear, "a").tell())
        messenger(engine, ear, "a").tell()
    except Unplugged:
        store.commit, store.told, ear.deliver = originals
        store.evict("a")
        engine.clock.sleep(HOLD_SECONDS + 1)
        if not engine.job("job").status.is_terminal:
            engine.run("job", holder="b")
        messenger(engine, ear, "b").tell()
    ledger = store.claim_events("ledger", "a", 0, 1, 1000)
    states = [json.loads(e.body)["detail"] for e in ledger]
    ended = [s["TrainingJobName"] for s in states if s.get("TrainingJobStatus") == "Completed"]
    assert sorted(ended) == sorted(t.name for t in engine.trials("job"))
    assert [s for s in states if s.get("HyperParameterTuningJobStatus") == "Completed"]
    assert set(ear.heard) == {e.id for e in ledger}
    # What is told twice is what was in hand when the power went.
    assert len(ear.heard) <= len(ledger) + 1
