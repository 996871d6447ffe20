"""The engine's contexts and step classes, for our own specs; what all steps ask of a tenant."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from airflow_platform.config import places, specs
from airflow_platform.engine import step, store
from airflow_platform.tools import airflow, users

EnvironmentContext = step.EnvironmentContext[specs.Environment, specs.Tenant]
TenantContext = step.TenantContext[specs.Environment, specs.Tenant]
EnvironmentStep = step.EnvironmentStep[specs.Environment, specs.Tenant]
TenantStep = step.TenantStep[specs.Environment, specs.Tenant]


def others_at_work(context: EnvironmentContext, place: places.EnvironmentPlace) -> frozenset[str]:
    """The tenants that other runs work on now, but for those that are being taken away and have nothing left.

    So of several runs that take tenants away at the same time, the last one takes what they shared.
    """
    mine, there = {each.name for each in context.tenants}, place.found()
    at_work = store.tenants_at_work(place.directory)
    return frozenset(
        name for name, leaving in at_work.items() if name not in mine and (name in there or not leaving)
    )


def inhabitants(
    context: EnvironmentContext, place: places.EnvironmentPlace, there: Iterable[str]
) -> tuple[str, ...]:
    """On the way down: other tenants that have something of what they share, or may be about to get it.

    Args:
        context: Those that go with this run have nothing by then; with `--plan` they still have.
        place: Where the environment's files are.
        there: The tenants that are seen to have it.
    """
    going = {each.name for each in context.tenants}
    return tuple(sorted(others_at_work(context, place).union(there) - going))


def owner(place: places.TenantPlace) -> int | None:
    """The user id to which a tenant's files belong; None for our own."""
    return users.of_tenant(place.directory) if place.own_user else None


def asked_restarts(place: places.TenantPlace) -> dict[str, str]:
    """When a restart of a component was asked for the last time, by component; it then runs from after that."""
    try:
        found = json.loads(place.restarts.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def connected(context: TenantContext) -> AbstractContextManager[airflow.Airflow]:
    """The api-server of a tenant whose step `components` has run; that step must be required."""
    reached = context.outputs("components")
    return airflow.connected(reached["url"], reached["user"], Path(reached["password_file"]))
