"""What a tenant's Airflow is told, whole: a change of it is a change of this file."""

import json
from pathlib import Path

from airflow_platform.config import specs, state_files
from airflow_platform.runtimes.process import manifest
from airflow_platform.tenants import airflow_settings
from airflow_platform.testing import specs as testing

PLACE = state_files.TenantFiles(Path("/state/sandbox/tenants/analytics"))
AT = manifest.Machine(PLACE, 18080, Path("/cache/venv/bin"), Path("/state/sandbox/dags.git")).installation()
HOME = "/state/sandbox/tenants/analytics/home"
GOLDEN = {
    "AIRFLOW_HOME": HOME,
    "REQUESTS_CA_BUNDLE": "/state/sandbox/tenants/analytics/certificates/bundle.pem",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "AIRFLOW__CORE__AUTH_MANAGER": (
        "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
    ),
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "/state/sandbox/tenants/analytics/keys/passwords.json",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:18080/execution/",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
    "AIRFLOW__CORE__PARALLELISM": "2",
    "AIRFLOW__API__HOST": "127.0.0.1",
    "AIRFLOW__API__PORT": "18080",
    "AIRFLOW__API__BASE_URL": "http://127.0.0.1:18080",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__API__INSTANCE_NAME": "analytics",
    "AIRFLOW__API_AUTH__JWT_ISSUER": "airflow-analytics",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{HOME}/logs",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": f"{HOME}/bundles",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
    "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "5",
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
}
AS_JSON = {
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": [
        {
            "name": "dags",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {
                "repo_url": "/state/sandbox/dags.git",
                "tracking_ref": "served",
                "subdir": "dags",
                "git_conn_id": "dags_repository",
                "refresh_interval": 5,
            },
        }
    ],
    "AIRFLOW_CONN_DAGS_REPOSITORY": {"conn_type": "git", "host": "/state/sandbox/dags.git"},
}


def test_the_environment_of_a_tenant() -> None:
    found = airflow_settings.environment(testing.tenant(), specs.Dags(), AT)
    assert {name: json.loads(found.pop(name)) for name in AS_JSON} == AS_JSON
    assert found == GOLDEN


def test_what_the_spec_says_reaches_airflow() -> None:
    tenant, dags = (
        testing.tenant("finance", parallelism=9),
        specs.Dags(refresh_interval=60, parse_interval=900),
    )
    found = airflow_settings.environment(tenant, dags, AT)
    assert found["AIRFLOW__CORE__PARALLELISM"] == "9"
    assert found["AIRFLOW__API__INSTANCE_NAME"] == "finance"
    assert found["AIRFLOW__API_AUTH__JWT_ISSUER"] == "airflow-finance"
    assert found["AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL"] == "60"
    assert found["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] == "900"
    (bundle,) = json.loads(found["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundle["kwargs"]["refresh_interval"] == 60
