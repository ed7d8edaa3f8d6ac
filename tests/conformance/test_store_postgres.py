"""The store on a real PostgreSQL server."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest
from sqlalchemy import event, select, text, update
from structlog.testing import capture_logs
from tests.conformance.store_suite import StoreSuite, held, started
from tests.support.engine import Engine
from tests.support.jobs import LONG, OWNER, tuning_job
from tests.support.postgres import running_server
from tests.support.simulated import SimulatedClock
from tests.support.specs import tuning_spec

from rekindle.domain.errors import NotFound
from rekindle.engine.ports import Change, LeaseLost, StoreUnavailable
from rekindle.engine.queries import waiting_for
from rekindle.engine.worker import LEASE_SECONDS
from rekindle.storage import questions
from rekindle.storage.commands import insert_training_jobs, store_specs
from rekindle.storage.schema import leases, metadata
from rekindle.storage.store import open_store


@pytest.fixture(scope="module")
def server():
    with running_server() as url:
        yield url


@pytest.fixture(scope="module")
def opened(server):
    store = open_store(server, patience=20.0)
    yield store
    store.close()


@pytest.fixture
def store(opened):
    tables = ", ".join(metadata.tables)
    with opened.database.writing() as connection:
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    return opened


def limit_sessions(store, limit):
    """As a server may do that ends who takes long or is idle. Not while the store is opened: a crowded machine may stand still
    for longer than any limit that is short enough for a test."""

    @event.listens_for(store.database.engine, "connect")
    def _(connection, _record):
        with connection.cursor() as cursor:
            for name in ("statement", "transaction", "idle_in_transaction_session"):
                cursor.execute(f"SET {name}_timeout = '{limit}'")
        connection.commit()

    store.database.engine.dispose()


class TestPostgreSQL(StoreSuite):
    def test_a_commit_waits_for_another_with_the_same_lease_and_not_for_others(self, store):
        _job, lease, _ = started(store, 0)
        store.renew([lease], 0.0)
        other = store.create_tuning_job(tuning_job("other"))
        with store.database.writing() as connection:
            connection.execute(text("SELECT * FROM leases WHERE subject = :s FOR UPDATE"), {"s": lease.subject})
            store.commit(held(store, f"tuning:{other.id}"), Change(other))
            assert store.claim("v", LONG, only=lease.subject) == [], "a commit's lease was taken under it"

    def test_a_lock_that_is_not_given_up_is_reported(self, server, store):
        job, lease, _ = started(store, 0)
        hasty = open_store(server, patience=0.1)
        with store.database.writing() as connection:
            connection.execute(text("SELECT * FROM leases FOR UPDATE"))
            with pytest.raises(StoreUnavailable, match="lock timeout"):
                hasty.commit(lease, Change(job))
        hasty.commit(lease, Change(job))
        hasty.close()

    def test_a_turn_takes_longer_than_the_server_lets_others_wait_or_be_idle(self, server, store):
        first, second = (open_store(server, patience=20.0) for _ in range(2))
        for opened in (first, second):
            limit_sessions(opened, "1s")
        waits, over = Event(), Event()

        def come_second():
            with second.turn(1, waits.set):
                return over.is_set()

        with ThreadPoolExecutor(1) as pool:
            with first.turn(1, lambda: None):
                came = pool.submit(come_second)
                assert waits.wait(20.0)
                Event().wait(1.5)
                over.set()
            assert came.result(), "it came before its turn"
        first.close()
        second.close()

    def test_a_table_that_somebody_dropped_is_reported(self, store):
        job, _, _ = started(store, 1)
        with store.database.writing() as connection:
            connection.execute(text("ALTER TABLE metric_points RENAME TO gone"))
        try:
            with pytest.raises(StoreUnavailable, match='relation "metric_points" does not exist') as caught:
                store.points(store.jobs_of(job.id)[0].id, "loss")
            assert caught.value.hint.startswith("Somebody changed it.")
        finally:
            with store.database.writing() as connection:
                connection.execute(text("ALTER TABLE gone RENAME TO metric_points"))

    def test_a_connection_that_the_server_cut_is_replaced(self, store):
        job, lease, _ = started(store, 0)
        with store.database.reading() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
            )
        with pytest.raises(StoreUnavailable), store.database.reading() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        store.commit(lease, Change(job))
        assert store.tuning_job_by_id(job.id) == job

    def test_the_last_commits_are_never_forgotten_by_the_server(self, server, store):
        with store.database.writing() as connection:
            connection.execute(text("ALTER DATABASE postgres SET synchronous_commit = off"))
        fresh = open_store(server)
        with fresh.database.reading() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
        fresh.close()
        with store.database.writing() as connection:
            connection.execute(text("ALTER DATABASE postgres RESET synchronous_commit"))

    def test_nothing_is_kept_in_a_session_that_a_pooler_may_give_to_others(self, store):
        """PgBouncer in transaction mode: "prepared statement already exists" ended a worker."""
        with store.database.writing() as connection:
            for _ in range(20):
                connection.execute(select(leases).where(leases.c.subject == "tuning:1"))
            assert connection.execute(text("SELECT name FROM pg_prepared_statements")).all() == []

    def test_many_stores_open_an_empty_database_at_once(self, server, store):
        with store.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("DROP DATABASE IF EXISTS fresh WITH (FORCE)"))
            connection.execute(text("CREATE DATABASE fresh"))
        url = server.replace("/postgres?", "/fresh?")
        with ThreadPoolExecutor(4) as pool:
            stores = list(pool.map(open_store, [url] * 4))
        job = stores[0].create_tuning_job(tuning_job())
        assert [s.tuning_job_by_id(job.id) for s in stores] == [job] * 4
        for opened in stores:
            opened.close()

    @pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
    def test_a_database_of_any_encoding_will_do_and_a_character_that_it_lacks_is_told(self, server, store, encoding):
        """SQL_ASCII is what a server made without a locale has."""
        with store.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("DROP DATABASE IF EXISTS encoded WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE encoded ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"))
        opened = open_store(server.replace("/postgres?", "/encoded?"))
        job = opened.create_tuning_job(tuning_job())
        assert opened.tuning_job(OWNER, "job") == job
        told = (NotFound, "ж") if encoding == "SQL_ASCII" else (StoreUnavailable, "no equivalent.*CREATE DATABASE")
        with pytest.raises(told[0], match=told[1]):
            opened.tuning_job(OWNER, "ж")
        opened.close()

    def test_a_server_that_is_not_there_is_reported_without_the_password(self, tmp_path):
        for url in ("postgresql://me:secret@/postgres?", "postgresql:///postgres?user=me&password=secret&"):
            with pytest.raises(StoreUnavailable, match="REKINDLE_DATABASE_URL") as caught:
                open_store(f"{url}host={tmp_path}")
            assert "secret" not in str(caught.value)

    def test_a_server_that_says_nothing_is_reported_and_not_waited_for(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with pytest.raises(StoreUnavailable, match="timeout expired"):
                open_store(f"postgresql://user@127.0.0.1:{port}/postgres", patience=0.1)

    @pytest.mark.parametrize(("said", "idle"), [("", "20"), ("&keepalives_idle=7", "7")])
    def test_a_server_that_falls_silent_counts_as_away_unless_the_url_says_otherwise(self, server, said, idle):
        """To see it would take a network that drops packets, and a minute."""
        store = open_store(f"{server}{said}", patience=20.0)
        with store.database.reading() as connection:
            known = connection.connection.driver_connection.info.get_parameters()
        store.close()
        assert (known["keepalives_idle"], known["tcp_user_timeout"]) == (idle, "20000")

    @pytest.mark.parametrize(("variable", "said", "known"), [("7", "", "7"), ("7", "&connect_timeout=9", "9"), ("", "", "20")])
    def test_how_long_a_connection_is_waited_for_may_be_said_in_a_variable(self, server, monkeypatch, variable, said, known):
        monkeypatch.setenv("PGCONNECT_TIMEOUT", variable)
        store = open_store(f"{server}{said}", patience=20.0)
        with store.database.reading() as connection:
            found = connection.connection.driver_connection.info.get_parameters()
        store.close()
        assert found["connect_timeout"] == known

    @pytest.mark.parametrize(("variable", "said"), [("soon", ""), ("", "&connect_timeout=soon")])
    def test_a_time_for_connecting_that_is_none_is_named(self, server, monkeypatch, variable, said):
        monkeypatch.setenv("PGCONNECT_TIMEOUT", variable)
        with pytest.raises(StoreUnavailable, match=r"connect_timeout: 'soon'\. Correct it in .*PGCONNECT_TIMEOUT"):
            open_store(f"{server}{said}")

    def test_an_option_that_there_is_not_is_named(self, server):
        with pytest.raises(StoreUnavailable, match=r"option.*REKINDLE_DATABASE_URL"):
            open_store(f"{server}&sslmod=require")

    def test_deleting_training_jobs_of_one_spec_while_others_come(self, store):
        job, _lease, trials = started(store, 20)

        def delete(numbers: range) -> None:
            for number in numbers:
                store.delete_training_job(trials[number].id)

        def add(_: int) -> None:
            other, _own, _ = started(store, 3, "other")
            for one in store.jobs_of(other.id):
                store.delete_training_job(one.id)

        with ThreadPoolExecutor(3) as pool:
            work = [pool.submit(delete, range(10)), pool.submit(delete, range(10, 20)), pool.submit(add, 0)]
            for future in work:
                future.result()
        assert store.jobs_of(job.id) == ()
        with store.database.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM training_specs")).scalar() == 0

    def test_a_spec_that_somebody_is_about_to_refer_to_stays_when_its_last_job_gets_another(self, server, store):
        _job, _lease, (trial,) = started(store, 1)
        alone = replace(trial, name="alone", tuning_job_id=None)
        hasty = open_store(server, patience=0.1)
        with store.database.writing() as connection:
            store_specs(connection, [alone])
            with pytest.raises(StoreUnavailable, match="lock timeout"):
                hasty.set_extras(trial.id, {"a": 1}, {}, 5.0)
            insert_training_jobs(connection, [alone])
        assert hasty.set_extras(trial.id, {"a": 1}, {}, 5.0)
        assert store.training_job(OWNER, "alone").spec == trial.spec
        hasty.close()

    def test_a_reader_sees_one_state_whatever_is_committed_meanwhile(self, store):
        job, _lease, trials = started(store, 2)
        with store.database.reading() as connection:
            found = questions.jobs_of(connection, job.id)
            for trial in trials:
                store.delete_training_job(trial.id)
            # The jobs are read first, and then the specs that they refer to.
            assert questions.jobs_of(connection, job.id) == found == tuple(trials)
        assert store.jobs_of(job.id) == ()

    def test_a_user_who_may_not_use_the_database_is_told_so(self, server, store):
        with store.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("DROP ROLE IF EXISTS guest"))
            connection.execute(text("CREATE ROLE guest LOGIN"))
            connection.execute(text("DROP DATABASE IF EXISTS bare WITH (FORCE)"))
            connection.execute(text("CREATE DATABASE bare"))
        for database, told in (("postgres", "for table alembic_version"), ("bare", "for schema public")):
            url = server.replace("postgres@", "guest@").replace("/postgres?", f"/{database}?")
            with pytest.raises(StoreUnavailable, match=f"permission denied {told}") as caught:
                open_store(url)
            assert "CREATE DATABASE name OWNER user" in caught.value.hint

    def test_a_stale_lease_is_refused_while_its_successor_commits(self, store):
        job, lease, _ = started(store, 0)
        store.renew([lease], 0.0)
        (taken,) = store.claim("v", LONG)
        with ThreadPoolExecutor(2) as pool:
            good = pool.submit(store.commit, taken, Change(job))
            bad = pool.submit(store.commit, lease, Change(job))
            assert good.result() == ()
            with pytest.raises(LeaseLost):
                bad.result()

    @pytest.mark.parametrize("apart", [-86400.0, 300.0, 86400.0])
    def test_hosts_whose_clocks_are_apart_agree_on_who_has_a_worker(self, store, apart):
        here = Engine(store=store)
        there = Engine(store=store, clock=SimulatedClock(here.clock.now() + apart))
        here.create(tuning_spec(jobs=3, parallel=2))
        here.worker("a@one").tick()
        with capture_logs() as told:
            there.worker("b@two", gone_homes=("one",)).tick()
        assert told == []
        assert store.holders() == ["a@one"]
        assert there.executor.running == 0
        assert waiting_for(store, here.job("job"), "two") is None
        with store.database.writing() as connection:
            connection.execute(update(leases).values(until=leases.c.until - LEASE_SECONDS))
        assert waiting_for(store, here.job("job"), "two") is not None
