"""WHAT YOU TYPE: every task with its flags and their help, in the order in which `inv --list` shows them.

A task's work is in the module named after it, which is imported when the task runs: `inv --list` imports none.
"""

from __future__ import annotations

from typing import Any

from airflow_platform.tasks.command_line import LOCK_SECONDS, CommandLine
from airflow_platform.tasks.task_decorator import Task, task_named, wants_traceback

ENV = "The environment: the name of a file in environments/."
TENANT = "One tenant; may be repeated. By default all that are declared."
COMPONENT = "One component, such as scheduler; may be repeated. By default all."
PLAN = "Print what would change, and change nothing; exits 3 when something would."
JSON = "Print one JSON document on standard output."
LOCK_TIMEOUT = "Seconds to wait for the environment's lock."
ENVS = "One environment; may be repeated. By default all."
OVER = "The beginning of a commit that somebody put on the branch by hand, and that may be covered."


@task_named("env-list", group="environments", help={"json": JSON})
def env_list(context: Any, json: bool = False) -> int:
    """List the environments that are declared, with their tenants."""
    from airflow_platform.tasks import env_show

    return env_show.environments(CommandLine("env-list", json=json))


@task_named("env-show", group="environments", help={"env": ENV, "json": JSON})
def env_show(context: Any, env: str, json: bool = False) -> int:
    """Show all settings of an environment, and which of them are defaults."""
    from airflow_platform.tasks import env_show

    return env_show.environment(CommandLine("env-show", env, json=json))


@task_named(
    "doctor",
    group="environments",
    help={
        "env": ENV,
        "tenant": TENANT,
        "json": JSON,
    },
)
def doctor(context: Any, env: str, tenant: tuple[str, ...] = (), json: bool = False) -> int:
    """Find everything that would stop a run, all at once, each with its remedy."""
    from airflow_platform.tasks import doctor

    line = CommandLine("doctor", env, tenant, json=json, tracebacks=wants_traceback(context))
    return doctor.examine(line)


@task_named("cache-prune", group="environments", help={"json": JSON})
def cache_prune(context: Any, json: bool = False) -> int:
    """Delete the packages and downloads in the cache; the next tenant-up fetches them again."""
    from airflow_platform.tasks import cache_prune

    return cache_prune.prune(CommandLine("cache-prune", json=json))


@task_named(
    "build",
    group="images",
    help={
        "pull": "Fetch the base image again.",
        "plan": PLAN,
        "json": JSON,
        "lock_timeout": "Seconds to wait for another build of this checkout.",
    },
)
def build(
    context: Any,
    pull: bool = False,
    plan: bool = False,
    json: bool = False,
    lock_timeout: str = LOCK_SECONDS,
) -> int:
    """Build all images that have changed, from one lock, and record them in build/images.json."""
    from airflow_platform.tasks import build

    line = CommandLine(
        "build", plan=plan, json=json, tracebacks=wants_traceback(context), lock_timeout=lock_timeout
    )
    return build.build(line, pull=pull)


@task_named(
    "push",
    group="images",
    help={"env": ENV, "plan": PLAN, "json": JSON, "lock_timeout": LOCK_TIMEOUT},
)
def push(
    context: Any, env: str, plan: bool = False, json: bool = False, lock_timeout: str = LOCK_SECONDS
) -> int:
    """Push the images that were built to an environment's registry, and record their digests."""
    from airflow_platform.tasks import push

    line = CommandLine("push", env, (), plan, json, wants_traceback(context), lock_timeout)
    return push.push(line)


@task_named(
    "promote",
    group="images",
    help={
        "from_": "The environment whose registry has the images.",
        "to": "The environment whose registry is to have them.",
        "image": "One image, as NAME or NAME:TAG; may be repeated. By default all, as they were pushed there.",
        "plan": PLAN,
        "json": JSON,
        "lock_timeout": LOCK_TIMEOUT,
    },
)
def promote(
    context: Any,
    from_: str,
    to: str,
    image: tuple[str, ...] = (),
    plan: bool = False,
    json: bool = False,
    lock_timeout: str = LOCK_SECONDS,
) -> int:
    """Copy images from one environment's registry to another's, by digest; no layer moves that is there."""
    from airflow_platform.tasks import push

    line = CommandLine("promote", to, (), plan, json, wants_traceback(context), lock_timeout)
    return push.promote(line, from_, image)


@task_named(
    "tenant-up",
    group="tenants",
    help={
        "env": ENV,
        "tenant": TENANT,
        "plan": PLAN,
        "json": JSON,
        "lock_timeout": LOCK_TIMEOUT,
    },
)
def tenant_up(
    context: Any,
    env: str,
    tenant: tuple[str, ...] = (),
    plan: bool = False,
    json: bool = False,
    lock_timeout: str = LOCK_SECONDS,
) -> int:
    """Bring tenants up: they exist, are healthy, and have run a DAG."""
    from airflow_platform.tasks import tenant_up

    line = CommandLine("tenant-up", env, tenant, plan, json, wants_traceback(context), lock_timeout)
    return tenant_up.up(line)


@task_named("tenant-status", group="tenants", help={"env": ENV, "tenant": TENANT, "json": JSON})
def tenant_status(context: Any, env: str, tenant: tuple[str, ...] = (), json: bool = False) -> int:
    """Show how tenants are, and whether they are what their spec says."""
    from airflow_platform.tasks import tenant_status

    line = CommandLine("tenant-status", env, tenant, json=json, tracebacks=wants_traceback(context))
    return tenant_status.status(line)


@task_named(
    "tenant-logs",
    group="tenants",
    help={
        "env": ENV,
        "tenant": "The tenant.",
        "component": COMPONENT,
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
    from airflow_platform.tasks import tenant_logs

    return tenant_logs.logs(env, tenant, component, lines=lines, follow=follow)


@task_named(
    "tenant-restart",
    group="tenants",
    help={
        "env": ENV,
        "tenant": TENANT,
        "component": COMPONENT,
        "plan": PLAN,
        "json": JSON,
        "lock_timeout": LOCK_TIMEOUT,
    },
)
def tenant_restart(
    context: Any,
    env: str,
    tenant: tuple[str, ...] = (),
    component: tuple[str, ...] = (),
    plan: bool = False,
    json: bool = False,
    lock_timeout: str = LOCK_SECONDS,
) -> int:
    """Restart components, and wait until the tenants are healthy again."""
    from airflow_platform.tasks import tenant_up

    line = CommandLine("tenant-restart", env, tenant, plan, json, wants_traceback(context), lock_timeout)
    return tenant_up.restart(line, component)


@task_named(
    "tenant-down",
    group="tenants",
    help={
        "env": ENV,
        "tenant": "One tenant; may be repeated. By default all, also those that run though not declared.",
        "delete_data": "Also delete databases, keys and logs. There is no way back.",
        "confirm": "ENV/TENANT, needed in a protected environment.",
        "plan": PLAN,
        "json": JSON,
        "lock_timeout": LOCK_TIMEOUT,
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
    lock_timeout: str = LOCK_SECONDS,
) -> int:
    """Stop tenants and keep their data, or delete it too."""
    from airflow_platform.tasks import tenant_down

    line = CommandLine("tenant-down", env, tenant, plan, json, wants_traceback(context), lock_timeout)
    return tenant_down.down(line, confirm, delete_data=delete_data)


@task_named(
    "airflow",
    group="tenants",
    help={
        "env": ENV,
        "tenant": "The tenant.",
        "args": 'Arguments of Airflow\'s CLI, such as "dags list".',
    },
)
def airflow(context: Any, env: str, tenant: str, args: str) -> int:
    """Run Airflow's own CLI inside a tenant."""
    from airflow_platform.tasks import airflow_cli

    return airflow_cli.run(env, tenant, args)


@task_named(
    "dags-check",
    group="dags",
    help={
        "ref": "What to check: a commit, branch or tag of this repository.",
        "env": "Whose tenants are considered; may be repeated. By default those of all environments.",
        "json": JSON,
        "junit": "A file to write the findings to, as JUnit has them.",
        "code_quality": "A file to write the findings to, as GitLab's code quality report has them.",
    },
)
def dags_check(
    context: Any,
    ref: str = "HEAD",
    env: tuple[str, ...] = (),
    json: bool = False,
    junit: str = "",
    code_quality: str = "",
) -> int:
    """Import every DAG file of a commit as tenants would, and hold it against the rules; exits 1 on an error."""
    from airflow_platform.tasks import dags_check

    return dags_check.check(CommandLine("dags-check", json=json), ref, env, junit, code_quality)


@task_named(
    "dags-sync",
    group="dags",
    help={
        "ref": "The commit, branch or tag of this repository whose dags/ all environments are to serve.",
        "env": ENVS,
        "rollback_on_error": "Where a tenant cannot import the version, take it back everywhere.",
        "over": OVER,
        "plan": PLAN,
        "json": JSON,
    },
)
def dags_sync(
    context: Any,
    ref: str = "HEAD",
    env: tuple[str, ...] = (),
    rollback_on_error: bool = False,
    over: str = "",
    plan: bool = False,
    json: bool = False,
) -> int:
    """Check a DAG version, put it on the branch, and prove that every tenant that is up serves it."""
    from airflow_platform.tasks import dags_sync

    line = CommandLine("dags-sync", plan=plan, json=json, tracebacks=wants_traceback(context))
    return dags_sync.sync(line, ref, env, over, rollback_on_error=rollback_on_error)


@task_named(
    "dags-rollback",
    group="dags",
    help={
        "to": "The beginning of a commit or version in the ledger. By default the last that was served everywhere.",
        "env": ENVS,
        "over": OVER,
        "plan": PLAN,
        "json": JSON,
    },
)
def dags_rollback(
    context: Any,
    to: str = "",
    env: tuple[str, ...] = (),
    over: str = "",
    plan: bool = False,
    json: bool = False,
) -> int:
    """Put an earlier DAG version on top of the branch, and prove that every tenant that is up serves it."""
    from airflow_platform.tasks import dags_sync

    line = CommandLine("dags-rollback", plan=plan, json=json, tracebacks=wants_traceback(context))
    return dags_sync.rollback(line, to, env, over)


@task_named(
    "dags-status",
    group="dags",
    help={
        "ref": "A commit, branch or tag of this repository whose dags/ must be what is served.",
        "env": ENVS,
        "watch": "Look again every two seconds, until Ctrl-C.",
        "json": JSON,
    },
)
def dags_status(
    context: Any, ref: str = "", env: tuple[str, ...] = (), watch: bool = False, json: bool = False
) -> int:
    """Show which DAG version each tenant serves; exits 3 unless it is the same everywhere."""
    from airflow_platform.tasks import dags_status

    return dags_status.status(CommandLine("dags-status", json=json), ref, env, watch=watch)


TASKS = tuple(each for each in globals().values() if isinstance(each, Task))
"""All of them, in the order of this file."""
