"""The step `database-role` on a real server: the contract that its double passes, too."""

import pytest

from tests.postgresql import server as servers
from tests.postgresql.conftest import run
from tests.steps import calling, database_role_contract
from tests.steps.database_role_contract import down, role_step


class Server:
    """The real one, as the contract drives it."""

    def __init__(self, administrator, cluster):
        self.administrator = administrator
        self._cluster = cluster

    def limit(self, name, limit):
        run(self.administrator, f'ALTER ROLE "{name}" CONNECTION LIMIT {limit}')

    def stop(self):
        self._cluster.stop()


@pytest.fixture
def server(admin, cluster):
    made = Server(admin, cluster)
    yield made
    if cluster.process.poll() is not None:
        cluster.start()
    for tenant in ("analytics", "finance"):
        down(role_step(made), tenant)


class TestOnARealServer(database_role_contract.Contract):
    pass


def test_databases_that_stay_open_are_named(server, superuser):
    """An administrator that does not own `postgres` cannot close it."""
    run(superuser, "CREATE DATABASE entrance", "CREATE ROLE porter LOGIN CREATEDB CREATEROLE PASSWORD 'p'")
    porter = servers.postgresql_server.Server(
        superuser.host, superuser.port, "porter", servers.secrets.Secret("p"), database="entrance"
    )
    try:
        one = role_step(server, server=lambda context: porter)
        first, second = calling.Calls().twice(one)
        assert second.text.endswith("; but only their owner can close entrance to other roles")
        assert first.changed
        down(one)
    finally:
        run(superuser, "DROP DATABASE entrance", "DROP ROLE porter")
