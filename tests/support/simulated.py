"""A clock and an executor that need no time: a whole tuning job runs in milliseconds."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from rekindle.domain.capacity import Room
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import MetricPoint, Owner, SecondaryStatus, TrainingSpec
from rekindle.engine.ports import Report, Run, RunKey, RunState, SourceSize


@dataclass
class SimulatedClock:
    """A clock that stands still until somebody moves it."""

    at: float = 1_800_000_000.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass(frozen=True)
class Script:
    """How a simulated training job goes: values of the metric at even intervals, how long it takes, how it ends."""

    values: Sequence[float] = (1.0,)
    seconds: float = 10.0
    state: RunState = RunState.COMPLETED
    failure: str | None = None


Program = Callable[[Mapping[str, str]], Script]


@dataclass
class _Started:
    run: Run
    script: Script
    at: float
    stopped_at: float | None = None
    lost_at: float | None = None


@dataclass
class SimulatedExecutor:
    """Runs training jobs by the simulated clock. ``launches`` counts real starts for each key. A stop takes
    ``grace`` seconds."""

    clock: SimulatedClock
    program: Program
    metric: str = "loss"
    slots: int | None = None
    gpus: int | None = None
    grace: float = 0.0
    launches: dict[RunKey, int] = field(default_factory=dict)
    asked_to_stop: list[tuple[RunKey, bool]] = field(default_factory=list)
    _runs: dict[RunKey, _Started] = field(default_factory=dict)

    def check(self, spec: TrainingSpec, hyperparameters: Mapping[str, str] | None = None) -> None:
        """Everything runs here."""

    def metrics_of(self, spec: TrainingSpec) -> tuple[MetricDefinition, ...]:
        """None are known."""
        return ()

    def script_of(self, spec: TrainingSpec, hyperparameters: Mapping[str, str]) -> tuple[str, str] | None:
        """No scripts here."""
        return None

    def source_size(self, spec: TrainingSpec) -> SourceSize | None:
        """Nothing is copied."""
        return None

    def room(self, spec: TrainingSpec) -> Room:
        if self.gpus is not None and spec.resources.gpus:
            return self._gpus_room(spec.resources.gpus, self.gpus)
        if self.slots is None:
            return Room()
        return Room(self.slots - self.running, f"waits for a free slot: {self.slots} of {self.slots} in use")

    def _gpus_room(self, wanted: int, total: int) -> Room:
        if wanted > total:
            return Room(0, f"needs {wanted} GPUs; {total} on this host", ever=False)
        used = sum(s.run.spec.resources.gpus for s in self._runs.values() if self._end(s) > self.clock.now())
        return Room((total - used) // wanted, f"waits for {wanted} GPUs: {used} of {total} in use")

    def launch(self, run: Run) -> None:
        if run.key in self._runs or not self.room(run.spec).takes(1):
            return
        self.launches[run.key] = self.launches.get(run.key, 0) + 1
        self._runs[run.key] = _Started(run, self.program(run.hyperparameters), self.clock.now())

    def adopt(self, key: RunKey) -> None:
        """Nothing is moved here."""

    def report(self, key: RunKey, seen: int = 0) -> Report | None:
        started = self._runs.get(key)
        if started is None:
            return None
        now, end = self.clock.now(), self._end(started)
        points = tuple(p for p in self._points(started) if p.at <= min(now, end) and p.index >= seen)
        phases = ((SecondaryStatus.TRAINING, started.at, "Training"),)
        if now < end:
            return Report(key, RunState.RUNNING, phases, points, started.at)
        state = self._state(started)
        code = 0 if state is RunState.COMPLETED else 1
        return Report(key, state, phases, points, started.at, end, code, started.script.failure)

    def stop(self, key: RunKey, give_up: bool = False) -> None:
        self.asked_to_stop.append((key, give_up))
        started = self._runs.get(key)
        if started is not None and started.stopped_at is None:
            started.stopped_at = self.clock.now() + self.grace

    def lose(self, key: RunKey) -> None:
        """The supervisor of a run vanishes."""
        self._runs[key].lost_at = self.clock.now()

    def vanish(self, key: RunKey) -> None:
        """A run vanishes with all its files."""
        del self._runs[key]

    def wait(self, keys: Sequence[RunKey], seconds: float, descriptors: Sequence[int] = ()) -> None:
        if descriptors:
            # Processes beside us take real time, in which ours moves on a little.
            select.select(descriptors, [], [], 1.0)
            self.clock.at += 0.5
            return
        ends = [self._end(self._runs[k]) for k in keys if k in self._runs]
        ends = [e for e in ends if e > self.clock.now()]
        self.clock.at = min([*ends, self.clock.at + seconds]) if ends else self.clock.at + seconds

    def read_log(
        self, owner: Owner, name: str, offset: int = 0, limit: int = 1 << 20, host: str = "", attempt: int = 0
    ) -> tuple[bytes, int]:
        return b"", offset

    def has_log(self, owner: Owner, name: str, attempt: int = 0) -> bool:
        return any((k.owner, k.name) == (owner, name) and attempt in (0, k.attempt) for k in self._runs)

    def model_now(self, owner: Owner, name: str, uri: str) -> str:
        return uri

    def deleting(self, owner: Owner, name: str) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def forget(self, owner: Owner, name: str) -> None:
        for key in [k for k in self._runs if (k.owner, k.name) == (owner, name)]:
            del self._runs[key]

    @property
    def running(self) -> int:
        """How many runs are going on now."""
        return sum(self._end(s) > self.clock.now() for s in self._runs.values())

    def _end(self, started: _Started) -> float:
        limit = started.at + started.run.spec.max_runtime_seconds - started.run.spent_seconds
        ends = [started.at + started.script.seconds, started.stopped_at, started.lost_at, limit]
        return min(e for e in ends if e is not None)

    def _state(self, started: _Started) -> RunState:
        end = self._end(started)
        if started.lost_at == end:
            return RunState.LOST
        if end < started.at + started.script.seconds and started.stopped_at != end:
            return RunState.TIMED_OUT
        return RunState.STOPPED if started.stopped_at == end else started.script.state

    def _points(self, started: _Started) -> list[MetricPoint]:
        values = started.script.values
        interval = started.script.seconds / max(len(values), 1)
        return [MetricPoint(i, self.metric, v, started.at + (i + 1) * interval) for i, v in enumerate(values)]
