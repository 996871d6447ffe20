"""What a tenant's metadata database should hold: connections, variables and pools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_platform import secrets
from airflow_platform.config import specs
from airflow_platform.tools.airflow import airflow_objects as objects

Resolve = Callable[[specs.SecretReference], secrets.Secret]

LOCAL_USER = "AIRFLOW"
LOCAL_ACCOUNT = "fakesnow"
"""What a tenant without a Snowflake account finds in its connection."""


@dataclass(frozen=True)
class LocalSnowflake:
    """A tenant's fakesnow, as its tasks find it."""

    host: str
    port: int
    password: secrets.Secret


def connections(
    tenant: specs.Tenant, resolve: Resolve, local: LocalSnowflake | None
) -> tuple[objects.Connection, ...]:
    """All connections of a tenant; `local` is its fakesnow where it has no account."""
    declared = tuple(
        objects.Connection(
            id=each.id,
            type=each.type,
            host=each.host,
            port=each.port,
            login=each.login,
            schema=each.database_schema,
            password=resolve(each.password) if each.password else None,
            extra=each.extra,
            description=each.description,
        )
        for each in tenant.connections
    )
    return (snowflake(tenant.snowflake, resolve, local), *declared)


def snowflake(spec: specs.Snowflake, resolve: Resolve, local: LocalSnowflake | None) -> objects.Connection:
    """The tenant's connection to Snowflake, or to the fakesnow that stands for it.

    Raises:
        ValueError: Neither an account nor a fakesnow: a defect of the caller.
    """
    shared = {
        "database": spec.database,
        "warehouse": spec.warehouse,
        "role": spec.role,
        # The connector's telemetry goes to Snowflake's own hosts, which a tenant need not reach.
        "session_parameters": {"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
    }
    if spec.account is not None:
        key = {"private_key_content": resolve(spec.private_key)} if spec.private_key else {}
        return objects.Connection(
            id=specs.SNOWFLAKE_CONNECTION,
            type="snowflake",
            login=spec.user,
            schema=spec.default_schema,
            password=resolve(spec.password) if spec.password else None,
            extra={"account": spec.account, **shared, **key},
            description="Snowflake",
        )
    if local is None:
        raise ValueError("a tenant without a Snowflake account needs a fakesnow")
    return objects.Connection(
        id=specs.SNOWFLAKE_CONNECTION,
        type="snowflake",
        login=LOCAL_USER,
        schema=spec.default_schema,
        password=local.password,
        extra={"account": LOCAL_ACCOUNT, "host": local.host, "port": local.port, **shared},
        description="fakesnow, which stands for Snowflake on this machine",
    )


def variables(tenant: specs.Tenant, resolve: Resolve) -> tuple[objects.Variable, ...]:
    """All variables of a tenant."""
    plain = tuple(objects.Variable(key, value) for key, value in tenant.variables.items())
    hidden = tuple(objects.Variable(key, resolve(where)) for key, where in tenant.secret_variables.items())
    return plain + hidden


def pools(tenant: specs.Tenant) -> tuple[objects.Pool, ...]:
    """All pools of a tenant, without Airflow's own `default_pool`."""
    return tuple(objects.Pool(each.name, each.slots, each.description) for each in tenant.pools)


def references(tenant: specs.Tenant) -> tuple[specs.SecretReference, ...]:
    """Every secret that a tenant's spec refers to."""
    snowflake_secrets = (tenant.snowflake.password, tenant.snowflake.private_key)
    passwords = tuple(each.password for each in tenant.connections)
    found = (*snowflake_secrets, *passwords, *tenant.secret_variables.values())
    return tuple(each for each in found if each is not None)
