"""Specs with everything filled in, for tests that care about one field."""

from __future__ import annotations

from typing import Any

from airflow_platform.config import specs


def tenant(name: str = "analytics", **fields: Any) -> specs.Tenant:
    """A valid tenant; `fields` as in its table of an environment's file."""
    place = name.upper().replace("-", "_")
    defaults = {
        "name": name,
        "snowflake": {"database": f"TEST_{place}", "warehouse": f"WH_{place}", "role": f"ROLE_{place}"},
    }
    return specs.Tenant.model_validate({**defaults, **fields})


def environment(name: str = "sandbox", *tenants: specs.Tenant | str, **fields: Any) -> specs.Environment:
    """A valid environment of the `process` runtime; tenants by name or as specs, by default one."""
    made = tuple(tenant(each) if isinstance(each, str) else each for each in tenants or ("analytics",))
    return specs.Environment.model_validate({"name": name, "runtime": "process", "tenants": made, **fields})
