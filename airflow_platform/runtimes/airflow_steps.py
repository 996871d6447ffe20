"""The steps that work through Airflow's API: the same on every runtime, once its components answer."""

from __future__ import annotations

from collections.abc import Callable

from airflow_platform import secrets
from airflow_platform.dags import dag_parity
from airflow_platform.dags.check import result_cache
from airflow_platform.engine.step import Step
from airflow_platform.runtimes.contract import Runtime
from airflow_platform.tenants import settings, smoke


def compose(
    runtime: Runtime, memory: settings.Memory, key: Callable[[str, str], secrets.Secret], *, undone_by: str
) -> tuple[Step, ...]:
    """What follows the step `components`.

    Args:
        runtime: Whose tenants they work on.
        memory: What the settings step keeps of a tenant between runs.
        key: A key or password of a tenant, by the tenant's name and its own.
        undone_by: The step that removes all of a tenant's data.
    """
    return (
        settings.Settings(runtime.access, memory, key).after("components", "keys", undone_by=undone_by),
        dag_parity.ServedDags(
            runtime.access, runtime.dag_commit, refreshed=runtime.dags_refreshed, dags=result_cache.dag_ids
        ).after("components", "dag-repository", "settings", undone_by=undone_by),
        smoke.Smoke(runtime.access).after(
            "components", "settings", "dags", "dag-repository", undone_by=undone_by
        ),
    )
