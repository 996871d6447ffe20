"""Tasks about tenants: up, status, logs, restart, down, and Airflow's own CLI."""

from __future__ import annotations

from typing import Any

from airflow_platform.tasks import flags
from airflow_platform.tasks.declaring import task_named, wants_traceback

GROUP = "tenants"


@task_named(
    "tenant-up",
    group=GROUP,
    help={
        "env": flags.ENV,
        "tenant": flags.TENANT,
        "plan": flags.PLAN,
        "json": flags.JSON,
        "lock_timeout": flags.LOCK_TIMEOUT,
    },
)
def tenant_up(
    context: Any,
    env: str,
    tenant: tuple[str, ...] = (),
    plan: bool = False,
    json: bool = False,
    lock_timeout: str = flags.LOCK_SECONDS,
) -> int:
    """Bring tenants up: they exist, are healthy, and have run a DAG."""
    from airflow_platform.tasks import running

    call = running.Call("tenant-up", env, tenant, plan, json, wants_traceback(context), lock_timeout)
    return running.up(call)


@task_named("tenant-status", group=GROUP, help={"env": flags.ENV, "tenant": flags.TENANT, "json": flags.JSON})
def tenant_status(context: Any, env: str, tenant: tuple[str, ...] = (), json: bool = False) -> int:
    """Show how tenants are, and whether they are what their spec says."""
    from airflow_platform.tasks import inspecting, running

    call = running.Call("tenant-status", env, tenant, json=json, tracebacks=wants_traceback(context))
    return inspecting.status(call)


@task_named(
    "tenant-logs",
    group=GROUP,
    help={
        "env": flags.ENV,
        "tenant": "The tenant.",
        "component": flags.COMPONENT,
        "lines": "How many of the last lines of each log.",
        "follow": "Go on with new lines until Ctrl-C.",
    },
)
def tenant_logs(
    context: Any,
    env: str,
    tenant: str,
    component: tuple[str, ...] = (),
    lines: str = "20",
    follow: bool = False,
) -> int:
    """Print what a tenant's components printed."""
    from airflow_platform.tasks import inspecting

    return inspecting.logs(env, tenant, component, lines=lines, follow=follow)


@task_named(
    "tenant-restart",
    group=GROUP,
    help={
        "env": flags.ENV,
        "tenant": flags.TENANT,
        "component": flags.COMPONENT,
        "plan": flags.PLAN,
        "json": flags.JSON,
        "lock_timeout": flags.LOCK_TIMEOUT,
    },
)
def tenant_restart(
    context: Any,
    env: str,
    tenant: tuple[str, ...] = (),
    component: tuple[str, ...] = (),
    plan: bool = False,
    json: bool = False,
    lock_timeout: str = flags.LOCK_SECONDS,
) -> int:
    """Restart components, and wait until the tenants are healthy again."""
    from airflow_platform.tasks import running, selecting

    call = running.Call("tenant-restart", env, tenant, plan, json, wants_traceback(context), lock_timeout)
    return running.restarted(call, selecting.components_of(call.spec(), component))


@task_named(
    "tenant-down",
    group=GROUP,
    help={
        "env": flags.ENV,
        "tenant": "One tenant; may be repeated. By default all, also those that run though not declared.",
        "delete_data": "Also delete databases, keys and logs. There is no way back.",
        "confirm": "ENV/TENANT, needed in a protected environment.",
        "plan": flags.PLAN,
        "json": flags.JSON,
        "lock_timeout": flags.LOCK_TIMEOUT,
    },
)
def tenant_down(
    context: Any,
    env: str,
    tenant: tuple[str, ...] = (),
    delete_data: bool = False,
    confirm: tuple[str, ...] = (),
    plan: bool = False,
    json: bool = False,
    lock_timeout: str = flags.LOCK_SECONDS,
) -> int:
    """Stop tenants and keep their data, or delete it too."""
    from airflow_platform.tasks import running, selecting

    call = running.Call("tenant-down", env, tenant, plan, json, wants_traceback(context), lock_timeout)
    return running.down(call, tenants=selecting.leaving(call, confirm), delete_data=delete_data)


@task_named(
    "airflow",
    group=GROUP,
    help={
        "env": flags.ENV,
        "tenant": "The tenant.",
        "args": 'Arguments of Airflow\'s CLI, such as "dags list".',
    },
)
def airflow(context: Any, env: str, tenant: str, args: str) -> int:
    """Run Airflow's own CLI inside a tenant."""
    from airflow_platform.tasks import inspecting

    return inspecting.airflow(env, tenant, args)
