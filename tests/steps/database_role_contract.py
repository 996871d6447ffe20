"""What the step `database-role` does, on whatever stands for PostgreSQL: the double here, a server in tests/postgresql.

A module that imports `Contract` as a base has a fixture `server` with `administrator`, `limit(name, limit)`,
and `stop()`.
"""

from __future__ import annotations

import json

import pytest

from airflow_platform import errors, secrets
from airflow_platform.engine import step
from airflow_platform.runtimes.docker import database_role
from airflow_platform.tools.postgresql import server_errors, tenant_databases
from tests.steps import calling

PASSWORD = secrets.Secret("the-tenant's-own-4711")
NAME = "sandbox_analytics"
OUTPUTS = {"database": NAME, "role": NAME}


def role_step(server, /, **changes):
    """The step, for this server."""
    arguments = {
        "server": lambda context: server.administrator,
        "password": lambda context: PASSWORD,
        "owner": "these tests",
        "limit": 7,
    }
    return database_role.TenantDatabaseRole(**{**arguments, **changes})


def down(step_, tenant="analytics"):
    return calling.Calls(tenant=tenant, goal=step.Goal.ABSENT).run(step_)


class Contract:
    """The tests."""

    def test_it_is_made_once(self, server):
        first, second = calling.Calls().twice(role_step(server))
        assert f"make role {NAME} for at most 7 connections; make database {NAME}" in first.text
        assert second.text.startswith(f"role and database {NAME} are there")
        assert first.outputs == OUTPUTS

    def test_the_password_is_in_nothing_that_is_written_down(self, server):
        calls = calling.Calls()
        planned = calls.plan(role_step(server))
        outputs = calls.run(role_step(server)).outputs
        assert PASSWORD.reveal() not in json.dumps([planned.to_json(), outputs])
        assert calls.programs.mask(f"psql said {PASSWORD.reveal()}") == "psql said ***"

    def test_what_somebody_changed_is_mended(self, server):
        calling.Calls().run(role_step(server))
        server.limit(NAME, 3)
        first, _ = calling.Calls().twice(role_step(server))
        assert first.text == "limit the role to 7 connections instead of 3"

    def test_another_password_or_limit_is_set(self, server):
        calling.Calls().run(role_step(server))
        other = role_step(server, password=lambda context: secrets.Secret("another"), limit=8)
        first, _ = calling.Calls().twice(other)
        assert first.text == "limit the role to 8 connections instead of 7; set the role's password"

    def test_the_way_down_drops_it_once(self, server):
        calling.Calls().run(role_step(server))
        first, second = down(role_step(server)), down(role_step(server))
        assert first.text == f"drop database {NAME}, role {NAME}"
        assert second.text == "it is not there"
        assert calling.Calls().run(role_step(server)).changed

    def test_the_way_down_needs_no_password(self, server):
        calling.Calls().run(role_step(server))
        assert down(role_step(server, password=lambda context: None)).changed

    def test_other_tenants_stay(self, server):
        for name in ("analytics", "finance"):
            calling.Calls(tenant=name).run(role_step(server))
        down(role_step(server), "finance")
        assert not calling.Calls().run(role_step(server)).changed

    @pytest.mark.parametrize("goal", step.Goal)
    def test_another_installations_role_is_not_touched(self, server, goal):
        calling.Calls().run(role_step(server))
        another = role_step(server, owner="another installation")
        with pytest.raises(tenant_databases.Foreign, match=f"Role {NAME} is somebody else's") as caught:
            calling.Calls(goal=goal).run(another)
        assert "'airflow-platform: tenant analytics of these tests'" in caught.value.message
        assert not calling.Calls().run(role_step(server)).changed

    def test_a_server_that_is_stopped_is_told(self, server):
        calling.Calls().run(role_step(server))
        server.stop()
        with pytest.raises(server_errors.NotReachable):
            calling.Calls().run(role_step(server))
        with pytest.raises(errors.StepError, match=f"what {NAME} has there cannot be deleted") as caught:
            down(role_step(server))
        assert caught.value.hint.startswith("Start it (`inv tenant-up --env=sandbox` does)")
