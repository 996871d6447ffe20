"""Airflow's settings for one tenant, as environment variables; the same in every runtime."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from airflow_platform.config import places, specs

BRANCH = "served"
"""The branch that every tenant's bundle tracks; the toolkit alone moves it."""

FOLDER = "dags"
"""The folder of the repository that holds the DAGs."""

BUNDLE = "dags"
"""The name of the one DAG bundle."""

GIT_CONNECTION = "dags_repository"
"""The bundle's connection: without one, GitDagBundle logs a traceback at every start."""

ADMIN = "admin"
"""The user that people and the toolkit log in as."""


@dataclass(frozen=True)
class Installation:
    """Where one tenant's Airflow is, on one machine."""

    place: places.TenantPlace
    port: int
    """Of the api-server."""
    programs: Path
    """The directory with the program `airflow`."""
    repository: Path
    """The bare repository that is served."""

    @property
    def url(self) -> str:
        """Where people find it, and its components each other."""
        return f"http://127.0.0.1:{self.port}"


def environment(tenant: specs.Tenant, dags: specs.Dags, at: Installation) -> dict[str, str]:
    """Settings that all components share. Every entry that is not self-explaining says why."""
    place = at.place
    return {
        **_process(place, at.programs),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__AUTH_MANAGER": (
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(place.passwords),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{at.url}/execution/",
        # A change of a DAG's file shows at once instead of after 30 s.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
        "AIRFLOW__CORE__PARALLELISM": str(tenant.parallelism),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(at.port),
        "AIRFLOW__API__BASE_URL": at.url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__INSTANCE_NAME": tenant.name,
        # Tokens say whose they are, besides being signed with the tenant's own key.
        "AIRFLOW__API_AUTH__JWT_ISSUER": f"airflow-{tenant.name}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{place.database}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(place.home / "logs"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(place.home / "bundles"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_bundle(dags, at.repository)]),
        f"AIRFLOW_CONN_{GIT_CONNECTION.upper()}": json.dumps(
            {"conn_type": "git", "host": str(at.repository)}
        ),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": str(dags.refresh_interval),
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        # Changed files are parsed at once; parsing unchanged ones again and again is what idles cost.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # The first call to a cold api-server takes up to 10 s; the default gives up after 5.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
    }


def secret_environment(place: places.TenantPlace) -> dict[str, str]:
    """Variables whose values are read from files when a component starts."""
    return {
        "AIRFLOW__CORE__FERNET_KEY": str(place.keys / "fernet_key"),
        "AIRFLOW__API__SECRET_KEY": str(place.keys / "api_secret_key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": str(place.keys / "jwt_secret"),
    }


def migration_environment(home: Path, programs: Path) -> dict[str, str]:
    """What `airflow db migrate` needs for a SQLite database `airflow.db` in `home`, and no more."""
    return {
        "PATH": _path(programs),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }


def _process(place: places.TenantPlace, programs: Path) -> dict[str, str]:
    return {
        "PATH": _path(programs),
        "HOME": str(place.home),
        # The tenant's user id has no name on this machine, and Python asks for one.
        "USER": "airflow",
        "LOGNAME": "airflow",
        "LANG": "C.UTF-8",
        "AIRFLOW_HOME": str(place.home),
        "REQUESTS_CA_BUNDLE": str(place.certificates / "bundle.pem"),
    }


def _path(programs: Path) -> str:
    return f"{programs}:/usr/local/bin:/usr/bin:/bin"


def _bundle(dags: specs.Dags, repository: Path) -> dict[str, object]:
    return {
        "name": BUNDLE,
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {
            "repo_url": str(repository),
            "tracking_ref": BRANCH,
            "subdir": FOLDER,
            "git_conn_id": GIT_CONNECTION,
            "refresh_interval": dags.refresh_interval,
        },
    }
