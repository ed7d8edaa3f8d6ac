"""A new database and a migrated one have exactly the schema that the code works with; the migrations are in the package."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from tests.support.jobs import OWNER, tuning_job
from tests.support.postgres import running_server

import rekindle.storage.indexes  # noqa: F401 - the indexes join the schema when they are imported
from rekindle.storage.database import Database
from rekindle.storage.schema import REVISION, metadata
from rekindle.storage.store import open_store
from rekindle.storage.upgrade import _migrate, upgrade


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "rekindle.storage:migrations")
    return ScriptDirectory.from_config(config)


def _statements(path) -> set[str]:
    with closing(sqlite3.connect(path)) as raw:
        rows = raw.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> 'alembic_version'").fetchall()
    return {" ".join(sql.split()) for (sql,) in rows}


def test_there_is_one_line_of_migrations_and_the_code_works_with_its_end():
    assert scripts().get_heads() == [REVISION]
    assert len(scripts().get_bases()) == 1


def test_the_migrations_are_files_of_the_package():
    folder = files("rekindle.storage.migrations")
    assert folder.joinpath("env.py").is_file()
    assert any(f.name.startswith("v0_1_0") for f in folder.joinpath("versions").iterdir())


@pytest.fixture(params=["made", "migrated"])
def way(request, monkeypatch) -> str:
    """Both ways to the schema: a new database is made at once, an older one is migrated."""
    if request.param == "migrated":
        monkeypatch.setattr("rekindle.storage.upgrade._make", _migrate)
    return request.param


def test_on_sqlite_both_ways_make_the_schema_of_the_code(tmp_path, way):
    open_store(f"sqlite:///{tmp_path / 'opened.db'}").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert _statements(tmp_path / "opened.db") == _statements(tmp_path / "created.db")


def test_both_ways_leave_the_same_word_for_alembic(tmp_path, monkeypatch):
    found = []
    for name in ("made", "migrated"):
        path = tmp_path / f"{name}.db"
        open_store(f"sqlite:///{path}").close()
        with closing(sqlite3.connect(path)) as raw:
            tables = raw.execute(
                "SELECT sql FROM sqlite_master WHERE tbl_name = 'alembic_version' AND sql IS NOT NULL"
            ).fetchall()
            found.append((tables, raw.execute("SELECT version_num FROM alembic_version").fetchall()))
        monkeypatch.setattr("rekindle.storage.upgrade._make", _migrate)
    assert found[0] == found[1]
    assert found[0][1] == [(REVISION,)]


def test_on_postgresql_both_ways_make_the_schema_of_the_code(way):
    with running_server() as url, closing(open_store(url)) as store:
        with store.database.reading() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
            assert compare_metadata(context, metadata) == []
            found = {i["name"]: i for t in metadata.tables for i in inspect(connection).get_indexes(t)}
        made = {index.name: index for table in metadata.tables.values() for index in table.indexes}
        assert set(found) == set(made)
        for name, index in made.items():
            assert found[name]["column_names"] == [c.name for c in index.columns]
            assert found[name]["unique"] == index.unique
            partial = "postgresql_where" in found[name].get("dialect_options", {})
            assert partial == (index.dialect_options["postgresql"]["where"] is not None)


def test_a_current_database_is_left_as_it_is(tmp_path):
    path = tmp_path / "rekindle.db"
    with closing(open_store(f"sqlite:///{path}")) as store:
        store.create_tuning_job(tuning_job())
    before = _statements(path)
    with closing(open_store(f"sqlite:///{path}")) as store:
        assert store.tuning_job(OWNER, "job").name == "job"
    assert _statements(path) == before


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "rekindle.db"

    def half(connection) -> None:
        connection.execute(text("CREATE TABLE half (a INTEGER)"))
        raise RuntimeError("the power went")

    monkeypatch.setattr("rekindle.storage.upgrade._make", half)
    with pytest.raises(RuntimeError, match="power"):
        open_store(f"sqlite:///{path}")
    assert _statements(path) == set()
    monkeypatch.undo()
    with closing(open_store(f"sqlite:///{path}")) as store:
        upgrade(Database(store.database.engine, 1.0))
        store.create_tuning_job(tuning_job())
