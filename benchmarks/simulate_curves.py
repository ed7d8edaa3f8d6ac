"""Runs a search that may stop its trials on recorded learning curves, with simulated workers and a simulated clock."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field

from benchmarks.curve_methods import CurveMethod
from benchmarks.tasks.curve_families import EPOCHS
from benchmarks.tasks.curves import CurveTask


@dataclass
class Trace:
    """What a run achieved: each improvement of the best reported value as (simulated time, epochs in all workers, value)."""

    improvements: list[tuple[float, int, float]] = field(default_factory=list)
    epochs: int = 0
    trials: int = 0
    stopped: int = 0
    clock: float = 0.0
    #: Real seconds that the search thought.
    seconds: float = 0.0


def run(task: CurveTask, method: CurveMethod, workers: int, epochs: int, trials: int = 10**9) -> Trace:
    """One search until ``epochs`` were trained in all workers together, or ``trials`` have ended. A worker that is free asks
    at once; time is in mean epochs of the task."""
    trace, best, asked = Trace(), float("inf"), 0
    free, events = workers, []
    while trace.epochs < epochs and trace.trials < trials:
        while free and asked < trials:
            handle, configuration = _timed(trace, method.ask)
            values, seconds = task.curve(configuration)
            heapq.heappush(events, (trace.clock + seconds, asked, 1, handle, values, seconds))
            asked, free = asked + 1, free - 1
        trace.clock, number, step, handle, values, seconds = heapq.heappop(events)
        trace.epochs += 1
        value = float(values[step - 1])
        if value < best:
            best = value
            trace.improvements.append((trace.clock, trace.epochs, value))
        if _timed(trace, method.report, handle, step, value) and step < EPOCHS:
            heapq.heappush(events, (trace.clock + seconds, number, step + 1, handle, values, seconds))
            continue
        trace.trials += 1
        trace.stopped += step < EPOCHS
        _timed(trace, method.end, handle, step, value)
        free += 1
    return trace


def _timed(trace, call, *arguments):
    start = time.perf_counter()
    result = call(*arguments)
    trace.seconds += time.perf_counter() - start
    return result
