"""Tasks about environments: what is declared, and what would stop a run."""

from __future__ import annotations

from typing import Any

from airflow_platform.tasks import flags
from airflow_platform.tasks.declaring import task_named, wants_traceback

GROUP = "environments"


@task_named("env-list", group=GROUP, help={"json": flags.JSON})
def env_list(context: Any, json: bool = False) -> int:
    """List the environments that are declared, with their tenants."""
    from airflow_platform.tasks import asking

    return asking.environments(as_json=json)


@task_named("env-show", group=GROUP, help={"env": flags.ENV, "json": flags.JSON})
def env_show(context: Any, env: str, json: bool = False) -> int:
    """Show all settings of an environment, and which of them are defaults."""
    from airflow_platform.tasks import asking

    return asking.environment(env, as_json=json)


@task_named(
    "doctor",
    group=GROUP,
    help={
        "env": flags.ENV,
        "tenant": flags.TENANT,
        "json": flags.JSON,
    },
)
def doctor(context: Any, env: str, tenant: tuple[str, ...] = (), json: bool = False) -> int:
    """Find everything that would stop a run, all at once, each with its remedy."""
    from airflow_platform.tasks import asking, running

    call = running.Call("doctor", env, tenant, json=json, tracebacks=wants_traceback(context))
    return asking.doctor(call)


@task_named("cache-prune", group=GROUP, help={"json": flags.JSON})
def cache_prune(context: Any, json: bool = False) -> int:
    """Delete the packages and downloads in the cache; the next tenant-up fetches them again."""
    from airflow_platform.tasks import asking

    return asking.prune_cache(as_json=json)
