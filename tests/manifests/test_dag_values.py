"""What DAG files find while they are imported: every tenant's values, no secret."""

import json

from airflow_platform.dags.check import import_values
from airflow_platform.testing import specs


def environments():
    one = specs.tenant(
        "one",
        variables={"shared": "one", "own": "1"},
        secret_variables={"token": {"env": "TOKEN"}},
        connections=(
            {"id": "warehouse", "type": "http", "host": "w.invalid", "port": 81, "login": "me",
             "schema": "s", "password": {"env": "PASSWORD"}, "extra": {"x": 1}},
        ),
    )  # fmt: skip
    two = specs.tenant(
        "two",
        variables={"shared": "two", "token": "open"},
        snowflake={"account": "org-acc", "user": "U", "private_key": {"env": "KEY"}, "database": "D",
                   "warehouse": "W", "role": "R"},
    )  # fmt: skip
    return specs.environment("dev", one), specs.environment("stage", two)


def test_the_first_tenant_that_has_a_variable_decides_its_value():
    assert import_values.variables(environments()) == {"shared": "one", "own": "1", "token": "***"}
    assert import_values.variables(environments()[::-1]) == {"shared": "two", "own": "1", "token": "open"}


def test_connections_are_as_tasks_find_them_without_secrets():
    found = import_values.connections(environments())
    assert sorted(found) == ["snowflake_default", "warehouse"]
    assert found["warehouse"] == {
        "conn_type": "http", "host": "w.invalid", "port": 81, "login": "me", "schema": "s", "extra": '{"x": 1}',
    }  # fmt: skip
    account = import_values.connections(environments()[::-1])["snowflake_default"]
    assert account["conn_type"] == "snowflake"
    extra = json.loads(account["extra"])
    assert extra["account"] == "org-acc"
    assert "private_key_content" not in extra
    assert "password" not in account
