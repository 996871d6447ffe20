"""A tenant's metadata database: copied, migrated after a copy was kept, never downgraded or overwritten."""

import contextlib
import os
import sqlite3
import stat

import pytest

from airflow_platform import errors
from airflow_platform.config import state_files
from airflow_platform.runtimes.process import database, supervisor_client
from airflow_platform.tools import sqlite_metadata, users
from tests.steps import calling, programs


@pytest.fixture
def outputs(place):
    shared = place.directory / "shared"
    shared.mkdir(parents=True)
    template = programs.database(shared / "template.db", "cc33")
    template.chmod(0o600)
    return {
        "airflow-packages": {"programs": str(programs.airflow(shared, "cc33"))},
        "database-template": {"database": str(template), "revision": "cc33", "known": ["aa11", "cc33"]},
    }


@pytest.fixture
def calls(outputs, tenant):
    return calling.Calls(outputs)


@pytest.fixture
def step(place):
    return database.TenantDatabase(place)


@pytest.fixture
def stopped(monkeypatch):
    """Directories whose supervisor was stopped."""
    found = []
    monkeypatch.setattr(
        supervisor_client, "stop", lambda directory, timeout, *, sleep: found.append(directory)
    )
    return found


def rows(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT conn_id FROM connection").fetchall()


def old_database(tenant, revision):
    """One that the tenant has used."""
    path = programs.database(tenant.database, revision)
    user = users.of_tenant(tenant.directory)
    if user is not None:
        os.chown(path, user, user)
    return path


def test_a_new_tenant_gets_a_copy_of_the_template(step, calls, tenant):
    first, _ = calls.twice(step)
    assert first.outputs == {"revision": "cc33"}
    assert sqlite_metadata.revision(tenant.database) == "cc33"
    found = tenant.database.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert users.of_tenant(tenant.directory) in (None, found.st_uid)
    assert [path.name for path in tenant.home.iterdir()] == ["airflow.db"], "nothing is left beside it"


def test_what_a_killed_copy_left_is_replaced(step, calls, tenant):
    draft = tenant.directory / ".airflow.db.new"
    draft.write_text("half")
    calls.twice(step)
    assert not draft.exists()
    assert [path.name for path in tenant.home.iterdir()] == ["airflow.db"]


def test_an_older_database_is_kept_aside_and_migrated_while_nothing_runs(step, calls, tenant, stopped):
    old_database(tenant, "aa11")
    first, _ = calls.twice(step)
    assert first.text == "back up, then migrate from revision aa11 to cc33"
    assert sqlite_metadata.revision(tenant.database) == "cc33"
    (backup,) = tenant.backups.glob("airflow-aa11*.db")
    assert not tenant.migrating.exists()
    assert (sqlite_metadata.revision(backup), rows(backup)) == ("aa11", [("mine",)])
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert stopped == [tenant.run]


def test_a_migration_that_fails_says_where_the_copy_is(step, calls, tenant, outputs, stopped, place):
    old_database(tenant, "aa11")
    (place.directory / "shared/bin/failing").touch()
    with pytest.raises(errors.ProgramError, match="the migration said no") as caught:
        calls.run(step)
    assert str(tenant.backups) in caught.value.hint
    (backup,) = tenant.backups.glob("airflow-aa11*.db")
    assert sqlite_metadata.revision(backup) == "aa11"
    (place.directory / "shared/bin/failing").unlink()
    assert calls.twice(step)[0].changed


def test_a_migration_that_was_cut_short_begins_with_the_good_copy(
    step, calls, tenant, stopped, place, monkeypatch
):
    """SQLite changes tables outside of transactions: a killed migration may have lost some."""
    old_database(tenant, "aa11")
    (place.directory / "shared/bin/failing").touch()
    with pytest.raises(errors.ProgramError):
        calls.run(step)
    (place.directory / "shared/bin/failing").unlink()
    with contextlib.closing(sqlite3.connect(tenant.database)) as connection, connection:
        connection.execute("DROP TABLE connection")
    (backup,) = tenant.backups.glob("airflow-aa11*.db")
    ran, _ = calls.twice(step)
    assert ran.text == f"put back {backup.name}, since its migration was cut short, and migrate to cc33"
    assert rows(tenant.database) == rows(backup) == [("mine",)]
    assert list(tenant.backups.iterdir()) == [backup]


def test_a_pipe_in_place_of_the_database_is_replaced_and_not_waited_for(step, calls, tenant):
    os.mkfifo(tenant.database)
    calls.twice(step)
    assert stat.S_ISREG(tenant.database.lstat().st_mode)
    tenant.database.unlink()
    os.mkfifo(tenant.database)
    with pytest.raises(errors.StateError, match="no regular file"):
        sqlite_metadata.bundle_version(tenant.database, "dags")


def test_a_link_in_place_of_the_database_is_not_followed(step, calls, tenant, tmp_path):
    tenant.database.symlink_to(programs.database(tmp_path / "other.db", "cc33"))
    with pytest.raises(errors.StateError, match="no regular file"):
        calls.run(step)


def test_a_database_of_a_newer_airflow_is_left_alone(step, calls, tenant):
    before = old_database(tenant, "ee55").read_bytes()
    with pytest.raises(errors.StepError, match="ee55, which this Airflow does not know") as caught:
        calls.run(step)
    assert "never downgraded" in caught.value.hint
    assert tenant.database.read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "cut"])
def test_a_damaged_database_is_told_and_left_alone(step, calls, tenant, damage):
    path = old_database(tenant, "cc33")
    content = b"no database" * 100 if damage == "text" else path.read_bytes()[:5000]
    path.write_bytes(content)
    with pytest.raises(errors.StateError, match="cannot be read") as caught:
        calls.run(step)
    assert str(path) in caught.value.message
    assert "backup" in caught.value.hint
    assert path.read_bytes() == content


def test_a_copy_for_which_there_is_no_template_leaves_nothing(step, calls, tenant, outputs):
    calls.outputs["database-template"] = {**outputs["database-template"], "database": "/nowhere/template.db"}
    with pytest.raises(errors.StateError, match="No such file"):
        calls.run(step)
    assert list(tenant.home.iterdir()) == []


def test_git_may_read_the_repository_for_the_tenant(place, calls, tenant):
    step = database.GitConfiguration(place)
    calls.twice(step)
    path = tenant.home / ".gitconfig"
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert users.of_tenant(tenant.directory) in (None, found.st_uid)
    path.write_text("[safe]\n")
    again, _ = calls.twice(step)
    assert again.changed


def test_git_reads_the_same_path_whatever_is_in_it(place, tenant, calls):
    odd = state_files.EnvironmentFiles(place.directory / 'a #1; "b" \\ c')
    odd.tenant("analytics").home.mkdir(parents=True)
    calls.run(database.GitConfiguration(odd))
    told = calls.programs.run(
        ["git", "config", "--file", odd.tenant("analytics").home / ".gitconfig", "safe.directory"], timeout=10
    )
    assert told.stdout == f"{odd.repository}\n"
