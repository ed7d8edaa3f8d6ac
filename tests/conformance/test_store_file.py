"""The store in a SQLite file: the suite, and what only a file can go through."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import make_url, text
from tests.conformance.store_process import claim_all, commit_forever, open_and_create
from tests.conformance.store_suite import StoreSuite, started
from tests.support.jobs import LONG, OWNER, trial, tuning_job

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.engine.ports import Change, StoreUnavailable
from rekindle.storage.errors import unavailable
from rekindle.storage.store import open_store


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    """A database that was migrated once; each test gets a copy."""
    path = tmp_path_factory.mktemp("empty") / "rekindle.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def path(empty, tmp_path):
    return Path(shutil.copy(empty, tmp_path / "rekindle.db"))


@pytest.fixture
def store(path):
    store = open_store(f"sqlite:///{path}", patience=20.0)
    yield store
    store.close()


@contextmanager
def processes(work, *arguments):
    """A process for each of ``arguments``, killed at the end, with our ends of their pipes."""
    context = multiprocessing.get_context("forkserver")
    # Imported once and not by each process: that is most of what a process costs.
    context.set_forkserver_preload(["tests.conformance.store_process", "alembic.command"])
    pipes, running = [], []
    try:
        for argument in arguments:
            ours, theirs = context.Pipe()
            running.append(context.Process(target=work, args=(theirs, *argument), daemon=True))
            running[-1].start()
            theirs.close()
            pipes.append(ours)
        yield running, pipes
    finally:
        for one in running:
            one.kill()
            one.join()


def everything(pipe):
    """All that a process still has to say."""
    said = []
    with suppress(EOFError, ConnectionResetError):
        while True:
            said.append(pipe.recv())
    return said


class TestFile(StoreSuite):
    def test_what_was_stored_is_there_after_closing(self, store, path):
        job, _lease, trials = started(store, 3)
        store.close()
        with closing(open_store(f"sqlite:///{path}")) as again:
            assert again.tuning_job(OWNER, "job") == job
            assert again.jobs_of(job.id) == tuple(trials)
            assert again.holders() == ["worker"]

    def test_commits_are_flushed_to_the_disk(self, store, path):
        with store.database.reading() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2, "FULL"
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1

    def test_another_process_that_keeps_it_locked_is_reported(self, store, path):
        job, lease, _ = started(store, 0)
        with closing(open_store(f"sqlite:///{path}", patience=0.05)) as hasty, store.database.writing():
            with pytest.raises(StoreUnavailable, match="locked"):
                hasty.commit(lease, Change(job))
            assert hasty.tuning_job_by_id(job.id) == job, "readers do not wait for writers"


def test_a_worker_without_work_writes_nothing(store, path):
    _job, _, _ = started(store, 0)
    hasty = open_store(f"sqlite:///{path}", patience=0.05)
    with closing(hasty), store.database.writing():
        assert hasty.claim("v", LONG) == []
        assert hasty.claim_events("file", "v", 0.0, 10.0, 10) == []


def test_processes_claim_each_subject_once(store, path):
    for number in range(40):
        store.create_tuning_job(tuning_job(f"j{number}", number))
    with processes(claim_all, *((f"sqlite:///{path}", holder) for holder in "abc")) as (_, pipes):
        _start_together(pipes)
        taken = [subject for pipe in pipes for subject in everything(pipe)]
    assert len(taken) == len(set(taken)) == 40


def test_processes_open_an_empty_home_at_once(tmp_path):
    path = tmp_path / "home" / "inner" / "rekindle.db"
    with processes(open_and_create, *((f"sqlite:///{path}", name) for name in "abcd")) as (_, pipes):
        _start_together(pipes)
        ids = [job_id for pipe in pipes for job_id in everything(pipe)]
    assert sorted(ids) == [1, 2, 3, 4]


def _start_together(pipes):
    for pipe in pipes:
        assert pipe.recv() == "ready"
    for pipe in pipes:
        pipe.send("go")


def test_a_process_killed_amid_commits_leaves_each_whole_or_absent(store, path):
    job = store.create_tuning_job(tuning_job())
    for kill in range(6):
        with processes(commit_forever, (f"sqlite:///{path}", "job")) as ((victim,), (pipe,)):
            told = [pipe.recv() for _ in range(1 + 5 * kill)]
            victim.kill()
            told += everything(pipe)
        with closing(open_store(f"sqlite:///{path}")) as again:
            _check_whole(again, job.id, max(told))
            again.evict("victim")
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


def _check_whole(store, job_id, told):
    trials = store.jobs_of(job_id)
    assert [t.number for t in trials] == list(range(1, len(trials) + 1))
    assert len(trials) >= told, "a commit that had returned is lost"
    assert store.tuning_job_by_id(job_id).seq == len(trials)
    curves = store.curves(job_id)
    for one in trials:
        # Each step wrote its predecessor's emissions and counter together.
        assert len(curves.get(one.id, ())) == (3 if one.points_seen else 0)


def test_a_file_and_its_folder_are_their_owners_alone(tmp_path):
    path = tmp_path / "home" / "rekindle.db"
    with closing(open_store(f"sqlite:///{path}")) as store:
        store.create_tuning_job(tuning_job())
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (path.parent, *path.parent.iterdir())}
    assert modes == {"home": 0o700, "rekindle.db": 0o600, "rekindle.db-wal": 0o600, "rekindle.db-shm": 0o600}


def test_a_path_with_spaces_and_accents(tmp_path):
    path = tmp_path / "my home é" / "rekindle.db"
    with closing(open_store(f"sqlite:///{path}")) as store:
        store.create_tuning_job(tuning_job())
    assert path.exists()


def test_something_else_than_a_database_is_reported_and_left_alone(tmp_path):
    path = tmp_path / "rekindle.db"
    path.write_text("These are my notes, and nobody may overwrite them. " * 50)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="not a database") as caught:
        open_store(f"sqlite:///{path}")
    assert caught.value.hint == "Move it away, or set REKINDLE_HOME to another folder."
    assert path.read_bytes() == before


def test_a_damaged_file_is_reported(store, path):
    job, lease, _ = started(store, 0)
    store.commit(lease, Change(added=tuple(trial(job, n) for n in range(1, 200))))
    store.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    path.write_bytes(raw)
    with pytest.raises(StoreUnavailable, match=r"damaged.*-wal and -shm"), closing(open_store(f"sqlite:///{path}")) as again:
        again.jobs_of(job.id)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DROP TABLE metric_points", "its table metric_points is missing"),
        ("ALTER TABLE metric_points RENAME COLUMN value TO gone", r"its column \w+ is missing"),
    ],
)
def test_a_database_that_somebody_changed_is_reported(store, path, change, told):
    job, _, _ = started(store, 1)
    with closing(sqlite3.connect(path)) as other:
        other.execute(change)
        other.commit()
    with pytest.raises(StoreUnavailable, match=told) as caught:
        store.points(store.jobs_of(job.id)[0].id, "loss")
    assert caught.value.hint.startswith("Somebody changed it. Put back a copy of it")


def test_a_folder_where_the_file_should_be_is_reported(tmp_path):
    (tmp_path / "rekindle.db").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        open_store(f"sqlite:///{tmp_path / 'rekindle.db'}")


def test_a_file_where_the_folder_should_be_is_reported(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(InvalidValue, match="REKINDLE_HOME"):
        open_store(f"sqlite:///{tmp_path / 'home' / 'rekindle.db'}")


def test_a_full_disk_is_reported_and_loses_nothing(store, path):
    job, lease, _ = started(store, 1)
    with store.database.writing() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()
    _limit_pages(store, pages)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        store.commit(lease, Change(job, added=tuple(trial(job, n) for n in range(2, 500))))
    _limit_pages(store, 2**30)
    assert len(store.jobs_of(job.id)) == 1
    assert len(store.commit(lease, Change(job, added=(trial(job, 2),)))) == 1


@pytest.mark.parametrize(("name", "told"), [("SQLITE_PROTOCOL", "kept it busy"), ("SQLITE_NOMEM", "not enough memory")])
def test_what_passes_by_itself_is_told_so(name, told):
    # SQLite says these of a moment that no test can bring about.
    error = sqlite3.OperationalError("locking protocol")
    error.sqlite_errorname = name
    found = unavailable(error, make_url("sqlite:///home/rekindle.db"))
    assert found is not None
    assert told in str(found)


def _limit_pages(store, pages: int) -> None:
    # SQLite's own limit stands in for the disk's: what it reports is the same error.
    store.database.close()
    with store.database.reading() as connection:
        connection.execute(text(f"PRAGMA max_page_count={pages}"))


def test_a_file_that_may_not_be_written_is_reported(store, path):
    job = store.create_tuning_job(tuning_job())
    with store.database.reading() as connection:
        connection.execute(text("PRAGMA query_only=ON"))
    # Made while the file could only be read, the two beside it stay like that when it can be written again.
    with pytest.raises(StoreUnavailable, match=r"cannot be written.*its -wal and -shm"):
        store.request_stop(f"tuning:{job.id}")


@pytest.mark.parametrize(
    "url",
    [
        *("nonsense", "mysql://host/db", "sqlite+aiosqlite:///x.db", "postgresql+asyncpg://host/db", "http://example.org"),
        *(
            "postgresql://me:hidden@host:port/db",
            "sqlite://rekindle.db",
            "sqlite://folder/x.db",
            "sqlite:///x.db?mode=ro&uri=true",
            "sqlite://me:hidden@host/x.db",
            "sqlite:///x.db?password=hidden",
        ),
        "sqlite:///x.db?timeout=soon",
    ],
)
def test_a_url_of_another_kind_is_refused(url):
    with pytest.raises(InvalidValue, match=r"REKINDLE_DATABASE_URL: .*Write sqlite:////folder/rekindle\.db") as caught:
        open_store(url)
    assert "hidden" not in str(caught.value)


def test_an_at_sign_in_a_password_is_no_end_of_it():
    with pytest.raises(InvalidValue, match=r"postgresql://me:\*\*\*@127\.0\.0\.1:1/db'.*Write %40 for an @") as caught:
        open_store("postgresql://me:hid@den@127.0.0.1:1/db")
    assert "den@" not in str(caught.value)


def test_a_newer_schema_is_refused_and_left_alone(store, path):
    store.close()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Unsupported, match=r"newer Rekindle.*Upgrade Rekindle"):
        open_store(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('c0ffee')", "version is 'c0ffee'"),
        ("CREATE TABLE events (id INTEGER)", "table 'events' is there"),
    ],
)
def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path, made, told):
    """Told to upgrade, or met by a defect, nobody would look there."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(made)
        before = raw.execute("SELECT sql FROM sqlite_master").fetchall()
        with pytest.raises(Unsupported, match=rf"another program .*{told}.* Give Rekindle one of its own"):
            open_store(f"sqlite:///{path}")
        assert raw.execute("SELECT sql FROM sqlite_master").fetchall() == before


def test_a_newer_record_is_refused(store):
    job = store.create_tuning_job(tuning_job())
    with store.database.writing() as connection:
        connection.execute(text("UPDATE tuning_jobs SET spec = replace(spec, :old, :new)"), {"old": '"v":1', "new": '"v":2'})
    with pytest.raises(Unsupported, match="newer Rekindle"):
        store.tuning_job_by_id(job.id)


def test_opening_a_current_database_does_not_import_alembic(path):
    code = "import sys; from rekindle.storage.store import open_store; open_store(sys.argv[1]); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, f"sqlite:///{path}"], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_file_opens_by_its_own_name_whatever_the_locale_takes_names_for(tmp_path):
    path = tmp_path / "zwölf" / "rekindle.db"
    code = "import sys; from rekindle.storage.store import open_store; open_store(sys.argv[1])"
    locale = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for url in (f"sqlite:///{path}", f"sqlite:///{quote(str(path))}"):
        subprocess.run([sys.executable, "-c", code, url], env=locale, check=True)
    assert [f.name for f in tmp_path.iterdir()] == ["zwölf"]
    assert path.is_file()


def test_a_record_that_something_else_wrote_is_told(store):
    job = store.create_tuning_job(tuning_job())
    with store.database.writing() as connection:
        connection.execute(text("UPDATE tuning_jobs SET spec = '{these are my notes'"))
    with pytest.raises(Unsupported, match=r"damaged: '\{these are my notes' is no JSON.*put back a copy"):
        store.tuning_job_by_id(job.id)
