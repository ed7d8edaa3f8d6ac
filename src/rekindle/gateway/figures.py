"""Figures of the jobs for Prometheus, read when somebody asks: how many are in which state, what waits, what is not told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from rekindle.engine.event_ports import Outbox
from rekindle.engine.ports import JobStore, StoreUnavailable


@dataclass(frozen=True)
class JobFigures(Collector):
    """A collector over the store. Numbers only, of all owners together: whoever may scrape learns no name."""

    store: JobStore
    outbox: Outbox

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Prometheus's families; none while the store cannot be reached."""
        try:
            found = [self._jobs(), *self._events()]
        except StoreUnavailable:
            return
        yield from found

    def _jobs(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("rekindle_jobs", "Jobs by kind and state.", labels=["kind", "status"])
        for (kind, status), count in self.store.state_counts().items():
            family.add_metric([kind, status], count)
        return family

    def _events(self) -> list[GaugeMetricFamily]:
        waiting = GaugeMetricFamily("rekindle_events_waiting", "Events that a sink has not been told yet.", labels=["sink"])
        given_up = GaugeMetricFamily("rekindle_events_given_up", "Events that a sink is told no more.", labels=["sink"])
        for state in self.outbox.sink_states():
            waiting.add_metric([state.name], state.waiting)
            given_up.add_metric([state.name], state.given_up)
        return [waiting, given_up]

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing is asked of the store to make ourselves known."""
        return []
