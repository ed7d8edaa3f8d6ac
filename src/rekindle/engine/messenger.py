"""Telling other systems: takes events from the outbox and gives them to a sink, one after the other.

An event is in the outbox from the very transaction that made the state change, and leaves it once its sink has it: a crash
anywhere costs nothing but telling it a second time, under the same id. A sink that does not answer is left alone for longer
and longer, and keeps nobody else waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rekindle.engine.event_ports import Event, Outbox, Sink, Undelivered
from rekindle.engine.log import log
from rekindle.engine.ports import Clock, LeaseLost, StoreUnavailable

#: Seconds for which a process keeps a sink to itself; telling one event takes less.
HOLD_SECONDS = 60.0
#: Seconds to the next try after the first failure, doubled with each further one, and the most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
#: An event that has failed to be told for this long is given up.
PATIENCE_SECONDS = 86_400.0
#: As often has this process tried in vain by then, in nine minutes: a machine that slept for a weekend wakes before its network
#: does, and a clock that was set tells nothing of how long anybody has tried.
PATIENCE_FAILURES = 9
#: Seconds between looks into the outbox.
POLL_SECONDS = 0.5
#: Seconds that a process which has nothing else to do stays for what is still to be told, and then for the one in hand.
FAREWELL_SECONDS, IN_HAND_SECONDS = 5.0, 15.0
#: How many events are taken out at a time.
_BATCH = 100


@dataclass
class Messenger:
    """Tells one sink. ``holder`` is who this process is: of several, one at a time tells a sink, and in order."""

    outbox: Outbox
    sink: Sink
    clock: Clock
    holder: str
    #: How often the sink has failed in a row.
    _failures: int = 0
    #: The id of the event that the sink has, and that the outbox may not know of.
    _had: str = ""

    def run(self, until: Callable[[], bool], cut: Callable[[], bool]) -> None:
        """Tells until ``until`` says so, and then what is at hand, unless the sink is failing; nothing new after ``cut``."""
        while not until():
            self._apart(lambda: self.tell(cut))
            self.clock.sleep(POLL_SECONDS)
        self._apart(lambda: self.tell(cut))
        self._apart(lambda: self.outbox.release_sink(self.sink.name, self.holder))

    def tell(self, cut: Callable[[], bool] = lambda: False) -> int:
        """Tells all that waits, until one fails or ``cut`` says so; how many were told. Raises StoreUnavailable."""
        told = 0
        now = self.clock.now()
        try:
            while waiting := self.outbox.claim_events(self.sink.name, self.holder, now, now + HOLD_SECONDS, _BATCH):
                for event in waiting:
                    if cut() or not self._tell(event):
                        return told
                    told += 1
                now = self.clock.now()
        except LeaseLost:
            # We were slower than we may be: somebody else tells the sink now.
            pass
        return told

    def _tell(self, event: Event) -> bool:
        """Tells one event; whether the next may follow."""
        try:
            if event.id != self._had:
                self.sink.deliver(event)
        except Undelivered as failure:
            return self._failed(event, failure)
        self._had, self._failures = event.id, 0
        self.outbox.told(self.sink.name, self.holder, event, self.clock.now() + HOLD_SECONDS)
        return True

    def _failed(self, event: Event, failure: Undelivered) -> bool:
        now = self.clock.now()
        if failure.final or (now - event.at > PATIENCE_SECONDS and self._failures >= PATIENCE_FAILURES):
            log(__name__).error("an event is given up", sink=self.sink.name, event_id=event.id, reason=str(failure))
            self.outbox.give_up(self.sink.name, self.holder, event, now, str(failure))
            return True
        self._failures += 1
        self.outbox.put_off(self.sink.name, self.holder, now + pause(self._failures), str(failure))
        if self._failures == 1:
            log(__name__).warning("cannot tell events; trying again", sink=self.sink.name, reason=str(failure))
        return False

    def _apart(self, work: Callable[[], object]) -> None:
        """Does something whose failure stays ours alone."""
        try:
            work()
        except StoreUnavailable:
            # The worker says so; the events stay where they are.
            return
        except Exception:
            log(__name__).exception("a defect in telling events; trying again", sink=self.sink.name)


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 30))


@contextmanager
def telling(messengers: Sequence[Messenger]) -> Iterator[None]:
    """Tells all sinks, each in a thread of its own, until the block ends; stays a little for the rest."""
    ended, cut = threading.Event(), threading.Event()
    threads = [
        threading.Thread(target=m.run, args=(ended.is_set, cut.is_set), name=f"events {m.sink.name}", daemon=True)
        for m in messengers
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        _join(threads, FAREWELL_SECONDS)
        cut.set()
        # Cut off between its sink and the outbox, an event would be told twice.
        _join(threads, IN_HAND_SECONDS)


def _join(threads: Sequence[threading.Thread], seconds: float) -> None:
    """Waits for all to end, for so long at most."""
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
