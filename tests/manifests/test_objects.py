"""Connections, variables and pools of a tenant, with secrets that stay secrets."""

import pytest

from airflow_platform import secrets
from airflow_platform.config import specs
from airflow_platform.tenants import declared_objects
from airflow_platform.testing import specs as testing
from airflow_platform.tools.airflow.airflow_objects import Connection, Pool, Variable

PLACE = {"database": "DB", "schema": "MARTS", "warehouse": "WH", "role": "ROLE"}
SHARED = {
    "database": "DB",
    "warehouse": "WH",
    "role": "ROLE",
    "session_parameters": {"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
}
LOCAL = declared_objects.LocalSnowflake("localhost", 18081, secrets.Secret("of fakesnow"))


def resolve(reference):
    return secrets.Secret(f"secret of {reference.env}")


def snowflake(**fields):
    return declared_objects.snowflake(specs.Snowflake.model_validate({**PLACE, **fields}), resolve, LOCAL)


def test_without_an_account_the_tenants_fakesnow_stands_for_snowflake() -> None:
    assert snowflake() == Connection(
        id="snowflake_default",
        type="snowflake",
        login="AIRFLOW",
        schema="MARTS",
        password=LOCAL.password,
        extra={"account": "fakesnow", "host": "localhost", "port": 18081, **SHARED},
        description="fakesnow, which stands for Snowflake on this machine",
    )


def test_an_account_with_a_private_key() -> None:
    assert snowflake(account="org-a", user="LOADER", private_key={"env": "KEY"}) == Connection(
        id="snowflake_default",
        type="snowflake",
        login="LOADER",
        schema="MARTS",
        extra={"account": "org-a", **SHARED, "private_key_content": secrets.Secret("secret of KEY")},
        description="Snowflake",
    )


def test_an_account_with_a_password() -> None:
    found = snowflake(account="org-a", password={"env": "PASSWORD"})
    assert found.password == secrets.Secret("secret of PASSWORD")
    assert found.extra == {"account": "org-a", **SHARED}


def test_neither_an_account_nor_a_fakesnow_is_a_defect() -> None:
    with pytest.raises(ValueError, match="needs a fakesnow"):
        declared_objects.snowflake(specs.Snowflake.model_validate(PLACE), resolve, None)


FULL = testing.tenant(
    snowflake={**PLACE, "account": "a", "private_key": {"env": "KEY"}},
    connections=(
        {
            "id": "orders",
            "type": "http",
            "host": "h",
            "port": 443,
            "login": "l",
            "schema": "https",
            "password": {"env": "ORDERS"},
            "extra": {"timeout": 5},
            "description": "d",
        },
        {"id": "plain", "type": "fs"},
    ),
    variables={"a": "1"},
    secret_variables={"b": {"env": "B"}},
    pools=({"name": "p", "slots": 4, "description": "d"},),
)


def test_all_objects_of_a_tenant() -> None:
    snow, orders, plain = declared_objects.connections(FULL, resolve, None)
    assert snow.id == "snowflake_default"
    assert orders == Connection(
        "orders", "http", "h", 443, "l", "https", secrets.Secret("secret of ORDERS"), {"timeout": 5}, "d"
    )
    assert plain == Connection("plain", "fs", description="")
    assert declared_objects.variables(FULL, resolve) == (
        Variable("a", "1"), Variable("b", secrets.Secret("secret of B")),
    )  # fmt: skip
    assert declared_objects.pools(FULL) == (Pool("p", 4, "d"),)


def test_every_secret_is_among_the_references() -> None:
    asked = []
    declared_objects.connections(FULL, lambda reference: asked.append(reference) or resolve(reference), None)
    declared_objects.variables(FULL, lambda reference: asked.append(reference) or resolve(reference))
    assert set(map(str, declared_objects.references(FULL))) == set(map(str, asked))
    assert len(asked) == 3


def test_no_object_prints_a_secret() -> None:
    told = repr(
        (declared_objects.connections(FULL, resolve, None), declared_objects.variables(FULL, resolve))
    )
    assert "secret of" not in told
