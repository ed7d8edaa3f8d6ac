"""The store in memory, as tests of other rooms use it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import event, text
from tests.conformance.store_suite import StoreSuite
from tests.support.jobs import LONG, training_job, tuning_job

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

    def test_a_spec_goes_with_the_last_training_job_that_has_it(self, store):
        def specs() -> int:
            with store.database.reading() as connection:
                return connection.execute(text("SELECT count(*) FROM training_specs")).scalar_one()

        one, two = (store.create_training_job(training_job(name)) for name in ("one", "two"))
        assert specs() == 1
        assert store.set_extras(one.id, {"a": 1}, {}, 2.0)
        assert not store.set_extras(one.id, {"b": 1}, {}, 3.0)
        assert specs() == 2
        assert store.set_extras(two.id, {"a": 1}, {}, 4.0)
        assert specs() == 1
        store.delete_training_job(one.id)
        assert store.training_job_by_id(two.id).spec == replace(two.spec, extras={"a": 1})
        store.delete_training_job(two.id)
        assert specs() == 0

    def test_where_nothing_has_changed_one_question_says_so(self, store):
        job = store.create_tuning_job(tuning_job())
        asked = []
        event.listen(store.database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        assert store.jobs_of(job.id, 0) == ()
        assert len([statement for statement in asked if statement.startswith("SELECT")]) == 1, asked

    def test_extras_are_replaced_in_a_spec_that_an_earlier_version_wrote_in_other_words(self, store):
        job = store.create_training_job(training_job())
        with store.database.writing() as connection:
            connection.execute(text("INSERT INTO training_specs SELECT 'other', replace(body, ':', ': ') FROM training_specs"))
            connection.execute(text("UPDATE training_jobs SET spec = 'other'"))
        assert store.set_extras(job.id, {"a": 1}, {}, 2.0)
        assert store.training_job_by_id(job.id).spec.extras == {"a": 1}
