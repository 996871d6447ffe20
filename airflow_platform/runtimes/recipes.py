"""What Airflow's packages are made from: for the tenants of `process`, and for the check of DAG files."""

from __future__ import annotations

from airflow_platform.config import paths
from airflow_platform.manifests import airflow as manifest
from airflow_platform.steps import packages

_IMAGES = paths.CHECKOUT / "images"

AIRFLOW = packages.Recipe(
    lock=_IMAGES / "airflow" / "requirements.lock",
    # celery 5.7 resolved, and its provider did not import: each executor and provider is tried.
    verify=(
        "import airflow.executors.local_executor, airflow.providers.celery.executors.celery_executor,"
        " airflow.providers.cncf.kubernetes.executors.kubernetes_executor,"
        " airflow.providers.snowflake.hooks.snowflake, airflow.providers.git.bundles.git,"
        " airflow.providers.postgres.hooks.postgres, airflow.providers.amazon.aws.hooks.s3,"
        " airflow.providers.fab.auth_manager.fab_auth_manager"
    ),
    # Fewer garbage collections while it starts: a fifth less processor time, no more memory.
    additions={
        "site-packages/airflow_platform.pth": _IMAGES / "airflow" / "startup.pth",
        "site-packages/airflow_platform_bundle.py": _IMAGES / "airflow" / "airflow_platform_bundle.py",
        f"site-packages/{manifest.GIT_SYNC_MODULE}.py": _IMAGES / "git-sync" / "git_sync.py",
    },
)
