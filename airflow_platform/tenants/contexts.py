"""The engine's contexts and step classes, for our own specs; what all steps ask of a tenant."""

from __future__ import annotations

import json
from collections.abc import Iterable

from airflow_platform.config import specs, state_files
from airflow_platform.engine import step
from airflow_platform.tools import users

EnvironmentContext = step.EnvironmentContext[specs.Environment, specs.Tenant]
TenantContext = step.TenantContext[specs.Environment, specs.Tenant]
EnvironmentStep = step.EnvironmentStep[specs.Environment, specs.Tenant]
TenantStep = step.TenantStep[specs.Environment, specs.Tenant]


def inhabitants(
    context: EnvironmentContext, place: state_files.EnvironmentFiles, there: Iterable[str]
) -> tuple[str, ...]:
    """On the way down: other tenants that use what they share, or that another run may be about to bring up.

    A tenant that another run takes away and that has nothing left does not count. So of several runs that take
    tenants away at the same time, the last one takes what they shared.

    Args:
        context: The tenants of this run have nothing by then; with `--plan` they still have.
        place: Where the environment's files are.
        there: The tenants that are seen to use it.
    """
    found, mine = place.found(), {each.name for each in context.tenants}
    at_work = {name for name, leaving in context.tenants_at_work().items() if name in found or not leaving}
    return tuple(sorted(at_work.union(there) - mine))


def owner(place: state_files.TenantFiles) -> int | None:
    """The user id to which a tenant's files belong; None for our own."""
    return users.of_tenant(place.directory) if place.own_user else None


def asked_restarts(place: state_files.TenantFiles) -> dict[str, str]:
    """When a restart of a component was asked for the last time, by component; it then runs from after that."""
    try:
        found = json.loads(place.restarts.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
