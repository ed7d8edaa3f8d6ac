"""A training job on a Ray cluster keeps every promise of the executor's port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from conformance.supervised_suite import ENVIRONMENT, SupervisedSuite
from rekindle.executors.ray_cluster import RayCluster

from .conftest import TOKEN, RayHead


class TestRayExecutor(SupervisedSuite):
    @pytest.fixture(autouse=True)
    def _cluster(self, head: RayHead) -> None:
        self.address = head.address

    def host(self) -> Mapping[str, Any]:
        return {"environment": {**ENVIRONMENT, "RAY_AUTH_TOKEN": TOKEN}, "cluster": RayCluster(self.address)}
