"""An engine on a store in memory and a simulated executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rekindle.domain.training_job import Owner, TrainingJob
from rekindle.domain.tuning_job import TuningJob, TuningJobSpec
from rekindle.domain.tuning_rules import RELAXED
from rekindle.engine.commands import create_tuning_job
from rekindle.engine.ports import JobStore
from rekindle.engine.reconcile import Step
from rekindle.engine.worker import Worker
from rekindle.storage.store import open_store
from support.simulated import Program, Script, SimulatedClock, SimulatedExecutor


def by_learning_rate(hyperparameters: Any) -> Script:
    """A program whose loss is least at lr = 0.001, and whose run time differs from one configuration to the next."""
    lr = float(hyperparameters["lr"])
    loss = abs(lr - 1e-3) + 0.01 * int(hyperparameters["layers"])
    return Script((loss + 1, loss), seconds=5 + 10 * (lr * 1e4 % 1))


@dataclass
class Engine:
    """Everything but a process: ``run`` works until all jobs have ended."""

    program: Program = by_learning_rate
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    #: By default one in memory whose leases run out by ``clock``.
    store: JobStore = None  # type: ignore[assignment]
    owner: Owner = field(default_factory=Owner)
    executor: SimulatedExecutor = field(init=False)
    most_running: int = 0

    def __post_init__(self) -> None:
        self.store = self.store or open_store("sqlite://", clock=self.clock)
        self.executor = SimulatedExecutor(self.clock, self.program)

    def create(self, spec: TuningJobSpec) -> TuningJob:
        return create_tuning_job(self.store, self.executor, self.clock, self.owner, spec, RELAXED)

    def worker(self, holder: str = "a", **options: Any) -> Worker:
        return Worker(Step(self.store, self.executor, self.clock), holder, **options)

    def run(self, name: str, holder: str = "a", steps: int = 10_000, before: Callable[[int], None] | None = None) -> TuningJob:
        """Steps a worker until the job has ended; fails if it does not."""
        worker = self.worker(holder)
        for number in range(steps):
            if before is not None:
                before(number)
            worker.tick()
            self.most_running = max(self.most_running, self.executor.running)
            if self.job(name).status.is_terminal:
                worker.shut_down()
                return self.job(name)
            worker.wait()
        raise AssertionError(f"{name} has not ended after {steps} steps")

    def job(self, name: str) -> TuningJob:
        return self.store.tuning_job(self.owner, name)

    def trials(self, name: str) -> tuple[TrainingJob, ...]:
        return self.store.jobs_of(self.job(name).id)
