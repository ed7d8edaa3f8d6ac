"""The executors' suite for whatever runs under our supervisors, on this machine or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Executor, RunKey
from rekindle.executors.host import Host
from rekindle.executors.journal import JournalReader
from rekindle.executors.process import ProcessExecutor
from support.processes import alive

from .executor_suite import PATIENCE, ExecutorSuite, until

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


def supervisor_of(bench_home: Path, key: RunKey) -> psutil.Process:
    """The process of a run's supervisor."""
    reader = JournalReader(bench_home / ".by-name" / key.name / ".rekindle" / str(key.attempt) / "journal.jsonl")
    until(lambda: reader.read() and reader.supervisor, "the supervisor's number")
    return psutil.Process(reader.supervisor[0])


class SupervisedSuite(ExecutorSuite):
    """Inherit, and say what the host has besides a home, such as its ``cluster``."""

    def host(self) -> Mapping[str, Any]:
        """What of a Host is not that of this machine."""
        return {}

    def make(self, home: Path, grace: float = 2 * PATIENCE, log_head: int = 1 << 20, log_keep: int = 10 << 20) -> Executor:
        limits = {"grace_seconds": grace, "log_head_bytes": log_head, "log_keep_bytes": log_keep}
        return ProcessExecutor(Host(home, **{"environment": ENVIRONMENT, **limits, **self.host()}), SystemClock())

    def kill_supervisor(self, executor: Executor, key: RunKey) -> None:
        supervisor = supervisor_of(executor._host.root, key)
        supervisor.kill()
        until(lambda: not alive(supervisor.pid), "its death")
