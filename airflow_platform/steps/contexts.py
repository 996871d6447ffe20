"""The engine's contexts and step classes, for our own specs; what all steps ask of a tenant."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from airflow_platform.config import places, specs
from airflow_platform.engine import step
from airflow_platform.tools import airflow, users

EnvironmentContext = step.EnvironmentContext[specs.Environment, specs.Tenant]
TenantContext = step.TenantContext[specs.Environment, specs.Tenant]
EnvironmentStep = step.EnvironmentStep[specs.Environment, specs.Tenant]
TenantStep = step.TenantStep[specs.Environment, specs.Tenant]


def owner(place: places.TenantPlace) -> int | None:
    """The user id to which a tenant's files belong; None for our own."""
    return users.of_tenant(place.directory) if place.own_user else None


def connected(context: TenantContext) -> AbstractContextManager[airflow.Airflow]:
    """The api-server of a tenant whose step `components` has run; that step must be required."""
    reached = context.outputs("components")
    return airflow.connected(reached["url"], reached["user"], Path(reached["password_file"]))
