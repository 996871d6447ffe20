"""The engine's contexts and step classes, for our own specs."""

from __future__ import annotations

from airflow_platform.config import specs
from airflow_platform.engine import step

EnvironmentContext = step.EnvironmentContext[specs.Environment, specs.Tenant]
TenantContext = step.TenantContext[specs.Environment, specs.Tenant]
EnvironmentStep = step.EnvironmentStep[specs.Environment, specs.Tenant]
TenantStep = step.TenantStep[specs.Environment, specs.Tenant]
