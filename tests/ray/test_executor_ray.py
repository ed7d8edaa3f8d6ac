"""A training job on a Ray cluster keeps every promise of the executor's port."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.executor_suite import PATIENCE, ExecutorSuite, until
from conformance.test_executor_process import ENVIRONMENT, supervisor_of
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Executor, RunKey
from rekindle.executors.host import Host
from rekindle.executors.process import ProcessExecutor
from rekindle.executors.ray_cluster import RayCluster
from support.processes import alive

from .conftest import TOKEN, RayHead


class TestRayExecutor(ExecutorSuite):
    @pytest.fixture(autouse=True)
    def _cluster(self, head: RayHead) -> None:
        self.address = head.address

    def make(self, home: Path, grace: float = 2 * PATIENCE, log_head: int = 1 << 20, log_keep: int = 10 << 20) -> Executor:
        return ProcessExecutor(
            Host(home, {**ENVIRONMENT, "RAY_AUTH_TOKEN": TOKEN}, grace, log_head, log_keep, cluster=RayCluster(self.address)),
            SystemClock(),
        )

    def kill_supervisor(self, executor: Executor, key: RunKey) -> None:
        supervisor = supervisor_of(executor._host.root, key)
        supervisor.kill()
        until(lambda: not alive(supervisor.pid), "its death")
