"""Tasks about DAGs: one version everywhere, checked, brought, proved, taken back."""

from __future__ import annotations

from typing import Any

from airflow_platform.tasks import flags
from airflow_platform.tasks.declaring import task_named, wants_traceback

GROUP = "dags"

ENVS = "One environment; may be repeated. By default all."
OVER = "The beginning of a commit that somebody put on the branch by hand, and that may be covered."


@task_named(
    "dags-check",
    group=GROUP,
    help={
        "ref": "What to check: a commit, branch or tag of this repository.",
        "env": "Whose tenants are considered; may be repeated. By default those of all environments.",
        "json": flags.JSON,
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
    from airflow_platform.tasks import checking

    call = checking.Call(ref, env, json, junit, code_quality, wants_traceback(context))
    return checking.check(call)


@task_named(
    "dags-sync",
    group=GROUP,
    help={
        "ref": "The commit, branch or tag of this repository whose dags/ all environments are to serve.",
        "env": ENVS,
        "rollback_on_error": "Where a tenant cannot import the version, take it back everywhere.",
        "over": OVER,
        "plan": flags.PLAN,
        "json": flags.JSON,
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
    from airflow_platform.tasks import bringing, syncing

    call = bringing.Call("dags-sync", env, over, plan, json, wants_traceback(context))
    return syncing.sync(call, ref, rollback_on_error=rollback_on_error)


@task_named(
    "dags-rollback",
    group=GROUP,
    help={
        "to": "The beginning of a commit or version in the ledger. By default the last that was served everywhere.",
        "env": ENVS,
        "over": OVER,
        "plan": flags.PLAN,
        "json": flags.JSON,
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
    from airflow_platform.tasks import bringing, syncing

    call = bringing.Call("dags-rollback", env, over, plan, json, wants_traceback(context))
    return syncing.rollback(call, to)


@task_named(
    "dags-status",
    group=GROUP,
    help={
        "ref": "A commit, branch or tag of this repository whose dags/ must be what is served.",
        "env": ENVS,
        "watch": "Look again every two seconds, until Ctrl-C.",
        "json": flags.JSON,
    },
)
def dags_status(
    context: Any, ref: str = "", env: tuple[str, ...] = (), watch: bool = False, json: bool = False
) -> int:
    """Show which DAG version each tenant serves; exits 3 unless it is the same everywhere."""
    from airflow_platform.tasks import parity

    return parity.status(ref, env, watch=watch, as_json=json)
