"""Airflow's metadata database in SQLite: revisions, copies while in use, and damage."""

import contextlib
import datetime
import sqlite3
import stat

import pytest

from airflow_platform import errors
from airflow_platform.tools import sqlite_metadata
from airflow_platform.tools.airflow import airflow_answers


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "airflow.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('aa11')")
        connection.execute(
            "CREATE TABLE dag_bundle (name TEXT, active BOOLEAN, version TEXT, last_refreshed TEXT)"
        )
        connection.execute(
            "INSERT INTO dag_bundle VALUES ('dags', 1, 'c0ffee', '2026-11-26 19:20:37.047510'),"
            " ('old', 0, 'dead', '2026-01-01 00:00:00'), ('new', 1, NULL, NULL)"
        )
    return path


def test_the_revision(database, tmp_path):
    assert sqlite_metadata.revision(database) == "aa11"
    assert sqlite_metadata.revision(tmp_path / "none.db") == ""
    (tmp_path / "empty.db").touch()
    assert sqlite_metadata.revision(tmp_path / "empty.db") == ""
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t (x)")
    assert sqlite_metadata.revision(tmp_path / "other.db") == ""


def test_a_name_with_signs_of_an_address_is_a_name(database, tmp_path):
    odd = tmp_path / "a?b#c%20.db"
    database.rename(odd)
    assert sqlite_metadata.revision(odd) == "aa11"


@pytest.mark.parametrize(("bundle", "version"), [("dags", "c0ffee"), ("old", ""), ("new", ""), ("none", "")])
def test_the_version_of_a_bundle(database, bundle, version):
    assert sqlite_metadata.bundle_version(database, bundle) == version


def test_the_last_look_for_a_bundle_s_version_is_a_time_in_utc(database):
    told = sqlite_metadata.bundle_refreshed(database, "dags")
    expected = datetime.datetime(2026, 11, 26, 19, 20, 37, 47510, tzinfo=datetime.UTC)
    assert airflow_answers.moment(told) == expected
    for name in ("old", "new", "none"):
        assert airflow_answers.moment(sqlite_metadata.bundle_refreshed(database, name)) is None


@pytest.mark.parametrize(
    "ask",
    [
        sqlite_metadata.revision,
        lambda path: sqlite_metadata.bundle_version(path, "d"),
        lambda path: sqlite_metadata.bundle_refreshed(path, "d"),
    ],
)
def test_damage_is_told_with_a_remedy(tmp_path, ask):
    path = tmp_path / "airflow.db"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(errors.StateError, match="cannot be read") as caught:
        ask(path)
    assert "--delete-data" in caught.value.hint


def test_a_copy_is_whole_even_of_a_database_in_use(database, tmp_path):
    target = tmp_path / "copy.db"
    target.write_text("old")
    with contextlib.closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE alembic_version SET version_num = 'bb22'")
        writer.commit()
        writer.execute("UPDATE alembic_version SET version_num = 'half'")
        sqlite_metadata.copy(database, target)
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sqlite_metadata.revision(target) == "bb22"


def test_a_copy_that_fails_leaves_the_target(database, tmp_path):
    source = tmp_path / "damaged.db"
    source.write_bytes(b"no database" * 100)
    before = database.read_bytes()
    with pytest.raises(errors.StateError):
        sqlite_metadata.copy(source, database)
    assert database.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["airflow.db", "damaged.db"]


def test_known_revisions_are_read_from_the_migrations(tmp_path):
    versions = tmp_path / "lib/python3.12/site-packages/airflow/migrations/versions"
    versions.mkdir(parents=True)
    (versions / "0001.py").write_text('revision = "aa11"\ndown_revision = "ff99"\n')
    (versions / "0002.py").write_text("revision: str = 'bb22'\n")
    (versions / "notes.py").write_text('not_a_revision = "cc33"\n')
    assert sqlite_metadata.known_revisions(tmp_path) == ("aa11", "bb22")
    assert sqlite_metadata.known_revisions(tmp_path / "none") == ()


def test_a_database_that_somebody_holds_is_busy_and_not_damaged(tmp_path, monkeypatch):
    path = tmp_path / "airflow.db"
    monkeypatch.setattr(sqlite_metadata, "TIMEOUT", 0.05)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("CREATE TABLE alembic_version (version_num TEXT)")
        holder.execute("BEGIN EXCLUSIVE")
        for read in (sqlite_metadata.revision, lambda path: sqlite_metadata.bundle_version(path, "dags")):
            with pytest.raises(sqlite_metadata.Busy, match="is busy: database is locked") as caught:
                read(path)
            assert "delete" not in caught.value.hint
