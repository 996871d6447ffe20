"""What is read in an Airflow's database, as the tenant; and copies of it."""

import datetime

import psycopg
import pytest

from airflow_platform.tools.airflow import airflow_answers
from airflow_platform.tools.postgresql import (
    catalog,
    database_copies,
    postgresql_server,
    server_errors,
    tenant_databases,
)
from tests.postgresql.conftest import connect, run

AIRFLOW = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
    "INSERT INTO alembic_version VALUES ('29ce7909c52b')",
    "CREATE TABLE dag_bundle (name VARCHAR(250), active BOOLEAN, version VARCHAR(200), last_refreshed TIMESTAMPTZ)",
    "INSERT INTO dag_bundle VALUES ('dags', true, 'c0ffee', '2026-11-26T20:20:37.5+01:00')",
    "INSERT INTO dag_bundle VALUES ('old', false, 'dead', now()), ('new', true, NULL, NULL)",
)


@pytest.fixture
def airflow(tenant):
    """A tenant whose Airflow has migrated its database."""
    tenant.bring()
    run(tenant.server, *AIRFLOW)
    return tenant


def test_the_revision(airflow):
    assert postgresql_server.revision(airflow.server) == "29ce7909c52b"


def test_there_is_no_revision_without_database_table_or_row(tenant, superuser):
    tenant.bring()
    assert postgresql_server.revision(tenant.server) == ""
    run(tenant.server, AIRFLOW[0])
    assert postgresql_server.revision(tenant.server) == ""
    run(superuser, f'DROP DATABASE "{tenant.name}"')
    assert postgresql_server.revision(tenant.server) == ""


def test_the_version_of_a_bundle_is_the_active_ones(airflow, tenant):
    versions = {
        name: postgresql_server.bundle_version(tenant.server, name) for name in ("dags", "old", "new", "no")
    }
    assert versions == {"dags": "c0ffee", "old": "", "new": "", "no": ""}


def test_the_last_look_for_a_bundle_s_version_is_a_time_in_utc(tenant, airflow):
    told = postgresql_server.bundle_refreshed(tenant.server, "dags")
    assert airflow_answers.moment(told) == datetime.datetime(
        2026, 11, 26, 19, 20, 37, 500_000, tzinfo=datetime.UTC
    )
    for name in ("old", "new", "no"):
        assert postgresql_server.bundle_refreshed(tenant.server, name) == ""


def test_there_is_no_version_before_the_migration(tenant):
    tenant.bring()
    assert postgresql_server.bundle_version(tenant.server, "dags") == ""


TRAP = (
    "CREATE FUNCTION trap() RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
    "EXECUTE 'RESET ROLE'; EXECUTE format('ALTER ROLE %I CREATEROLE CREATEDB', current_database()); "
    "RETURN 'f00'; END $$"
)


def test_a_trap_in_the_place_of_a_table_runs_with_the_tenants_own_rights(tenant, superuser):
    tenant.bring()
    run(tenant.server, TRAP, "CREATE VIEW alembic_version AS SELECT trap() AS version_num")
    with pytest.raises(server_errors.NotAllowed):
        postgresql_server.revision(tenant.server)
    assert tenant.differences() == ()
    # The trap is a real one: it gets whoever reads it as an administrator.
    with connect(superuser, database=tenant.name, autocommit=False) as connection:
        connection.execute("SELECT version_num FROM public.alembic_version")
        attributes = connection.execute(
            "SELECT rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = %s", (tenant.name,)
        ).fetchone()
        connection.rollback()
    assert attributes == (True, True)


def test_a_search_path_of_the_tenants_does_not_lead_astray(airflow):
    run(
        airflow.server,
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine.is_it(varchar, text) RETURNS bool LANGUAGE sql AS 'SELECT true'",
        "CREATE OPERATOR mine.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = mine.is_it)",
        f'ALTER DATABASE "{airflow.name}" SET search_path = mine, pg_catalog',
    )
    assert postgresql_server.bundle_version(airflow.server, "no") == ""


@pytest.mark.parametrize("answer", ["'a; DROP DATABASE x'", "repeat('a', 33)", "'é'"])
def test_what_is_no_revision_is_an_error(answer, tenant):
    tenant.bring()
    run(tenant.server, f"CREATE VIEW alembic_version AS SELECT {answer} AS version_num")
    with pytest.raises(server_errors.StatementError, match="says that it is at revision"):
        postgresql_server.revision(tenant.server)


def test_a_table_that_never_answers_is_left(tenant, monkeypatch):
    monkeypatch.setattr(postgresql_server, "QUESTION_TIMEOUT", 0.2)
    tenant.bring()
    run(tenant.server, "CREATE VIEW alembic_version AS SELECT pg_sleep(60)::text AS version_num")
    with pytest.raises(server_errors.StatementError, match="did not end in time"):
        postgresql_server.revision(tenant.server)


def test_a_copy_has_what_the_database_had_and_belongs_to_the_administrator(airflow):
    copied = f"{airflow.name}.29ce7909c52b"
    database_copies.copy(airflow.admin, airflow.name, copied)
    assert airflow.copies() == (copied,)
    (found,) = airflow.described().copies
    assert found.owned
    run(airflow.admin, f'ALTER DATABASE "{copied}" ALLOW_CONNECTIONS true')
    with connect(airflow.admin, database=copied) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("29ce7909c52b",)
        assert connection.execute(
            "SELECT tableowner FROM pg_tables WHERE tablename = 'alembic_version'"
        ).fetchone() == (airflow.name,)


def test_a_copy_can_be_put_back(airflow):
    """As docs/operations.md says."""
    copied = f"{airflow.name}.29ce7909c52b"
    database_copies.copy(airflow.admin, airflow.name, copied)
    run(airflow.server, "UPDATE alembic_version SET version_num = 'broken'")
    name = f'"{airflow.name}"'
    run(
        airflow.admin,
        f"DROP DATABASE {name} WITH (FORCE)",
        f'CREATE DATABASE {name} OWNER {name} TEMPLATE "{copied}" ALLOW_CONNECTIONS false',
    )
    airflow.bring()
    assert airflow.differences() == ()
    assert postgresql_server.revision(airflow.server) == "29ce7909c52b"


def test_a_newer_copy_takes_the_place_of_the_older(airflow):
    copied = f"{airflow.name}.r1"
    database_copies.copy(airflow.admin, airflow.name, copied)
    run(airflow.server, "UPDATE alembic_version SET version_num = 'newer'")
    database_copies.copy(airflow.admin, airflow.name, copied)
    assert airflow.copies() == (copied,)
    run(airflow.admin, f'ALTER DATABASE "{copied}" ALLOW_CONNECTIONS true')
    with connect(airflow.admin, database=copied) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("newer",)


def test_a_database_in_use_is_not_copied(airflow):
    # PostgreSQL waits for five seconds before it says so.
    with connect(airflow.server), pytest.raises(server_errors.StatementError) as caught:
        database_copies.copy(airflow.admin, airflow.name, f"{airflow.name}.r1")
    assert caught.value.state == psycopg.errors.ObjectInUse.sqlstate
    assert "being accessed by other users" in caught.value.message
    assert airflow.copies() == ()


def test_what_is_no_tenants_is_not_copied(tenant, superuser):
    for source in ("postgres", "template1", tenant.name):
        with pytest.raises(tenant_databases.Foreign):
            database_copies.copy(tenant.admin, source, f"{source}.r1")
    assert catalog.describe(superuser, "postgres", None).copies == ()


@pytest.mark.parametrize("target", ["dev_b.r1", "dev_alpha-one", "dev_alpha-one.", "dev_alpha-one.draft"])
def test_a_copy_is_named_after_its_database(target, tenant):
    with pytest.raises(ValueError, match="a copy of dev_alpha-one is called"):
        database_copies.copy(tenant.admin, tenant.name, target)
