"""What DAG files find while they are imported: every tenant's variables and connections, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_platform.config import specs

HIDDEN = "***"
"""What stands for a secret variable."""


def variables(environments: Iterable[specs.Environment]) -> dict[str, str]:
    """Airflow's variables while importing; of a key that several tenants have, the first tenant's value."""
    found: dict[str, str] = {}
    for tenant in _tenants(environments):
        hidden = dict.fromkeys(tenant.secret_variables, HIDDEN)
        found = {**tenant.variables, **hidden, **found}
    return found


def connections(environments: Iterable[specs.Environment]) -> dict[str, Mapping[str, Any]]:
    """The connections while importing, without secrets; of an id that several tenants have, the first."""
    found: dict[str, Mapping[str, Any]] = {}
    for tenant in _tenants(environments):
        found.setdefault(specs.SNOWFLAKE_CONNECTION, _snowflake(tenant.snowflake))
        for each in tenant.connections:
            told = {
                "conn_type": each.type,
                "host": each.host,
                "port": each.port,
                "login": each.login,
                "schema": each.database_schema,
                "extra": json.dumps(each.extra) if each.extra else None,
            }
            found.setdefault(each.id, told)
    return found


def _snowflake(spec: specs.Snowflake) -> Mapping[str, Any]:
    """As a file may see it that must not ask: what it is for, and no address that depends on where it runs."""
    extra = {
        "account": spec.account,
        "database": spec.database,
        "warehouse": spec.warehouse,
        "role": spec.role,
    }
    return {
        "conn_type": "snowflake",
        "login": spec.user,
        "schema": spec.default_schema,
        "extra": json.dumps(extra),
    }


def _tenants(environments: Iterable[specs.Environment]) -> Iterable[specs.Tenant]:
    return (tenant for environment in environments for tenant in environment.tenants)
