"""What the program that imports DAG files is told: Airflow's settings, and every tenant's values without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_platform.config import specs

HIDDEN = "***"
"""What stands for a secret variable."""


def environment(home: Path, programs: Path) -> dict[str, str]:
    """The whole environment of the program, nothing of whoever starts it."""
    return {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "USER": "airflow",
        "LOGNAME": "airflow",
        "LANG": "C.UTF-8",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/none.db",
        # The check has a deadline of its own, which also holds where Python code does not run.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",
        # As deep as the line of the DAG file lies.
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "100",
        # Nobody reads its log.
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{home}/logs",
        # A second thread a core for numbers is no use to an import, and a trouble to a fork.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


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
