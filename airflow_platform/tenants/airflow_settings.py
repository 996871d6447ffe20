"""Airflow's settings for one tenant, as environment variables; the same in every runtime."""

from __future__ import annotations

import json
from dataclasses import dataclass

from airflow_platform.config import specs
from airflow_platform.config.components import DAG_PROCESSOR, SCHEDULER, WORKER

BRANCH = "served"
"""The branch that every tenant's bundle tracks; the toolkit alone moves it."""

FOLDER = "dags"
"""The folder of the repository that holds the DAGs."""

BUNDLE = "dags"
"""The name of the one DAG bundle."""

GIT_CONNECTION = "dags_repository"
"""The bundle's connection: without one, GitDagBundle logs a traceback at every start."""

KEYS = {
    "AIRFLOW__CORE__FERNET_KEY": "fernet_key",
    "AIRFLOW__API__SECRET_KEY": "api_secret_key",
    "AIRFLOW__API_AUTH__JWT_SECRET": "jwt_secret",
}
"""Settings whose values are the tenant's keys, with the names of those."""

ADMIN = "admin"
"""The user that people and the toolkit log in as."""


_READERS = {
    "AIRFLOW__CORE__PARALLELISM": (SCHEDULER,),
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": (WORKER,),
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": (DAG_PROCESSOR,),
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": (DAG_PROCESSOR,),
    "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": (DAG_PROCESSOR,),
    # The scheduler has other uses for it, which are none to have every few seconds.
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": (DAG_PROCESSOR,),
}
"""Settings that only some components read: a change of one restarts no others."""


@dataclass(frozen=True)
class Installation:
    """Where one tenant's Airflow finds what it needs, as its components see it."""

    home: str
    """AIRFLOW_HOME."""
    passwords: str
    """The file in which SimpleAuthManager looks passwords up."""
    authorities: str
    """The file of certificate authorities that tasks trust: the tenant's own, and the machine's."""
    repository: str
    """The bare repository that is served."""
    host: str
    """The address that the api-server listens on."""
    port: int
    """The port that the api-server listens on."""
    url: str
    """Where people find it."""
    inner_url: str
    """Where its own components find it."""
    executor: str = "LocalExecutor"
    database: str = ""
    """SQLAlchemy's URL of the metadata database; "" when it is handed over as a secret."""


def address(port: int) -> str:
    """Where people find a tenant on this machine.

    Args:
        port: Of its api-server.
    """
    return f"http://127.0.0.1:{port}"


def environment_of(
    component: str, tenant: specs.Tenant, dags: specs.Dags, at: Installation
) -> dict[str, str]:
    """The settings of one component: all but those that only others read."""
    foreign = {key for key, readers in _READERS.items() if component not in readers}
    return {key: value for key, value in environment(tenant, dags, at).items() if key not in foreign}


def environment(tenant: specs.Tenant, dags: specs.Dags, at: Installation) -> dict[str, str]:
    """Settings that all components share. Every entry that is not self-explaining says why."""
    database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": at.database} if at.database else {}
    return {
        "AIRFLOW_HOME": at.home,
        "REQUESTS_CA_BUNDLE": at.authorities,
        "AIRFLOW__CORE__EXECUTOR": at.executor,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__AUTH_MANAGER": (
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": at.passwords,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{at.inner_url}/execution/",
        # A change of a DAG's file shows at once instead of after 30 s.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
        "AIRFLOW__CORE__PARALLELISM": str(tenant.parallelism),
        "AIRFLOW__API__HOST": at.host,
        "AIRFLOW__API__PORT": str(at.port),
        "AIRFLOW__API__BASE_URL": at.url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__INSTANCE_NAME": tenant.name,
        # Tokens say whose they are, besides being signed with the tenant's own key.
        "AIRFLOW__API_AUTH__JWT_ISSUER": f"airflow-{tenant.name}",
        **database,
        **_celery(tenant, at),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{at.home}/logs",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": f"{at.home}/bundles",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_bundle(dags, at)]),
        f"AIRFLOW_CONN_{GIT_CONNECTION.upper()}": json.dumps({"conn_type": "git", "host": at.repository}),
        **_parsing(dags),
        # The first call to a cold api-server takes up to 10 s; the default gives up after 5.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
    }


def _parsing(dags: specs.Dags) -> dict[str, str]:
    """When dag-processor looks for commits, and what it then parses."""
    return {
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": str(dags.refresh_interval),
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        # Changed files are parsed at once; parsing unchanged ones again and again is what idles cost.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": str(dags.parse_interval),
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # A DAG that has left its file is gone after seconds instead of two minutes. A parse is timed before its
        # DAGs are written, so that a file that takes long never makes its own DAGs look old.
        "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "5",
        "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "5",
    }


def _celery(tenant: specs.Tenant, at: Installation) -> dict[str, str]:
    if at.executor != "CeleryExecutor":
        return {}
    return {"AIRFLOW__CELERY__WORKER_CONCURRENCY": str(tenant.parallelism)}


def _bundle(dags: specs.Dags, at: Installation) -> dict[str, object]:
    return {
        "name": BUNDLE,
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {
            "repo_url": at.repository,
            "tracking_ref": BRANCH,
            "subdir": FOLDER,
            "git_conn_id": GIT_CONNECTION,
            "refresh_interval": dags.refresh_interval,
        },
    }
