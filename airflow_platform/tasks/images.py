"""Tasks about images: built here, pushed to a registry, promoted from one environment to the next."""

from __future__ import annotations

from typing import Any

from airflow_platform.tasks.declaring import task_named, wants_traceback

GROUP = "images"

JSON = "Print one JSON document on standard output."
PLAN = "Print what would change, and change nothing; exits 3 when something would."


@task_named(
    "build",
    group=GROUP,
    help={
        "pull": "Fetch the base image again, or make it again of today's Debian packages.",
        "plan": PLAN,
        "json": JSON,
        "lock_timeout": "Seconds to wait for another build of this checkout.",
    },
)
def build(
    context: Any, pull: bool = False, plan: bool = False, json: bool = False, lock_timeout: str = "60"
) -> int:
    """Build all images that have changed, from one lock, and record them in build/images.json."""
    from airflow_platform.tasks import building

    call = building.Call("build", plan=plan, json=json, tracebacks=wants_traceback(context))
    return building.build(call, pull=pull, lock_timeout=lock_timeout)
