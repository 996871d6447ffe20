"""What the components of a tenant have in common on their way up, wherever they run: its words, and its waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

from airflow_platform import errors
from airflow_platform.engine import step
from airflow_platform.tenants.access import Access
from airflow_platform.tenants.contexts import TenantContext
from airflow_platform.tools.airflow import airflow_client, airflow_session

HOPELESS = 3
"""Restarts during one wait after which waiting longer is of no use: the component says in its log why."""

LINES = 15
"""Of that log, shown when it is given up."""

WARM_UP_TIMEOUT = 120.0
"""Seconds until the execution API is built: 3 to 5 on a quiet machine."""

WARM_UP_CALL = 5.0
"""Seconds of one call that waits for it, so that Ctrl-C is noticed; it is built all the same."""

HEALTHY = "all components are healthy"
DOWN = "nothing of it runs"

REDEFINED = "redefined"
"""In the details of a change: components that it would make otherwise than they were made, which is more
than a restart."""


def changes(parts: Mapping[str, Iterable[str]]) -> str:
    """Which components are to start, stop or restart, for people; "" when none is.

    Args:
        parts: Names of components by verb.
    """
    named = {verb: ", ".join(names) for verb, names in parts.items()}
    return "; ".join(f"{verb} {names}" for verb, names in named.items() if names)


def changing(summary: str, redefined: Iterable[str]) -> step.Change:
    """The change of a tenant whose components are to start, stop or restart.

    Args:
        summary: Which, as `changes` says it.
        redefined: Those of which more is to change than that they are started again.
    """
    return step.Change(summary, {REDEFINED: names} if (names := sorted(redefined)) else {})


def waiting(missing: str) -> step.Change:
    """The change of a tenant that has all its components and is not healthy yet."""
    return step.Change(f"wait until healthy ({missing})")


def wait(
    context: TenantContext,
    missing: Callable[[], str],
    access: Callable[[], AbstractContextManager[Access]],
    *,
    timeout: float,
) -> None:
    """Wait until a tenant is healthy, and until its first task would not have to wait.

    Args:
        context: The tenant's.
        missing: What keeps it from being healthy; "" for nothing.
        access: Opens the way to its Airflow.
        timeout: Seconds until it must be healthy.

    Raises:
        StepError: It is not in time; or what `missing` raises.
        Interrupted: A signal came.
    """
    tenant = context.tenant.name
    hint = f"Look into its logs: inv tenant-logs --env={context.environment.name} --tenant={tenant}"
    context.wait_for(f"tenant {tenant} to be healthy", missing, timeout=timeout, hint=hint)
    with access() as opened:
        context.wait_for(
            "the execution API", lambda: _cold(opened.airflow), timeout=WARM_UP_TIMEOUT, hint=hint
        )


def given_up(
    component: str, restarts: int, last_exit: str, of: str, lines: Iterable[str]
) -> errors.StepError:
    """The error for a component that ends again and again.

    Args:
        component: Its name.
        restarts: How often it has ended during this wait.
        last_exit: How it did the last time.
        of: What the lines are of, as words that follow "the last lines of".
        lines: Without secrets.
    """
    shown = "".join(f"\n    {line}" for line in lines)
    return errors.StepError(
        f"{component} ended {restarts} times ({last_exit}); the last lines of {of}:{shown}",
        hint="It is tried again and again. Mend the cause, or stop the tenant with tenant-down.",
    )


def _cold(client: airflow_client.Airflow) -> str:
    """What the first task would wait for; "" when the execution API is built: when it is first asked."""
    try:
        client.warm_up(timeout=WARM_UP_CALL)
    except airflow_session.NotReachable:
        return "warming the execution API"
    return ""
