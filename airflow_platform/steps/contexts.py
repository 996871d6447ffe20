"""The engine's contexts and step classes, for our own specs; and the way to a tenant's api-server."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from airflow_platform.config import specs
from airflow_platform.engine import step
from airflow_platform.tools import airflow

EnvironmentContext = step.EnvironmentContext[specs.Environment, specs.Tenant]
TenantContext = step.TenantContext[specs.Environment, specs.Tenant]
EnvironmentStep = step.EnvironmentStep[specs.Environment, specs.Tenant]
TenantStep = step.TenantStep[specs.Environment, specs.Tenant]


def connected(context: TenantContext) -> AbstractContextManager[airflow.Airflow]:
    """The api-server of a tenant whose step `components` has run; that step must be required."""
    reached = context.outputs("components")
    return airflow.connected(reached["url"], reached["user"], Path(reached["password_file"]))
