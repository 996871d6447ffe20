"""A tenant's role and database on a real server: made, mended, dropped, and never somebody else's."""

import threading
import time

import psycopg
import pytest
from psycopg import sql

from airflow_platform import errors, secrets
from airflow_platform.tools.postgresql import (
    catalog,
    database_copies,
    postgresql_server,
    server_errors,
    sql_statements,
    tenant_databases,
)
from tests.postgresql import server as servers
from tests.postgresql.conftest import LIMIT, MARK, Tenant, connect, run

STRANGER = "stranger"


@pytest.fixture
def stranger(superuser):
    """A role of somebody else's."""
    run(superuser, f"CREATE ROLE {STRANGER}")
    yield STRANGER
    run(superuser, f"DROP OWNED BY {STRANGER} CASCADE", f"DROP ROLE {STRANGER}")


def test_it_is_made_and_then_nothing_is_left_to_do(tenant):
    assert tenant.differences()[-2:] == (
        f"make role {tenant.name} for at most {LIMIT} connections",
        f"make database {tenant.name}",
    )
    tenant.bring()
    assert tenant.differences() == ()
    assert tenant.described() == catalog.Described(
        role=catalog.Role(
            mark=MARK,
            attributes=(),
            can_log_in=True,
            expires=False,
            limit=LIMIT,
            member_of=(),
            members=(),
            guest_of=(),
            administered=True,
            password_fits=True,
        ),
        database=catalog.Database(owner=tenant.name, is_open=True, half_dropped=False, guests=()),
    )


def test_the_second_time_changes_nothing(tenant, statements):
    tenant.bring()
    statements.clear()
    tenant.bring()
    assert statements
    assert all(each.lstrip().startswith("SELECT") for each in statements)


@pytest.fixture
def statements(monkeypatch):
    """What is sent, as text."""
    sent = []
    execute = psycopg.Connection.execute

    def record(self, query, *arguments, **options):
        sent.append(query.as_string(self) if isinstance(query, sql.Composable) else query)
        return execute(self, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", record)
    return sent


def test_it_is_a_database_for_any_text(tenant):
    tenant.bring()
    rows = run(tenant.server, "SHOW server_encoding")
    assert rows == [("UTF8",)]


# By whom (the superuser, the tenant itself), what was done, and what is then said.
DRIFTS = {
    "superuser": ("ALTER ROLE {t} SUPERUSER", "take SUPERUSER from the role"),
    "createdb": ("ALTER ROLE {t} CREATEDB", "take CREATEDB from the role"),
    "createrole": ("ALTER ROLE {t} CREATEROLE", "take CREATEROLE from the role"),
    "replication": ("ALTER ROLE {t} REPLICATION", "take REPLICATION from the role"),
    "bypassrls": ("ALTER ROLE {t} BYPASSRLS", "take BYPASSRLS from the role"),
    "limit": ("ALTER ROLE {t} CONNECTION LIMIT -1", f"limit the role to {LIMIT} connections instead of -1"),
    "no login": ("ALTER ROLE {t} NOLOGIN", "let the role log in"),
    "expired": ("ALTER ROLE {t} VALID UNTIL '2001-01-01'", "let the role log in; set the role's password"),
    "will expire": ("ALTER ROLE {t} VALID UNTIL '2999-01-01'", "let the role log in"),
    "other password": ("ALTER ROLE {t} PASSWORD 'other'", "set the role's password"),
    "no password": ("ALTER ROLE {t} PASSWORD NULL", "set the role's password"),
    "reads files": ("GRANT pg_read_server_files TO {t}", "take membership in pg_read_server_files from the role"),
    "is a stranger": ("GRANT stranger TO {t}", "take membership in stranger from the role"),
    "a stranger is it": ("GRANT {t} TO stranger", "take membership in the role from stranger"),
    "guest elsewhere": (
        "GRANT CONNECT ON DATABASE postgres TO {t}", "take the rights on database postgres from the role",
    ),
    "open to all": ("GRANT CONNECT ON DATABASE {t} TO PUBLIC", "take the rights on the database from public"),
    "open to one": ("GRANT CREATE ON DATABASE {t} TO stranger", "take the rights on the database from stranger"),
    "database limit": ("ALTER DATABASE {t} CONNECTION LIMIT 0", "open the database to the tenant"),
    "closed": ("ALTER DATABASE {t} ALLOW_CONNECTIONS false", "open the database to the tenant"),
    "shared again": ("GRANT TEMPORARY ON DATABASE template1 TO PUBLIC", "close template1 to other roles"),
}  # fmt: skip
FOR_SUPERUSERS = {"superuser", "replication", "bypassrls"}


@pytest.mark.parametrize("drift", DRIFTS)
def test_what_somebody_changed_is_said_and_mended(drift, tenant, superuser, stranger):
    statement, says = DRIFTS[drift]
    tenant.bring()
    run(superuser, statement.format(t=f'"{tenant.name}"'))
    assert "; ".join(tenant.differences()) == says
    if drift in FOR_SUPERUSERS and tenant.admin != superuser:
        with pytest.raises(server_errors.NotAllowed, match="superuser"):
            tenant.bring()
        run(superuser, f'ALTER ROLE "{tenant.name}" NOSUPERUSER NOREPLICATION NOBYPASSRLS')
    tenant.bring()
    assert tenant.differences() == ()


def test_all_that_the_tenant_itself_can_change_is_mended(tenant, stranger):
    tenant.bring()
    name = f'"{tenant.name}"'
    run(
        tenant.server,
        f"ALTER ROLE {name} PASSWORD 'other'",
        f"GRANT ALL ON DATABASE {name} TO PUBLIC",
        f"GRANT ALL ON DATABASE {name} TO {stranger} WITH GRANT OPTION",
        f"ALTER DATABASE {name} CONNECTION LIMIT 1",
        f"COMMENT ON DATABASE {name} IS 'somebody else''s'",
        f"ALTER DATABASE {name} IS_TEMPLATE true",
        f"ALTER DATABASE {name} SET search_path = 'public'",
    )
    assert len(tenant.differences()) == 4
    tenant.bring()
    assert tenant.differences() == ()


def test_what_was_not_mended_is_an_error(tenant, superuser, monkeypatch):
    tenant.bring()
    run(superuser, f'ALTER ROLE "{tenant.name}" CONNECTION LIMIT 1')
    monkeypatch.setattr(tenant_databases, "_mend_role", lambda *arguments: None)
    with pytest.raises(errors.StepError, match=r"left to do: limit the role to 3 connections instead of 1\."):
        tenant.bring()


def test_going_takes_database_copies_and_role_and_throws_everybody_out(tenant, superuser):
    tenant.bring()
    database_copies.copy(tenant.admin, tenant.name, f"{tenant.name}.r1")
    run(tenant.server, f'ALTER DATABASE "{tenant.name}" IS_TEMPLATE true', "CREATE TABLE t (x int)")
    with connect(tenant.server) as connection:
        tenant.take_away()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    left = run(superuser, f"SELECT datname FROM pg_database WHERE starts_with(datname, '{tenant.name}')")
    assert left == []
    assert tenant.described() == catalog.Described()
    tenant.take_away()


def test_the_servers_own_work_in_a_database_keeps_nobody_from_dropping_it(own_autovacuum):
    """PostgreSQL refuses `DROP DATABASE … WITH (FORCE)` then, to whoever is no superuser."""
    superuser, tenant = own_autovacuum
    tenant.bring()
    run(tenant.server, "CREATE TABLE t AS SELECT generate_series(1, 100000)", "DELETE FROM t")
    # That it is at work on the table: one that finds nothing to do has gone before the next statement.
    query = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{tenant.name}' AND query ~ '^autovacuum:.*public.t$'"
    deadline = time.monotonic() + 60
    while not run(superuser, query):
        assert time.monotonic() < deadline, "autovacuum never came"
        time.sleep(0.02)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(tenant.admin, f'DROP DATABASE "{tenant.name}" WITH (FORCE)')
    tenant.take_away()
    assert tenant.described().role is None


@pytest.fixture
def own_autovacuum():
    """A tenant on a server whose autovacuum comes at once and stays."""
    settings = "autovacuum_naptime=1s", "autovacuum_vacuum_cost_delay=50ms", "autovacuum_vacuum_cost_limit=1"
    with servers.cluster(*settings) as made:
        run(made.server, "CREATE ROLE master LOGIN CREATEDB CREATEROLE PASSWORD 'm'")
        run(made.server, "GRANT CONNECT ON DATABASE postgres TO master")
        master = postgresql_server.Server(made.server.host, made.server.port, "master", secrets.Secret("m"))
        yield made.server, Tenant(master, "dev_vacuumed", secrets.Secret("v"))


def test_a_database_whose_dropping_was_cut_short_by_the_servers_end(tenant, superuser):
    tenant.bring()
    database_copies.copy(tenant.admin, tenant.name, f"{tenant.name}.r1")
    run(superuser, f"UPDATE pg_database SET datconnlimit = -2 WHERE starts_with(datname, '{tenant.name}')")
    assert tenant.copies() == ()
    assert tenant.differences() == (f"finish dropping database {tenant.name}", f"make database {tenant.name}")
    tenant.bring()
    assert tenant.differences() == ()
    run(superuser, f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{tenant.name}'")
    tenant.take_away()
    assert tenant.described() == catalog.Described()


def test_a_role_that_owns_something_elsewhere_is_named_and_kept(tenant, superuser):
    tenant.bring()
    run(superuser, "CREATE DATABASE elsewhere")
    run(superuser, f'CREATE TABLE t (x int); ALTER TABLE t OWNER TO "{tenant.name}"', database="elsewhere")
    try:
        with pytest.raises(server_errors.StatementError, match="in database elsewhere"):
            tenant.take_away()
        assert tenant.described().role is not None
    finally:
        run(superuser, "DROP DATABASE elsewhere")
    tenant.take_away()
    assert tenant.described() == catalog.Described()


FOREIGN = {
    "a role without a comment": ("CREATE ROLE {t}", "DROP ROLE {t}", "it has no comment"),
    "a role with another comment": (
        "CREATE ROLE {t}; COMMENT ON ROLE {t} IS 'airflow-platform: of another checkout'",
        "DROP ROLE {t}",
        "its comment is 'airflow-platform: of another checkout'",
    ),
    "a database": ("CREATE DATABASE {t}", "DROP DATABASE {t}", "it belongs to role postgres"),
    "a database named like a copy": (
        "CREATE DATABASE {t.r1} OWNER stranger", "DROP DATABASE {t.r1}", "though named like a copy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("foreign", FOREIGN)
def test_what_is_somebody_elses_is_not_touched(foreign, tenant, superuser, stranger, statements):
    make, drop, says = FOREIGN[foreign]
    for old, new in (("{t}", f'"{tenant.name}"'), ("{t.r1}", f'"{tenant.name}.r1"')):
        make, drop = make.replace(old, new), drop.replace(old, new)
    run(superuser, *make.split("; "))
    statements.clear()
    try:
        for call in (tenant.differences, tenant.bring, tenant.take_away):
            with pytest.raises(tenant_databases.Foreign, match=says) as caught:
                call()
            assert "Rename" in caught.value.hint or "rename" in caught.value.hint
        assert all(each.lstrip().startswith("SELECT") for each in statements)
    finally:
        run(superuser, drop)


def test_a_database_of_the_name_that_belongs_to_somebody_else_than_our_role_is_not_touched(
    tenant, superuser, stranger
):
    tenant.bring()
    run(superuser, f'ALTER DATABASE "{tenant.name}" OWNER TO {stranger}')
    for call in (tenant.differences, tenant.bring, tenant.take_away):
        with pytest.raises(tenant_databases.Foreign, match=f"it belongs to role {stranger}"):
            call()
    run(superuser, f'ALTER DATABASE "{tenant.name}" OWNER TO "{tenant.name}"')


def test_the_password_never_reaches_the_servers_log(cluster, tenant):
    password = "in-no-log-0f6c"
    tenant.password = secrets.Secret(password)
    tenant.bring()
    run(cluster.server, f'ALTER ROLE "{tenant.name}" PASSWORD NULL')
    tenant.bring()
    log = cluster.log
    assert f'ALTER ROLE "{tenant.name}" PASSWORD ' in log
    assert "'SCRAM-SHA-256$4096:" in log
    assert password not in log
    # The log does have a password that is sent as it is.
    run(cluster.server, f"ALTER ROLE \"{tenant.name}\" PASSWORD 'in-the-log-77aa'")
    assert "in-the-log-77aa" in cluster.log


def test_nobody_can_connect_while_it_is_being_made(tenant, superuser, monkeypatch):
    """Between CREATE DATABASE and REVOKE, PUBLIC has its rights; only nobody is let in."""
    seen = []
    opened = tenant_databases._open

    def look_before(connection, name, database):
        with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
            connect(superuser, database=name)
        seen.append(catalog.describe(superuser, name, None).database)
        opened(connection, name, database)

    monkeypatch.setattr(tenant_databases, "_open", look_before)
    tenant.bring()
    assert seen == [catalog.Database(tenant.name, is_open=False, half_dropped=False, guests=("public",))]


def test_many_tenants_at_the_same_time(admin, superuser):
    run(superuser, *(f"GRANT ALL ON DATABASE {name} TO PUBLIC" for name in ("postgres", "template1")))
    tenants = [Tenant(admin, f"dev_many-{number}", secrets.Secret(f"many {number}")) for number in range(6)]
    for function in ("bring", "take_away"):
        failed = []

        def run_one(each, function=function, failed=failed):
            try:
                getattr(each, function)()
            except errors.PlatformError as error:
                failed.append(error)

        threads = [threading.Thread(target=run_one, args=(each,)) for each in tenants]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        if function == "bring":
            assert [each.differences() for each in tenants] == [()] * 6


def test_two_at_the_same_tenant_wait_for_each_other(tenant):
    with (
        sql_statements.locked(tenant.admin, tenant.name),
        pytest.raises(errors.BusyError, match=f"Somebody else works on {tenant.name}"),
        sql_statements.locked(tenant.admin, tenant.name, timeout=0.2),
    ):
        pass
    with sql_statements.locked(tenant.admin, tenant.name, timeout=0.2):
        pass


def test_databases_that_the_administrator_cannot_close_are_named(superuser):
    run(
        superuser,
        "CREATE ROLE poor LOGIN CREATEDB CREATEROLE PASSWORD 'poor'",
        # It is the one that the administrator logs in to, and somebody else's.
        "CREATE DATABASE rich",
    )
    admin = postgresql_server.Server(
        superuser.host, superuser.port, "poor", secrets.Secret("poor"), database="rich"
    )
    tenant = Tenant(admin, "dev_poor", secrets.Secret("poor tenant"))
    try:
        tenant.bring()
        assert tenant.differences() == ()
        assert tenant.described().unclosable == ("rich",)
    finally:
        tenant.take_away()
        run(superuser, "DROP DATABASE rich", "DROP ROLE poor")


def test_an_administrator_without_rights_is_told_what_it_lacks(superuser):
    run(
        superuser,
        "CREATE ROLE powerless LOGIN PASSWORD 'none'",
        "GRANT CONNECT ON DATABASE postgres TO powerless",
    )
    admin = postgresql_server.Server(superuser.host, superuser.port, "powerless", secrets.Secret("none"))
    try:
        with pytest.raises(server_errors.NotAllowed, match="permission denied to create role") as caught:
            Tenant(admin, "dev_none", secrets.Secret("x")).bring()
        assert "CREATEROLE and CREATEDB" in caught.value.hint
        assert caught.value.exit_code == errors.ExitCode.REFUSED
    finally:
        run(superuser, "DROP OWNED BY powerless", "DROP ROLE powerless")
