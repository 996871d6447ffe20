"""The tasks, in the order and the groups in which `inv --list` shows them."""

from __future__ import annotations

from invoke.collection import Collection

from airflow_platform.tasks import dags, environments, images, tenants

TASKS = (
    environments.env_list,
    environments.env_show,
    environments.doctor,
    environments.cache_prune,
    images.build,
    images.push,
    images.promote,
    tenants.tenant_up,
    tenants.tenant_status,
    tenants.tenant_logs,
    tenants.tenant_restart,
    tenants.tenant_down,
    tenants.airflow,
    dags.dags_check,
    dags.dags_sync,
    dags.dags_status,
    dags.dags_rollback,
)

namespace = Collection(*TASKS)
