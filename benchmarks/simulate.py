"""Runs a search on a task with simulated workers: as many evaluations at once as there are workers, of uneven length."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.methods import Method
from benchmarks.tasks.task import Task


@dataclass(frozen=True)
class Run:
    """Best regret so far after each finished evaluation, and the seconds that the search spent thinking."""

    regrets: list[float]
    seconds: float


def run(task: Task, method: Method, seed: int, evaluations: int, workers: int = 1) -> Run:
    """One search from start to end. A slot is filled as soon as it is free; durations are lognormal. The regret is that
    of the noise-free value of the best configuration evaluated so far; 1 before any succeeded."""
    noise, duration = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    running: list[tuple[float, int, object, float | None, float | None]] = []
    regrets: list[float] = []
    best, clock, asked, thinking = 1.0, 0.0, 0, 0.0
    while len(regrets) < evaluations:
        while len(running) < workers and asked < evaluations:
            start = time.perf_counter()
            handle, configuration = method.ask()
            thinking += time.perf_counter() - start
            truth, seen = task.truth(configuration), task.observe(configuration, noise)
            heapq.heappush(running, (clock + float(duration.lognormal(0.0, 0.5)), asked, handle, truth, seen))
            asked += 1
        clock, _, handle, truth, seen = heapq.heappop(running)
        start = time.perf_counter()
        method.tell(handle, seen)
        thinking += time.perf_counter() - start
        best = best if truth is None else min(best, task.regret(truth))
        regrets.append(best)
    return Run(regrets, thinking)
