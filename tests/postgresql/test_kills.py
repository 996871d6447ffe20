"""The connection is cut, or the process killed, at every statement; the next run converges, the one after rests."""

import contextlib
import subprocess
import sys

import psycopg
import pytest

from airflow_platform.tools.postgresql import catalog, database_copies, server_errors
from tests.postgresql.conftest import LIMIT, MARK, run

LOOKS = 10
"""Statements of `bring` when nothing is to do: a lock, four questions, four questions again, the lock's end."""

MOST = 40
"""Statements; no function sends as many."""


class Cut:
    """Counts statements, and cuts the connection before one of them: after the one before it, that is."""

    def __init__(self, monkeypatch):
        self.sent = 0
        self._at = 0
        self._text = ""
        execute = psycopg.Connection.execute

        def cutting(connection, query, *arguments, **options):
            self.sent += 1
            if self.sent == self._at or (self._text and self._text in str(query)):
                connection.pgconn.finish()
            return execute(connection, query, *arguments, **options)

        monkeypatch.setattr(psycopg.Connection, "execute", cutting)

    def arm(self, at=0, *, text=""):
        """Cut before the statement of this number, or with this text in it; without arguments none."""
        self.sent, self._at, self._text = 0, at, text


@pytest.fixture
def cut(monkeypatch):
    return Cut(monkeypatch)


def cut_everywhere(cut, prepare, act, check):
    """Cut before each statement in turn; returns how many there are."""
    for at in range(1, MOST):
        prepare()
        cut.arm(at)
        # The last statement gives a lock back, which a cut does as well: nobody need notice.
        with contextlib.suppress(server_errors.StatementError):
            act()
        reached = cut.sent >= at
        cut.arm()
        if not reached:
            return at - 1
        act()
        check()
    raise AssertionError("it never ends")


@pytest.fixture
def drifted(tenant, superuser):
    """Makes the tenant anew and changes all that can be changed."""

    def drift():
        tenant.bring()
        name = f'"{tenant.name}"'
        run(
            superuser,
            f"ALTER ROLE {name} CREATEDB CREATEROLE NOLOGIN CONNECTION LIMIT 1 PASSWORD 'other'",
            f"GRANT pg_monitor TO {name}",
            f"GRANT CONNECT ON DATABASE postgres TO {name}",
            f"GRANT CONNECT ON DATABASE {name} TO PUBLIC",
            f"ALTER DATABASE {name} CONNECTION LIMIT 7 ALLOW_CONNECTIONS false",
            "GRANT TEMPORARY ON DATABASE template1 TO PUBLIC",
        )

    return drift


def rests(tenant, cut):
    """All is as it must be, and to bring it again only looks."""
    assert tenant.differences() == ()
    cut.arm()
    tenant.bring()
    assert cut.sent == LOOKS


def test_bringing_a_new_tenant(tenant, cut):
    count = cut_everywhere(cut, tenant.take_away, tenant.bring, lambda: rests(tenant, cut))
    assert count > 15


def test_mending_a_tenant(tenant, cut, drifted):
    count = cut_everywhere(cut, drifted, tenant.bring, lambda: rests(tenant, cut))
    assert count > 15


def test_taking_a_tenant_away(tenant, cut):
    def prepare():
        tenant.bring()
        database_copies.copy(tenant.admin, tenant.name, f"{tenant.name}.r1")

    def check():
        assert tenant.described() == catalog.Described()

    assert cut_everywhere(cut, prepare, tenant.take_away, check) > 10


def test_bringing_a_tenant_back_that_was_half_taken_away(tenant, cut):
    for at in range(1, MOST):
        tenant.bring()
        cut.arm(at)
        with contextlib.suppress(server_errors.StatementError):
            tenant.take_away()
        reached = cut.sent >= at
        cut.arm()
        if not reached:
            break
        tenant.bring()
        rests(tenant, cut)
    assert at > 10


def test_copying(tenant, cut):
    copied = f"{tenant.name}.r1"

    def prepare():
        tenant.take_away()
        tenant.bring()
        database_copies.copy(tenant.admin, tenant.name, copied)

    def act():
        database_copies.copy(tenant.admin, tenant.name, copied)

    def check():
        assert [each.name for each in tenant.described().copies] == [copied]
        assert tenant.copies() == (copied,)

    assert cut_everywhere(cut, prepare, act, check) > 8


def test_a_draft_that_was_left_goes_with_the_tenant(tenant, cut):
    tenant.bring()
    cut.arm(text="COMMENT ON DATABASE")
    with pytest.raises(server_errors.StatementError, match="the connection was lost"):
        database_copies.copy(tenant.admin, tenant.name, f"{tenant.name}.r1")
    cut.arm()
    (draft,) = tenant.described().copies
    assert (draft.name, draft.mark) == (f"{tenant.name}.draft", "")
    assert tenant.copies() == ()
    tenant.take_away()
    assert tenant.described() == catalog.Described()


_CHILD = """
import os, signal, sys
import psycopg
from psycopg import sql
from airflow_platform import secrets
from airflow_platform.tools.postgresql import postgresql_server as postgresql, tenant_databases as postgresql_tenants
host, port, user, password, name, of_tenant, mark, limit, function, at = sys.argv[1:]
execute, changes = psycopg.Connection.execute, 0
def dying(self, query, *arguments, **options):
    global changes
    changes += isinstance(query, sql.Composable)
    if changes == int(at):
        self.pgconn.send_query(query.as_bytes(self))
        self.pgconn.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(self, query, *arguments, **options)
psycopg.Connection.execute = dying
server = postgresql.Server(host, int(port), user, secrets.Secret(password))
given = {"password": secrets.Secret(of_tenant), "limit": int(limit)} if function == "bring" else {}
getattr(postgresql_tenants, function)(server, name, mark=mark, **given)
"""


def killed(tenant, function, at):
    """Whether a process was killed right after it had sent that change; the server goes on with it."""
    admin = tenant.admin
    result = subprocess.run(
        [
            sys.executable, "-c", _CHILD, admin.host, str(admin.port), admin.user, admin.password.reveal(),
            tenant.name, tenant.password.reveal(), MARK, str(LIMIT), function, str(at),
        ],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert result.returncode in (0, -9), result.stderr
    return result.returncode == -9


@pytest.mark.parametrize("function", ["bring", "take_away"])
def test_a_process_that_is_killed_while_the_server_works_on_its_statement(function, tenant, cut):
    for at in range(1, MOST):
        if function == "take_away":
            tenant.bring()
        if not killed(tenant, function, at):
            break
        # At once: it waits for what the server still does for the dead.
        tenant.bring()
        rests(tenant, cut)
        tenant.take_away()
        assert tenant.described() == catalog.Described()
    assert at > 5
