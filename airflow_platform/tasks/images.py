"""Tasks about images: built here, pushed to a registry, promoted from one environment to the next."""

from __future__ import annotations

from typing import Any

from airflow_platform.tasks import flags
from airflow_platform.tasks.declaring import task_named, wants_traceback

GROUP = "images"


@task_named(
    "build",
    group=GROUP,
    help={
        "pull": "Fetch the base image again, or make it again of today's Debian packages.",
        "plan": flags.PLAN,
        "json": flags.JSON,
        "lock_timeout": "Seconds to wait for another build of this checkout.",
    },
)
def build(
    context: Any,
    pull: bool = False,
    plan: bool = False,
    json: bool = False,
    lock_timeout: str = flags.LOCK_SECONDS,
) -> int:
    """Build all images that have changed, from one lock, and record them in build/images.json."""
    from airflow_platform.tasks import building

    call = building.Call("build", plan=plan, json=json, tracebacks=wants_traceback(context))
    return building.build(call, pull=pull, lock_timeout=lock_timeout)


@task_named(
    "push",
    group=GROUP,
    help={"env": flags.ENV, "plan": flags.PLAN, "json": flags.JSON, "lock_timeout": flags.LOCK_TIMEOUT},
)
def push(
    context: Any, env: str, plan: bool = False, json: bool = False, lock_timeout: str = flags.LOCK_SECONDS
) -> int:
    """Push the images that were built to an environment's registry, and record their digests."""
    from airflow_platform.tasks import delivering

    call = delivering.Call("push", plan, json, wants_traceback(context), lock_timeout)
    return delivering.push(call, env)


@task_named(
    "promote",
    group=GROUP,
    help={
        "from_": "The environment whose registry has the images.",
        "to": "The environment whose registry is to have them.",
        "image": "One image, as NAME or NAME:TAG; may be repeated. By default all, as they were pushed there.",
        "plan": flags.PLAN,
        "json": flags.JSON,
        "lock_timeout": flags.LOCK_TIMEOUT,
    },
)
def promote(
    context: Any,
    from_: str,
    to: str,
    image: tuple[str, ...] = (),
    plan: bool = False,
    json: bool = False,
    lock_timeout: str = flags.LOCK_SECONDS,
) -> int:
    """Copy images from one environment's registry to another's, by digest; no layer moves that is there."""
    from airflow_platform.tasks import delivering

    call = delivering.Call("promote", plan, json, wants_traceback(context), lock_timeout)
    return delivering.promote(call, from_, to, image)
