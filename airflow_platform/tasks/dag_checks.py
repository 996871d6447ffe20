"""The task that checks DAG files."""

from __future__ import annotations

from typing import Any

from airflow_platform.tasks.declaring import task_named, wants_traceback

GROUP = "dags"


@task_named(
    "dags-check",
    group=GROUP,
    help={
        "ref": "What to check: a commit, branch or tag of this repository.",
        "env": "Whose tenants are considered; may be repeated. By default those of all environments.",
        "json": "Print one JSON document on standard output.",
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
