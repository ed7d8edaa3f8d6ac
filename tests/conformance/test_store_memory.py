"""The store in memory, as tests of other rooms use it."""

from __future__ import annotations

import pytest
from tests.conformance.store_suite import StoreSuite
from tests.support.jobs import LONG, tuning_job

from rekindle.storage.store import open_store


class TestMemory(StoreSuite):
    @pytest.fixture
    def store(self):
        store = open_store("sqlite://")
        yield store
        store.close()

    def test_two_stores_in_memory_are_two(self, store):
        other = open_store("sqlite://")
        store.create_tuning_job(tuning_job())
        other.create_tuning_job(tuning_job())
        assert len(other.claim("w", LONG)) == 1
        other.close()
